package reliable

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A world is engines, what is on its way between them, and a clock that only
// run moves. Every datagram takes half a round trip, in order.
type world struct {
	t       *testing.T
	now     time.Time
	engines map[netip.AddrPort]*engine
	wire    []flying
	fate    func(flying) (copies int) // nil: everything arrives once
	seen    []flying                  // what was sent
}

type flying struct {
	from, to netip.AddrPort
	payload  []byte
	at       time.Time
}

const halfTrip = 10 * time.Millisecond

var (
	alice = netip.MustParseAddrPort("192.0.2.1:8080")
	bob   = netip.MustParseAddrPort("192.0.2.2:8080")
	carol = netip.MustParseAddrPort("192.0.2.3:8080")
)

// newWorld returns a world of alice, bob and carol.
func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Unix(1e9, 0), engines: make(map[netip.AddrPort]*engine)}
	for _, address := range []netip.AddrPort{alice, bob, carol} {
		w.start(address)
	}
	return w
}

// start gives an address a new life.
func (w *world) start(address netip.AddrPort) *engine {
	cfg := new(Config).withDefaults()
	w.engines[address] = newEngine(w.now, cfg, new(counters))
	return w.engines[address]
}

// inject puts a datagram on its way.
func (w *world) inject(from, to netip.AddrPort, payload []byte) {
	w.wire = append(w.wire, flying{from, to, slices.Clone(payload), w.now.Add(halfTrip)})
}

// collect puts on its way what the engines have to send now.
func (w *world) collect() {
	for _, from := range []netip.AddrPort{alice, bob, carol} {
		e := w.engines[from]
		e.collect(w.now)
		batch := e.out
		e.out = nil
		for _, d := range batch {
			if len(d.payload) > maxDatagram {
				w.t.Fatalf("a datagram of %d bytes", len(d.payload))
			}
			f := flying{from, d.to, slices.Clone(d.payload), w.now.Add(halfTrip)}
			w.seen = append(w.seen, f)
			copies := 1
			if w.fate != nil {
				copies = w.fate(f)
			}
			for range copies {
				w.wire = append(w.wire, f)
			}
		}
		e.written(batch)
	}
}

// run lets so much time pass.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 1_000_000 {
			w.t.Fatal("time stands still")
		}
		w.collect()
		next := end
		for _, e := range w.engines {
			if !e.wake.IsZero() && e.wake.Before(next) {
				next = e.wake
			}
		}
		if len(w.wire) > 0 && w.wire[0].at.Before(next) {
			next = w.wire[0].at
		}
		if next.After(w.now) {
			w.now = next
		}
		if !w.now.Before(end) {
			return
		}
		for len(w.wire) > 0 && !w.wire[0].at.After(w.now) {
			f := w.wire[0]
			w.wire = w.wire[1:]
			if e := w.engines[f.to]; e != nil {
				e.receive(w.now, f.from, f.payload)
			}
		}
	}
}

// send sends messages, for which there must be room.
func (w *world) send(from, to netip.AddrPort, messages ...string) {
	w.t.Helper()
	for _, message := range messages {
		if room, err := w.engines[from].send(w.now, to, []byte(message)); room != nil || err != nil {
			w.t.Fatalf("send(%.20q) = %v, %v", message, room, err)
		}
	}
}

// read returns what address can read now: messages and errors, as text.
func (w *world) read(address netip.AddrPort) (all []string) {
	e := w.engines[address]
	b := make([]byte, maxMessage)
	for len(e.ready) > 0 {
		n, _, err := e.read(w.now, b)
		if err != nil {
			all = append(all, "error: "+err.Error())
		} else {
			all = append(all, string(b[:n]))
		}
	}
	return all
}

// wantRead checks what address can read now.
func (w *world) wantRead(address netip.AddrPort, want ...string) {
	w.t.Helper()
	if got := w.read(address); !slices.Equal(got, want) {
		w.t.Errorf("%v reads %.200q, want %.200q", address, got, want)
	}
}

// befriend makes two ends open an association, and returns both halves.
func (w *world) befriend(from, to netip.AddrPort) (a, b *association) {
	w.t.Helper()
	w.send(from, to, "hi")
	w.run(time.Second)
	w.wantRead(to, "hi")
	w.seen = nil
	return w.life(from, to), w.life(to, from)
}

// life returns the association that one end has with another.
func (w *world) life(of, with netip.AddrPort) *association {
	w.t.Helper()
	p := w.engines[of].peers[with]
	if p == nil || p.life == nil {
		w.t.Fatalf("%v has no association with %v", of, with)
	}
	return p.life
}

// String tells the kinds of the chunks, and the segments that they carry.
func (f flying) String() string {
	_, chunks, _, fault := parse(f.payload)
	if fault != none {
		return "?"
	}
	var parts []string
	for len(chunks) > 0 {
		k, body, rest := cut(chunks)
		part := []string{"", "HELLO", "COOKIE", "ECHO", "WELCOME", "DATA", "ACK", "BYE", "GONE"}[k]
		switch k {
		case data:
			number, _, _ := parseData(body)
			part += fmt.Sprint(" ", number)
		case ack:
			a, _ := parseAck(body, nil)
			part += fmt.Sprint(" ", a.next)
			for _, r := range a.ranges {
				part += fmt.Sprintf(" %d-%d", r.first, r.end-1)
			}
		}
		parts = append(parts, part)
		chunks = rest
	}
	return strings.Join(parts, " + ")
}

// wantSeen checks what was sent since the last call.
func (w *world) wantSeen(want ...string) {
	w.t.Helper()
	var seen []string
	for _, f := range w.seen {
		seen = append(seen, f.String())
	}
	if !slices.Equal(seen, want) {
		w.t.Errorf("sent:\n%s\nwant:\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	w.seen = nil
}
