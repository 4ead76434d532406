package simnet_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

// reached returns, for each host, who reaches it: "AB B C" if the first of three
// reaches the second.
func reached(t *testing.T, hosts []*simnet.Host) string {
	t.Helper()
	var sockets []socket
	for _, h := range hosts {
		sockets = append(sockets, bindSocket(t, h, ":0"))
	}
	for i, from := range sockets {
		for j, to := range sockets {
			port := to.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			from.sendTo(string(rune('A'+i)), hosts[j].AddrPort(port))
		}
	}
	var s []string
	for _, to := range sockets {
		payloads := to.payloads(time.Second)
		slices.Sort(payloads)
		s = append(s, strings.Join(payloads, ""))
		to.Close()
	}
	return strings.Join(s, " ")
}

func TestPartitions(t *testing.T) {
	type hosts = []*simnet.Host
	for _, test := range []struct {
		name string
		part func(n *simnet.Network, a, b, c, d *simnet.Host)
		want string
	}{
		{"whole", func(n *simnet.Network, a, b, c, d *simnet.Host) {}, "ABCD ABCD ABCD ABCD"},
		{"one way", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Cut(a, b) }, "ABCD BCD ABCD ABCD"},
		{"mended", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Cut(a, b); n.Mend(a, b) }, "ABCD ABCD ABCD ABCD"},
		{"mended the other way", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Cut(a, b); n.Mend(b, a) }, "ABCD BCD ABCD ABCD"},
		{"one from the rest", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Partition(hosts{a}) }, "A BCD BCD BCD"},
		{"two groups", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Partition(hosts{a, b}, hosts{c, d}) }, "AB AB CD CD"},
		{"two groups and a rest", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Partition(hosts{a}, hosts{b}) }, "A B CD CD"},
		{"two partitions", func(n *simnet.Network, a, b, c, d *simnet.Host) {
			n.Partition(hosts{a, b})
			n.Partition(hosts{b, c})
		}, "A B C D"},
		{"total", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Partition(hosts{a}, hosts{b}, hosts{c}) }, "A B C D"},
		{"nobody", func(n *simnet.Network, a, b, c, d *simnet.Host) { n.Partition() }, "ABCD ABCD ABCD ABCD"},
		{"healed", func(n *simnet.Network, a, b, c, d *simnet.Host) {
			n.Partition(hosts{a})
			n.Partition(hosts{b})
			n.Cut(c, d)
			n.Heal()
		}, "ABCD ABCD ABCD ABCD"},
		{"a new host is of the rest", func(n *simnet.Network, a, b, c, d *simnet.Host) {
			n.Partition(hosts{a, b, c, d})
			n.Host()
		}, "ABCD ABCD ABCD ABCD"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1)
				all := hosts{n.Host(), n.Host(), n.Host(), n.Host()}
				test.part(n, all[0], all[1], all[2], all[3])
				got := reached(t, all)
				if got != test.want {
					t.Errorf("who reaches whom: %s, want %s", got, test.want)
				}
				if c, cut := n.Total(), 16-int64(strings.Count(got, "")-1-3); c.Parted != cut || c.Delivered != 16-cut {
					t.Errorf("%+v, of which %d are cut off", c, cut)
				}
			})
		})
	}
}

// What would arrive while the way is cut is lost, what would arrive afterwards
// is not.
func TestACutMeetsWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		n.SetLinks(simnet.Link{Delay: 10 * time.Millisecond})
		from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
		for i := range 6 {
			switch i {
			case 3:
				n.Cut(a, b)
			case 4:
				n.Mend(a, b)
			}
			from.sendTo(fmt.Sprint(i), b.AddrPort(1))
			time.Sleep(4 * time.Millisecond)
		}
		if got := to.payloads(time.Second); !slices.Equal(got, []string{"0", "2", "4", "5"}) {
			t.Errorf("%q arrive", got)
		}
		if c := n.Counters(a, b); c.Parted != 2 {
			t.Errorf("%+v", c)
		}
	})
}

