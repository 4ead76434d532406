package secure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

// Package sockets promises this of its connections, over streams of any kind.

func TestClosesLoseNothing(t *testing.T) {
	closes := 50
	if testing.Short() {
		closes = 10
	}
	message := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var closing sync.WaitGroup
	cfg := sockets.Config{Network: secure.Over(nil, bob, know(t, peerOf(alice))), CloseTimeout: time.Minute, HandshakeTimeout: time.Minute}
	s, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			closing.Go(func() {
				for range 2 {
					if err := sockets.SendAll(message[:1<<19], c); err != nil {
						t.Errorf("SendAll = %v", err)
					}
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		case sockets.EventError:
			t.Errorf("the server tells of %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	network := secure.Over(nil, alice, know(t, peerOf(bob)))
	var left atomic.Int32
	left.Store(int32(closes))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				conn, err := network.DialContext(t.Context(), "tcp", s.LocalAddress().String())
				if err != nil {
					t.Error(err)
					return
				}
				var talking sync.WaitGroup
				talking.Go(func() {
					for range 8 {
						if _, err := conn.Write(make([]byte, 8<<10)); err != nil {
							t.Errorf("cut off while it wrote: %v", err)
							return
						}
					}
				})
				got, err := io.ReadAll(conn)
				if len(got) != 2*(4+1<<19) || err != nil {
					t.Errorf("%d bytes arrived, then %v", len(got), err)
				}
				talking.Wait()
				conn.Close()
			}
		})
	}
	clients.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	closing.Wait()
}

// stuck is a connection with another end that does not read, while a Send
// waits. Its error comes by the channel.
func stuck(t *testing.T, host *simnet.Host, cfg sockets.Config) (*sockets.Connection, <-chan error) {
	here, there := friends(t, host)
	t.Cleanup(func() { there.Close() })
	c := cfg.NewConnection(here, nil)
	sent := make(chan error, 1)
	go func() {
		for {
			if err := c.Send(make([]byte, 1<<20)); err != nil {
				sent <- err
				return
			}
		}
	}()
	synctest.Wait()
	return c, sent
}

func TestCloseNowIsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		c, sent := stuck(t, host, sockets.Config{})
		start := time.Now()
		c.CloseNow()
		if err := <-sent; !errors.Is(err, net.ErrClosed) || time.Since(start) > 0 {
			t.Errorf("Send = %v after %v", err, time.Since(start))
		}
		<-c.Done()
	})
}

func TestSendTimeoutEndsAConnectionThatIsStuck(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		start := time.Now()
		c, sent := stuck(t, host, sockets.Config{SendTimeout: 3 * time.Second})
		if err := <-sent; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) < 3*time.Second || time.Since(start) > 6*time.Second {
			t.Errorf("Send = %v after %v, want %v after 3 s", err, time.Since(start), os.ErrDeadlineExceeded)
		}
		<-c.Done()
	})
}

// Whatever the number of messages that fit: what waits too long, also inside TLS,
// ends the connection, and all the rest arrives.
func TestSendTimeoutCountsForWhatTLSHolds(t *testing.T) {
	ended := 0
	for messages := 1; messages <= 16; messages++ {
		bubble(t, func(t *testing.T, host *simnet.Host) {
			here, there := friends(t, host)
			cfg := sockets.Config{SendTimeout: time.Second}
			c, other := cfg.NewConnection(here, nil), sockets.NewConnection(there, nil)
			for range messages {
				sockets.SendAll(make([]byte, 10_000), c)
				time.Sleep(3 * time.Second)
			}
			if c.Closed() {
				ended++
			} else {
				for i := range messages {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					if _, err := other.Receive(ctx); err != nil {
						t.Errorf("Receive %d of %d = %v", i, messages, err)
					}
					cancel()
				}
			}
			c.CloseNow()
			other.CloseNow()
		})
	}
	if ended == 0 || ended == 16 {
		t.Errorf("%d of 16 ended: nothing is tested", ended)
	}
}

