package reliable

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/seed287501ae/sockets"
)

const idleAfter = 15 * time.Minute // an idle peer may give way to a newcomer

// A peer is who has an address: what outlives its associations.
type peer struct {
	address netip.AddrPort
	inbox   inbox
	owed    error         // what the next write is to be told
	room    chan struct{} // closed when one more message may be written; nil if nobody waits
	untold  bool          // engine.ready has an error of it
	trouble error         // of writing to it, since it was heard
	active  time.Time     // when something was sent to it or came from it
	touched bool          // it is in engine.touched
	life    *association  // nil if there is none
}

// isUnread reports whether something of the peer is to be read.
func (p *peer) isUnread() bool { return p.inbox.whole > 0 || p.untold }

func (p *peer) wakeWriters() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// admit returns the peer that has an address, nil if there is no room for one
// more.
func (e *engine) admit(now time.Time, address netip.AddrPort) *peer {
	if p := e.peers[address]; p != nil {
		return p
	}
	if e.maxPeers > 0 && len(e.peers) >= e.maxPeers && !e.makeRoom(now) {
		return nil
	}
	p := &peer{address: address, active: now}
	e.peers[address] = p
	return p
}

// makeRoom says goodbye to the peer that has been idle the longest, if that is
// long enough, or to one that is gone. What is to be read stays.
func (e *engine) makeRoom(now time.Time) bool {
	var idlest *peer
	for _, p := range e.peers {
		if p.isUnread() || p.life != nil && (p.life.waits() || now.Sub(p.active) < idleAfter) {
			continue
		}
		if idlest == nil || p.active.Before(idlest.active) {
			idlest = p
		}
	}
	if idlest == nil {
		return false
	}
	if a := idlest.life; a != nil {
		e.emit(idlest.address, appendChunk(appendHeader(e.buffer(), a.tags()), bye))
		e.end(idlest, "")
	}
	delete(e.peers, idlest.address)
	return true
}

// end ends the association of a peer. If messages are lost with it, who reads
// and who writes next are told why.
func (e *engine) end(p *peer, why string) {
	a := p.life
	p.life = nil
	if a.born.After(e.ended) {
		e.ended = a.born
	}
	p.inbox.cutOff()
	if a.sender.outstanding() {
		p.owed = fmt.Errorf("%w: %v: %s", sockets.ErrPeerUnreachable, p.address, why)
		if !p.untold {
			p.untold = true
			e.deliver(delivery{p, 0, p.owed})
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
		delete(e.peers, p.address)
	}
}
