package reliable

import (
	"fmt"
	"net/netip"
	"os"
	"time"
)

const maxQueue = 4096 // datagrams that wait to be written

// An engine is a socket without the socket: datagrams and messages go in,
// datagrams and messages come out, and time is what the caller says.
type engine struct {
	window   int
	silence  time.Duration // not positive: for ever
	maxPeers int           // not positive: any number
	stats    *counters

	jar     *jar
	ended   time.Time // no cookie baked before then opens an association
	peers   map[netip.AddrPort]*peer
	touched []*peer   // those to serve
	wake    time.Time // not after the earliest deadline; zero if there is none
	leaving bool
	failed  error // of the first peer that did not take everything, while leaving

	out   []datagram // to be written, in this order
	free  [][]byte   // buffers for more
	ready []delivery // what may be read, in the order in which it came
	spans []span     // scratch of parseAck
}

type datagram struct {
	to      netip.AddrPort
	payload []byte
	err     error // of writing it
}

// A delivery is messages in the inbox of a peer or, if there are none, an error
// that concerns it.
type delivery struct {
	peer     *peer
	messages int
	err      error
}

func newEngine(now time.Time, cfg Config, stats *counters) *engine {
	return &engine{
		window:   cfg.Window,
		silence:  cfg.Silence,
		maxPeers: cfg.MaxPeers,
		stats:    stats,
		jar:      newJar(now),
		peers:    make(map[netip.AddrPort]*peer),
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
		case t.from == 0:
			e.stats.malformed.Add(1)
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
	p.life.heard, p.trouble = now, nil
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
		messages, fresh := a.receiver.accept(now, number, transmission, payload)
		if !fresh {
			e.stats.duplicate.Add(1)
		}
		e.deliver(delivery{p, messages, nil})
		if a.state == leaving {
			a.retries = 0
		}
	case ack:
		acknowledged, ok := parseAck(body, e.spans[:0])
		e.spans = acknowledged.ranges
		if !ok || !a.sender.acknowledged(now, acknowledged) {
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
		e.end(p, "it has closed its socket")
	case gone:
		e.end(p, "it has restarted, or closed its socket")
	}
}

func (e *engine) deliver(d delivery) {
	if d.messages == 0 && d.err == nil {
		return
	}
	if n := len(e.ready); n > 0 && d.err == nil && e.ready[n-1].peer == d.peer && e.ready[n-1].err == nil {
		e.ready[n-1].messages += d.messages
		return
	}
	e.ready = append(e.ready, d)
}

// read takes what is ready first: a message, as far as b has room, or an error.
func (e *engine) read(now time.Time, b []byte) (n int, from netip.AddrPort, err error) {
	d := &e.ready[0]
	p := d.peer
	from, err = p.address, d.err
	if err != nil {
		p.untold = false
	} else {
		n = p.inbox.take(b)
		d.messages--
	}
	if d.messages == 0 {
		e.dropDelivery()
	}
	if p.life == nil {
		e.forget(p)
	} else if p.life.receiver.read(now); p.life.receiver.due(now) {
		e.touch(now, p)
	}
	return n, from, err
}

func (e *engine) dropDelivery() {
	e.ready[0] = delivery{}
	if len(e.ready) == 1 {
		e.ready = e.ready[:0] // its place serves again
	} else {
		e.ready = e.ready[1:]
	}
}

// send queues a message. If there is no room for it, it returns what is closed
// when there is.
func (e *engine) send(now time.Time, to netip.AddrPort, message []byte) (wait <-chan struct{}, err error) {
	p := e.admit(now, to)
	if p == nil {
		return nil, fmt.Errorf("reliable: %v is one peer more than the limit, %d", to, e.maxPeers)
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
		if p.room == nil {
			p.room = make(chan struct{})
		}
		return p.room, nil
	}
	if !p.life.sender.outstanding() {
		p.life.heard = now
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
		p.inbox.shutDown()
		p.owed = nil
		if p.life == nil {
			delete(e.peers, p.address)
			continue
		}
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
// has come.
func (e *engine) collect(now time.Time) {
	if due(now, e.wake) {
		e.wake = time.Time{}
		for _, p := range e.peers {
			if p.life == nil {
				continue
			}
			deadline := p.life.deadline(e.silence)
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
			e.wake = earliest(e.wake, p.life.deadline(e.silence))
		}
	}
	e.touched = e.touched[:0]
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

// emit queues a datagram. As in a router, one for which the queue has no room
// is dropped.
func (e *engine) emit(to netip.AddrPort, b []byte) {
	if len(e.out) >= maxQueue {
		e.stats.dropped.Add(1)
		e.free = append(e.free, b)
		return
	}
	e.out = append(e.out, datagram{to, b, nil})
}

// written takes back datagrams that were written.
func (e *engine) written(batch []datagram) {
	e.stats.sent.Add(uint64(len(batch)))
	for i := range batch {
		d := &batch[i]
		if p := e.peers[d.to]; d.err != nil && p != nil {
			p.trouble = d.err
		}
		e.free = append(e.free, d.payload)
		*d = datagram{}
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
