package sockets_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/simnet"
)

// What each attempt of the slides gets wrong, on a network that makes it
// visible. The loops are those of the programs in examples.

// badLink does to datagrams all that the slides warn of.
var badLink = simnet.Link{
	Loss: 0.3, Duplicate: 0.1, Reorder: 0.2, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond,
}

// onHosts runs a test in virtual time, with two hosts whose links are like link.
func onHosts(t *testing.T, link simnet.Link, test func(t *testing.T, n *simnet.Network, alice, bob *simnet.Host)) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Seed(t))
		alice, bob := n.Host("alice"), n.Host("bob")
		n.SetLinks(link)
		test(t, n, alice, bob)
	})
}

// on returns a Peer on a network, which is closed at the end of the test.
func on(t *testing.T, network sockets.Network, peers ...string) *sockets.AsyncPeer {
	t.Helper()
	peer, err := (&sockets.Config{Network: network}).NewAsyncPeer("8080", peers, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return peer
}

// stream sends count numbered messages from one peer to another, as udpstreamer
// does to an udpchat, and returns the numbers in the order in which they came.
func stream(t *testing.T, count int, from, to sockets.Network) (numbers []int) {
	t.Helper()
	receiver := on(t, to)
	receiver.SetCallback(func(payload []byte, _ sockets.Address) {
		message, err := sockets.ParseMessage(payload)
		if err != nil {
			t.Error(err)
		}
		var number int
		if _, err := fmt.Sscanf(message.Text, "Number %d", &number); err != nil {
			t.Error(err)
		}
		numbers = append(numbers, number)
	})
	sender := on(t, from, "alice:8080")
	for i := range count {
		for _, peer := range sender.Peers() {
			if err := sender.Send(sockets.NewMessage(fmt.Sprintf("Number %d", i), "Streamer").Bytes(), peer); err != nil {
				t.Error(err)
			}
		}
	}
	time.Sleep(time.Minute)
	receiver.Close()
	<-receiver.Done()
	return numbers
}

func TestFaultsUDPChatLosesRepeatsAndReorders(t *testing.T) {
	onHosts(t, badLink, func(t *testing.T, _ *simnet.Network, alice, bob *simnet.Host) {
		const count = 1000
		got := stream(t, count, bob, alice)
		distinct := slices.Compact(slices.Sorted(slices.Values(got)))
		if len(distinct) == count || len(distinct) < count/2 {
			t.Errorf("%d of %d messages arrived, want some lost", len(distinct), count)
		}
		if len(distinct) == len(got) {
			t.Error("no message came twice")
		}
		if slices.IsSorted(got) {
			t.Error("no message overtook another")
		}
	})
}

func TestFaultsUDPChatReliableDoesNot(t *testing.T) {
	onHosts(t, badLink, func(t *testing.T, _ *simnet.Network, alice, bob *simnet.Host) {
		got := stream(t, 1000, reliable.Over(bob), reliable.Over(alice))
		for i, number := range got {
			if number != i {
				t.Fatalf("message %d is number %d", i, number)
			}
		}
		if len(got) != 1000 {
			t.Errorf("%d of 1000 messages arrived", len(got))
		}
	})
}

func TestFaultsUDPChatWrongCannotReceiveWhileItWaitsForInput(t *testing.T) {
	onHosts(t, simnet.Link{}, func(t *testing.T, _ *simnet.Network, alice, bob *simnet.Host) {
		keyboard, screen := make(chan string), make(chan string, 10)
		peer := on(t, alice, "bob:8080")
		go func() {
			for content := range keyboard {
				if err := peer.SendAll([]byte(content)); err != nil {
					t.Error(err)
				}
				payload, _, err := peer.Receive(context.Background())
				if err != nil {
					t.Error(err)
				}
				screen <- string(payload)
			}
		}()
		defer close(keyboard)
		friend := on(t, bob, "alice:8080")
		for i := range 3 {
			if err := friend.SendAll(fmt.Append(nil, "message ", i)); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour)
		if len(screen) != 0 {
			t.Errorf("%d messages shown while nothing was typed, want 0", len(screen))
		}
		for i := range 3 {
			keyboard <- "Enter"
			synctest.Wait()
			if len(screen) != 1 {
				t.Fatalf("%d messages shown after Enter %d, want 1", len(screen), i)
			}
			if got, want := <-screen, fmt.Sprint("message ", i); got != want {
				t.Errorf("%q shown, want %q", got, want)
			}
		}
	})
}

func TestFaultsWithoutAGoodbyePeersSendToTheDeadForEver(t *testing.T) {
	for _, goodbye := range []bool{false, true} {
		onHosts(t, simnet.Link{Delay: time.Millisecond}, func(t *testing.T, n *simnet.Network, alice, bob *simnet.Host) {
			first := on(t, alice)
			first.SetCallback(func(payload []byte, sender sockets.Address) {
				if sockets.IsExit(payload) {
					first.Remove(sender)
				}
			})
			leaver := on(t, bob, "alice:8080")
			last := "I go without a word"
			if goodbye {
				last = sockets.ExitMessage
			}
			for _, text := range []string{"Hello", last} {
				if err := leaver.SendAll(sockets.NewMessage(text, "Bob").Bytes()); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
			leaver.Close()
			const hours = 24
			for range hours {
				if err := first.SendAll([]byte("Is anybody there?")); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
			}
			want := simnet.Counters{Sent: hours, Refused: hours}
			if goodbye {
				want = simnet.Counters{}
			}
			if got := n.Counters(alice, bob); got != want {
				t.Errorf("goodbye %v: what was sent to the dead: %+v, want %+v", goodbye, got, want)
			}
		})
	}
}

// attempt1 is the client of tcpechowrong: it sends the whole stream, and then
// receives it.
func attempt1(conn net.Conn, input io.Reader, output io.Writer) {
	var buffer [1024]byte
	for n, _ := input.Read(buffer[:]); n > 0; n, _ = input.Read(buffer[:]) {
		conn.Write(buffer[:n])
	}
	conn.(interface{ CloseWrite() error }).CloseWrite()
	for n, _ := conn.Read(buffer[:]); n > 0; n, _ = conn.Read(buffer[:]) {
		output.Write(buffer[:n])
	}
	conn.Close()
}

// attempt2 is the client of tcpecho: it receives each piece before it sends the next.
func attempt2(conn net.Conn, input io.Reader, output io.Writer) {
	var local, remote [1024]byte
	for n, _ := input.Read(local[:]); n > 0; n, _ = input.Read(local[:]) {
		conn.Write(local[:n])
		m, _ := io.ReadFull(conn, remote[:n])
		output.Write(remote[:m])
	}
	conn.(interface{ CloseWrite() error }).CloseWrite()
	conn.Read(remote[:])
	conn.Close()
}

func TestFaultsTheEchoDeadlocksWhenTheStreamIsLongerThanTheBuffers(t *testing.T) {
	for _, test := range []struct {
		name      string
		client    func(net.Conn, io.Reader, io.Writer)
		length    int
		deadlocks bool
	}{
		{"attempt 1, short", attempt1, 32 << 10, false},
		{"attempt 1, long", attempt1, 1 << 20, true},
		{"attempt 2, short", attempt2, 32 << 10, false},
		{"attempt 2, long", attempt2, 1 << 20, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			onHosts(t, simnet.Link{Delay: time.Millisecond}, func(t *testing.T, _ *simnet.Network, alice, bob *simnet.Host) {
				listener, err := alice.Listen(t.Context(), "tcp", ":8080")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				go func() {
					if conn, err := listener.Accept(); err == nil {
						echo(conn)
					}
				}()
				conn, err := bob.DialContext(t.Context(), "tcp", "alice:8080")
				if err != nil {
					t.Fatal(err)
				}
				input := strings.Repeat("0123456789\n", test.length/11)
				var output strings.Builder
				done := make(chan struct{})
				go func() {
					defer close(done)
					test.client(conn, strings.NewReader(input), &output)
				}()
				deadlocked := false
				select {
				case <-done:
					if output.String() != input {
						t.Errorf("%d bytes came back, want the %d that were sent", output.Len(), len(input))
					}
				case <-time.After(24 * time.Hour):
					deadlocked = true
				}
				if deadlocked != test.deadlocks {
					t.Errorf("deadlocked: %v, want %v", deadlocked, test.deadlocks)
				}
				conn.Close()
				alice.Crash() // ends an echo server that still waits
				bob.Crash()
				<-done
			})
		})
	}
}
