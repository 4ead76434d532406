package sockets_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"weak"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// frameSizes are those at which something changes: nothing, what a prefix can
// express, what is copied behind it, what is read at a time, the limit. Small
// ones stand between the large.
var frameSizes = []int{
	0, 1, 2, 253, 254, 255, 256, 257,
	8<<10 - 1, 0, 8 << 10, 1, 8<<10 + 1,
	16<<10 - 1, 0, 16 << 10, 2, 16<<10 + 1,
	1<<16 - 1, 1 << 16, 0, 1 << 20, 3,
}

var prefixes = []int{1, 2, 4, 8}

// expressible tells whether a prefix can announce size.
func expressible(prefix, size int) bool { return prefix >= 4 || size < 1<<(8*prefix) }

// messagesOf returns messages of those sizes that the prefix can express. A
// byte that is lost, doubled or in the wrong place shows.
func messagesOf(prefix int, sizes ...int) [][]byte {
	var messages [][]byte
	for _, size := range sizes {
		if expressible(prefix, size) {
			message := make([]byte, size)
			rand.NewChaCha8([32]byte{byte(len(messages)), byte(size), byte(size >> 8)}).Read(message)
			messages = append(messages, message)
		}
	}
	return messages
}

// glued is the wire format once more: each message behind its length.
func glued(prefix int, messages ...[]byte) []byte {
	var stream []byte
	for _, message := range messages {
		length := make([]byte, prefix)
		for i, n := prefix-1, len(message); i >= 0; i, n = i-1, n>>8 {
			length[i] = byte(n)
		}
		stream = append(append(stream, length...), message...)
	}
	return stream
}

// unframed is what a Framer makes of a stream, said with all of it at hand.
func unframed(prefix int, limit uint64, stream []byte) (messages [][]byte, err error) {
	for len(stream) > 0 {
		if len(stream) < prefix {
			return messages, io.ErrUnexpectedEOF
		}
		length := uint64(0)
		for _, b := range stream[:prefix] {
			length = length<<8 | uint64(b)
		}
		stream = stream[prefix:]
		if length > limit {
			return messages, fmt.Errorf("%w: %d bytes are announced, MaxMessage is %d", sockets.ErrMessageTooBig, length, limit)
		}
		if length > uint64(len(stream)) {
			return messages, io.ErrUnexpectedEOF
		}
		messages = append(messages, stream[:length])
		stream = stream[length:]
	}
	return messages, io.EOF
}

// documentedLimit is what [sockets.Framer.MaxMessage] says: a message is
// bounded by what the prefix and memory can express, too.
func documentedLimit(prefix, maxMessage int) uint64 {
	limit := uint64(math.MaxInt - 8)
	if prefix < 8 {
		limit = min(limit, 1<<(8*prefix)-1)
	}
	switch {
	case maxMessage == 0:
		limit = min(limit, 1<<20)
	case maxMessage > 0:
		limit = min(limit, uint64(maxMessage))
	}
	return limit
}

// A script is a stream that arrives in pieces: no Read gives more than the rest
// of one. Instead of a nil piece a Read misses its deadline.
type script struct {
	pieces [][]byte
	end    error // after the last piece; if nil, io.EOF
	reads  int
	room   int // the most that a Read had room for
}

func (s *script) Read(p []byte) (int, error) {
	s.reads++
	s.room = max(s.room, len(p))
	if len(s.pieces) == 0 {
		return 0, cmp.Or(s.end, io.EOF)
	}
	n := copy(p, s.pieces[0])
	late := s.pieces[0] == nil
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	return n, nil
}

// cut returns the pieces of stream between the given places.
func cut(stream []byte, places ...int) *script {
	s := new(script)
	start := 0
	for _, place := range append(places, len(stream)) {
		if start < place {
			s.pieces = append(s.pieces, stream[start:place])
			start = place
		}
	}
	return s
}

type duplex struct {
	io.Reader
	io.Writer
}

func framerOver(r io.Reader, prefix int) *sockets.Framer {
	return sockets.NewFramer(duplex{r, io.Discard}, prefix)
}

func readMessages(f *sockets.Framer) (messages [][]byte, err error) {
	for {
		message, err := f.ReadMessage()
		if err != nil {
			return messages, err
		}
		messages = append(messages, message)
	}
}

// checkMessages wants the stream beneath f to hold these messages and to end so.
func checkMessages(t *testing.T, what string, f *sockets.Framer, want [][]byte, wantErr error) {
	t.Helper()
	got, err := readMessages(f)
	compareMessages(t, what, got, want)
	if err != wantErr {
		t.Fatalf("%s: after %d messages the error is %v, want %v", what, len(got), err, wantErr)
	}
}

func compareMessages(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%s: message %d is %d bytes %.32x…, want %d bytes %.32x…", what, i, len(got[i]), got[i], len(want[i]), want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d messages, want %d", what, len(got), len(want))
	}
}

// allocated is how many bytes f allocates: the least of some runs, as other
// goroutines may allocate too.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func TestFramerSpeaksAsTheSlides(t *testing.T) {
	const message, wire = "The user pressed UP and RIGHT", "\x00\x00\x00\x1dThe user pressed UP and RIGHT"
	var sent bytes.Buffer
	if err := sockets.NewFramer(&sent, 4).WriteMessage([]byte(message)); err != nil || sent.String() != wire {
		t.Errorf("WriteMessage(%q) wrote %q, %v, want %q", message, sent.String(), err, wire)
	}
	if got, err := framerOver(strings.NewReader(wire), 4).ReadMessage(); err != nil || string(got) != message {
		t.Errorf("ReadMessage of %q = %q, %v, want %q", wire, got, err, message)
	}
}

func TestFramerPrefixIsBigEndian(t *testing.T) {
	for _, test := range []struct {
		prefix, size int
		want         string
	}{
		{1, 0, "\x00"},
		{1, 255, "\xff"},
		{2, 0, "\x00\x00"},
		{2, 0x1d, "\x00\x1d"},
		{2, 0xfffe, "\xff\xfe"},
		{4, 0, "\x00\x00\x00\x00"},
		{4, 0x1d, "\x00\x00\x00\x1d"},
		{4, 0x012345, "\x00\x01\x23\x45"},
		{8, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{8, 0x012345, "\x00\x00\x00\x00\x00\x01\x23\x45"},
	} {
		var sent bytes.Buffer
		f := sockets.NewFramer(&sent, test.prefix)
		if err := f.WriteMessage(make([]byte, test.size)); err != nil {
			t.Errorf("prefix %d: WriteMessage of %d bytes: %v", test.prefix, test.size, err)
		} else if got := sent.String()[:test.prefix]; got != test.want || sent.Len() != test.prefix+test.size {
			t.Errorf("prefix %d: WriteMessage of %d bytes wrote %d beginning with %x, want %x", test.prefix, test.size, sent.Len(), got, test.want)
		}
	}
}

func TestFramerWritesWhatItReads(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, frameSizes...)
		var wire bytes.Buffer
		f := sockets.NewFramer(&wire, prefix)
		for _, message := range want {
			if err := f.WriteMessage(message); err != nil {
				t.Fatalf("prefix %d: WriteMessage of %d bytes: %v", prefix, len(message), err)
			}
		}
		if !bytes.Equal(wire.Bytes(), glued(prefix, want...)) {
			t.Errorf("prefix %d: what was written is not each message behind its length", prefix)
		}
		checkMessages(t, fmt.Sprint("prefix ", prefix), f, want, io.EOF)
	}
}

