package simnet_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

func TestAThousandHostsChat(t *testing.T) {
	const hosts, neighbours, messages = 1000, 10, 3
	start := time.Now()
	var total simnet.Counters
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Seed(t))
		n.SetLinks(simnet.Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05})
		var peers []*sockets.AsyncPeer
		var received atomic.Int64
		all := make([]*simnet.Host, hosts)
		for i := range all {
			all[i] = n.Host(fmt.Sprint("host", i))
		}
		for i, h := range all {
			var names []string
			for j := range neighbours {
				names = append(names, fmt.Sprintf("host%d:8080", (i+j+1)%hosts))
			}
			cfg := sockets.Config{Network: h, LendPayloads: true}
			p, err := cfg.NewAsyncPeer("8080", names, func([]byte, sockets.Address) { received.Add(1) })
			if err != nil {
				t.Fatal(err)
			}
			peers = append(peers, p)
		}
		for range messages {
			for _, p := range peers {
				if err := p.SendAll([]byte("Hello, neighbours!")); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
		}
		known := 0
		for _, p := range peers {
			known += len(p.Peers())
			p.Close()
			<-p.Done()
		}
		// Each knows its neighbours, and learns those whose neighbour it is, unless
		// all that one of them sent got lost.
		if known < 195*hosts*neighbours/100 || known > 2*hosts*neighbours {
			t.Errorf("all together know %d peers, want %d or a few less", known, 2*hosts*neighbours)
		}
		if total = n.Total(); received.Load() != total.Delivered || total.Sent != total.Delivered+total.Lost {
			t.Errorf("%d received: %+v", received.Load(), total)
		}
	})
	t.Logf("%d datagrams: %.0f/s", total.Sent, float64(total.Sent)/time.Since(start).Seconds())
}

func TestAnHourOfRetriesTakesNoTime(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: 50 * time.Millisecond})
		client, server := n.Host(), n.Host()
		echo := bindSocket(t, server, ":7")
		go func() {
			buffer := make([]byte, 100)
			for {
				length, from, err := echo.ReadFrom(buffer)
				if err != nil {
					return
				}
				echo.WriteTo(buffer[:length], from)
			}
		}()
		n.Partition([]*simnet.Host{client})
		time.AfterFunc(time.Hour, n.Heal)

		conn, err := client.DialContext(t.Context(), "udp", server.AddrPort(7).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		tries := 0
		for ; err == nil || errors.Is(err, os.ErrDeadlineExceeded); tries++ {
			conn.Write([]byte("ping"))
			conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err = conn.Read(make([]byte, 100)); err == nil {
				break
			}
		}
		var e net.Error
		if took := time.Since(start); errors.As(err, &e) || took < time.Hour || took > time.Hour+2*time.Second || tries < 3600 {
			t.Errorf("after %v and %d tries: %v", took, tries, err)
		}
	})
	took := time.Since(began)
	if t.Logf("an hour took %v", took); took > 10*time.Second {
		t.Errorf("an hour took %v", took)
	}
}
