package secure

import (
	"crypto/cipher"
	"net/netip"
	"slices"
	"time"
)

const (
	maxSessions = 8 // of one key
	maxRoutes   = 8 // of one session: addresses

	noncePeriod = 10 * time.Second
	nonceLife   = 2 * noncePeriod // no nonce is good for longer
)

// Memory is what a socket knows of those who have answered its challenges. Its
// owner's mutex guards it.
type memory struct {
	places *packetConns
	hold   time.Duration
	peers  map[PublicKey]*peer
	routes map[netip.AddrPort]*route // at most one to an address
}

// A peer is a known key that has answered a challenge.
type peer struct {
	sessions  []*session
	forgotten uint64    // how many more there were
	forgot    time.Time // when one of them was forgotten last
}

// A session is one socket of a peer.
type session struct {
	key    PublicKey
	number uint64
	seal   cipher.AEAD // nil: datagrams are open
	window window      // of all its routes together
	routes []*route    // as they were confirmed
	heard  time.Time   // when it was confirmed, or a payload was delivered
}

// A route is an address where a session was proved.
type route struct {
	session *session
	address netip.AddrPort
	claim   uint64 // of the address
	budget  bucket // of signatures
}

// session returns a session that was proved, nil if it was not.
func (m *memory) session(key PublicKey, number uint64) *session {
	if p := m.peers[key]; p != nil {
		for _, s := range p.sessions {
			if s.number == number {
				return s
			}
		}
	}
	return nil
}

// route returns the route of a session from an address, nil if there is none.
func (m *memory) route(s *session, address netip.AddrPort) *route {
	if r := m.routes[address]; r != nil && r.session == s {
		return r
	}
	return nil
}

// confirm remembers that a session, which may be a new one, was proved at an
// address just now. It reports whether the address is free. If there are too
// many sessions of the key, the one that was heard least recently gives way; of
// the routes of the session, the one that was confirmed least recently.
func (m *memory) confirm(now time.Time, s *session, address netip.AddrPort) bool {
	claim, ok := m.places.claim(now, address, &s.key, m.hold)
	if !ok {
		return false
	}
	if old := m.routes[address]; old != nil {
		m.forget(old)
	}
	p := m.peers[s.key]
	if p == nil {
		p = new(peer)
		m.peers[s.key] = p
	}
	if !slices.Contains(p.sessions, s) {
		if len(p.sessions) == maxSessions {
			m.forgetSession(now, p)
		}
		p.sessions = append(p.sessions, s)
	}
	if len(s.routes) == maxRoutes {
		m.forget(s.routes[0])
	}
	r := &route{session: s, address: address, claim: claim}
	s.routes, s.heard = append(s.routes, r), now
	m.routes[address] = r
	return true
}

// forgetSession forgets the session of a peer that was heard least recently. No
// answer that is on its way can bring it back, as no nonce of that key is good
// any longer.
func (m *memory) forgetSession(now time.Time, p *peer) {
	oldest := slices.MinFunc(p.sessions, func(a, b *session) int { return a.heard.Compare(b.heard) })
	for _, r := range slices.Clone(oldest.routes) {
		m.forget(r)
	}
	p.sessions = slices.DeleteFunc(p.sessions, func(s *session) bool { return s == oldest })
	p.forgot = now
	p.forgotten++
}

// forget removes a route.
func (m *memory) forget(r *route) {
	m.places.leave(r.address, r.claim)
	delete(m.routes, r.address)
	r.session.routes = slices.DeleteFunc(r.session.routes, func(other *route) bool { return other == r })
}

// clear forgets everybody.
func (m *memory) clear() {
	for _, r := range m.routes {
		m.places.leave(r.address, r.claim)
	}
	m.peers, m.routes = nil, nil
}
