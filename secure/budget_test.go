package secure

import (
	"net/netip"
	"testing"
	"time"
)

// spend takes all that a budget allows now to a source, up to 10,000.
func spend(b *budget, now time.Time, source func(i int) netip.Addr) (spent int) {
	for i := range 10_000 {
		if b.allow(now, source(i)) {
			spent++
		}
	}
	return spent
}

func TestBudgetHasItsEdges(t *testing.T) {
	now := time.Unix(1e9, 0)
	one := func(int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) }
	other := func(int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 2}) }
	many := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }
	b := newBudget(now)
	for other(0) != one(0) && b.bucketOf(one(0)) == b.bucketOf(other(0)) {
		b = newBudget(now)
	}
	for _, step := range []struct {
		after  time.Duration
		source func(int) netip.Addr
		want   int
	}{
		{0, one, 1000},
		{0, other, 1000},
		{0, many, 0}, // all others together are at their limit
		{time.Millisecond - 1, one, 0},
		{1, one, 1},
		{100 * time.Millisecond, one, 100},
		{time.Second, one, 1000},
		{time.Hour, many, 2000},
		{time.Second, many, 2000},
	} {
		now = now.Add(step.after)
		if got := spend(b, now, step.source); got != step.want {
			t.Fatalf("%v later, a budget allows %d, want %d", step.after, got, step.want)
		}
	}
}

func (b *budget) bucketOf(source netip.Addr) *bucket {
	for i := range b.sources {
		b.sources[i].full = 0
	}
	b.allow(b.opened, source)
	b.crowd.full = 0
	for i := range b.sources {
		if b.sources[i].full > 0 {
			b.sources[i].full = 0
			return &b.sources[i]
		}
	}
	return nil
}

func TestBucketTakesATokenBack(t *testing.T) {
	var b bucket
	for range 100_000 {
		if !b.take(0, perSource) {
			t.Fatal("a bucket whose tokens come back is empty")
		}
		b.putBack(perSource)
	}
	if !b.take(0, perSource) || b.take(0, 1) {
		t.Error("a bucket that has lost one token has not lost one token")
	}
}
