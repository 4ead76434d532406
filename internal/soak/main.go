// Soak runs a group of participants for a long time, under everything that may
// happen to them, and looks for broken promises and for growth.
//
//	go run ./internal/soak [-for 30m] [-participants 50] [-seed N] [-plain]
//
// Each participant is a process. It sends numbered messages to all the others
// over packages reliable and secure, over a link that loses, repeats and reorders,
// and over connections to a few of them. Participants are killed, stopped and
// continued, leave and come back. Strangers connect and reset, hold crowds of
// connections, and throw garbage, old datagrams and forged ones at every port,
// also in the name of those who are there. With -plain nobody has a key.
//
// What is checked all along: messages come once and in order, without a hole that
// nobody was told of, from who has proved to be their sender; close is the last
// event of a connection; limits hold; nobody crashes or hangs. At the end everybody has everybody's last message, and
// whoever leaves leaves no goroutine. Half of the participants are never killed:
// their goroutines, descriptors and memory are compared between the first and the
// last quarter of the time, the first tenth apart, where that is at least a minute.
//
// It prints a line per minute and a verdict. The exit status is 1 where a promise
// was broken. All traffic is on the loopback interface.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// participantVariable is set, in the environment, for a participant.
const participantVariable = "SOCKETS_SOAK_PARTICIPANT"

func main() {
	log.SetFlags(0)
	log.SetPrefix("soak: ")
	if os.Getenv(participantVariable) != "" {
		if err := participate(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	var p plan
	flag.DurationVar(&p.duration, "for", 30*time.Minute, "how long the group is disturbed")
	flag.IntVar(&p.participants, "participants", 50, "how many there are")
	flag.Uint64Var(&p.seed, "seed", rand.Uint64(), "of all choices")
	flag.BoolVar(&p.plain, "plain", false, "without package secure")
	flag.Parse()
	if flag.NArg() > 0 || p.participants < 2 || p.duration <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, p, os.Stdout); err != nil {
		fmt.Println("BROKEN:", err)
		os.Exit(1)
	}
	fmt.Println("no promise was broken, and nothing grew")
}
