// Package outbox lets many goroutines send over one stream.
//
// A system call for each message is what makes naive programs slow: it costs
// twenty times what the message does. So messages are gathered, and leave
// together:
//
//   - A lone message is written by who sends it, at once: nobody waits.
//   - While a write is under way, what is sent is gathered; who writes, writes
//     that next. A goroutine does so, which lives as long as there is something.
//   - Who sends again just after a write is in a burst: the goroutine writes,
//     and the next messages are gathered behind its back.
//   - While the receiver of a stream handles several messages that have arrived,
//     what is sent is held until it has handled the last; at most for a
//     millisecond. If only one has arrived, the first answer leaves at once.
//
// 64 connections with 64 messages under way in each echo 8.4 million a second, at
// both ends by callbacks; with two writes for each message 0.2 million. (Two cores;
// go run . -only echo-64x64-128 in bench.)
package outbox

import (
	"cmp"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/seed287501ae/sockets/internal/page"
)

const (
	longest  = 8 << 10              // bytes of a message that Send copies
	copied   = 1 << 10              // bytes of a frame that Enqueue may copy
	shared   = 32 << 10             // bytes of the memory that Frame shares out
	gathered = 256 << 10            // bytes after which Send waits
	burst    = 5 * time.Microsecond // after a write, in which one more message begins a burst
	holding  = time.Millisecond     // at most
)

// An Outbox is the right to write to a stream. One goroutine writes at a time;
// messages leave in the order in which they were sent or queued; and nothing
// follows a write that failed: a stream never has a hole.
//
// The functions that it is made of are called with no lock held.
type Outbox struct {
	write  func(frames *net.Buffers) (int64, error)
	try    func(frames *net.Buffers) (int64, error)
	failed func(err error)
	idle   func()
	max    int

	vector net.Buffers // of who writes

	mu      sync.Mutex // guards what follows
	refuse  error      // the answer to who wants to send; nil as long as all are welcome
	broken  error      // of the write that failed
	told    bool       // idle was called
	writing bool       // somebody writes, or is about to
	held    hold
	next    *batch        // what is gathered, or nil
	queued  int           // cost of what Enqueue took and is not written yet
	waiting int           // Sends that wait
	room    chan struct{} // closed when those that wait for room should look again, or nil
	wrote   time.Duration // when a write ended, by clock
	due     *time.Timer   // ends a hold
	armed   bool          // it is running
}

// A hold is what becomes of messages while callbacks of the receiver run.
type hold byte

const (
	free   hold = iota // none runs
	single             // for the only message that has arrived, which sent nothing yet
	many               // there is more to come
)

// New returns an Outbox that writes by write, which consumes the frames, or by
// try, which consumes what it can without waiting. It calls failed with the error
// of a write, and idle once: when sending is refused and nothing is left to be
// written. A max that is positive bounds the bytes that Enqueue queues, where a
// frame counts 24 more than it has; one that is alone may be longer.
func New(max int, write, try func(*net.Buffers) (int64, error), failed func(error), idle func()) *Outbox {
	return &Outbox{max: max, write: write, try: try, failed: failed, idle: idle}
}

// Send sends a frame: head and body. It returns once both have been written or
// copied, for which it may wait. It returns why sending is refused, or that the
// write failed, after failed was told.
func (o *Outbox) Send(head, body []byte) (refused error, ok bool) {
	short := len(body) <= longest
	o.mu.Lock()
	if refused = o.refuse; refused != nil {
		o.mu.Unlock()
		return refused, false
	}
	for short && o.writing && o.sizeLocked() >= gathered && o.broken == nil {
		o.waitForRoomLocked()
	}
	if o.broken != nil {
		o.mu.Unlock()
		o.Settle()
		return nil, false
	}
	next := o.nextLocked()
	if short {
		next.copy(head, body)
	} else {
		next.copy(head, nil)
		next.refer(body)
	}
	switch {
	case o.writing && !short:
		written := make(chan bool, 1)
		next.written = append(next.written, written)
		o.waiting++
		o.mu.Unlock()
		ok = <-written
		o.mu.Lock()
		o.waiting--
		o.mu.Unlock()
		o.Settle()
		return nil, ok
	case o.writing:
		o.mu.Unlock()
		return nil, true
	case short && o.holdsLocked():
		o.mu.Unlock()
		return nil, true
	}
	o.writing = true
	inBurst := short && o.held == free && o.inBurstLocked()
	if o.held == single {
		o.held = many
	}
	o.mu.Unlock()
	if inBurst {
		go o.empty()
		return nil, true
	}
	return nil, o.flush()
}

