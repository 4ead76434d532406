// Package roster keeps the peers that a datagram socket knows.
package roster

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const silence = 15 * time.Minute // after which a learnt peer may give way

// A Roster is a set of peers: those that it was told of, which stay until they
// are removed, and those that it learnt. Senders can be forged, so the learnt
// ones are bounded. When it is full, the one that has been silent the longest
// gives way to a newcomer, after 15 minutes at the earliest; until then newcomers
// are not learnt, and cost no search.
//
// Every method may be called from many goroutines.
type Roster struct {
	most int

	mu     sync.Mutex                   // guards what follows
	heard  map[netip.AddrPort]time.Time // when a learnt one was last, zero for the others
	learnt int
	full   time.Time // no learnt peer is silent for long before then
}

// New returns an empty roster that learns most peers, and any number of them
// if most is not positive.
func New(most int) *Roster {
	return &Roster{most: most, heard: make(map[netip.AddrPort]time.Time)}
}

// Sorted returns the peers, sorted.
func (r *Roster) Sorted() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Keys(r.heard), netip.AddrPort.Compare)
}

// Add tells of a peer. One that was learnt counts as learnt no more.
func (r *Roster) Add(peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(peer)
	r.heard[peer] = time.Time{}
}

// Remove forgets a peer.
func (r *Roster) Remove(peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(peer)
}

// Learn says that peer was heard just now. It is in the roster afterwards if
// there is room.
func (r *Roster) Learn(peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	heard, known := r.heard[peer]
	if known && heard.IsZero() {
		return
	}
	if !known {
		if r.most > 0 && r.learnt >= r.most && !r.makeRoomLocked(now) {
			return
		}
		r.learnt++
	}
	r.heard[peer] = now
}

func (r *Roster) removeLocked(peer netip.AddrPort) {
	if heard := r.heard[peer]; !heard.IsZero() {
		r.learnt--
	}
	delete(r.heard, peer)
}

// makeRoomLocked removes the learnt peer that has been silent the longest, if
// that is long enough.
func (r *Roster) makeRoomLocked(now time.Time) bool {
	if now.Before(r.full) {
		return false
	}
	var quietest netip.AddrPort
	oldest := now
	for peer, heard := range r.heard {
		if !heard.IsZero() && heard.Before(oldest) {
			quietest, oldest = peer, heard
		}
	}
	if r.full = oldest.Add(silence); now.Before(r.full) {
		return false
	}
	r.removeLocked(quietest)
	return true
}
