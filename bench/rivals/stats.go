package rivals

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	Verified  = 128 // messages of a connection whose bytes are compared, from the first
	published = 16  // messages of a connection that are counted together
)

// Stats counts the messages of a process. Its methods may be called from many
// goroutines.
type Stats struct {
	Sent atomic.Int64 // by senders that have ended

	load     Load
	ready    chan struct{}
	setReady func()
	begun    atomic.Int64 // connections that work
	timing   atomic.Bool  // counters note round trips
	group    circle[Link]

	mu       sync.Mutex // guards what follows
	counters []*Counter
	contents map[int]*Content // by size
	wrong    error
}

// NewStats returns the Stats of a client that does a load, or of a server, whose
// load is the zero Load.
func NewStats(load Load) *Stats {
	ready := make(chan struct{})
	return &Stats{load: load, ready: ready, setReady: sync.OnceFunc(func() { close(ready) }), contents: make(map[int]*Content)}
}

// Content returns the messages of a size.
func (s *Stats) Content(size int) *Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.contents[size]
	if !ok {
		c = newContent(size)
		s.contents[size] = c
	}
	return c
}

// Counter returns a counter of the messages that one goroutine receives from
// one connection.
func (s *Stats) Counter() *Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Counter{stats: s, must: Verified}
	if s.load.Kind == Idle {
		c.must = 1
	}
	s.counters = append(s.counters, c)
	return c
}

// Ready is closed when every connection of the load works, and has verified
// what it must, or when something failed.
func (s *Stats) Ready() <-chan struct{} { return s.ready }

// Begun tells that one connection of the load works. Counters do so themselves.
func (s *Stats) Begun() {
	if s.begun.Add(1) == int64(s.load.Connections) {
		s.setReady()
	}
}

// Fail keeps the first reason why the measurement is worth nothing.
func (s *Stats) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil {
		s.wrong = err
		s.setReady()
	}
}

// Err returns the first error of Fail.
func (s *Stats) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

// Messages returns how many all counters counted, to within 16 for each
// connection that is still open.
func (s *Stats) Messages() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, c := range s.counters {
		n += c.published.Load()
	}
	return n
}

// Time makes counters of ping-pong note round trips, from now on or no more.
func (s *Stats) Time(on bool) { s.timing.Store(on) }

// RoundTrips returns the median and the 99th percentile of what was noted, zeros
// if nothing. The load is over.
func (s *Stats) RoundTrips() (p50, p99 time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var took []time.Duration
	for _, c := range s.counters {
		took = append(took, c.took...)
	}
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// A Counter belongs to one goroutine.
type Counter struct {
	stats     *Stats
	content   *Content
	must      int // messages to verify
	n         int
	published atomic.Int64
	last      time.Time // when a message arrived while round trips were noted
	took      []time.Duration
}

// Message counts a message that arrived whole, the next of its connection; the
// first ones it verifies.
func (c *Counter) Message(payload []byte) {
	if c.n < c.must {
		c.verify(payload)
	}
	if c.n++; c.n%published == 0 {
		c.published.Store(int64(c.n))
	}
	if c.stats.load.Kind == PingPong {
		c.time()
	}
}

// Close counts the last messages too.
func (c *Counter) Close() { c.published.Store(int64(c.n)) }

func (c *Counter) verify(payload []byte) {
	if c.content == nil {
		c.content = c.stats.Content(len(payload))
	}
	if !bytes.Equal(payload, c.content.Message(c.n)) {
		c.stats.Fail(fmt.Errorf("message %d of a connection is not the one that was sent", c.n))
	}
	if c.n+1 == c.must && c.stats.load.Connections > 0 {
		c.stats.Begun()
	}
}

func (c *Counter) time() {
	if !c.stats.timing.Load() {
		c.last = time.Time{}
		return
	}
	now := time.Now()
	if !c.last.IsZero() {
		c.took = append(c.took, now.Sub(c.last))
	}
	c.last = now
}

// Content is a sequence of messages of one size that look alike to nobody. It
// is the same in every process, and repeats itself.
type Content struct {
	messages [][]byte
}

func newContent(size int) *Content {
	random := rand.NewChaCha8([32]byte{})
	c := &Content{messages: make([][]byte, min(max(4<<20/max(size, 1), 4), 64))}
	for i := range c.messages {
		c.messages[i] = make([]byte, size)
		random.Read(c.messages[i])
	}
	return c
}

// Message returns message i, which nobody may change.
func (c *Content) Message(i int) []byte { return c.messages[i%len(c.messages)] }
