package secure

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// give makes an end receive a datagram from an address, and returns what it
// replies.
func (w *world) give(to, from netip.AddrPort, b []byte) (reply []byte, o outcome) {
	e := w.ends[to]
	_, reply, o = e.receive(w.now, from, slices.Clone(b))
	e.drain()
	return reply, o
}

// pass gives bob a datagram of alice as if it came from the address of a relay,
// who passes on his challenge and her answer, too.
func (w *world) pass(relay netip.AddrPort, b []byte) {
	challenge, _ := w.give(bobAt, relay, b)
	if challenge == nil {
		return
	}
	if answer, _ := w.give(aliceAt, relay, challenge); answer != nil {
		w.give(bobAt, relay, answer)
	}
}

// Mallory has recorded, of seven earlier sessions of alice, what bob never got,
// and plays it to him. Nothing is read of that: so it is one of these that gives
// way to the session that answers, and not the one that talks, nor is there no
// room at all.
func TestReplaysKeepNoSessionAlive(t *testing.T) {
	w := newWorld(t)
	var unread [][]byte
	for i := range maxSessions - 1 {
		w.start("alice", aliceAt, Config{})
		w.send(aliceAt, bobAt, fmt.Sprint(i))
		w.wantGot(bobAt, fmt.Sprint(i))
		unread = append(unread, w.sign(aliceAt, carolAt, "for carol"))
		w.now = w.now.Add(time.Minute)
	}
	laptop := netip.AddrPortFrom(aliceAt.Addr(), 9000)
	w.start("alice", laptop, Config{})
	w.send(laptop, bobAt, "by laptop")
	for i := range 20 {
		w.now = w.now.Add(15 * time.Second)
		for _, b := range unread {
			w.give(bobAt, netip.AddrPortFrom(malloryAt.Addr(), uint16(1+i)), b)
		}
	}
	w.start("alice", aliceAt, Config{})
	w.send(aliceAt, bobAt, "it is me")
	w.wantGot(bobAt, "by laptop", "it is me")
	if got := w.ends[bobAt].change(func() { w.send(laptop, bobAt, "still here") }); got != "[delivered 1]" {
		t.Errorf("the session that talks: %s", got)
	}
}

// A session that was forgotten has to answer anew: what it answered before is
// stale, however short the time, and what it says now is not that what it sent
// before is fresh.
func TestAnswerOfAForgottenSessionIsStale(t *testing.T) {
	w := newWorld(t)
	w.now = w.now.Add(time.Second)
	w.send(aliceAt, bobAt, "pay 100")
	data, answer := w.flights[0], w.flights[2]
	w.wantGot(bobAt, "pay 100")
	for i := range maxSessions {
		at := netip.AddrPortFrom(aliceAt.Addr(), uint16(9000+i))
		w.start("alice", at, Config{})
		w.send(at, bobAt, "a new session")
	}
	bob := w.ends[bobAt]
	if bob.session(identityOf("alice").public, w.ends[aliceAt].signer.session) != nil {
		t.Fatal("a ninth session makes none of the first eight forgotten")
	}
	bob.got = nil
	if _, o := w.give(bobAt, aliceAt, data.b); o != held {
		t.Errorf("the datagram again: outcome %d, want %d", o, held)
	}
	if _, o := w.give(bobAt, aliceAt, answer.b); o != stale {
		t.Errorf("the answer again: outcome %d, want %d", o, stale)
	}
	w.now = w.now.Add(challengeEvery)
	w.send(aliceAt, bobAt, "pay 200")
	w.wantGot(bobAt, "pay 200")
}

// Carol, whom both know, passes on to bob from many ports what alice sends to
// all, and is faster. Whenever alice's own address is forgotten for that, she is
// asked there, and read.
func TestRelayFromManyPortsKeepsNobodyOut(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, carolAt)
	carol := func(i int) netip.AddrPort { return netip.AddrPortFrom(carolAt.Addr(), uint16(9000+i)) }
	for i := range maxRoutes {
		w.pass(carol(i), w.sign(aliceAt, carolAt, "to all"))
	}
	w.ends[bobAt].got = nil
	for i := range 100 {
		w.now = w.now.Add(time.Second)
		b := w.sign(aliceAt, bobAt, fmt.Sprint(i))
		if i%2 > 0 {
			w.pass(carol(i%20), b)
		}
		w.fly(flight{aliceAt, bobAt, b})
		w.wantGot(bobAt, fmt.Sprint(i))
	}
	if bob := w.ends[bobAt]; len(bob.routes) > maxRoutes {
		t.Errorf("bob has %d routes", len(bob.routes))
	}
}

