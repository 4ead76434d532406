package simnet_test

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/packettest"
	"github.com/seed287501ae/sockets/simnet"
)

// What the kernel's sockets pass in internal/packettest, these pass too.
func TestPacketConnsAreLikeThoseOfTheKernel(t *testing.T) {
	seed := simnet.Seed(t)
	between := func(a, b string, link simnet.Link) packettest.Place {
		n := simnet.New(seed)
		n.SetLinks(link)
		return packettest.Place{A: n.Host(a), B: n.Host(b), IPA: a, IPB: b}
	}
	for _, test := range []struct {
		name  string
		place func() packettest.Place
	}{
		{"IPv4", func() packettest.Place { return between("10.0.0.1", "10.0.0.2", simnet.Link{}) }},
		{"IPv6", func() packettest.Place { return between("fd00::1", "fd00::2", simnet.Link{}) }},
		{"far away", func() packettest.Place {
			return between("10.0.0.1", "10.0.0.2", simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond, Bandwidth: 1e9})
		}},
		{"loopback", func() packettest.Place {
			h := simnet.New(seed).Host()
			return packettest.Place{A: h, B: h, IPA: "127.0.0.1", IPB: "127.0.0.1"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
				synctest.Test(t, func(t *testing.T) { check(t, test.place()) })
			})
		})
	}
	t.Run("real time", func(t *testing.T) {
		packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
			check(t, between("10.0.0.1", "10.0.0.2", simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond}))
		})
	})
}

// What is due when a socket is closed, or read from, comes before that.
func TestNoSchedulerDecidesWhatBefallsADatagram(t *testing.T) {
	const delay = 10 * time.Millisecond
	for what, test := range map[string]struct {
		before int // datagrams that fill the buffer
		act    func(s socket)
		want   simnet.Counters
	}{
		"Close": {0, func(s socket) { s.Close() }, simnet.Counters{Sent: 1, Delivered: 1}},
		"Read":  {4, func(s socket) { s.ReadFrom(nil) }, simnet.Counters{Sent: 5, Delivered: 4, Overflowed: 1}},
	} {
		got := make(map[simnet.Counters]int)
		for range 300 {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1)
				a, b := n.Host(), n.Host()
				from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
				payload := string(make([]byte, 50_000))
				for range test.before {
					from.sendTo(payload, b.AddrPort(1))
				}
				n.SetLinks(simnet.Link{Delay: delay})
				var done sync.WaitGroup
				done.Go(func() {
					time.Sleep(delay)
					test.act(to)
				})
				synctest.Wait()
				from.sendTo(payload, b.AddrPort(1))
				done.Wait()
				time.Sleep(time.Second)
				got[n.Total()]++
			})
		}
		if got[test.want] != 300 {
			t.Errorf("%s at the moment of arrival: %+v, want always %+v", what, got, test.want)
		}
	}
}

// One ring of the bell may be for several things, and whoever hears it takes one.
// So it rings again for the next reader, who may not have waited yet.
func TestAReadThatLeavesSomethingRingsTheBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		alice, err := a.DialContext(t.Context(), "udp", b.AddrPort(1).String())
		if err != nil {
			t.Fatal(err)
		}
		defer alice.Close()
		alice.Write(nil) // is refused: nobody has the port yet
		bob := bindSocket(t, b, ":1")
		for range 2 {
			bob.sendTo("text", alice.LocalAddr().(*net.UDPAddr).AddrPort())
		}
		bell := simnet.Bell(alice)
		for i, want := range []error{syscall.ECONNREFUSED, nil, nil} {
			select {
			case <-bell:
			default:
				t.Fatalf("%d things are to be read, and the bell is silent", 3-i)
			}
			if _, err := alice.Read(nil); !errors.Is(err, want) {
				t.Errorf("Read = %v, want %v", err, want)
			}
		}
	})
}
