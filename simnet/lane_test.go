package simnet_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

// oneWay sends datagrams of 100 bytes from one host to another at once, and
// returns what arrives within a minute, and the counters.
func oneWay(t *testing.T, seed uint64, link simnet.Link, datagrams int) ([]datagram, simnet.Counters) {
	t.Helper()
	n := simnet.New(seed)
	a, b := n.Host(), n.Host()
	n.SetLink(a, b, link)
	from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
	for i := range datagrams {
		from.sendTo(fmt.Sprintf("%0100d", i), b.AddrPort(1))
	}
	got := to.waitFor(time.Minute)
	counters := n.Counters(a, b)
	if sum := counters.Sent + counters.Duplicated; came(counters) != sum {
		t.Errorf("%d packets and copies, of which %d came to an end: %+v", sum, came(counters), counters)
	}
	if back := n.Counters(b, a); back != (simnet.Counters{}) {
		t.Errorf("the other direction has %+v", back)
	}
	return got, counters
}

func TestFaultsAsOftenAsAskedFor(t *testing.T) {
	const datagrams = 1000
	for _, test := range []struct {
		link simnet.Link
		want simnet.Counters // each about
	}{
		{simnet.Link{}, simnet.Counters{Delivered: 1000}},
		{simnet.Link{Loss: 1}, simnet.Counters{Lost: 1000}},
		{simnet.Link{Loss: 0.3}, simnet.Counters{Lost: 300, Delivered: 700}},
		{simnet.Link{Duplicate: 0.2}, simnet.Counters{Duplicated: 200, Delivered: 1200}},
		{simnet.Link{Reorder: 0.1}, simnet.Counters{Reordered: 100, Delivered: 1000}},
		{simnet.Link{Loss: 0.5, Duplicate: 0.2}, simnet.Counters{Lost: 500, Duplicated: 200, Delivered: 700}},
		{simnet.Link{Loss: 0.2, Reorder: 0.5}, simnet.Counters{Lost: 200, Reordered: 400, Delivered: 800}},
	} {
		synctest.Test(t, func(t *testing.T) {
			for seed := range uint64(3) {
				got, counters := oneWay(t, seed, test.link, datagrams)
				if int64(len(got)) != counters.Delivered || counters.Sent != datagrams {
					t.Errorf("%+v: %d received, %+v", test.link, len(got), counters)
				}
				for _, pair := range [][2]int64{
					{counters.Lost, test.want.Lost},
					{counters.Duplicated, test.want.Duplicated},
					{counters.Reordered, test.want.Reordered},
					{counters.Delivered, test.want.Delivered},
				} {
					if diff := pair[0] - pair[1]; diff < -60 || diff > 60 || pair[1] == 0 && diff != 0 {
						t.Errorf("%+v: %+v, want about %+v", test.link, counters, test.want)
					}
				}
			}
		})
	}
}

func TestTheSeedDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := func(network, link uint64) string {
			var s strings.Builder
			got, _ := oneWay(t, network, simnet.Link{Loss: 0.5, Jitter: time.Second, Seed: link}, 100)
			for _, d := range got {
				fmt.Fprintln(&s, d.payload, d.after)
			}
			return s.String()
		}
		first := received(1, 0)
		if received(1, 0) != first {
			t.Error("the same seed gives other faults")
		}
		if received(2, 0) == first || received(1, 3) == first {
			t.Error("another seed gives the same faults")
		}
	})
}

// One fault does not change what the others do.
func TestFaultsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := func(link simnet.Link) []string {
			got, _ := oneWay(t, 1, link, 200)
			var payloads []string
			for _, d := range got {
				payloads = append(payloads, d.payload)
			}
			slices.Sort(payloads)
			return payloads
		}
		alone := lost(simnet.Link{Loss: 0.3})
		if !slices.Equal(alone, lost(simnet.Link{Loss: 0.3, Reorder: 0.5, Delay: time.Second, Jitter: time.Second})) {
			t.Error("reordering and jitter change which packets get lost")
		}
		if more := lost(simnet.Link{Loss: 0.2}); slices.ContainsFunc(alone, func(s string) bool { return !slices.Contains(more, s) }) {
			t.Error("with less loss, other packets get lost")
		}
	})
}

func TestDelayAndJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, _ := oneWay(t, 1, simnet.Link{Delay: 30 * time.Millisecond}, 100)
		for i, d := range got {
			if d.after != 30*time.Millisecond || d.payload != fmt.Sprintf("%0100d", i) {
				t.Errorf("number %s arrives after %v", d.payload, d.after)
			}
		}
		got, _ = oneWay(t, 1, simnet.Link{Delay: 30 * time.Millisecond, Jitter: 40 * time.Millisecond}, 1000)
		var sum time.Duration
		for _, d := range got {
			sum += d.after
			if d.after < 30*time.Millisecond || d.after >= 70*time.Millisecond || d.after%time.Microsecond != 0 {
				t.Errorf("number %s arrives after %v", d.payload, d.after)
			}
		}
		if mean := sum / 1000; mean < 48*time.Millisecond || mean > 52*time.Millisecond {
			t.Errorf("on average after %v", mean)
		}
		if slices.IsSortedFunc(got, func(a, b datagram) int { return strings.Compare(a.payload, b.payload) }) {
			t.Error("jitter lets none overtake another")
		}
	})
}

func TestReorderedIsLate(t *testing.T) {
	for _, test := range []struct {
		link simnet.Link
		late time.Duration
	}{
		{simnet.Link{}, 10 * time.Millisecond},
		{simnet.Link{Delay: time.Millisecond}, 10 * time.Millisecond},
		{simnet.Link{Delay: 20 * time.Millisecond}, 20 * time.Millisecond},
		{simnet.Link{Delay: 20 * time.Millisecond, Late: time.Second}, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			test.link.Reorder = 0.5
			got, counters := oneWay(t, 1, test.link, 100)
			late := int64(0)
			for _, d := range got {
				switch d.after {
				case test.link.Delay:
				case test.link.Delay + test.late:
					late++
				default:
					t.Errorf("%+v: arrives after %v", test.link, d.after)
				}
			}
			if late != counters.Reordered {
				t.Errorf("%+v: %d are late, counted %d", test.link, late, counters.Reordered)
			}
		})
	}
}

func TestBandwidthAndQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 100 bytes and 28 of headers: 1,024 bits, a millisecond each.
		got, _ := oneWay(t, 1, simnet.Link{Bandwidth: 1_024_000, Delay: time.Second}, 50)
		for i, d := range got {
			if want := time.Second + time.Duration(i+1)*time.Millisecond; d.after != want {
				t.Errorf("number %d arrives after %v, want %v", i, d.after, want)
			}
		}
		got, counters := oneWay(t, 1, simnet.Link{Bandwidth: 1_024_000, Queue: 1280}, 50)
		if len(got) != 10 || counters.Dropped != 40 {
			t.Errorf("%d arrive, %d are dropped, want 10 and 40", len(got), counters.Dropped)
		}
		_, counters = oneWay(t, 1, simnet.Link{Bandwidth: 1_024_000}, 600)
		if counters.Dropped != 600-(64<<10)/128 {
			t.Errorf("of 600, with a queue of 64 KiB, %d are dropped", counters.Dropped)
		}
		got, _ = oneWay(t, 1, simnet.Link{Bandwidth: 1_024_000, Queue: 100}, 3)
		if len(got) != 1 {
			t.Errorf("%d arrive of 3 on an idle link whose queue has room for none, want the first", len(got))
		}
	})
}

