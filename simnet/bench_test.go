package simnet_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

// These figures are of one machine, in real time and in virtual time:
//
//	go test -run='^$' -bench=Datagrams ./simnet
//	go test -run=TestSpeed -v ./simnet
var speeds = []struct {
	name string
	link simnet.Link
}{
	{"perfect", simnet.Link{}},
	{"delay", simnet.Link{Delay: time.Millisecond}},
	{"faults", simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}},
	{"bandwidth", simnet.Link{Bandwidth: 10e9}},
}

func BenchmarkDatagrams(b *testing.B) {
	for _, speed := range speeds {
		for _, hosts := range []int{2, 100} {
			b.Run(fmt.Sprintf("%s/%d", speed.name, hosts), func(b *testing.B) {
				b.ReportAllocs()
				received := exchange(b, speed.link, hosts, max(1, b.N/hosts))
				b.ReportMetric(float64(received)/b.Elapsed().Seconds(), "datagrams/s")
			})
		}
	}
}

// TestSpeedInVirtualTime only logs the speed: another program may slow it down.
func TestSpeedInVirtualTime(t *testing.T) {
	const datagrams = 20_000
	for _, speed := range speeds {
		for _, hosts := range []int{2, 100} {
			start := time.Now()
			var received int64
			synctest.Test(t, func(t *testing.T) { received = exchange(t, speed.link, hosts, datagrams/hosts) })
			t.Logf("%s/%d: %.0f datagrams/s", speed.name, hosts, float64(received)/time.Since(start).Seconds())
			if received < datagrams*8/10 {
				t.Errorf("%s/%d: of %d datagrams %d are received", speed.name, hosts, datagrams, received)
			}
		}
	}
}

// exchange makes each host send datagrams to its neighbour, in bursts that fit
// its buffer, and receive what comes. It returns how many came to all.
func exchange(t testing.TB, link simnet.Link, hosts, datagrams int) int64 {
	burst := max(100, 1000/hosts)
	n := simnet.New(1)
	n.SetLinks(link)
	var conns []socket
	var addresses []net.Addr
	for range hosts {
		h := n.Host()
		conns = append(conns, bindSocket(t, h, ":1"))
		addresses = append(addresses, net.UDPAddrFromAddrPort(h.AddrPort(1)))
	}
	var sending, receiving sync.WaitGroup
	var received atomic.Int64
	for i, c := range conns {
		receiving.Go(func() {
			buffer := make([]byte, 1000)
			for {
				if _, _, err := c.ReadFrom(buffer); err != nil {
					return
				}
				received.Add(1)
			}
		})
		sending.Go(func() {
			payload, to := make([]byte, 100), addresses[(i+1)%hosts]
			for j := range datagrams {
				if _, err := c.WriteTo(payload, to); err != nil {
					t.Error(err)
				}
				if j%burst == burst-1 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	sending.Wait()
	time.Sleep(50 * time.Millisecond) // the last ones are on their way
	for _, c := range conns {
		c.Close()
	}
	receiving.Wait()
	return received.Load()
}

// BenchmarkPeers lets one Peer send to another.
func BenchmarkPeers(b *testing.B) {
	n := simnet.New(1)
	var peers []*sockets.Peer
	receiver := n.Host("receiver")
	for _, h := range []*simnet.Host{n.Host(), receiver} {
		cfg := sockets.Config{Network: h}
		p, err := cfg.NewPeer("10", nil)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		peers = append(peers, p)
	}
	payload, to := make([]byte, 100), receiver.AddrPort(10)
	b.ReportAllocs()
	for b.Loop() {
		if err := peers[0].Send(payload, to); err != nil {
			b.Fatal(err)
		}
		if _, _, err := peers[1].Receive(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
}