func TestFramerMessagesAreWholeAtEveryCut(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, 0, 1, 2, 253, 0, 254, 255, 256, 257, 1, 0)
		stream := glued(prefix, want...)
		for place := range stream {
			checkMessages(t, fmt.Sprintf("prefix %d, cut at %d", prefix, place), framerOver(cut(stream, place), prefix), want, io.EOF)
		}
	}
}

func TestFramerMessagesAreWholeAtEveryTwoCuts(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, 3, 0, 1, 2, 0, 0, 9)
		stream := glued(prefix, want...)
		for first := range stream {
			for second := first; second < len(stream); second++ {
				checkMessages(t, fmt.Sprintf("prefix %d, cuts at %d and %d", prefix, first, second),
					framerOver(cut(stream, first, second), prefix), want, io.EOF)
			}
		}
	}
}

func TestFramerMessagesAreWholeInPiecesOfEverySize(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, 0, 1, 2, 40, 0, 253, 254, 255, 256, 257, 1, 0)
		stream := glued(prefix, want...)
		for size := 1; size <= len(stream); size++ {
			s := &script{pieces: slices.Collect(slices.Chunk(stream, size))}
			checkMessages(t, fmt.Sprintf("prefix %d, pieces of %d", prefix, size), framerOver(s, prefix), want, io.EOF)
		}
	}
}

// TestFramerLargeMessagesAreWholeWhereverTheyAreCut cuts where a mistake of one
// byte would be made: around the edges of frames and of what is read at a time.
func TestFramerLargeMessagesAreWholeWhereverTheyAreCut(t *testing.T) {
	for _, prefix := range prefixes[1:] {
		want := messagesOf(prefix, 2, 8<<10-1, 8<<10, 0, 8<<10+1, 16<<10-1, 1, 16<<10, 16<<10+1, 3)
		stream := glued(prefix, want...)
		places := make(map[int]bool)
		around := func(place int) {
			for near := max(0, place-prefix-2); near < min(len(stream), place+prefix+2); near++ {
				places[near] = true
			}
		}
		edge := 0
		for _, message := range want {
			around(edge)
			around(edge + prefix + 8<<10)
			around(edge + prefix + 16<<10)
			edge += prefix + len(message)
		}
		for chunk := 0; chunk < len(stream); chunk += 8 << 10 {
			around(chunk)
		}
		for place := range places {
			checkMessages(t, fmt.Sprintf("prefix %d, cut at %d", prefix, place), framerOver(cut(stream, place), prefix), want, io.EOF)
		}
	}
}

func TestFramerMessagesAreWholeThroughEveryReader(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"all at once":           func(r io.Reader) io.Reader { return r },
		"one byte":              iotest.OneByteReader,
		"half":                  iotest.HalfReader,
		"data with EOF":         iotest.DataErrReader,
		"nothing now and then":  func(r io.Reader) io.Reader { return &lazyReader{r: r} },
		"nothing, one, nothing": func(r io.Reader) io.Reader { return &lazyReader{r: iotest.OneByteReader(r)} },
	}
	for name, reader := range readers {
		for _, prefix := range prefixes {
			want := messagesOf(prefix, frameSizes...)
			r := reader(bytes.NewReader(glued(prefix, want...)))
			checkMessages(t, fmt.Sprintf("%s, prefix %d", name, prefix), framerOver(r, prefix), want, io.EOF)
		}
	}
}

// A lazyReader reads nothing every other time.
type lazyReader struct {
	r    io.Reader
	lazy bool
}

func (l *lazyReader) Read(p []byte) (int, error) {
	if l.lazy = !l.lazy; l.lazy {
		return 0, nil
	}
	return l.r.Read(p)
}

func TestFramerGoesOnAfterATimeout(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, 2, 0, 254, 1<<16-1, 1)
		f := framerOver(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(glued(prefix, want...)))), prefix)
		if _, err := f.ReadMessage(); err != iotest.ErrTimeout {
			t.Fatalf("prefix %d: the error is %v, want %v", prefix, err, iotest.ErrTimeout)
		}
		checkMessages(t, fmt.Sprint("prefix ", prefix), f, want, io.EOF)
	}
}

func TestFramerReadsGluedFramesAtOnce(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, slices.Repeat([]int{20, 0, 7}, 100)...)
		s := cut(glued(prefix, want...))
		f := framerOver(s, prefix)
		for i := range want {
			if got, err := f.ReadMessage(); err != nil || !bytes.Equal(got, want[i]) {
				t.Fatalf("prefix %d: message %d = %x, %v, want %x", prefix, i, got, err, want[i])
			}
		}
		if s.reads != 1 {
			t.Errorf("prefix %d: %d Reads for %d messages that arrived together, want 1", prefix, s.reads, len(want))
		}
	}
}

func TestFramerWaitsForNoMoreThanTheMessage(t *testing.T) {
	for _, prefix := range prefixes {
		for _, message := range messagesOf(prefix, frameSizes...) {
			stream := glued(prefix, message)
			late := cut(stream)
			late.end = errors.New("a Read too many")
			for what, r := range map[string]io.Reader{
				"then an error": late,
				"with EOF":      &eagerReader{stream},
			} {
				if got, err := framerOver(r, prefix).ReadMessage(); err != nil || !bytes.Equal(got, message) {
					t.Errorf("prefix %d, %s: ReadMessage = %d bytes, %v, want %d", prefix, what, len(got), err, len(message))
				}
			}
		}
	}
}

// An eagerReader tells the end with the last bytes, as many as there is room for.
type eagerReader struct{ stream []byte }

