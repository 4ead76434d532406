package roster_test

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/roster"
)

func peer(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(port))
}

func wantPorts(t *testing.T, r *roster.Roster, want ...uint16) {
	t.Helper()
	var got []uint16
	for _, peer := range r.Sorted() {
		got = append(got, peer.Port())
	}
	if !slices.Equal(got, want) {
		t.Errorf("known are %v, want %v", got, want)
	}
}

func TestSortedIsSorted(t *testing.T) {
	r := roster.New(1)
	wantPorts(t, r)
	for _, port := range []int{3, 1, 2, 3} {
		r.Add(peer(port))
	}
	wantPorts(t, r, 1, 2, 3)
	r.Remove(peer(2))
	r.Remove(peer(4))
	wantPorts(t, r, 1, 3)
}

// Who goes through the peers while they change sees them as they were.
func TestSortedStaysAsItWas(t *testing.T) {
	r := roster.New(1)
	for port := range 9 {
		r.Add(peer(1 + port))
	}
	before := r.Sorted()
	kept := slices.Clone(before)
	r.Remove(peer(1))
	r.Add(peer(100))
	r.Learn(peer(200), false)
	r.Sorted()
	if !slices.Equal(before, kept) {
		t.Errorf("what Sorted returned became %v, want %v", before, kept)
	}
	wantPorts(t, r, 2, 3, 4, 5, 6, 7, 8, 9, 100, 200)
}

// A datagram that came together with the one before tells nothing new, unless
// its sender was forgotten in between.
func TestLearnAgain(t *testing.T) {
	r := roster.New(1)
	for _, change := range []func(){
		func() {},
		func() { r.Remove(peer(1)) },
		func() { r.Remove(peer(1)); r.Add(peer(1)); r.Remove(peer(1)) },
		func() { r.Add(peer(1)) },
		func() { r.Remove(peer(1)) },
	} {
		r.Learn(peer(1), false)
		r.Learn(peer(1), true)
		change()
		r.Learn(peer(1), true)
		wantPorts(t, r, 1)
	}
	r.Learn(peer(2), false)
	r.Learn(peer(2), true)
	wantPorts(t, r, 1)
	r.Remove(peer(1))
	r.Learn(peer(2), true)
	wantPorts(t, r, 2)
}

func TestWhatIsKnownCostsNoMemory(t *testing.T) {
	r := roster.New(2)
	r.Add(peer(1))
	for name, call := range map[string]func(){
		"Learn of one that was told of":   func() { r.Learn(peer(1), false) },
		"Learn of one that was learnt":    func() { r.Learn(peer(2), false) },
		"Learn of two in turn":            func() { r.Learn(peer(2), false); r.Learn(peer(3), false) },
		"Learn of one who finds no room":  func() { r.Learn(peer(4), false) },
		"Add of one that was told of":     func() { r.Add(peer(1)); r.Sorted() },
		"Sorted, as long as all are here": func() { r.Sorted() },
	} {
		r.Learn(peer(2), false)
		r.Learn(peer(3), false)
		if allocs := testing.AllocsPerRun(100, call); allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

func TestLearnIsBounded(t *testing.T) {
	for _, test := range []struct{ most, want int }{{1, 1}, {1024, 1024}, {0, 2000}, {-1, 2000}} {
		r := roster.New(test.most)
		for port := range 2000 {
			r.Learn(peer(1+port), false)
		}
		if got := len(r.Sorted()); got != test.want {
			t.Errorf("New(%d) learns %d of 2000 peers, want %d", test.most, got, test.want)
		}
	}
}

func TestOnlyLearntPeersCount(t *testing.T) {
	r := roster.New(1)
	r.Add(peer(1))
	r.Learn(peer(1), false)
	r.Learn(peer(2), false)
	wantPorts(t, r, 1, 2)
	r.Add(peer(2)) // learnt no more
	r.Learn(peer(3), false)
	wantPorts(t, r, 1, 2, 3)
	r.Remove(peer(1)) // was not learnt
	r.Learn(peer(4), false)
	wantPorts(t, r, 2, 3)
	r.Remove(peer(3))
	r.Learn(peer(4), false)
	wantPorts(t, r, 2, 4)
}

func TestTheQuietestGivesWayAfterFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := roster.New(2)
		start := time.Now()
		at := func(when time.Duration, port int, want ...uint16) {
			t.Helper()
			time.Sleep(when - time.Since(start))
			r.Learn(peer(port), false)
			wantPorts(t, r, want...)
		}
		r.Add(peer(9))
		at(0, 1, 1, 9)
		at(1*time.Minute, 2, 1, 2, 9)
		at(2*time.Minute, 1, 1, 2, 9)
		at(16*time.Minute-1, 3, 1, 2, 9)
		at(16*time.Minute, 3, 1, 3, 9)
		at(17*time.Minute-1, 2, 1, 3, 9)
		at(17*time.Minute, 2, 2, 3, 9)
	})
}

func TestMethodsAtOnce(t *testing.T) {
	r := roster.New(5)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 500 {
				p := peer(1 + (g+i)%20)
				r.Learn(p, i%2 == 0)
				r.Add(p)
				r.Sorted()
				r.Remove(p)
			}
		})
	}
	group.Wait()
	for port := range 20 {
		r.Remove(peer(1 + port))
	}
	wantPorts(t, r)
	for port := range 9 {
		r.Learn(peer(1+port), false)
	}
	wantPorts(t, r, 1, 2, 3, 4, 5)
}
