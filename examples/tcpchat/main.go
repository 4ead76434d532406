// Tcpchat is the slides' TCP chat: the UDP chat again, over stream sockets, for
// two.
//
//	go run ./examples/tcpchat [-prefix 1|2|4|8] server PORT
//	go run ./examples/tcpchat [-prefix 1|2|4|8] client IP:PORT
//
// # What to type
//
// In a first terminal, then give it a name, say Alice (with port 0 a free one is
// taken, and printed):
//
//	go run ./examples/tcpchat server 8080
//
// In a second terminal, then name it Bob:
//
//	go run ./examples/tcpchat client localhost:8080
//
// To chat with the course's Python lab, whose messages are preceded by a length
// of 2 bytes instead of the slides' 4, add -prefix 2 behind tcpchat.
//
// # What to watch for
//
// Nothing gets lost, and the order stays. Either may begin. Leave with Ctrl+D (on
// Windows Ctrl+Z, then Enter) or Ctrl+C: the other end notices, also when the
// program is killed, because there is a connection. Then Alice waits for the
// next one, while Bob can only leave as well.
//
// It is a chat for two. While Bob is connected, start a second client: it is
// told that somebody else is being served, and is disconnected. Alice and Bob
// notice nothing. Once Bob has left, the next one may come.
//
// # What is still wrong with it
//
//   - It is for two: the exercise, tcpgroupchat, is for many.
//   - Everyone is who they say they are: nobody checks.
//   - When the other end does not read, typing waits too, for a minute at most.
//   - When a cable is cut, it takes minutes before either end notices.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

const usage = "usage: tcpchat [-prefix 1|2|4|8] server PORT | client IP:PORT"

var (
	prefix     = flag.Int("prefix", 4, "bytes of the length before each message")
	remotePeer atomic.Pointer[sockets.Connection] // nil while nobody is connected; callbacks change it
)

func main() {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	modes := map[string]func(config sockets.Config, argument string){"server": server, "client": client}
	if flag.NArg() != 2 || modes[flag.Arg(0)] == nil || !slices.Contains([]int{1, 2, 4, 8}, *prefix) {
		console.Usage(`want "server PORT" or "client IP:PORT", and a prefix of 1, 2, 4 or 8 bytes`, usage)
	}
	modes[flag.Arg(0)](sockets.Config{Prefix: *prefix}, flag.Arg(1))
}

func server(config sockets.Config, port string) {
	server, err := config.Listen(":"+port, onNewConnection)
	console.Check(err, usage)
	console.Println("Server started on port", server.LocalAddress().Port())
	chat()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	server.Shutdown(ctx)
}

func client(config sockets.Config, address string) {
	client, err := config.Dial(context.Background(), address, nil)
	console.Check(err, usage)
	remotePeer.Store(client.Connection)
	console.Println("Connected to", client.RemoteAddress())
	client.SetCallback(onMessageReceived)
	chat()
	client.Close()
	<-client.Done()
}

func onMessageReceived(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
	switch event {
	case sockets.EventMessage:
		console.Println(string(payload)) // print any message received
	case sockets.EventClose:
		remotePeer.CompareAndSwap(connection, nil) // forget about the disconnected peer
		console.Println("Connection with peer", connection.RemoteAddress(), "closed")
	case sockets.EventError:
		console.Println(err) // inform the user about any error which occurs
	}
}

func onNewConnection(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
	switch event {
	case sockets.EventListen:
		ips, _ := sockets.LocalIPs() // only to show them
		list := strings.ReplaceAll(strings.Trim(fmt.Sprint(ips), "[]"), " ", ", ")
		console.Println("Server listening on port", address.Port(), "at", list)
	case sockets.EventConnect:
		if !remotePeer.CompareAndSwap(nil, connection) { // one to one: the first one stays
			connection.Send(sockets.NewMessage("Somebody else is being served: try again later", "Server").Bytes())
			go connection.Close()
			return
		}
		console.Println("Open ingoing connection from:", address)
		connection.SetCallback(onMessageReceived) // attach callback to the new connection
	case sockets.EventStop:
		console.Println("Stop listening for new connections")
	case sockets.EventError:
		console.Println(err)
	}
}

func chat() {
	username, err := console.Input("Enter your username to start the chat:\n")
	if err != nil {
		return
	}
	console.Println("Type your message and press Enter to send it. Messages from other peers will be displayed below.")
	for content := range console.Lines() {
		if peer := remotePeer.Load(); peer == nil {
			console.Println("No peer connected, message is lost")
		} else if content == "" {
			console.Println("Empty message, not sent")
		} else if err := peer.Send(sockets.NewMessage(content, username).Bytes()); err != nil {
			console.Println(err)
		}
	}
}
