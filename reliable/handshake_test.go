package reliable

import (
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

func TestHandshakeHasFourSteps(t *testing.T) {
	w := newWorld(t)
	w.send(alice, bob, "a", "b")
	w.run(halfTrip)
	if n := len(w.engines[bob].peers); n != 0 {
		t.Errorf("after a HELLO, bob knows %d peers, want none", n)
	}
	w.run(time.Second)
	w.wantSeen("HELLO", "COOKIE", "ECHO", "WELCOME", "DATA 0", "ACK 1")
	w.wantRead(bob, "a", "b")
	a, b := w.life(alice, bob), w.life(bob, alice)
	if a.local != b.remote || a.remote != b.local || a.local == a.remote || a.state != open || b.state != open {
		t.Errorf("alice has %x, %x, bob %x, %x", a.local, a.remote, b.local, b.remote)
	}
}

// Where a HELLO was repeated, the answer may be to either.
func TestHandshakeTellsTheRoundTripUnlessRepeated(t *testing.T) {
	for lost, want := range []time.Duration{2 * halfTrip, 0} {
		w := newWorld(t)
		w.fate = func(f flying) int {
			if f.String() == "HELLO" && lost > 0 {
				lost--
				return 0
			}
			return 1
		}
		w.send(alice, bob, "a")
		w.run(time.Duration(lost)*firstRetry + 2*halfTrip + ms)
		if got := w.life(alice, bob).sender.rtt.smoothed; got != want {
			t.Errorf("round trip %v, want %v", got, want)
		}
	}
}

func TestHandshakeSurvivesTheLossOfEachStep(t *testing.T) {
	for _, step := range []string{"HELLO", "COOKIE", "ECHO", "WELCOME"} {
		w := newWorld(t)
		lost := 0
		w.fate = func(f flying) int {
			if f.String() == step && lost < 2 {
				lost++
				return 0
			}
			return 1
		}
		w.send(alice, bob, "a")
		w.run(2 * time.Second)
		w.wantRead(bob, "a")
		if stale := w.engines[bob].stats.stale.Load(); lost != 2 || stale != 0 || len(w.engines[bob].peers) != 1 {
			t.Errorf("%s: lost %d, %d stale, bob knows %d peers", step, lost, stale, len(w.engines[bob].peers))
		}
	}
}

// Bob has data for alice before she is welcomed: that is the welcome.
func TestDataIsAWelcome(t *testing.T) {
	w := newWorld(t)
	w.fate = func(f flying) int {
		if f.String() == "WELCOME" {
			return 0
		}
		return 1
	}
	w.send(alice, bob, "a")
	w.run(3*halfTrip + time.Millisecond)
	w.send(bob, alice, "b")
	w.run(100 * time.Millisecond)
	w.wantRead(alice, "b")
	w.wantRead(bob, "a")
	w.wantSeen("HELLO", "COOKIE", "ECHO", "WELCOME", "DATA 0", "DATA 0 + ACK 1", "ACK 1")
}

func TestSimultaneousOpensGiveOneAssociation(t *testing.T) {
	for _, lost := range []string{"", "COOKIE", "ECHO", "WELCOME"} {
		for _, from := range []string{"alice", "bob", "both"} {
			w := newWorld(t)
			w.fate = func(f flying) int {
				early := w.now.Sub(time.Unix(1e9, 0)) < firstRetry
				if early && f.String() == lost && (from == "both" || (f.from == alice) == (from == "alice")) {
					return 0
				}
				return 1
			}
			w.send(alice, bob, "a")
			w.send(bob, alice, "b")
			w.run(2 * time.Second)
			w.wantRead(alice, "b")
			w.wantRead(bob, "a")
			a, b := w.life(alice, bob), w.life(bob, alice)
			if a.local != b.remote || a.remote != b.local {
				t.Errorf("lost %q from %s: alice has %x, %x, bob %x, %x", lost, from, a.local, a.remote, b.local, b.remote)
			}
			if n := w.engines[alice].stats.stray.Load(); n > 2 {
				t.Errorf("lost %q from %s: %d stray datagrams", lost, from, n)
			}
		}
	}
}

// An ECHO that the network repeats, however late, changes nothing.
func TestReplayedEcho(t *testing.T) {
	record := func(t *testing.T) (w *world, echoes func()) {
		w = newWorld(t)
		var all []flying
		w.fate = func(f flying) int {
			if f.String() == "ECHO" {
				all = append(all, f)
			}
			return 1
		}
		w.befriend(alice, bob)
		return w, func() {
			for _, f := range slices.Clone(all) {
				w.inject(f.from, f.to, f.payload)
			}
			w.run(time.Second)
		}
	}
	t.Run("alive", func(t *testing.T) {
		w, echoes := record(t)
		before := w.life(bob, alice)
		w.send(bob, alice, "not acknowledged yet")
		echoes()
		if w.life(bob, alice) != before {
			t.Error("bob has another association")
		}
		w.wantRead(alice, "not acknowledged yet")
	})
	t.Run("restarted", func(t *testing.T) {
		w, echoes := record(t)
		w.start(alice)
		w.befriend(alice, bob)
		before := w.life(bob, alice)
		w.send(bob, alice, "to the second life")
		echoes()
		if w.life(bob, alice) != before {
			t.Error("bob has another association")
		}
		w.wantRead(bob)
		w.wantRead(alice, "to the second life")
	})
	t.Run("ended", func(t *testing.T) {
		w, echoes := record(t)
		w.engines[alice].leave(w.now)
		w.run(time.Second)
		echoes()
		if n := len(w.engines[bob].peers); n != 0 {
			t.Errorf("bob knows %d peers, want none", n)
		}
		if n := w.engines[bob].stats.stale.Load(); n != 1 {
			t.Errorf("%d stale cookies, want 1", n)
		}
	})
}

// An ECHO of the first life arrives when bob talks to the second already.
func TestDelayedEcho(t *testing.T) {
	w := newWorld(t)
	var delayed []flying
	w.fate = func(f flying) int {
		if f.String() == "ECHO" {
			delayed = append(delayed, f)
			return 0
		}
		return 1
	}
	w.send(alice, bob, "first life")
	w.run(3 * halfTrip)
	w.fate = nil
	w.start(alice)
	w.befriend(alice, bob)
	before := w.life(bob, alice)
	w.inject(alice, bob, delayed[0].payload)
	w.run(time.Second)
	if w.life(bob, alice) != before {
		t.Error("bob has another association")
	}
}

func TestOnlyTheRightAnswersCount(t *testing.T) {
	w := newWorld(t)
	w.fate = func(flying) int { return 0 }
	w.send(alice, bob, "hello")
	w.collect()
	a := w.life(alice, bob)
	answer := func(state state, t tags, k kind, body ...byte) {
		w.t.Helper()
		a.state = state
		w.inject(bob, alice, appendChunk(appendHeader(nil, t), k, body))
		w.run(halfTrip + ms)
		if a.state != state {
			w.t.Errorf("in state %d, kind %d with tags %v brings state %d", state, k, t, a.state)
		}
	}
	answer(greeting, tags{to: a.local + 1}, cookie, make([]byte, cookieSize)...)
	answer(greeting, tags{to: a.local, from: 1}, welcome)
	answer(echoing, tags{to: a.local + 1, from: 1}, welcome)
	answer(echoing, tags{to: a.local, from: 0}, welcome)
	answer(echoing, tags{to: a.local, from: 1}, gone)
	answer(echoing, tags{to: a.local, from: 1}, bye)
}

// The handshake took nearly as long as the silence that is the end.
func TestSilenceBeginsAnewWithTheHandshake(t *testing.T) {
	w := newWorld(t)
	w.fate = func(f flying) int {
		if f.from == alice || f.String() != "ECHO" && f.String() != "HELLO" {
			return 0
		}
		return 1
	}
	w.send(alice, bob, "to bob")
	w.run(29 * time.Second)
	w.fate = func(f flying) int {
		if strings.HasPrefix(f.String(), "DATA") || strings.HasPrefix(f.String(), "ACK") || f.from == alice && f.String() == "HELLO" {
			return 0
		}
		return 1
	}
	w.send(bob, alice, "to alice")
	w.run(10 * time.Second)
	w.fate = nil
	w.run(5 * time.Second)
	w.wantRead(alice, "to alice")
	w.wantRead(bob, "to bob")
}

func TestWhoLeavesTakesNoNewcomers(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.fate = func(f flying) int {
		if f.from == bob {
			return 0
		}
		return 1
	}
	w.engines[alice].leave(w.now)
	w.send(carol, alice, "hello")
	w.run(halfTrip * 5)
	if n := len(w.engines[alice].peers); n != 1 {
		t.Errorf("alice knows %d peers, want 1", n)
	}
}

// Datagrams of an association that has ended come again in its successor.
func TestReplayedDataIsNotTakenForNew(t *testing.T) {
	w := newWorld(t)
	var all []flying
	w.fate = func(f flying) int {
		all = append(all, f)
		return 1
	}
	w.befriend(alice, bob)
	w.engines[alice].leave(w.now)
	w.run(time.Second)
	w.start(alice)
	old := slices.Clone(all)
	w.befriend(alice, bob)
	for _, f := range old {
		w.inject(f.from, f.to, f.payload)
	}
	w.run(time.Second)
	w.wantRead(bob)
	w.send(alice, bob, "new")
	w.send(bob, alice, "answer")
	w.run(time.Second)
	w.wantRead(bob, "new")
	w.wantRead(alice, "answer")
}

func TestRestartedPeerTakesThePlaceOfTheOld(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.start(alice)
	w.send(bob, alice, "to the first life")
	w.send(alice, bob, "from the second")
	w.run(time.Second)
	read := w.read(bob)
	if len(read) != 2 || !strings.Contains(read[0], "192.0.2.1:8080: it has restarted") || read[1] != "from the second" {
		t.Errorf("bob reads %q, want that alice has restarted, then her message", read)
	}
	w.wantRead(alice)
	_, err := w.engines[bob].send(w.now, alice, []byte("once"))
	if !errors.Is(err, sockets.ErrPeerUnreachable) {
		t.Errorf("the next send: %v, want %v", err, sockets.ErrPeerUnreachable)
	}
	w.send(bob, alice, "to the second life")
	w.run(time.Second)
	w.wantRead(alice, "to the second life")
}

func TestRestartWithNothingOnItsWayIsNoError(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.start(alice)
	w.befriend(alice, bob)
	w.wantRead(bob)
	w.send(bob, alice, "fine")
	w.run(time.Second)
	w.wantRead(alice, "fine")
}

func TestDataForNobodyIsAnsweredAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.start(alice)
	w.send(bob, alice, "lost")
	w.run(time.Second)
	w.wantSeen("DATA 0", "GONE")
	if got := w.read(bob); len(got) != 1 || !strings.Contains(got[0], "it has restarted, or closed its socket") {
		t.Errorf("bob reads %q, want one error", got)
	}
	forged := appendChunk(appendHeader(nil, tags{1, 2}), gone)
	w.inject(bob, alice, forged)
	w.inject(alice, bob, forged)
	w.inject(alice, bob, appendAck(appendHeader(nil, tags{1, 2}), acknowledgement{}))
	w.run(time.Second)
	w.wantSeen()
}

