package reliable_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/simnet"
)

// A third of all datagrams get lost. Not here.
func ExampleOver() {
	network := simnet.New(2)
	network.SetLinks(simnet.Link{Loss: 0.3, Delay: time.Millisecond})

	hosts := []*simnet.Host{network.Host("alice"), network.Host("bob")}

	var peers []*sockets.Peer
	for _, host := range hosts {
		cfg := &sockets.Config{Network: reliable.Over(host)}
		peer, err := cfg.NewPeer("8080", []string{"alice:8080", "bob:8080"})
		if err != nil {
			log.Fatal(err)
		}
		peers = append(peers, peer)
	}
	alice, bob := peers[0], peers[1]
	for _, text := range []string{"one", "two", "three"} {
		alice.SendAll([]byte(text))
	}
	for range 3 {
		payload, _, _ := bob.Receive(context.Background())
		fmt.Println(string(payload))
	}
	alice.Close()
	bob.Close()
	// Output:
	// one
	// two
	// three
}

// Who does not answer is reported, to who receives and to who sends.
func ExampleConfig() {
	network := simnet.New(1)
	alice, _ := network.Host("alice"), network.Host("bob")

	layer := &reliable.Config{Silence: 100 * time.Millisecond}
	cfg := &sockets.Config{Network: layer.Over(alice)}
	peer, err := cfg.NewPeer("8080", []string{"bob:8080"})
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()
	peer.SendAll([]byte("Is anybody there?"))

	_, sender, err := peer.Receive(context.Background())
	fmt.Println(sender, errors.Is(err, sockets.ErrPeerUnreachable))
	fmt.Println(err)
	fmt.Println(peer.SendAll([]byte("Hello?")) != nil)
	// Output:
	// 10.0.0.2:8080 true
	// sockets: peer unreachable: 10.0.0.2:8080: no handshake in 100ms
	// true
}
