package simnet

import (
	"math"
	"syscall"
	"time"
)

// A segment is a packet of a stream, and what TCP has in its header.
type segment struct {
	packet
	source, target *stream // target is nil in a SYN, as nobody knows it yet

	syn, fin, rst bool
	asks          bool   // for an acknowledgement, though it carries nothing
	cut           bool   // a read ends here
	offset        int64  // of the payload
	transmission  uint64 // of the source; 0: it carries nothing
	ack           int64  // all before this offset has arrived
	echo          uint64 // and this transmission
	edge          int64  // the source has room up to this offset
}

// sendSegmentLocked sends a segment; a receiver of nil is nowhere.
func (h *Host) sendSegmentLocked(now time.Time, g *segment) {
	g.protocol, g.arrive = tcp, func(now time.Time, _ *packet) Fate { return g.arriveLocked(now) }
	if g.receiver == nil {
		h.network.seeLocked(now, &g.packet, Sent)
		h.network.seeLocked(now, &g.packet, Parted)
		return
	}
	h.network.sendLocked(now, h, &g.packet)
}

// refuseLocked answers a segment that no stream wants.
func (g *segment) refuseLocked(now time.Time) Fate {
	if !g.rst {
		h := g.receiver
		h.sendSegmentLocked(now, &segment{
			packet: packet{from: g.to, to: g.from, receiver: h.hostLocked(g.from.Addr())},
			source: g.target,
			target: g.source,
			rst:    true,
		})
	}
	return Refused
}

// arriveLocked gives a segment to the stream or listener that it is for.
func (g *segment) arriveLocked(now time.Time) Fate {
	s := g.target
	switch {
	case s == nil:
		return g.receiver.answerLocked(now, g)
	case s.dead, s.peer != g.source && !(s.peer == nil && g.syn):
		return g.refuseLocked(now)
	case s.listener != nil && g.ack >= 0 && s.listener.isFullLocked(): // it shall try again
		return Overflowed
	}
	s.receiveLocked(now, g)
	return Delivered
}

// receiveLocked takes a segment, and sends what becomes possible by it.
func (s *stream) receiveLocked(now time.Time, g *segment) {
	s.heard = now
	if g.rst {
		s.dieLocked(now, s.resetErrorLocked())
		return
	}
	if g.syn {
		s.peer, s.in.next = g.source, max(s.in.next, 0)
	}
	if s.out.isIdle() {
		s.out.tries = 0
	} else if len(s.out.flight) == 0 {
		s.out.since = now
	}
	s.out.edge = max(s.out.edge, g.edge)
	if s.out.acknowledge(now, g.ack, g.echo) {
		if s.out.acked == 0 {
			s.settleLocked()
		}
		s.fillLocked(now)
		if reset := s.lane.link.Reset; reset > 0 && s.out.acked >= reset {
			s.resetLocked(now, syscall.ECONNRESET)
			return
		}
	}
	if g.transmission > 0 || g.asks {
		s.in.owes, s.in.echo = true, g.transmission
	}
	if p := (piece{g.offset, g.payload, g.cut}); len(g.payload) > 0 || g.fin {
		if s.closed && len(g.payload) > 0 && p.end() > s.in.next {
			s.resetLocked(now, nil)
			return
		}
		s.in.insert(p)
		wake(s.readable)
	}
	s.flushLocked(now)
}

// resetErrorLocked is what a reset means.
func (s *stream) resetErrorLocked() error {
	switch {
	case s.out.acked < 0:
		return syscall.ECONNREFUSED
	case s.in.ended:
		return syscall.EPIPE
	}
	return syscall.ECONNRESET
}

// flushLocked sends all that may be sent now, and arms the timer. Where the link
// takes no time, the other end's answer arrives meanwhile, within a call of
// sendLocked.
func (s *stream) flushLocked(now time.Time) {
	if s.flushing {
		return
	}
	s.flushing = true
	for !s.dead && s.sendLocked(now) {
	}
	s.flushing = false
	if s.closed && s.out.isIdle() && s.in.ended {
		s.forgetLocked()
	}
	s.armLocked(now)
}

// sendLocked sends one segment, if there is one to be sent.
func (s *stream) sendLocked(now time.Time) bool {
	size, limit := s.limitsLocked()
	s.out.extend(now, size, limit)
	if e, ok := s.out.transmit(now, size); ok {
		payload := s.out.payload(e)
		s.transmitLocked(now, segment{
			packet:       packet{payload: payload},
			syn:          e.from < 0,
			fin:          e.from >= 0 && len(payload) == 0,
			cut:          s.lane != nil && s.lane.link.Slice > 0,
			offset:       e.from,
			transmission: e.transmission,
		})
		return true
	}
	if s.in.owes {
		s.transmitLocked(now, segment{})
		return true
	}
	return false
}

// limitsLocked returns how many bytes a segment may carry, and from which offset
// on the link carries nothing.
func (s *stream) limitsLocked() (size, limit int64) {
	if s.lane == nil {
		return 1, 0
	}
	link := &s.lane.link
	limit = math.MaxInt64
	for _, end := range []int64{link.Stall, link.Reset} {
		if end > 0 {
			limit = min(limit, end)
		}
	}
	return link.segment(s.remote.Addr()), limit
}

// transmitLocked sends a segment, with the news that every segment brings.
func (s *stream) transmitLocked(now time.Time, g segment) {
	if s.receiver == nil {
		if s.receiver = s.host.hostLocked(s.remote.Addr()); s.receiver != nil {
			s.lane = s.host.network.laneLocked(s.host, s.receiver)
		}
	}
	news := s.in.hasNews()
	s.in.owes = false
	g.from, g.to, g.receiver = s.local, s.remote, s.receiver
	g.source, g.target = s, s.peer
	g.ack, g.echo, g.edge = s.in.next, s.in.echo, s.in.offer()
	s.host.sendSegmentLocked(now, &g)
	if news && s.peer != nil { // which has to ask, should the news get lost
		s.peer.armLocked(now)
	}
}
