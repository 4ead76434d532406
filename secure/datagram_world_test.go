package secure

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

var underRace bool // the race detector watches, and takes ten times as long

// A world is gates at addresses, a clock that only the test moves, and a network
// that delivers at once and records everything.
type world struct {
	t       testing.TB
	now     time.Time
	known   *KnownPeers
	ends    map[netip.AddrPort]*end
	flights []flight // all that was ever sent
	lose    func(f flight) bool
}

type flight struct {
	from, to netip.AddrPort
	b        []byte
}

func (f flight) kind() kind { h, _ := parseHeader(f.b); return h.kind }

// An end is a socket, as far as a gate is one.
type end struct {
	*gate
	network *Network
	address netip.AddrPort
	got     []string
	out, in int // bytes sent by the gate itself, and received
}

var (
	aliceAt   = netip.MustParseAddrPort("192.0.2.1:8080")
	bobAt     = netip.MustParseAddrPort("192.0.2.2:8080")
	carolAt   = netip.MustParseAddrPort("192.0.2.3:8080")
	malloryAt = netip.MustParseAddrPort("198.51.100.66:666")
)

// identityOf returns the same identity for the same name. It does not make it
// twice, as that takes long under a fuzzer.
func identityOf(name string) *Identity {
	id, ok := identities.Load(name)
	if !ok {
		seed := bytes.Repeat([]byte(name[:1]), ed25519.SeedSize)
		id, _ = identities.LoadOrStore(name, newIdentity(name, ed25519.NewKeyFromSeed(seed)))
	}
	return id.(*Identity)
}

var identities sync.Map

// newWorld returns a world in which alice, bob and carol know each other, and
// have sockets.
func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Unix(1e9, 0), known: newKnownPeers(""), ends: make(map[netip.AddrPort]*end)}
	for _, name := range []string{"alice", "bob", "carol"} {
		w.known.put(identityOf(name).self())
	}
	w.start("alice", aliceAt, Config{})
	w.start("bob", bobAt, Config{})
	w.start("carol", carolAt, Config{})
	return w
}

// start gives an address a new socket.
func (w *world) start(name string, address netip.AddrPort, cfg Config) *end {
	cfg.Identity, cfg.Known = identityOf(name), w.known
	return w.bind(&Network{cfg: cfg.withDefaults()}, address)
}

func (w *world) bind(n *Network, address netip.AddrPort) *end {
	c := newPacketConn(nowhere{}, n)
	c.gate = newGate(w.now, n, c.signer)
	w.ends[address] = &end{gate: c.gate, network: n, address: address}
	return w.ends[address]
}

// send makes one end send text, and runs the network until nothing moves.
func (w *world) send(from, to netip.AddrPort, text string) {
	w.t.Helper()
	w.fly(flight{from, to, w.sign(from, to, text)})
}

// sign returns the datagram that an end would send.
func (w *world) sign(from, to netip.AddrPort, text string) []byte {
	w.t.Helper()
	b, _, err := w.ends[from].signer.datagram(w.now, []byte(text), to)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// fly delivers a datagram, and what comes of it.
func (w *world) fly(f flight) {
	w.t.Helper()
	moving := []flight{f}
	for steps := 0; len(moving) > 0; steps++ {
		if steps > 10 {
			w.t.Fatal("two ends answer each other for ever")
		}
		f, moving = moving[0], moving[1:]
		w.flights = append(w.flights, f)
		e := w.ends[f.to]
		if e == nil || w.lose != nil && w.lose(f) {
			continue
		}
		e.in += len(f.b)
		_, reply, _ := e.receive(w.now, f.from, slices.Clone(f.b))
		e.drain()
		if reply != nil {
			e.out += len(reply)
			moving = append(moving, flight{f.to, f.from, reply})
		}
	}
}

func (e *end) drain() {
	for _, p := range e.ready {
		e.got = append(e.got, string(p.payload))
	}
	e.ready = e.ready[:0]
}

// wantGot checks what an end has got since the last call.
func (w *world) wantGot(address netip.AddrPort, want ...string) {
	w.t.Helper()
	e := w.ends[address]
	if !slices.Equal(e.got, want) {
		w.t.Errorf("%v got %q, want %q", address, e.got, want)
	}
	e.got = nil
}

// change tells which counters of an end change meanwhile.
func (e *end) change(do func()) string {
	before := e.network.stats.load()
	do()
	after := e.network.stats.load()
	var changes []string
	for i, name := range []string{"signed", "delivered", "held", "challenged", "answered", "confirmed",
		"malformed", "otherGroup", "ownKey", "notExpected", "unknownKey", "onlyLearnt", "addressTaken", "replayed", "stale", "tooMany", "badSignature", "badSeal"} {
		if n := after[i] - before[i]; n != 0 {
			changes = append(changes, fmt.Sprintf("%s %d", name, n))
		}
	}
	return fmt.Sprint(changes)
}

func (c *counters) load() (all [outcomes]uint64) {
	for i := range c {
		all[i] = c[i].Load()
	}
	return all
}

// befriend makes both ends confirm each other.
func (w *world) befriend(a, b netip.AddrPort) {
	w.t.Helper()
	w.send(a, b, "hi")
	w.send(b, a, "hi")
	w.wantGot(a, "hi")
	w.wantGot(b, "hi")
}

// nowhere is the socket of an end, which does nothing.
type nowhere struct{ net.PacketConn }

func (nowhere) Close() error { return nil }