func (e *eagerReader) Read(p []byte) (int, error) {
	n := copy(p, e.stream)
	if e.stream = e.stream[n:]; len(e.stream) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func TestFramerEndOfStream(t *testing.T) {
	for _, prefix := range prefixes {
		messages := messagesOf(prefix, 2, 0, 5, 255, 256, 0)
		stream := glued(prefix, messages...)
		edges := map[int]int{0: 0}
		edge := 0
		for i, message := range messages {
			edge += prefix + len(message)
			edges[edge] = i + 1
		}
		whole := 0
		for end := range len(stream) + 1 {
			n, between := edges[end]
			wantErr := io.ErrUnexpectedEOF
			if between {
				whole, wantErr = n, io.EOF
			}
			for name, r := range map[string]io.Reader{
				"at once":       bytes.NewReader(stream[:end]),
				"one byte":      iotest.OneByteReader(bytes.NewReader(stream[:end])),
				"data with EOF": iotest.DataErrReader(bytes.NewReader(stream[:end])),
			} {
				what := fmt.Sprintf("prefix %d, %s, end at %d of %d", prefix, name, end, len(stream))
				f := framerOver(r, prefix)
				checkMessages(t, what, f, messages[:whole], wantErr)
				checkMessages(t, what+", again", f, nil, wantErr)
			}
		}
	}
}

func TestFramerEndInsideALargeMessage(t *testing.T) {
	stream := glued(4, messagesOf(4, 1<<20)...)
	for _, end := range []int{4, 5, 16<<10 - 1, 16 << 10, 16<<10 + 1, 32 << 10, 100_000, len(stream) - 1} {
		f := framerOver(bytes.NewReader(stream[:end]), 4)
		checkMessages(t, fmt.Sprint("end at ", end), f, nil, io.ErrUnexpectedEOF)
	}
}

// TestFramerDeadlineLosesNothing lets a deadline pass before every byte, and
// reads with both methods in turn.
func TestFramerDeadlineLosesNothing(t *testing.T) {
	for _, prefix := range prefixes {
		want := messagesOf(prefix, 0, 1, 2, 253, 0, 257, 2000, 1)
		s := new(script)
		for _, b := range glued(prefix, want...) {
			s.pieces = append(s.pieces, nil, []byte{b})
		}
		checkInTurns(t, fmt.Sprint("prefix ", prefix), s, prefix, want)
	}
}

func TestFramerDeadlineLosesNothingOfALargeMessage(t *testing.T) {
	for _, prefix := range prefixes[1:] {
		want := messagesOf(prefix, 16<<10-1, 0, 16<<10+1, 1<<16-1, 200_000, 2)
		for _, size := range []int{5000, 16<<10 - 1, 16 << 10, 16<<10 + 1, 50_000} {
			s := new(script)
			for piece := range slices.Chunk(glued(prefix, want...), size) {
				s.pieces = append(s.pieces, piece, nil)
			}
			checkInTurns(t, fmt.Sprintf("prefix %d, pieces of %d", prefix, size), s, prefix, want)
		}
	}
}

// checkInTurns reads by ReadMessage and ReadAppend in turns, and wants each
// deadline of s told, and no byte missing.
func checkInTurns(t *testing.T, what string, s *script, prefix int, want [][]byte) {
	t.Helper()
	deadlines := 0
	for _, piece := range s.pieces {
		if piece == nil {
			deadlines++
		}
	}
	got, late, err := readInTurns(t, framerOver(s, prefix))
	compareMessages(t, what, got, want)
	if err != io.EOF {
		t.Fatalf("%s: the error is %v, want %v", what, err, io.EOF)
	}
	if late != deadlines {
		t.Fatalf("%s: %d deadlines were told, want %d", what, late, deadlines)
	}
}

// readInTurns reads by ReadMessage and ReadAppend in turns, and goes on after
// deadlines, which it counts. It checks what becomes of dst.
func readInTurns(t *testing.T, f *sockets.Framer) (messages [][]byte, late int, err error) {
	t.Helper()
	memory := make([]byte, 0, 300)
	for turn := 0; ; turn++ {
		var message []byte
		switch turn % 3 {
		case 0:
			if message, err = f.ReadMessage(); err != nil && message != nil {
				t.Fatalf("ReadMessage = %x, %v, want no message with an error", message, err)
			}
		default:
			dst := []byte("kept")
			if turn%3 == 1 {
				dst = append(memory[:0], dst...)
			}
			message, err = f.ReadAppend(dst)
			if !bytes.HasPrefix(message, []byte("kept")) || err != nil && (len(message) != len(dst) || &message[0] != &dst[0]) {
				t.Fatalf("ReadAppend(%q) = %q, %v, want what it was given, and only without an error more", dst, message, err)
			}
			message = bytes.Clone(message[len(dst):])
			clear(dst[:cap(dst)])
		}
		switch {
		case err == nil:
			messages = append(messages, message)
		case errors.Is(err, os.ErrDeadlineExceeded):
			late++
		default:
			return messages, late, err
		}
	}
}

func TestFramerDeadlineOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		want := messagesOf(4, 1, 0, 5, 30)
		go func() {
			defer there.Close()
			for _, b := range glued(4, want...) {
				time.Sleep(time.Second)
				there.Write([]byte{b})
			}
		}()
		f := sockets.NewFramer(here, 4)
		late := 0
		for i := 0; i < len(want); {
			here.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			switch got, err := f.ReadMessage(); {
			case errors.Is(err, os.ErrDeadlineExceeded):
				late++
			case err != nil || !bytes.Equal(got, want[i]):
				t.Fatalf("message %d = %x, %v, want %x", i, got, err, want[i])
			default:
				i++
			}
		}
		if minimum := 3 * len(glued(4, want...)); late < minimum {
			t.Errorf("%d deadlines passed, want at least %d", late, minimum)
		}
		here.SetReadDeadline(time.Time{})
		if _, err := f.ReadMessage(); err != io.EOF {
			t.Errorf("the end is %v, want %v", err, io.EOF)
		}
	})
}