func TestMTU(t *testing.T) {
	for _, address := range []struct {
		a, b    string
		headers int
	}{{"10.0.0.1", "10.0.0.2", 28}, {"fd00::1", "fd00::2", 48}} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b := n.Host(address.a), n.Host(address.b)
			n.SetLinks(simnet.Link{MTU: 1500})
			from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
			fits := strings.Repeat("x", 1500-address.headers)
			from.sendTo(fits, b.AddrPort(1))
			from.sendTo(fits+"x", b.AddrPort(1))
			if got := to.payloads(time.Second); len(got) != 1 || got[0] != fits || n.Counters(a, b).TooBig != 1 {
				t.Errorf("%s: %d arrive, %+v", address.a, len(got), n.Counters(a, b))
			}
		})
	}
}

// What no link can have does no harm: all arrives, and not earlier than it was sent.
func TestAbsurdLinks(t *testing.T) {
	const (
		never = time.Duration(math.MaxInt64)
		year  = 365 * 24 * time.Hour
	)
	for _, test := range []struct {
		link   simnet.Link
		at     time.Duration // the first comes
		within time.Duration // of jitter
	}{
		{simnet.Link{Loss: -1, Duplicate: -1, Reorder: -1, Delay: -1, Jitter: -1, Late: -1, Bandwidth: -1, Queue: -1, MTU: -1, Slice: -1, Stall: -1, Reset: -1}, 0, 0},
		{simnet.Link{Delay: time.Second, Jitter: -time.Minute}, time.Second, 0},
		{simnet.Link{Delay: -time.Second, Jitter: time.Minute}, 0, time.Minute},
		{simnet.Link{Delay: never}, year, 0},
		{simnet.Link{Delay: never, Jitter: never, Late: never, Reorder: 7}, 2 * year, year},
		{simnet.Link{MTU: 1}, 0, 0},
		{simnet.Link{Bandwidth: math.MaxInt64, Queue: math.MaxInt}, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b := n.Host("10.0.0.1"), n.Host("10.0.0.2")
			receiver := bindSocket(t, b, ":1")
			arrives := func(what string, sender socket) {
				sender.sendTo("x", b.AddrPort(1))
				if got := receiver.waitFor(4 * year); len(got) != 1 || got[0].after < test.at || got[0].after > test.at+test.within {
					t.Errorf("%s: over %+v, %v arrive, want one after %v", what, test.link, got, test.at)
				}
			}
			impaired := simnet.Impair(a, test.link)
			arrives("impaired", socket{bind(t, impaired, ":2"), t})
			n.SetLinks(test.link)
			arrives("simulated", bindSocket(t, a, ":1"))
			if test.at+test.within > 0 {
				return // no stream is as patient
			}
			for _, network := range []sockets.Network{a, impaired} {
				dialled, accepted := connect(t, network, b, "10.0.0.2:2")
				if took, _ := transfer(t, dialled, accepted, 1000); took > 0 {
					t.Errorf("over %+v a stream takes %v", test.link, took)
				}
				dialled.Close()
				accepted.Close()
			}
		})
	}
}

func TestLinksChangeForWhatIsSentFromNowOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		n.SetLinks(simnet.Link{Delay: time.Second})
		at, bt := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
		at.sendTo("to itself", a.AddrPort(1))
		at.sendTo("slow", b.AddrPort(1))
		n.SetLink(a, b, simnet.Link{Delay: time.Minute})
		at.sendTo("slower", b.AddrPort(1))
		bt.sendTo("back", a.AddrPort(1))
		n.SetLinks(simnet.Link{})
		at.sendTo("fast", b.AddrPort(1))
		c := n.Host()
		n.SetLinks(simnet.Link{Loss: 1})
		d := n.Host()
		bindSocket(t, d, ":1").sendTo("lost", c.AddrPort(1))
		at.sendTo("to itself", a.AddrPort(1))

		if got := at.payloads(time.Second + 1); !slices.Equal(got, []string{"to itself", "to itself", "back"}) {
			t.Errorf("a receives %q", got)
		}
		if got := bt.payloads(time.Minute); !slices.Equal(got, []string{"fast", "slow", "slower"}) {
			t.Errorf("b receives %q", got)
		}
		if total := n.Total(); total.Sent != 7 || total.Lost != 1 || total.Delivered != 6 {
			t.Errorf("Total() = %+v", total)
		}
	})
}

