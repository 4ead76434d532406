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

	// nonceLife is longer than the nonce of any challenge is good. What is
	// forgotten only after that cannot come back by an old answer.
	nonceLife   = 2 * noncePeriod
	noncePeriod = 10 * time.Second
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
	sessions []*session
	forgot   time.Time // when one of its sessions was forgotten last
}

// A session is one socket of a peer.
type session struct {
	key    PublicKey
	number uint64
	seal   cipher.AEAD // nil: datagrams are open
	window window      // of all its routes together
	routes []*route
	heard  time.Time
}

// A route is an address where a session was proved.
type route struct {
	session *session
	address netip.AddrPort
	heard   time.Time
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
// address just now.
func (m *memory) confirm(now time.Time, s *session, address netip.AddrPort) outcome {
	p := m.peers[s.key]
	if p == nil {
		p = new(peer)
	}
	isNew := !slices.Contains(p.sessions, s)
	if isNew && !m.hasRoomForSession(now, p) || !m.hasRoom(now, s) {
		return tooMany
	}
	if old := m.routes[address]; old != nil && m.places.isFree(now, address, &s.key, m.hold) {
		m.forget(old)
	}
	if !m.places.claim(now, address, &s.key, m.hold) {
		return addressTaken
	}
	if isNew {
		m.peers[s.key] = p
		m.makeRoomForSession(now, p)
		p.sessions = append(p.sessions, s)
	}
	if len(s.routes) == maxRoutes {
		m.forget(slices.MinFunc(s.routes, func(a, b *route) int { return a.heard.Compare(b.heard) }))
	}
	r := &route{session: s, address: address, heard: now}
	s.routes, s.heard = append(s.routes, r), now
	m.routes[address] = r
	return confirmed
}

// hasRoom reports whether a session may have one more route: one of them may
// give way if nobody was heard there for as long as the address is held.
func (m *memory) hasRoom(now time.Time, s *session) bool {
	return len(s.routes) < maxRoutes || slices.ContainsFunc(s.routes, func(r *route) bool {
		return now.Sub(r.heard) >= m.silence()
	})
}

// hasRoomForSession reports whether a peer may have one more session: one of
// them may give way if no nonce for it is good and none of its addresses is held.
func (m *memory) hasRoomForSession(now time.Time, p *peer) bool {
	return len(p.sessions) < maxSessions || slices.ContainsFunc(p.sessions, func(s *session) bool { return m.isQuiet(now, s) })
}

// makeRoomForSession forgets the session of a peer that was heard least recently
// of those that may give way, if there are too many for one more.
func (m *memory) makeRoomForSession(now time.Time, p *peer) {
	if len(p.sessions) < maxSessions {
		return
	}
	quiet := slices.DeleteFunc(slices.Clone(p.sessions), func(s *session) bool { return !m.isQuiet(now, s) })
	oldest := slices.MinFunc(quiet, func(a, b *session) int { return a.heard.Compare(b.heard) })
	for _, r := range slices.Clone(oldest.routes) {
		m.forget(r)
	}
	p.sessions = slices.DeleteFunc(p.sessions, func(s *session) bool { return s == oldest })
	p.forgot = now
}

func (m *memory) isQuiet(now time.Time, s *session) bool {
	if len(s.routes) == 0 {
		return now.Sub(s.heard) >= nonceLife
	}
	return now.Sub(s.heard) >= m.silence()
}

func (m *memory) silence() time.Duration { return max(nonceLife, m.hold) }

// forget removes a route.
func (m *memory) forget(r *route) {
	m.places.leave(r.address, &r.session.key)
	delete(m.routes, r.address)
	r.session.routes = slices.DeleteFunc(r.session.routes, func(other *route) bool { return other == r })
}

// clear forgets everybody.
func (m *memory) clear() {
	for _, r := range m.routes {
		m.places.leave(r.address, &r.session.key)
	}
	m.peers, m.routes = nil, nil
}
