// Udpchatgraceful is attempt 3 of the slides' UDP group chat: who leaves says
// so, and is forgotten.
//
//	go run ./examples/udpchatgraceful [PORT [IP:PORT ...]]
//
// # What to type
//
// In a first terminal, then give it a name, say Alice:
//
//	go run ./examples/udpchatgraceful 8080
//
// In a second terminal, then name it Bob (without a port, a free one is taken):
//
//	go run ./examples/udpchatgraceful 8081 localhost:8080
//
// Let Bob begin, and make them chat. A third one names both:
//
//	go run ./examples/udpchatgraceful 8082 localhost:8080 localhost:8081
//
// Then leave, with Ctrl+D (on Windows Ctrl+Z, then Enter) or Ctrl+C.
//
// # What to watch for
//
// The others see <LEAVES THE CHAT>, and chat on without the one who left. They
// do not send there any more, until a message comes from there. One that is
// killed (kill -9) says nothing, and is not forgotten.
//
// The goodbye is an ordinary message: someone who types <LEAVES THE CHAT> as a
// line of its own is forgotten as well. A sentence that only mentions it is a
// sentence.
//
// # What is still wrong with it
//
//   - The first participant cannot begin, and the second must know where the
//     first one is.
//   - Everyone is who they say they are: nobody checks.
//   - UDP may lose, delay, reorder or duplicate a message, the goodbye too. With
//     udpstreamer it can be seen, as udpchat tells.
//
// The stream sockets of the next part mend the last of these: tcpchat.
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
	peer, err := sockets.NewAsyncPeer(":"+port, peers, nil)
	console.Check(err, "usage: udpchatgraceful [PORT [IP:PORT ...]]")
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
		console.Printf("In another terminal: go run ./examples/udpchatgraceful 0 localhost:%d", peer.LocalAddress().Port())
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
	peer.Close()
}
