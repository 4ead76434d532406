// Tcpchat is the slides' TCP chat: the UDP chat again, over stream sockets, for
// two.
//
//	go run ./examples/tcpchat [-prefix 1|2|4|8] [-secure NAME] server PORT
//	go run ./examples/tcpchat [-prefix 1|2|4|8] [-secure NAME] client [NAME@]IP:PORT
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
// # Who is at the other end
//
// Without -secure, everyone is who they say they are. With it, one's name is tied
// to a key, as package secure tells, and nobody is asked for a username. In the
// first terminal:
//
//	go run ./examples/tcpchat -secure alice server 8080
//
// In the second one, with the name of whom one expects there:
//
//	go run ./examples/tcpchat -secure bob client alice@localhost:8080
//
// The key of alice is in alice.key, which is made the first time, and whom she
// knows in alice.known. The first time each believes that the other is the right
// one, and shows the fingerprint of the new key: compare them by telephone. From
// then on the name is tied to that key. So let an attacker, in a third terminal,
// call himself bob, with a key of his own. Leave Bob first:
//
//	mkdir impostor; cd impostor
//	go run ../examples/tcpchat -secure bob client alice@localhost:8080
//
// Both ends refuse, and tell why. Then let him pose as Alice: leave her, and start
// a server in the attacker's folder. Bob refuses when he connects again.
//
//	go run ../examples/tcpchat -secure alice server 8080
//
// A participant who calls himself another one in a message, which takes another
// program than this, is shown as bob (calls itself "alice"). Nobody in between can
// read or change anything.
//
// # What is still wrong with it
//
//   - It is for two: the exercise, tcpgroupchat, is for many. So who connects, and
//     says nothing, keeps everybody else out.
//   - Without -secure, nobody checks who anybody is. With it, whoever comes first
//     gets a name: fingerprints that nobody compares prove nothing.
//   - When the other end does not read, typing waits too, for a minute at most.
//   - When a cable is cut, it takes minutes before either end notices.
package main

import (
	"cmp"
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
	"github.com/seed287501ae/sockets/secure"
)

const usage = "usage: tcpchat [-prefix 1|2|4|8] [-secure NAME] server PORT | client [NAME@]IP:PORT"

var (
	prefix     = flag.Int("prefix", 4, "bytes of the length before each message")
	secureName string                             // empty: without keys
	met        *secure.KnownPeers                 // with keys: those who have been shown
	remotePeer atomic.Pointer[sockets.Connection] // nil while nobody is connected; callbacks change it
)

func main() {
	flag.Func("secure", "whose key proves who one is", func(name string) error {
		secureName = name
		return secure.CheckName(name)
	})
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	modes := map[string]func(config sockets.Config, argument string){"server": server, "client": client}
	if flag.NArg() != 2 || modes[flag.Arg(0)] == nil || !slices.Contains([]int{1, 2, 4, 8}, *prefix) {
		console.Usage(`want "server PORT" or "client IP:PORT", and a prefix of 1, 2, 4 or 8 bytes`, usage)
	}
	config := sockets.Config{Prefix: *prefix}
	if secureName != "" {
		config.Network = withKeys(secureName)
	} else if strings.Contains(flag.Arg(1), "@") {
		console.Usage("whom you expect at an address is checked with -secure only", usage)
	}
	modes[flag.Arg(0)](config, flag.Arg(1))
}

// withKeys returns a network where name has a key, and others are believed on
// first use to have theirs.
func withKeys(name string) sockets.Network {
	identity, err := secure.OpenIdentity(name+".key", name)
	if err != nil {
		console.Fatal(err)
	}
	known, err := secure.LoadKnownPeers(name + ".known")
	if err != nil {
		console.Fatal(err)
	}
	console.Printf("You are %s, %s", name, identity.PublicKey().Fingerprint())
	for _, peer := range known.All() {
		console.Printf("You know %s, %s", peer.Name, peer.Key.Fingerprint())
	}
	met, _ = secure.NewKnownPeers(known.All()...)
	config := secure.Config{Identity: identity, Known: known, FirstUse: true}
	return config.Over(sockets.System)
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
	console.Printf("Connected to %v%s", client.RemoteAddress(), who(client.Connection))
	client.SetCallback(onMessageReceived)
	chat()
	client.Close()
	<-client.Done()
}

func onMessageReceived(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
	switch event {
	case sockets.EventMessage:
		console.Println(signed(payload, connection)) // print any message received
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
			connection.Send(sockets.NewMessage("Somebody else is being served: try again later", cmp.Or(secureName, "Server")).Bytes())
			go connection.Close()
			return
		}
		console.Printf("Open ingoing connection from: %v%s", address, who(connection))
		connection.SetCallback(onMessageReceived) // attach callback to the new connection
	case sockets.EventStop:
		console.Println("Stop listening for new connections")
	case sockets.EventError:
		console.Println(err)
	}
}

// who tells who is at the other end, if keys do.
func who(connection *sockets.Connection) string {
	peer, ok := secure.PeerOf(connection)
	if !ok {
		return ""
	}
	text := fmt.Sprintf(", who is %s, %s", peer.Name, peer.Key.Fingerprint())
	if _, old := met.ByKey(peer.Key); !old {
		met.Add(peer)
		text += " (a new key: compare this with " + peer.Name + " by telephone)"
	}
	return text
}

// signed returns a message as it is, or with keys as one of whose key it is.
func signed(payload []byte, connection *sockets.Connection) string {
	m, err := sockets.ParseMessage(payload)
	peer, ok := secure.PeerOf(connection)
	switch {
	case ok && err != nil:
		m = sockets.NewMessage(string(payload), peer.Name)
	case ok && m.Sender != peer.Name:
		m.Sender = fmt.Sprintf("%s (calls itself %q)", peer.Name, m.Sender)
	default:
		return string(payload)
	}
	return m.String()
}

func chat() {
	username := secureName
	if username == "" {
		var err error
		if username, err = console.Input("Enter your username to start the chat:\n"); err != nil {
			return
		}
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
