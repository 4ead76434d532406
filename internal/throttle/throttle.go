// Package throttle keeps strangers from flooding whoever is told of them.
package throttle

import (
	"fmt"
	"sync"
	"time"
)

// A Throttle lets so many errors a second be told, and counts the others. It
// needs no timer: the next one that is told says how many were not, however
// late it comes.
type Throttle struct {
	mu     sync.Mutex  // guards what follows
	told   []time.Time // when the last ones were told, the oldest first
	untold int         // since then
}

// New returns a Throttle that lets at most most errors be told in any second.
func New(most int) *Throttle { return &Throttle{told: make([]time.Time, most)} }

// Pass returns err if it may be told now, wrapped to say how many were not told
// since the last one was; else it counts err and returns nil. It may be called
// from many goroutines.
func (t *Throttle) Pass(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.told[0]) < time.Second {
		t.untold++
		return nil
	}
	t.told[copy(t.told, t.told[1:])] = now
	if t.untold > 0 {
		err = fmt.Errorf("%w, and %d more", err, t.untold)
		t.untold = 0
	}
	return err
}
