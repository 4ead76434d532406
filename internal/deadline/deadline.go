// Package deadline is the deadlines of connections in memory.
package deadline

import (
	"sync"
	"time"
)

// A Deadline is a moment after which calls no longer wait, which may be moved
// while they do. The zero Deadline never passes. Its methods may be called from
// many goroutines.
type Deadline struct {
	mu     sync.Mutex    // guards what follows
	at     time.Time     // zero: never
	passed chan struct{} // nil: nobody asked for it yet
	closed bool          // passed is
	timer  *time.Timer   // closes it; nil: it need not
}

// Set moves the deadline to t; the zero time means never. One that had passed
// is forgotten: calls wait again.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.closed {
		d.passed, d.closed = nil, false
	}
	d.at = t
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passLocked()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // else the deadline was moved just now
			d.passLocked()
		}
	})
	d.timer = timer
}

// Passed returns a channel that is closed when the deadline passes. Who waits
// for it need not ask again when the deadline is moved, but once it has passed.
func (d *Deadline) Passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passedLocked()
}

// HasPassed reports whether the deadline has passed. It goes by the clock, so
// that in virtual time no scheduler decides what comes first of two things at
// the very moment of the deadline.
func (d *Deadline) HasPassed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed || !d.at.IsZero() && time.Until(d.at) <= 0
}

func (d *Deadline) passLocked() {
	close(d.passedLocked())
	d.closed = true
}

func (d *Deadline) passedLocked() chan struct{} {
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}
