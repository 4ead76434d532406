package outbox_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed287501ae/sockets/internal/outbox"
)

// A sink is what an Outbox writes to: it waits for a token before each write.
type sink struct {
	tokens chan error // what the next write returns
	got    []string   // of who writes
	failed []error
	idle   int
}

func newOutbox(max int) (*outbox.Outbox, *sink) {
	s := &sink{tokens: make(chan error)}
	write := func(frames ...[]byte) error {
		err := <-s.tokens
		for _, frame := range frames {
			s.got = append(s.got, string(frame))
		}
		return err
	}
	return outbox.New(max,
		func(message []byte) error { return write(message) },
		func(frames net.Buffers) error { return write(frames...) },
		func(err error) { s.failed = append(s.failed, err) },
		func() { s.idle++ }), s
}

func send(t *testing.T, o *outbox.Outbox, text string) {
	if refused, ok := o.Send([]byte(text)); refused != nil || !ok {
		t.Errorf("Send(%q) = %v, %v", text, refused, ok)
	}
}

func enqueue(t *testing.T, o *outbox.Outbox, text string) {
	t.Helper()
	if refused, ok := o.Enqueue([]byte(text)); refused != nil || !ok {
		t.Errorf("Enqueue(%q) = %v, %v", text, refused, ok)
	}
}

func TestWhatIsQueuedGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		enqueue(t, o, "one")
		synctest.Wait()
		enqueue(t, o, "two")
		enqueue(t, o, "three")
		go send(t, o, "four")
		synctest.Wait()
		close(s.tokens)
		synctest.Wait()
		if want := []string{"one", "two", "three", "four"}; !slices.Equal(s.got, want) {
			t.Errorf("written %q, want %q", s.got, want)
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 24 // bytes that a frame costs beside its own
		o, s := newOutbox(4 + 3*each)
		full := func(text string) {
			t.Helper()
			if refused, ok := o.Enqueue([]byte(text)); refused != nil || ok {
				t.Errorf("Enqueue(%q) over the bound = %v, %v", text, refused, ok)
			}
		}
		enqueue(t, o, strings.Repeat("longer than the bound, but alone", 3))
		synctest.Wait()
		full("")
		s.tokens <- nil
		synctest.Wait()
		enqueue(t, o, "12")
		synctest.Wait() // it is being written, and counts
		enqueue(t, o, "34")
		full("5")
		enqueue(t, o, "")
		full("")
		close(s.tokens)
	})
}

func TestNothingFollowsAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		broken := errors.New("broken")
		enqueue(t, o, "lost")
		synctest.Wait()
		enqueue(t, o, "never")
		results := make(chan bool, 2)
		for range cap(results) {
			go func() {
				_, ok := o.Send([]byte("never"))
				results <- ok
			}()
		}
		synctest.Wait()
		s.tokens <- broken
		synctest.Wait()
		if len(s.got) != 1 || <-results || <-results {
			t.Errorf("written %q, want only what failed", s.got)
		}
		if len(s.failed) == 0 || slices.ContainsFunc(s.failed, func(err error) bool { return err != broken }) {
			t.Errorf("told of %v, want %v", s.failed, broken)
		}
		if o.Refuse(net.ErrClosed); o.Err() != broken {
			t.Errorf("Err() = %v, want %v", o.Err(), broken)
		}
	})
}

func TestIdleIsToldOnceWhenTheLastHasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := newOutbox(0)
		go send(t, o, "under way")
		synctest.Wait()
		first, second := errors.New("first"), errors.New("second")
		if got := o.Refuse(first); got != first {
			t.Errorf("Refuse = %v, want %v", got, first)
		}
		if got := o.Refuse(second); got != first {
			t.Errorf("Refuse again = %v, want %v", got, first)
		}
		if refused, ok := o.Send(nil); refused != first || ok {
			t.Errorf("Send = %v, %v, want %v", refused, ok, first)
		}
		if refused, ok := o.Enqueue(nil); refused != first || ok {
			t.Errorf("Enqueue = %v, %v, want %v", refused, ok, first)
		}
		if o.Settle(); s.idle != 0 {
			t.Error("idle while a Send is under way")
		}
		close(s.tokens)
		synctest.Wait()
		if o.Settle(); s.idle != 1 {
			t.Errorf("idle was told %d times, want 1", s.idle)
		}
	})
}
