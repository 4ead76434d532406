package secure

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
)

// Signatures that are verified in a second, at most.
const (
	perSource = 1000 // from one IPv4 address or /64 of IPv6, or on one route that is confirmed
	perCrowd  = 2000 // from all others together
	perReply  = 1000 // of challenges that name the session, and as many of answers that bring the nonce
)

const sourceBuckets = 1024

// A budget bounds the signatures that are verified for those who have proved
// nothing. It takes the same memory whatever they do: sources share buckets, by
// a hash that they cannot compute.
type budget struct {
	opened  time.Time
	seed    maphash.Seed
	sources [sourceBuckets]bucket
	crowd   bucket

	challenges, answers bucket
}

func newBudget(now time.Time) *budget {
	return &budget{opened: now, seed: maphash.MakeSeed()}
}

// allow reports whether one more signature from an address may be verified.
func (b *budget) allow(now time.Time, from netip.Addr) bool {
	age := now.Sub(b.opened)
	own := &b.sources[maphash.String(b.seed, endpoint.Site(from))%sourceBuckets]
	return own.take(age, perSource) && b.crowd.take(age, perCrowd)
}

// A bucket has as many tokens as flow into it in a second, at most.
type bucket struct {
	full time.Duration // the age at which it will be full again
}

func (b *bucket) take(age time.Duration, perSecond int) bool {
	full := max(b.full, age) + time.Second/time.Duration(perSecond)
	if full-age > time.Second {
		return false
	}
	b.full = full
	return true
}

func (b *bucket) putBack(perSecond int) { b.full -= time.Second / time.Duration(perSecond) }
