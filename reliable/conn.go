package reliable

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/deadline"
	"github.com/seed287501ae/sockets/internal/endpoint"
)

const (
	maxMessage = 65507 // bytes, as in a datagram
	maxFaults  = 128   // errors in a row after which reception ends
)

// A Conn is a packet connection whose messages arrive exactly once, and in the
// order in which they were sent to each peer. Many goroutines may use it at
// once.
//
// It is a [net.PacketConn]: addresses are of type *[net.UDPAddr], the error of a
// deadline is [os.ErrDeadlineExceeded], that of a closed connection
// [net.ErrClosed].
type Conn struct {
	socket       *endpoint.Socket
	self         endpoint.Self
	closeTimeout time.Duration

	readBy, writeBy deadline.Deadline
	readable        chan struct{} // one slot; full if something may be ready
	more            chan struct{} // one slot; full if the clock is to write on
	closing         chan struct{} // closed when Close was called, or the socket failed
	finished        chan struct{} // closed when all goodbyes are said
	deaf            chan struct{} // closed when nothing is received any more
	ended           chan struct{} // closed when the socket is closed
	goroutines      sync.WaitGroup
	timer           *time.Timer // of the clock

	mu      sync.Mutex // guards what follows
	engine  *engine
	spare   []datagram // of release
	writing bool       // a goroutine writes what the engine collects
	armed   time.Time  // what the timer was last set to
	err     error      // why closing is closed
	closed  bool       // Close was called
	told    bool       // finished is closed
}

func newConn(conn net.PacketConn, cfg Config, stats *counters) *Conn {
	c := &Conn{
		socket:       endpoint.NewSocket(conn),
		self:         endpoint.Self{Address: endpoint.Of(conn.LocalAddr())},
		closeTimeout: cfg.CloseTimeout,
		readable:     make(chan struct{}, 1),
		more:         make(chan struct{}, 1),
		closing:      make(chan struct{}),
		finished:     make(chan struct{}),
		deaf:         make(chan struct{}),
		ended:        make(chan struct{}),
		timer:        time.NewTimer(time.Hour),
		engine:       newEngine(time.Now(), cfg, stats),
	}
	c.goroutines.Go(c.receive)
	c.goroutines.Go(c.clock)
	return c
}

// LocalAddr returns the address of the socket beneath.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// MaxDatagram returns the bytes of the longest message: 65,507.
func (c *Conn) MaxDatagram() int { return maxMessage }

// WriteTo sends a message to addr; it keeps a copy. It waits for room in the
// window of that peer, as long as that peer takes something now and then:
// [Config].SendTimeout. No error means that the message was accepted, not that
// it arrived: if it cannot, ReadFrom and the next WriteTo to that peer say so.
func (c *Conn) WriteTo(message []byte, addr net.Addr) (int, error) {
	return c.write(message, addr, true)
}

// TryWriteTo is WriteTo that never waits: if the window of that peer is full,
// the message is not sent and the error is [sockets.ErrSlow].
func (c *Conn) TryWriteTo(message []byte, addr net.Addr) (int, error) {
	return c.write(message, addr, false)
}

func (c *Conn) write(message []byte, addr net.Addr, mayWait bool) (int, error) {
	to, err := c.destination(message, addr)
	if err != nil {
		return 0, c.fault("write", addr, err)
	}
	for {
		room, err := c.send(message, to, addr)
		switch {
		case err != nil:
			return 0, err
		case room == nil:
			return len(message), nil
		case !mayWait:
			return 0, fmt.Errorf("%w: %v", sockets.ErrSlow, to)
		}
		select {
		case <-room:
		case <-c.closing:
		case <-c.writeBy.Passed():
		}
	}
}

var errDestination = errors.New("a reliable message goes to one UDP address, with a port")

func (c *Conn) destination(message []byte, addr net.Addr) (to netip.AddrPort, err error) {
	if udp, ok := addr.(*net.UDPAddr); ok {
		to = c.self.Destination(endpoint.Of(udp))
	}
	switch {
	case !endpoint.IsUnicast(to):
		return to, errDestination
	case len(message) > maxMessage:
		return to, syscall.EMSGSIZE
	}
	return to, nil
}

func (c *Conn) send(message []byte, to netip.AddrPort, addr net.Addr) (room <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.release()
	switch {
	case c.err != nil:
		return nil, c.fault("write", addr, c.err)
	case c.writeBy.HasPassed():
		return nil, c.fault("write", addr, os.ErrDeadlineExceeded)
	}
	return c.engine.send(time.Now(), to, message)
}

// ReadFrom copies the next message into p, cut off if p is too short, and
// returns its sender. The error may be [sockets.ErrPeerUnreachable], with the
// peer that it concerns: messages to it may not have arrived. Reading goes on
// after it. If that peer is lost again before it is read, it stands for both.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.read(p)
		switch {
		case from.IsValid():
			return n, net.UDPAddrFromAddrPort(from), err
		case err != nil:
			return 0, nil, c.fault("read", nil, err)
		}
		select {
		case <-c.readable:
		case <-c.closing:
		case <-c.readBy.Passed():
		}
	}
}

