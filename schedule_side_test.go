package sockets_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets"
)

const readerIsCallback = -1 // the reader of a ledger, where it is not an actor

// A side is one end of a connection in a schedule, and what was done to it.
type side struct {
	world *streams
	name  string
	other *side
	sent  *ledger // what this side sends
	r     *recorder
	rough *atomic.Bool // of both sides: more than orderly calls was done to them

	conn     atomic.Pointer[memConn]
	c        atomic.Pointer[sockets.Connection]
	calledAt atomic.Int64          // when SetCallback was called
	halved   atomic.Bool           // CloseWrite was called
	over     atomic.Bool           // the callback closes the connection, maybe once more
	closedAt atomic.Int64          // when Close or CloseNow was called
	sawEnd   atomic.Bool           // Receive returned io.EOF, before Close was called
	reason   atomic.Pointer[error] // what Err was
	replies  int                   // of the callback
	greeted  bool                  // the server's callback has set one; guarded by the recorder's lock
	promised atomic.Bool           // the close event is to be told before the connection is done
	hard     atomic.Bool           // CloseNow or Shutdown was called
	goodbye  atomic.Bool           // Close returned no error, before CloseNow was called
	torn     atomic.Bool           // Close returned an error
	swept    atomic.Bool           // Shutdown was called
	doneAt   atomic.Int64          // when it was over, and the callback told
	fault    atomic.Bool           // the next write fails
}

// open makes the connection, with a callback in half of the cases.
func (s *side) open(conn *memConn, manner int) {
	over := s.world.over(conn, s)
	if manner%2 == 0 {
		s.world.p.tell("%s has callback %d", s.name, manner/2)
		s.calledAt.Store(time.Now().UnixNano())
		s.promised.Store(true)
		s.c.Store(s.world.cfg.NewConnection(over, s.callback(manner/2)))
	} else {
		s.c.Store(s.world.cfg.NewConnection(over, nil))
	}
	go s.watch(s.c.Load())
}

// watch fails the test if c is done before its callback is.
func (s *side) watch(c *sockets.Connection) {
	<-c.Done()
	s.doneAt.Store(time.Now().UnixNano())
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.promised.Load() && (!s.r.closed || s.r.running.Load()) {
		s.world.t.Errorf("%s: done after %v, while the callback runs: %v", s.name, s.r.events, s.r.running.Load())
	}
}

// isRude reports whether err is what rough calls may bring about.
func (s *side) isRude(err error) bool {
	is := func(target error) bool { return errors.Is(err, target) }
	rude := []error{io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE}
	return s.rough.Load() && (slices.ContainsFunc(rude, is) || is(sockets.ErrSlow) && s.world.cfg.MaxQueue > 0)
}

// wasLeft reports whether Shutdown left the connection alone, which was over.
func (s *side) wasLeft() bool {
	done := s.doneAt.Load()
	return s.swept.Load() && done != 0 && done <= s.closedAt.Load()
}

// isPast reports whether something happened, and before now.
func isPast(at *atomic.Int64) bool {
	then := at.Load()
	return then != 0 && then < time.Now().UnixNano()
}

func (s *side) closing() { s.closedAt.CompareAndSwap(0, time.Now().UnixNano()) }

func (s *side) send(size int, queued bool) {
	c := s.c.Load()
	if c == nil {
		return
	}
	number, late := s.world.numbers.Add(1), isPast(&s.closedAt)
	payload := letterOf(number, size)
	if queued && s.world.cfg.MaxQueue > 0 {
		s.rough.Store(true)
	}
	s.sent.begin(number, size)
	var err error
	if queued {
		err = sockets.SendAll(payload, c)
	} else {
		err = c.Send(payload)
	}
	clear(payload)
	fate, tooBig := failed, len(payload) > s.world.cfg.MaxMessage
	if err == nil {
		fate = accepted
	} else if tooBig {
		fate = unknown
	}
	s.sent.end(number, fate)
	s.checkSent("Send", err, late, tooBig)
}

func (s *side) checkSent(call string, err error, late, tooBig bool) {
	switch {
	case late && err == nil:
		s.world.t.Errorf("%s: %s succeeds after Close", s.name, call)
	case tooBig && !errors.Is(err, sockets.ErrMessageTooBig):
		s.world.t.Errorf("%s: %s of a message that is too big: %v", s.name, call, err)
	case err == nil, tooBig, s.isRude(err):
	case errors.Is(err, net.ErrClosed) && (s.halved.Load() || s.closedAt.Load() != 0):
	case errors.Is(err, io.EOF) && s.other.hasEnded():
	default:
		s.world.t.Errorf("%s: %s: %v, which nothing explains", s.name, call, err)
	}
}

