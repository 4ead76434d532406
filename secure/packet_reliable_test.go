package secure_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

// A spoofed network makes what comes from one address seem to come from another.
type spoofed struct {
	sockets.Network
	from netip.AddrPort
	as   net.Addr
}

func (s spoofed) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := s.Network.ListenPacket(ctx, network, address)
	return spoofedConn{conn, s}, err
}

type spoofedConn struct {
	net.PacketConn
	spoofed spoofed
}

func (c spoofedConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(p)
	if endpoint.Of(from) == c.spoofed.from {
		from = c.spoofed.as
	}
	return n, from, err
}

// Mallory reads everything, and sends in the name of bob's address what ends an
// association of package reliable, or acknowledges what never arrived. With
// reliable over secure that changes nothing; in the other order it does.
func TestReliableOverSecureIsTheRightOrder(t *testing.T) {
	const goodbye, acknowledgement = "goodbye", "acknowledgement"
	for _, test := range []struct {
		name   string
		stack  func(c circle, i int, base sockets.Network) sockets.Network
		headAt int  // of the header of reliable in a datagram
		next   byte // segment, after all that alice sends
		broken bool
	}{
		{"reliable over secure", func(c circle, i int, base sockets.Network) sockets.Network {
			return reliable.Over(c.over(i, base, secure.Config{}))
		}, 58, 2, false},
		{"secure over reliable", func(c circle, i int, base sockets.Network) sockets.Network {
			return c.over(i, reliable.Over(base), secure.Config{})
		}, 0, 3, true}, // her answer to a challenge is a segment too
	} {
		for _, forged := range []string{goodbye, acknowledgement} {
			t.Run(fmt.Sprintf("%s, forged %s", test.name, forged), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCircle("alice", "bob")
					network := simnet.New(1)
					network.SetLinks(simnet.Link{Delay: 10 * time.Millisecond})
					hosts := []*simnet.Host{network.Host(), network.Host(), network.Host()}
					from, to := hosts[2].AddrPort(666), hosts[0].AddrPort(8080)
					near := spoofed{hosts[0], from, net.UDPAddrFromAddrPort(hosts[1].AddrPort(8080))}
					var mu sync.Mutex // guards last
					var last []byte   // from bob to alice
					network.Observe(func(_ time.Time, source, _ netip.AddrPort, payload []byte, fate simnet.Fate) {
						mu.Lock()
						defer mu.Unlock()
						if source == hosts[1].AddrPort(8080) && fate == simnet.Delivered && len(payload) > test.headAt+20 {
							last = slices.Clone(payload)
						}
					})
					alice, err := (&sockets.Config{Network: test.stack(c, 0, near)}).NewPeer("8080", nil)
					if err != nil {
						t.Fatal(err)
					}
					defer alice.Close()
					var got inbox
					bob, err := (&sockets.Config{Network: test.stack(c, 1, hosts[1])}).NewAsyncPeer("8080", nil, func(payload []byte, _ sockets.Address) {
						got.add(string(payload))
					})
					if err != nil {
						t.Fatal(err)
					}
					defer func() {
						bob.Close()
						<-bob.Done()
					}()
					mallory, err := hosts[2].ListenPacket(t.Context(), "udp", ":666")
					if err != nil {
						t.Fatal(err)
					}
					defer mallory.Close()
					faults := make(chan error, 100)
					ctx, cancel := context.WithCancel(t.Context())
					var reading sync.WaitGroup
					defer reading.Wait()
					defer cancel()
					reading.Go(func() {
						for ctx.Err() == nil {
							if _, _, err := alice.Receive(ctx); err != nil && ctx.Err() == nil {
								faults <- err
							}
						}
					})

					alice.Send([]byte("first"), hosts[1].AddrPort(8080))
					got.want(t, "first")
					if forged == acknowledgement { // what alice sends now does not arrive
						network.Cut(hosts[0], hosts[1])
						alice.Send([]byte("second"), hosts[1].AddrPort(8080))
					}
					time.Sleep(time.Second)
					mu.Lock()
					head := last[test.headAt : test.headAt+20]
					chunk := []byte{7, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}
					if forged == acknowledgement {
						chunk = []byte{6, 0, 18, 0, 0, 0, 0, 0, 0, 0, test.next, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100}
					}
					chunk = append(slices.Clone(head), chunk...)
					datagrams := [][]byte{chunk}
					if test.headAt > 0 {
						datagrams = append(datagrams, slices.Concat(last[:test.headAt], chunk, last[len(last)-64:]))
					}
					mu.Unlock()
					for _, b := range datagrams {
						if _, err := mallory.WriteTo(b, net.UDPAddrFromAddrPort(to)); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(time.Second)
					network.Heal()
					if forged == acknowledgement {
						if test.broken {
							got.want(t)
						} else {
							time.Sleep(10 * time.Second)
							got.want(t, "second")
						}
						return
					}
					select {
					case err := <-faults:
						if !test.broken || !errors.Is(err, sockets.ErrPeerUnreachable) {
							t.Errorf("alice is told: %v", err)
						}
					default:
						if test.broken {
							t.Error("the forged goodbye changes nothing: the test proves nothing")
						}
						alice.Send([]byte("second"), hosts[1].AddrPort(8080))
						got.want(t, "second")
					}
				})
			})
		}
	}
}
