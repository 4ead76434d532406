package sockets_test

// Every limit and time-out of Config at its edge. What else it promises is
// tested beside what it bounds; MaxPeers, whose edge is no error, in
// peer_test.go.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/seed287501ae/sockets"
)

// A slowNetwork takes a while for everything, or as long as the context lasts.
type slowNetwork struct {
	*memNetwork
	while time.Duration
}

func (n slowNetwork) pass(ctx context.Context) error {
	select {
	case <-time.After(n.while):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n slowNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if err := n.pass(ctx); err != nil {
		return nil, err
	}
	return n.memNetwork.Listen(ctx, network, address)
}

func (n slowNetwork) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := pipe()
	there.Close()
	return here, n.pass(ctx)
}

func (n slowNetwork) Resolve(ctx context.Context, _ string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, n.pass(ctx)
}

// configTimeouts has for each time-out of Config what it bounds: which takes a while,
// and returns its error. The limit is the default, where there is one.
var configTimeouts = []struct {
	name, field string
	limit       time.Duration
	do          func(t *testing.T, while time.Duration) error
}{
	{"Dial", "DialTimeout", 10 * time.Second, func(t *testing.T, while time.Duration) error {
		c, err := (&sockets.Config{Network: slowNetwork{while: while}}).Dial(t.Context(), "host:1", nil)
		if err == nil {
			c.CloseNow()
		}
		return err
	}},
	{"Listen", "DialTimeout", 10 * time.Second, func(t *testing.T, while time.Duration) error {
		s, err := (&sockets.Config{Network: slowNetwork{new(memNetwork), while}}).Listen("host:1", nil)
		if err == nil {
			s.Close()
		}
		return err
	}},
	{"NewPeer", "DialTimeout", 10 * time.Second, func(t *testing.T, while time.Duration) error {
		o := newOffice()
		o.lookUp = slowNetwork{while: while}.Resolve
		p, err := (&sockets.Config{Network: o}).NewPeer("8080", []string{"host:1"})
		if err == nil {
			p.Close()
		}
		return err
	}},
	{"a handshake", "HandshakeTimeout", 5 * time.Second, func(t *testing.T, while time.Duration) (err error) {
		told := make(chan error, 1)
		s := serve(t, sockets.Config{}, func(event sockets.Event, _ *sockets.Connection, _ sockets.Address, err error) {
			if event == sockets.EventConnect || event == sockets.EventError {
				told <- err
			}
		}, shy(func(ctx context.Context, conn *memConn) error { return slowNetwork{while: while}.pass(ctx) }))
		defer s.end(s.dial())
		return <-told
	}},
	{"a message that has begun", "FrameTimeout", 30 * time.Second, func(t *testing.T, while time.Duration) error {
		c, other := alone(sockets.Config{}, nil)
		defer other.Close()
		defer c.CloseNow()
		message := framed("message")
		other.Write(message[:1])
		time.AfterFunc(while, func() { other.Write(message[1:]) })
		_, err := c.Receive(t.Context())
		return err
	}},
	{"a message that begins", "IdleTimeout", time.Hour, func(t *testing.T, while time.Duration) error {
		c, other := alone(sockets.Config{IdleTimeout: time.Hour}, nil)
		defer other.Close()
		defer c.CloseNow()
		time.AfterFunc(while, func() { other.Write(framed("message")) })
		_, err := c.Receive(t.Context())
		return err
	}},
	{"Send", "SendTimeout", time.Minute, func(t *testing.T, while time.Duration) error {
		c, other := alone(sockets.Config{}, nil)
		defer other.Close()
		defer c.CloseNow()
		other.setCapacity(0)
		time.AfterFunc(while, func() { other.setCapacity(memCapacity) })
		return c.Send([]byte("message"))
	}},
	{"SendAll", "SendTimeout", time.Minute, func(t *testing.T, while time.Duration) error {
		c, other := alone(sockets.Config{}, nil)
		defer other.Close()
		other.setCapacity(0)
		time.AfterFunc(while, func() {
			other.setCapacity(memCapacity)
			answer(other)
		})
		sockets.SendAll([]byte("message"), c)
		time.Sleep(time.Minute)
		if synctest.Wait(); c.Err() != nil {
			return c.Err()
		}
		return c.Close()
	}},
	{"a goodbye", "CloseTimeout", 3 * time.Second, func(t *testing.T, while time.Duration) error {
		c, other := alone(sockets.Config{}, nil)
		time.AfterFunc(while, func() { other.Close() })
		return c.Close()
	}},
}

