// Package roster keeps the peers that a datagram socket knows.
package roster

import (
	"container/list"
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

	mu    sync.Mutex                       // guards what follows
	peers map[netip.AddrPort]*list.Element // that of heard, nil for those that were told of
	heard list.List                        // learnt peers, the most silent first
}

// A learnt is a peer, and when it was last heard.
type learnt struct {
	peer netip.AddrPort
	at   time.Time
}

// New returns an empty roster that learns most peers, and any number of them
// if most is not positive.
func New(most int) *Roster {
	return &Roster{most: most, peers: make(map[netip.AddrPort]*list.Element)}
}

// Sorted returns the peers, sorted.
func (r *Roster) Sorted() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Keys(r.peers), netip.AddrPort.Compare)
}

// Add tells of a peer. One that was learnt counts as learnt no more.
func (r *Roster) Add(peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(peer)
	r.peers[peer] = nil
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
	entry, known := r.peers[peer]
	switch {
	case entry != nil:
		entry.Value = learnt{peer, now}
		r.heard.MoveToBack(entry)
	case !known && r.makeRoomLocked(now):
		r.peers[peer] = r.heard.PushBack(learnt{peer, now})
	}
}

func (r *Roster) removeLocked(peer netip.AddrPort) {
	if entry := r.peers[peer]; entry != nil {
		r.heard.Remove(entry)
	}
	delete(r.peers, peer)
}

// makeRoomLocked reports whether one more may be learnt, for which the most
// silent peer gives way if it has to.
func (r *Roster) makeRoomLocked(now time.Time) bool {
	if r.most <= 0 || r.heard.Len() < r.most {
		return true
	}
	quietest := r.heard.Front().Value.(learnt)
	if now.Sub(quietest.at) < silence {
		return false
	}
	r.removeLocked(quietest.peer)
	return true
}
