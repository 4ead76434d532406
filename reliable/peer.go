package reliable

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/seed287501ae/sockets"
)

const (
	idleAfter   = 15 * time.Minute // an idle peer may give way to a newcomer
	searchEvery = time.Second
)

// A peer is who has an address: what outlives its associations.
type peer struct {
	address  netip.AddrPort
	incoming bool // it sent before the program sent to it
	inbox    inbox
	owed     error         // what the next write is to be told
	room     chan struct{} // closed when one more message may be written; nil if nobody waits
	news     error         // what who reads is to be told
	before   int           // messages to be read first
	queued   bool          // it is in engine.ready
	trouble  error         // of the socket with it, since it acknowledged
	active   time.Time     // when something was sent to it or came from it
	touched  bool          // it is in engine.touched
	life     *association  // nil if there is none
}

// isUnread reports whether something of the peer is to be read.
func (p *peer) isUnread() bool { return p.inbox.messages > 0 || p.news != nil }

func (p *peer) wakeWriters() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// places returns how many peers there may be that are incoming, or that are not.
// Whoever comes takes none from those whom the program sends to first. These have
// twice as many: a program may have learnt of as many as may come, who then went,
// and sends to others besides.
func (e *engine) places(incoming bool) int {
	switch {
	case e.maxPeers <= 0:
		return math.MaxInt
	case incoming:
		return e.maxPeers
	}
	return 2 * min(e.maxPeers, math.MaxInt/2)
}

// taken returns how many of these places are taken.
func (e *engine) taken(incoming bool) int {
	if incoming {
		return e.incoming
	}
	return len(e.peers) - e.incoming
}

// admit returns the peer that has an address, nil if there is no room for one
// more. For newcomers, of whom there may be very many, it searches a place once
// in a while; for an own message, always.
func (e *engine) admit(now time.Time, address netip.AddrPort, incoming bool) *peer {
	if p := e.peers[address]; p != nil {
		return p
	}
	if e.taken(incoming) >= e.places(incoming) {
		if incoming && now.Before(e.full) {
			return nil
		}
		if !e.makeRoom(now, incoming) {
			if incoming {
				e.full = now.Add(searchEvery)
			}
			return nil
		}
	}
	p := &peer{address: address, incoming: incoming, active: now}
	e.peers[address] = p
	if incoming {
		e.incoming++
	}
	return p
}

// How unwilling a peer is to give way, from little to much.
const (
	useless = iota // nothing was ever said, or nothing is left to tell
	idle
	owing // who writes next would not be told of a loss
	needed
)

// unwilling tells how unwilling a peer is to give way. A stranger that opens an
// association and says nothing, which costs it little, has not long to live.
func (e *engine) unwilling(now time.Time, p *peer) int {
	a := p.life
	switch {
	case p.inbox.messages > 0 || a != nil && a.waits():
		return needed
	case a != nil && a.isStranger() && e.silence > 0 && now.Sub(a.born) >= e.silence:
		return useless
	case a != nil && now.Sub(p.active) < idleAfter:
		return needed
	case p.owed != nil:
		return owing
	case a != nil:
		return idle
	}
	return useless
}

// makeRoom drops the peer that gives way to another that is incoming, or to one
// that is not, if there is one, and says goodbye to it. What is to be read stays,
// but for an error.
func (e *engine) makeRoom(now time.Time, incoming bool) bool {
	var victim *peer
	least := needed
	for _, p := range e.peers {
		if p.incoming != incoming {
			continue
		}
		if u := e.unwilling(now, p); u < least || u == least && victim != nil && p.active.Before(victim.active) {
			victim, least = p, u
		}
	}
	if victim == nil {
		return false
	}
	if a := victim.life; a != nil {
		e.emit(victim.address, appendBye(appendHeader(e.buffer(), a.tags()), a.receiver.unread()))
		e.end(now, victim, "")
	}
	victim.news = nil
	e.dequeue(victim)
	e.drop(victim)
	return true
}

// end ends the association of a peer. If messages are lost with it, who reads
// and who writes next are told why.
func (e *engine) end(now time.Time, p *peer, why string) {
	a := p.life
	p.life = nil
	e.graves.bury(now, p.address, a.born)
	p.inbox.cutOff()
	if a.sender.outstanding() || a.sender.dropped {
		p.owed = fmt.Errorf("%w: %v: %s", sockets.ErrPeerUnreachable, p.address, why)
		if p.news == nil {
			p.news, p.before = p.owed, p.inbox.messages
			e.enqueue(p)
		}
		if e.leaving && e.failed == nil {
			e.failed = p.owed
		}
	}
	p.wakeWriters()
	e.forget(p)
}

// forget drops a peer of which there is nothing left to know.
func (e *engine) forget(p *peer) {
	if p.life == nil && p.owed == nil && !p.isUnread() {
		e.drop(p)
	}
}

// drop frees the place of a peer, unless that was done before.
func (e *engine) drop(p *peer) {
	if e.peers[p.address] != p {
		return
	}
	delete(e.peers, p.address)
	if p.incoming {
		e.incoming--
	}
}