// What takes a nanosecond less than its limit succeeds. What takes one more
// fails when the limit is over, with an error that names the field.
func TestTimeLimitsAtTheirEdge(t *testing.T) {
	for _, test := range configTimeouts {
		t.Run(test.field+", "+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := test.do(t, test.limit-1); err != nil {
					t.Errorf("%s that takes %v: %v", test.name, test.limit-1, err)
				}
				takes(t, test.name, test.limit, func() {
					err := test.do(t, test.limit+1)
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s that takes %v: %v, want %v", test.name, test.limit+1, err, os.ErrDeadlineExceeded)
					} else if !strings.Contains(err.Error(), "Config."+test.field) {
						t.Errorf("the error of %s is %q, which does not name Config.%s", test.name, err, test.field)
					}
				})
				time.Sleep(time.Nanosecond) // until what was too late has happened
			})
		})
	}
}

// An error blames a field of Config only where that limit passed: not where a
// context ended, or a layer or the kernel gave up, before it.
func TestTimeoutsOfOthersNameNoField(t *testing.T) {
	unanswered := &net.DNSError{Err: "i/o timeout", Name: "host", IsTimeout: true}
	dial := func(ctx context.Context, cfg sockets.Config, n sockets.Network) error {
		cfg.Network = n
		_, err := cfg.Dial(ctx, "host:1", nil)
		return err
	}
	for _, test := range []struct {
		name string
		want error
		do   func(t *testing.T, ctx context.Context) error // the context lasts 50 ms
	}{
		{"the context of Dial", context.DeadlineExceeded, func(t *testing.T, ctx context.Context) error {
			return dial(ctx, sockets.Config{}, slowNetwork{while: time.Hour})
		}},
		{"the context of Dial, a moment before its limit", context.DeadlineExceeded, func(t *testing.T, ctx context.Context) error {
			return dial(ctx, sockets.Config{DialTimeout: 50*time.Millisecond + 1}, slowNetwork{while: time.Hour})
		}},
		{"the context of Dial without a limit", context.DeadlineExceeded, func(t *testing.T, ctx context.Context) error {
			return dial(ctx, sockets.Config{DialTimeout: -1}, slowNetwork{while: time.Hour})
		}},
		{"the kernel", syscall.ETIMEDOUT, func(t *testing.T, ctx context.Context) error {
			return dial(t.Context(), sockets.Config{}, failingNetwork{syscall.ETIMEDOUT})
		}},
		{"the kernel, without a limit", syscall.ETIMEDOUT, func(t *testing.T, ctx context.Context) error {
			return dial(t.Context(), sockets.Config{DialTimeout: -1}, failingNetwork{syscall.ETIMEDOUT})
		}},
		{"a layer", os.ErrDeadlineExceeded, func(t *testing.T, ctx context.Context) error {
			return dial(t.Context(), sockets.Config{}, failingNetwork{os.ErrDeadlineExceeded})
		}},
		{"the server for names, in NewPeer", unanswered, func(t *testing.T, ctx context.Context) error {
			o := newOffice()
			o.lookUp = func(context.Context, string) ([]netip.Addr, error) { return nil, unanswered }
			_, err := (&sockets.Config{Network: o}).NewPeer("8080", []string{"host:1"})
			return err
		}},
		{"the kernel, in a handshake", syscall.ETIMEDOUT, func(t *testing.T, ctx context.Context) error {
			r := newServerRecorder(t)
			s := serve(t, sockets.Config{}, r.callback, shy(func(context.Context, *memConn) error { return syscall.ETIMEDOUT }))
			conn := s.dial()
			synctest.Wait()
			s.end(conn)
			return r.errs[0]
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if err := test.do(t, ctx); !errors.Is(err, test.want) || strings.Contains(err.Error(), "Timeout") {
					t.Errorf("%v, want %v, and no field of Config", err, test.want)
				}
			})
		})
	}
}

