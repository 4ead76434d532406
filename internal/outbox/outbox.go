// Package outbox lets many goroutines send over one stream.
package outbox

import (
	"cmp"
	"net"
	"sync"
)

// An Outbox is the right to write to a stream. One goroutine writes at a time;
// what is queued goes before what is sent after it; and nothing follows a write
// that failed: a stream never has a hole.
//
// The functions that it is made of are called with no lock held.
type Outbox struct {
	message func(message []byte) error
	frames  func(frames net.Buffers) error
	failed  func(err error)
	idle    func()
	max     int

	writing chan struct{} // one slot; holding it is the right to write
	broken  error         // of the first write that failed; of who holds writing

	mu     sync.Mutex // guards what follows
	refuse error      // the answer to who wants to send; nil as long as all are welcome
	told   bool       // idle was called
	busy   int        // Sends under way, and goroutines that empty the queue
	queue  [][]byte   // frames that are not being written yet
	queued int        // cost of those that are not written yet
}

// New returns an Outbox that writes a message by message and what was queued by
// frames. It calls failed with the first error of either, for everyone who waits
// to send behind it, and idle once: when sending
// is refused and nobody sends any more. A max that is positive bounds the bytes
// of the queue, where a frame counts 24 more than it has; one that is alone may
// be longer.
func New(max int, message func([]byte) error, frames func(net.Buffers) error, failed func(error), idle func()) *Outbox {
	return &Outbox{max: max, message: message, frames: frames, failed: failed, idle: idle, writing: make(chan struct{}, 1)}
}

// Send waits for its turn and writes a message. It returns why sending is
// refused, or that the write failed, after failed was told.
func (o *Outbox) Send(message []byte) (refused error, ok bool) {
	o.mu.Lock()
	if refused = o.refuse; refused == nil {
		o.busy++
	}
	o.mu.Unlock()
	if refused != nil {
		return refused, false
	}
	defer o.leave()
	o.writing <- struct{}{}
	defer func() { <-o.writing }()
	if o.flush(); o.broken == nil {
		o.broken = o.message(message)
	}
	return nil, o.check()
}

// Enqueue queues a frame and does not wait. It returns why sending is refused,
// or that the queue is full.
func (o *Outbox) Enqueue(frame []byte) (refused error, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.queued == 0
	if full := !first && o.max > 0 && o.queued+cost(frame) > o.max; full || o.refuse != nil {
		return o.refuse, false
	}
	o.queue = append(o.queue, frame)
	o.queued += cost(frame)
	if first {
		o.busy++
		go o.empty()
	}
	return nil, true
}

// cost is what a frame in the queue takes, also an empty one.
func cost(frame []byte) int { return len(frame) + 24 }

// Refuse makes reason the answer to who wants to send, unless there is one
// already, and returns the one in force. Settle is to follow.
func (o *Outbox) Refuse(reason error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuse = cmp.Or(o.refuse, reason)
	return o.refuse
}

// Settle calls idle if it is time.
func (o *Outbox) Settle() {
	o.mu.Lock()
	due := o.refuse != nil && o.busy == 0 && !o.told
	o.told = o.told || due
	o.mu.Unlock()
	if due {
		o.idle()
	}
}

// Err is the error of the write that failed, if one did, once idle was called.
func (o *Outbox) Err() error { return o.broken }

// empty writes the queue until nothing is left of it.
func (o *Outbox) empty() {
	defer o.leave()
	for more := true; more; {
		o.writing <- struct{}{}
		more = o.flush()
		more = o.check() && more
		<-o.writing
	}
}

// flush writes what is in the queue now, and reports whether more came since.
// The caller holds writing.
func (o *Outbox) flush() (more bool) {
	o.mu.Lock()
	frames := o.queue
	o.queue = nil
	o.mu.Unlock()
	size := 0
	for _, frame := range frames {
		size += cost(frame)
	}
	if size > 0 && o.broken == nil {
		o.broken = o.frames(frames)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued -= size
	return o.queued > 0
}

// check tells of a write that failed, after which the queue is of no use. The
// caller holds writing.
func (o *Outbox) check() bool {
	if o.broken == nil {
		return true
	}
	o.failed(o.broken)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue, o.queued = nil, 0
	return false
}

func (o *Outbox) leave() {
	o.mu.Lock()
	o.busy--
	o.mu.Unlock()
	o.Settle()
}
