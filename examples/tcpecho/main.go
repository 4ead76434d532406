// Tcpecho is attempt 2 of the slides' TCP echo: the client takes turns. It sends
// up to 1,024 bytes, reads as many back, compares them, and only then goes on.
// The server is that of attempt 1.
//
//	go run ./examples/tcpecho server PORT | client IP:PORT
//
// # What to type
//
// In a first terminal (with port 0 a free one is taken):
//
//	go run ./examples/tcpecho server 8080
//
// In a second terminal, then some lines, then Ctrl+D (on Windows Ctrl+Z, then
// Enter):
//
//	go run ./examples/tcpecho client localhost:8080
//
// Then start the server again, and give the client a stream without end:
//
//	go run ./examples/rand | go run ./examples/tcpecho client localhost:8080
//
// # What to watch for
//
// Each line comes back at once. The stream without end, with which attempt 1
// came to a halt, flows until Ctrl+C: there are never more than 1,024 bytes on
// their way. A read from a stream may give fewer bytes than were sent together,
// so the client reads until it has them all, with [io.ReadFull]. At the end of
// its input it closes its half of the connection, and waits for the server to
// close the other.
//
// Stop the server with Ctrl+C and type one more line: the echo that does not
// come is a wrong one.
//
// # What is still wrong with it
//
// Taking turns is slow: it costs one journey there and back for every 1,024
// bytes. Where that takes 20 ms, no more than 51,200 bytes pass in a second,
// however fast the network is. A connection has two streams, and both may flow
// at once (full-duplex). So a client can read on one goroutine while it sends on
// another, which never comes to a halt either, however long the stream:
//
//	go func() {
//		must(io.Copy(conn, os.Stdin))
//		conn.(*net.TCPConn).CloseWrite()
//	}()
//	must(io.Copy(os.Stdout, conn))
//
// On one machine, where the journey is short, 1 GiB took 28 s in turns and 17 s
// full-duplex: 1.8 times as long (the medians of three runs of each, alternately,
// over loopback on a busy 2-core x86-64 VM). To measure it, with the lines above
// in the place of the client's loop the second time:
//
//	go run ./examples/rand | head -c 1073741824 > data
//	go run ./examples/tcpecho server 8080 > /dev/null
//	time go run ./examples/tcpecho client localhost:8080 < data > copy
//
// Besides:
//
//   - Taking turns needs a server that answers every chunk with as many bytes. One
//     that waits for a whole line would wait for ever, and so would the client.
//   - A client that waits for its input does not notice that the server has gone.
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
		console.Usage(`want "server PORT" or "client IP:PORT"`, "usage: tcpecho server PORT | client IP:PORT")
	}
	modes[os.Args[1]](os.Args[2])
}

func server(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if _, invalid := net.LookupPort("tcp", port); invalid != nil {
		console.Usage(invalid.Error(), "usage: tcpecho server PORT")
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
	var local, remote [1024]byte
	for n := must(os.Stdin.Read(local[:])); n > 0; n = must(os.Stdin.Read(local[:])) {
		must(conn.Write(local[:n]))
		m, _ := io.ReadFull(conn, remote[:n]) // fewer bytes than n if the stream ends early
		compare(local[:n], remote[:m])
		must(os.Stdout.Write(remote[:m]))
	}
	conn.(*net.TCPConn).CloseWrite()                  // nothing more to send
	compare(nil, remote[:must(conn.Read(remote[:]))]) // nothing more to receive
	fmt.Fprintln(os.Stderr, "# connection closed")
}

// compare ends the program if the echo is wrong.
func compare(local, remote []byte) {
	if string(local) != string(remote) {
		fmt.Fprintf(os.Stderr, "Wrong echoed data:\n     local: %q\n    remote: %q\n", local, remote)
		os.Exit(1)
	}
}

// must returns value, or ends the program with the error. At the end of a
// stream value is 0, the bytes that were read: that is no error.
func must[T any](value T, err error) T {
	if err != nil && err != io.EOF {
		console.Fatal(err)
	}
	return value
}
