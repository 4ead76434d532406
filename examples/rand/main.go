// Rand prints random integers from -2^31 to 2^31-1, one a line, without end: a
// stream as long as anyone likes, to feed the echo programs with.
//
//	go run ./examples/rand
//
// # What to type
//
//	go run ./examples/rand | head -3
//
// And, while a server of tcpecho listens on port 8080:
//
//	go run ./examples/rand | go run ./examples/tcpecho client localhost:8080
//
// # What to watch for
//
// In a pipe it is as fast as who reads from it: when the reader is slow, the
// pipe fills up, and rand waits. It is TCP's flow control in small. When the
// reader ends, as head does after three lines, so does rand, without a word.
// Otherwise Ctrl+C ends it.
//
// # What is still wrong with it
//
// Do not send it to a file: it ends when the disk is full.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed287501ae/sockets/console"
)

const pipeClosedOnWindows = syscall.Errno(232) // ERROR_NO_DATA

func main() {
	if len(os.Args) != 1 {
		console.Usage("rand takes no arguments", "usage: rand")
	}
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error of Write, not the death of the program
	out := bufio.NewWriter(os.Stdout)
	var err error
	for err == nil {
		_, err = fmt.Fprintln(out, int32(rand.Uint32()))
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, pipeClosedOnWindows) {
		console.Fatal(err)
	}
}