// read returns what the engine has ready, and no address if that is nothing.
func (c *Conn) read(p []byte) (n int, from netip.AddrPort, err error) {
	c.mu.Lock()
	defer c.release()
	switch {
	case c.closed || c.err != nil && len(c.engine.ready) == 0:
		return 0, netip.AddrPort{}, c.err
	case c.readBy.HasPassed():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case len(c.engine.ready) == 0:
		return 0, netip.AddrPort{}, nil
	}
	return c.engine.read(time.Now(), p)
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline ends ReadFrom, also one that waits already, at t.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readBy, t) }

// SetWriteDeadline ends WriteTo, also one that waits already, at t.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

func (c *Conn) setDeadline(d *deadline.Deadline, t time.Time) error {
	select {
	case <-c.closing:
		return c.fault("set", nil, net.ErrClosed)
	default:
		d.Set(t)
		return nil
	}
}

// Close says goodbye: it waits until what was accepted is acknowledged, at most
// [Config].CloseTimeout, tells the peers, and closes the socket. Whatever else is
// called, or waits, gets [net.ErrClosed] at once. The error says that a peer has
// not acknowledged everything, or that messages to it got lost before and
// neither ReadFrom nor WriteTo has told it. Of two that close at once, neither
// reads what the other sends meanwhile, nor is told.
func (c *Conn) Close() error {
	if !c.leave() {
		return c.fault("close", nil, net.ErrClosed)
	}
	var timeout <-chan time.Time
	if c.closeTimeout > 0 {
		timer := time.NewTimer(c.closeTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-c.finished:
	case <-c.deaf:
	case <-timeout:
	}
	err := c.socket.Close()
	close(c.ended)
	c.goroutines.Wait()
	c.readBy.Set(time.Time{})
	c.writeBy.Set(time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = cmp.Or(c.engine.unfinished(), err); err != nil {
		return c.fault("close", nil, err)
	}
	return nil
}

// leave begins the goodbye, once.
func (c *Conn) leave() bool {
	c.mu.Lock()
	defer c.release()
	if c.closed {
		return false
	}
	c.closed = true
	if c.err == nil {
		close(c.closing)
	}
	c.err = net.ErrClosed
	c.engine.leave(time.Now())
	return true
}

// fail says that the socket is of no use any more.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.closing)
	}
}

// fault dresses an error as package net does.
func (c *Conn) fault(op string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: addr, Err: err}
}

// receive gives the engine what arrives. It is the receiving goroutine.
func (c *Conn) receive() {
	defer close(c.deaf)
	var last time.Time
	for faults := 0; ; {
		payload, from, err := c.socket.Receive()
		now := time.Now()
		switch {
		case err == nil:
			faults = 0
			c.mu.Lock()
			c.engine.receive(now, from, payload)
			c.release()
		case errors.Is(err, net.ErrClosed):
			c.fail(net.ErrClosed)
			return
		default:
			// A system may report one error for each datagram that found nobody. What
			// goes on for longer is the machine's, unless it concerns a peer.
			if now.Sub(last) > time.Second {
				faults = 0
			}
			last = now
			faults++
			if from.IsValid() {
				faults = min(faults, maxFaults-1)
				c.mu.Lock()
				c.engine.troubled(from, err)
				c.mu.Unlock()
			}
			if faults == maxFaults {
				c.fail(fmt.Errorf("reliable: receive: %w", err))
				return
			}
			time.Sleep(time.Duration(faults-maxFaults/2) * time.Millisecond)
		}
	}
}

// clock wakes the engine when its time has come. It is a goroutine.
func (c *Conn) clock() {
	for {
		select {
		case <-c.timer.C:
		case <-c.more:
		case <-c.ended:
			return
		}
		c.mu.Lock()
		c.workLocked(math.MaxInt)
		c.mu.Unlock()
	}
}

// release lets go of the mutex, once what the engine asks for is done, or begun.
func (c *Conn) release() {
	c.workLocked(2)
	c.mu.Unlock()
}

// workLocked does what the engine asks for. One goroutine at a time writes
// datagrams, so that they keep their order; meanwhile the others leave their work
// to it, and it may do much at once. After so many rounds the clock goes on.
func (c *Conn) workLocked(rounds int) {
	for ; !c.writing; rounds-- {
		now := time.Now()
		c.engine.collect(now)
		if len(c.engine.out) == 0 {
			c.armLocked(now)
			break
		}
		if rounds == 0 {
			signal(c.more)
			break
		}
		c.writeLocked()
	}
	if len(c.engine.ready) > 0 {
		signal(c.readable)
	}
	if c.closed && !c.told && c.engine.gone() {
		c.told = true
		close(c.finished)
	}
}

// signal fills a channel of one slot.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// writeLocked writes what the engine has put out, without the mutex.
func (c *Conn) writeLocked() {
	c.writing = true
	batch := c.engine.out
	c.engine.out = c.spare
	c.mu.Unlock()
	for i := range batch {
		batch[i].err = c.socket.Send(batch[i].payload, batch[i].to)
	}
	c.mu.Lock()
	c.engine.written(batch)
	c.spare = batch[:0]
	c.writing = false
}

// armLocked sets the timer for when the engine wants to be woken.
func (c *Conn) armLocked(now time.Time) {
	if wake := c.engine.wake; !wake.IsZero() && wake != c.armed { // setting it takes long
		c.armed = wake
		c.timer.Reset(max(wake.Sub(now), time.Millisecond))
	}
}
