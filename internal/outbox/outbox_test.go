package outbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/seed287501ae/sockets/internal/outbox"
)

var errFull = errors.New("full")

const (
	each     = 24        // bytes that a frame costs beside its own
	longest  = 8 << 10   // bytes of a message that Send copies
	gathered = 256 << 10 // bytes after which Send waits
)

// A sink is what an Outbox writes to: it waits for a token before each write.
type sink struct {
	tokens chan error // what the next write returns
	full   bool       // who does not wait writes nothing
	failed []error
	idle   int

	mu  sync.Mutex // guards what follows
	got []string   // what was written
}

func newOutbox(max int) (*outbox.Outbox, *sink) {
	s := &sink{tokens: make(chan error)}
	write := func(frames *net.Buffers) (n int64, err error) {
		err = <-s.tokens
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, string(bytes.Join(*frames, nil)))
		*frames = nil
		return n, err
	}
	try := func(frames *net.Buffers) (int64, error) {
		if s.full {
			return 0, nil
		}
		return write(frames)
	}
	return outbox.New(max, write, try,
		func(err error) { s.failed = append(s.failed, err) },
		func() { s.idle++ }), s
}

// open is a sink that never waits.
func open(s *sink) { close(s.tokens) }

func (s *sink) want(t *testing.T, writes ...string) {
	t.Helper()
	synctest.Wait()
	if got := s.written(); !slices.Equal(got, writes) {
		t.Errorf("written %.40q, want %.40q", got, writes)
	}
}

func (s *sink) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func send(t *testing.T, o *outbox.Outbox, text string) {
	t.Helper()
	if refused, ok := o.Send([]byte(text[:1]), []byte(text[1:])); refused != nil || !ok {
		t.Errorf("Send(%.40q) = %v, %v", text, refused, ok)
	}
}

func enqueue(t *testing.T, o *outbox.Outbox, text string) {
	t.Helper()
	if refused, ok := o.Enqueue([]byte(text), errFull); refused != nil || !ok {
		t.Errorf("Enqueue(%q) = %v, %v", text, refused, ok)
	}
}

func TestALoneMessageIsWrittenByItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		for _, text := range []string{"one", "two", "three"} {
			send(t, o, text)
			if got := s.written(); got[len(got)-1] != text {
				t.Errorf("after Send, written %q", got)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func TestABurstIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		for _, text := range []string{"one ", "two ", "three "} {
			send(t, o, text)
		}
		s.want(t, "one ", "two three ")
	})
}

func TestMessagesLeaveInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		enqueue(t, o, "one ")
		synctest.Wait()
		enqueue(t, o, "two ")
		enqueue(t, o, strings.Repeat("3", 2000))
		send(t, o, "four ")
		go send(t, o, strings.Repeat("5", longest+2))
		synctest.Wait()
		send(t, o, "six")
		open(s)
		s.want(t, "one ", "two "+strings.Repeat("3", 2000)+"four "+strings.Repeat("5", longest+2)+"six")
	})
}

// What is gathered has memory of its own, however much it is.
func TestSendKeepsNoPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		enqueue(t, o, "first")
		synctest.Wait()
		var want strings.Builder
		payload := make([]byte, 1000)
		for i := range 100 {
			for j := range payload {
				payload[j] = byte('a' + i%26)
			}
			want.Write(payload)
			o.Send(payload[:4], payload[4:])
		}
		clear(payload)
		open(s)
		s.want(t, "first", want.String())
	})
}

func TestALongMessageWaitsUntilItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		enqueue(t, o, "first")
		synctest.Wait()
		sent := false
		go func() {
			send(t, o, strings.Repeat("x", longest+2))
			sent = true
		}()
		s.tokens <- nil
		if synctest.Wait(); sent {
			t.Error("Send returned before its message was written")
		}
		s.tokens <- nil
		if synctest.Wait(); !sent {
			t.Error("Send did not return when its message was written")
		}
	})
}

func TestSendWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		enqueue(t, o, "first")
		synctest.Wait()
		var sent atomic.Int64
		var senders sync.WaitGroup
		for range 2 {
			senders.Go(func() {
				for range gathered / 1000 {
					send(t, o, strings.Repeat("x", 1000))
					sent.Add(1)
				}
			})
		}
		synctest.Wait()
		if got := sent.Load(); got != gathered/1000+1 {
			t.Errorf("%d messages were gathered, want %d bytes", got, gathered)
		}
		open(s)
		senders.Wait()
		synctest.Wait()
		if got := len(strings.Join(s.written(), "")); got != 5+2*(gathered/1000)*1000 {
			t.Errorf("%d bytes were written", got)
		}
	})
}

func TestAHoldGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		o.Hold(true)
		send(t, o, "one ")
		enqueue(t, o, "two ")
		send(t, o, "three")
		s.want(t)
		o.Release()
		s.want(t, "one two three")
		time.Sleep(time.Minute)
		s.want(t, "one two three")
	})
}

// There is nothing to gather with: it is written at once, as if there were no hold.
func TestAHoldOfOneMessageDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		o.Hold(false)
		send(t, o, "one ")
		s.want(t, "one ")
		send(t, o, "two ")
		send(t, o, "three")
		s.want(t, "one ")
		o.Release()
		s.want(t, "one ", "two three")
	})
}

func TestAHoldLastsAMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		o.Hold(true)
		time.Sleep(time.Hour)
		send(t, o, "one ")
		time.Sleep(time.Millisecond / 2)
		send(t, o, "two ")
		time.Sleep(time.Millisecond/2 - 1)
		s.want(t)
		time.Sleep(time.Nanosecond)
		s.want(t, "one two ")
		time.Sleep(time.Millisecond)
		send(t, o, "three ")
		s.want(t, "one two ", "three ")
		o.Release()
		o.Hold(true)
		send(t, o, "four")
		s.want(t, "one two ", "three ")
		o.Release()
		s.want(t, "one two ", "three ", "four")
	})
}

func TestAHoldEndsWhenSendingIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		o.Hold(true)
		send(t, o, "one ")
		send(t, o, "two")
		o.Refuse(net.ErrClosed)
		o.Settle()
		if s.want(t, "one two"); s.idle != 1 {
			t.Errorf("idle was told %d times, want 1", s.idle)
		}
		o.Release()
		s.want(t, "one two")
	})
}

// A receiver that waited would stop reading.
func TestReleaseDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		s.full = true
		o.Hold(true)
		send(t, o, "sent ")
		enqueue(t, o, "queued")
		o.Release()
		send(t, o, "later")
		open(s)
		s.want(t, "sent queued", "later")
	})
}

func TestAHoldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		open(s)
		o.Hold(true)
		for range gathered/1000 + 2 {
			send(t, o, strings.Repeat("x", 1000))
		}
		if got := s.written(); len(got) != 1 || len(got[0]) < gathered || len(got[0]) > gathered+1000 {
			t.Errorf("%d writes, want one of %d bytes", len(got), gathered)
		}
		o.Release()
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	for _, text := range []string{"", "5"} {
		synctest.Test(t, func(t *testing.T) {
			o, s := newOutbox(4 + 3*each)
			enqueue(t, o, strings.Repeat("longer than the bound, but alone", 3))
			synctest.Wait()
			s.tokens <- nil
			synctest.Wait()
			enqueue(t, o, "12")
			synctest.Wait() // it is being written, and counts
			enqueue(t, o, "34")
			send(t, o, "what is sent does not count")
			if text == "" {
				enqueue(t, o, "")
			}
			if refused, ok := o.Enqueue([]byte(text), errFull); refused != nil || ok {
				t.Errorf("Enqueue(%q) over the bound = %v, %v", text, refused, ok)
			}
			if refused, ok := o.Send([]byte("later"), nil); refused != errFull || ok {
				t.Errorf("Send when the queue was full = %v, %v, want %v", refused, ok, errFull)
			}
			open(s)
		})
	}
}

// Frames lie end to end in memory that they share, also with those for others.
func TestEachGetsTheFramesThatAreForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var boxes [3]*outbox.Outbox
		var sinks [3]*sink
		var want [3]string
		for i := range boxes {
			boxes[i], sinks[i] = newOutbox(0)
			go func() {
				for range 30 { // writes, of much each
					time.Sleep(time.Millisecond)
					sinks[i].tokens <- nil
				}
				open(sinks[i])
			}()
		}
		for n := range 600 {
			text := fmt.Sprintf("%d%s ", n, strings.Repeat(".", r.IntN(40)*r.IntN(40)))
			frame := outbox.Frame([]byte(text[:1]), []byte(text[1:]))
			for i, o := range boxes {
				switch r.IntN(8) {
				case 0:
				case 1:
					send(t, o, "sent ")
					want[i] += "sent "
					fallthrough
				default:
					if refused, ok := o.Enqueue(frame, errFull); refused != nil || !ok {
						t.Fatalf("Enqueue = %v, %v", refused, ok)
					}
					want[i] += text
				}
			}
			if n%15 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		for i, s := range sinks {
			if got := strings.Join(s.written(), ""); got != want[i] {
				t.Errorf("outbox %d wrote %d bytes, want %d, or others", i, len(got), len(want[i]))
			}
		}
	})
}

func TestASlowQueueKeepsNoMemoryOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		var kept []weak.Pointer[byte]
		for n := range 100 * 64 {
			frame := outbox.Frame(nil, make([]byte, 512))
			if n%64 == 0 { // one of all that have a memory in common
				kept = append(kept, weak.Make(&frame[0]))
				o.Enqueue(frame, errFull)
				synctest.Wait()
			}
		}
		runtime.GC()
		alive := 0
		for _, p := range kept {
			if p.Value() != nil {
				alive++
			}
		}
		if alive > 3 { // what is being written, what is next, and what Frame shares out
			t.Errorf("100 short frames keep the memory of %d alive", alive)
		}
		open(s)
		synctest.Wait()
	})
}

func TestALongFrameIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(10)
		enqueue(t, o, "longer than the bound")
		synctest.Wait()
		if refused, ok := o.Enqueue(nil, errFull); refused != nil || ok {
			t.Errorf("Enqueue behind it = %v, %v", refused, ok)
		}
		open(s)
	})
}

func TestNothingFollowsAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		broken := errors.New("broken")
		enqueue(t, o, "lost")
		synctest.Wait()
		enqueue(t, o, "never")
		for range gathered/1000 + 1 {
			send(t, o, strings.Repeat("x", 1000))
		}
		results := make(chan bool, 3)
		for i := range cap(results) {
			go func() {
				_, ok := o.Send([]byte("never"), make([]byte, i*longest))
				results <- ok
			}()
		}
		synctest.Wait()
		s.tokens <- broken
		s.want(t, "lost")
		for range cap(results) {
			if <-results {
				t.Error("Send behind a failed write succeeded")
			}
		}
		if _, ok := o.Send([]byte("n"), []byte("ever")); ok {
			t.Error("Send after a failed write succeeded")
		}
		o.Enqueue([]byte("never"), errFull)
		s.want(t, "lost")
		if !slices.Equal(s.failed, []error{broken}) {
			t.Errorf("told of %v, want %v", s.failed, broken)
		}
		if o.Refuse(net.ErrClosed); o.Err() != broken {
			t.Errorf("Err() = %v, want %v", o.Err(), broken)
		}
		if o.Settle(); s.idle != 1 {
			t.Errorf("idle was told %d times, want 1", s.idle)
		}
	})
}

func TestIdleIsToldOnceWhenTheLastHasSent(t *testing.T) {
	for _, text := range []string{"under way", strings.Repeat("long", longest)} {
		synctest.Test(t, func(t *testing.T) {
			o, s := newOutbox(0)
			go send(t, o, "under way")
			synctest.Wait()
			go send(t, o, text)
			synctest.Wait()
			first, second := errors.New("first"), errors.New("second")
			if got := o.Refuse(first); got != first {
				t.Errorf("Refuse = %v, want %v", got, first)
			}
			if got := o.Refuse(second); got != first {
				t.Errorf("Refuse again = %v, want %v", got, first)
			}
			if refused, ok := o.Send(nil, nil); refused != first || ok {
				t.Errorf("Send = %v, %v, want %v", refused, ok, first)
			}
			if refused, ok := o.Enqueue(nil, errFull); refused != first || ok {
				t.Errorf("Enqueue = %v, %v, want %v", refused, ok, first)
			}
			if o.Settle(); s.idle != 0 {
				t.Error("idle while a Send is under way")
			}
			s.tokens <- nil
			if synctest.Wait(); s.idle != 0 {
				t.Error("idle while something is left")
			}
			open(s)
			synctest.Wait()
			if o.Settle(); s.idle != 1 {
				t.Errorf("idle was told %d times, want 1", s.idle)
			}
			s.want(t, "under way", text)
		})
	}
}
