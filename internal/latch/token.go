package latch

import "sync/atomic"

// A Token is a right that one goroutine at a time has, and for which others can
// wait among other things, who get it in no particular order. The zero Token is
// free. It is a channel with one slot that takes 16 bytes instead of 112, and a fifth
// of the time.
type Token struct {
	taken   atomic.Bool
	waiting atomic.Pointer[chan struct{}] // closed when it is given back, or nil
}

// Try takes the token if it is free, and reports whether it was.
func (t *Token) Try() bool { return t.taken.CompareAndSwap(false, true) }

// Take waits until it has the token.
func (t *Token) Take() {
	for !t.Try() {
		<-t.Free()
	}
}

// Give gives the token back.
func (t *Token) Give() {
	t.taken.Store(false)
	if t.waiting.Load() == nil {
		return
	}
	if c := t.waiting.Swap(nil); c != nil {
		close(*c)
	}
}

// Free returns a channel that is closed when it is time to Try again.
func (t *Token) Free() <-chan struct{} {
	c := t.waiting.Load()
	if c == nil {
		fresh := make(chan struct{})
		if c = &fresh; !t.waiting.CompareAndSwap(nil, c) {
			return *closed
		}
	}
	if !t.taken.Load() { // who gave it back may have seen nobody wait
		return *closed
	}
	return *c
}
