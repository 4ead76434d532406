package simnet_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed287501ae/sockets/simnet"
)

// flows maps a flow to all that befell its packets, in order.
type flows map[string]string

// scenario lets eight hosts send to each other, from a goroutine for each flow,
// over links with every fault but a shared queue. One host crashes, and there is
// a partition.
func scenario(t *testing.T, seed uint64) flows {
	t.Helper()
	const hosts, datagrams = 8, 8
	n := simnet.New(seed)
	n.SetLinks(simnet.Link{
		Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, MTU: 100,
		Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond,
	})
	logs := make(map[string]*strings.Builder)
	start := time.Now()
	n.Observe(func(at time.Time, from, to netip.AddrPort, payload []byte, fate simnet.Fate) {
		flow := fmt.Sprintf("%v -> %v", from, to)
		if logs[flow] == nil {
			logs[flow] = new(strings.Builder)
		}
		fmt.Fprintln(logs[flow], at.Sub(start), string(payload[:1]), fate)
	})
	var all []*simnet.Host
	var conns []socket
	for range hosts {
		h := n.Host()
		all = append(all, h)
		conns = append(conns, bindSocket(t, h, ":1"))
	}
	var reading, sending sync.WaitGroup
	for i, c := range conns {
		reading.Go(func() {
			buffer := make([]byte, 1000)
			for {
				if _, _, err := c.ReadFrom(buffer); err != nil {
					return
				}
			}
		})
		for j, to := range all {
			if i == j {
				continue
			}
			sending.Go(func() {
				address := net.UDPAddrFromAddrPort(to.AddrPort(1))
				for k := range datagrams {
					c.WriteTo(fmt.Appendf(nil, "%c%*d", 'a'+k, k*12, 0), address) // fails once its host is down
					time.Sleep(time.Duration(k%4) * time.Millisecond)
				}
			})
		}
	}
	const moment = 100 * time.Nanosecond // when nothing else happens
	time.Sleep(10*time.Millisecond + moment)
	n.Partition(all[:3])
	time.Sleep(5 * time.Millisecond)
	all[7].Crash()
	n.Heal()
	n.Hold(all[1], all[2])
	time.Sleep(5 * time.Millisecond)
	all[7].Restart()
	n.Release(all[1], all[2])
	sending.Wait()
	time.Sleep(time.Second)
	for _, c := range conns {
		c.Close()
	}
	reading.Wait()
	result := make(flows)
	for flow, log := range logs {
		result[flow] = log.String()
	}
	return result
}

func TestTheSameSeedGivesTheSameFates(t *testing.T) {
	run := func(seed uint64) (f flows) {
		synctest.Test(t, func(t *testing.T) { f = scenario(t, seed) })
		return f
	}
	first := run(1)
	var fates strings.Builder
	for _, log := range first {
		fates.WriteString(log)
	}
	for _, fate := range []simnet.Fate{
		simnet.Sent, simnet.Delivered, simnet.Lost, simnet.Duplicated, simnet.Reordered, simnet.Parted, simnet.TooBig,
	} {
		if !strings.Contains(fates.String(), string(fate)) {
			t.Errorf("no packet was %s", fate)
		}
	}
	if len(first) != 8*7 {
		t.Errorf("%d flows", len(first))
	}
	for range 199 {
		if again := run(1); !maps.Equal(first, again) {
			t.Fatalf("other fates with the same seed:\n%s", cmp.Diff(first, again))
		}
	}
	if maps.Equal(first, run(2)) {
		t.Error("the same fates with another seed")
	}
}

// A test that grows by a host keeps the faults that it had.
func TestFatesDoNotDependOnOtherHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got [2][]string
		for i := range got {
			n := simnet.New(1)
			if i == 1 {
				n.Host("10.9.9.9")
			}
			n.SetLinks(simnet.Link{Loss: 0.5})
			a, b := n.Host("10.0.0.1"), n.Host("10.0.0.2")
			from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
			for j := range 100 {
				from.sendTo(fmt.Sprint(j), b.AddrPort(1))
			}
			got[i] = to.payloads(time.Second)
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("with another host, others get lost:\n%s", diff)
		}
	})
}