// A failingNetwork reaches nobody.
type failingNetwork struct{ err error }

func (failingNetwork) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

func (failingNetwork) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errors.ErrUnsupported
}

func (n failingNetwork) DialContext(_ context.Context, network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: n.err}
}

// Where the context ends Dial, the error is a time-out for whoever asks for one,
// and cancelled for the others.
func TestTheContextOfDialEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := sockets.Config{Network: slowNetwork{while: time.Hour}}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		takes(t, "Dial", 50*time.Millisecond, func() {
			if _, err := cfg.Dial(ctx, "host:1", nil); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Dial = %v, want %v and %v", err, context.DeadlineExceeded, os.ErrDeadlineExceeded)
			}
		})
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		takes(t, "Dial", time.Second, func() {
			if _, err := cfg.Dial(ctx, "host:1", nil); !errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Dial = %v, want %v", err, context.Canceled)
			}
		})
	})
}

// CloseTimeout also bounds how long one may receive when a message could not be
// sent.
func TestReceivingAfterAWriteFaultAtItsEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.peer.failWrites(0, syscall.EPIPE)
		sendError(t, c, syscall.EPIPE)
		time.Sleep(3*time.Second - 1)
		other.Write(framed("message"))
		receive(t, c, "message")
		takes(t, "the rest", 1, func() { receiveError(t, c, syscall.EPIPE) })
		<-c.Done()
		other.Close()
	})
}

// configLimits has for each limit of Config what it bounds: which is made this large,
// and returns its error, and is torn down at the end of the test. The limit is
// the default, where there is one.
var configLimits = []struct {
	name, field string
	limit       int
	err         error
	says        string
	do          func(t *testing.T, size int) error
}{
	{"Send", "MaxMessage", 1 << 20, sockets.ErrMessageTooBig, "1048577 bytes, MaxMessage is 1048576", func(t *testing.T, size int) error {
		c, other := alone(sockets.Config{}, nil)
		answer(other)
		defer c.Close()
		return c.Send(make([]byte, size))
	}},
	{"SendAll", "MaxMessage", 5, sockets.ErrMessageTooBig, "6 bytes, MaxMessage is 5", func(t *testing.T, size int) error {
		c, other := alone(sockets.Config{MaxMessage: 5}, nil)
		answer(other)
		defer c.Close()
		return sockets.SendAll(make([]byte, size), c)
	}},
	{"Receive", "MaxMessage", 1 << 20, sockets.ErrMessageTooBig, "1048577 bytes are announced, MaxMessage is 1048576", func(t *testing.T, size int) error {
		c, other := alone(sockets.Config{}, nil)
		defer c.CloseNow()
		go func() {
			other.Write(framed(string(make([]byte, size))))
			other.Close()
		}()
		_, err := c.Receive(t.Context())
		return err
	}},
	{"connections", "MaxConnections", 1024, sockets.ErrTooManyConnections, "1024 connections (Config.MaxConnections)", func(t *testing.T, size int) error {
		return crowd(t, sockets.Config{}, size, func(int) string { return "192.0.2.1" })
	}},
	{"connections of many", "MaxConnections", 3, sockets.ErrTooManyConnections, "3 connections (Config.MaxConnections)", func(t *testing.T, size int) error {
		return crowd(t, sockets.Config{MaxConnections: 3}, size, func(i int) string { return fmt.Sprintf("192.0.2.%d", i) })
	}},
	{"handshakes", "MaxConnections", 1024, sockets.ErrTooManyConnections, "1024 connections (Config.MaxConnections)", func(t *testing.T, size int) error {
		return crowd(t, sockets.Config{}, size, func(int) string { return "192.0.2.1" }, shy(hang))
	}},
	{"connections of one", "MaxConnectionsPerIP", 3, sockets.ErrTooManyConnections, "3 connections from 192.0.2.1 (Config.MaxConnectionsPerIP)", func(t *testing.T, size int) error {
		return crowd(t, sockets.Config{MaxConnectionsPerIP: 3}, size, func(int) string { return "192.0.2.1" })
	}},
	{"handshakes of one", "MaxConnectionsPerIP", 3, sockets.ErrTooManyConnections, "3 connections from 2001:db8::/64 (Config.MaxConnectionsPerIP)", func(t *testing.T, size int) error {
		return crowd(t, sockets.Config{MaxConnectionsPerIP: 3}, size, func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, shy(hang))
	}},
	{"two messages", "MaxQueue", 4 << 20, sockets.ErrSlow, "Config.MaxQueue", func(t *testing.T, size int) error {
		return queue(t, sockets.Config{MaxMessage: 8 << 20}, size-28-28-5, 5)
	}},
	{"empty messages", "MaxQueue", 100 * 28, sockets.ErrSlow, "Config.MaxQueue", func(t *testing.T, size int) error {
		return queue(t, sockets.Config{MaxQueue: 100 * 28}, append(make([]int, 99), size-100*28)...)
	}},
	{"empty messages behind a prefix of 1", "MaxQueue", 100 * 25, sockets.ErrSlow, "Config.MaxQueue", func(t *testing.T, size int) error {
		return queue(t, sockets.Config{MaxQueue: 100 * 25, Prefix: 1}, append(make([]int, 99), size-100*25)...)
	}},
	{"a message behind one that is longer alone", "MaxQueue", 0, sockets.ErrSlow, "Config.MaxQueue", func(t *testing.T, size int) error {
		return queue(t, sockets.Config{MaxQueue: 100}, append([]int{1000}, make([]int, size)...)...)
	}},
}

