package sockets_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
)

// A memNetwork is a Network in memory, of streams only. Whoever waits there
// waits for a condition or a channel: virtual time goes on.
type memNetwork struct {
	mu        sync.Mutex // guards what follows
	listeners map[uint16]*memListener
	lastPort  uint16
}

var _ sockets.Network = (*memNetwork)(nil)

func (n *memNetwork) freePort() uint16 {
	n.lastPort = max(n.lastPort, 40000) + 1
	return n.lastPort
}

func (n *memNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := n.listen(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return l, nil
}

func (n *memNetwork) listen(address string) (*memListener, error) {
	_, digits, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &memListener{
		network: n,
		port:    uint16(port),
		backlog: make(chan memArrival, 4096),
		closed:  make(chan struct{}),
	}
	if l.port == 0 {
		l.port = n.freePort()
	}
	if n.listeners[l.port] != nil {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if n.listeners == nil {
		n.listeners = make(map[uint16]*memListener)
	}
	n.listeners[l.port] = l
	return l, nil
}

func (n *memNetwork) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errors.ErrUnsupported
}

func (n *memNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dialFrom(netip.MustParseAddr("127.0.0.1"), address)
}

// dialFrom connects from a host with the given IP address.
func (n *memNetwork) dialFrom(ip netip.Addr, address string) (*memConn, error) {
	_, digits, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[uint16(port)]
	from := netip.AddrPortFrom(ip, n.freePort())
	n.mu.Unlock()
	here, there := newPipe(from, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)))
	if l == nil || !l.arrive(memArrival{conn: there}) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return here, nil
}

// A memArrival is what Accept returns.
type memArrival struct {
	conn net.Conn
	err  error
}

type memListener struct {
	network *memNetwork
	port    uint16
	backlog chan memArrival
	closed  chan struct{}
	once    sync.Once

	wrap func(*memConn) net.Conn // of what is accepted, if not nil
}

// arrive makes Accept return a, after what came before, unless l is closed.
func (l *memListener) arrive(a memArrival) bool {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	select {
	case <-l.closed:
		return false
	default:
		l.backlog <- a
		return true
	}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
	default:
	}
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
	case a := <-l.backlog:
		if conn, ok := a.conn.(*memConn); ok && l.wrap != nil {
			return l.wrap(conn), nil
		}
		return a.conn, a.err
	}
}

func (l *memListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(l.port)}
}

// Close resets, as a kernel does, who was not accepted yet.
func (l *memListener) Close() error {
	err := error(&net.OpError{Op: "close", Net: "tcp", Err: net.ErrClosed})
	l.once.Do(func() {
		err = nil
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.port)
		close(l.closed)
		for {
			select {
			case a := <-l.backlog:
				if conn, ok := a.conn.(*memConn); ok {
					conn.abort()
				}
			default:
				return
			}
		}
	})
	return err
}

// A memConn is one end of a stream in memory that behaves as TCP does, where it
// may at its worst: a buffer that fills, a reset that destroys what was not
// read yet and is told once, and writing to a closed end, which seems to
// succeed and is answered by a reset.
type memConn struct {
	local, remote net.TCPAddr
	link          *memLink
	peer          *memConn

	// Guarded by link.
	in        []byte // what arrived and was not read
	capacity  int    // of in
	ended     bool   // no more will arrive
	shut      bool   // no more may be written
	closed    bool
	fault     error // told once
	readBy    memDeadline
	writeBy   memDeadline
	writeLeft int   // bytes, after which a Write fails with writeErr
	writeErr  error // nil: it never does
	written   int   // bytes
}

// A memLink is what the two ends have in common.
type memLink struct {
	sync.Mutex
	changed sync.Cond
}

const memCapacity = 64 << 10

// newPipe returns the two ends of a stream between two addresses.
func newPipe(a, b netip.AddrPort) (*memConn, *memConn) {
	link := new(memLink)
	link.changed.L = link
	end := func(local, remote netip.AddrPort) *memConn {
		return &memConn{
			local:    *net.TCPAddrFromAddrPort(local),
			remote:   *net.TCPAddrFromAddrPort(remote),
			link:     link,
			capacity: memCapacity,
		}
	}
	here, there := end(a, b), end(b, a)
	here.peer, there.peer = there, here
	return here, there
}

// pipe returns the two ends of a stream.
func pipe() (*memConn, *memConn) {
	return newPipe(netip.MustParseAddrPort("127.0.0.1:1001"), netip.MustParseAddrPort("127.0.0.1:1002"))
}

func (c *memConn) opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: &c.local, Addr: &c.remote, Err: err}
}

func (c *memConn) Read(p []byte) (int, error) {
	c.link.Lock()
	defer c.link.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.readBy.passed():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(c.in) > 0:
			n := copy(p, c.in)
			c.in = c.in[n:]
			c.link.changed.Broadcast()
			return n, nil
		case c.fault != nil:
			err := c.fault
			c.fault = nil
			return 0, c.opError("read", err)
		case c.ended:
			return 0, io.EOF
		}
		c.link.changed.Wait()
	}
}

