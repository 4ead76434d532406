// Udpchatreliable is the graceful UDP group chat over package reliable: every
// message arrives exactly once and in order, or one is told that it cannot.
//
//	go run ./examples/udpchatreliable [PORT [IP:PORT ...]]
//
// # What to type
//
// In a first terminal, then give it a name, say Alice:
//
//	go run ./examples/udpchatreliable 8080
//
// In a second terminal, a network that loses three datagrams in ten, repeats
// some, and lets others overtake:
//
//	go run ./examples/badnetwork -udp 9000 localhost:8080 loss=0.3,dup=0.1,reorder=0.2,delay=50ms
//
// In a third terminal, then name it Bob, who knows Alice by the port of that
// network:
//
//	go run ./examples/udpchatreliable 8081 localhost:9000
//
// Let Bob write many short messages, and see them come to Alice: all of them,
// once, in order. Then the same with udpchatgraceful in the first and the third
// terminal: messages are missing, come twice, or in another order.
//
// Kill Alice (kill -9), and let Bob write on. After half a minute of silence he
// is told that his messages did not arrive.
//
// # What to watch for
//
// The difference to udpchatgraceful is the Config: Network says what is beneath
// the sockets, and PeerError is told who does not answer. The chat is the same.
// What badnetwork prints tells what it costs: beside each message there are
// acknowledgements, and what is lost is sent again.
//
// Both ends need it. To a program that speaks plain UDP, such as
// udpchatgraceful, nothing gets through: the two do not speak the same protocol.
//
// # What is still wrong with it
//
// Everyone is who they say they are: nobody checks. And there is no order
// between the messages of different senders: Carol may read Bob's answer before
// Alice's question.
package main

import (
	"os"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
	"github.com/seed287501ae/sockets/reliable"
)

func main() {
	port, peers := "0", []string(nil) // 0: any free port
	if len(os.Args) > 1 {
		port, peers = os.Args[1], os.Args[2:]
	}
	var peer *sockets.AsyncPeer
	cfg := sockets.Config{
		Network: reliable.Over(sockets.System),
		PeerError: func(gone sockets.Address, err error) {
			peer.Remove(gone) // forget about the peer that does not answer
			console.Println(err)
		},
	}
	peer, err := cfg.NewAsyncPeer(":"+port, peers, nil)
	console.Check(err, "usage: udpchatreliable [PORT [IP:PORT ...]]")
	peer.SetCallback(func(payload []byte, sender sockets.Address) {
		if sockets.IsExit(payload) {
			peer.Remove(sender) // forget about the peer that leaves
		}
		console.Println(string(payload)) // print incoming messages on the console
	})

	ips, _ := sockets.LocalIPs() // only to show them
	console.Println("Bound to:", peer.LocalAddress())
	console.Println("Local IP addresses:", ips)
	if port == "0" {
		console.Printf("In another terminal: go run ./examples/udpchatreliable 0 localhost:%d", peer.LocalAddress().Port())
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
	if err := peer.SendAll(sockets.NewMessage(sockets.ExitMessage, username).Bytes()); err != nil {
		console.Println(err)
	}
	if err := peer.Close(); err != nil {
		console.Println(err)
	}
}