// hasEnded reports whether the other side may have seen the end of this one: by
// a call, or because it saw the other's end itself.
func (s *side) hasEnded() bool { return s.halved.Load() || s.closedAt.Load() != 0 }

// receive waits for some milliseconds, or without an end where that is negative.
func (s *side) receive(actor, wait int) {
	c := s.c.Load()
	if c == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	if wait >= 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(wait)*time.Millisecond)
	}
	defer cancel()
	late, called := isPast(&s.closedAt), isPast(&s.calledAt)
	payload, err := c.Receive(ctx)
	if !late && isPast(&s.closedAt) || !called && isPast(&s.calledAt) {
		s.world.t.Errorf("%s: Receive returns %.20x, %v, some time after Close or SetCallback", s.name, payload, err)
	}
	if err == io.EOF && s.closedAt.Load() == 0 {
		s.sawEnd.Store(true)
	}
	switch {
	case late && err != net.ErrClosed && !s.wasLeft():
		s.world.t.Errorf("%s: Receive after Close: %.20x, %v", s.name, payload, err)
	case err == nil:
		s.other.sent.arrive(actor, payload, true)
	case payload != nil:
		s.world.t.Errorf("%s: Receive: %.20x with %v", s.name, payload, err)
	case err == sockets.ErrCallbackSet && s.calledAt.Load() != 0, ctx.Err() != nil && err == ctx.Err(), s.isRude(err):
	case err == net.ErrClosed && (s.over.Load() || s.closedAt.Load() != 0):
	case err == io.EOF && (s.other.hasEnded() || s.hasEnded()):
	default:
		s.world.t.Errorf("%s: Receive: %v, which nothing explains", s.name, err)
	}
}

// setCallback reports whether it was the first.
func (s *side) setCallback(manner int) bool {
	c := s.c.Load()
	if c == nil || !s.calledAt.CompareAndSwap(0, time.Now().UnixNano()) {
		return false
	}
	c.SetCallback(s.callback(manner))
	if !s.conn.Load().isClosed() {
		s.promised.Store(true)
	}
	return true
}

// callback returns a callback with habits of its own.
func (s *side) callback(manner int) sockets.ConnectionCallback {
	s.r.then = func(event sockets.Event, payload []byte, c *sockets.Connection, err error) {
		s.c.CompareAndSwap(nil, c)
		if event != sockets.EventMessage {
			if event == sockets.EventClose {
				s.closedEvent(c)
			}
			return
		}
		if s.over.Load() || isPast(&s.closedAt) {
			s.world.t.Errorf("%s: a message event after Close", s.name)
		}
		s.other.sent.arrive(readerIsCallback, payload, !s.world.cfg.LendPayloads)
		s.habit(manner % 8)
	}
	return s.r.callback
}

// habit is what a callback does with a message.
func (s *side) habit(which int) {
	if s.replies++; s.replies > 5 {
		return
	}
	switch {
	case which == 1 && (s.world.rough || s.world.narrow == memCapacity):
		s.send(10, false)
	case which == 2:
		s.send(10, true)
	case which == 3:
		s.receive(readerIsCallback, -1)
	case which == 4:
		time.Sleep(3 * time.Millisecond)
	case which == 5 && s.replies == 2:
		s.closeWrite()
	case which == 6 && s.replies == 3:
		s.close()
		s.over.Store(true)
	case which == 7 && s.replies == 3 && s.world.rough:
		s.closeNow()
		s.over.Store(true)
	}
}

// closedEvent calls what must not wait in the last event.
func (s *side) closedEvent(c *sockets.Connection) {
	start := time.Now()
	s.over.Store(true)
	if err := c.Send(nil); err == nil {
		s.world.t.Errorf("%s: Send succeeds in the close event", s.name)
	}
	if _, err := c.Receive(context.Background()); err == nil {
		s.world.t.Errorf("%s: Receive succeeds in the close event", s.name)
	}
	if err := c.Close(); err != nil && !s.rough.Load() {
		s.world.t.Errorf("%s: Close in the close event: %v", s.name, err)
	}
	if passed := time.Since(start); passed != 0 && !s.world.slow {
		s.world.t.Errorf("%s: the calls in the close event take %v", s.name, passed)
	}
	time.Sleep(time.Millisecond) // for who believes too early that it is over
}

