// Udpchat is attempt 2 of the slides' UDP group chat: messages are received in
// the background, by a callback, while someone types.
//
//	go run ./examples/udpchat [PORT [IP:PORT ...]]
//
// # What to type
//
// In a first terminal, then give it a name, say Alice:
//
//	go run ./examples/udpchat 8080
//
// In a second terminal, then name it Bob (without a port, a free one is taken):
//
//	go run ./examples/udpchat 8081 localhost:8080
//
// Let Bob begin, and make them chat. A third one names both:
//
//	go run ./examples/udpchat 8082 localhost:8080 localhost:8081
//
// # What to watch for
//
// Nobody has to wait for a turn any more. Messages appear above the line that is
// being typed.
//
// Then count what UDP loses. Let something slow read the screen of Alice, here
// one who takes a nap first, and send her many messages from another terminal:
//
//	go run ./examples/udpchat 8080 | (sleep 10; cat)
//	go run ./examples/udpstreamer 10000 localhost:8080
//
// The numbers have gaps. While the callback waits for the screen nobody
// receives, and datagrams pile up in the receive buffer of Alice's socket. Once
// that is full (on Linux after some hundred) the kernel drops what comes, and
// tells neither side: no program sees an error. The Udp line of
// /proc/net/snmp counts them under RcvbufErrors.
//
// # What is still wrong with it
//
//   - The first participant cannot begin, and the second must know where the
//     first one is.
//   - It ends with Ctrl+D or Ctrl+C and tells nobody: the others write on to one
//     who has gone.
//   - Everyone is who they say they are: nobody checks.
//   - UDP may lose, delay, reorder or duplicate a message.
//
// Attempt 3, udpchatgraceful, mends the second of these.
package main

import (
	"os"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

func main() {
	port, peers := "0", []string(nil) // 0: any free port
	if len(os.Args) > 1 {
		port, peers = os.Args[1], os.Args[2:]
	}
	peer, err := sockets.NewAsyncPeer(":"+port, peers, func(payload []byte, _ sockets.Address) {
		console.Println(string(payload)) // print incoming messages on the console
	})
	console.Check(err, "usage: udpchat [PORT [IP:PORT ...]]")

	ips, _ := sockets.LocalIPs() // only to show them
	console.Println("Bound to:", peer.LocalAddress())
	console.Println("Local IP addresses:", ips)
	if port == "0" {
		console.Printf("In another terminal: go run ./examples/udpchat 0 localhost:%d", peer.LocalAddress().Port())
	}
	username, err := console.Input("Enter your username to start the chat:\n")
	if err != nil {
		return
	}
	console.Println("Type your message and press Enter to send it. Messages from other peers will be displayed below.")
	for content := range console.Lines() {
		if err := peer.SendAll(sockets.NewMessage(content, username).Bytes()); err != nil {
			console.Println(err)
		}
	}
}
