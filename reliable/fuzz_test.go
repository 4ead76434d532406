package reliable

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// FuzzReceive gives bob what the fuzzer makes up, while alice and bob talk. Each
// piece begins with two bytes: who seems to send it, and its length. A piece of
// carol's, with whom bob has an association, gets a header with the right tags;
// others, which may bear alice's address, do not.
func FuzzReceive(f *testing.F) {
	names, datagrams := examples()
	var all []byte
	for i, name := range names {
		f.Add(piece(fromStranger, datagrams[i]))
		f.Add(piece(fromAlice, datagrams[i]))
		f.Add(piece(fromCarol, datagrams[i][headerSize:]))
		if name != "BYE" && name != "GONE" {
			all = append(all, piece(fromCarol, datagrams[i][headerSize:])...)
			all = append(all, piece(fromAlice, datagrams[i])...)
		}
	}
	f.Add(all)
	var disorder []byte
	for _, number := range []uint64{3, 1, 1 << 63, 5, 0, 2, 150, 0, 9} {
		disorder = append(disorder, piece(fromCarol, appendData(nil, number, number*number, framed("disorder")))...)
		disorder = append(disorder, piece(fromCarol, appendAck(nil, acknowledgement{number, number, 5, []span{{number + 2, number + 4}}}))...)
	}
	f.Add(disorder)

	f.Fuzz(func(t *testing.T, input []byte) {
		w := newWorld(t)
		w.befriend(alice, bob)
		w.befriend(carol, bob)
		_, evil := w.life(carol, bob), w.life(bob, carol)
		head := appendHeader(nil, tags{to: evil.local, from: evil.remote})
		var want []string
		for n := 0; len(input) >= 2; n++ {
			want = append(want, fmt.Sprint("message ", n))
			w.send(alice, bob, want[n])
			w.send(bob, alice, want[n])
			if n < 100 {
				w.engines[bob].send(w.now, carol, make([]byte, 3000))
			}
			who, size := input[0], min(int(input[1]), len(input)-2)
			made := input[2 : 2+size]
			input = input[2+size:]
			switch who % 3 {
			case fromStranger:
				w.inject(stranger, bob, made)
			case fromAlice:
				w.inject(alice, bob, made)
			case fromCarol:
				w.inject(carol, bob, append(slices.Clone(head), made...))
			}
			w.run(ms)
			checkBounds(t, w.engines[bob])
		}
		w.run(10 * time.Second)
		checkBounds(t, w.engines[bob])
		b := make([]byte, maxMessage)
		var got []string
		for e := w.engines[bob]; len(e.ready) > 0; {
			if n, from, err := e.read(w.now, b); from == alice {
				got = append(got, string(b[:n]))
				if err != nil {
					t.Error(err)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("bob has %q of alice, want %q", got, want)
		}
		w.wantRead(alice, want...)
	})
}

var stranger = netip.MustParseAddrPort("192.0.2.4:8080")

const (
	fromStranger = iota
	fromAlice
	fromCarol
)

func piece(who byte, payload []byte) []byte {
	return append([]byte{who, byte(len(payload))}, payload...)
}

// checkPlaces checks that an engine counts its peers rightly.
func checkPlaces(t *testing.T, e *engine) {
	t.Helper()
	incoming := 0
	for _, p := range e.peers {
		if p.incoming {
			incoming++
		}
	}
	if incoming != e.incoming {
		t.Fatalf("of %d peers, %d sent first, counted %d", len(e.peers), incoming, e.incoming)
	}
}

// checkBounds checks that an engine holds no more than it may.
func checkBounds(t *testing.T, e *engine) {
	t.Helper()
	if len(e.peers) > 2 {
		t.Fatalf("%d peers", len(e.peers))
	}
	checkPlaces(t, e)
	for _, p := range e.peers {
		if n := p.inbox.stream.Len(); n > e.window {
			t.Fatalf("%d bytes to be read", n)
		}
		if p.life == nil {
			continue
		}
		r, s := &p.life.receiver, &p.life.sender
		if r.inbox.stream.Len()+maxSegment*len(r.ahead) > e.window+maxSegment {
			t.Fatalf("%d bytes to be read and %d segments ahead", r.inbox.stream.Len(), len(r.ahead))
		}
		checkRanges(t, r)
		held := s.queue.Len()
		flight := 0
		for i := range s.segments {
			held += len(s.segments[i].payload)
			if s.inFlight(s.first + uint64(i)) {
				flight++
			}
		}
		if held != s.held || held > e.window+maxMessage || flight != s.flight {
			t.Fatalf("%d bytes held, counted %d; %d on their way, counted %d", held, s.held, flight, s.flight)
		}
		if len(s.sent) > 2*s.limit+1 || len(s.lost) > 2*s.limit {
			t.Fatalf("%d transmissions, %d lost, in a window of %d", len(s.sent), len(s.lost), s.limit)
		}
	}
}