func TestFramerPassesOnTheErrorOfTheStream(t *testing.T) {
	message := messagesOf(4, 20_000)[0]
	stream := glued(4, message)
	for _, end := range []int{0, 1, 3, 4, 5, 100, 16 << 10, len(stream) - 1, len(stream)} {
		for _, cause := range []error{syscall.ECONNRESET, net.ErrClosed, io.ErrClosedPipe} {
			s := cut(stream[:end])
			s.end = fmt.Errorf("read: %w", cause)
			var want [][]byte
			if end == len(stream) {
				want = [][]byte{message}
			}
			checkMessages(t, fmt.Sprintf("%v at %d", cause, end), framerOver(s, 4), want, s.end)
		}
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestFramerDoesNotWaitForAReaderThatReadsNothing(t *testing.T) {
	for _, stream := range []string{"", "\x00", "\x00\x00\x00\x05", "\x00\x00\x00\x05hel", "\x00\x0f\x00\x00"} {
		f := framerOver(io.MultiReader(strings.NewReader(stream), emptyReader{}), 4)
		if _, err := f.ReadMessage(); err != io.ErrNoProgress {
			t.Errorf("after %q: the error is %v, want %v", stream, err, io.ErrNoProgress)
		}
	}
}

func TestReadMessageBelongsToTheCaller(t *testing.T) {
	want := messagesOf(4, 0, 3, 5, 0, 20_000, 7, 40_000, 1)
	f := framerOver(bytes.NewReader(glued(4, want...)), 4)
	got, err := readMessages(f)
	if err != io.EOF {
		t.Fatal(err)
	}
	for i := range got {
		if got[i] == nil {
			t.Errorf("message %d is nil, want one of %d bytes", i, len(want[i]))
		}
		whole := got[i][:cap(got[i])]
		for j := range whole {
			whole[j] = 0xee
		}
		compareMessages(t, fmt.Sprintf("after message %d was written over", i), got[i+1:], want[i+1:])
	}
}

func TestReadAppend(t *testing.T) {
	for _, room := range []int{0, 1, 4, 5, 100, 300, 20_000, 50_000} {
		for _, size := range []int{0, 1, 4, 5, 299, 20_000, 40_000} {
			message := messagesOf(4, size)[0]
			dst := append(make([]byte, 0, len("kept")+room), "kept"...)
			got, err := framerOver(bytes.NewReader(glued(4, message)), 4).ReadAppend(dst)
			if err != nil || string(got[:4]) != "kept" || !bytes.Equal(got[4:], message) {
				t.Errorf("room for %d: ReadAppend of %d bytes = %d bytes, %v", room, size, len(got), err)
			}
			if same := &got[0] == &dst[0]; same != (size <= room) {
				t.Errorf("room for %d: ReadAppend of %d bytes used it: %v, want %v", room, size, same, size <= room)
			}
		}
	}
}

func TestReadAppendLeavesDstAsItWasOnAnError(t *testing.T) {
	for _, stream := range []string{"", "\x00", "\x00\x00\x00\x05", "\x00\x00\x00\x05hell", "GET / HTTP/1.1\r\n"} {
		for _, dst := range [][]byte{nil, {}, []byte("kept"), append(make([]byte, 0, 100), "kept"...)} {
			before := bytes.Clone(dst)
			got, err := framerOver(strings.NewReader(stream), 4).ReadAppend(dst)
			if err == nil || !bytes.Equal(got, before) || (got == nil) != (dst == nil) || cap(got) != cap(dst) {
				t.Errorf("%q: ReadAppend(%q) = %q, %v, want %q and an error", stream, before, got, err, before)
			}
		}
	}
}

func TestReadAppendCollectsMessages(t *testing.T) {
	want := messagesOf(4, 3, 0, 20_000, 1)
	f := framerOver(bytes.NewReader(glued(4, want...)), 4)
	var got []byte
	for range want {
		var err error
		if got, err = f.ReadAppend(got); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, slices.Concat(want...)) {
		t.Errorf("ReadAppend collected %d bytes, want the %d of all messages", len(got), len(slices.Concat(want...)))
	}
}

var limits = []struct{ prefix, maxMessage, limit int }{
	{1, 0, 255}, {1, -1, 255}, {1, 254, 254}, {1, 255, 255}, {1, 256, 255}, {1, 1, 1}, {1, math.MaxInt, 255},
	{2, 0, 1<<16 - 1}, {2, math.MinInt, 1<<16 - 1}, {2, 1<<16 - 2, 1<<16 - 2}, {2, 1 << 16, 1<<16 - 1}, {2, 300, 300},
	{4, 0, 1 << 20}, {4, 5, 5}, {4, 1<<20 - 1, 1<<20 - 1}, {4, 1<<20 + 1, 1<<20 + 1}, {4, 3 << 20, 3 << 20},
	{8, 0, 1 << 20}, {8, 5, 5}, {8, 1<<20 - 1, 1<<20 - 1}, {8, 1<<20 + 1, 1<<20 + 1}, {8, 3 << 20, 3 << 20},
}

func TestFramerLimit(t *testing.T) {
	huge := make([]byte, 3<<20+1)
	for _, test := range limits {
		what := fmt.Sprintf("prefix %d, MaxMessage %d", test.prefix, test.maxMessage)
		var wire bytes.Buffer
		f := sockets.NewFramer(&wire, test.prefix)
		f.MaxMessage = test.maxMessage
		if err := f.WriteMessage(huge[:test.limit]); err != nil {
			t.Errorf("%s: WriteMessage of %d bytes: %v", what, test.limit, err)
		}
		if got, err := f.ReadMessage(); err != nil || len(got) != test.limit {
			t.Errorf("%s: ReadMessage of %d bytes = %d bytes, %v", what, test.limit, len(got), err)
		}
		want := fmt.Sprintf("sockets: message too big: %d bytes, MaxMessage is %d", test.limit+1, test.limit)
		if !expressible(test.prefix, test.limit+1) {
			want = fmt.Sprintf("sockets: message too big: %d bytes, a prefix of %d bytes tells no more than %d", test.limit+1, test.prefix, test.limit)
		}
		if err := f.WriteMessage(huge[:test.limit+1]); !errors.Is(err, sockets.ErrMessageTooBig) || err.Error() != want {
			t.Errorf("%s: WriteMessage of %d bytes: %v, want %s", what, test.limit+1, err, want)
		}
		if !expressible(test.prefix, test.limit+1) {
			continue
		}
		want = fmt.Sprintf("sockets: message too big: %d bytes are announced, MaxMessage is %d", test.limit+1, test.limit)
		wire.Write(glued(test.prefix, huge[:test.limit+1]))
		if _, err := f.ReadMessage(); !errors.Is(err, sockets.ErrMessageTooBig) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: ReadMessage of %d bytes: %v, want %s", what, test.limit+1, err, want)
		}
	}
}

// hostileLengths are prefixes that announce what no one sends.
var hostileLengths = []struct {
	prefix string
	length uint64
}{
	{"\x00\x10\x00\x01", 1<<20 + 1},
	{"\x7f\xff\xff\xff", 1<<31 - 1},
	{"\x80\x00\x00\x00", 1 << 31},
	{"\x80\x00\x00\x01", 1<<31 + 1},
	{"\xff\xff\xff\xff", 1<<32 - 1},
	{"\x00\x00\x00\x00\x00\x10\x00\x01", 1<<20 + 1},
	{"\x00\x00\x00\x00\x7f\xff\xff\xf8", 1<<31 - 8},
	{"\x00\x00\x00\x00\x7f\xff\xff\xff", 1<<31 - 1},
	{"\x00\x00\x00\x00\x80\x00\x00\x00", 1 << 31},
	{"\x00\x00\x00\x00\xff\xff\xff\xff", 1<<32 - 1},
	{"\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32},
	{"\x00\x00\x00\x01\x00\x00\x00\x05", 1<<32 + 5},
	{"\x7f\xff\xff\xff\xff\xff\xff\xf7", 1<<63 - 9},
	{"\x7f\xff\xff\xff\xff\xff\xff\xff", 1<<63 - 1},
	{"\x80\x00\x00\x00\x00\x00\x00\x00", 1 << 63},
	{"\x80\x00\x00\x00\x00\x00\x00\x05", 1<<63 + 5},
	{"\xff\xff\xff\xff\xff\xff\xff\xff", 1<<64 - 1},
}

func TestFramerHostileLengths(t *testing.T) {
	for _, test := range hostileLengths {
		for _, maxMessage := range []int{0, 5, 1 << 20, math.MaxInt, -1, math.MinInt} {
			limit := documentedLimit(len(test.prefix), maxMessage)
			what := fmt.Sprintf("%x, MaxMessage %d", test.prefix, maxMessage)
			var err error
			bytes := allocated(func() {
				f := framerOver(strings.NewReader(test.prefix+"\x01body"), len(test.prefix))
				f.MaxMessage = maxMessage
				_, err = f.ReadMessage()
			})
			if bytes > 64<<10 {
				t.Errorf("%s: %d bytes were allocated, want at most 64 KiB", what, bytes)
			}
			if test.length <= limit {
				if err != io.ErrUnexpectedEOF {
					t.Errorf("%s: the error is %v, want %v", what, err, io.ErrUnexpectedEOF)
				}
				continue
			}
			want := fmt.Sprintf("sockets: message too big: %d bytes are announced, MaxMessage is %d", test.length, limit)
			if !errors.Is(err, sockets.ErrMessageTooBig) || err.Error() != want {
				t.Errorf("%s: the error is %v, want %s", what, err, want)
			}
		}
	}
}

func TestFramerAllocatesWithWhatArrives(t *testing.T) {
	const gigabyte = "\x40\x00\x00\x00"
	for _, arrived := range []int{0, 1, 1000, 16 << 10, 16<<10 + 1, 50_000, 200_000, 1 << 20} {
		stream := append([]byte(gigabyte), make([]byte, arrived)...)
		var s *script
		got := allocated(func() {
			s = &script{pieces: slices.Collect(slices.Chunk(stream, 4000))}
			f := framerOver(s, 4)
			f.MaxMessage = 1 << 30
			if _, err := f.ReadMessage(); err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
		})
		if most := uint64(64<<10 + 8*arrived); got > most {
			t.Errorf("1 GiB announced, %d bytes arrived: %d were allocated in all, want at most %d", arrived, got, most)
		}
		if most := max(16<<10, 2*arrived); s.room > most {
			t.Errorf("1 GiB announced, %d bytes arrived: there was room for %d more, want at most %d", arrived, s.room, most)
		}
	}
}

// A stallingReader stops after what it has, until it is released.
type stallingReader struct {
	r       io.Reader
	stalled *sync.WaitGroup
	release <-chan struct{}
}

func (s *stallingReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == io.EOF {
		s.stalled.Done()
		<-s.release
	}
	return n, err
}

func TestFramersPromisedAMebibyteEach(t *testing.T) {
	const framers, most = 1000, 80 << 20
	for _, body := range []int{0, 1, 10_000} {
		release := make(chan struct{})
		var stalled, ended sync.WaitGroup
		stalled.Add(framers)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		stream := append([]byte{0, 0x10, 0, 0}, make([]byte, body)...)
		for range framers {
			ended.Go(func() {
				f := framerOver(&stallingReader{bytes.NewReader(stream), &stalled, release}, 4)
				if _, err := f.ReadMessage(); err != io.ErrUnexpectedEOF {
					t.Error(err)
				}
			})
		}
		stalled.Wait()
		runtime.ReadMemStats(&after)
		close(release)
		ended.Wait()
		if cost := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse); cost > most {
			t.Errorf("%d framers, each promised 1 MiB and given %d bytes, cost %d bytes, want at most %d", framers, body, cost, most)
		}
	}
}

// foreign are streams that hold no frames, and what is in the question that
// their first length raises.
var foreign = []struct {
	name       string
	prefix     int
	maxMessage int
	stream     string
	length     uint64
	question   string // a regular expression; if empty, there is none
}{
	{"GET", 4, 0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0x47455420, `"GET ".* HTTP client`},
	{"HEAD", 4, 0, "HEAD / HTTP/1.1\r\n\r\n", 0x48454144, `"HEAD".* HTTP client`},
	{"POST", 4, 0, "POST /login HTTP/1.1\r\n\r\n", 0x504f5354, `"POST".* HTTP client`},
	{"PUT", 4, 0, "PUT /file HTTP/1.1\r\n\r\n", 0x50555420, `"PUT ".* HTTP client`},
	{"DELETE", 4, 0, "DELETE /file HTTP/1.1\r\n\r\n", 0x44454c45, `"DELE".* HTTP client`},
	{"OPTIONS", 4, 0, "OPTIONS * HTTP/1.1\r\n\r\n", 0x4f505449, `"OPTI".* HTTP client`},
	{"CONNECT", 4, 0, "CONNECT example.org:443 HTTP/1.1\r\n\r\n", 0x434f4e4e, `"CONN".* HTTP client`},
	{"HTTP/2", 4, 0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0x50524920, `"PRI ".* HTTP client`},
	{"GET, prefix 2", 2, 1000, "GET / HTTP/1.1\r\n\r\n", 0x4745, `"GE".* HTTP client`},
	{"GET, prefix 8", 8, 0, "GET / HTTP/1.1\r\n\r\n", 0x474554202f204854, `"GET / HT".* HTTP client`},
	{"HTTP response", 4, 0, "HTTP/1.1 400 Bad Request\r\n\r\n", 0x48545450, `"HTTP".* HTTP server`},
	{"HTTP response, prefix 8", 8, 0, "HTTP/1.1 400 Bad Request\r\n\r\n", 0x485454502f312e31, `"HTTP/1\.1".* HTTP server`},
	{"TLS 1.0 hello", 4, 0, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0x16030102, `TLS`},
	{"TLS 1.2 hello", 4, 0, "\x16\x03\x03\x00\xf4\x01\x00\x00\xf0\x03\x03", 0x160303_00, `TLS`},
	{"TLS hello, prefix 2", 2, 1000, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0x1603, `TLS`},
	{"TLS hello, prefix 8", 8, 0, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0x1603010200010001, `TLS`},
	{"SSH banner", 4, 0, "SSH-2.0-OpenSSH_9.6\r\n", 0x5353482d, `"SSH-".* SSH`},
	{"SSH banner, prefix 8", 8, 0, "SSH-2.0-OpenSSH_9.6\r\n", 0x5353482d322e302d, `"SSH-2\.0-".* SSH`},
	{"text", 4, 0, "Hello, World!\n", 0x48656c6c, `"Hell".* text without a prefix`},
	{"text that looks like a method", 4, 0, "GETS\n", 0x47455453, `"GETS".* text without a prefix`},
	{"text beyond ASCII", 4, 0, "è già così", 0xc3a82067, `"è g".* text without a prefix`},
	{"text cut inside a letter", 4, 0, "così è", 0x636f73c3, `"cos\\xc3".* text without a prefix`},
	{"text in four-byte letters", 4, 0, "👋👋", 0xf09f918b, `"👋".* text without a prefix`},
	{"JSON", 4, 0, `{"text": "Hi"}` + "\n", 0x7b227465, `"{\\"te".* text without a prefix`},
	{"empty lines", 4, 0, "\r\n\r\n", 0x0d0a0d0a, `"\\r\\n\\r\\n".* text without a prefix`},
	{"a chat message", 4, 0, "[2024-02-03T12:15:00] Alice:\n\tHi", 0x5b323032, `"\[202".* text without a prefix`},
	{"text, prefix 8", 8, 0, "Hello, World!\n", 0x48656c6c6f2c2057, `"Hello, W".* text without a prefix`},
	{"prefix 1 instead of 4", 4, 0, "\x1dThe user pressed UP and RIGHT", 0x1d546865, `prefix of .*\b1\b`},
	{"prefix 2 instead of 4", 4, 0, "\x00\x1dThe user pressed UP and RIGHT", 0x001d5468, `prefix of .*\b2\b`},
	{"prefix 1 instead of 8", 8, 0, "\x1dThe user pressed UP and RIGHT", 0x1d54686520757365, `prefix of .*\b1\b`},
	{"prefix 2 instead of 8", 8, 0, "\x00\x1dThe user pressed UP and RIGHT", 0x001d546865207573, `prefix of .*\b2\b`},
	{"prefix 4 instead of 8", 8, 0, "\x00\x00\x00\x1dThe user pressed UP and RIGHT", 0x0000001d54686520, `prefix of .*\b4\b`},
	{"terminal escape", 4, 0, "\x1b[2J\x1b[H", 0x1b5b324a, ""},
	{"change of direction", 4, 0, "\u202eabcdef", 0xe280ae61, ""},
	{"no text", 4, 0, "\xff\xff\xff\xffffff", 0xffffffff, ""},
	{"no text, prefix 8", 8, 0, "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8ffff", 0xfffefdfcfbfaf9f8, ""},
}

func TestFramerAsksWhoSpeaksThere(t *testing.T) {
	for _, test := range foreign {
		limit := documentedLimit(test.prefix, test.maxMessage)
		if test.length <= limit {
			t.Errorf("%s: %d bytes are no more than the limit %d", test.name, test.length, limit)
		}
		good := string(glued(test.prefix, []byte("good")))
		for how, r := range map[string]io.Reader{
			"at once":     strings.NewReader(test.stream + good),
			"one byte":    iotest.OneByteReader(strings.NewReader(test.stream + good)),
			"prefix only": strings.NewReader(test.stream[:test.prefix]),
		} {
			f := framerOver(r, test.prefix)
			f.MaxMessage = test.maxMessage
			_, err := f.ReadMessage()
			if !errors.Is(err, sockets.ErrMessageTooBig) {
				t.Errorf("%s, %s: the error is %v, want %v", test.name, how, err, sockets.ErrMessageTooBig)
				continue
			}
			want := fmt.Sprintf("sockets: message too big: %d bytes are announced, MaxMessage is %d", test.length, limit)
			question, ok := strings.CutPrefix(err.Error(), want)
			if !ok {
				t.Errorf("%s, %s: the error is %v, want %s", test.name, how, err, want)
			}
			if test.question == "" {
				if question != "" && how == "at once" {
					t.Errorf("%s: the question is%s, want none", test.name, question)
				}
			} else if !regexp.MustCompile(`^ \(.*` + test.question + `.*\?\)$`).MatchString(question) {
				t.Errorf("%s, %s: the question is%s, want %s in it", test.name, how, question, test.question)
			}
			if shown := sockets.Printable([]byte(err.Error())); shown != err.Error() {
				t.Errorf("%s, %s: the error is not safe to print: %q", test.name, how, err)
			}
			if _, again := f.ReadMessage(); again != err {
				t.Errorf("%s, %s: afterwards the error is %v, want %v", test.name, how, again, err)
			}
			if got, again := f.ReadAppend([]byte("kept")); again != err || string(got) != "kept" {
				t.Errorf("%s, %s: afterwards ReadAppend = %q, %v, want %q, %v", test.name, how, got, again, "kept", err)
			}
		}
	}
}

func TestFramerWithAPrefixOfOneByteAsks(t *testing.T) {
	f := framerOver(strings.NewReader("SSH-2.0-OpenSSH_9.6\r\n"), 1)
	f.MaxMessage = 10
	_, err := f.ReadMessage()
	if want := "83 bytes are announced, MaxMessage is 10 ("; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "SSH") {
		t.Errorf("the error is %v, want %s and a question about SSH", err, want)
	}
}

