package reliable

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/seed287501ae/sockets"
)

const (
	maxQueue  = 4096 // datagrams that wait to be written
	maxFree   = 256  // buffers kept for more: what a window holds
	scanEvery = time.Millisecond
)

// An engine is a socket without the socket: datagrams and messages go in,
// datagrams and messages come out, and time is what the caller says.
type engine struct {
	window      int
	silence     time.Duration // not positive: for ever
	sendTimeout time.Duration // not positive: none
	maxPeers    int           // that sent first; not positive: any number
	stats       *counters

	jar      *jar
	graves   graves
	peers    map[netip.AddrPort]*peer
	incoming int       // how many of them are
	full     time.Time // before then, no peer gives way to a newcomer
	touched  []*peer   // those to serve
	wake     time.Time // when collect is to be called; zero if never
	scanned  time.Time // when collect last looked for deadlines that have come
	leaving  bool
	failed   error // of the first peer that did not take everything, while leaving

	out   []datagram // to be written, in this order
	free  [][]byte   // buffers for more
	ready []*peer    // those of whom something may be read, in turn
	spans []span     // scratch of parseAck
}

type datagram struct {
	to      netip.AddrPort
	payload []byte
	err     error // of writing it
}

func newEngine(now time.Time, cfg Config, stats *counters) *engine {
	return &engine{
		window:      cfg.Window,
		silence:     cfg.Silence,
		sendTimeout: cfg.SendTimeout,
		maxPeers:    cfg.MaxPeers,
		stats:       stats,
		jar:         newJar(now),
		graves:      graves{last: make(map[netip.AddrPort]time.Time)},
		peers:       make(map[netip.AddrPort]*peer),
	}
}

// receive takes a datagram, of which it keeps nothing.
func (e *engine) receive(now time.Time, from netip.AddrPort, b []byte) {
	e.stats.received.Add(1)
	t, chunks, kinds, fault := parse(b)
	switch {
	case fault == foreign:
		e.stats.foreign.Add(1)
		return
	case fault == malformed:
		e.stats.malformed.Add(1)
		return
	case kinds&setOf(hello, cookie, echo) != 0:
		switch k, body, _ := cut(chunks); {
		case k == cookie:
			e.receiveCookie(now, from, t, body)
		case k == hello:
			e.receiveHello(now, from, t)
		default:
			e.receiveEcho(now, from, t, body)
		}
		return
	}
	p := e.peers[from]
	if p != nil && p.life != nil && p.life.isWelcomed(t, kinds) {
		p.life.open(now, now, t.from)
	}
	if p == nil || p.life == nil || !p.life.isNamed(t) {
		e.stats.stray.Add(1)
		if kinds&setOf(data, bye) != 0 {
			e.emit(from, appendChunk(appendHeader(e.buffer(), tags{to: t.from, from: t.to}), gone))
		}
		return
	}
	e.touch(now, p)
	for len(chunks) > 0 && p.life != nil {
		var k kind
		var body []byte
		k, body, chunks = cut(chunks)
		e.receiveChunk(now, p, k, body)
	}
}

func (e *engine) receiveChunk(now time.Time, p *peer, k kind, body []byte) {
	a := p.life
	switch k {
	case data:
		number, transmission, payload := parseData(body)
		if !a.receiver.accept(now, number, transmission, payload) {
			e.stats.duplicate.Add(1)
		}
		e.enqueue(p)
		if a.state == leaving {
			a.retries = 0
		}
	case ack:
		acknowledged, ok := parseAck(body, e.spans[:0])
		e.spans = acknowledged.ranges
		if ok && a.sender.acknowledged(now, acknowledged) {
			a.heard, p.trouble = now, nil
		} else {
			e.stats.malformed.Add(1)
		}
		if a.sender.held < e.window {
			p.wakeWriters()
		}
	case bye:
		// Who says goodbye waits for the answer, and acknowledges meanwhile: there is
		// still time for the last words of this end, if it leaves too.
		if e.leaving && a.sender.outstanding() {
			a.sender.expires = now
			return
		}
		e.emit(p.address, appendChunk(appendHeader(e.buffer(), a.tags()), gone))
		a.sender.dropped = !e.leaving && binary.BigEndian.Uint64(body) < a.sender.end()
		e.end(now, p, "it has closed its socket")
	case gone:
		e.end(now, p, "it has restarted, or closed its socket")
	}
}

// enqueue says that something of p may be read, if that is so.
func (e *engine) enqueue(p *peer) {
	if p.isUnread() && !p.queued {
		p.queued = true
		e.ready = append(e.ready, p)
	}
}

// read takes what is ready first: a message, as far as b has room, or an error.
// Then it is the turn of the other peers.
func (e *engine) read(now time.Time, b []byte) (n int, from netip.AddrPort, err error) {
	p := e.ready[0]
	e.dequeue(p)
	if p.news != nil && p.before == 0 {
		err, p.news = p.news, nil
	} else {
		n = p.inbox.take(b)
		p.before--
	}
	e.enqueue(p)
	if p.life == nil {
		e.forget(p)
	} else if p.life.receiver.read(now); p.life.receiver.due(now) {
		e.touch(now, p)
	}
	return n, p.address, err
}

