// Package roster keeps the peers that a datagram socket knows.
package roster

import (
	"container/list"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
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

	start time.Time
	last  atomic.Bool // who was given to Learn last is known

	mu     sync.Mutex                       // guards what follows
	peers  map[netip.AddrPort]*list.Element // that of heard, nil for those that were told of
	heard  list.List                        // of *learnt, the most silent first
	sorted []netip.AddrPort                 // what Sorted returned last, nil after a change
}

// A learnt is a peer, and when it was last heard.
type learnt struct {
	peer netip.AddrPort
	at   time.Duration // since start
}

// New returns an empty roster that learns most peers, and any number of them
// if most is not positive.
func New(most int) *Roster {
	return &Roster{most: most, start: time.Now(), peers: make(map[netip.AddrPort]*list.Element)}
}

// Sorted returns the peers, sorted. The slice is never written to again, by
// nobody: until the peers change, the next call returns it too.
func (r *Roster) Sorted() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sorted == nil {
		r.sorted = slices.SortedFunc(maps.Keys(r.peers), netip.AddrPort.Compare)
	}
	return r.sorted
}

// Add tells of a peer. One that was learnt counts as learnt no more.
func (r *Roster) Add(peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry, known := r.peers[peer]; !known || entry != nil {
		r.removeLocked(peer)
		r.peers[peer] = nil
	}
}

// Remove forgets a peer.
func (r *Roster) Remove(peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(peer)
}

// Learn says that peer was heard just now. It is in the roster afterwards if
// there is room. One that is known costs no memory, and next to nothing if it is
// heard again: it was given to Learn last, at the same time.
func (r *Roster) Learn(peer netip.AddrPort, again bool) {
	if again && r.last.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	entry, known := r.peers[peer]
	if entry != nil || !known {
		now := time.Since(r.start)
		switch {
		case known:
			entry.Value.(*learnt).at = now
			r.heard.MoveToBack(entry)
		case r.makeRoomLocked(now):
			r.peers[peer] = r.heard.PushBack(&learnt{peer, now})
			r.sorted, known = nil, true
		}
	}
	r.last.Store(known)
}

func (r *Roster) removeLocked(peer netip.AddrPort) {
	if entry := r.peers[peer]; entry != nil {
		r.heard.Remove(entry)
	}
	delete(r.peers, peer)
	r.sorted = nil
	r.last.Store(false)
}

// makeRoomLocked reports whether one more may be learnt, for which the most
// silent peer gives way if it has to.
func (r *Roster) makeRoomLocked(now time.Duration) bool {
	if r.most <= 0 || r.heard.Len() < r.most {
		return true
	}
	quietest := r.heard.Front().Value.(*learnt)
	if now-quietest.at < silence {
		return false
	}
	r.removeLocked(quietest.peer)
	return true
}
