package reliable

import (
	"net/netip"
	"time"
)

// The handshake has four steps, as SCTP's. Who receives a HELLO stores nothing:
// what it would have to remember travels in the cookie, and comes back with the
// ECHO.
//
//	who begins                                who answers
//	greeting   HELLO  from 17             ->  bakes a cookie for 17 and this address
//	echoing    COOKIE to 17               <-  forgets it
//	           ECHO   from 17, cookie     ->  open: an association, 42
//	open       WELCOME from 42 to 17      <-

// receiveHello answers with a cookie, which is no longer than the HELLO.
func (e *engine) receiveHello(now time.Time, from netip.AddrPort, t tags) {
	e.emit(from, appendChunk(appendHeader(e.buffer(), tags{to: t.from}), cookie, e.jar.bake(now, from, t.from)))
}

// receiveCookie goes on to the ECHO, if the HELLO was ours.
func (e *engine) receiveCookie(now time.Time, from netip.AddrPort, t tags, body []byte) {
	p := e.peers[from]
	if p == nil || p.life == nil || p.life.local != t.to {
		e.stats.stray.Add(1)
		return
	}
	a := p.life
	fresh := [cookieSize]byte(body) != a.cookie
	a.cookie = [cookieSize]byte(body)
	switch {
	case a.state == greeting:
		if a.retries == 1 { // else nobody knows which HELLO was answered
			a.sender.rtt.sample(now.Sub(a.retryAt.Add(-firstRetry)))
		}
		a.state, a.retries, a.retryAt = echoing, 0, now
		e.touch(now, p)
	case a.state == echoing && fresh: // the old one was stale
		a.retryAt = now
		e.touch(now, p)
	}
}

// receiveEcho opens an association with a peer that has proven its address.
//
//   - One that is open with the same tag saw its WELCOME lost: it is told again.
//   - Where both ends have begun, the association that waits here becomes the one.
//   - One that is open with another tag is over: the peer has begun a new life.
//
// The cookie must be younger than the association that it replaces, and than
// every one with this address that has ended: an ECHO that comes again, however late, neither ends
// a living association nor wakes a dead one. Who brings an old cookie gets a new
// one.
func (e *engine) receiveEcho(now time.Time, from netip.AddrPort, t tags, body []byte) {
	p := e.peers[from]
	opened := p != nil && p.life != nil && p.life.state >= open
	if !opened || p.life.remote != t.from {
		born, ok := e.jar.check(now, body, from, t.from)
		if !ok || !e.graves.allow(from, born) || opened && !born.After(p.life.born) {
			e.stats.stale.Add(1)
			e.receiveHello(now, from, t)
			return
		}
		if opened {
			e.end(now, p, "it has restarted")
		}
		if e.leaving && (p == nil || p.life == nil) {
			return
		}
		if p = e.admit(now, from, p == nil || p.incoming); p == nil {
			e.stats.refused.Add(1)
			return
		}
		if p.life == nil {
			p.life = e.newAssociation(now, p)
		}
		p.life.open(now, born, t.from)
	}
	p.life.greet = true
	e.touch(now, p)
}