func TestFramerTooBigComesAfterWhatWasGood(t *testing.T) {
	want := messagesOf(4, 3, 0, 20_000)
	f := framerOver(strings.NewReader(string(glued(4, want...))+"GET / HTTP/1.1\r\n"), 4)
	got, err := readMessages(f)
	compareMessages(t, "before the request", got, want)
	if !errors.Is(err, sockets.ErrMessageTooBig) {
		t.Errorf("the error is %v, want %v", err, sockets.ErrMessageTooBig)
	}
}

func TestFramerThatReadsNoMoreStillWrites(t *testing.T) {
	var sent bytes.Buffer
	f := sockets.NewFramer(duplex{strings.NewReader("GET /"), &sent}, 4)
	if _, err := f.ReadMessage(); !errors.Is(err, sockets.ErrMessageTooBig) {
		t.Fatal(err)
	}
	if err := f.WriteMessage([]byte("no HTTP here")); err != nil || sent.String() != "\x00\x00\x00\x0cno HTTP here" {
		t.Errorf("WriteMessage wrote %q, %v", sent.String(), err)
	}
}

// A writeRecorder keeps what is written, and where it was. When it has no room left
// it fails with err, or if that is nil without saying so.
type writeRecorder struct {
	wire   []byte
	first  []*byte // of each Write
	room   int     // bytes that it takes; negative: all
	err    error
	writes int
}

