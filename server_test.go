package sockets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// A serverRecorder is a ServerCallback that notes what it is told, and fails
// its test where that is against the contract.
type serverRecorder struct {
	t       *testing.T
	then    sockets.ServerCallback // may be nil
	running atomic.Bool

	mu        sync.Mutex // guards what follows
	events    []string
	times     []time.Time // of the events
	errs      []error
	addresses []sockets.Address // of the events
	accepted  []*sockets.Connection
}

func newServerRecorder(t *testing.T) *serverRecorder { return &serverRecorder{t: t} }

func (r *serverRecorder) callback(event sockets.Event, c *sockets.Connection, address sockets.Address, err error) {
	if !r.running.CompareAndSwap(false, true) {
		r.t.Errorf("%s while the callback runs", event)
	}
	defer r.running.Store(false)
	r.note(event, c, address, err)
	if r.then != nil {
		r.then(event, c, address, err)
	}
}

func (r *serverRecorder) note(event sockets.Event, c *sockets.Connection, address sockets.Address, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.events, "stop") {
		r.t.Errorf("%s after %v", event, r.events)
	}
	if first := len(r.events) == 0; first != (event == sockets.EventListen) && event != sockets.EventStop {
		r.t.Errorf("%s after %v", event, r.events)
	}
	if (event == sockets.EventError) != (err != nil) {
		r.t.Errorf("%s with error %v", event, err)
	}
	switch event {
	case sockets.EventConnect:
		if c == nil || address != c.RemoteAddress() {
			r.t.Errorf("connect of a connection with %v", address)
		}
		r.accepted = append(r.accepted, c)
	case sockets.EventListen, sockets.EventStop, sockets.EventError:
		if c != nil {
			r.t.Errorf("%s with a connection", event)
		}
	default:
		r.t.Errorf("event %q of a server", event)
	}
	if err != nil {
		if !strings.HasPrefix(err.Error(), "sockets: ") {
			r.t.Errorf("the error is %v", err)
		}
		r.errs = append(r.errs, err)
	}
	r.events = append(r.events, string(event))
	r.times = append(r.times, time.Now())
	r.addresses = append(r.addresses, address)
}

// told returns the events so far.
func (r *serverRecorder) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.events...)
}

func (r *serverRecorder) count(event sockets.Event) int {
	n := 0
	for _, e := range r.told() {
		if e == string(event) {
			n++
		}
	}
	return n
}

func (r *serverRecorder) check(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), r.told()); diff != "" {
		r.t.Errorf("events of the server: -want +got\n%s", diff)
	}
}

func (r *serverRecorder) connections() []*sockets.Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.accepted)
}

// A memServer is a server on a network in memory.
type memServer struct {
	*sockets.Server
	t        *testing.T
	network  *memNetwork
	listener *memListener
}

// serve starts a server on a network of its own. The listener may be prepared.
func serve(t *testing.T, cfg sockets.Config, callback sockets.ServerCallback, prepare ...func(*memListener)) *memServer {
	t.Helper()
	network := new(memNetwork)
	listener, err := network.listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range prepare {
		f(listener)
	}
	return &memServer{cfg.NewServer(listener, callback), t, network, listener}
}

// dial connects a bare end to the server.
func (s *memServer) dial() *memConn {
	s.t.Helper()
	return s.dialFrom("127.0.0.1")
}

func (s *memServer) dialFrom(ip string) *memConn {
	s.t.Helper()
	conn, err := s.network.dialFrom(netip.MustParseAddr(ip), s.listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// end shuts the server down, every goodbye answered.
func (s *memServer) end(conns ...*memConn) {
	s.t.Helper()
	for _, conn := range conns {
		answer(conn)
	}
	if err := s.Shutdown(s.t.Context()); err != nil {
		s.t.Errorf("Shutdown = %v", err)
	}
}

// turnedAway reports how the server ended the stream at once, or nil.
func turnedAway(conn *memConn) error {
	conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer conn.SetReadDeadline(time.Time{})
	_, err := conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func TestListenComesFirstWithTheRealAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		network := new(memNetwork)
		cfg := sockets.Config{Network: network}
		s, err := cfg.Listen("127.0.0.1:0", r.callback)
		if err != nil {
			t.Fatal(err)
		}
		if s.LocalAddress().Port() == 0 {
			t.Errorf("LocalAddress() = %v, want the real port", s.LocalAddress())
		}
		conn, err := network.DialContext(t.Context(), "tcp", s.LocalAddress().String())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.check("listen", "connect")
		want := []sockets.Address{s.LocalAddress(), addressFrom(conn.LocalAddr())}
		if diff := cmp.Diff(want, r.addresses, cmp.Comparer(func(a, b sockets.Address) bool { return a == b })); diff != "" {
			t.Errorf("addresses of the events: -want +got\n%s", diff)
		}
		answer(conn.(*memConn))
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		r.check("listen", "connect", "stop")
	})
}

func addressFrom(a net.Addr) sockets.Address { return netip.MustParseAddrPort(a.String()) }

func TestABindErrorIsOnlyReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		network := new(memNetwork)
		cfg := sockets.Config{Network: network}
		first, err := cfg.Listen("8080", nil)
		if err != nil {
			t.Fatal(err)
		}
		second, err := cfg.Listen("8080", r.callback)
		if second != nil || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Listen on a port in use = %v, %v, want %v", second, err, syscall.EADDRINUSE)
		}
		synctest.Wait()
		r.check()
		first.Close()
	})
}

func TestListenOnABadAddress(t *testing.T) {
	for text, want := range map[string]string{
		"localhost:65536": "0-65535",
		"localhost:http":  "0-65535",
		"a:b:c":           "HOST:PORT",
	} {
		s, err := sockets.Listen(text, nil)
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "sockets: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%q) = %v, %v, want an error that says %s", text, s, err, want)
		}
	}
}