// What arrives at the very moment of a change has arrived before it.
func TestAChangeComesAfterWhatIsDue(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b := n.Host(), n.Host()
			n.SetLinks(simnet.Link{Delay: 10 * time.Millisecond})
			from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
			from.sendTo("x", b.AddrPort(1))
			time.Sleep(10 * time.Millisecond)
			n.Cut(a, b)
			if c := n.Counters(a, b); c.Delivered != 1 || len(to.payloads(time.Second)) != 1 {
				t.Fatalf("%+v", c)
			}
		})
	}
}

func TestHoldAndRelease(t *testing.T) {
	for _, heal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b, c := n.Host(), n.Host(), n.Host()
			n.SetLinks(simnet.Link{Delay: time.Second})
			from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
			other := bindSocket(t, c, ":1")
			from.sendTo("before", b.AddrPort(1))
			n.Hold(a, b)
			for i := range 100 {
				from.sendTo(fmt.Sprint(i), b.AddrPort(1))
			}
			other.sendTo("from another", b.AddrPort(1))
			to.sendTo("back", a.AddrPort(1))
			if got := to.payloads(time.Hour); !slices.Equal(got, []string{"before", "from another"}) && !slices.Equal(got, []string{"from another", "before"}) {
				t.Errorf("meanwhile arrive %q", got)
			}
			if got := from.payloads(time.Second); len(got) != 1 {
				t.Errorf("the other way arrive %q", got)
			}
			if c := n.Counters(a, b); c.Sent != 101 || came(c) != 1 {
				t.Errorf("%+v", c)
			}
			if heal {
				n.Heal()
			} else {
				n.Release(a, b)
			}
			from.sendTo("after", b.AddrPort(1))
			got := to.waitFor(time.Hour)
			if len(got) != 101 || got[100].payload != "after" || got[0].after != time.Second {
				t.Fatalf("afterwards arrive %v", got)
			}
			for i := range 100 {
				if got[i].payload != fmt.Sprint(i) {
					t.Errorf("number %d is %s", i, got[i].payload)
				}
			}
		})
	}
}

func TestObserverIsToldWhatHappensInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		n.SetLinks(simnet.Link{Delay: 10 * time.Millisecond, Duplicate: 1})
		start := time.Now()
		var got []string
		n.Observe(func(at time.Time, from, to netip.AddrPort, payload []byte, fate simnet.Fate) {
			got = append(got, fmt.Sprintf("%v %v %v %s %s", at.Sub(start), from, to, payload, fate))
		})
		from := bindSocket(t, a, ":1")
		from.sendTo("x", b.AddrPort(2))
		time.Sleep(5 * time.Millisecond)
		bindSocket(t, b, ":2")
		from.sendTo("nobody", b.AddrPort(3))
		time.Sleep(time.Second)
		from.sendTo("nowhere", netip.MustParseAddrPort("192.0.2.1:4"))
		want := []string{
			"0s 10.0.0.1:1 10.0.0.2:2 x sent",
			"0s 10.0.0.1:1 10.0.0.2:2 x duplicated",
			"5ms 10.0.0.1:1 10.0.0.2:3 nobody sent",
			"5ms 10.0.0.1:1 10.0.0.2:3 nobody duplicated",
			"10ms 10.0.0.1:1 10.0.0.2:2 x delivered",
			"10ms 10.0.0.1:1 10.0.0.2:2 x delivered",
			"15ms 10.0.0.1:1 10.0.0.2:3 nobody refused",
			"15ms 10.0.0.1:1 10.0.0.2:3 nobody refused",
			"1.005s 10.0.0.1:1 192.0.2.1:4 nowhere sent",
			"1.005s 10.0.0.1:1 192.0.2.1:4 nowhere parted",
		}
		if synctest.Wait(); !slices.Equal(got, want) {
			t.Errorf("observed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestObserverMayUseTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		n.SetLinks(simnet.Link{Delay: time.Millisecond})
		from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
		told := 0
		n.Observe(func(_ time.Time, _, _ netip.AddrPort, payload []byte, fate simnet.Fate) {
			told++
			switch c := n.Counters(a, b); {
			case c.Sent == 0:
				t.Error("the counters do not know yet what the observer is told")
			case string(payload) == "ping" && fate == simnet.Delivered:
				from.sendTo("pong", b.AddrPort(1))
			case string(payload) == "pong" && fate == simnet.Delivered:
				n.Cut(a, b)
				n.Observe(nil)
			}
		})
		from.sendTo("ping", b.AddrPort(1))
		if got := to.payloads(time.Second); !slices.Equal(got, []string{"ping", "pong"}) {
			t.Errorf("%q arrive", got)
		}
		from.sendTo("cut", b.AddrPort(1))
		if got := to.payloads(time.Second); len(got) != 0 || told != 4 {
			t.Errorf("%q arrive after the cut; the observer was called %d times, want 4", got, told)
		}
	})
}

func TestAnObserverThatIsReplacedIsToldNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		from := bindSocket(t, a, ":1")
		n.SetLinks(simnet.Link{Duplicate: 1})
		var got []string
		tell := func(name string) simnet.Observer {
			return func(_ time.Time, _, _ netip.AddrPort, _ []byte, fate simnet.Fate) {
				if got = append(got, name+" "+string(fate)); name == "first" {
					n.Observe(nil)
				}
			}
		}
		n.Observe(tell("first"))
		from.sendTo("x", b.AddrPort(1)) // sent, duplicated, refused and refused at once
		n.Observe(tell("second"))
		from.sendTo("y", b.AddrPort(1))
		want := []string{"first sent", "second sent", "second duplicated", "second refused", "second refused"}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestObserverIsNeverCalledTwiceAtOnce(t *testing.T) {
	n := simnet.New(1)
	n.SetLinks(simnet.Link{Jitter: time.Millisecond})
	told := 0 // not guarded: the race detector tells
	n.Observe(func(time.Time, netip.AddrPort, netip.AddrPort, []byte, simnet.Fate) { told++ })
	var sending sync.WaitGroup
	for range 4 {
		from, to := bindSocket(t, n.Host(), ":1"), n.Host().AddrPort(2)
		sending.Go(func() {
			for range 100 {
				from.sendTo("x", to)
			}
		})
	}
	sending.Wait()
	for deadline := time.Now().Add(5 * time.Second); came(n.Total()) < 400 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	n.Observe(nil)
}

func TestObserverThatEndsItsGoroutineIsToldTheRest(t *testing.T) {
	for name, end := range map[string]func(){"exit": runtime.Goexit, "panic": func() { panic("observer") }} {
		t.Run(name, func(t *testing.T) {
			n := simnet.New(1)
			from := bindSocket(t, n.Host(), ":1")
			told := 0
			n.Observe(func(time.Time, netip.AddrPort, netip.AddrPort, []byte, simnet.Fate) {
				if told++; told == 1 {
					end()
				}
			})
			var sending sync.WaitGroup
			sending.Add(1)
			go func() {
				defer sending.Done()
				defer func() { recover() }()
				from.sendTo("x", netip.MustParseAddrPort("192.0.2.1:4"))
			}()
			sending.Wait()
			from.sendTo("y", netip.MustParseAddrPort("192.0.2.1:4"))
			if told != 4 {
				t.Errorf("the observer was called %d times, want 4", told)
			}
		})
	}
}

// What several links have kept arrives in an order that no scheduler decides.
func TestHealReleasesInAFixedOrder(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			receiver := n.Host()
			to := bindSocket(t, receiver, ":1")
			var want []string
			for i := range 5 {
				from := n.Host()
				n.Hold(from, receiver)
				want = append(want, fmt.Sprint(i))
				bindSocket(t, from, ":1").sendTo(want[i], receiver.AddrPort(1))
			}
			n.Heal()
			if got := to.payloads(time.Second); !slices.Equal(got, want) {
				t.Fatalf("%q arrive, want %q", got, want)
			}
		})
	}
}

func TestPartitionsThatRepeatAreOne(t *testing.T) {
	n := simnet.New(1)
	a, b := n.Host(), n.Host()
	for range 1000 {
		n.Partition([]*simnet.Host{a})
		n.Partition([]*simnet.Host{a}, []*simnet.Host{b})
	}
	if got := n.Partitions(); got != 2 {
		t.Errorf("there are %d partitions, want 2", got)
	}
}