func (r *writeRecorder) Write(p []byte) (int, error) {
	r.writes++
	if len(p) > 0 {
		r.first = append(r.first, &p[0])
	}
	if r.room < 0 || len(p) <= r.room {
		r.wire = append(r.wire, p...)
		if r.room >= 0 {
			r.room -= len(p)
		}
		return len(p), nil
	}
	n := r.room
	r.wire = append(r.wire, p[:n]...)
	r.room = 0
	return n, r.err
}

func TestWriteMessageIsOneWrite(t *testing.T) {
	for _, prefix := range prefixes {
		for _, message := range messagesOf(prefix, 0, 1, 2, 253, 254, 255, 256, 1024, 8<<10-1, 8<<10) {
			r := &writeRecorder{room: -1}
			if err := sockets.NewFramer(duplex{nil, r}, prefix).WriteMessage(message); err != nil {
				t.Fatal(err)
			}
			if r.writes != 1 || !bytes.Equal(r.wire, glued(prefix, message)) {
				t.Errorf("prefix %d: %d bytes were written as %d in %d Writes, want 1", prefix, len(message), len(r.wire), r.writes)
			}
		}
	}
}

func TestWriteMessageCopiesNoLargeMessage(t *testing.T) {
	for _, prefix := range prefixes[1:] {
		for _, message := range messagesOf(prefix, 16<<10, 1<<16-1, 1<<20) {
			r := &writeRecorder{room: -1, wire: make([]byte, 0, 1<<20+8)}
			f := sockets.NewFramer(duplex{nil, r}, prefix)
			bytesAllocated := allocated(func() {
				r.wire = r.wire[:0]
				if err := f.WriteMessage(message); err != nil {
					t.Fatal(err)
				}
			})
			if !bytes.Equal(r.wire, glued(prefix, message)) {
				t.Errorf("prefix %d: %d bytes were written as %d others", prefix, len(message), len(r.wire))
			}
			if !slices.Contains(r.first, &message[0]) {
				t.Errorf("prefix %d: no Write was given the memory of a message of %d bytes", prefix, len(message))
			}
			if bytesAllocated > 4<<10 {
				t.Errorf("prefix %d: WriteMessage of %d bytes allocated %d", prefix, len(message), bytesAllocated)
			}
		}
	}
}

func TestWriteMessageDoesNotKeepTheMessage(t *testing.T) {
	for _, size := range []int{100, 1 << 20} {
		for _, room := range []int{-1, 0, 10} {
			r := &writeRecorder{room: room, err: errors.New("full")}
			f := sockets.NewFramer(duplex{nil, r}, 4)
			message := make([]byte, size)
			kept := weak.Make(&message[0])
			f.WriteMessage(message)
			clear(message)
			r.first, message = nil, nil
			runtime.GC()
			if kept.Value() != nil {
				t.Errorf("a message of %d bytes is still held by the framer, with room for %d", size, room)
			}
			runtime.KeepAlive(f)
		}
	}
}

