package simnet_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

// What the package comment shows.

func deliver(conn net.Conn, payload []byte) (tries int, err error) {
	for tries = 1; tries <= 5000; tries++ {
		if _, err = conn.Write(payload); err != nil {
			return tries, err
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err = conn.Read(make([]byte, 1)); err == nil {
			return tries, nil
		}
	}
	return tries, err
}

// acknowledge answers each datagram, until the socket is closed.
func acknowledge(conn net.PacketConn) {
	buffer := make([]byte, 65507)
	for {
		_, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		conn.WriteTo([]byte("!"), from)
	}
}

func TestDeliver(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Seed(t))
		n.SetLinks(simnet.Link{Loss: 0.5, Delay: 50 * time.Millisecond})
		alice, bob := n.Host("alice"), n.Host("bob")

		receiver, err := bob.ListenPacket(t.Context(), "udp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		defer receiver.Close()
		go acknowledge(receiver)

		conn, err := alice.DialContext(t.Context(), "udp", "bob:8080")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if tries, err := deliver(conn, []byte("Hello")); err != nil {
			t.Errorf("after %d tries: %v", tries, err)
		}

		n.Partition([]*simnet.Host{alice})
		time.AfterFunc(time.Hour, n.Heal)
		if tries, err := deliver(conn, []byte("Hello")); tries < 3600 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("an hour of retries took %v", took)
	}
}