var shares = page.Cache[[]byte]{New: func() *[]byte { return new([]byte) }, Keep: 1}

// Frame returns head and body for Enqueue, in memory that it shares out from end to
// end: so frames that one goroutine makes for the same connections leave as one.
func Frame(head, body []byte) []byte {
	n := len(head) + len(body)
	if n > copied {
		return append(append(make([]byte, 0, n), head...), body...)
	}
	free := shares.Get()
	if len(*free) < n {
		*free = make([]byte, shared)
	}
	frame := (*free)[:n]
	*free = (*free)[n:]
	copy(frame[copy(frame, head):], body)
	shares.Put(free)
	return frame
}

// Enqueue queues a frame and does not wait. The frame must not change any more.
// It returns why sending is refused, or that the queue is full: then full is the
// answer to who wants to send from now on.
func (o *Outbox) Enqueue(frame []byte, full error) (refused error, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refuse != nil {
		return o.refuse, false
	}
	if o.queued > 0 && o.max > 0 && o.queued+cost(frame) > o.max {
		o.refuse = full
		return nil, false
	}
	if o.broken != nil {
		return nil, true
	}
	next := o.nextLocked()
	switch {
	case len(frame) > copied:
		next.refer(frame)
	case !next.share(frame):
		next.copy(frame, nil)
	}
	next.queued += cost(frame)
	o.queued += cost(frame)
	if !o.writing && !o.holdsLocked() {
		o.writing = true
		go o.empty()
	}
	return nil, true
}

// cost is what a frame in the queue takes, also an empty one.
func cost(frame []byte) int { return len(frame) + 24 }

// Hold says that the receiver begins to handle what has arrived, with more than
// one message or not: what is sent meanwhile may be gathered, until Release.
func (o *Outbox) Hold(more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held = single; more {
		o.held = many
	}
}

// Release ends a hold: what is gathered is written, as far as that needs no
// waiting, and the rest by a goroutine. A receiver that waited for the other end
// would not read, though others may have sent what is gathered.
func (o *Outbox) Release() {
	o.mu.Lock()
	o.held = free
	if o.armed {
		o.armed = false
		o.due.Stop()
	}
	write := !o.writing && o.sizeLocked() > 0
	o.writing = o.writing || write
	o.mu.Unlock()
	if !write {
		return
	}
	b := o.begin()
	_, err := o.try(&o.vector)
	if err == nil && len(o.vector) > 0 {
		go o.finish(b)
	} else if more, _ := o.end(b, err); more {
		go o.empty()
	}
}

// finish writes what is left of b, and what came meanwhile.
func (o *Outbox) finish(b *batch) {
	_, err := o.write(&o.vector)
	if more, _ := o.end(b, err); more {
		o.empty()
	}
}

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
	over := o.refuse != nil && !o.writing && o.waiting == 0
	left := over && o.sizeLocked() > 0
	last := over && !left && !o.told
	o.writing = o.writing || left
	o.told = o.told || last
	o.mu.Unlock()
	switch {
	case left:
		go o.empty()
	case last:
		o.idle()
	}
}

// Err is the error of the write that failed, if one did.
func (o *Outbox) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.broken
}

// holdsLocked reports whether what is gathered may wait for Release.
func (o *Outbox) holdsLocked() bool {
	if o.held != many || o.refuse != nil || o.sizeLocked() >= gathered {
		return false
	}
	if !o.armed {
		o.armed = true
		if o.due == nil {
			o.due = time.AfterFunc(holding, o.overdue)
		} else {
			o.due.Reset(holding)
		}
	}
	return true
}

// overdue ends a hold that has lasted too long.
func (o *Outbox) overdue() {
	o.mu.Lock()
	write := o.armed && !o.writing && o.sizeLocked() > 0
	if o.armed {
		o.armed, o.held = false, free
	}
	o.writing = o.writing || write
	o.mu.Unlock()
	if write {
		o.empty()
	}
}

func (o *Outbox) inBurstLocked() bool {
	age := clock() - o.wrote
	return 0 <= age && age < burst
}

var started = time.Now()

// clock is the time since the program started. It is cheaper than time.Now.
func clock() time.Duration { return time.Since(started) }

func (o *Outbox) waitForRoomLocked() {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	room := o.room
	o.waiting++
	o.mu.Unlock()
	<-room
	o.mu.Lock()
	o.waiting--
}

// empty writes until nothing is left. Before each write others may run, who may
// have more to send. The caller has set writing.
func (o *Outbox) empty() {
	for more := true; more; {
		runtime.Gosched()
		more, _ = o.pass()
	}
}

