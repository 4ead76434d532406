package simnet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets/internal/deadline"
)

// DialContext connects to an address: by a stream for "tcp", "tcp4" and "tcp6",
// and for "udp", "udp4" and "udp6" by a datagram socket that sends to that
// address, and receives from it only.
//
// A stream does what TCP does on Linux, as far as a program can see. Where
// nobody listens, the error is [syscall.ECONNREFUSED]. Where nobody answers, it
// tries again after 1, 2, 4, 8, 16 and 32 seconds, and gives up after 127 seconds
// with [syscall.ETIMEDOUT], or when ctx ends. It has a send and a receive buffer
// of 64 KiB each: Write waits while both are full. What gets lost is sent again,
// after 200 milliseconds and a round trip at first and 120 seconds at last, until
// nothing has been acknowledged for a quarter of an hour (924.6 seconds). On an
// idle stream the other end is asked for a sign of life every 15 seconds, and
// given up after 9 times. Close sends what was written, then the end of the
// stream, but a reset if there is unread input; input after Close is answered by
// a reset too. There is no control of congestion: a sender goes as fast as the
// buffers let it.
//
// The connection has the methods CloseRead, CloseWrite and SetLinger of a
// [net.TCPConn], and where [Link.Slice] is set, a Read returns at most one slice.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return h.dialTCP(ctx, network, address)
	case "udp", "udp4", "udp6":
		c, err := h.dialUDP(ctx, network, address)
		if err == nil {
			return c, nil
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
}

func (h *Host) dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	failure := &net.OpError{Op: "dial", Net: network}
	remote, err := h.resolve(ctx, network, address, true)
	if err != nil {
		failure.Err = contextError(err)
		return nil, failure
	}
	failure.Addr = net.TCPAddrFromAddrPort(remote)
	s, err := h.connect(network, remote)
	if err != nil {
		failure.Err = err
		return nil, failure
	}
	select {
	case <-s.settled:
	case <-ctx.Done():
	}
	now := h.network.lock()
	defer h.network.unlock(now)
	if s.out.acked >= 0 {
		return s, nil
	}
	switch {
	case s.closed:
		failure.Err = net.ErrClosed
	case s.dead:
		failure.Err = os.NewSyscallError("connect", s.fault)
	default:
		failure.Err = contextError(ctx.Err())
		s.dieLocked(nil)
	}
	return nil, failure
}

// connect makes a stream and sends its SYN.
func (h *Host) connect(network string, remote netip.AddrPort) (*stream, error) {
	source, err := h.source(remote.Addr())
	if ip := remote.Addr(); err != nil || ip.IsMulticast() || ip == broadcast {
		return nil, os.NewSyscallError("connect", syscall.ENETUNREACH)
	}
	now := h.network.lock()
	defer h.network.unlock(now)
	if !h.up {
		return nil, os.NewSyscallError("connect", syscall.ENETDOWN)
	}
	port, err := h.portLocked(0, func(port uint16) bool {
		local := netip.AddrPortFrom(source, port)
		return local != remote && len(h.listeners[port]) == 0 && h.streams[ends{local, remote}] == nil
	})
	if err != nil {
		return nil, err
	}
	s := h.newStreamLocked(now, network, ends{netip.AddrPortFrom(source, port), remote})
	s.flushLocked(now)
	return s, nil
}

// contextError spells the end of a context as package net does.
func contextError(err error) error {
	if err == context.DeadlineExceeded {
		return timeoutError{}
	}
	return err
}

// timeoutError is both the context's error and that of a connection.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func (timeoutError) Is(err error) bool {
	return err == context.DeadlineExceeded || err == os.ErrDeadlineExceeded
}

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
	host     *Host
	receiver *Host // of what it sends; nil if nobody has the remote address
	lane     *lane // to the receiver
	network  string
	flow     uint64 // hash

	readDeadline, writeDeadline deadline.Deadline

	writing  chan struct{} // one slot; holding it is the right to write
	readable chan struct{} // one slot: who reads should look again
	writable chan struct{} // one slot: who writes should look again
	settled  chan struct{} // closed when the handshake is over
	gone     chan struct{} // closed with the stream, by this end

	// The network's mutex guards what follows.
	peer     *stream   // nil until it is known
	listener *listener // whose backlog has it, until the handshake is over
	in       incoming
	out      outgoing
	pending  []byte // of the Write that waits
	flushing bool
	heard    time.Time // when something arrived last
	alarm    time.Time // when the timer goes off; zero: it does not
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
		receiver: h.hostLocked(e.remote.Addr()),
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
	if s.receiver != nil {
		s.lane = h.network.laneLocked(h, s.receiver)
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

func (s *stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

func (s *stream) SetReadDeadline(t time.Time) error  { return s.setDeadline(&s.readDeadline, t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.writeDeadline, t) }

func (s *stream) setDeadline(d *deadline.Deadline, t time.Time) error {
	select {
	case <-s.gone:
		return &net.OpError{Op: "set", Net: s.network, Addr: s.LocalAddr(), Err: net.ErrClosed}
	default:
		d.Set(t)
		return nil
	}
}

// Close returns at once. What was written is sent all the same, unless there is
// unread input: then the other end is reset.
func (s *stream) Close() error {
	now := s.host.network.lock()
	defer s.host.network.unlock(now)
	if s.closed {
		return s.fail("close", net.ErrClosed)
	}
	s.closed = true
	close(s.gone)
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

// resetLocked tells the other end that the stream is no more.
func (s *stream) resetLocked(now time.Time, fault error) {
	s.transmitLocked(now, segment{rst: true})
	s.dieLocked(fault)
}

// vanishLocked is what a crash does.
func (s *stream) vanishLocked() {
	s.dieLocked(nil)
	if !s.closed {
		s.closed = true
		close(s.gone)
	}
}

// dieLocked ends the stream at both sides of this end. What has arrived can
// still be read.
func (s *stream) dieLocked(fault error) {
	if s.dead {
		return
	}
	s.dead, s.fault = true, fault
	s.forgetLocked()
	s.settleLocked()
	s.in.ahead, s.out.data, s.out.flight = nil, nil, nil
	wake(s.readable)
	wake(s.writable)
}

// forgetLocked gives the ports back.
func (s *stream) forgetLocked() {
	if s.host.streams[s.ends] == s {
		delete(s.host.streams, s.ends)
	}
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
