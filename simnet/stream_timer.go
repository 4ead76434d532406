package simnet

import (
	"syscall"
	"time"
)

const (
	keepAliveInterval = 15 * time.Second
	keepAliveProbes   = 9

	// A stream that was closed waits so long for the other end to be.
	orphanPatience = time.Minute

	// A stream without progress is given up after so long.
	dialPatience   = 127 * time.Second
	acceptPatience = 63 * time.Second
	patience       = 924600 * time.Millisecond
)

// An alarm goes off at its time, unless its stream is nil by then.
type alarm struct {
	stream *stream
	at     time.Time
}

// dueLocked returns when the timer should go off: zero, if it need not.
func (s *stream) dueLocked() time.Time {
	idle := s.out.isIdle()
	switch {
	case s.dead, s.closed && idle && s.in.ended:
	case s.closed && idle:
		return s.out.started.Add(orphanPatience)
	case !s.closed && len(s.out.flight) == 0 && s.out.tries == 0 && s.isSafeLocked():
	case !idle:
		return s.out.started.Add(s.out.timeout())
	default:
		return s.heard.Add(time.Duration(s.out.tries+1) * keepAliveInterval)
	}
	return time.Time{}
}

// isSafeLocked reports whether the stream, of which nothing is in flight, can wait
// without asking: the other end is there, all it said was heard, and what it will
// say is going to be.
func (s *stream) isSafeLocked() bool {
	p := s.peer
	return p != nil && !p.dead && s.lane.isOpenLocked() && p.lane.isOpenLocked() && (s.out.isIdle() || p.in.edge <= s.out.edge)
}

// isOpenLocked reports whether something gets through.
func (l *lane) isOpenLocked() bool {
	return !l.hold && l.link.Loss < 1 && !l.from.network.isCutLocked(l)
}

// armLocked sets the timer. One that would go off too early stays: it is set
// again then.
func (s *stream) armLocked(now time.Time) {
	at := s.dueLocked()
	if at.IsZero() || s.alarm != nil && !at.Before(s.alarm.at) {
		return
	}
	if !at.After(now) { // it was safe until now: asked, the other end would have answered
		s.heard = s.heard.Add(now.Sub(s.heard).Truncate(keepAliveInterval))
		s.out.restart(now)
		at = s.dueLocked()
	}
	s.disarmLocked()
	a := &alarm{s, at}
	s.alarm = a
	s.alarms++
	s.host.network.atLocked(at, order{s.flow, s.alarms, 3}, func(now time.Time) {
		if s := a.stream; s != nil {
			s.alarm = nil
			s.ringLocked(now)
		}
	})
}

func (s *stream) disarmLocked() {
	if s.alarm != nil {
		s.alarm.stream, s.alarm = nil, nil
	}
}

// ringLocked does what is due: it sends the first segment again, or asks for a
// sign of life.
func (s *stream) ringLocked(now time.Time) {
	at, o := s.dueLocked(), &s.out
	if at.IsZero() {
		return
	}
	if now.Before(at) {
		s.armLocked(now)
		return
	}
	idle := o.isIdle()
	switch {
	case idle && s.closed:
		s.dieLocked(now, nil)
		return
	case idle && o.tries == keepAliveProbes, !idle && now.Sub(o.since) >= s.patienceLocked():
		s.dieLocked(now, syscall.ETIMEDOUT)
		return
	case s.closed && len(o.flight) == 0 && o.timeout() == maxTimeout:
		s.resetLocked(now, nil) // nobody reads there, and nobody waits here
		return
	}
	o.tries++
	o.started = now
	if len(o.flight) > 0 {
		o.flight[0].due = true
	} else {
		s.transmitLocked(now, segment{asks: true})
	}
	s.flushLocked(now)
}

// patienceLocked is how long the stream waits for progress.
func (s *stream) patienceLocked() time.Duration {
	switch {
	case s.out.acked >= 0:
		return patience
	case s.listener != nil:
		return acceptPatience
	}
	return dialPatience
}
