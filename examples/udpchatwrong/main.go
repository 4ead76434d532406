// Udpchatwrong is attempt 1 of the slides' UDP group chat: one thread that
// types, sends and receives in turn.
//
//	go run ./examples/udpchatwrong [PORT [IP:PORT ...]]
//
// # What to type
//
// In a first terminal, then give it a name, say Alice:
//
//	go run ./examples/udpchatwrong 8080
//
// In a second terminal, then name it Bob (without a port, a free one is taken):
//
//	go run ./examples/udpchatwrong 8081 localhost:8080
//
// Let Alice type a line, then Bob, and make them chat. A third one names both:
//
//	go run ./examples/udpchatwrong 8082 localhost:8080 localhost:8081
//
// # What to watch for
//
// Alice's first line reaches nobody: she knows no one until she receives. After
// it her program waits for a message, and after that for her. So the two can
// only take turns. Whoever types two lines in a row does not get the second
// prompt, and whoever does not type does not see what has arrived.
//
// # What is wrong with it
//
//   - It blocks: while it waits for the keyboard it does not receive, while it
//     receives it does not listen to the keyboard.
//   - The first participant cannot begin, and the second must know where the
//     first one is.
//   - It ends with Ctrl+C only, or Ctrl+D at the prompt, and tells nobody.
//   - Everyone is who they say they are: nobody checks.
//   - UDP may lose, delay, reorder or duplicate a message, and here a lost one
//     leaves both waiting for ever.
//
// Attempt 2, udpchat, mends the first of these.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

func main() {
	port, peers := "0", []string(nil) // 0: any free port
	if len(os.Args) > 1 {
		port, peers = os.Args[1], os.Args[2:]
	}
	peer, err := sockets.NewPeer(":"+port, peers)
	console.Check(err, "usage: udpchatwrong [PORT [IP:PORT ...]]")

	ips, _ := sockets.LocalIPs() // only to show them
	fmt.Println("Bound to:", peer.LocalAddress())
	fmt.Println("Local IP addresses:", ips)
	if port == "0" {
		fmt.Printf("In another terminal: go run ./examples/udpchatwrong 0 localhost:%d\n", peer.LocalAddress().Port())
	}
	input := bufio.NewScanner(os.Stdin)
	fmt.Println("Enter your username to start the chat:")
	input.Scan()
	username := input.Text()
	for fmt.Print("> "); input.Scan(); fmt.Print("> ") {
		if err := peer.SendAll(sockets.NewMessage(input.Text(), username).Bytes()); err != nil {
			fmt.Println(err)
		}
		payload, _, err := peer.Receive(context.Background())
		if err != nil {
			console.Fatal(err)
		}
		fmt.Println(sockets.Printable(payload))
	}
}