func hang(ctx context.Context, _ *memConn) error {
	<-ctx.Done()
	return ctx.Err()
}

// crowd connects size times, and returns the error that a server tells.
func crowd(t *testing.T, cfg sockets.Config, size int, from func(i int) string, prepare ...func(*memListener)) error {
	r := newServerRecorder(t)
	s := serve(t, cfg, r.callback, prepare...)
	var conns []*memConn
	for i := range size {
		conns = append(conns, s.dialFrom(from(i)))
	}
	synctest.Wait()
	last := conns[size-1]
	defer s.end(conns...)
	if len(r.errs) == 0 {
		return turnedAway(last)
	}
	if len(r.errs) > 1 || r.addresses[len(r.addresses)-1] != addressFrom(last.LocalAddr()) || turnedAway(last) == nil {
		t.Errorf("%d errors, the last of %v: %v", len(r.errs), r.addresses[len(r.addresses)-1], r.errs)
	}
	return r.errs[0]
}

// queue sends messages of these sizes to one that takes nothing.
func queue(t *testing.T, cfg sockets.Config, sizes ...int) error {
	c, other := alone(cfg, nil)
	defer other.Close()
	defer c.CloseNow()
	other.setCapacity(0)
	for i, size := range sizes {
		if err := sockets.SendAll(make([]byte, size), c); err != nil {
			if i < len(sizes)-1 || c.Err() != sockets.ErrSlow {
				t.Errorf("message %d of %d: %v; the connection ended with %v", i+1, len(sizes), err, c.Err())
			}
			return err
		}
		synctest.Wait() // the first is being written, and counts
	}
	return nil
}

// At its limit everything passes; one more is refused, and its error tells which
// limit it was.
func TestSizeLimitsAtTheirEdge(t *testing.T) {
	for _, test := range configLimits {
		t.Run(test.field+", "+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := test.do(t, test.limit); err != nil {
					t.Errorf("%s at %d: %v", test.name, test.limit, err)
				}
				err := test.do(t, test.limit+1)
				if !errors.Is(err, test.err) || !strings.HasPrefix(err.Error(), "sockets: ") || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s at %d: %v, want %v that says %s", test.name, test.limit+1, err, test.err, test.says)
				}
			})
		})
	}
}

func TestSendAllWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := queue(t, sockets.Config{MaxQueue: -1}, 1<<20, 1<<20, 1<<20, 1<<20, 1<<20); err != nil {
			t.Errorf("SendAll = %v", err)
		}
	})
}

