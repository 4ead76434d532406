// Package latch is things that happen once, and that one can wait for.
package latch

import (
	"sync"
	"sync/atomic"
)

// A Latch is closed once, and stays closed. The zero Latch is open. Its methods
// may be called from many goroutines.
type Latch struct {
	closed atomic.Bool

	mu sync.Mutex    // guards what follows; held to set closed
	c  chan struct{} // nil: nobody has waited yet
}

// Close reports whether the latch was open.
func (l *Latch) Close() (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first = !l.closed.Load(); first {
		l.closed.Store(true)
		if l.c != nil {
			close(l.c)
		}
	}
	return first
}

// IsClosed reports whether the latch is closed.
func (l *Latch) IsClosed() bool { return l.closed.Load() }

// Wait returns a channel that is closed with the latch.
func (l *Latch) Wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c == nil {
		if l.c = make(chan struct{}); l.IsClosed() {
			close(l.c)
		}
	}
	return l.c
}