func TestWriteMessageRefusedLeavesTheFramerGood(t *testing.T) {
	for _, prefix := range prefixes {
		r := &writeRecorder{room: -1}
		f := sockets.NewFramer(duplex{nil, r}, prefix)
		f.MaxMessage = 10
		var want []byte
		for range 3 {
			if err := f.WriteMessage(make([]byte, 11)); !errors.Is(err, sockets.ErrMessageTooBig) {
				t.Errorf("prefix %d: WriteMessage of 11 bytes: %v, want %v", prefix, err, sockets.ErrMessageTooBig)
			}
			if err := f.WriteMessage([]byte("good")); err != nil {
				t.Errorf("prefix %d: WriteMessage afterwards: %v", prefix, err)
			}
			want = append(want, glued(prefix, []byte("good"))...)
		}
		if !bytes.Equal(r.wire, want) {
			t.Errorf("prefix %d: on the wire is %x, want %x", prefix, r.wire, want)
		}
	}
}

func TestWriteMessageErrors(t *testing.T) {
	full := errors.New("full")
	for _, size := range []int{0, 1, 100, 8 << 10, 8<<10 + 1, 100_000} {
		message := messagesOf(4, size)[0]
		for _, room := range []int{0, 1, 3, 4, 5, 50, 5000, 50_000, size + 3} {
			if room >= size+4 {
				continue
			}
			for _, cause := range []error{full, os.ErrDeadlineExceeded, nil} {
				what := fmt.Sprintf("%d bytes, room for %d, %v", size, room, cause)
				r := &writeRecorder{room: room, err: cause}
				f := sockets.NewFramer(duplex{nil, r}, 4)
				want := cmp.Or(cause, io.ErrShortWrite)
				if err := f.WriteMessage(message); err != want {
					t.Errorf("%s: the error is %v, want %v", what, err, want)
				}
				r.room, r.wire = -1, nil
				err := f.WriteMessage([]byte("next"))
				if room == 0 && err == nil {
					if got := string(r.wire); got != "\x00\x00\x00\x04next" {
						t.Errorf("%s: of which nothing was written, then %q, want the next frame", what, got)
					}
					continue
				}
				if err != want || len(r.wire) > 0 {
					t.Errorf("%s: afterwards %q is written, the error is %v, want nothing and %v", what, r.wire, err, want)
				}
				if err := f.WriteMessage(make([]byte, 10_000)); err != want || len(r.wire) > 0 {
					t.Errorf("%s: later %q is written, the error is %v, want nothing and %v", what, r.wire, err, want)
				}
			}
		}
	}
}

func TestWriteMessageGoesOnAfterNothingWasWritten(t *testing.T) {
	for _, size := range []int{0, 100, 100_000} {
		r := &writeRecorder{err: os.ErrDeadlineExceeded}
		f := sockets.NewFramer(duplex{nil, r}, 4)
		message := messagesOf(4, size)[0]
		for range 3 {
			if err := f.WriteMessage(message); err != os.ErrDeadlineExceeded {
				t.Errorf("%d bytes: the error is %v, want %v", size, err, os.ErrDeadlineExceeded)
			}
		}
		r.room = -1
		if err := f.WriteMessage(message); err != nil || !bytes.Equal(r.wire, glued(4, message)) {
			t.Errorf("%d bytes: afterwards %d bytes are written, the error is %v, want %d", size, len(r.wire), err, size+4)
		}
	}
}

func TestMessages(t *testing.T) {
	reset := errors.New("reset")
	for _, test := range []struct {
		name   string
		stream string
		end    error
		want   []string
		err    error
	}{
		{"nothing", "", nil, nil, nil},
		{"two and the end", "\x00\x02Hi\x00\x03you", nil, []string{"Hi", "you"}, nil},
		{"an empty one", "\x00\x00\x00\x02Hi\x00\x00", nil, []string{"", "Hi", ""}, nil},
		{"end in the prefix", "\x00\x02Hi\x00", nil, []string{"Hi"}, io.ErrUnexpectedEOF},
		{"end after the prefix", "\x00\x02Hi\x00\x03", nil, []string{"Hi"}, io.ErrUnexpectedEOF},
		{"end in the body", "\x00\x02Hi\x00\x03yo", nil, []string{"Hi"}, io.ErrUnexpectedEOF},
		{"reset between", "\x00\x02Hi", reset, []string{"Hi"}, reset},
		{"reset inside", "\x00\x02Hi\x00\x03y", reset, []string{"Hi"}, reset},
		{"too big", "\x00\x02HiSSH-2.0", nil, []string{"Hi"}, sockets.ErrMessageTooBig},
		{"a wrapped end", "\x00\x02Hi", fmt.Errorf("wrapped: %w", io.EOF), []string{"Hi"}, io.EOF},
	} {
		s := cut([]byte(test.stream))
		s.end = test.end
		f := framerOver(s, 2)
		f.MaxMessage = 1000
		var got []string
		var last error
		for message, err := range f.Messages() {
			if last != nil {
				t.Errorf("%s: %q, %v is yielded after an error", test.name, message, err)
			}
			if last = err; err == nil {
				got = append(got, string(message))
			} else if message != nil {
				t.Errorf("%s: %q is yielded with %v", test.name, message, err)
			}
		}
		if diff := gocmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: messages (-want +got):\n%s", test.name, diff)
		}
		if (last == nil) != (test.err == nil) || !errors.Is(last, test.err) {
			t.Errorf("%s: the error is %v, want %v", test.name, last, test.err)
		}
	}
}

func TestMessagesGoOnAfterABreak(t *testing.T) {
	want := messagesOf(4, 3, 0, 5, 20_000, 1)
	f := framerOver(bytes.NewReader(glued(4, want...)), 4)
	var got [][]byte
	for range want {
		for message, err := range f.Messages() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, message)
			break
		}
	}
	compareMessages(t, "one a loop", got, want)
	for message, err := range f.Messages() {
		t.Errorf("after the end %q, %v is yielded", message, err)
	}
}

func TestMessagesGoOnAfterADeadline(t *testing.T) {
	want := messagesOf(4, 3, 0, 40)
	s := new(script)
	for piece := range slices.Chunk(glued(4, want...), 5) {
		s.pieces = append(s.pieces, nil, piece)
	}
	f := framerOver(s, 4)
	var got [][]byte
	for range slices.Clone(s.pieces) {
		for message, err := range f.Messages() {
			if err == nil {
				got = append(got, message)
			} else if err != os.ErrDeadlineExceeded {
				t.Fatal(err)
			}
		}
	}
	compareMessages(t, "a loop for each deadline", got, want)
}

func TestNewFramerPanicsOverAPrefix(t *testing.T) {
	for _, prefix := range []int{math.MinInt, -1, 0, 3, 5, 6, 7, 9, 16, math.MaxInt} {
		func() {
			want := fmt.Sprintf("sockets: a prefix of %d bytes: use 1, 2, 4 or 8", prefix)
			defer func() {
				if got := recover(); got != want {
					t.Errorf("NewFramer with prefix %d panics with %v, want %s", prefix, got, want)
				}
			}()
			sockets.NewFramer(duplex{}, prefix)
		}()
	}
}

// An endlessReader repeats a stream for ever.
type endlessReader struct {
	stream []byte
	next   int
}

func (e *endlessReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.stream[e.next:])
		n += m
		e.next = (e.next + m) % len(e.stream)
	}
	return n, nil
}

