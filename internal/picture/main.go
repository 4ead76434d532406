// Picture draws the picture of the README: two terminals, in which Alice and Bob chat.
//
//	go run ./internal/picture > docs/chat.svg
//
// The picture is of a real run. The command runs `go run ./examples/udpchat` twice, on ports 8080 and 8081 where these
// are free, types what the two users type, waits until each terminal shows what it must, and draws what was typed and
// what was printed, in that order. One thing is not drawn as it was printed: the list of local IP addresses, which is
// nobody's business, is replaced by an example.
//
// It runs at the top of the repository and needs nothing but the go command.
package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("picture: ")
	time.AfterFunc(2*time.Minute, func() { log.Fatal("the chat does not come to its end") })

	alicePort, bobPort := freePort(8080), freePort(8081)
	alice := open("Alice", "go", "run", "./examples/udpchat", alicePort)
	alice.shows("Enter your username")
	alice.types("Alice")
	alice.shows("Type your message")
	bob := open("Bob", "go", "run", "./examples/udpchat", bobPort, "localhost:"+alicePort)
	bob.shows("Enter your username")
	bob.types("Bob")
	bob.shows("Type your message")

	bob.types("Hello Alice!")
	alice.shows("Hello Alice!")
	alice.types("Hello Bob, how are you?")
	bob.shows("Hello Bob, how are you?")
	bob.types("Fine thanks! What about you?")
	alice.shows("Fine thanks! What about you?")

	alice.close()
	bob.close()
	_, err := os.Stdout.Write(draw(alice.screen, bob.screen))
	check(err)
}

// freePort returns the UDP port wanted, or another one if that is taken.
func freePort(wanted int) string {
	conn, err := net.ListenPacket("udp", ":"+strconv.Itoa(wanted))
	if err != nil {
		conn, err = net.ListenPacket("udp", ":0")
	}
	check(err)
	defer conn.Close()
	return strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
}

// A terminal is a running command and the screen that its user sees.
// Its methods end the program when the command does not do what they expect.
type terminal struct {
	screen screen
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
}

// open starts a command.
func open(title string, command ...string) *terminal {
	t := &terminal{cmd: exec.Command(command[0], command[1:]...)}
	t.screen = screen{title: title, lines: []line{{text: "$ " + strings.Join(command, " "), typed: true}}}
	t.cmd.Stderr = os.Stderr
	stdout, err := t.cmd.StdoutPipe()
	check(err)
	t.stdin, err = t.cmd.StdinPipe()
	check(err)
	check(t.cmd.Start())
	t.stdout = bufio.NewScanner(stdout)
	return t
}

// types types a line.
func (t *terminal) types(text string) {
	t.screen.lines = append(t.screen.lines, line{text: text, typed: true})
	_, err := io.WriteString(t.stdin, text+"\n")
	check(err)
}

var localIPs = regexp.MustCompile(`^Local IP addresses: \[.*\]$`)

// shows waits until the command has printed a line that contains text.
func (t *terminal) shows(text string) {
	for t.stdout.Scan() {
		printed := localIPs.ReplaceAllString(t.stdout.Text(), "Local IP addresses: [127.0.0.1 192.168.1.7]")
		t.screen.lines = append(t.screen.lines, line{text: printed})
		if strings.Contains(printed, text) {
			return
		}
	}
	log.Fatalf("%s's program ended before it showed %q", t.screen.title, text)
}

// close ends the input, as Ctrl+D does, and waits for the end of the command.
func (t *terminal) close() {
	t.stdin.Close()
	for t.stdout.Scan() {
	}
	check(t.cmd.Wait())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
