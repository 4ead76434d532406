package sockets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/latch"
	"github.com/seed287501ae/sockets/internal/system"
	"github.com/seed287501ae/sockets/internal/throttle"
	"golang.org/x/sync/errgroup"
)

// ErrTooManyConnections is the error, of an event of the server, of a connection
// that it turned away. The other end sees the end of its stream, or a reset.
var ErrTooManyConnections = errors.New("sockets: too many connections")

// A Server accepts connections, and tells a callback of each. Its methods may
// be called from many goroutines, and but for [Server.Shutdown] from its
// callback.
type Server struct {
	listener net.Listener
	cfg      Config
	callback ServerCallback     // set once called is closed
	calling  chan struct{}      // one slot; holding it is the right to run the callback
	called   latch.Latch        // there is a callback
	closing  latch.Latch        // no more is accepted
	stopped  latch.Latch        // the callback has been told so
	greeting sync.WaitGroup     // handshakes under way
	overflow *throttle.Throttle // of connections over a limit
	failures *throttle.Throttle // of handshakes

	mu          sync.Mutex               // guards what follows
	connections map[*Connection]struct{} // those that the callback knows
	admitted    int                      // connections, and handshakes under way
	perSite     map[string]int           // the same by address
}

// Listen binds a server to address: "8080" or ":8080" for every address of this
// machine, port 0 for any free port. It listens at once, and accepts once it
// has a callback, here or by [Server.SetCallback].
func Listen(address string, callback ServerCallback) (*Server, error) {
	return new(Config).Listen(address, callback)
}

// Listen is the function [Listen] with this configuration.
func (cfg *Config) Listen(address string, callback ServerCallback) (*Server, error) {
	full := cfg.withDefaults()
	local, port, err := endpoint.HostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel, overdue := within(context.Background(), full.DialTimeout)
	defer cancel()
	listener, err := full.Network.Listen(ctx, "tcp", local)
	if err != nil {
		return nil, system.ExplainBind(overdue(err, "DialTimeout"), port)
	}
	return newServer(listener, full, callback), nil
}

// NewServer returns a server over a listener of one's own, which is the
// server's from now on.
func NewServer(listener net.Listener, callback ServerCallback) *Server {
	return new(Config).NewServer(listener, callback)
}

// NewServer is the function [NewServer] with this configuration.
func (cfg *Config) NewServer(listener net.Listener, callback ServerCallback) *Server {
	return newServer(listener, cfg.withDefaults(), callback)
}

func newServer(listener net.Listener, cfg Config, callback ServerCallback) *Server {
	s := &Server{
		listener:    listener,
		cfg:         cfg,
		calling:     make(chan struct{}, 1),
		overflow:    throttle.New(1),
		failures:    throttle.New(10),
		connections: make(map[*Connection]struct{}),
		perSite:     make(map[string]int),
	}
	if callback != nil {
		s.SetCallback(callback)
	}
	return s
}

// LocalAddress returns the address that the server is bound to, with its real
// port.
func (s *Server) LocalAddress() Address { return endpoint.Of(s.listener.Addr()) }

// SetCallback starts to accept. It may be called once; a second call, or a nil
// callback, panics.
func (s *Server) SetCallback(callback ServerCallback) {
	if callback == nil || !s.called.Close() {
		panic("sockets: Server.SetCallback: once, and not nil")
	}
	s.callback = callback
	go s.accept()
}

// Connections returns the open connections.
func (s *Server) Connections() []*Connection {
	return slices.DeleteFunc(s.announced(), (*Connection).Closed)
}

func (s *Server) announced() []*Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.connections))
}

// Close stops accepting, at once; the connections that were accepted live on.
// The stop event comes soon after: [Server.Done] tells when. Closing again does
// nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	first := s.closing.Close()
	s.mu.Unlock()
	if !first {
		return nil
	}
	err := s.listener.Close()
	if !s.called.IsClosed() {
		s.stopped.Close()
	}
	return err
}