// A read whose deadline is the moment of arrival ends in the deadline, always.
func TestTheDeadlineWinsAtTheMomentOfArrival(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b := n.Host(), n.Host()
			n.SetLinks(simnet.Link{Delay: time.Second})
			from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
			from.sendTo("x", b.AddrPort(1))
			if got := to.payloads(time.Second); len(got) != 0 {
				t.Fatalf("%q arrive", got)
			}
			if got := to.payloads(1); len(got) != 1 {
				t.Fatalf("%q arrive later", got)
			}
		})
	}
}

// Every packet and copy comes to one end, whatever befalls it.
func TestCountersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := simnet.Seed(t)
		random := rand.New(rand.NewPCG(seed, 0))
		n := simnet.New(seed)
		n.SetLinks(simnet.Link{
			Loss: 0.1, Duplicate: 0.2, Reorder: 0.2, Delay: 10 * time.Millisecond, Jitter: 30 * time.Millisecond,
			Bandwidth: 2e5, Queue: 4000, MTU: 1500,
		})
		seen := make(map[simnet.Fate]int64)
		n.Observe(func(_ time.Time, _, _ netip.AddrPort, _ []byte, fate simnet.Fate) { seen[fate]++ })
		var hosts []*simnet.Host
		for range 4 {
			h := n.Host()
			hosts = append(hosts, h)
			bindSocket(t, h, ":2")
		}
		// Nobody reads.
		for range 200 {
			bindSocket(t, hosts[0], ":0").sendTo(strings.Repeat("x", 1500), hosts[0].AddrPort(2))
		}
		for i := range 1000 {
			a, b := hosts[random.IntN(4)], hosts[random.IntN(4)]
			switch i % 100 {
			case 20:
				n.Cut(a, b)
			case 30:
				n.Hold(b, a)
			case 40:
				n.Partition([]*simnet.Host{a, b})
			case 50:
				n.Heal()
			case 60:
				a.Crash()
			case 70:
				for _, h := range hosts {
					h.Restart()
				}
			case 80:
				n.Hold(a, b)
			case 90:
				n.Release(a, b)
			}
			// Nobody has port 3.
			if from, err := a.ListenPacket(t.Context(), "udp", ":0"); err == nil {
				socket{from, t}.sendTo(strings.Repeat("x", random.IntN(1600)), b.AddrPort(uint16(2+random.IntN(2))))
				from.Close()
			}
			time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
			if c := n.Total(); came(c) > c.Sent+c.Duplicated {
				t.Fatalf("more came to an end than were sent: %+v", c)
			}
		}
		n.Heal()
		time.Sleep(time.Minute)
		total := n.Total()
		if came(total) != total.Sent+total.Duplicated {
			t.Errorf("%d packets and copies came to %d ends: %+v", total.Sent+total.Duplicated, came(total), total)
		}
		var sum simnet.Counters
		for _, a := range hosts {
			for _, b := range hosts {
				c := n.Counters(a, b)
				sum.Sent += c.Sent
				sum.Delivered += c.Delivered
			}
		}
		if sum.Sent != total.Sent || sum.Delivered != total.Delivered {
			t.Errorf("the links sum up to %+v, want %+v", sum, total)
		}
		for fate, counted := range map[simnet.Fate]int64{
			simnet.Sent: total.Sent, simnet.Delivered: total.Delivered, simnet.Lost: total.Lost,
			simnet.Duplicated: total.Duplicated, simnet.Reordered: total.Reordered, simnet.Dropped: total.Dropped,
			simnet.Parted: total.Parted, simnet.TooBig: total.TooBig, simnet.Refused: total.Refused,
			simnet.Overflowed: total.Overflowed,
		} {
			if counted == 0 || seen[fate] != counted {
				t.Errorf("%s: counted %d, observed %d", fate, counted, seen[fate])
			}
		}
	})
}
