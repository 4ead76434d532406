package secure

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	lazyTimeout      = 5 * time.Second  // of a handshake that a Read or Write runs
	dialTimeout      = 10 * time.Second // of one that a dial without a deadline runs
	closeTimeout     = 5 * time.Second  // of the goodbye of Close
	halfCloseTimeout = time.Minute      // and of that of CloseWrite
	recordSize       = 16 << 10         // bytes that TLS encrypts at a time
)

// A stream is a connection that TLS protects. It ends in [io.EOF] only if the
// other end says so under TLS. Its deadlines are temporary: reading and writing
// go on after them; only one that passes during the handshake ends the stream.
type stream struct {
	raw   *raw
	tls   *tls.Conn
	greet func(context.Context, *tls.Conn) (KnownPeer, error) // nil, or what follows the handshake of TLS

	shaking  chan struct{} // one slot, which guards failed; holding it is the right to shake hands
	failed   error         // why the handshake failed
	accepted chan struct{} // closed when the handshake is over
	peer     KnownPeer     // read it once accepted is closed

	writing chan struct{} // one slot; holding it is the right to write
	writeBy atomic.Pointer[time.Time]
	closed  atomic.Bool
}

func newStream(beneath *raw, conn *tls.Conn, greet func(context.Context, *tls.Conn) (KnownPeer, error)) *stream {
	return &stream{
		raw:      beneath,
		tls:      conn,
		greet:    greet,
		shaking:  make(chan struct{}, 1),
		accepted: make(chan struct{}),
		writing:  make(chan struct{}, 1),
	}
}

// shaken is s after its handshake, or closed.
func shaken(ctx context.Context, s *stream) (net.Conn, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, dialTimeout)
		defer cancel()
	}
	if err := s.HandshakeContext(ctx); err != nil {
		s.raw.Close()
		return nil, s.fault("dial", err)
	}
	return s, nil
}

// A lateError is that of a handshake whose context was done.
type lateError struct{ error }

func (e lateError) Timeout() bool { return errors.Is(e.error, context.DeadlineExceeded) }
func (e lateError) Unwrap() error { return e.error }

// HandshakeContext returns when both ends have accepted each other, or with the
// reason why not. A handshake that failed has closed the stream.
func (s *stream) HandshakeContext(ctx context.Context) error {
	if s.isAccepted() {
		return nil
	}
	select {
	case s.shaking <- struct{}{}:
		defer func() { <-s.shaking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.failed != nil || s.isAccepted() {
		return s.failed
	}
	if s.failed = s.shake(ctx); s.failed == nil {
		close(s.accepted)
	}
	return s.failed
}

func (s *stream) shake(ctx context.Context) error {
	inTime := context.AfterFunc(ctx, func() { s.raw.Close() })
	err := s.tls.HandshakeContext(ctx)
	if err == nil && s.greet != nil {
		s.peer, err = s.greet(ctx, s.tls)
	}
	var header tls.RecordHeaderError
	var refused *RefusedError
	switch late := !inTime(); {
	case errors.As(err, &refused):
	case late:
		err = lateError{fmt.Errorf("secure: the other end did not finish the handshake: %w", ctx.Err())}
	case errors.Is(err, ErrTruncated), err == io.EOF:
		err = fmt.Errorf("secure: the other end hung up during the handshake: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &header):
		err = fmt.Errorf("secure: the other end does not speak TLS, its first bytes are %q: is it a program without this package? %w", header.RecordHeader, err)
	case err != nil:
		err = fmt.Errorf("secure: handshake: %w", err)
	}
	if err != nil {
		s.raw.Close()
		return err
	}
	s.raw.handshake, s.raw.accepted = -1, true
	return nil
}

func (s *stream) isAccepted() bool {
	select {
	case <-s.accepted:
		return true
	default:
		return false
	}
}

// ready shakes hands if nobody did.
func (s *stream) ready() error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	if s.isAccepted() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lazyTimeout)
	defer cancel()
	return s.HandshakeContext(ctx)
}

func (s *stream) Read(p []byte) (int, error) {
	if err := s.ready(); err != nil {
		return 0, s.fault("read", err)
	}
	return s.tls.Read(p)
}

// Write counts as written what is encrypted. After a deadline that may include
// up to 16 KiB that the next Write, also of nothing, or CloseWrite sends.
func (s *stream) Write(p []byte) (n int, err error) {
	if err := s.ready(); err != nil {
		return 0, s.fault("write", err)
	}
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	for err = s.raw.flush(); err == nil && n < len(p); {
		if by := s.writeBy.Load(); by != nil && !by.IsZero() && time.Until(*by) <= 0 {
			return n, s.fault("write", os.ErrDeadlineExceeded)
		}
		var m int
		m, err = s.tls.Write(p[n:min(len(p), n+recordSize)])
		if n += m; err == nil {
			err = s.raw.flush()
		}
	}
	return n, err
}

// Unsent returns how many bytes of what was encrypted wait for the next Write.
func (s *stream) Unsent() int {
	s.raw.mu.Lock()
	defer s.raw.mu.Unlock()
	return s.raw.unsent
}

// CloseWrite tells the other end that no more will come. It waits for a Write
// that is going on, and for room, at most a minute.
func (s *stream) CloseWrite() error {
	if err := s.ready(); err != nil {
		return s.fault("close", err)
	}
	by := time.Now().Add(halfCloseTimeout)
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
		return s.sayGoodbye(by)
	case <-time.After(halfCloseTimeout):
		return s.fault("close", os.ErrDeadlineExceeded)
	}
}

// sayGoodbye is called by who holds writing.
func (s *stream) sayGoodbye(by time.Time) error {
	s.raw.Conn.SetWriteDeadline(by)
	return cmp.Or(s.tls.CloseWrite(), s.raw.flush())
}

// Close says goodbye if nobody is writing, for 5 seconds at most, and closes
// the connection beneath.
func (s *stream) Close() error {
	if s.closed.Swap(true) {
		return s.fault("close", net.ErrClosed)
	}
	if s.isAccepted() {
		select {
		case s.writing <- struct{}{}:
			s.sayGoodbye(time.Now().Add(closeTimeout))
			<-s.writing
		default:
		}
	}
	return s.raw.Close()
}

func (s *stream) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: s.RemoteAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

func (s *stream) LocalAddr() net.Addr  { return s.raw.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr { return s.raw.RemoteAddr() }

// NetConn returns the connection beneath.
func (s *stream) NetConn() net.Conn { return s.raw.Conn }

func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *stream) SetReadDeadline(t time.Time) error { return s.raw.SetReadDeadline(t) }

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.writeBy.Store(&t)
	return s.raw.Conn.SetWriteDeadline(t)
}

// PeerOf tells who is at the other end of a connection: a [sockets.Connection],
// a [net.Conn] of a [Network] whose both ends have accepted each other, or
// whatever unwraps to one by a method NetConn() net.Conn.
func PeerOf(connection any) (KnownPeer, bool) {
	for {
		if s, ok := connection.(*stream); ok && s.greet != nil && s.isAccepted() {
			return s.peer, true
		}
		outer, ok := connection.(interface{ NetConn() net.Conn })
		if !ok {
			return KnownPeer{}, false
		}
		connection = outer.NetConn()
	}
}

// A listener accepts streams.
type listener struct {
	net.Listener
	wrap func(net.Conn) *stream
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(conn), nil
}