// flush writes what is gathered, and leaves what came meanwhile to a goroutine.
// It reports whether the write succeeded. The caller has set writing.
func (o *Outbox) flush() (ok bool) {
	more, err := o.pass()
	if more {
		go o.empty()
	}
	return err == nil
}

// pass writes what is gathered, and reports whether more came since. If not,
// nobody writes any more. The caller has set writing.
func (o *Outbox) pass() (more bool, err error) {
	b := o.begin()
	_, err = o.write(&o.vector)
	return o.end(b, err)
}

// begin takes what is gathered, to be written.
func (o *Outbox) begin() *batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.next
	o.next = nil
	o.freeRoomLocked()
	o.vector = b.parts
	return b
}

// end is what follows the write of b, as pass.
func (o *Outbox) end(b *batch, err error) (more bool, _ error) {
	if err != nil {
		o.failed(err)
	}
	o.mu.Lock()
	for _, written := range b.written {
		written <- err == nil
	}
	if err != nil {
		o.broken = err
		if o.next != nil {
			for _, written := range o.next.written {
				written <- false
			}
			o.queued -= o.next.queued
			o.next.release()
			o.next = nil
		}
		o.freeRoomLocked()
	}
	if o.held == free {
		o.wrote = clock()
	}
	o.queued -= b.queued
	o.vector = nil
	more = o.sizeLocked() > 0
	o.writing = more
	refused := o.refuse != nil
	o.mu.Unlock()
	b.release()
	if refused && !more {
		o.Settle()
	}
	return more, err
}

func (o *Outbox) nextLocked() *batch {
	if o.next == nil {
		o.next = batches.Get()
	}
	return o.next
}

// sizeLocked is how many bytes are gathered.
func (o *Outbox) sizeLocked() int {
	if o.next == nil {
		return 0
	}
	return o.next.size
}

func (o *Outbox) freeRoomLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// A batch is frames that leave together: short ones are copied, one behind
// another, into pages.
type batch struct {
	parts   net.Buffers
	pages   []*page.Page
	used    int           // bytes of the last page
	grows   bool          // the last part ends where the last page is used
	size    int           // bytes of all parts
	queued  int           // cost of what Enqueue took
	written []chan<- bool // told whether the parts were written, when they are not needed any more
}

var batches = page.Cache[batch]{New: func() *batch { return new(batch) }, Keep: 64}

// copy copies a frame behind what is there.
func (b *batch) copy(head, body []byte) {
	if n := len(head) + len(body); b.grows && n <= page.Size-b.used {
		part := &b.parts[len(b.parts)-1]
		*part = append(append(*part, head...), body...)
		b.used += n
		b.size += n
		return
	}
	b.spread(head)
	b.spread(body)
}

// spread copies p over as many pages as it needs.
func (b *batch) spread(p []byte) {
	for len(p) > 0 {
		if len(b.pages) == 0 || b.used == page.Size {
			b.pages = append(b.pages, page.Get())
			b.used, b.grows = 0, false
		}
		if !b.grows {
			b.parts = append(b.parts, b.pages[len(b.pages)-1][b.used:b.used])
			b.grows = true
		}
		part := &b.parts[len(b.parts)-1]
		n := min(len(p), page.Size-b.used)
		*part = append(*part, p[:n]...)
		b.used += n
		b.size += n
		p = p[n:]
	}
}

// refer puts p itself behind what is there.
func (b *batch) refer(p []byte) {
	b.parts = append(b.parts, p)
	b.grows = false
	b.size += len(p)
}

// share refers to a frame that is the first, or that lies right behind the others,
// and reports whether it is. So what a batch keeps alive is one memory of Frame,
// however little of it is its own.
func (b *batch) share(frame []byte) bool {
	if len(b.parts) == 0 {
		b.refer(frame)
		return true
	}
	last := &b.parts[len(b.parts)-1]
	n := len(*last)
	if len(frame) == 0 || cap(*last)-n < len(frame) || &(*last)[:n+1][n] != &frame[0] {
		return false
	}
	*last = (*last)[:n+len(frame)]
	b.size += len(frame)
	return true
}

// release gives the memory back. Nobody may use b any more.
func (b *batch) release() {
	const few = 64 // parts
	for _, p := range b.pages {
		page.Put(p)
	}
	clear(b.parts)
	clear(b.pages)
	parts, pages := b.parts[:0], b.pages[:0]
	if *b = (batch{}); cap(parts) <= few && cap(pages) <= few {
		b.parts, b.pages = parts, pages
	}
	batches.Put(b)
}