// A forged GONE or BYE, whose tags are a guess, ends nothing.
func TestForgedEnd(t *testing.T) {
	w := newWorld(t)
	a, b := w.befriend(alice, bob)
	for _, forged := range []tags{{}, {b.local, 0}, {0, b.remote}, {b.local, b.remote + 1}, {b.local + 1, b.remote}, {b.remote, b.local}} {
		for _, k := range []kind{gone, bye, welcome} {
			w.inject(alice, bob, appendChunk(appendHeader(nil, forged), k))
		}
	}
	w.run(time.Second)
	if w.life(bob, alice) != b || w.life(alice, bob) != a {
		t.Error("an association was replaced")
	}
	w.send(alice, bob, "still here")
	w.run(time.Second)
	w.wantRead(bob, "still here")
}

// An ECHO takes longer than a cookie lasts: bob answers with a new cookie.
func TestStaleCookieIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.fate = func(f flying) int {
		if f.String() == "ECHO" && w.now.Sub(time.Unix(1e9, 0)) < 2*cookieAge {
			return 0
		}
		return 1
	}
	w.send(alice, bob, "late")
	w.run(2*cookieAge + 2*time.Second)
	w.wantRead(bob, "late")
	if n := w.engines[bob].stats.stale.Load(); n == 0 {
		t.Error("no cookie was stale")
	}
}