func (e *engine) dequeue(p *peer) {
	if p.queued {
		p.queued = false
		i := slices.Index(e.ready, p)
		e.ready = slices.Delete(e.ready, i, i+1)
	}
}

// send queues a message. If there is no room for it, it returns what is closed
// when there is.
func (e *engine) send(now time.Time, to netip.AddrPort, message []byte) (wait <-chan struct{}, err error) {
	p := e.admit(now, to, false)
	if p == nil {
		return nil, fmt.Errorf("reliable: %v is one peer more than the program may send to, %d: raise Config.MaxPeers", to, e.places(false))
	}
	if err := p.owed; err != nil {
		p.owed = nil
		e.forget(p)
		return nil, err
	}
	if p.life == nil {
		p.life = e.newAssociation(now, p)
	}
	if p.life.sender.held >= e.window {
		if due(now, e.givesUpSending(p)) {
			return nil, fmt.Errorf("%w: %v has taken nothing for %v (reliable.Config.SendTimeout): does it read? %w",
				sockets.ErrSlow, to, e.sendTimeout, os.ErrDeadlineExceeded)
		}
		if p.room == nil {
			p.room = make(chan struct{})
			e.wake = earliest(e.wake, e.deadline(p))
		}
		return p.room, nil
	}
	if !p.life.sender.outstanding() {
		p.life.heard, p.life.sender.taken = now, now
	}
	p.life.sender.push(message)
	e.touch(now, p)
	return nil, nil
}

// leave begins the goodbye: nothing is read any more, nothing new is sent.
func (e *engine) leave(now time.Time) {
	e.leaving = true
	e.ready = nil
	for _, p := range e.peers {
		if p.news != nil && e.failed == nil {
			e.failed = p.owed // neither who reads nor who writes was told
		}
		p.owed, p.news = nil, nil
		if p.life == nil {
			e.drop(p)
			continue
		}
		p.life.receiver.shutDown()
		p.life.receiver.read(now)
		p.wakeWriters()
		e.touch(now, p)
	}
}

// gone reports whether all goodbyes are said.
func (e *engine) gone() bool {
	for _, p := range e.peers {
		if p.life != nil {
			return false
		}
	}
	return true
}

// touch says that p is to be served.
func (e *engine) touch(now time.Time, p *peer) {
	p.active = now
	if !p.touched {
		p.touched = true
		e.touched = append(e.touched, p)
	}
}

// collect serves those who were touched and, if it is time, all whose deadline
// has come. It looks for these once a millisecond at most, as there may be many
// peers.
func (e *engine) collect(now time.Time) {
	if due(now, e.wake) && now.Sub(e.scanned) >= scanEvery {
		e.wake, e.scanned = time.Time{}, now
		for _, p := range e.peers {
			if p.life == nil {
				continue
			}
			deadline := e.deadline(p)
			if due(now, deadline) && !p.touched {
				p.touched = true
				e.touched = append(e.touched, p)
			} else {
				e.wake = earliest(e.wake, deadline)
			}
		}
	}
	for _, p := range e.touched {
		p.touched = false
		e.serve(now, p)
		if p.life != nil {
			e.wake = earliest(e.wake, e.deadline(p))
		}
	}
	e.touched = e.touched[:0]
	if next := e.scanned.Add(scanEvery); !e.wake.IsZero() && e.wake.Before(next) {
		e.wake = next
	}
}

// buffer returns an empty buffer for a datagram.
func (e *engine) buffer() []byte {
	if n := len(e.free); n > 0 {
		b := e.free[n-1]
		e.free = e.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, maxDatagram)
}

// recycle takes back a buffer, if there are not enough.
func (e *engine) recycle(b []byte) {
	if len(e.free) < maxFree {
		e.free = append(e.free, b)
	}
}

// emit queues a datagram. As in a router, one for which the queue has no room
// is dropped.
func (e *engine) emit(to netip.AddrPort, b []byte) {
	if len(e.out) >= maxQueue {
		e.stats.dropped.Add(1)
		e.recycle(b)
		return
	}
	e.out = append(e.out, datagram{to, b, nil})
}

// written takes back datagrams that were written.
func (e *engine) written(batch []datagram) {
	for i := range batch {
		d := &batch[i]
		if d.err != nil {
			e.troubled(d.to, d.err)
		} else {
			e.stats.sent.Add(1)
		}
		e.recycle(d.payload)
		*d = datagram{}
	}
}

// troubled tells of an error at the socket that concerns one peer. It may pass;
// if the peer stays silent, it is the reason.
func (e *engine) troubled(address netip.AddrPort, err error) {
	if p := e.peers[address]; p != nil {
		p.trouble = err
	}
}

// unfinished returns the error of a peer that has not acknowledged everything,
// if there is one.
func (e *engine) unfinished() error {
	if e.failed != nil {
		return e.failed
	}
	for _, p := range e.peers {
		if p.life != nil && p.life.sender.outstanding() {
			return fmt.Errorf("%v has not acknowledged everything: %w", p.address, os.ErrDeadlineExceeded)
		}
	}
	return nil
}
