// Tcpechowrong is attempt 1 of the slides' TCP echo: the client sends its whole
// standard input before it reads the first byte of the echo. The server sends
// back what it receives, 1,024 bytes at a time at most, and tells what that was.
//
//	go run ./examples/tcpechowrong server PORT | client IP:PORT
//
// Both use package net directly, as the slides use Python's socket.
//
// # What to type
//
// In a first terminal (with port 0 a free one is taken):
//
//	go run ./examples/tcpechowrong server 8080
//
// In a second terminal, then some lines, then Ctrl+D (on Windows Ctrl+Z, then
// Enter):
//
//	go run ./examples/tcpechowrong client localhost:8080
//
// Then start the server again, and give the client a stream without end:
//
//	go run ./examples/rand | go run ./examples/tcpechowrong client localhost:8080
//
// # What to watch for
//
// The server tells of each line at once. The client shows them only when all
// were sent: everything that was typed appears a second time, at the end. The
// echo alone goes to standard output, so a file comes back as it was:
//
//	go run ./examples/tcpechowrong client localhost:8080 < go.sum > copy
//
// With the stream without end, the client shows nothing at all, and after some
// megabytes the server falls silent as well. That is a deadlock: the echo that
// nobody reads has filled the buffers of both ends, so the server waits to
// send, and no longer receives; then its buffers are full too, and the client
// waits to send. Ctrl+C in the client ends both.
//
// # What is still wrong with it
//
//   - The deadlock: a client must read while it sends. tcpecho does, and the
//     server there is the same; compare the two clients.
//   - The server serves one client. A second one seems to be connected, because
//     the kernel accepts on the server's behalf, but nobody ever answers it.
//   - When a cable is cut, the end that reads notices after minutes only.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/seed287501ae/sockets/console"
)

func main() {
	modes := map[string]func(argument string){"server": server, "client": client}
	if len(os.Args) != 3 || modes[os.Args[1]] == nil || (os.Args[1] == "client") != strings.Contains(os.Args[2], ":") {
		console.Usage(`want "server PORT" or "client IP:PORT"`, "usage: tcpechowrong server PORT | client IP:PORT")
	}
	modes[os.Args[1]](os.Args[2])
}

func server(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if _, invalid := net.LookupPort("tcp", port); invalid != nil {
		console.Usage(invalid.Error(), "usage: tcpechowrong server PORT")
	} else if err != nil {
		console.Fatal(fmt.Errorf("%w (try another port; one below 1024 may need the rights of an administrator)", err))
	}
	fmt.Println("# echo server listening on port", listener.Addr().(*net.TCPAddr).Port)
	conn := must(listener.Accept())
	fmt.Println("# start echoing data from", conn.RemoteAddr())
	var buffer [1024]byte
	for n := must(conn.Read(buffer[:])); n > 0; n = must(conn.Read(buffer[:])) {
		must(conn.Write(buffer[:n]))
		fmt.Printf("# echoed %d bytes: %q\n", n, buffer[:n])
	}
	conn.Close()
	fmt.Println("# connection closed")
}

func client(address string) {
	conn := must(net.Dial("tcp", address))
	fmt.Fprintln(os.Stderr, "# connected to", conn.RemoteAddr())
	var buffer [1024]byte
	// Forward the whole standard input to the server.
	for n := must(os.Stdin.Read(buffer[:])); n > 0; n = must(os.Stdin.Read(buffer[:])) {
		must(conn.Write(buffer[:n]))
	}
	conn.(*net.TCPConn).CloseWrite() // nothing more to send
	// Receive the whole stream from the server.
	for n := must(conn.Read(buffer[:])); n > 0; n = must(conn.Read(buffer[:])) {
		must(os.Stdout.Write(buffer[:n]))
	}
	conn.Close()
	fmt.Fprintln(os.Stderr, "# connection closed")
}

// must returns value, or ends the program with the error. At the end of a
// stream value is 0, the bytes that were read: that is no error.
func must[T any](value T, err error) T {
	if err != nil && err != io.EOF {
		console.Fatal(err)
	}
	return value
}