// The fresh cookie, which answers the stale one, does not wait for its turn.
func TestFreshCookieIsUsedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fate = func(f flying) int {
		if f.String() == "ECHO" {
			w.engines[bob].jar = newJar(w.now) // bob has restarted meanwhile
			w.fate = nil
		}
		return 1
	}
	w.send(alice, bob, "in time")
	w.run(7*halfTrip + ms)
	w.wantSeen("HELLO", "COOKIE", "ECHO", "COOKIE", "ECHO", "WELCOME", "DATA 0")
	w.wantRead(bob, "in time")
}

func TestRepeatedCookieIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	w.send(alice, bob, "once")
	w.run(halfTrip + ms) // the COOKIE is on its way
	w.inject(bob, alice, w.wire[0].payload)
	w.run(4 * halfTrip)
	w.wantSeen("HELLO", "COOKIE", "ECHO", "WELCOME", "DATA 0")
}

func TestEndsOfOthersDoNotMakeACookieOld(t *testing.T) {
	w := newWorld(t)
	w.send(alice, bob, "from afar")
	w.run(3*halfTrip - ms) // her ECHO is on its way
	c := w.engines[bob].jar.bake(w.now, carol, 17)
	w.engines[bob].receive(w.now, carol, appendChunk(appendHeader(nil, tags{from: 17}), echo, c))
	w.engines[bob].end(w.now, w.engines[bob].peers[carol], "it was short")
	w.run(time.Second)
	w.wantRead(bob, "from afar")
	if n := w.engines[bob].stats.stale.Load(); n != 0 {
		t.Errorf("%d stale cookies, want none", n)
	}
}

func TestGravesAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	g := graves{last: make(map[netip.AddrPort]time.Time)}
	for i := range 3 * maxGraves {
		address := netip.AddrPortFrom(alice.Addr(), uint16(i))
		g.bury(now, address, now)
		if g.allow(address, now) || len(g.last) > maxGraves {
			t.Fatalf("after %d ends, %d are remembered; the last is not", i+1, len(g.last))
		}
	}
	if !g.floor.Equal(now) || g.allow(alice, now) || !g.allow(alice, now.Add(1)) {
		t.Errorf("the floor is %v, want %v", g.floor, now)
	}
	now = now.Add(cookieAge + 1)
	before := g.floor
	for i := range maxGraves {
		g.bury(now, netip.AddrPortFrom(bob.Addr(), uint16(i)), now)
	}
	if g.floor != before || len(g.last) != maxGraves {
		t.Errorf("the floor has risen to %v, though the old ones could be forgotten", g.floor)
	}
	g.bury(now, carol, now.Add(-cookieAge-1))
	if len(g.last) != maxGraves {
		t.Error("an old association is remembered")
	}
}

func TestNoAnswerIsLongerThanItsQuestion(t *testing.T) {
	w := newWorld(t)
	e := w.engines[bob]
	for _, k := range []kind{hello, echo, bye, data} {
		b := appendHeader(nil, tags{0, 7})
		switch k {
		case bye:
			b = appendBye(appendHeader(nil, tags{5, 7}), 0)
		case data:
			b = appendData(appendHeader(nil, tags{5, 7}), 0, 1, []byte{0})
		default:
			b = appendChunk(b, k, make([]byte, cookieSize))
		}
		e.receive(w.now, alice, b)
		e.collect(w.now)
		if len(e.out) != 1 || len(e.out[0].payload) > len(b) {
			t.Errorf("kind %d: %d answers, want one of up to %d bytes", k, len(e.out), len(b))
		}
		e.out = nil
	}
	if len(e.peers) != 0 {
		t.Errorf("bob knows %d peers, want none", len(e.peers))
	}
}

func TestPeerThatNeverAnswersIsReported(t *testing.T) {
	w := newWorld(t)
	w.fate = func(flying) int { return 0 }
	w.send(alice, bob, "hello?")
	w.run(30*time.Second - time.Millisecond)
	w.wantRead(alice)
	w.run(2 * time.Millisecond)
	w.wantRead(alice, "error: sockets: peer unreachable: 192.0.2.2:8080: no handshake in 30s")
	w.run(time.Hour)
	if n := len(w.seen); n != 61 {
		t.Errorf("%d HELLOs, want 61", n)
	}
}