// Shutdown stops accepting and closes all connections side by side, each with
// its goodbye; then it waits until every close event and the stop event have
// been told. When ctx ends first, it closes the rest at once and returns the
// context's error. A callback must not call it: it would wait for itself.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Close()
	var group errgroup.Group
	group.Go(func() error { return wait(ctx, s.stopped.Wait()) })
	for _, c := range s.announced() {
		group.Go(func() error {
			inTime := context.AfterFunc(ctx, func() { c.CloseNow() })
			c.Close()
			if err := wait(ctx, c.done.Wait()); err != nil || inTime() {
				return err
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		default:
			return ctx.Err()
		}
	}
	return nil
}

// Done returns a channel that is closed when the server accepts no more and its
// callback has been told.
func (s *Server) Done() <-chan struct{} { return s.stopped.Wait() }

// accept is the accepting goroutine.
func (s *Server) accept() {
	ctx, cancel := context.WithCancel(context.Background())
	if !s.closing.IsClosed() {
		s.tell(EventListen, nil, s.LocalAddress(), nil)
	}
	var pause time.Duration
	faults := throttle.New(10) // a second: more than the pauses of one row allow
	for !s.closing.IsClosed() {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			s.welcome(ctx, conn)
		case s.closing.IsClosed():
		case system.IsTemporary(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			err = faults.Pass(fmt.Errorf("sockets: accept, again in %v: %w", pause, err))
			if err != nil {
				s.tell(EventError, nil, Address{}, err)
			}
			select {
			case <-time.After(pause):
			case <-s.closing.Wait():
			}
		default:
			s.tell(EventError, nil, Address{}, fmt.Errorf("sockets: accept: %w", err))
			s.Close()
		}
	}
	cancel()
	s.greeting.Wait()
	s.tell(EventStop, nil, s.LocalAddress(), nil)
	s.stopped.Close()
}

// welcome admits an accepted connection, and announces it after its handshake if
// it has one, which ends with ctx.
func (s *Server) welcome(ctx context.Context, conn net.Conn) {
	remote := endpoint.Of(conn.RemoteAddr())
	site := endpoint.Site(remote.Addr())
	if err := s.admit(site); err != nil {
		closeNow(conn)
		if err := s.overflow.Pass(err); err != nil {
			s.tell(EventError, nil, remote, err)
		}
		return
	}
	c := newConnection(conn, &s.cfg, nil)
	c.pending.Add(1)
	c.onDone = sync.OnceFunc(func() { s.forget(c, site) })
	h, ok := conn.(interface{ HandshakeContext(context.Context) error })
	if !ok {
		s.announce(c)
		return
	}
	s.greeting.Go(func() {
		ctx, cancel, overdue := within(ctx, s.cfg.HandshakeTimeout)
		defer cancel()
		if err := h.HandshakeContext(ctx); err != nil {
			c.CloseNow()
			err = fmt.Errorf("sockets: handshake with %v: %w", remote, overdue(err, "HandshakeTimeout"))
			err = s.failures.Pass(shown{err})
			if err != nil && !s.closing.IsClosed() {
				s.tell(EventError, nil, remote, err)
			}
			c.release() // only now: who waits to be told counts in the limits
			return
		}
		s.announce(c)
	})
}

// admit counts a connection from a site, if the limits allow it.
func (s *Server) admit(site string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := s.cfg.MaxConnections; limit > 0 && s.admitted >= limit {
		return fmt.Errorf("%w: %d connections (Config.MaxConnections) are open: close some, or raise it", ErrTooManyConnections, limit)
	}
	if limit := s.cfg.MaxConnectionsPerIP; limit > 0 && s.perSite[site] >= limit {
		return fmt.Errorf("%w: %d connections from %v (Config.MaxConnectionsPerIP) are open: close some, or raise it", ErrTooManyConnections, limit, site)
	}
	s.admitted++
	s.perSite[site]++
	return nil
}

func (s *Server) forget(c *Connection, site string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
	s.admitted--
	if s.perSite[site]--; s.perSite[site] == 0 {
		delete(s.perSite, site)
	}
}

// announce tells the callback of c, unless the server has been closed.
func (s *Server) announce(c *Connection) {
	s.mu.Lock()
	open := !s.closing.IsClosed()
	if open {
		s.connections[c] = struct{}{}
	}
	s.mu.Unlock()
	if open {
		s.tell(EventConnect, c, c.RemoteAddress(), nil)
	} else {
		c.CloseNow()
	}
	c.release()
}

// tell runs the callback, never twice at once.
func (s *Server) tell(event Event, c *Connection, address Address, err error) {
	s.calling <- struct{}{}
	s.callback(event, c, address, err)
	<-s.calling
}
