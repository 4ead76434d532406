package secure

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"slices"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
)

// challengeEvery is how long a path that was challenged is not challenged again.
const challengeEvery = 250 * time.Millisecond

// A gate decides what becomes of the datagrams that come to one socket: without
// the socket, and at the time that the caller says. Its owner's mutex guards it.
type gate struct {
	memory
	identity *Identity
	known    *KnownPeers
	expected PublicKey // the only key that may come in, if it is not zero
	groupKey []byte    // nil: datagrams are open
	signer   *signer
	stats    *counters

	opened time.Time
	budget *budget
	lobby  lobby
	ready  []parcel  // to be read
	mac    hash.Hash // of the nonces
	text   []byte    // what mac was given last

	answered map[PublicKey]bool // whose challenges were answered
}

// A parcel is a payload and where it came from.
type parcel struct {
	payload []byte
	from    netip.AddrPort
}

func newGate(now time.Time, n *Network, s *signer) *gate {
	g := &gate{
		memory: memory{
			places: &n.packets,
			hold:   n.cfg.Hold,
			peers:  make(map[PublicKey]*peer),
			routes: make(map[netip.AddrPort]*route),
		},
		identity: n.cfg.Identity,
		known:    n.cfg.Known,
		groupKey: n.cfg.GroupKey,
		signer:   s,
		stats:    &n.stats,
		opened:   now,
		budget:   newBudget(now),
		answered: make(map[PublicKey]bool),
	}
	var secret [32]byte
	rand.Read(secret[:])
	g.mac = hmac.New(sha256.New, secret[:])
	return g
}

// receive decides what becomes of a datagram, of which it keeps nothing but may
// change its bytes. What can be read is in ready then. If nothing was before, the
// payload that take returns next may be a part of b. A reply goes to where the
// datagram came from.
func (g *gate) receive(now time.Time, from netip.AddrPort, b []byte) (h header, reply []byte, o outcome) {
	h, o = g.screen(from, b)
	if o == delivered {
		p := path{h.key, h.session, from}
		switch h.kind {
		case kindChallenge:
			reply, o = g.receiveChallenge(now, p, &h, b)
		case kindAnswer:
			o = g.receiveAnswer(now, p, &h, b)
		default:
			reply, o = g.receiveData(now, p, &h, b)
		}
	}
	g.stats[o].Add(1)
	return h, reply, o
}

// take returns what is to be read next.
func (g *gate) take() (next parcel, ok bool) {
	if len(g.ready) == 0 {
		return parcel{}, false
	}
	next = g.ready[0]
	g.ready = slices.Delete(g.ready, 0, 1)
	return next, true
}

// screen does what costs next to nothing, before any signature is verified. The
// outcome is delivered if nothing is wrong so far.
func (g *gate) screen(from netip.AddrPort, b []byte) (header, outcome) {
	h, ok := parseHeader(b)
	isData := h.kind == kindData || h.kind == kindSealed
	switch {
	case !ok || !endpoint.IsUnicast(from):
		return header{}, malformed
	case isData && h.mark != g.signer.group:
		return h, otherGroup
	case h.key == g.identity.public:
		return h, ownKey
	case g.expected != PublicKey{} && h.key != g.expected:
		return h, notExpected
	case isData && (h.kind == kindSealed) != (g.groupKey != nil):
		return h, badSeal
	}
	switch peer, ok := g.known.ByKey(h.key); {
	case !ok:
		return h, unknownKey
	case peer.FirstUse:
		return h, onlyLearnt
	}
	return h, delivered
}

// receiveData takes a payload: from a path that is confirmed to be read, from
// any other to be held until the sender has answered a challenge.
func (g *gate) receiveData(now time.Time, p path, h *header, b []byte) (reply []byte, o outcome) {
	s := g.session(p.key, p.session)
	r := g.route(s, p.address)
	switch {
	case s != nil && !s.window.isNew(h.number), r == nil && g.lobby.find(p).holds(h.number):
		return nil, replayed
	case !g.places.isFree(now, p.address, &p.key, g.hold):
		return nil, addressTaken
	case !g.allow(now, r, p.address):
		return nil, tooMany
	case !isSigned(&h.key, b, nil):
		return nil, badSignature
	}
	payload, ok := g.open(s, h, b)
	if !ok {
		return nil, badSeal
	}
	if r != nil && !g.places.hear(now, p.address, r.claim) { // somebody else was proved there since
		g.forget(r)
		r = nil
	}
	if r == nil {
		return g.challenge(now, p, h.number, payload)
	}
	s.heard = now
	r.budget.putBack(perSource)
	s.window.add(h.number)
	if len(g.ready) > 0 { // it has to wait
		payload = slices.Clone(payload)
	}
	g.ready = append(g.ready, parcel{payload, p.address})
	return nil, delivered
}

// allow reports whether the signature of a datagram may be verified. A confirmed
// route has a budget of its own, and a right signature costs it nothing.
func (g *gate) allow(now time.Time, r *route, from netip.AddrPort) bool {
	if r != nil {
		return r.budget.take(now.Sub(g.opened), perSource)
	}
	return g.budget.allow(now, from.Addr())
}