// Nobody is asked, and nobody answers, where somebody else is: carol cannot pass
// on bob's challenge from the address at which alice knows her.
func TestHandshakeAtSomebodyElsesAddressIsDropped(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, carolAt)
	challenge, _ := w.give(bobAt, carolAt, w.sign(aliceAt, bobAt, "text"))
	if answer, o := w.give(aliceAt, carolAt, challenge); answer != nil || o != addressTaken {
		t.Errorf("a challenge of bob from the address of carol: outcome %d, answer %x", o, answer)
	}
	answer, _ := w.give(aliceAt, bobAt, challenge)
	w.befriend(carolAt, bobAt)
	verified := w.ends[bobAt].budget.answers
	if _, o := w.give(bobAt, carolAt, answer); o != addressTaken || w.ends[bobAt].budget.answers != verified {
		t.Errorf("an answer of alice from the address of carol: outcome %d, or it was verified", o)
	}
}

// Carol sits where alice's datagrams pass. She makes bob forget alice's address,
// by passing them on from others, and then claims it. It is held for alice.
func TestAddressThatGaveWayIsHeld(t *testing.T) {
	w := newWorld(t)
	w.send(aliceAt, bobAt, "hello")
	for i := range maxRoutes {
		w.pass(netip.AddrPortFrom(malloryAt.Addr(), uint16(1+i)), w.sign(aliceAt, bobAt, "to all"))
	}
	bob := w.ends[bobAt]
	if bob.routes[aliceAt] != nil {
		t.Fatal("a ninth address makes none of the first eight forgotten")
	}
	bob.got = nil
	w.start("carol", aliceAt, Config{})
	w.now = w.now.Add(time.Minute - 1)
	w.send(aliceAt, bobAt, "I am alice")
	w.wantGot(bobAt)
	if peer, _ := bob.network.PeerAt(aliceAt); peer.Name != "alice" {
		t.Errorf("PeerAt = %v, want alice", peer)
	}
	w.now = w.now.Add(1)
	w.send(aliceAt, bobAt, "I am carol")
	w.wantGot(bobAt, "I am carol")
}

// Addresses that gave way are remembered as long as they are held, and not much
// longer.
func TestPlacesAreRemovedInTheEnd(t *testing.T) {
	var places packetConns
	key, now := &PublicKey{1}, time.Unix(1e9, 0)
	lasting := netip.MustParseAddrPort("192.0.2.7:7")
	if _, ok := places.claim(now, lasting, key, time.Minute); !ok {
		t.Fatal("an address of nobody is not free")
	}
	for i := range 10_000 {
		at := netip.AddrPortFrom(malloryAt.Addr(), uint16(1+i))
		claim, ok := places.claim(now, at, key, time.Minute)
		if !ok {
			t.Fatal("an address of nobody is not free")
		}
		places.leave(at, claim)
		if before := netip.AddrPortFrom(at.Addr(), at.Port()-59); i >= 60 && places.isFree(now, before, &PublicKey{2}, time.Minute) {
			t.Fatal("an address is not held for a minute")
		}
		now = now.Add(time.Second)
		if len(places.places) > 2*61+64 {
			t.Fatalf("%d places are remembered, of which 61 are held", len(places.places))
		}
	}
	if _, ok := places.places[lasting]; !ok {
		t.Error("an address with a route is forgotten")
	}
}

// An old route of alice's, which another socket has, says nothing about the
// address that carol had meanwhile and alice has again.
func TestOldRouteLeavesALaterClaimAlone(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	first, alice := w.ends[bobAt], w.ends[aliceAt]
	second, third := netip.AddrPortFrom(bobAt.Addr(), 8081), netip.AddrPortFrom(bobAt.Addr(), 8082)
	w.bind(first.network, second)
	w.bind(first.network, third)
	w.now = w.now.Add(time.Minute)
	w.start("carol", aliceAt, Config{})
	w.send(aliceAt, second, "it is carol")
	w.now = w.now.Add(time.Minute)
	w.ends[aliceAt] = alice
	w.send(aliceAt, third, "it is alice")
	w.wantGot(third, "it is alice")
	first.clear()
	if place := first.network.packets.places[aliceAt]; place.routes != 1 {
		t.Errorf("alice has %d routes at her address, want that to the third socket", place.routes)
	}
	if got := first.change(func() { w.send(aliceAt, third, "still here") }); got != "[delivered 1]" {
		t.Errorf("alice, to the third socket: %s", got)
	}
	w.start("carol", aliceAt, Config{})
	if got := first.change(func() { w.send(aliceAt, second, "at once") }); got != "[addressTaken 1]" {
		t.Errorf("carol at the address of alice: %s", got)
	}
}