func (c *memConn) Write(p []byte) (n int, err error) {
	c.link.Lock()
	defer c.link.Unlock()
	for {
		switch {
		case c.closed:
			return n, c.opError("write", net.ErrClosed)
		case c.writeBy.passed():
			return n, c.opError("write", os.ErrDeadlineExceeded)
		case c.fault != nil:
			err := c.fault
			c.fault = nil
			return n, c.opError("write", err)
		case c.shut:
			return n, c.opError("write", syscall.EPIPE)
		case c.writeErr != nil && c.writeLeft == 0:
			return n, c.opError("write", c.writeErr)
		case len(p) == 0:
			return n, nil
		case c.peer.closed:
			c.resetLocked()
			return n + len(p), nil
		}
		room := c.peer.capacity - len(c.peer.in)
		if c.writeErr != nil {
			room = min(room, c.writeLeft)
		}
		if room > 0 {
			room = min(room, len(p))
			c.peer.in = append(c.peer.in, p[:room]...)
			p = p[room:]
			n += room
			c.written += room
			c.writeLeft -= room
			c.link.changed.Broadcast()
			continue
		}
		c.link.changed.Wait()
	}
}

func (c *memConn) CloseWrite() error {
	c.link.Lock()
	defer c.link.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.shut = true
	c.peer.ended = true
	c.link.changed.Broadcast()
	return nil
}

func (c *memConn) Close() error { return c.close(false) }

// abort closes with a reset, as TCP does after SetLinger(0).
func (c *memConn) abort() error { return c.close(true) }

func (c *memConn) close(reset bool) error {
	c.link.Lock()
	defer c.link.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	if reset || len(c.in) > 0 {
		c.peer.resetLocked()
	}
	c.peer.ended = true
	c.in = nil
	c.readBy.stop()
	c.writeBy.stop()
	c.link.changed.Broadcast()
	return nil
}

func (c *memConn) resetLocked() {
	c.in = nil
	c.fault = syscall.ECONNRESET
	c.ended, c.shut = true, true
	c.link.changed.Broadcast()
}

// unread is how many bytes arrived and were not read.
func (c *memConn) unread() int {
	c.link.Lock()
	defer c.link.Unlock()
	return len(c.in)
}

// isClosed reports whether this end was closed.
func (c *memConn) isClosed() bool {
	c.link.Lock()
	defer c.link.Unlock()
	return c.closed
}

// setCapacity bounds what may arrive before it is read.
func (c *memConn) setCapacity(n int) {
	c.link.Lock()
	defer c.link.Unlock()
	c.capacity = n
	c.link.changed.Broadcast()
}

// failWrites makes Write fail after so many more bytes; with a nil error it
// works again.
func (c *memConn) failWrites(after int, err error) {
	c.link.Lock()
	defer c.link.Unlock()
	c.writeLeft, c.writeErr = after, err
	c.link.changed.Broadcast()
}

func (c *memConn) LocalAddr() net.Addr  { return &c.local }
func (c *memConn) RemoteAddr() net.Addr { return &c.remote }

func (c *memConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memConn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readBy, t) }
func (c *memConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

func (c *memConn) setDeadline(d *memDeadline, t time.Time) error {
	c.link.Lock()
	defer c.link.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	d.stop()
	d.at = t
	// No timer for a deadline that has passed: where two goroutines of a bubble
	// make one at once, the race detector crashes (Go 1.26).
	if !t.IsZero() && !d.passed() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			c.link.Lock()
			defer c.link.Unlock()
			c.link.changed.Broadcast()
		})
	}
	c.link.changed.Broadcast()
	return nil
}

type memDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *memDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *memDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// A hookedConn is a memConn of which some methods are replaced.
type hookedConn struct {
	*memConn
	read       func(p []byte) (int, error)
	write      func(p []byte) (int, error)
	closeWrite func() error
	close      func() error

	setReadDeadline func(t time.Time) error
}

func (c *hookedConn) Read(p []byte) (int, error) {
	if c.read != nil {
		return c.read(p)
	}
	return c.memConn.Read(p)
}

func (c *hookedConn) Write(p []byte) (int, error) {
	if c.write != nil {
		return c.write(p)
	}
	return c.memConn.Write(p)
}

func (c *hookedConn) CloseWrite() error {
	if c.closeWrite != nil {
		return c.closeWrite()
	}
	return c.memConn.CloseWrite()
}

func (c *hookedConn) Close() error {
	if c.close != nil {
		return c.close()
	}
	return c.memConn.Close()
}

func (c *hookedConn) SetReadDeadline(t time.Time) error {
	if c.setReadDeadline != nil {
		return c.setReadDeadline(t)
	}
	return c.memConn.SetReadDeadline(t)
}

// A wholeConn is a stream that cannot be half-closed.
type wholeConn struct{ net.Conn }

// A politeConn is a layer whose Close waits until the other end reads, as that
// of one that says a goodbye of its own may.
type politeConn struct{ *memConn }

func (c *politeConn) NetConn() net.Conn { return c.memConn }

func (c *politeConn) Close() error {
	c.link.Lock()
	for !c.closed && len(c.peer.in) > 0 {
		c.link.changed.Wait()
	}
	c.link.Unlock()
	return c.memConn.Close()
}