// A connection that says goodbye counts until it is over.
func TestAGoodbyeCountsInTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{MaxConnections: 1}, r.callback)
		silent := s.dial()
		synctest.Wait()
		go r.connections()[0].Close()
		time.Sleep(3*time.Second - 1)
		refused := s.dial()
		synctest.Wait()
		r.check("listen", "connect", "error")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		next := s.dial()
		synctest.Wait()
		r.check("listen", "connect", "error", "connect")
		silent.Close()
		refused.Close()
		s.end(next)
	})
}

// One that is turned away costs the others nothing, also where its layer would
// wait to say goodbye.
func TestTurningAwayDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{MaxConnectionsPerIP: 1}, r.callback, func(l *memListener) {
			l.wrap = func(conn *memConn) net.Conn {
				conn.Write([]byte("a greeting that nobody reads"))
				return &politeConn{conn}
			}
		})
		takes(t, "to turn one away", 0, func() {
			conns := []*memConn{s.dial(), s.dial(), s.dialFrom("192.0.2.1")}
			synctest.Wait()
			r.check("listen", "connect", "error", "connect")
			s.end(conns...)
			conns[1].Close()
		})
	})
}

// A connection that is over leaves nothing behind, also where its other end was
// gone before this one had sent.
func TestAnEndedConnectionIsForgotten(t *testing.T) {
	end := func() weak.Pointer[sockets.Connection] {
		c, other := alone(sockets.Config{CloseTimeout: time.Hour}, nil)
		other.peer.failWrites(0, syscall.EPIPE)
		sendError(t, c, syscall.EPIPE)
		c.CloseNow()
		<-c.Done()
		other.Close()
		return weak.Make(c)
	}
	for c, deadline := end(), time.Now().Add(10*time.Second); c.Value() != nil; runtime.Gosched() {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatal("a connection that is over is still in memory")
		}
	}
}

// The golden rule: what is promised costs nothing until it arrives.
func TestServerPromisedAMebibyteEach(t *testing.T) {
	const crowd, most = 1000, 80 << 20
	for _, sent := range []int{0, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, sockets.Config{}, chat(func(*sockets.Connection) sockets.ConnectionCallback {
				return func(event sockets.Event, _ []byte, _ *sockets.Connection, err error) {
					if event == sockets.EventMessage || event == sockets.EventError && err != io.ErrUnexpectedEOF {
						t.Errorf("%s, %v", event, err)
					}
				}
			}))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var conns []*memConn
			for range crowd {
				conn := s.dial()
				conn.Write(append([]byte{0, 0x10, 0, 0}, make([]byte, sent)...))
				conns = append(conns, conn)
			}
			synctest.Wait()
			runtime.ReadMemStats(&after)
			if open := len(s.Connections()); open != crowd || conns[crowd-1].peer.unread() != 0 {
				t.Errorf("%d connections are open, want %d", open, crowd)
			}
			if cost := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse); cost > most {
				t.Errorf("%d connections, each promised 1 MiB and given %d bytes, cost %d bytes, want at most %d", crowd, sent, cost, most)
			} else {
				t.Logf("%d connections, each promised 1 MiB and given %d bytes, cost %.1f MiB", crowd, sent, float64(cost)/(1<<20))
			}
			for _, conn := range conns {
				conn.Close()
			}
			s.end()
		})
	}
}

// A forgetfulConn has no addresses any more once it is closed.
type forgetfulConn struct{ *memConn }

func (c forgetfulConn) RemoteAddr() net.Addr {
	if c.isClosed() {
		return nil
	}
	return c.memConn.RemoteAddr()
}

func TestMaxConnectionsPerIPOfConnsThatForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{MaxConnectionsPerIP: 1}, r.callback, func(l *memListener) {
			l.wrap = func(conn *memConn) net.Conn { return forgetfulConn{conn} }
		})
		for range 3 {
			conn := s.dial()
			synctest.Wait()
			conns := s.Connections()
			if len(conns) != 1 {
				t.Fatalf("%d connections, want 1", len(conns))
			}
			before := conns[0].RemoteAddress()
			conns[0].CloseNow()
			<-conns[0].Done()
			if after := conns[0].RemoteAddress(); !before.IsValid() || after != before {
				t.Errorf("RemoteAddress = %v after the end, %v before", after, before)
			}
			conn.Close()
		}
		s.end()
	})
}