func TestSelf(t *testing.T) {
	w := newWorld(t)
	w.send(alice, alice, "to", "myself")
	w.run(time.Second)
	w.wantRead(alice, "to", "myself")
	w.engines[alice].leave(w.now)
	w.run(time.Second)
	if !w.engines[alice].gone() {
		t.Error("alice has not said goodbye to herself")
	}
}

func TestMaxPeers(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 1
	w.befriend(bob, alice)
	w.send(carol, alice, "let me in")
	w.run(time.Minute)
	if got := w.read(carol); len(got) != 1 || !strings.HasPrefix(got[0], "error: ") || e.stats.refused.Load() == 0 {
		t.Errorf("carol reads %q, %d refused; want one error", got, e.stats.refused.Load())
	}
	w.run(idleAfter)
	if _, err := w.engines[carol].send(w.now, alice, nil); !errors.Is(err, sockets.ErrPeerUnreachable) {
		t.Errorf("carol sends: %v, want %v", err, sockets.ErrPeerUnreachable)
	}
	w.send(carol, alice, "now?")
	w.run(time.Second)
	w.wantRead(alice, "now?")
	if n := len(w.engines[bob].peers); n != 0 {
		t.Errorf("bob knows %d peers, want none: alice said goodbye", n)
	}
	w.wantRead(bob)
}

// Whoever fills the places of those who send first, the program can send to
// whom it wants, up to a limit of its own, and the other way round.
func TestOwnMessagesHavePlacesOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 16
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(stranger.Addr(), port) }
	for i := range uint16(2 * 16) {
		w.send(alice, at(100+i), "hello")
	}
	for i := range uint16(20) {
		openAt(w, at(200+i))
	}
	const want = "reliable: 192.0.2.3:8080 is one peer more than the program may send to, 32: raise Config.MaxPeers"
	if _, err := e.send(w.now, carol, nil); err == nil || err.Error() != want {
		t.Errorf("one peer more: %v, want %s", err, want)
	}
	if n := e.stats.refused.Load(); n != 4 || len(e.peers) != 3*16 {
		t.Errorf("%d are refused, alice knows %d peers, want 4 and 48", n, len(e.peers))
	}
	w.run(2 * time.Minute) // those who sent first say nothing, the others do not answer
	w.send(alice, bob, "in the place of one who does not answer")
	w.send(carol, alice, "in the place of one who sent first")
	w.run(time.Second)
	w.wantRead(bob, "in the place of one who does not answer")
	w.wantRead(carol)
	checkPlaces(t, e)
}

// As many who have sent first as there may be keep nobody from the program.
func TestIncomingPeersDoNotKeepOwnMessagesBack(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 1
	w.befriend(bob, alice)
	w.send(alice, bob, "answer")
	w.send(alice, stranger, "hello")
	w.send(alice, carol, "hello")
	w.run(time.Second)
	w.wantRead(bob, "answer")
	w.wantRead(carol, "hello")
	checkPlaces(t, e)
}

// Whom the program sent to first keeps that place after a restart.
func TestRestartedPeerKeepsItsPlace(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 1
	openAt(w, stranger)
	w.befriend(alice, bob)
	w.start(bob)
	w.send(bob, alice, "here again")
	w.run(time.Second)
	w.wantRead(alice, "here again")
	checkPlaces(t, e)
}

// openAt opens an association of alice with address, who says nothing.
func openAt(w *world, address netip.AddrPort) {
	e := w.engines[alice]
	c := e.jar.bake(w.now, address, 17)
	e.receive(w.now, address, appendChunk(appendHeader(nil, tags{from: 17}), echo, c))
}

// Whoever says nothing gives way after a while, even to one that says as little,
// and before one that has said something.
func TestStrangersGiveWay(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 2
	w.befriend(bob, alice)
	openAt(w, stranger)
	w.run(e.silence - searchEvery)
	if openAt(w, carol); e.peers[carol] != nil {
		t.Error("a stranger gives way at once")
	}
	w.inject(stranger, alice, appendAck(appendHeader(nil, tags{e.peers[stranger].life.local, 17}), acknowledgement{}))
	w.run(searchEvery)
	openAt(w, carol)
	if e.peers[bob] == nil || e.peers[stranger] != nil || e.peers[carol] == nil {
		t.Errorf("alice knows %v, want bob and carol", slices.Collect(maps.Keys(e.peers)))
	}
}

