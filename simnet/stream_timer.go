package simnet

import (
	"syscall"
	"time"
)

const (
	keepAliveInterval = 15 * time.Second
	keepAliveProbes   = 9

	// A stream without progress is given up after so long.
	dialPatience   = 127 * time.Second
	acceptPatience = 63 * time.Second
	patience       = 924600 * time.Millisecond
)

// dueLocked returns when the timer should go off: zero, if it need not.
func (s *stream) dueLocked() time.Time {
	switch {
	case s.dead:
	case !s.out.isIdle():
		return s.out.started.Add(s.out.timeout())
	case !s.closed:
		return s.heard.Add(time.Duration(s.out.tries+1) * keepAliveInterval)
	}
	return time.Time{}
}

// armLocked sets the timer. One that would go off too early stays: it is set
// again then.
func (s *stream) armLocked(now time.Time) {
	at := s.dueLocked()
	if at.IsZero() || !s.alarm.IsZero() && !at.Before(s.alarm) {
		return
	}
	s.alarm = at
	s.alarms++
	number := s.alarms
	s.host.network.atLocked(at, order{s.flow, number, 3}, func(now time.Time) {
		if number == s.alarms {
			s.alarm = time.Time{}
			s.ringLocked(now)
		}
	})
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
	case idle && o.tries == keepAliveProbes, !idle && now.Sub(o.since) >= s.patienceLocked():
		s.dieLocked(syscall.ETIMEDOUT)
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
