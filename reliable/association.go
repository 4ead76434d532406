package reliable

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// The states of an association, in the order of a life.
type state int

const (
	greeting state = iota // a HELLO was sent
	echoing               // an ECHO was sent
	open
	leaving // a BYE was sent
)

// How long a step of the handshake waits for its answer: the first time, and
// the most. No round trip is known then.
const (
	firstRetry = 250 * time.Millisecond
	maxRetry   = 500 * time.Millisecond
)

// A goodbye that is not answered is said so many times, this far apart.
const (
	goodbyes = 8
	byeRetry = firstRetry
)

// An association is what two ends know of each other, from a handshake to a
// goodbye or until one gives up.
type association struct {
	state         state
	local, remote uint64    // tags
	born          time.Time // no cookie baked before then replaces it
	cookie        [cookieSize]byte

	retryAt time.Time // when the step of the handshake, or the goodbye, is repeated; zero in open
	retries int
	greet   bool      // a WELCOME is to be sent
	heard   time.Time // when the silence began: the peer acknowledged, or something began to wait for that

	sender   sender
	receiver receiver
}

func (e *engine) newAssociation(now time.Time, p *peer) *association {
	p.trouble = nil
	return &association{
		local:    newTag(),
		heard:    now,
		retryAt:  now,
		sender:   newSender(e.window, e.stats),
		receiver: newReceiver(&p.inbox, e.window),
	}
}

// newTag returns a random number that is not zero.
func newTag() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if tag := binary.BigEndian.Uint64(b[:]); tag != 0 {
			return tag
		}
	}
}

func (a *association) tags() tags { return tags{to: a.remote, from: a.local} }

func (a *association) open(now, born time.Time, remote uint64) {
	a.state, a.remote, a.born = open, remote, born
	a.retryAt, a.retries = time.Time{}, 0
	a.heard, a.sender.taken = now, now
}

// isWelcomed reports whether a datagram is the first of the peer's association,
// which a WELCOME is or, if that got lost, what follows it.
func (a *association) isWelcomed(t tags, kinds uint) bool {
	return a.state == echoing && t.to == a.local && t.from != 0 && kinds&setOf(welcome, data, ack) != 0
}

// isNamed reports whether a datagram is for this association, from its peer.
func (a *association) isNamed(t tags) bool {
	return a.state >= open && t == tags{to: a.local, from: a.remote}
}

// waits reports whether the peer owes an answer.
func (a *association) waits() bool { return a.state < open || a.sender.outstanding() }

// isStranger reports whether no message was ever sent either way.
func (a *association) isStranger() bool {
	return a.sender.end() == 0 && !a.sender.outstanding() && a.receiver.next == 0 && len(a.receiver.ahead) == 0
}

// deadline returns when serve is to be called again, zero if never.
func (e *engine) deadline(p *peer) time.Time {
	a := p.life
	t := earliest(earliest(a.retryAt, a.receiver.ackAt), a.sender.expires)
	if e.silence > 0 && a.waits() {
		t = earliest(t, a.heard.Add(e.silence))
	}
	if p.room != nil {
		t = earliest(t, e.givesUpSending(p))
	}
	return t
}

// givesUpSending returns when who waits for room has waited for long enough, zero
// if never.
func (e *engine) givesUpSending(p *peer) time.Time {
	if e.sendTimeout <= 0 || p.life.state < open {
		return time.Time{}
	}
	return p.life.sender.taken.Add(e.sendTimeout)
}

// earliest returns the earlier of two times; zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due reports whether t has come; zero never does.
func due(now, t time.Time) bool { return !t.IsZero() && !now.Before(t) }

// serve does what is to be done now: it gives up, transmits, acknowledges.
func (e *engine) serve(now time.Time, p *peer) {
	a := p.life
	switch {
	case a == nil:
	case e.silence > 0 && a.waits() && now.Sub(a.heard) >= e.silence:
		why := "no acknowledgement in " + e.silence.String()
		if a.state < open {
			why = "no handshake in " + e.silence.String()
		}
		if p.trouble != nil {
			why += ": " + p.trouble.Error()
		}
		e.end(now, p, why)
	case a.state < open:
		e.repeatHandshake(now, p)
	default:
		e.transmit(now, p)
	}
	if p.life != nil && due(now, e.givesUpSending(p)) {
		p.wakeWriters()
	}
}

func (e *engine) repeatHandshake(now time.Time, p *peer) {
	a := p.life
	if !due(now, a.retryAt) {
		return
	}
	b := appendHeader(e.buffer(), tags{from: a.local})
	if a.state == greeting {
		b = appendChunk(b, hello, make([]byte, cookieSize))
	} else {
		b = appendChunk(b, echo, a.cookie[:])
	}
	e.emit(p.address, b)
	a.retryAt = now.Add(min(firstRetry<<min(a.retries, 8), maxRetry))
	a.retries++
}

// transmit sends what the windows allow, the acknowledgement that is due, with
// data where it fits, and the goodbye when all is done.
func (e *engine) transmit(now time.Time, p *peer) {
	a := p.life
	if a.greet {
		a.greet = false
		e.emit(p.address, appendChunk(appendHeader(e.buffer(), a.tags()), welcome))
	}
	if due(now, a.sender.expires) {
		a.sender.timeout()
	}
	for {
		number, transmission, payload, ok := a.sender.next(now)
		if !ok {
			break
		}
		b := appendData(appendHeader(e.buffer(), a.tags()), number, transmission, payload)
		room := maxDatagram - len(b) - chunkHead - ackHead
		if !a.receiver.ackAt.IsZero() && len(a.receiver.ranges)*rangeSize <= room {
			b = appendAck(b, a.receiver.acknowledge())
		}
		e.emit(p.address, b)
	}
	if a.receiver.due(now) {
		e.emit(p.address, appendAck(appendHeader(e.buffer(), a.tags()), a.receiver.acknowledge()))
	}
	if e.leaving && !a.sender.outstanding() {
		e.sayGoodbye(now, p)
	}
}

func (e *engine) sayGoodbye(now time.Time, p *peer) {
	a := p.life
	if a.state == leaving && !due(now, a.retryAt) {
		return
	}
	if a.retries == goodbyes {
		e.end(now, p, "")
		return
	}
	a.state = leaving
	a.retries++
	a.retryAt = now.Add(byeRetry)
	e.emit(p.address, appendBye(appendHeader(e.buffer(), a.tags()), a.receiver.unread()))
}
