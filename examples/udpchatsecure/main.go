// Udpchatsecure is attempt 3 of the slides' UDP group chat over package secure:
// every message is signed, and its sender is who has the key, whatever name the
// message bears.
//
//	go run ./examples/udpchatsecure [-pub] NAME [PORT [IP:PORT ...]]
//
// # What to type
//
// The key of alice is in alice.key, which is made when it is needed, and which
// she shows to nobody. With -pub she prints her public line, and bob appends it
// to the list of those whom he knows, bob.known. Nobody is believed who is not on
// that list, so begin with the lists, in a first terminal:
//
//	go run ./examples/udpchatsecure -pub alice >> bob.known
//	go run ./examples/udpchatsecure -pub bob >> alice.known
//	go run ./examples/udpchatsecure -pub carol >> alice.known
//	go run ./examples/udpchatsecure alice 8080
//
// (In the PowerShell of Windows write | Add-Content bob.known in the place of
// >> bob.known. On two machines, send each other what -pub prints; and compare
// the fingerprints by telephone, if somebody may change the mail.)
//
// In a second terminal:
//
//	go run ./examples/udpchatsecure bob 8081 localhost:8080
//
// Let Bob begin, and make them chat. Nobody is asked for a username.
//
// In a third terminal, the attacker. First he takes udpchatgraceful, calls
// himself bob, and leaves in his name:
//
//	printf 'bob\nLend me 100 euros\n' | go run ./examples/udpchatgraceful 0 localhost:8080
//
// Then he makes a key for a bob of his own. And Carol, whom Alice knows, signs
// with her own key what she says in the name of bob:
//
//	mkdir impostor carols; sleep 1
//	go run ./examples/udpchatsecure -pub alice > impostor/bob.known
//	cp impostor/bob.known carols/bob.known
//	(umask 077; sed 's/^carol /bob /' carol.key > carols/bob.key)
//	cd impostor
//	echo 'Lend me 100 euros' | go run ../examples/udpchatsecure bob 0 localhost:8080
//	cd ../carols
//	echo 'Lend me 100 euros' | go run ../examples/udpchatsecure bob 0 localhost:8080
//	cd ..
//
// At last somebody in between repeats whatever Bob says. Start Bob again with
// localhost:9000 in the place of localhost:8080:
//
//	go run ./examples/badnetwork -udp 9000 localhost:8080 dup=1
//
// # What to watch for
//
// Alice shows nothing of the first two. She tells, once a second at most, which
// datagrams were dropped, and why: those of udpchatgraceful are not signed, and
// nobody on her list has the impostor's key. Bob has not left for her. Against
// udpchatgraceful the first attack works: try it.
//
// What Carol says is shown as carol (calls itself "bob"). And what comes twice
// is shown once.
//
// Leave with Ctrl+D (on Windows Ctrl+Z, then Enter) or Ctrl+C. The goodbye is
// signed as every message is: only Bob can say that Bob leaves.
//
// # What is still wrong with it
//
//   - Everybody on the way can read it: signed is not secret. A GroupKey in the
//     configuration, which all participants share, mends that.
//   - The time is what the sender says.
//   - Who steals bob.key is Bob, until everybody deletes his line.
//   - Messages get lost, as ever with UDP, and the goodbye too. So do the first
//     ones of a participant who leaves before the others have made sure that he is
//     there now, for which this program waits a moment when it leaves.
//     Over reliable.Over of this network, as udpchatreliable is, nothing gets lost.
//   - A name is what stands in one's own list: who is bob for Alice may be robert
//     for Carol, and then is shown as robert (calls itself "bob").
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
	"github.com/seed287501ae/sockets/secure"
)

const usage = "usage: udpchatsecure [-pub] NAME [PORT [IP:PORT ...]]"

