package sockets_test

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
)

// streams are the objects of a schedule: two connections with each other, or a
// server and its clients.
type streams struct {
	t       *testing.T
	p       *program
	cfg     sockets.Config
	rough   bool // faults, time-outs and what is not orderly are allowed
	narrow  int  // bytes that may be on their way
	slow    bool // what is written arrives in pieces, and with pauses
	sides   []*side
	numbers atomic.Uint32

	server    *memServer // nil: none
	told      *serverRecorder
	served    atomic.Bool  // the server's SetCallback was called
	stoppedAt atomic.Int64 // when it was closed
	greet     int          // what its callback does with a connection
	shy       []int        // how each client's connection shakes hands; nil: without
	shaking   atomic.Int32 // handshakes under way

	mu  sync.Mutex // guards what follows
	end bool       // nobody dials any more
}

// runStreams runs a schedule of connections.
func runStreams(t *testing.T, p *program) {
	w := &streams{t: t, p: p}
	w.configure()
	if clients := p.next(8) - 4; clients > 0 {
		w.serve(min(clients, 3))
	} else {
		w.couple()
	}
	w.plan()
	acted := p.play()
	select {
	case <-acted:
	case <-time.After(10 * time.Second):
	}
	w.finale(acted)
	time.Sleep(time.Second) // a callback that came after the end is told so
	synctest.Wait()
	w.check()
}

func (w *streams) configure() {
	p := w.p
	w.rough = p.next(2) == 1
	w.narrow = []int{memCapacity, 64, 1024, 7}[p.next(4)]
	w.slow = p.next(2) == 1
	w.cfg = sockets.Config{CloseTimeout: time.Hour, HandshakeTimeout: 10 * time.Millisecond, MaxMessage: 4096, LendPayloads: p.next(2) == 1}
	if w.rough {
		w.cfg.CloseTimeout = []time.Duration{0, time.Millisecond, 20 * time.Millisecond, -1}[p.next(4)]
		w.cfg.SendTimeout = []time.Duration{0, 5 * time.Millisecond}[p.next(2)]
		w.cfg.IdleTimeout = []time.Duration{0, 5 * time.Millisecond}[p.next(2)]
		w.cfg.FrameTimeout = []time.Duration{0, 3 * time.Millisecond}[p.next(2)]
		w.cfg.MaxQueue = []int{0, 200}[p.next(2)]
		w.cfg.MaxConnections = []int{0, 1}[p.next(2)]
	}
	p.tell("%+v, rough %v, narrow %d, slow %v", w.cfg, w.rough, w.narrow, w.slow)
}

// A halfStream is a connection in memory, or a wrapper of one.
type halfStream interface {
	net.Conn
	CloseWrite() error
}

// A faultyConn fails a single Write when it is asked to.
type faultyConn struct {
	*memConn
	fault *atomic.Bool
}

func (c faultyConn) Write(p []byte) (int, error) {
	if c.fault.Swap(false) {
		return 0, c.opError("write", syscall.EPIPE)
	}
	return c.memConn.Write(p)
}

// A slowConn takes a pause after each piece of what it writes.
type slowConn struct{ faultyConn }

func (c slowConn) Write(p []byte) (written int, err error) {
	for rest := p; len(rest) > 0 && err == nil; rest = p[written:] {
		var n int
		n, err = c.faultyConn.Write(rest[:min(len(rest), 6+len(p)/3)])
		written += n
		time.Sleep(time.Millisecond)
	}
	return written, err
}

// over is the stream of a side's connection.
func (w *streams) over(conn *memConn, s *side) halfStream {
	conn.setCapacity(w.narrow)
	s.conn.Store(conn)
	faulty := faultyConn{conn, &s.fault}
	if w.slow {
		return slowConn{faulty}
	}
	return faulty
}

// link adds two sides that are each other's.
func (w *streams) link() (*side, *side) {
	rough := new(atomic.Bool)
	rough.Store(w.rough && (w.cfg.SendTimeout > 0 || w.cfg.IdleTimeout > 0 || w.cfg.FrameTimeout > 0 || w.cfg.MaxConnections > 0))
	var sides [2]*side
	for i := range sides {
		name := string(rune('A' + len(w.sides)))
		sides[i] = &side{world: w, name: name, sent: newLedger(w.t, "from "+name), r: newRecorder(w.t), rough: rough}
		w.sides = append(w.sides, sides[i])
	}
	sides[0].other, sides[1].other = sides[1], sides[0]
	return sides[0], sides[1]
}

func (w *streams) couple() {
	a, b := w.link()
	here, there := pipe()
	a.open(here, w.p.next(16))
	b.open(there, w.p.next(16))
}

// pause is how long a call may last that does not wait: until what is being
// written has noticed.
func (w *streams) pause() time.Duration {
	if w.slow {
		return 2 * time.Millisecond
	}
	return 0
}

func (w *streams) roughen() {
	for _, s := range w.sides {
		s.rough.Store(true)
	}
}