// stall makes the other side wait for room, for some milliseconds.
func (s *side) stall(wait int) {
	if conn := s.conn.Load(); conn != nil {
		conn.setCapacity(0)
		time.Sleep(time.Duration(wait) * time.Millisecond)
		conn.setCapacity(s.world.narrow)
	}
}

// look compares what the methods that tell tell.
func (s *side) look() {
	c := s.c.Load()
	if c == nil {
		return
	}
	over := false
	select {
	case <-c.Done():
		over = true
	default:
	}
	err := c.Err()
	if over && err == nil || err != nil && !c.Closed() {
		s.world.t.Errorf("%s: done: %v, Err() = %v, Closed() = %v", s.name, over, err, c.Closed())
	}
	if err != nil && !s.reason.CompareAndSwap(nil, &err) && *s.reason.Load() != err {
		s.world.t.Errorf("%s: Err() = %v, it was %v", s.name, err, *s.reason.Load())
	}
}

func (s *side) closeWrite() {
	if c := s.c.Load(); c != nil {
		s.halved.Store(true)
		s.checkSent("CloseWrite", c.CloseWrite(), false, false)
	}
}

func (s *side) close() {
	c := s.c.Load()
	if c == nil {
		return
	}
	s.closing()
	if s.world.rough {
		s.rough.Store(true) // for as long as it may run out of time
	}
	start, limit := time.Now(), cmp.Or(s.world.cfg.CloseTimeout, 3*time.Second)
	err := c.Close()
	if err != nil && !s.isRude(err) {
		s.world.t.Errorf("%s: Close = %v", s.name, err)
	}
	if passed := time.Since(start); limit > 0 && passed > limit+s.world.pause() {
		s.world.t.Errorf("%s: Close takes %v", s.name, passed)
	}
	if err != nil {
		s.torn.Store(true)
	} else if !s.hard.Load() && c.Err() == net.ErrClosed {
		s.goodbye.Store(true)
	}
	if c.Err() == nil {
		s.world.t.Errorf("%s: Err() = nil after Close", s.name)
	}
}

func (s *side) closeNow() {
	if c := s.c.Load(); c != nil {
		s.rough.Store(true)
		s.closing()
		s.hard.Store(true)
		start := time.Now()
		if c.CloseNow(); time.Since(start) != 0 {
			s.world.t.Errorf("%s: CloseNow takes %v", s.name, time.Since(start))
		}
	}
}

func (s *side) reset() {
	if conn := s.conn.Load(); conn != nil {
		s.rough.Store(true)
		conn.link.Lock()
		defer conn.link.Unlock()
		conn.resetLocked()
		conn.peer.resetLocked()
	}
}

func (s *side) failWrites(after int) {
	if conn := s.conn.Load(); conn != nil {
		s.rough.Store(true)
		if after%2 == 0 {
			s.fault.Store(true)
			return
		}
		conn.failWrites(after, syscall.EPIPE)
		time.Sleep(time.Millisecond)
		conn.failWrites(0, nil)
	}
}

func (s *side) check(c *sockets.Connection) {
	<-c.Done()
	s.look()
	t, reason := s.world.t, c.Err()
	fault := reason != net.ErrClosed && reason != io.EOF
	if s.calledAt.Load() != 0 {
		if s.r.mu.Lock(); !s.r.closed {
			t.Errorf("%s: there was no close event: %v", s.name, s.r.events)
		}
		if s.r.mu.Unlock(); fault != (s.r.error() != nil) || fault && s.r.error() != reason {
			t.Errorf("%s: Err() = %v, the error event has %v", s.name, reason, s.r.error())
		}
	}
	if fault && !s.isRude(reason) {
		t.Errorf("%s: Err() = %v, which nothing explains", s.name, reason)
	}
	if reason == net.ErrClosed && s.closedAt.Load() == 0 {
		t.Errorf("%s: Err() = %v, nobody closed it", s.name, reason)
	}
	if reason == io.EOF && !s.rough.Load() && !s.other.hasEnded() && !s.hasEnded() {
		t.Errorf("%s: Err() = %v, the other end did not end", s.name, reason)
	}
	if !s.rough.Load() && (s.closedAt.Load() == 0 || s.sawEnd.Load()) && reason != io.EOF {
		t.Errorf("%s: Err() = %v, the other end ended first", s.name, reason)
	}
	s.other.sent.check(reason == io.EOF && (!s.rough.Load() || s.other.goodbye.Load() && !s.other.torn.Load()))
	if conn := s.conn.Load(); !conn.isClosed() {
		t.Errorf("%s: the stream is still open", s.name)
	}
}
