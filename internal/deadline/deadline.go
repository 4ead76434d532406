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
	mu     sync.Mutex // guards what follows
	timer  *time.Timer
	passed chan struct{}
}

// Set moves the deadline to t; the zero time means never. One that had passed
// is forgotten: calls wait again.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passedLocked() // its function runs or has run
	}
	d.timer = nil
	wait := time.Until(t)
	switch {
	case t.IsZero():
		d.renewLocked()
	case wait <= 0:
		if !d.hasPassedLocked() {
			close(d.passedLocked())
		}
	default:
		d.renewLocked()
		passed := d.passedLocked()
		d.timer = time.AfterFunc(wait, func() { close(passed) })
	}
}

// Passed returns a channel that is closed when the deadline passes. Who waits
// for it need not ask again when the deadline is moved, but once it has passed.
func (d *Deadline) Passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passedLocked()
}

// HasPassed reports whether the deadline has passed.
func (d *Deadline) HasPassed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hasPassedLocked()
}

func (d *Deadline) passedLocked() chan struct{} {
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}

func (d *Deadline) hasPassedLocked() bool {
	select {
	case <-d.passedLocked():
		return true
	default:
		return false
	}
}

func (d *Deadline) renewLocked() {
	if d.hasPassedLocked() {
		d.passed = nil
	}
}