// open returns the payload of a datagram, which is a part of b.
func (g *gate) open(s *session, h *header, b []byte) (payload []byte, ok bool) {
	payload = b[headerSize : len(b)-signatureSize]
	if g.groupKey == nil {
		return payload, true
	}
	var seal cipher.AEAD
	if s != nil {
		seal = s.seal
	} else {
		seal = newSeal(g.groupKey, g.signer.group, &h.key, h.session)
	}
	payload, err := seal.Open(payload[:0], sealNonce(h.number), payload, b[:headerSize])
	return payload, err == nil
}

// challenge holds a payload, and challenges the path unless that was done just
// now.
func (g *gate) challenge(now time.Time, p path, number uint64, payload []byte) (reply []byte, o outcome) {
	w := g.lobby.enter(p)
	o = held
	if !g.lobby.hold(number, payload) {
		o = tooMany
	}
	if now.Sub(w.challenged) < challengeEvery {
		return nil, o
	}
	w.challenged = now
	since := g.opened
	if known := g.peers[p.key]; known != nil && known.forgot.After(since) {
		since = known.forgot
	}
	h := header{kindChallenge, uint64(now.Sub(since).Milliseconds()), g.identity.public, p.session, g.nonce(now, p, 0)}
	g.stats[challenged].Add(1)
	return g.handshake(&h, &p.key), o
}

// handshake returns a challenge or an answer for an addressee.
func (g *gate) handshake(h *header, addressee *PublicKey) []byte {
	b, err := g.identity.sign(h.append(make([]byte, 0, overhead)), unsentOf(addressee, g.signer.group))
	if err != nil {
		return nil
	}
	return b
}

// receiveChallenge answers, if it is this socket's session that is asked for.
//
// The answer tells the first number that is fresh there. Who gets the first
// answer has read nothing of this session yet, in no earlier run: all is fresh.
// Later it is what was signed since that run began, by a clock. That of the other
// end may go faster, and this one may have stood still: so not the whole age
// counts, and not more of it than a nonce is good for.
func (g *gate) receiveChallenge(now time.Time, p path, h *header, b []byte) (reply []byte, o outcome) {
	switch {
	case h.session != g.signer.session:
		return nil, stale
	case !g.places.isFree(now, p.address, &p.key, g.hold):
		return nil, addressTaken
	case !g.budget.challenges.take(now.Sub(g.opened), perReply):
		return nil, tooMany
	case !isSigned(&h.key, b, unsentOf(&g.identity.public, g.signer.group)):
		return nil, badSignature
	}
	first := uint64(1)
	if g.answered[h.key] {
		age := time.Duration(min(h.mark, uint64(nonceLife.Milliseconds()))) * time.Millisecond
		first = g.signer.firstSince(now, age-age/1000)
	}
	g.answered[h.key] = true
	a := header{kindAnswer, first, g.identity.public, h.session, h.number}
	return g.handshake(&a, &h.key), answered
}

// receiveAnswer confirms a path, if it brings back the nonce of a challenge. No
// memory of that is needed: who floods the lobby keeps nobody out.
func (g *gate) receiveAnswer(now time.Time, p path, h *header, b []byte) outcome {
	s := g.session(p.key, p.session)
	switch {
	case g.route(s, p.address) != nil:
		return stale
	case !g.places.isFree(now, p.address, &p.key, g.hold):
		return addressTaken
	case h.number != g.nonce(now, p, 0) && h.number != g.nonce(now, p, 1):
		return stale
	case !g.budget.answers.take(now.Sub(g.opened), perReply):
		return tooMany
	case !isSigned(&h.key, b, unsentOf(&g.identity.public, g.signer.group)):
		return badSignature
	}
	if s == nil {
		s = g.newSession(h)
	}
	if !g.confirm(now, s, p.address) {
		return addressTaken
	}
	for _, waited := range g.lobby.leave(p) {
		if !s.window.isNew(waited.number) {
			g.stats[replayed].Add(1)
			continue
		}
		s.window.add(waited.number)
		g.ready = append(g.ready, parcel{waited.payload, p.address})
		g.stats[delivered].Add(1)
	}
	return confirmed
}

// newSession returns the session that an answer speaks of. It takes only what
// was signed since this end has known all that came of it.
func (g *gate) newSession(h *header) *session {
	s := &session{key: h.key, number: h.session}
	s.window.begin(h.mark)
	if g.groupKey != nil {
		s.seal = newSeal(g.groupKey, g.signer.group, &h.key, h.session)
	}
	return s
}

// nonce returns what a path must bring back that is challenged now, or was in an
// earlier period. It is another one once a session of the key is forgotten.
func (g *gate) nonce(now time.Time, p path, periodsAgo int64) uint64 {
	var forgotten uint64
	if known := g.peers[p.key]; known != nil {
		forgotten = known.forgotten
	}
	text := append(g.text[:0], p.key[:]...)
	text = binary.BigEndian.AppendUint64(text, p.session)
	text = binary.BigEndian.AppendUint64(text, forgotten)
	text = binary.BigEndian.AppendUint64(text, uint64(int64(now.Sub(g.opened)/noncePeriod)-periodsAgo))
	g.text, _ = p.address.AppendBinary(text)
	g.mac.Reset()
	g.mac.Write(g.text)
	g.text = g.mac.Sum(g.text[:0])
	return binary.BigEndian.Uint64(g.text)
}
