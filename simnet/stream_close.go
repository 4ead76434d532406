package simnet

import (
	"net"
	"os"
	"syscall"
	"time"
)

// CloseWrite ends what this end sends: the other end reads [io.EOF] after it.
func (s *stream) CloseWrite() error {
	return s.shutdown(func(now time.Time) {
		s.out.end(now)
		wake(s.writable)
		s.flushLocked(now)
	})
}

// CloseRead makes Read return [io.EOF] once it has returned what has arrived.
// The other end does not learn of it.
func (s *stream) CloseRead() error {
	return s.shutdown(func(time.Time) {
		s.in.shut = true
		wake(s.readable)
	})
}

func (s *stream) shutdown(half func(now time.Time)) error {
	now := s.host.network.lock()
	defer s.host.network.unlock(now)
	switch {
	case s.closed:
		return s.fail("close", net.ErrClosed)
	case s.dead:
		return s.fail("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	half(now)
	return nil
}

// SetLinger makes Close reset the stream for 0, and send what was written in the
// background, as it does by default, for any other number of seconds.
func (s *stream) SetLinger(seconds int) error {
	s.host.network.mu.Lock()
	defer s.host.network.mu.Unlock()
	if s.closed {
		return s.fail("set", net.ErrClosed)
	}
	s.abrupt = seconds == 0
	return nil
}

// Close returns at once. What was written is sent all the same, unless there is
// unread input: then the other end is reset.
func (s *stream) Close() error {
	now := s.host.network.lock()
	defer s.host.network.unlock(now)
	if s.closed {
		return s.fail("close", net.ErrClosed)
	}
	s.closeLocked()
	switch {
	case s.dead:
	case s.abrupt || len(s.in.unread) > 0:
		s.resetLocked(now, nil)
	default:
		s.out.end(now)
		s.flushLocked(now)
	}
	s.in.unread = nil
	return nil
}

func (s *stream) closeLocked() {
	s.closed = true
	s.readDeadline.Set(time.Time{})
	s.writeDeadline.Set(time.Time{})
	close(s.gone)
}

// resetLocked tells the other end that the stream is no more.
func (s *stream) resetLocked(now time.Time, fault error) {
	s.transmitLocked(now, segment{rst: true})
	s.dieLocked(now, fault)
}

// vanishLocked is what a crash does.
func (s *stream) vanishLocked(now time.Time) {
	s.dieLocked(now, nil)
	if !s.closed {
		s.closeLocked()
	}
}

// dieLocked ends the stream at both sides of this end. What has arrived can
// still be read. The other end may have to find out.
func (s *stream) dieLocked(now time.Time, fault error) {
	if s.dead {
		return
	}
	s.dead, s.fault = true, fault
	s.forgetLocked()
	s.settleLocked()
	wake(s.readable)
	wake(s.writable)
	if s.peer != nil {
		s.peer.armLocked(now)
	}
}

// hasPortLocked reports whether no other stream can have these ends.
func (s *stream) hasPortLocked() bool { return s.host.streams[s.ends] == s }

// forgetLocked gives back the port, and the memory. One that has ended well still
// answers what comes late.
func (s *stream) forgetLocked() {
	if s.hasPortLocked() {
		delete(s.host.streams, s.ends)
	}
	s.disarmLocked()
	s.in.ahead, s.out.data, s.out.flight = nil, nil, nil
}

// settleLocked ends the handshake, well or not.
func (s *stream) settleLocked() {
	if s.listener != nil {
		s.listener.settleLocked(s)
		s.listener = nil
	}
	select {
	case <-s.settled:
	default:
		close(s.settled)
	}
}