// Listen listens at once, and accepts once it has a callback.
func TestAServerWaitsForItsCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, nil)
		conn := s.dial()
		time.Sleep(time.Hour)
		if n := len(s.listener.backlog); n != 1 {
			t.Errorf("without a callback %d connections wait, want 1", n)
		}
		s.SetCallback(r.callback)
		synctest.Wait()
		r.check("listen", "connect")
		s.end(conn)
		r.check("listen", "connect", "stop")
	})
}

func TestServerSetCallbackTwicePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mustPanic := func(what string, f func()) {
			t.Helper()
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "sockets: ") || !strings.Contains(text, "SetCallback") {
					t.Errorf("%s: panic(%q), want a sentence", what, text)
				}
			}()
			f()
		}
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, nil)
		mustPanic("nil", func() { s.SetCallback(nil) })
		s.SetCallback(r.callback)
		mustPanic("again", func() { s.SetCallback(newServerRecorder(t).callback) })
		synctest.Wait()
		s.end()
		mustPanic("after the end", func() { s.SetCallback(newServerRecorder(t).callback) })
		r.check("listen", "stop")
	})
}

func TestStopIsToldToALateServerCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, nil)
		conn := s.dial()
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		<-s.Done()
		s.SetCallback(r.callback)
		synctest.Wait()
		r.check("stop")
		conn.Close()
	})
}

func TestConnectGivesAnOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rc := newServerRecorder(t), newRecorder(t)
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				send(t, c, "welcome")
				c.SetCallback(rc.callback)
			}
		}
		network := new(memNetwork)
		cfg := sockets.Config{Network: network, Prefix: 2}
		s, err := cfg.Listen("8080", r.callback)
		if err != nil {
			t.Fatal(err)
		}
		client, err := cfg.Dial(t.Context(), "localhost:8080", nil)
		if err != nil {
			t.Fatal(err)
		}
		receive(t, client.Connection, "welcome")
		send(t, client.Connection, "hello")
		synctest.Wait()
		all := s.Connections()
		if len(all) != 1 || all[0] != r.connections()[0] || all[0].RemoteAddress() != client.LocalAddress() {
			t.Errorf("Connections() = %v, want that of %v", all, client.LocalAddress())
		}
		all[0] = nil
		if all := s.Connections(); len(all) != 1 || all[0] == nil {
			t.Errorf("Connections() = %v, want a copy", all)
		}
		if err := client.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		synctest.Wait()
		if all := s.Connections(); len(all) != 0 {
			t.Errorf("Connections() = %v, want none", all)
		}
		rc.check("message hello", "close")
		s.Close()
		<-s.Done()
	})
}

// "the connection's first message may overtake the end of that callback"
func TestAMessageMayOvertakeTheEndOfConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rc := newServerRecorder(t), newRecorder(t)
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				c.SetCallback(rc.callback)
				time.Sleep(time.Hour)
				rc.check("message hello")
			}
		}
		s := serve(t, sockets.Config{}, r.callback)
		conn := s.dial()
		conn.Write(framed("hello"))
		time.Sleep(2 * time.Hour)
		s.end(conn)
	})
}

func TestCloseInsideEveryServerCallback(t *testing.T) {
	for _, event := range []sockets.Event{sockets.EventListen, sockets.EventConnect, sockets.EventError, sockets.EventStop} {
		t.Run(string(event), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newServerRecorder(t)
				var s *memServer
				r.then = func(e sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
					if e == event {
						for range 2 {
							if err := s.Close(); err != nil {
								t.Errorf("Close inside %s = %v", event, err)
							}
						}
					}
					if c != nil {
						c.CloseNow()
					}
				}
				s = serve(t, sockets.Config{}, nil)
				conn := s.dial()
				s.listener.arrive(memArrival{err: syscall.EMFILE})
				s.SetCallback(r.callback)
				want := []string{"listen", "connect", "error", "stop"}
				if event == sockets.EventStop {
					time.Sleep(time.Second)
					s.Close()
				} else {
					want = append(want[:slices.Index(want, string(event))+1], "stop")
				}
				<-s.Done()
				r.check(want...)
				conn.Close()
			})
		})
	}
}

func TestServerCloseAcceptsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rc := newServerRecorder(t), newRecorder(t)
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				c.SetCallback(rc.callback)
				time.Sleep(time.Second)
			}
		}
		s := serve(t, sockets.Config{}, r.callback)
		accepted := s.dial()
		synctest.Wait()
		waiting := s.dial()
		takes(t, "Close", 0, func() {
			var group sync.WaitGroup
			for range 5 {
				group.Go(func() {
					if err := s.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				})
			}
			group.Wait()
		})
		if _, err := s.network.DialContext(t.Context(), "tcp", s.listener.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial after Close = %v, want %v", err, syscall.ECONNREFUSED)
		}
		takes(t, "stop", time.Second, func() { <-s.Done() })
		r.check("listen", "connect", "stop")
		if err := turnedAway(waiting); err == nil {
			t.Error("one that was not accepted yet is still connected")
		}
		accepted.Write(framed("still here"))
		synctest.Wait()
		rc.check("message still here")
		if got := s.Connections(); len(got) != 1 {
			t.Errorf("Connections() after Close = %v, want the one that lives on", got)
		}
		send(t, r.connections()[0], "still there")
		if err := s.Close(); err != nil {
			t.Errorf("Close again = %v", err)
		}
		s.end(accepted)
		rc.check("message still here", "close")
		waiting.Close()
	})
}

// An Accept that succeeds after Close: nobody is told of it.
func TestAConnectionAcceptedDuringCloseIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		here, other := pipe()
		l := &lateListener{memNetworkListener(t), make(chan struct{}), here}
		s := sockets.NewServer(l, r.callback)
		synctest.Wait()
		s.Close()
		close(l.go_)
		<-s.Done()
		r.check("listen", "stop")
		if !here.isClosed() || len(s.Connections()) != 0 {
			t.Error("the connection is open")
		}
		other.Close()
	})
}

