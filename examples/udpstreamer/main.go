// Udpstreamer sends many numbered messages to the participants of a UDP chat,
// as fast as it can, so that one sees what UDP does with them.
//
//	go run ./examples/udpstreamer COUNT IP:PORT [IP:PORT ...]
//
// # What to type
//
// In a first terminal (udpchatgraceful does as well):
//
//	go run ./examples/udpchat 8080
//
// In a second one:
//
//	go run ./examples/udpstreamer 100000 localhost:8080
//
// # What to watch for
//
// Here each message is "sent", without an error. There, numbers may be missing:
// the receiver was slower than the sender for a while. The comment of udpchat
// tells where they got lost, and how to lose more. Over a real network a few may
// also come in another order, or twice.
//
// # What is wrong with it
//
// It never looks whether anyone keeps up, nor can it: UDP does not tell.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

const usage = "usage: udpstreamer COUNT IP:PORT [IP:PORT ...]"

func main() {
	if len(os.Args) < 3 {
		console.Usage("how many messages, and to whom?", usage)
	}
	count, err := strconv.Atoi(os.Args[1])
	if err != nil || count < 0 {
		console.Usage(fmt.Sprintf("COUNT is %q: it must be a number, 0 or more", os.Args[1]), usage)
	}
	peer, err := sockets.NewPeer(":0", os.Args[2:])
	console.Check(err, usage)
	for i := range count {
		if err := peer.SendAll(sockets.NewMessage(fmt.Sprintf("Number %d", i), "Streamer").Bytes()); err != nil {
			fmt.Println(err)
		}
		fmt.Println("Sent message", i)
	}
}
