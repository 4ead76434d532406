package simnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets/internal/deadline"
)

// ends are those of a stream, as one of them sees it.
type ends struct{ local, remote netip.AddrPort }

// A stream is one end of a TCP connection, and a net.Conn.
//
// It has no goroutine: calls, arriving segments and one timer move it. The other
// end's *stream stands for what initial sequence numbers are in TCP: it tells one
// connection from a later one between the same endpoints, so that nothing has to
// wait in TIME_WAIT.
type stream struct {
	ends
	host    *Host
	network string
	flow    uint64 // hash

	readDeadline, writeDeadline deadline.Deadline

	writing  chan struct{} // one slot; holding it is the right to write
	readable chan struct{} // one slot: who reads should look again
	writable chan struct{} // one slot: who writes should look again
	settled  chan struct{} // closed when the handshake is over
	gone     chan struct{} // closed with the stream, by this end

	// The network's mutex guards what follows.
	receiver *Host     // of what it sends; nil while nobody has the remote address
	lane     *lane     // to the receiver
	peer     *stream   // nil until it is known
	listener *listener // whose backlog has it, until the handshake is over
	in       incoming
	out      outgoing
	pending  []byte // of the Write that waits
	flushing bool
	heard    time.Time // when something arrived last
	alarm    *alarm    // nil: none is set
	alarms   uint64    // set so far
	abrupt   bool      // Close sends a reset
	closed   bool      // by this end, or it crashed
	dead     bool      // it neither sends nor receives any more
	fault    error     // why it is dead, for the next call
}

func (h *Host) newStreamLocked(now time.Time, network string, e ends) *stream {
	s := &stream{
		ends:     e,
		host:     h,
		network:  network,
		flow:     hash(tcp, e.local, e.remote),
		writing:  make(chan struct{}, 1),
		readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1),
		settled:  make(chan struct{}),
		gone:     make(chan struct{}),
		in:       newIncoming(),
		out:      newOutgoing(now),
		heard:    now,
	}
	h.streams[e] = s
	return s
}

func (s *stream) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(s.local) }
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

func (s *stream) Read(buffer []byte) (int, error) {
	for {
		n, err := s.take(buffer)
		switch {
		case err == io.EOF:
			return 0, io.EOF
		case err != nil:
			return 0, s.fail("read", err)
		case n > 0 || len(buffer) == 0:
			return n, nil
		}
		select {
		case <-s.readable:
		case <-s.gone:
		case <-s.readDeadline.Passed():
		}
	}
}

// take returns what a read returns at once: nothing, if it has to wait.
func (s *stream) take(buffer []byte) (int, error) {
	now := s.host.network.lock()
	defer s.host.network.unlock(now)
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case len(buffer) == 0:
		return 0, nil
	case s.readDeadline.HasPassed():
		return 0, os.ErrDeadlineExceeded
	}
	n := s.in.take(buffer)
	if s.in.hasNews() {
		s.in.owes = true
		s.flushLocked(now)
	}
	over := s.in.ended || s.in.shut || s.dead
	if over || len(s.in.unread) > 0 {
		wake(s.readable) // another reader need not wait either
	}
	switch fault := s.fault; {
	case n > 0:
		return n, nil
	case fault != nil && !s.in.ended:
		s.fault = nil
		return 0, os.NewSyscallError("read", fault)
	case over:
		return 0, io.EOF
	}
	return 0, nil
}

func (s *stream) Write(payload []byte) (int, error) {
	taken, err := s.write(payload)
	if err != nil {
		return taken, s.fail("write", err)
	}
	return taken, nil
}

func (s *stream) write(payload []byte) (int, error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-s.gone:
		return 0, net.ErrClosed
	}
	for fresh := payload; ; fresh = nil {
		left, err := s.put(fresh)
		if err != nil || left == 0 {
			return len(payload) - left, err
		}
		select {
		case <-s.writable:
		case <-s.gone:
		case <-s.writeDeadline.Passed():
		}
	}
}

// put begins to write what is fresh, or goes on with what is pending, and returns
// how many bytes are left.
func (s *stream) put(fresh []byte) (left int, err error) {
	now := s.host.network.lock()
	defer s.host.network.unlock(now)
	if fresh != nil {
		s.pending = fresh
	}
	switch fault := s.fault; {
	case s.closed:
		err = net.ErrClosed
	case s.writeDeadline.HasPassed():
		err = os.ErrDeadlineExceeded
	case fault != nil:
		s.fault = nil
		err = os.NewSyscallError("write", fault)
	case s.dead || s.out.shut:
		err = os.NewSyscallError("write", syscall.EPIPE)
	default:
		s.fillLocked(now)
		s.flushLocked(now)
		return len(s.pending), nil
	}
	left, s.pending = len(s.pending), nil
	return left, err
}

// fillLocked moves what is pending to where there is room.
func (s *stream) fillLocked(now time.Time) {
	if len(s.pending) == 0 || s.out.shut {
		return
	}
	s.pending = s.pending[s.out.put(now, s.pending):]
	if len(s.pending) == 0 {
		s.pending = nil
		wake(s.writable)
	}
}

func (s *stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

func (s *stream) SetReadDeadline(t time.Time) error  { return s.setDeadline(&s.readDeadline, t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.writeDeadline, t) }

func (s *stream) setDeadline(d *deadline.Deadline, t time.Time) error {
	s.host.network.mu.Lock()
	defer s.host.network.mu.Unlock()
	if s.closed {
		return &net.OpError{Op: "set", Net: s.network, Addr: s.LocalAddr(), Err: net.ErrClosed}
	}
	d.Set(t)
	return nil
}

// fail returns err as package net spells it.
func (s *stream) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: s.network, Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

func wake(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}