func memNetworkListener(t *testing.T) *memListener {
	l, err := new(memNetwork).listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A lateListener accepts one connection, in spite of Close.
type lateListener struct {
	*memListener
	go_  chan struct{}
	conn net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	if l.conn == nil {
		return l.memListener.Accept()
	}
	<-l.go_
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func TestTemporaryAcceptErrorsAreReportedAndSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, nil)
		for range 10 {
			s.listener.arrive(memArrival{err: &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}})
		}
		first := s.dial()
		for range 2 {
			s.listener.arrive(memArrival{err: syscall.ECONNABORTED})
		}
		second := s.dial()
		s.SetCallback(r.callback)
		time.Sleep(time.Minute)
		want := []string{"listen"}
		for range 10 {
			want = append(want, "error")
		}
		r.check(append(want, "connect", "error", "error", "connect")...)
		var pauses []time.Duration
		for i := range r.times[1:] {
			pauses = append(pauses, r.times[i+1].Sub(r.times[i]))
		}
		const ms = time.Millisecond
		wantPauses := []time.Duration{0, 5 * ms, 10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, 1000 * ms, 1000 * ms, 0, 5 * ms, 10 * ms}
		if diff := cmp.Diff(wantPauses, pauses); diff != "" {
			t.Errorf("pauses between the events: -want +got\n%s", diff)
		}
		for i, err := range r.errs[:10] {
			if !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), wantPauses[i+1].String()) {
				t.Errorf("error %d is %v, want %v and %v", i, err, syscall.EMFILE, wantPauses[i+1])
			}
		}
		s.end(first, second)
	})
}

// Where faults and connections take turns the pause stays short: the events are
// bounded all the same.
func TestAcceptErrorsBetweenConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, nil)
		const times = 400
		var conns []*memConn
		for range times {
			s.listener.arrive(memArrival{err: syscall.EMFILE})
			conns = append(conns, s.dial())
		}
		s.SetCallback(r.callback)
		time.Sleep(time.Minute)
		if got := r.count(sockets.EventConnect); got != times {
			t.Errorf("%d connections, want %d", got, times)
		}
		s.listener.arrive(memArrival{err: syscall.EMFILE})
		synctest.Wait()
		s.end(conns...)
		told := 0
		for _, err := range r.errs {
			var more int
			if _, suffix, ok := strings.Cut(err.Error(), ", and "); ok {
				fmt.Sscanf(suffix, "%d more", &more)
			}
			told += 1 + more
		}
		if got := len(r.errs); got != 21 || told != times+1 {
			t.Errorf("%d events in 2 seconds and one later tell of %d errors, want 21 of %d", got, told, times+1)
		}
	})
}

type temporaryError struct{ temporary bool }

func (temporaryError) Error() string     { return "an error of a layer" }
func (e temporaryError) Temporary() bool { return e.temporary }

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			err       error
			temporary bool
		}{
			{syscall.EMFILE, true},
			{syscall.ENFILE, true},
			{syscall.ENOBUFS, true},
			{syscall.ENOMEM, true},
			{syscall.ECONNABORTED, true},
			{syscall.ECONNRESET, true},
			{syscall.EINTR, true},
			{os.ErrDeadlineExceeded, true},
			{temporaryError{true}, true},
			{temporaryError{false}, false},
			{syscall.EINVAL, false},
			{syscall.EBADF, false},
			{net.ErrClosed, false},
			{io.EOF, false},
			{errors.New("boom"), false},
		} {
			r := newServerRecorder(t)
			s := serve(t, sockets.Config{}, nil)
			s.listener.arrive(memArrival{err: &net.OpError{Op: "accept", Net: "tcp", Err: test.err}})
			conn := s.dial()
			s.SetCallback(r.callback)
			time.Sleep(time.Second)
			if test.temporary {
				r.check("listen", "error", "connect")
				s.end(conn)
				continue
			}
			takes(t, "stop", 0, func() { <-s.Done() })
			r.check("listen", "error", "stop")
			if !errors.Is(r.errs[0], test.err) {
				t.Errorf("the error is %v, want %v", r.errs[0], test.err)
			}
			if _, err := s.network.DialContext(t.Context(), "tcp", s.listener.Addr().String()); err == nil {
				t.Errorf("after %v the port still accepts", test.err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close after %v = %v", test.err, err)
			}
			conn.Close()
		}
	})
}

func TestServerCloseEndsTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback)
		for range 12 {
			s.listener.arrive(memArrival{err: syscall.EMFILE})
		}
		time.Sleep(4500 * time.Millisecond)
		takes(t, "stop", 0, func() {
			s.Close()
			<-s.Done()
		})
	})
}

func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		var callbacks []*recorder
		hold := make(chan struct{})
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				rc := newRecorder(t)
				rc.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
					if event == sockets.EventClose {
						<-hold
					}
				}
				callbacks = append(callbacks, rc)
				c.SetCallback(rc.callback)
			}
		}
		s := serve(t, sockets.Config{MaxConnections: 2}, r.callback)
		first, second := s.dial(), s.dial()
		synctest.Wait()
		r.check("listen", "connect", "connect")

		var away []*memConn
		for range 3 {
			conn := s.dial()
			synctest.Wait()
			if turnedAway(conn) == nil {
				t.Error("one over the limit is still connected")
			}
			away = append(away, conn)
		}
		r.check("listen", "connect", "connect", "error")
		if got, want := r.addresses[3], addressFrom(away[0].LocalAddr()); got != want {
			t.Errorf("the error event has address %v, want %v", got, want)
		}
		time.Sleep(time.Second)
		away = append(away, s.dial())
		synctest.Wait()
		r.check("listen", "connect", "connect", "error", "error")
		if err := r.errs[1]; !errors.Is(err, sockets.ErrTooManyConnections) || !strings.HasSuffix(err.Error(), ", and 2 more") {
			t.Errorf("the error is %v, want one of 2 more", err)
		}
		if got := len(s.Connections()); got != 2 {
			t.Errorf("%d connections, want 2", got)
		}

		first.Close()
		time.Sleep(time.Minute)
		callbacks[0].check("close")
		away = append(away, s.dial())
		synctest.Wait()
		r.check("listen", "connect", "connect", "error", "error", "error")
		close(hold)
		synctest.Wait()
		third := s.dial()
		synctest.Wait()
		r.check("listen", "connect", "connect", "error", "error", "error", "connect")
		if turnedAway(third) != nil {
			t.Error("the one that came after a close is turned away")
		}
		for _, conn := range away {
			conn.Close()
		}
		s.end(second, third)
	})
}

func TestConnectionsAreOpenOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		hold := make(chan struct{})
		r.then = chat(func(*sockets.Connection) sockets.ConnectionCallback {
			return func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) { <-hold }
		})
		s := serve(t, sockets.Config{}, r.callback)
		closed, open := s.dial(), s.dial()
		synctest.Wait()
		closed.Close()
		synctest.Wait()
		if all := s.Connections(); len(all) != 1 || all[0].RemoteAddress() != addressFrom(open.LocalAddr()) {
			t.Errorf("Connections() has %d, want the open one", len(all))
		}
		close(hold)
		s.end(open)
	})
}

func TestMaxConnectionsDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			cfg      sockets.Config
			dial     int
			accepted int
		}{
			{sockets.Config{}, 1030, 1024},
			{sockets.Config{MaxConnections: -1}, 1030, 1030},
			{sockets.Config{MaxConnections: 1}, 3, 1},
			{sockets.Config{MaxConnectionsPerIP: 3}, 5, 3},
			{sockets.Config{MaxConnectionsPerIP: -1, MaxConnections: 4}, 5, 4},
		} {
			r := newServerRecorder(t)
			s := serve(t, test.cfg, r.callback)
			var conns []*memConn
			for range test.dial {
				conns = append(conns, s.dial())
			}
			synctest.Wait()
			if got := r.count(sockets.EventConnect); got != test.accepted {
				t.Errorf("with %+v: %d of %d are accepted, want %d", test.cfg, got, test.dial, test.accepted)
			}
			s.end(conns...)
		}
	})
}

func TestMaxConnectionsPerIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{MaxConnectionsPerIP: 2}, r.callback)
		var conns []*memConn
		dial := func(ip string, want bool) *memConn {
			t.Helper()
			conn := s.dialFrom(ip)
			conns = append(conns, conn)
			synctest.Wait()
			if got := turnedAway(conn) == nil; got != want {
				t.Errorf("one more from %s is accepted: %v, want %v", ip, got, want)
			}
			return conn
		}
		dial("10.0.0.1", true)
		dial("10.0.0.2", true)
		second := dial("::ffff:10.0.0.1", true)
		dial("10.0.0.1", false)
		dial("10.0.0.2", true)
		dial("10.0.0.2", false)
		dial("fe80::1", true)
		for _, c := range s.Connections() {
			if c.RemoteAddress().Port() == addressFrom(second.LocalAddr()).Port() {
				c.CloseNow()
				c.CloseNow()
				c.Close()
			}
		}
		synctest.Wait()
		dial("10.0.0.1", true)
		dial("10.0.0.1", false)
		if connections, addresses := sockets.Counted(s.Server); connections != 5 || addresses != 3 {
			t.Errorf("%d connections of %d addresses count, want 5 of 3", connections, addresses)
		}
		s.end(conns...)
		if connections, addresses := sockets.Counted(s.Server); connections != 0 || addresses != 0 {
			t.Errorf("afterwards %d connections of %d addresses count", connections, addresses)
		}
	})
}

// shy makes a listener of connections with a handshake.
func shy(handshake func(ctx context.Context, conn *memConn) error) func(*memListener) {
	return func(l *memListener) {
		l.wrap = func(conn *memConn) net.Conn {
			return &shyConn{conn, func(ctx context.Context) error { return handshake(ctx, conn) }}
		}
	}
}

func TestConnectComesAfterTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback, shy(func(ctx context.Context, conn *memConn) error {
			_, err := io.ReadFull(conn, make([]byte, 2))
			return err
		}))
		slow, quick := s.dial(), s.dial()
		time.Sleep(time.Second)
		r.check("listen")
		if len(s.Connections()) != 0 {
			t.Error("Connections() has one that has not shaken hands")
		}
		quick.Write([]byte("hi"))
		synctest.Wait()
		r.check("listen", "connect")
		if got, want := r.addresses[1], addressFrom(quick.LocalAddr()); got != want {
			t.Errorf("connect from %v, want %v", got, want)
		}
		slow.Write([]byte("hi"))
		synctest.Wait()
		r.check("listen", "connect", "connect")
		s.end(slow, quick)
	})
}

func TestAFailedHandshakeIsAnErrorEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		failure := errors.New("a stranger")
		s := serve(t, sockets.Config{MaxConnections: 1}, r.callback, shy(func(ctx context.Context, conn *memConn) error {
			if conn.remote.Port%2 == 0 {
				return failure
			}
			return nil
		}))
		takes(t, "two failed handshakes and a good one", 0, func() {
			conn := s.dial()
			for conn.local.Port%2 == 0 {
				synctest.Wait()
				if !conn.peer.isClosed() {
					t.Error("after a failed handshake the stream is open")
				}
				if got, want := r.addresses[len(r.addresses)-1], addressFrom(conn.LocalAddr()); got != want {
					t.Errorf("the error event has address %v, want %v", got, want)
				}
				conn.Close()
				conn = s.dial()
			}
			synctest.Wait()
			s.end(conn)
		})
		r.check(append(append([]string{"listen"}, slices.Repeat([]string{"error"}, len(r.errs))...), "connect", "stop")...)
		for _, err := range r.errs {
			if !errors.Is(err, failure) || !strings.Contains(err.Error(), "handshake") {
				t.Errorf("the error is %v, want %v", err, failure)
			}
		}
	})
}