func main() {
	public := flag.Bool("pub", false, "print the public line of NAME, for the lists of others")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	name, port, peers := flag.Arg(0), "0", []string(nil) // 0: any free port
	if flag.NArg() > 1 {
		port, peers = flag.Arg(1), flag.Args()[2:]
	}
	if flag.NArg() == 0 || *public && flag.NArg() > 1 {
		console.Usage("want a NAME, and with -pub nothing more", usage)
	}
	identity := open(name)
	if *public {
		fmt.Println(identity)
		return
	}
	known, err := secure.LoadKnownPeers(name + ".known")
	if err != nil {
		console.Fatal(err)
	}
	friends := slices.DeleteFunc(known.All(), func(peer secure.KnownPeer) bool {
		return peer.Key == identity.PublicKey() || peer.FirstUse // which is not enough for datagrams
	})
	if len(friends) == 0 {
		other := "bob"
		if name == other {
			other = "alice"
		}
		console.Fatal(fmt.Errorf("%s knows nobody, and nobody would be heard. For each of the others, say %s, type this, then start again:\n"+
			"go run ./examples/udpchatsecure -pub %[2]s >> %[1]s.known", name, other))
	}

	layer := secure.Config{Identity: identity, Known: known, Refused: func(r secure.Refusal) {
		key := "no key"
		if peer, ok := known.ByKey(r.Key); ok {
			key = "the key of " + peer.Name
		} else if r.Key != (secure.PublicKey{}) {
			key = "the key " + r.Key.Fingerprint()
		}
		console.Printf("Dropped %d, the last from %v with %s: %v", r.Count, r.Address, key, r.Err)
	}}
	network := layer.Over(sockets.System)
	cfg := sockets.Config{Network: network}
	peer, err := cfg.NewAsyncPeer(":"+port, peers, nil)
	console.Check(err, usage)
	peer.SetCallback(func(payload []byte, sender sockets.Address) {
		if sockets.IsExit(payload) {
			peer.Remove(sender) // forget about the peer that leaves
		}
		signer, _ := network.PeerAt(sender)
		console.Println(signed(payload, signer.Name)) // print incoming messages on the console
	})

	ips, _ := sockets.LocalIPs() // only to show them
	console.Println("Bound to:", peer.LocalAddress())
	console.Println("Local IP addresses:", ips)
	console.Printf("You are %s, %s", name, identity.PublicKey().Fingerprint())
	for _, friend := range friends {
		console.Printf("You know %s, %s", friend.Name, friend.Key.Fingerprint())
	}
	if port == "0" {
		console.Printf("In another terminal: go run ./examples/udpchatsecure %s 0 localhost:%d", friends[0].Name, peer.LocalAddress().Port())
	}
	console.Println("Type your message and press Enter to send it. Messages from other peers will be displayed below.")
	for content := range console.Lines() {
		if err := peer.SendAll(sockets.NewMessage(content, name).Bytes()); err != nil {
			console.Println(err)
		}
	}
	if err := peer.SendAll(sockets.NewMessage(sockets.ExitMessage, name).Bytes()); err != nil {
		console.Println(err)
	}
	time.Sleep(200 * time.Millisecond) // to answer those who make sure that all this is new
	peer.Close()
}

// open returns the identity of name, and makes one the first time.
func open(name string) *secure.Identity {
	file := name + ".key"
	console.Check(secure.CheckName(name), usage)
	_, err := os.Stat(file)
	isNew := errors.Is(err, fs.ErrNotExist)
	identity, err := secure.OpenIdentity(file, name)
	if err != nil {
		console.Fatal(err)
	}
	if isNew {
		fmt.Fprintf(os.Stderr, "%s has a new key, in %s: %s\n", name, file, identity.PublicKey().Fingerprint())
	}
	return identity
}

// signed returns a message, as one of whose key signed it.
func signed(payload []byte, signer string) sockets.Message {
	m, err := sockets.ParseMessage(payload)
	if err != nil {
		return sockets.NewMessage(string(payload), signer)
	}
	if m.Sender != signer {
		m.Sender = fmt.Sprintf("%s (calls itself %q)", signer, m.Sender)
	}
	return m
}
