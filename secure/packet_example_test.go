package secure_test

import (
	"fmt"
	"log"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
)

// Alice and bob have given each other the lines of their public keys. Who sent a
// datagram is told by its address.
func ExampleNetwork_PeerAt() {
	alice, _ := secure.NewIdentity("alice")
	bob, _ := secure.NewIdentity("bob")
	known, _ := secure.NewKnownPeers(
		secure.KnownPeer{Name: "alice", Key: alice.PublicKey()},
		secure.KnownPeer{Name: "bob", Key: bob.PublicKey()},
	)

	network := secure.Over(nil, bob, known)
	heard := make(chan string)
	receiver, err := (&sockets.Config{Network: network}).NewAsyncPeer("127.0.0.1:0", nil, func(payload []byte, sender sockets.Address) {
		who, _ := network.PeerAt(sender)
		heard <- who.Name + " says " + string(payload)
	})
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()

	// Alice receives too: that is how she answers bob's challenge.
	cfg := &sockets.Config{Network: secure.Over(nil, alice, known)}
	sender, err := cfg.NewAsyncPeer("127.0.0.1:0", nil, func([]byte, sockets.Address) {})
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	sender.Send([]byte("hello"), receiver.LocalAddress())
	fmt.Println(<-heard)
	// Output:
	// alice says hello
}