// What was read before a restart is not read again after a day, though the clocks
// of both ends differ by a thousandth, or by less.
func TestClocksMayDrift(t *testing.T) {
	for _, drift := range []float64{-1e-3, -50e-6, 0, 50e-6, 0.99e-3} {
		for _, later := range []time.Duration{3 * time.Second, time.Minute, 24 * time.Hour} {
			w := newWorld(t)
			w.befriend(aliceAt, bobAt)
			w.now = w.now.Add(time.Hour)
			w.send(aliceAt, bobAt, "pay 100")
			recorded := w.flights[len(w.flights)-1]
			w.wantGot(bobAt, "pay 100")
			w.now = w.now.Add(time.Millisecond)
			w.start("bob", bobAt, Config{})
			start := w.now
			w.now = start.Add(time.Duration(float64(later) * (1 + drift))) // by bob's clock
			challenge, _ := w.give(bobAt, aliceAt, recorded.b)
			w.now = start.Add(later) // by alice's
			answer, _ := w.give(aliceAt, bobAt, challenge)
			w.now = start.Add(time.Duration(float64(later) * (1 + drift)))
			if _, o := w.give(bobAt, aliceAt, answer); o != confirmed {
				t.Errorf("drift %g after %v: the answer has outcome %d", drift, later, o)
			}
			w.wantGot(bobAt)
		}
	}
}

// Alice's machine is paused, and her clocks with it, while bob restarts. What she
// signed more than 20 seconds before, by these clocks, is not read again.
func TestClocksMayStandStill(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	w.send(aliceAt, bobAt, "pay 100")
	recorded := w.flights[len(w.flights)-1]
	w.wantGot(bobAt, "pay 100")
	start := w.now
	w.now = start.Add(time.Second)
	w.start("bob", bobAt, Config{})
	w.now = start.Add(time.Hour)
	challenge, _ := w.give(bobAt, aliceAt, recorded.b)
	w.now = start.Add(nonceLife)
	answer, _ := w.give(aliceAt, bobAt, challenge)
	w.now = start.Add(time.Hour)
	if _, o := w.give(bobAt, aliceAt, answer); o != confirmed {
		t.Errorf("the answer has outcome %d, want %d", o, confirmed)
	}
	w.wantGot(bobAt)
}

// Who is flooded by forgeries with the keys of known peers still answers
// challenges, and takes the answers to its own.
func TestFloodOfForgeriesDelaysNoHandshake(t *testing.T) {
	if underRace {
		t.Skip("it verifies thousands of signatures, on one goroutine")
	}
	w := newWorld(t)
	forged := signedAs(identityOf("eve"), header{kind: kindData, mark: groupOf(""), key: identityOf("carol").public, session: 7, number: 1})
	flood := func(at netip.AddrPort) {
		var o outcome
		for i := 0; o != tooMany; i++ {
			_, o = w.give(at, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1000), forged)
		}
	}
	challenge, _ := w.give(bobAt, aliceAt, w.sign(aliceAt, bobAt, "text"))
	flood(aliceAt)
	answer, o := w.give(aliceAt, bobAt, challenge)
	if o != answered {
		t.Fatalf("a challenge in a flood: outcome %d, want %d", o, answered)
	}
	flood(bobAt)
	if _, o := w.give(bobAt, aliceAt, answer); o != confirmed {
		t.Errorf("an answer in a flood: outcome %d, want %d", o, confirmed)
	}
	w.wantGot(bobAt, "text")
}

// Forged challenges and answers have their bounds, too: of each 1,000 a second
// are verified, even if they come from one who sees all.
func TestForgedHandshakesAreVerifiedWithinBounds(t *testing.T) {
	if underRace {
		t.Skip("it verifies thousands of signatures, on one goroutine")
	}
	for _, kind := range []kind{kindChallenge, kindAnswer} {
		w := newWorld(t)
		p := path{identityOf("alice").public, 7, aliceAt}
		bob := w.ends[bobAt]
		h := header{kind: kind, mark: 1, key: p.key, session: p.session, number: bob.nonce(w.now, p, 0)}
		if kind == kindChallenge {
			h.session = bob.signer.session
		}
		forged := signedAs(identityOf("eve"), h)
		want := fmt.Sprintf("[tooMany %d badSignature %d]", 2*perReply, perReply)
		if got := bob.change(func() {
			for range 3 * perReply {
				w.give(bobAt, aliceAt, forged)
			}
		}); got != want {
			t.Errorf("kind %d: %s, want %s", kind, got, want)
		}
	}
}

// An answer that nobody asked for costs no memory, and no signature.
func TestForgedAnswerCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	bob := w.ends[bobAt]
	answer := signedAs(identityOf("eve"), header{kind: kindAnswer, mark: 1, key: identityOf("alice").public, session: 5, number: 6})
	before := *bob.budget
	if n := testing.AllocsPerRun(100, func() { bob.receive(w.now, malloryAt, answer) }); n != 0 || *bob.budget != before {
		t.Errorf("%g allocations, or the budget has changed", n)
	}
}

// BenchmarkForgedAnswer drops an answer that nobody asked for.
func BenchmarkForgedAnswer(b *testing.B) {
	w := newWorld(b)
	bob := w.ends[bobAt]
	answer := signedAs(identityOf("eve"), header{kind: kindAnswer, mark: 1, key: identityOf("alice").public, session: 5, number: 6})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, o := bob.receive(w.now, malloryAt, answer); o != stale {
			b.Fatal(o)
		}
	}
}