// plan gives the calls of the program to the actors.
func (w *streams) plan() {
	dialled := 0
	for len(w.p.bytes) > 0 {
		actor, code, arg := w.p.next(4), w.p.next(32), w.p.next(256)
		if w.server != nil && (code >= 26 || dialled == 0) {
			if dialled < len(w.sides)/2 {
				client := dialled
				dialled++
				w.p.plan(actor, func() { w.dial(client) }, "dial %c", 'A'+2*client)
				continue
			}
			w.planServer(actor, arg)
			continue
		}
		s, n := w.sides[arg>>4%len(w.sides)], arg%16
		switch {
		case code < 5:
			w.p.plan(actor, func() { s.send(n*n*n, false) }, "%s.Send %d", s.name, n*n*n)
		case code < 8:
			w.p.plan(actor, func() { s.send(n*n, true) }, "%s SendAll %d", s.name, n*n)
		case code < 9:
			w.p.plan(actor, func() { w.sendAll(n) }, "SendAll to all %d", n)
		case code < 12:
			w.p.plan(actor, func() { s.receive(actor, n-3) }, "%s.Receive %d", s.name, n-3)
		case code < 14:
			w.p.plan(actor, func() { s.setCallback(n) }, "%s.SetCallback %d", s.name, n)
		case code < 16:
			w.p.plan(actor, func() { time.Sleep(time.Duration(n) * time.Millisecond) }, "sleep %d", n)
		case code < 18:
			w.p.plan(actor, func() {
				for range n {
					runtime.Gosched()
				}
			}, "yield %d", n)
		case code < 20:
			w.p.plan(actor, func() { s.stall(n) }, "%s stalls %d", s.name, n)
		case code < 21:
			w.p.plan(actor, s.look, "%s looks", s.name)
		case code < 23:
			w.p.plan(actor, s.closeWrite, "%s.CloseWrite", s.name)
		case code < 25 || !w.rough:
			w.p.plan(actor, s.close, "%s.Close", s.name)
		case code < 28:
			w.p.plan(actor, s.closeNow, "%s.CloseNow", s.name)
		case code < 30:
			w.p.plan(actor, func() { s.reset() }, "%s is reset", s.name)
		default:
			w.p.plan(actor, func() { s.failWrites(n) }, "%s cannot write, for a while after %d or once if that is even", s.name, n)
		}
	}
}

// sendAll sends one message to every side at once.
func (w *streams) sendAll(size int) {
	if w.cfg.MaxQueue > 0 {
		w.roughen()
	}
	number := w.numbers.Add(1)
	payload := letterOf(number, size)
	var to []*sockets.Connection
	var from []*side
	for _, s := range w.sides {
		if c := s.c.Load(); c != nil {
			to, from = append(to, c), append(from, s)
			s.sent.begin(number, size)
		}
	}
	err := sockets.SendAll(payload, to...)
	clear(payload)
	for _, s := range from {
		if err == nil {
			s.sent.end(number, accepted)
		} else {
			s.sent.end(number, unknown)
		}
	}
}

// finale ends everything. Where it is orderly, everything ends by itself as soon
// as one side of each connection closes and the other reads.
func (w *streams) finale(acted <-chan struct{}) {
	w.mu.Lock()
	w.end = true
	w.mu.Unlock()
	first := w.p.next(3)
	ended := together(func(group *sync.WaitGroup) {
		for i, s := range w.sides {
			if first == i%2 {
				group.Go(func() { s.setCallback(0) })
			} else {
				group.Go(s.close)
			}
		}
		if w.server != nil {
			w.setServerCallback()
			group.Go(func() {
				if first == 1 {
					w.stopServer(w.server.Close)
				} else {
					w.shutdown(context.Background())
				}
			})
		}
	})
	if w.rough {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
		}
		for _, s := range w.sides {
			s.closeNow()
		}
	}
	w.p.must("the goodbyes", ended)
	for _, s := range w.sides {
		if c := s.c.Load(); c != nil {
			w.p.must(s.name+" is done", c.Done())
		}
	}
	w.p.must("the actors", acted)
	if w.server != nil {
		w.p.must("the server", w.server.Done())
	}
}

// check holds what happened against the contract.
func (w *streams) check() {
	for _, s := range w.sides {
		if c := s.c.Load(); c != nil {
			s.check(c)
		}
	}
	if w.server != nil {
		if events := w.told.told(); events[len(events)-1] != string(sockets.EventStop) {
			w.t.Errorf("events of the server: %v", events)
		}
		connections, addresses := sockets.Counted(w.server.Server)
		if open, announced := len(w.server.Connections()), sockets.Announced(w.server.Server); open+announced+connections+addresses > 0 {
			w.t.Errorf("the server has %d connections left, remembers %d, and counts %d of %d addresses", open, announced, connections, addresses)
		}
		for _, s := range w.sides {
			if conn := s.conn.Load(); conn != nil && !conn.isClosed() {
				w.t.Errorf("%s: the stream is still open", s.name)
			}
		}
	}
}
