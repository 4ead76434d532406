package reliable

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTestReceiver() *receiver {
	r := newReceiver(new(inbox), 256<<10)
	return &r
}

// framed is a message as it is in the stream.
func framed(message string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// texts takes all whole messages.
func texts(in *inbox) (all []string) {
	b := make([]byte, maxMessage)
	for in.whole > 0 {
		all = append(all, string(b[:in.take(b)]))
	}
	return all
}

func TestInboxCutsMessagesAnywhere(t *testing.T) {
	want := []string{"", "one", "", "two", string(make([]byte, 300))}
	var stream []byte
	for _, message := range want {
		stream = append(stream, framed(message)...)
	}
	for size := 1; size <= len(stream); size++ {
		var in inbox
		for piece := range slices.Chunk(stream, size) {
			in.add(piece)
		}
		messages := in.messages
		if got := texts(&in); messages != len(want) || !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d bytes, %d messages: %q", size, messages, got)
		}
	}
}

func TestInboxForgetsHalfAMessage(t *testing.T) {
	var in inbox
	in.add(framed("whole"))
	in.add(framed("half a message")[:6])
	in.cutOff()
	in.add(framed("of the next life"))
	if got, want := texts(&in), []string{"whole", "of the next life"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSegmentsInAnyOrderGiveTheStream(t *testing.T) {
	const n = 50
	for seed := range uint64(100) {
		dice := rand.New(rand.NewPCG(seed, 0))
		r := newTestReceiver()
		var want []string
		order := append(dice.Perm(n), dice.Perm(n)...) // each comes twice
		for i, number := range order {
			r.accept(time.Unix(1e9, 0), uint64(number), uint64(i+1), framed(string(rune('A'+number))))
			checkRanges(t, r)
		}
		for number := range n {
			want = append(want, string(rune('A'+number)))
		}
		messages := r.inbox.messages
		if got := texts(r.inbox); messages != n || !slices.Equal(got, want) || len(r.ahead) != 0 {
			t.Fatalf("seed %d: %d messages, %q, want %q", seed, messages, got, want)
		}
	}
}

// checkRanges checks that the ranges are what ahead has.
func checkRanges(t *testing.T, r *receiver) {
	t.Helper()
	n, last := 0, r.next
	for _, s := range r.ranges {
		if s.first <= last || s.end <= s.first {
			t.Fatalf("ranges %v after %d", r.ranges, r.next)
		}
		last = s.end
		for number := s.first; number < s.end; number++ {
			if r.ahead[number] != nil {
				n++
			}
		}
	}
	if n != len(r.ahead) {
		t.Fatalf("ranges %v, but %d segments are ahead", r.ranges, len(r.ahead))
	}
}

func TestWhenAcknowledgementsAreDue(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newTestReceiver()
	accept := func(number, transmission uint64) { r.accept(now, number, transmission, []byte{0, 0}) }
	want := func(what string, after time.Duration) {
		t.Helper()
		if r.ackAt.IsZero() || r.ackAt.Sub(now) != after {
			t.Errorf("%s: due at %v, want after %v", what, r.ackAt, after)
		}
	}
	accept(0, 1)
	want("the first", ackDelay)
	now = now.Add(ms)
	accept(1, 2)
	want("the second", 0)
	r.acknowledge()
	accept(3, 4)
	want("a gap", 0)
	r.acknowledge()
	accept(2, 5)
	want("a gap that is filled", 0)
	r.acknowledge()
	accept(2, 6)
	want("a duplicate", 0)
	r.acknowledge()
	accept(4, 9)
	want("a transmission is missing", 0)
	r.acknowledge()
	accept(4+uint64(r.window())+1, 10)
	want("no room", 0)
	if r.largest != 9 {
		t.Errorf("largest %d, want 9: what has no room has not arrived", r.largest)
	}
	if r.acknowledge(); !r.ackAt.IsZero() {
		t.Error("due again")
	}
}

func TestAcknowledgement(t *testing.T) {
	r := newTestReceiver()
	for i, number := range []uint64{0, 1, 3, 4, 7} {
		r.accept(time.Unix(1e9, 0), number, uint64(i+1), []byte{0})
	}
	got := r.acknowledge()
	want := acknowledgement{2, 5, (256<<10 - 2) / maxSegment, []span{{3, 5}, {7, 8}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(acknowledgement{}, span{})); diff != "" {
		t.Error(diff)
	}
}

// However segments come, the window never takes back what it promised, and the
// memory is bounded.
func TestWindowKeepsItsPromise(t *testing.T) {
	for seed := range uint64(50) {
		dice := rand.New(rand.NewPCG(seed, 1))
		r := newReceiver(new(inbox), minWindowBytes)
		promised := uint64(0)
		for i := range uint64(2000) {
			r.accept(time.Unix(1e9, 0), r.next+dice.Uint64N(100), i, make([]byte, 1+dice.IntN(maxSegment)))
			edge := r.next + uint64(r.window())
			if edge < promised {
				t.Fatalf("seed %d: room up to %d, promised up to %d", seed, edge, promised)
			}
			promised = edge
			held := r.inbox.stream.Len()
			for _, payload := range r.ahead {
				held += len(payload)
			}
			if held > minWindowBytes {
				t.Fatalf("seed %d: %d bytes held", seed, held)
			}
		}
	}
}

// Not all the ranges of a large window fit in a datagram.
func TestAcknowledgementFitsInADatagram(t *testing.T) {
	r := newReceiver(new(inbox), 4<<20)
	for number := uint64(1); number < 3000; number += 2 {
		r.accept(time.Unix(1e9, 0), number, number, []byte{0})
	}
	b := appendAck(appendHeader(nil, tags{}), r.acknowledge())
	if len(r.ranges) != 1500 || len(b) > maxDatagram || len(b) <= maxDatagram-rangeSize {
		t.Errorf("%d ranges, of which an ACK has %d bytes", len(r.ranges), len(b))
	}
}

func TestReaderOpensTheWindow(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newTestReceiver()
	segment := framed(string(make([]byte, maxSegment-2)))
	n := uint64(r.window())
	for i := range n {
		r.accept(now, i, i+1, segment)
	}
	if a := r.acknowledge(); a.window != 0 {
		t.Fatalf("window %d, want 0", a.window)
	}
	b := make([]byte, maxMessage)
	room := 0
	for range 3 {
		reads := 0
		for ; r.ackAt.IsZero(); reads++ {
			r.inbox.take(b)
			r.read(now)
		}
		if want := int(n) / 4; reads < want-1 || reads > want+1 {
			t.Errorf("told after %d reads, want about %d", reads, want)
		}
		room += reads
		if a := r.acknowledge(); a.window != room {
			t.Errorf("window %d, want %d", a.window, room)
		}
	}
}