func TestReadAppendAllocatesNothing(t *testing.T) {
	for _, prefix := range prefixes {
		for _, message := range messagesOf(prefix, 0, 16, 128, 1024, 8<<10, 16<<10+1, 1<<16-1, 1<<20) {
			f := framerOver(&endlessReader{stream: glued(prefix, message)}, prefix)
			dst := make([]byte, 0, len(message))
			allocs := testing.AllocsPerRun(20, func() {
				if got, err := f.ReadAppend(dst); err != nil || len(got) != len(message) {
					t.Fatalf("ReadAppend = %d bytes, %v", len(got), err)
				}
			})
			if allocs != 0 {
				t.Errorf("prefix %d: ReadAppend of %d bytes allocates %v times", prefix, len(message), allocs)
			}
		}
	}
}

func TestWriteMessageAllocatesNothing(t *testing.T) {
	for _, prefix := range prefixes {
		for _, message := range messagesOf(prefix, 0, 16, 128, 1024, 8<<10, 8<<10+1, 1<<16-1, 1<<20) {
			f := sockets.NewFramer(duplex{nil, io.Discard}, prefix)
			allocs := testing.AllocsPerRun(20, func() {
				if err := f.WriteMessage(message); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("prefix %d: WriteMessage of %d bytes allocates %v times", prefix, len(message), allocs)
			}
		}
	}
}

func TestFramerReadsWhileAnotherGoroutineWrites(t *testing.T) {
	for _, prefix := range prefixes {
		r, w := io.Pipe()
		f := sockets.NewFramer(duplex{r, w}, prefix)
		want := messagesOf(prefix, slices.Repeat(frameSizes, 3)...)
		var writer sync.WaitGroup
		writer.Go(func() {
			defer w.Close()
			for _, message := range want {
				if err := f.WriteMessage(message); err != nil {
					t.Error(err)
				}
			}
		})
		checkMessages(t, fmt.Sprint("prefix ", prefix), f, want, io.EOF)
		writer.Wait()
	}
}

func TestFramerOverTCP(t *testing.T) {
	for _, prefix := range prefixes {
		here, there := tcpEnds(t)
		want := messagesOf(prefix, slices.Repeat(frameSizes, 3)...)
		var writer sync.WaitGroup
		writer.Go(func() {
			defer there.CloseWrite()
			f := sockets.NewFramer(there, prefix)
			for _, message := range want {
				if err := f.WriteMessage(message); err != nil {
					t.Error(err)
				}
			}
		})
		checkMessages(t, fmt.Sprint("prefix ", prefix), sockets.NewFramer(here, prefix), want, io.EOF)
		writer.Wait()
	}
}

// tcpEnds returns the two ends of a connection over loopback.
func tcpEnds(t testing.TB) (here, there *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// FuzzFramer reads a stream whole, and cut as the plan says: a byte of it is a
// piece, the larger the longer, and zero a deadline that passes. Both must give
// what is in the stream, of which noise is the end.
func FuzzFramer(f *testing.F) {
	plans := [][]byte{nil, {1, 0, 0, 2}, bytes.Repeat([]byte{0, 1}, 40), {3, 0, 7, 0, 191, 0, 1, 0, 255}, {127, 0, 128, 0, 192, 0, 160}}
	for i, prefix := range prefixes {
		stream := glued(prefix, messagesOf(prefix, 0, 1, 2, 0, 40, 3)...)
		for _, plan := range plans {
			f.Add(stream, uint16(0), plan, byte(i), 0)
			f.Add(stream[:len(stream)-1], uint16(0), plan, byte(i), 0)
			f.Add(stream, uint16(0), plan, byte(i), 39)
			for _, size := range frameSizes {
				if expressible(prefix, size) && size < 1<<16 {
					f.Add(glued(prefix, make([]byte, size))[:prefix], uint16(size), plan, byte(i), -1)
				}
			}
		}
	}
	for _, test := range hostileLengths {
		f.Add([]byte(test.prefix), uint16(4), plans[1], byte(slices.Index(prefixes, len(test.prefix))), 0)
		f.Add([]byte(test.prefix), uint16(20_000), plans[1], byte(slices.Index(prefixes, len(test.prefix))), -1)
	}
	for _, test := range foreign {
		f.Add([]byte(test.stream), uint16(0), plans[1], byte(slices.Index(prefixes, test.prefix)), test.maxMessage)
	}
	noise := make([]byte, math.MaxUint16)
	rand.NewChaCha8([32]byte{}).Read(noise)
	f.Fuzz(func(t *testing.T, stream []byte, more uint16, plan []byte, width byte, maxMessage int) {
		prefix := prefixes[int(width)%len(prefixes)]
		stream = append(stream, noise[:more]...)
		want, wantErr := unframed(prefix, documentedLimit(prefix, maxMessage), stream)

		whole := framerOver(bytes.NewReader(stream), prefix)
		whole.MaxMessage = maxMessage
		got, err := readMessages(whole)
		compareMessages(t, "whole", got, want)
		compareErrors(t, "whole", err, wantErr)

		s := new(script)
		rest := stream
		for _, b := range plan {
			size := int(b)
			if size > 127 {
				size = 256 * (size - 127)
			}
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			if b == 0 {
				s.pieces = append(s.pieces, nil)
			} else if len(piece) > 0 {
				s.pieces = append(s.pieces, piece)
			}
		}
		if len(rest) > 0 {
			s.pieces = append(s.pieces, rest)
		}
		inPieces := framerOver(s, prefix)
		inPieces.MaxMessage = maxMessage
		got, _, err = readInTurns(t, inPieces)
		compareMessages(t, "cut", got, want)
		compareErrors(t, "cut", err, wantErr)
		if most := 32<<10 + 2*len(stream); s.room > most {
			t.Fatalf("a Read had room for %d bytes, %d had arrived, want at most %d", s.room, len(stream), most)
		}

		var written bytes.Buffer
		writer := sockets.NewFramer(&written, prefix)
		writer.MaxMessage = maxMessage
		for _, message := range got {
			if err := writer.WriteMessage(message); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(stream, written.Bytes()) {
			t.Fatalf("the messages are written as %x, came as %x", written.Bytes(), stream)
		}
	})
}

// compareErrors wants equal ends, but for the question who speaks there.
func compareErrors(t *testing.T, what string, got, want error) {
	t.Helper()
	if want == io.EOF || want == io.ErrUnexpectedEOF {
		if got != want {
			t.Fatalf("%s: the error is %v, want %v", what, got, want)
		}
		return
	}
	text, _, _ := strings.Cut(got.Error(), " (")
	if !errors.Is(got, sockets.ErrMessageTooBig) || text != want.Error() {
		t.Fatalf("%s: the error is %v, want %v", what, got, want)
	}
}

func TestWriteMessageAfterAPartOfOneKeepsNothing(t *testing.T) {
	full := errors.New("full")
	f := sockets.NewFramer(duplex{nil, &writeRecorder{room: 2, err: full}}, 4)
	f.MaxMessage = 1 << 20
	f.WriteMessage([]byte("part"))
	if err := f.WriteMessage(make([]byte, 1<<20+1)); err != full {
		t.Errorf("the error is %v, want %v", err, full)
	}
	message := make([]byte, 1<<20)
	kept := weak.Make(&message[0])
	if err := f.WriteMessage(message); err != full {
		t.Errorf("the error is %v, want %v", err, full)
	}
	message = nil
	runtime.GC()
	if kept.Value() != nil {
		t.Error("a message is still held by the framer")
	}
	runtime.KeepAlive(f)
}
