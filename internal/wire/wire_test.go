package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/wire"
)

// A stream is a connection in memory. Who waits for it waits for a channel:
// virtual time goes on.
type stream struct {
	net.Conn // nil: the rest of its methods

	mu            sync.Mutex    // guards what follows
	changed       chan struct{} // closed when who waits should look again
	in            string        // to be read
	end           error         // what follows in, if not nil
	room          int           // bytes that may still be written
	broken        error         // what writing answers, if not nil
	out           []byte        // what was written
	read, written deadline
	writes        int // calls of Write
}

type deadline struct {
	at    time.Time
	set   int // how often
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newStream() *stream { return &stream{changed: make(chan struct{}), room: 1 << 20} }

// change does something to the stream, and wakes who waits.
func (s *stream) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) arrive(text string) { s.change(func() { s.in += text }) }

// waitLocked waits for a change.
func (s *stream) waitLocked() {
	changed := s.changed
	s.mu.Unlock()
	<-changed
	s.mu.Lock()
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.read.passed():
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case s.in != "":
			n := copy(p, s.in)
			s.in = s.in[n:]
			return n, nil
		case s.end != nil:
			return 0, s.end
		}
		s.waitLocked()
	}
}

func (s *stream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for {
		switch {
		case s.written.passed():
			return n, &net.OpError{Op: "write", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case s.broken != nil:
			return n, s.broken
		}
		taken := min(s.room, len(p)-n)
		s.out = append(s.out, p[n:n+taken]...)
		s.room -= taken
		if n += taken; n == len(p) {
			return n, nil
		}
		s.waitLocked()
	}
}

func (s *stream) SetReadDeadline(t time.Time) error  { return s.setDeadline(&s.read, t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.written, t) }

func (s *stream) setDeadline(d *deadline, t time.Time) error {
	s.change(func() {
		if d.timer != nil {
			d.timer.Stop()
		}
		d.at = t
		d.set++
		if wait := time.Until(t); !t.IsZero() && wait > 0 {
			d.timer = time.AfterFunc(wait, func() { s.change(func() {}) })
		}
	})
	return nil
}

// newWire returns a Wire over a stream. No message has begun, and nothing stops
// its reader.
func newWire() (*wire.Wire, *stream) {
	s := newStream()
	return &wire.Wire{
		Conn:  s,
		Begun: func() bool { return false },
		Stop:  func() error { return nil },
	}, s
}

// wantTimeout wants a call to fail after that long, with a sentence.
func wantTimeout(t *testing.T, call func() (int, error), after time.Duration, sentence string) {
	t.Helper()
	start := time.Now()
	n, err := call()
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "sockets: "+sentence) || time.Since(start) != after {
		t.Errorf("%d, %v after %v, want %q after %v", n, err, time.Since(start), sentence, after)
	}
}

func reading(w *wire.Wire) func() (int, error) {
	return func() (int, error) { return w.Read(make([]byte, 100)) }
}

// wantRead wants the next Read to return text after that long.
func wantRead(t *testing.T, w *wire.Wire, text string, after time.Duration) {
	t.Helper()
	start := time.Now()
	buffer := make([]byte, 100)
	n, err := w.Read(buffer)
	if err != nil || string(buffer[:n]) != text || time.Since(start) != after {
		t.Fatalf("Read = %q, %v after %v, want %q after %v", buffer[:n], err, time.Since(start), text, after)
	}
}

func TestIdleBoundsTheWaitForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Idle, w.Frame = 10*time.Second, time.Second
		for range 3 {
			time.AfterFunc(10*time.Second-1, func() { s.arrive("a message") })
			wantRead(t, w, "a message", 10*time.Second-1)
			w.Next()
		}
		wantTimeout(t, reading(w), 10*time.Second, "no message within 10s")
	})
}

func TestFrameBoundsAMessageThatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Idle, w.Frame = 10*time.Second, 30*time.Second
		begun := false
		w.Begun = func() bool { return begun }
		time.AfterFunc(9*time.Second, func() { s.arrive("a") })
		wantRead(t, w, "a", 9*time.Second)
		begun = true
		for range 5 {
			time.AfterFunc(5*time.Second, func() { s.arrive("a") })
			wantRead(t, w, "a", 5*time.Second)
		}
		wantTimeout(t, reading(w), 5*time.Second, "a message did not arrive whole within 30s")
	})
}

func TestTheNextMessageHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Frame = 30 * time.Second
		w.Begun = func() bool { return true }
		for range 3 {
			time.AfterFunc(29*time.Second, func() { s.arrive("a message") })
			wantRead(t, w, "a message", 29*time.Second)
			w.Next()
		}
		wantTimeout(t, reading(w), 30*time.Second, "a message did not arrive whole within 30s")
	})
}

func TestOnlyTimeSpentReadingCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, begun := range []bool{false, true} {
			w, s := newWire()
			w.Idle, w.Frame = 30*time.Second, 30*time.Second
			w.Begun = func() bool { return begun }
			for range 2 {
				time.AfterFunc(10*time.Second, func() { s.arrive("a") })
				wantRead(t, w, "a", 10*time.Second)
				time.Sleep(24 * time.Hour)
			}
			sentence := "no message within 30s"
			if begun {
				sentence = "a message did not arrive whole within 30s"
			}
			wantTimeout(t, reading(w), 10*time.Second, sentence)
		}
	})
}

func TestNoLimitIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, none := range []time.Duration{0, -1, -time.Hour} {
			for _, begun := range []bool{false, true} {
				w, s := newWire()
				w.Idle, w.Frame, w.Send = none, none, none
				w.Begun = func() bool { return begun }
				time.AfterFunc(24*time.Hour, func() { s.arrive("late") })
				wantRead(t, w, "late", 24*time.Hour)
				s.room = 0
				time.AfterFunc(24*time.Hour, func() { s.change(func() { s.room = 4 }) })
				if n, err := w.Write([]byte("late")); n != 4 || err != nil {
					t.Errorf("Write = %d, %v, want 4", n, err)
				}
				if s.read.set != 0 || s.written.set != 0 {
					t.Errorf("with limits of %v, %d read and %d write deadlines were set", none, s.read.set, s.written.set)
				}
			}
		}
	})
}

// After a message that had a limit comes a wait that has none.
func TestNoLimitAfterOneIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Frame = 30 * time.Second
		begun := true
		w.Begun = func() bool { return begun }
		s.arrive("a message")
		wantRead(t, w, "a message", 0)
		w.Next()
		begun = false
		time.AfterFunc(24*time.Hour, func() { s.arrive("late") })
		wantRead(t, w, "late", 24*time.Hour)
		if !s.read.at.IsZero() {
			t.Errorf("the read deadline is %v, want none", s.read.at)
		}
		before := s.read.set
		s.arrive("later")
		wantRead(t, w, "later", 0)
		if s.read.set != before {
			t.Error("a deadline was taken away twice")
		}
	})
}

func wantRest(t *testing.T, w *wire.Wire, after time.Duration) {
	t.Helper()
	start := time.Now()
	if n, err := w.Read(make([]byte, 100)); n != 0 || err != wire.ErrRest || time.Since(start) != after {
		t.Errorf("Read = %d, %v after %v, want %v after %v", n, err, time.Since(start), wire.ErrRest, after)
	}
}

func TestAReaderThatWaitsLongRestsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Rest = time.Second
		for range 3 {
			time.AfterFunc(24*time.Hour, func() { s.arrive("text") })
			wantRead(t, w, "text", 24*time.Hour)
			w.Next()
			wantRest(t, w, time.Second)
		}
	})
}

// The deadline of a rest is not set with each wait.
func TestReadingPutsOffARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Rest = time.Second
		for range 9 {
			time.AfterFunc(time.Second/4, func() { s.arrive("text") })
			wantRead(t, w, "text", time.Second/4)
		}
		if s.read.set > 6 {
			t.Errorf("%d deadlines in two seconds", s.read.set)
		}
		wantRest(t, w, 2*time.Second)
	})
}

func TestABusyReaderDoesNotRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Rest = time.Second
		for range 200 {
			time.AfterFunc(time.Second/150, func() { s.arrive("text") })
			wantRead(t, w, "text", time.Second/150)
		}
		time.AfterFunc(time.Hour, func() { s.arrive("text") })
		wantRead(t, w, "text", time.Hour)
	})
}

func TestNoRestInAMessageOrUnderALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, begun := range []bool{true, false} {
			w, s := newWire()
			w.Rest, w.Frame, w.Begun = time.Second, time.Hour, func() bool { return begun }
			if !begun {
				w.Idle = time.Hour
			}
			for range 3 {
				time.AfterFunc(time.Minute, func() { s.arrive("text") })
				wantRead(t, w, "text", time.Minute)
			}
		}
	})
}

func TestWakeStopsTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []time.Duration{0, time.Hour} {
			stopped := errors.New("stopped")
			var stop atomic.Bool
			w, s := newWire()
			w.Idle = limit
			w.Stop = func() error {
				if stop.Load() {
					return stopped
				}
				return nil
			}
			time.AfterFunc(time.Second, func() {
				stop.Store(true)
				w.Wake()
			})
			start := time.Now()
			for range 2 {
				if n, err := w.Read(make([]byte, 100)); n != 0 || err != stopped || time.Since(start) != time.Second {
					t.Errorf("Read with a limit of %v = %d, %v after %v, want %v after 1s", limit, n, err, time.Since(start), stopped)
				}
			}
			stop.Store(false)
			s.arrive("text")
			wantRead(t, w, "text", 0)
		}
	})
}

func TestAReaderThatIsToStopReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		stopped := errors.New("stopped")
		w.Stop = func() error { return stopped }
		s.arrive("text")
		if n, err := w.Read(make([]byte, 100)); n != 0 || err != stopped {
			t.Errorf("Read = %d, %v, want %v", n, err, stopped)
		}
		w.Stop = func() error { return nil }
		wantRead(t, w, "text", 0)
	})
}

func TestSpuriousWakeChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []time.Duration{0, time.Minute} {
			w, s := newWire()
			w.Idle = limit
			w.Wake()
			for i := range 5 {
				time.AfterFunc(time.Duration(i)*time.Second, w.Wake)
			}
			time.AfterFunc(10*time.Second, func() { s.arrive("text") })
			wantRead(t, w, "text", 10*time.Second)
		}
		w, _ := newWire()
		w.Idle = time.Minute
		for i := range 59 {
			time.AfterFunc(time.Duration(i)*time.Second, w.Wake)
		}
		wantTimeout(t, reading(w), time.Minute, "no message within 1m0s")
	})
}

// A Wake may set its deadline after a Read took away the one before.
func TestReadSurvivesADeadlineThatItDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		s.SetReadDeadline(time.Unix(1, 0))
		time.AfterFunc(time.Second, func() { s.arrive("text") })
		wantRead(t, w, "text", time.Second)
	})
}

// Whatever the order in which they come, no wake is lost.
func TestWakeAgainstRead(t *testing.T) {
	for i := range 2000 {
		w, s := newWire()
		w.Idle = time.Duration(i%2) * time.Hour
		stopped := errors.New("stopped")
		done := make(chan struct{})
		w.Stop = func() error {
			select {
			case <-done:
				return stopped
			default:
				return nil
			}
		}
		var others sync.WaitGroup
		others.Go(w.Wake)
		others.Go(func() {
			close(done)
			w.Wake()
		})
		if n, err := w.Read(make([]byte, 100)); n != 0 || err != stopped {
			t.Fatalf("Read = %d, %v, want %v", n, err, stopped)
		}
		others.Wait()
		s.mu.Lock()
		if s.read.timer != nil {
			s.read.timer.Stop()
		}
		s.mu.Unlock()
	}
}

func TestReadReturnsTheErrorOfTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []error{io.EOF, net.ErrClosed, error(syscall.ECONNRESET)} {
			w, s := newWire()
			w.Idle = time.Hour
			s.arrive("the last bytes")
			s.end = end
			wantRead(t, w, "the last bytes", 0)
			if n, err := w.Read(make([]byte, 100)); n != 0 || err != end {
				t.Errorf("Read = %d, %v, want %v", n, err, end)
			}
			if fault := w.Fault(); fault != end && (fault != nil || end != io.EOF) {
				t.Errorf("Fault = %v after %v", fault, end)
			}
		}
	})
}

// A lateStream returns bytes together with the error of its deadline.
type lateStream struct{ stream }

func (s *lateStream) Read(p []byte) (int, error) { return copy(p, "late"), os.ErrDeadlineExceeded }

func TestReadLosesNoBytesThatComeWithAnError(t *testing.T) {
	w, _ := newWire()
	w.Conn = new(lateStream)
	if n, _ := w.Read(make([]byte, 100)); n != 4 {
		t.Errorf("Read = %d, want the 4 bytes that came with an error", n)
	}
}

func TestSendBoundsTheWaitForAByteToBeTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Send = time.Minute
		s.room = 0
		writing := func() (int, error) { return w.Write([]byte("text")) }
		wantTimeout(t, writing, time.Minute, "the other end took nothing for 1m0s: does it read, or do both ends send from their callbacks?")
		s.room = 4
		if n, err := w.Write([]byte("text")); n != 4 || err != nil {
			t.Errorf("Write once there is room = %d, %v, want 4", n, err)
		}
	})
}

func TestProgressExtendsSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Send = time.Minute
		s.room = 0
		const text = "one byte each 59 seconds"
		for i := range text {
			time.AfterFunc(time.Duration(i+1)*59*time.Second, func() { s.change(func() { s.room++ }) })
		}
		start := time.Now()
		vector := net.Buffers{[]byte(text[:5]), []byte(text[5:6]), []byte(text[6:])}
		n, err := w.WriteVector(&vector)
		if want := time.Duration(len(text)) * 59 * time.Second; n != int64(len(text)) || err != nil || time.Since(start) != want {
			t.Errorf("WriteVector = %d, %v after %v, want %d after %v", n, err, time.Since(start), len(text), want)
		}
		if string(s.out) != text || len(vector) != 0 {
			t.Errorf("written %q, and %d parts are left, want %q and none", s.out, len(vector), text)
		}
	})
}

// A byte that is taken shortly before the time is over is progress: the next
// one has the whole time.
func TestSendGivesUpAfterTheLastProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWire()
		w.Send = time.Minute
		s.room = 3
		time.AfterFunc(50*time.Second, func() { s.change(func() { s.room++ }) })
		start := time.Now()
		n, err := w.Write([]byte("text and more"))
		if n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Minute {
			t.Errorf("Write = %d, %v after %v, want 4 bytes and a timeout after 2m", n, err, time.Since(start))
		}
		if string(s.out) != "text" {
			t.Errorf("written %q, want text", s.out)
		}
	})
}

// A silentStream takes a while for each Write, and does not say how much it took
// of one that was cut short.
type silentStream struct{ stream }

func (s *silentStream) Write(p []byte) (int, error) {
	const rate = 1 << 10 // bytes a second
	time.Sleep(time.Duration(len(p)) * time.Second / rate)
	if s.written.passed() {
		return 0, os.ErrDeadlineExceeded
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

func TestProgressIsSeenThroughAStreamThatHidesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silentStream{stream{changed: make(chan struct{})}}
		w := &wire.Wire{Conn: s, Send: time.Minute}
		frame := []byte(strings.Repeat("a long message ", 20_000))
		vector := net.Buffers{[]byte("prefix"), frame}
		n, err := w.WriteVector(&vector)
		if want := "prefix" + string(frame); n != int64(len(want)) || err != nil || string(s.out) != want || len(vector) != 0 {
			t.Errorf("WriteVector = %d, %v, and %d parts are left, want all of %d bytes", n, err, len(vector), len(want))
		}
	})
}

// A holdingStream takes all of each Write, and holds what it has not sent until
// the next one.
type holdingStream struct {
	stream
	held []byte
}

func (s *holdingStream) Write(p []byte) (int, error) {
	s.held = append(s.held, p...)
	n, err := s.stream.Write(s.held)
	if s.held = s.held[n:]; len(p) > 0 {
		return len(p), err
	}
	return 0, err
}

func (s *holdingStream) Unsent() int { return len(s.held) }

func TestWriteWaitsForWhatIsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "one byte each 59 seconds"
		for taken := range len(text) + 1 {
			s := &holdingStream{stream: stream{changed: make(chan struct{})}}
			w := &wire.Wire{Conn: s, Send: time.Minute}
			for i := range taken {
				time.AfterFunc(time.Duration(i+1)*59*time.Second, func() { s.change(func() { s.room++ }) })
			}
			start := time.Now()
			n, err := w.Write([]byte(text))
			switch took := time.Since(start); {
			case n != len(text) || string(s.out) != text[:taken]:
				t.Errorf("Write = %d, %v, and %q was taken, want %q", n, err, s.out, text[:taken])
			case taken == len(text) && (err != nil || took != time.Duration(taken)*59*time.Second):
				t.Errorf("Write = %v after %v, though all was taken", err, took)
			case taken < len(text) && (!errors.Is(err, os.ErrDeadlineExceeded) || took > time.Duration(taken+2)*time.Minute):
				t.Errorf("Write = %v after %v, where %d bytes were taken", err, took, taken)
			}
		}
	})
}

// An emptyStream takes nothing, and says so without an error.
type emptyStream struct{ stream }

func (*emptyStream) Write([]byte) (int, error) { return 0, nil }

func TestWriteDoesNotWaitForAStreamThatTakesNothing(t *testing.T) {
	w := &wire.Wire{Conn: new(emptyStream)}
	if n, err := w.Write([]byte("text")); n != 0 || err != io.ErrShortWrite {
		t.Errorf("Write = %d, %v, want %v", n, err, io.ErrShortWrite)
	}
}