func TestSlowSteadyReaderIsNotStuck(t *testing.T) {
	for rate, timeout := range map[int]time.Duration{500: 20 * time.Second, 1000: 12 * time.Second, 3000: 6 * time.Second} {
		bubble(t, func(t *testing.T, host *simnet.Host) {
			here, there := friends(t, host)
			cfg := sockets.Config{SendTimeout: timeout}
			c := cfg.NewConnection(here, nil)
			read := make(chan struct{})
			go func() {
				defer close(read)
				for {
					if _, err := there.(unwrapper).NetConn().Read(make([]byte, rate)); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			if err := c.Send(make([]byte, 300<<10)); err != nil {
				t.Errorf("%d bytes a second with a SendTimeout of %v: Send = %v", rate, timeout, err)
			}
			c.CloseNow()
			there.Close()
			<-read
		})
	}
}

func TestCloseOfAStuckConnectionIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		c, sent := stuck(t, host, sockets.Config{CloseTimeout: 2 * time.Second})
		start := time.Now()
		if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("Close = %v after %v, want %v after 2 s", err, time.Since(start), os.ErrDeadlineExceeded)
		}
		<-sent
		<-c.Done()
	})
}

// A stranger is an error event, with its address; connect is only told of those
// whom both ends have accepted; and who comes next is not kept waiting.
func TestServerTellsOfStrangersAndGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		var events []string
		cfg := sockets.Config{Network: secure.Over(host, bob, know(t, peerOf(alice)))}
		var accepted *sockets.Connection
		s, err := cfg.Listen("127.0.0.1:8080", func(event sockets.Event, c *sockets.Connection, address sockets.Address, err error) {
			var refused *secure.RefusedError
			switch {
			case event == sockets.EventConnect:
				peer, ok := secure.PeerOf(c)
				events = append(events, fmt.Sprint(event, " ", peer.Name, " ", ok))
				accepted = c
			case errors.As(err, &refused):
				events = append(events, fmt.Sprint(event, " ", refused.There, " ", refused.Peer.Name, " ", refused.Reason, " ", address.Addr()))
			case err != nil:
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for _, network := range []*secure.Network{
			secure.Over(host, mallory, know(t, peerOf(bob))),
			secure.Over(host, alice, nil),
			secure.Over(host, alice, know(t, peerOf(bob))),
		} {
			client := sockets.Config{Network: network}
			c, err := client.Dial(t.Context(), "127.0.0.1:8080", nil)
			if err == nil {
				defer c.CloseNow()
			}
			synctest.Wait()
		}
		want := []string{
			"error false mallory secure: the key is not known 127.0.0.1",
			"error true alice secure: the key is not known 127.0.0.1",
			"connect alice true",
		}
		if fmt.Sprintf("%q", events) != fmt.Sprintf("%q", want) || time.Since(start) > 0 {
			t.Errorf("events %q after %v, want %q at once", events, time.Since(start), want)
		}
		accepted.CloseNow()
		s.Close()
		<-s.Done()
	})
}

// Both ends send and receive all the time, over links that cut the stream to
// pieces.
func TestConversationInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Seed(t))
		n.SetLinks(simnet.Link{Slice: 100, Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond})
		ends := make(chan *sockets.Connection, 2)
		bobs := sockets.Config{Network: secure.Over(n.Host("bob"), bob, know(t, peerOf(alice)))}
		s, err := bobs.Listen(":8080", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
			if event == sockets.EventConnect {
				ends <- c
			} else if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		alices := sockets.Config{Network: secure.Over(n.Host("alice"), alice, know(t, peerOf(bob)))}
		client, err := alices.Dial(t.Context(), "bob:8080", nil)
		if err != nil {
			t.Fatal(err)
		}
		ends <- client.Connection
		const senders, messages = 3, 50
		var group sync.WaitGroup
		for range 2 {
			end := <-ends
			for sender := range senders {
				group.Go(func() {
					for i := range messages {
						if err := end.Send(append([]byte{byte(sender), byte(i)}, make([]byte, i*100)...)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Go(func() {
				var next [senders]byte
				for range senders * messages {
					message, err := end.Receive(context.Background())
					if err != nil || message[1] != next[message[0]] {
						t.Errorf("Receive = %v, %v, want %v", message, err, next)
						return
					}
					next[message[0]]++
				}
				if err := end.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		}
		group.Wait()
		s.Close()
		<-s.Done()
	})
}