// Errors that nobody reads do not keep a place for ever, but as long as
// another's can be had.
func TestTheDeadGiveWay(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 1
	w.fate = func(f flying) int { return 0 }
	w.send(alice, bob, "lost")
	w.run(time.Second)
	w.send(alice, stranger, "lost too")
	w.run(time.Minute)
	if _, err := e.send(w.now, stranger, nil); err == nil {
		t.Error("no error for who writes")
	}
	w.send(alice, carol, "hello") // in the place of the stranger, though bob has been idle for longer
	if e.peers[bob] == nil || e.peers[stranger] != nil {
		t.Errorf("alice knows %v, want bob and carol", slices.Collect(maps.Keys(e.peers)))
	}
	w.send(alice, stranger, "again") // in bob's
	if got := w.read(alice); e.peers[bob] != nil || len(got) != 0 {
		t.Errorf("alice knows %v and reads %q", slices.Collect(maps.Keys(e.peers)), got)
	}
}

// A search takes long where there are many peers. Newcomers do not cause one
// each, own messages do.
func TestNewcomersDoNotSearchTooOften(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 1
	w.befriend(bob, alice)
	openAt(w, carol)
	e.peers[bob].active = w.now.Add(-idleAfter)
	openAt(w, carol)
	if e.peers[carol] != nil {
		t.Error("a second search at once")
	}
	w.now = w.now.Add(searchEvery)
	openAt(w, carol)
	if e.peers[carol] == nil {
		t.Error("no search after a while")
	}
	for _, other := range []netip.AddrPort{bob, stranger} {
		w.send(alice, other, "this")
		e.end(w.now, e.peers[other], "it was short")
	}
	another := netip.AddrPortFrom(stranger.Addr(), 1)
	if openAt(w, another); e.peers[another] != nil {
		t.Error("a place for one more")
	}
	w.send(alice, another, "at once")
}

func TestPeersThatWaitKeepTheirPlace(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers, e.silence = 1, -1
	w.fate = func(f flying) int {
		if f.from == bob || f.to == bob {
			return 0
		}
		return 1
	}
	w.send(alice, bob, "no hurry")
	w.send(alice, stranger, "no hurry")
	w.run(2 * idleAfter)
	if _, err := e.send(w.now, carol, nil); err == nil {
		t.Error("bob's place is given away")
	}
	w.fate = nil
	w.run(time.Second)
	w.wantRead(bob, "no hurry")
}

func TestUnreadMessagesKeepTheirPlace(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.maxPeers = 1
	w.send(bob, alice, "unread")
	w.run(time.Second)
	w.engines[bob].leave(w.now)
	w.run(2 * idleAfter)
	w.send(carol, alice, "let me in")
	w.run(time.Second)
	w.wantRead(alice, "unread")
	w.run(time.Second)
	w.wantRead(alice, "let me in")
}

func TestCookie(t *testing.T) {
	now := time.Unix(1e9, 0)
	j := newJar(now)
	baked := now.Add(5 * time.Second)
	c := j.bake(baked, alice, 17)
	if len(c) != cookieSize {
		t.Fatalf("a cookie of %d bytes, want %d", len(c), cookieSize)
	}
	if at, ok := j.check(baked.Add(cookieAge), c, alice, 17); !ok || !at.Equal(baked) {
		t.Errorf("check = %v, %v, want %v", at, ok, baked)
	}
	other := newJar(now)
	changed := slices.Clone(c)
	changed[7]++
	for name, ok := range map[string]bool{
		"late":    second(j.check(baked.Add(cookieAge+1), c, alice, 17)),
		"address": second(j.check(baked, c, bob, 17)),
		"port":    second(j.check(baked, c, netip.AddrPortFrom(alice.Addr(), alice.Port()+1), 17)),
		"tag":     second(j.check(baked, c, alice, 18)),
		"jar":     second(other.check(baked, c, alice, 17)),
		"time":    second(j.check(baked, changed, alice, 17)),
		"zero":    second(j.check(baked, make([]byte, cookieSize), alice, 17)),
	} {
		if ok {
			t.Errorf("%s: a false cookie is taken: %s", name, hex.EncodeToString(c))
		}
	}
}

func second(_ time.Time, ok bool) bool { return ok }