func TestWriteReturnsTheErrorOfTheStream(t *testing.T) {
	for _, broken := range []error{error(syscall.EPIPE), net.ErrClosed} {
		w, s := newWire()
		w.Send = time.Minute
		s.broken = broken
		if n, err := w.Write([]byte("text")); n != 0 || err != broken {
			t.Errorf("Write = %d, %v, want %v", n, err, broken)
		}
		if s.writes != 1 {
			t.Errorf("%d writes to a broken stream, want 1", s.writes)
		}
	}
}

func TestWriteVectorWritesEveryPart(t *testing.T) {
	w, s := newWire()
	w.Send = time.Minute
	vector := net.Buffers{[]byte("\x00\x00\x00\x04"), []byte("text"), []byte("\x00\x00\x00\x00")}
	if n, err := w.WriteVector(&vector); n != 12 || err != nil || len(vector) != 0 {
		t.Errorf("WriteVector = %d, %v, and %d parts are left, want 12 and none", n, err, len(vector))
	}
	if want := "\x00\x00\x00\x04text\x00\x00\x00\x00"; string(s.out) != want {
		t.Errorf("written %q, want %q", s.out, want)
	}
}

// tcpPair returns two ends of a TCP connection.
func tcpPair(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialed.Close()
		accepted.Close()
	})
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// The kernel takes parts of vectors, and parts of parts.
func TestVectorsOverTCPArriveWhole(t *testing.T) {
	here, there := tcpPair(t)
	here.SetWriteBuffer(4 << 10)
	r := rand.New(rand.NewPCG(1, 2))
	w := &wire.Wire{Conn: here, Send: time.Minute}
	var want []byte
	got := make(chan []byte)
	go func() {
		all, err := io.ReadAll(there)
		if err != nil {
			t.Error(err)
		}
		got <- all
	}()
	for range 100 {
		var vector net.Buffers
		size := 0
		for range r.IntN(60) {
			part := make([]byte, r.IntN(3)*r.IntN(3000))
			for i := range part {
				part[i] = byte(r.Uint32())
			}
			want = append(want, part...)
			size += len(part)
			vector = append(vector, part)
		}
		tried, err := w.TryWrite(&vector)
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.WriteVector(&vector)
		if int(tried+n) != size || err != nil || len(vector) != 0 {
			t.Fatalf("TryWrite and WriteVector = %d and %d, %v, want %d together; %d parts are left", tried, n, err, size, len(vector))
		}
	}
	here.CloseWrite()
	if !bytes.Equal(<-got, want) {
		t.Error("what arrived is not what was written")
	}
}

func TestTryWriteDoesNotWait(t *testing.T) {
	here, _ := tcpPair(t)
	w := &wire.Wire{Conn: here, Send: time.Second}
	vector := slices.Repeat(net.Buffers{make([]byte, 1<<20)}, 64)
	if n, err := w.TryWrite(&vector); err != nil || len(vector) == 0 {
		t.Errorf("TryWrite of 64 MiB that nobody reads = %d, %v, and %d parts are left", n, err, len(vector))
	}
}

func TestWireOverTCP(t *testing.T) {
	here, there := tcpPair(t)
	w := &wire.Wire{Conn: here, Idle: time.Hour, Frame: time.Hour, Send: time.Hour, Begun: func() bool { return false }}
	stopped := errors.New("stopped")
	wakes := 0
	w.Stop = func() error {
		if wakes++; wakes == 1 {
			go w.Wake()
			return nil
		}
		return stopped
	}
	if n, err := w.Read(make([]byte, 100)); n != 0 || err != stopped {
		t.Errorf("Read = %d, %v, want %v", n, err, stopped)
	}
	w.Stop = func() error { return nil }
	there.Write([]byte("text"))
	buffer := make([]byte, 4)
	if _, err := io.ReadFull(w, buffer); err != nil || string(buffer) != "text" {
		t.Errorf("ReadFull = %q, %v, want text", buffer, err)
	}
	if n, err := w.WriteVector(&net.Buffers{[]byte("te"), []byte("xt")}); n != 4 || err != nil {
		t.Errorf("WriteVector = %d, %v, want 4", n, err)
	}
	if _, err := io.ReadFull(there, buffer); err != nil || string(buffer) != "text" {
		t.Errorf("the other end reads %q, %v, want text", buffer, err)
	}
	there.SetLinger(0)
	there.Close()
	if n, err := w.Read(buffer); n != 0 || !errors.Is(err, syscall.ECONNRESET) || w.Fault() != err {
		t.Errorf("Read after a reset = %d, %v, and Fault = %v, want %v", n, err, w.Fault(), syscall.ECONNRESET)
	}
}