// A shyConn has a handshake.
type shyConn struct {
	*memConn
	handshake func(ctx context.Context) error
}

func (c *shyConn) HandshakeContext(ctx context.Context) error { return c.handshake(ctx) }

// What the tests build on must be as they believe.
func TestPipe(t *testing.T) {
	check := func(t *testing.T, what string, n int, err error, wantN int, want error) {
		t.Helper()
		if n != wantN || !errors.Is(err, want) {
			t.Errorf("%s = %d, %v, want %d, %v", what, n, err, wantN, want)
		}
	}
	p := make([]byte, 16)
	stories := map[string]func(t *testing.T, a, b *memConn){
		"bytes arrive": func(t *testing.T, a, b *memConn) {
			n, err := a.Write([]byte("ciao"))
			check(t, "Write", n, err, 4, nil)
			n, err = b.Read(p[:3])
			check(t, "Read", n, err, 3, nil)
			n, err = b.Read(p[3:])
			check(t, "Read", n, err, 1, nil)
			if string(p[:4]) != "ciao" {
				t.Errorf("read %q, want ciao", p[:4])
			}
		},
		"a full buffer holds up the writer": func(t *testing.T, a, b *memConn) {
			b.setCapacity(10)
			done := false
			go func() {
				a.Write(make([]byte, 11))
				done = true
			}()
			synctest.Wait()
			if done || b.unread() != 10 {
				t.Errorf("Write into a full buffer returned: %v, %d bytes there, want false, 10", done, b.unread())
			}
			b.Read(p)
			synctest.Wait()
			if !done {
				t.Error("Write does not go on when there is room")
			}
		},
		"deadlines": func(t *testing.T, a, b *memConn) {
			start := time.Now()
			a.SetReadDeadline(start.Add(time.Second))
			n, err := a.Read(p)
			check(t, "Read", n, err, 0, os.ErrDeadlineExceeded)
			if passed := time.Since(start); passed != time.Second {
				t.Errorf("Read with a deadline of 1s waited for %v", passed)
			}
			b.setCapacity(4)
			a.SetWriteDeadline(start.Add(3 * time.Second))
			n, err = a.Write(make([]byte, 5))
			check(t, "Write", n, err, 4, os.ErrDeadlineExceeded)
			if passed := time.Since(start); passed != 3*time.Second {
				t.Errorf("Write with a deadline of 3s waited until %v", passed)
			}
			go func() {
				time.Sleep(time.Second)
				a.SetReadDeadline(time.Unix(1, 0))
			}()
			a.SetReadDeadline(time.Time{})
			n, err = a.Read(p)
			check(t, "Read", n, err, 0, os.ErrDeadlineExceeded)
			a.SetDeadline(time.Time{})
			b.Write([]byte("x"))
			n, err = a.Read(p)
			check(t, "Read", n, err, 1, nil)
		},
		"half-close": func(t *testing.T, a, b *memConn) {
			a.Write([]byte("x"))
			a.CloseWrite()
			n, err := a.Write([]byte("x"))
			check(t, "Write", n, err, 0, syscall.EPIPE)
			n, err = b.Read(p)
			check(t, "Read", n, err, 1, nil)
			n, err = b.Read(p)
			check(t, "Read", n, err, 0, io.EOF)
			n, err = b.Write([]byte("x"))
			check(t, "Write", n, err, 1, nil)
			n, err = a.Read(p)
			check(t, "Read", n, err, 1, nil)
		},
		"close with nothing unread": func(t *testing.T, a, b *memConn) {
			a.Write([]byte("x"))
			a.Close()
			n, err := a.Read(p)
			check(t, "Read", n, err, 0, net.ErrClosed)
			n, err = b.Read(p)
			check(t, "Read", n, err, 1, nil)
			n, err = b.Read(p)
			check(t, "Read", n, err, 0, io.EOF)
			n, err = b.Write([]byte("x"))
			check(t, "Write", n, err, 1, nil)
			n, err = b.Read(p)
			check(t, "Read", n, err, 0, syscall.ECONNRESET)
			n, err = b.Read(p)
			check(t, "Read", n, err, 0, io.EOF)
			n, err = b.Write([]byte("x"))
			check(t, "Write", n, err, 0, syscall.EPIPE)
		},
		"close with unread input": func(t *testing.T, a, b *memConn) {
			a.Write([]byte("x"))
			b.Write([]byte("x"))
			a.Close()
			n, err := b.Read(p)
			check(t, "Read", n, err, 0, syscall.ECONNRESET)
		},
		"failing writes": func(t *testing.T, a, b *memConn) {
			a.failWrites(3, syscall.EPIPE)
			n, err := a.Write([]byte("ciao"))
			check(t, "Write", n, err, 3, syscall.EPIPE)
			n, err = a.Write([]byte("ciao"))
			check(t, "Write", n, err, 0, syscall.EPIPE)
			a.failWrites(0, nil)
			n, err = a.Write([]byte("ciao"))
			check(t, "Write", n, err, 4, nil)
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pipe()
				story(t, a, b)
				a.Close()
				b.Close()
			})
		})
	}
}
