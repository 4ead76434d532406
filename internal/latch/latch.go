// Package latch is things that happen once, and that one can wait for.
package latch

import "sync/atomic"

// A Latch is closed once, and stays closed. The zero Latch is open. Its methods
// may be called from many goroutines.
type Latch struct {
	c atomic.Pointer[chan struct{}] // nil: open, and nobody has waited yet
}

// closed is the channel of every closed Latch.
var closed = func() *chan struct{} {
	c := make(chan struct{})
	close(c)
	return &c
}()

// Close reports whether the latch was open.
func (l *Latch) Close() (first bool) {
	c := l.c.Swap(closed)
	if c != nil && c != closed {
		close(*c)
	}
	return c != closed
}

// IsClosed reports whether the latch is closed.
func (l *Latch) IsClosed() bool { return l.c.Load() == closed }

// Wait returns a channel that is closed with the latch.
func (l *Latch) Wait() <-chan struct{} {
	if l.c.Load() == nil {
		c := make(chan struct{})
		l.c.CompareAndSwap(nil, &c)
	}
	return *l.c.Load()
}