// Nor does a flood of them flood the callback, or hold up the others.
func TestFailedHandshakesAreToldTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		failure := errors.New("a stranger")
		s := serve(t, sockets.Config{}, r.callback, shy(func(ctx context.Context, conn *memConn) error {
			if conn.remote.IP.IsLoopback() {
				return nil
			}
			return failure
		}))
		fail := func(wantEvents int, wantEnd string) {
			t.Helper()
			s.dialFrom("192.0.2.66").Close()
			synctest.Wait()
			if got := r.count(sockets.EventError); got != wantEvents {
				t.Errorf("%d error events, want %d", got, wantEvents)
			}
			if err := r.errs[len(r.errs)-1]; !errors.Is(err, failure) || !strings.HasSuffix(err.Error(), wantEnd) {
				t.Errorf("the last error is %v, want %v%s", err, failure, wantEnd)
			}
		}
		takes(t, "an honest one behind 63 failures", 0, func() {
			for i := range 63 {
				fail(min(i+1, 10), "stranger")
			}
			honest := s.dial()
			synctest.Wait()
			if got := r.count(sockets.EventConnect); got != 1 {
				t.Errorf("%d connect events, want 1", got)
			}
			honest.Close()
		})
		time.Sleep(time.Second - 1)
		fail(10, "stranger")
		time.Sleep(1000 * time.Hour)
		fail(11, "stranger, and 54 more")
		fail(12, "stranger")
		s.end()
	})
}

// Those that wait for the callback count in the limits.
func TestFailedHandshakesWaitForASlowCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		hold := make(chan struct{})
		r.then = func(event sockets.Event, _ *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventError {
				<-hold
			}
		}
		var begun atomic.Int32
		s := serve(t, sockets.Config{MaxConnections: 3}, r.callback, shy(func(context.Context, *memConn) error {
			begun.Add(1)
			return errors.New("a stranger")
		}))
		for range 9 {
			s.dial().Close()
			synctest.Wait()
		}
		if got := begun.Load(); got != 3 {
			t.Errorf("while the callback runs %d handshakes were made, want MaxConnections, 3", got)
		}
		close(hold)
		s.end()
	})
}

// 1,000 handshakes that hang hold up neither Close nor Shutdown.
func TestServerEndsWhileHandshakesHang(t *testing.T) {
	for name, end := range map[string]func(s *memServer){
		"Close":    func(s *memServer) { s.Close() },
		"Shutdown": func(s *memServer) { s.end() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newServerRecorder(t)
				var hanging atomic.Int32
				s := serve(t, sockets.Config{HandshakeTimeout: -1}, r.callback, shy(func(ctx context.Context, _ *memConn) error {
					hanging.Add(1)
					defer hanging.Add(-1)
					<-ctx.Done()
					return ctx.Err()
				}))
				var conns []*memConn
				for range 1000 {
					conns = append(conns, s.dial())
				}
				synctest.Wait()
				if got := hanging.Load(); got != 1000 {
					t.Errorf("%d handshakes hang, want 1000", got)
				}
				takes(t, "the end", 0, func() {
					end(s)
					<-s.Done()
				})
				if got := hanging.Load(); got != 0 {
					t.Errorf("%d handshakes still hang", got)
				}
				r.check("listen", "stop")
				for _, conn := range conns {
					if !conn.peer.isClosed() {
						t.Fatal("a connection is open")
					}
					conn.Close()
				}
			})
		})
	}
}

func TestHandshakeTimeout(t *testing.T) {
	hang := func(ctx context.Context, conn *memConn) error {
		<-ctx.Done()
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ timeout, want time.Duration }{{0, 5 * time.Second}, {time.Minute, time.Minute}} {
			r := newServerRecorder(t)
			s := serve(t, sockets.Config{HandshakeTimeout: test.timeout}, r.callback, shy(hang))
			conn := s.dial()
			takes(t, "the handshake", test.want, func() { io.Copy(io.Discard, conn) })
			synctest.Wait()
			r.check("listen", "error")
			if !errors.Is(r.errs[0], context.DeadlineExceeded) || r.addresses[1] != addressFrom(conn.LocalAddr()) {
				t.Errorf("the error is %v at %v", r.errs[0], r.addresses[1])
			}
			conn.Close()
			s.end()
		}
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{HandshakeTimeout: -1}, r.callback, shy(hang))
		conn := s.dial()
		time.Sleep(1000 * time.Hour)
		r.check("listen")
		s.end(conn)
	})
}

// Close ends handshakes under way; stop waits for them, and nobody is told.
func TestServerCloseDuringAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback, shy(func(ctx context.Context, conn *memConn) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			if conn.remote.Port%2 == 0 {
				return nil
			}
			return ctx.Err()
		}))
		conns := []*memConn{s.dial(), s.dial()}
		synctest.Wait()
		s.Close()
		takes(t, "stop", time.Second, func() { <-s.Done() })
		r.check("listen", "stop")
		for _, conn := range conns {
			if !conn.peer.isClosed() {
				t.Error("one that shook hands after Close is open")
			}
			conn.Close()
		}
		if got := s.Connections(); len(got) != 0 {
			t.Errorf("Connections() = %v, want none", got)
		}
	})
}

func TestConnectNeverRunsTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		r.then = func(sockets.Event, *sockets.Connection, sockets.Address, error) { time.Sleep(time.Second) }
		s := serve(t, sockets.Config{}, r.callback, shy(func(ctx context.Context, conn *memConn) error {
			time.Sleep(time.Second)
			if conn.remote.Port%3 == 0 {
				return errors.New("a stranger")
			}
			return nil
		}))
		var conns []*memConn
		for range 9 {
			conns = append(conns, s.dial())
		}
		s.listener.arrive(memArrival{err: syscall.EMFILE})
		time.Sleep(time.Minute)
		if got := r.told(); len(got) != 11 {
			t.Fatalf("events: %v, want 11", got)
		}
		for i := range r.times[1:] {
			if pause := r.times[i+1].Sub(r.times[i]); pause != time.Second {
				t.Errorf("%v between two callbacks of 1s", pause)
			}
		}
		s.end(conns...)
	})
}

// "In a server's callback it holds up accepting: go connection.Close()."
func TestCloseInsideConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				if r.count(sockets.EventConnect) == 1 {
					c.Close()
				} else {
					go c.Close()
				}
			}
		}
		s := serve(t, sockets.Config{}, r.callback)
		conns := []*memConn{s.dial(), s.dial(), s.dial()}
		time.Sleep(time.Minute)
		r.check("listen", "connect", "connect", "connect")
		var pauses []time.Duration
		for i := range r.times[1:] {
			pauses = append(pauses, r.times[i+1].Sub(r.times[i]))
		}
		if diff := cmp.Diff([]time.Duration{0, 3 * time.Second, 0}, pauses); diff != "" {
			t.Errorf("pauses between the events: -want +got\n%s", diff)
		}
		s.end(conns...)
	})
}

// chat gives every connection a callback made by f.
func chat(f func(c *sockets.Connection) sockets.ConnectionCallback) sockets.ServerCallback {
	return func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			c.SetCallback(f(c))
		}
	}
}

func TestShutdownWaitsForEveryCloseEventAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		var told atomic.Int32
		r.then = chat(func(*sockets.Connection) sockets.ConnectionCallback {
			return func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
				if event == sockets.EventClose {
					time.Sleep(time.Second)
					told.Add(1)
				}
			}
		})
		s := serve(t, sockets.Config{}, r.callback)
		var group sync.WaitGroup
		for range 10 {
			conn := s.dial()
			group.Go(func() {
				io.Copy(io.Discard, conn)
				time.Sleep(time.Second)
				conn.Close()
			})
		}
		synctest.Wait()
		takes(t, "Shutdown: goodbyes and events side by side", 2*time.Second, func() {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown = %v", err)
			}
		})
		if got := told.Load(); got != 10 {
			t.Errorf("Shutdown returned after %d of 10 close events", got)
		}
		if got := r.told(); got[len(got)-1] != "stop" {
			t.Errorf("Shutdown returned after %v, want stop", got)
		}
		select {
		case <-s.Done():
		default:
			t.Error("Done is not closed after Shutdown")
		}
		group.Wait()
	})
}

// What was sent before Shutdown reaches who reads.
func TestShutdownSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback)
		conns := []*memConn{s.dial(), s.dial()}
		for _, conn := range conns {
			conn.Write(framed("unread"))
		}
		synctest.Wait()
		message := strings.Repeat("x", 3*memCapacity)
		if err := sockets.SendAll([]byte(message), s.Connections()...); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		go s.Shutdown(t.Context())
		for _, conn := range conns {
			if got := readAll(t, conn); !bytes.Equal(got, framed(message)) {
				t.Errorf("%d bytes arrived, want %d", len(got), 4+len(message))
			}
		}
		<-s.Done()
	})
}

func TestShutdownWithACallbackThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		release := make(chan struct{})
		var recorders []*recorder
		r.then = chat(func(c *sockets.Connection) sockets.ConnectionCallback {
			rc := newRecorder(t)
			if len(recorders) == 0 {
				rc.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
					if event == sockets.EventMessage {
						<-release
					}
				}
			}
			recorders = append(recorders, rc)
			return rc.callback
		})
		s := serve(t, sockets.Config{}, r.callback)
		conns := []*memConn{s.dial(), s.dial(), s.dial()}
		for _, conn := range conns {
			conn.Write(framed("hello"))
		}
		synctest.Wait()
		for _, conn := range conns {
			answer(conn)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		takes(t, "Shutdown", 10*time.Second, func() {
			if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
				t.Errorf("Shutdown = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		recorders[0].check("message hello")
		recorders[1].check("message hello", "close")
		recorders[2].check("message hello", "close")
		r.check("listen", "connect", "connect", "connect", "stop")
		close(release)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown again = %v", err)
		}
		recorders[0].check("message hello", "close")
	})
}

func TestShutdownWithAConnectCallbackThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		release := make(chan struct{})
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				<-release
			}
		}
		s := serve(t, sockets.Config{}, r.callback)
		conn := s.dial()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		takes(t, "Shutdown", time.Second, func() {
			if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
				t.Errorf("Shutdown = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		if !conn.peer.isClosed() {
			t.Error("after Shutdown the connection is open")
		}
		close(release)
		<-s.Done()
		r.check("listen", "connect", "stop")
		conn.Close()
	})
}

// A connect callback that gives the connection its callback only after Shutdown
// began: its close event is waited for too.
func TestShutdownWaitsForACallbackSetLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rc := newServerRecorder(t), newRecorder(t)
		rc.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) { time.Sleep(time.Second) }
		r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
			if event == sockets.EventConnect {
				time.Sleep(time.Minute)
				c.SetCallback(rc.callback)
			}
		}
		s := serve(t, sockets.Config{}, r.callback)
		conn := s.dial()
		answer(conn)
		synctest.Wait()
		takes(t, "Shutdown", time.Minute+time.Second, func() {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown = %v", err)
			}
		})
		rc.check("close")
		r.check("listen", "connect", "stop")
	})
}

func TestShutdownOfOnesThatNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback)
		conns := []*memConn{s.dial(), s.dial()}
		synctest.Wait()
		takes(t, "Shutdown", 3*time.Second, func() {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown = %v", err)
			}
		})
		for _, conn := range conns {
			if !conn.peer.isClosed() {
				t.Error("after Shutdown a connection is open")
			}
			conn.Close()
		}
	})
}

func TestShutdownWithAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback)
		conn := s.dial()
		synctest.Wait()
		c := r.connections()[0]
		takes(t, "Shutdown", 0, func() {
			if err := s.Shutdown(ended); err != context.Canceled {
				t.Errorf("Shutdown = %v, want %v", err, context.Canceled)
			}
			<-c.Done()
			<-s.Done()
		})
		for range 100 {
			if err := s.Shutdown(ended); err != nil {
				t.Fatalf("Shutdown where nothing is left to wait for = %v", err)
			}
		}
		conn.Close()
	})
}

func TestShutdownFromSeveralGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		rc := newRecorder(t)
		r.then = chat(func(*sockets.Connection) sockets.ConnectionCallback { return rc.callback })
		s := serve(t, sockets.Config{}, r.callback)
		conn := s.dial()
		synctest.Wait()
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if err := s.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown = %v", err)
				}
				rc.check("close")
				if got := r.count(sockets.EventStop); got != 1 {
					t.Errorf("Shutdown returned after %d stop events", got)
				}
			})
		}
		answer(conn)
		group.Wait()
	})
}

func TestShutdownWithoutACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sockets.Config{}, nil)
		conn := s.dial()
		takes(t, "Shutdown", 0, func() {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown = %v", err)
			}
		})
		if err := turnedAway(conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("one that was never accepted sees %v, want %v", err, syscall.ECONNRESET)
		}
		conn.Close()
	})
}

// Shutdown during a storm of new connections leaves none behind.
func TestShutdownUnderAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		var opened, closed atomic.Int32
		r.then = chat(func(*sockets.Connection) sockets.ConnectionCallback {
			opened.Add(1)
			return func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
				if event == sockets.EventClose {
					closed.Add(1)
				}
			}
		})
		s := serve(t, sockets.Config{}, r.callback, shy(func(ctx context.Context, conn *memConn) error {
			time.Sleep(time.Duration(conn.remote.Port%7) * time.Millisecond)
			return ctx.Err()
		}))
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for {
					conn, err := s.network.dialFrom(netip.MustParseAddr("127.0.0.1"), s.listener.Addr().String())
					if err != nil {
						return
					}
					answer(conn)
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if opened.Load() < 100 || opened.Load() != closed.Load() {
			t.Errorf("%d connections were opened and %d closed", opened.Load(), closed.Load())
		}
		group.Wait()
	})
}

func TestServerOverAListenerOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		network := new(memNetwork)
		l, err := network.listen(":7")
		if err != nil {
			t.Fatal(err)
		}
		s := sockets.NewServer(l, r.callback)
		if got, want := s.LocalAddress(), netip.MustParseAddrPort("127.0.0.1:7"); got != want {
			t.Errorf("LocalAddress() = %v, want %v", got, want)
		}
		conn, err := network.DialContext(t.Context(), "tcp", "localhost:7")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.check("listen", "connect")
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		select {
		case <-l.closed:
		default:
			t.Error("Close left the listener open")
		}
		conn.Close()
		for _, c := range s.Connections() {
			c.Close()
		}
		<-s.Done()
	})
}

// loopback starts a server on a real port of this machine.
func loopback(t *testing.T, cfg sockets.Config, callback sockets.ServerCallback) *sockets.Server {
	t.Helper()
	s, err := cfg.Listen("127.0.0.1:0", callback)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shutdown(t *testing.T, s *sockets.Server) {
	t.Helper()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

// 1,000 closes with unread input and 1 MiB queued, over real loopback: nothing
// lost, never a reset.
func TestRealClosesLoseAndResetNothing(t *testing.T) {
	closes, workers := 1000, 4
	if testing.Short() {
		closes = 100
	}
	const halves, half = 2, 512 << 10
	message := bytes.Repeat([]byte("0123456789abcdef"), halves*half/16)
	var closing sync.WaitGroup
	s := loopback(t, sockets.Config{CloseTimeout: time.Minute}, func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			closing.Go(func() {
				for i := range halves {
					if err := sockets.SendAll(message[i*half:][:half], c); err != nil {
						t.Errorf("SendAll = %v", err)
					}
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		case sockets.EventError:
			t.Errorf("the server tells of %v", err)
		}
	})
	var left atomic.Int32
	left.Store(int32(closes))
	var clients sync.WaitGroup
	for range workers {
		clients.Go(func() {
			buffer := make([]byte, 0, half)
			for left.Add(-1) >= 0 {
				closeWithUnreadInput(t, s.LocalAddress().String(), message[:half], message[half:], buffer)
			}
		})
	}
	clients.Wait()
	shutdown(t, s)
	closing.Wait()
}

// closeWithUnreadInput is the other end of such a close: it talks, and reads
// what it is told until the end.
func closeWithUnreadInput(t *testing.T, address string, one, two, buffer []byte) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	var talking sync.WaitGroup
	talking.Go(func() {
		for range 8 {
			if _, err := conn.Write(make([]byte, 8<<10)); err != nil {
				t.Errorf("the other end was cut off while it wrote: %v", err)
				return
			}
		}
	})
	framer := sockets.NewFramer(conn, 4)
	for _, want := range [][]byte{one, two} {
		if got, err := framer.ReadAppend(buffer); !bytes.Equal(got, want) {
			t.Errorf("%d bytes of a message of %d arrived: %v", len(got), len(want), err)
		}
	}
	if _, err := framer.ReadMessage(); err != io.EOF {
		t.Errorf("the goodbye ends with %v, want %v", err, io.EOF)
	}
	talking.Wait()
}

// A port scan connects and resets. The server goes on.
func TestRealPortScanIsSurvived(t *testing.T) {
	r := newServerRecorder(t)
	connected := make(chan *sockets.Connection, 1000)
	r.then = func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			connected <- c
		}
	}
	s := loopback(t, sockets.Config{}, r.callback)
	for range 100 {
		conn, err := net.Dial("tcp", s.LocalAddress().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	client, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for c := range connected {
		if c.RemoteAddress() != client.LocalAddress() {
			go c.Close()
			continue
		}
		send(t, client.Connection, "hello")
		receive(t, c, "hello")
		go c.Close()
		break
	}
	if err := client.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if got := r.count(sockets.EventStop); got != 0 {
		t.Error("a port scan stopped the server")
	}
	shutdown(t, s)
}

// A process that may not open more files reports it, and goes on when it may.
func TestRealEMFILEIsSurvived(t *testing.T) {
	if os.Getenv("SOCKETS_TEST_EMFILE") != "" {
		surviveEMFILE(t)
		return
	}
	shell, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no limit of open files to set here")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), shell, "-c", `ulimit -n 64 && exec "$0" -test.run='^TestRealEMFILEIsSurvived$' -test.v`, self)
	cmd.Env = append(os.Environ(), "SOCKETS_TEST_EMFILE=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestRealEMFILEIsSurvived")) {
		t.Errorf("with at most 64 open files: %v\n%s", err, out)
	}
}

func surviveEMFILE(t *testing.T) {
	events := make(chan error, 100)
	s := loopback(t, sockets.Config{}, func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			events <- nil
			c.SetCallback(func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
				if event == sockets.EventMessage {
					send(t, c, string(payload))
				}
			})
		case sockets.EventError:
			events <- err
		}
	})
	var files []*os.File
	for len(files) < 1000 {
		file, err := os.Open(os.DevNull)
		if err != nil {
			if !errors.Is(err, syscall.EMFILE) {
				t.Fatal(err)
			}
			break
		}
		files = append(files, file)
	}
	files[0].Close()
	client, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-events; !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("the event has error %v, want %v", err, syscall.EMFILE)
		}
	}
	for _, file := range files[1:] {
		file.Close()
	}
	for err := range events {
		if err == nil {
			break
		}
	}
	send(t, client.Connection, "hello")
	receive(t, client.Connection, "hello")
	if err := client.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	shutdown(t, s)
}

func TestRealDialIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c, err := sockets.Dial(t.Context(), address, nil)
	if c != nil || !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "no program accepts connections there") {
		t.Errorf("Dial(%s) = %v, %v, want %v", address, c, err, syscall.ECONNREFUSED)
	}
}

func TestRealHalfClose(t *testing.T) {
	s := loopback(t, sockets.Config{}, func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			go func() {
				var all []string
				for {
					message, err := c.Receive(t.Context())
					if err != nil {
						if err != io.EOF || c.Err() != nil {
							t.Errorf("Receive = %v, Err() = %v, want io.EOF, nil", err, c.Err())
						}
						break
					}
					all = append(all, string(message))
				}
				send(t, c, strings.Join(all, " "))
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			}()
		}
	})
	client, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, client.Connection, "one")
	send(t, client.Connection, "two")
	if err := client.CloseWrite(); err != nil {
		t.Errorf("CloseWrite = %v", err)
	}
	receive(t, client.Connection, "one two")
	receiveError(t, client.Connection, io.EOF)
	if err := client.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	shutdown(t, s)
}

// The port accepts nobody as soon as Close has returned.
func TestRealServerCloseIsAtOnce(t *testing.T) {
	for range 50 {
		r := newServerRecorder(t)
		s := loopback(t, sockets.Config{}, r.callback)
		s.Close()
		if conn, err := net.Dial("tcp", s.LocalAddress().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial after Close = %v, %v, want %v", conn, err, syscall.ECONNREFUSED)
		}
		<-s.Done()
		if got := r.told(); got[len(got)-1] != "stop" || len(got) > 2 {
			t.Errorf("events: %v", got)
		}
	}
}

// A reset is a fault on the end that reads.
func TestRealResetIsAnError(t *testing.T) {
	rc := newRecorder(t)
	s := loopback(t, sockets.Config{}, chat(func(*sockets.Connection) sockets.ConnectionCallback { return rc.callback }))
	conn, err := net.Dial("tcp", s.LocalAddress().String())
	if err != nil {
		t.Fatal(err)
	}
	for len(s.Connections()) == 0 {
		runtime.Gosched()
	}
	c := s.Connections()[0]
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	<-c.Done()
	rc.check("error", "close")
	if err := c.Err(); runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Err() = %v, want %v", err, syscall.ECONNRESET)
	}
	shutdown(t, s)
}

// Every goroutine has an end: as many as before run after a busy server.
func TestRealGoroutinesEnd(t *testing.T) {
	start := runtime.NumGoroutine()
	s := loopback(t, sockets.Config{}, chat(func(c *sockets.Connection) sockets.ConnectionCallback {
		return func(event sockets.Event, payload []byte, _ *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				sockets.SendAll(payload, c)
			}
		}
	}))
	for i := range 50 {
		client, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		send(t, client.Connection, "hello")
		receive(t, client.Connection, "hello")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		client.Receive(ctx)
		cancel()
		switch i % 3 {
		case 0:
			client.Close()
		case 1:
			client.CloseNow()
		default:
			client.CloseWrite()
			receiveError(t, client.Connection, io.EOF)
			client.Close()
		}
		<-client.Done()
	}
	if during := runtime.NumGoroutine(); during > start+100 {
		t.Errorf("%d goroutines run, %d did at the start", during, start)
	}
	shutdown(t, s)
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > start && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if end := runtime.NumGoroutine(); end > start {
		buffer := make([]byte, 1<<20)
		t.Errorf("%d goroutines run at the end, %d did at the start\n%s", end, start, buffer[:runtime.Stack(buffer, true)])
	}
}
