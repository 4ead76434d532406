package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

func Example() {
	n := simnet.New(1)
	alice := sockets.Config{Network: n.Host("alice")}
	bob := sockets.Config{Network: n.Host("bob")}

	receiver, err := bob.NewPeer("8080", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()
	sender, err := alice.NewPeer("8080", []string{"bob:8080"})
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()

	if err := sender.SendAll([]byte("Hello Bob!")); err != nil {
		log.Fatal(err)
	}
	payload, from, err := receiver.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q from %v\n", payload, from)
	// Output: "Hello Bob!" from 10.0.0.1:8080
}

// A link loses about half of what it carries. The seed decides which half.
func ExampleLink() {
	n := simnet.New(179)
	n.SetLinks(simnet.Link{Loss: 0.5})
	alice := sockets.Config{Network: n.Host("alice")}
	bob := sockets.Config{Network: n.Host("bob")}

	receiver, err := bob.NewPeer("8080", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()
	sender, err := alice.NewPeer("8080", []string{"bob:8080"})
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()

	for _, text := range strings.Fields("to be or not to be") {
		if err := sender.SendAll([]byte(text)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("lost:", n.Total().Lost)
	for range n.Total().Delivered {
		payload, _, err := receiver.Receive(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(payload))
	}
	// Output:
	// lost: 3
	// to
	// be
	// not
}

// Who is cut off notices nothing but that no answer comes.
func ExampleNetwork_Partition() {
	n := simnet.New(1)
	alice, bob := n.Host("alice"), n.Host("bob")
	receiver, err := bob.ListenPacket(context.Background(), "udp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()
	go acknowledge(receiver)
	conn, err := alice.DialContext(context.Background(), "udp", "bob:7")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	ask := func() {
		if _, err := conn.Write([]byte("Are you there?")); err != nil {
			log.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := conn.Read(make([]byte, 10))
		fmt.Println("no answer in time:", errors.Is(err, os.ErrDeadlineExceeded))
	}
	ask()
	n.Partition([]*simnet.Host{alice}, []*simnet.Host{bob})
	ask()
	n.Heal()
	ask()
	// Output:
	// no answer in time: false
	// no answer in time: true
	// no answer in time: false
}

// What is held leaves later, and is overtaken.
func ExampleNetwork_Hold() {
	n := simnet.New(1)
	alice, bob, carol := n.Host("alice"), n.Host("bob"), n.Host("carol")
	n.Observe(func(at time.Time, from, to netip.AddrPort, payload []byte, fate simnet.Fate) {
		fmt.Println(from, to, string(payload), fate)
	})
	send := func(from, to *simnet.Host, text string) {
		conn, err := from.ListenPacket(context.Background(), "udp", ":1")
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.WriteTo([]byte(text), net.UDPAddrFromAddrPort(to.AddrPort(2))); err != nil {
			log.Fatal(err)
		}
	}
	conn, err := bob.ListenPacket(context.Background(), "udp", ":2")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	n.Hold(alice, bob)
	send(alice, bob, "first")
	send(carol, bob, "second")
	n.Release(alice, bob)
	// Output:
	// 10.0.0.1:1 10.0.0.2:2 first sent
	// 10.0.0.3:1 10.0.0.2:2 second sent
	// 10.0.0.3:1 10.0.0.2:2 second delivered
	// 10.0.0.1:1 10.0.0.2:2 first delivered
}

// Sockets do not outlive a crash.
func ExampleHost_Crash() {
	n := simnet.New(1)
	bob := n.Host("bob")
	conn, err := bob.ListenPacket(context.Background(), "udp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	bob.Crash()
	_, _, err = conn.ReadFrom(make([]byte, 10))
	fmt.Println(errors.Is(err, net.ErrClosed))

	bob.Restart()
	conn, err = bob.ListenPacket(context.Background(), "udp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conn.LocalAddr())
	// Output:
	// true
	// [::]:7
}
