package secure

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFirstDatagramIsHeldUntilItsSenderAnswers(t *testing.T) {
	w := newWorld(t)
	bob := w.ends[bobAt]
	for _, test := range []struct {
		text, change string
	}{
		{"one", "[delivered 1 held 1 challenged 1 confirmed 1]"},
		{"two", "[delivered 1]"},
		{"", "[delivered 1]"},
	} {
		if got := bob.change(func() { w.send(aliceAt, bobAt, test.text) }); got != test.change {
			t.Errorf("%q: %s, want %s", test.text, got, test.change)
		}
		w.wantGot(bobAt, test.text)
	}
	if peer, ok := bob.network.PeerAt(aliceAt); !ok || peer.Name != "alice" {
		t.Errorf("PeerAt(%v) = %v, %v, want alice", aliceAt, peer, ok)
	}
	if peer, ok := bob.network.PeerAt(carolAt); ok {
		t.Errorf("PeerAt(%v) = %v, who was never heard", carolAt, peer)
	}
	w.wantGot(aliceAt)
}

func TestHeldDatagramsComeInTheirOrder(t *testing.T) {
	w := newWorld(t)
	w.now = w.now.Add(time.Second)
	w.lose = func(f flight) bool { return f.kind() == kindAnswer }
	for i := range 5 {
		w.send(aliceAt, bobAt, fmt.Sprint(i))
	}
	w.wantGot(bobAt)
	w.lose = nil
	w.now = w.now.Add(challengeEvery)
	w.send(aliceAt, bobAt, "5")
	w.wantGot(bobAt, "0", "1", "2", "3", "4", "5")
}

// Copies of one datagram take no more room than one, and cost nothing.
func TestHeldDatagramsAreHeldOnce(t *testing.T) {
	w := newWorld(t)
	w.lose = func(f flight) bool { return f.kind() == kindChallenge }
	b := w.sign(aliceAt, bobAt, "once")
	w.fly(flight{aliceAt, bobAt, b})
	if got := w.ends[bobAt].change(func() { w.fly(flight{aliceAt, bobAt, b}) }); got != "[replayed 1]" {
		t.Errorf("a copy: %s", got)
	}
}

// What is lost of the handshake is made up for by the next datagram, but not
// sooner than after a quarter of a second.
func TestHandshakeSurvivesLoss(t *testing.T) {
	for _, lost := range []kind{kindChallenge, kindAnswer} {
		w := newWorld(t)
		w.now = w.now.Add(time.Second)
		w.lose = func(f flight) bool { return f.kind() == lost }
		w.send(aliceAt, bobAt, "first")
		w.lose = nil
		w.now = w.now.Add(challengeEvery - 1)
		if got := w.ends[bobAt].change(func() { w.send(aliceAt, bobAt, "second") }); got != "[held 1]" {
			t.Errorf("a challenge too soon: %s", got)
		}
		w.now = w.now.Add(1)
		w.send(aliceAt, bobAt, "third")
		w.wantGot(bobAt, "first", "second", "third")
	}
}

// Every byte of every kind of datagram matters.
func TestNoByteCanBeChanged(t *testing.T) {
	for name, cfg := range map[string]Config{"open": {Group: "g"}, "sealed": {Group: "g", GroupKey: make([]byte, 32)}} {
		record := newWorld(t)
		record.start("alice", aliceAt, cfg)
		record.start("bob", bobAt, cfg)
		record.send(aliceAt, bobAt, "payload")
		record.wantGot(bobAt, "payload")
		if len(record.flights) != 3 {
			t.Fatalf("%s: %d datagrams, want 3", name, len(record.flights))
		}
		for i, f := range record.flights {
			for at := range f.b {
				e := record.ends[f.to]
				changed := slices.Clone(f.b)
				changed[at] ^= 1 << (at % 8)
				_, reply, o := e.receive(record.now, f.from, changed)
				e.drain()
				if o < malformed || reply != nil || len(e.got) > 0 || len(e.lobby.paths) > 0 {
					t.Fatalf("%s: datagram %d, byte %d changed: outcome %d, reply %x, got %q", name, i, at, o, reply, e.got)
				}
				record.now = record.now.Add(time.Millisecond)
			}
			for cut := range f.b {
				if _, _, o := record.ends[f.to].receive(record.now, f.from, slices.Clone(f.b[:cut])); o < malformed {
					t.Fatalf("%s: the first %d bytes of datagram %d: outcome %d", name, cut, i, o)
				}
				record.now = record.now.Add(time.Millisecond)
			}
		}
	}
}

func TestForgeries(t *testing.T) {
	eve := identityOf("eve") // whom nobody knows
	for _, test := range []struct {
		name, want string
		forge      func(w *world) []byte
	}{
		{"nothing", "[malformed 1]", func(*world) []byte { return nil }},
		{"text", "[malformed 1]", func(*world) []byte {
			return []byte("[2024-02-03T12:15:00] alice:\n\t<LEAVES THE CHAT>" + strings.Repeat(" ", 122))
		}},
		{"magic alone", "[malformed 1]", func(*world) []byte { return append([]byte{wireMagic, 0x11}, make([]byte, 40)...) }},
		{"zeroes", "[malformed 1]", func(*world) []byte { return make([]byte, 200) }},
		{"version 3", "[malformed 1]", func(w *world) []byte { return signedAs(identityOf("alice"), header{kind: 0x20 | kindData, number: 1}) }},
		{"kind 0", "[malformed 1]", func(w *world) []byte { return signedAs(identityOf("alice"), header{kind: 0, number: 1}) }},
		{"kind 5", "[malformed 1]", func(w *world) []byte { return signedAs(identityOf("alice"), header{kind: 5, number: 1}) }},
		{"number 0", "[malformed 1]", func(w *world) []byte { return signedAs(identityOf("alice"), header{kind: kindData, mark: groupOf("")}) }},
		{"long challenge", "[malformed 1]", func(w *world) []byte {
			return append(signedAs(identityOf("alice"), header{kind: kindChallenge}), 0)
		}},
		{"answer of number 0", "[malformed 1]", func(w *world) []byte { return signedAs(identityOf("alice"), header{kind: kindAnswer}) }},
		{"sealed without a seal", "[malformed 1]", func(w *world) []byte { return signedAs(identityOf("alice"), header{kind: kindSealed, number: 1}) }},
		{"other group", "[otherGroup 1]", func(w *world) []byte {
			return signedAs(identityOf("alice"), header{kind: kindData, mark: groupOf("other"), number: 1})
		}},
		{"unknown key", "[unknownKey 1]", func(w *world) []byte {
			return signedAs(eve, header{kind: kindData, mark: groupOf(""), key: eve.public, number: 1})
		}},
		{"key of alice, signature of eve", "[badSignature 1]", func(w *world) []byte {
			return signedAs(eve, header{kind: kindData, mark: groupOf(""), key: identityOf("alice").public, session: w.ends[aliceAt].signer.session, number: 1000})
		}},
		{"key of bob", "[ownKey 1]", func(w *world) []byte { return w.sign(bobAt, aliceAt, "my own words") }},
		{"sealed where all is open", "[badSeal 1]", func(w *world) []byte {
			w.start("alice", aliceAt, Config{GroupKey: make([]byte, 32)})
			return w.sign(aliceAt, bobAt, "secret")
		}},
		{"signed as plain Ed25519", "[badSignature 1]", func(w *world) []byte {
			b := w.sign(aliceAt, bobAt, "text")
			text := b[:len(b)-signatureSize]
			return append(slices.Clone(text), ed25519Sign(identityOf("alice"), text)...)
		}},
		{"challenge of another session", "[stale 1]", func(w *world) []byte {
			return signedAs(identityOf("alice"), header{kind: kindChallenge, key: identityOf("alice").public, session: 5})
		}},
		{"challenge for somebody else", "[badSignature 1]", func(w *world) []byte {
			h := header{kind: kindChallenge, key: identityOf("alice").public, session: w.ends[bobAt].signer.session}
			return w.ends[aliceAt].handshake(&h, &identityOf("carol").public)
		}},
		{"challenge of another group", "[badSignature 1]", func(w *world) []byte {
			w.start("alice", aliceAt, Config{Group: "other"})
			h := header{kind: kindChallenge, key: identityOf("alice").public, session: w.ends[bobAt].signer.session}
			return w.ends[aliceAt].handshake(&h, &identityOf("bob").public)
		}},
		{"answer that nobody asked for", "[stale 1]", func(w *world) []byte {
			h := header{kind: kindAnswer, mark: 1, key: identityOf("alice").public, session: 5, number: 6}
			return w.ends[aliceAt].handshake(&h, &identityOf("bob").public)
		}},
		{"answer for somebody else", "[badSignature 1]", func(w *world) []byte {
			p := path{identityOf("alice").public, 5, aliceAt}
			h := header{kind: kindAnswer, mark: 1, key: p.key, session: 5, number: w.ends[bobAt].nonce(w.now, p, 0)}
			return w.ends[aliceAt].handshake(&h, &identityOf("carol").public)
		}},
	} {
		for _, befriended := range []bool{false, true} {
			w := newWorld(t)
			if befriended {
				w.befriend(aliceAt, bobAt)
			}
			forged := test.forge(w)
			bob := w.ends[bobAt]
			sent := len(w.flights)
			if got := bob.change(func() { w.fly(flight{aliceAt, bobAt, forged}) }); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
			if w.wantGot(bobAt); len(w.flights) != sent+1 {
				t.Errorf("%s: it is answered", test.name)
			}
		}
	}
}

// signedAs returns a datagram without payload.
func signedAs(id *Identity, h header) []byte {
	b, err := id.sign(h.append(nil), nil)
	if err != nil {
		panic(err)
	}
	return b
}

func ed25519Sign(id *Identity, text []byte) []byte {
	return ed25519.Sign(id.private(), text)
}

// Nothing is sent to an address that is that of nobody, or of many.
func TestSourcesThatNobodyHas(t *testing.T) {
	w := newWorld(t)
	b := w.sign(aliceAt, bobAt, "text")
	for _, from := range []string{"255.255.255.255:8080", "224.0.0.1:8080", "[ff02::1]:8080", "0.0.0.0:8080", "192.0.2.1:0"} {
		_, reply, o := w.ends[bobAt].receive(w.now, netip.MustParseAddrPort(from), slices.Clone(b))
		if reply != nil || o != malformed {
			t.Errorf("from %s: outcome %d, reply %x, want malformed", from, o, reply)
		}
	}
}

func TestGroups(t *testing.T) {
	key, other := make([]byte, 32), append(make([]byte, 31), 1)
	for _, test := range []struct {
		name, want string // of what alice sends
		alice, bob Config
		arrives    bool
	}{
		{"one group", "[delivered 1 held 1 challenged 1 confirmed 1]", Config{Group: "a"}, Config{Group: "a"}, true},
		{"two groups", "[otherGroup 1]", Config{Group: "a"}, Config{Group: "b"}, false},
		{"one key", "[delivered 1 held 1 challenged 1 confirmed 1]", Config{GroupKey: key}, Config{GroupKey: key}, true},
		{"two keys", "[badSeal 1]", Config{GroupKey: key}, Config{GroupKey: other}, false},
		{"a key and none", "[badSeal 1]", Config{GroupKey: key}, Config{}, false},
		{"none and a key", "[badSeal 1]", Config{}, Config{GroupKey: key}, false},
		{"two groups, one key", "[otherGroup 1]", Config{Group: "a", GroupKey: key}, Config{Group: "b", GroupKey: key}, false},
	} {
		w := newWorld(t)
		w.start("alice", aliceAt, test.alice)
		bob := w.start("bob", bobAt, test.bob)
		if got := bob.change(func() { w.send(aliceAt, bobAt, "secret") }); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if test.arrives {
			w.wantGot(bobAt, "secret")
		}
		sealed := len(test.alice.GroupKey) > 0
		if seen := strings.Contains(string(w.flights[0].b), "secret"); seen == sealed {
			t.Errorf("%s: the payload can be seen: %v", test.name, seen)
		}
		w.wantGot(bobAt)
	}
}

func TestReplays(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	first := w.sign(aliceAt, bobAt, "first")
	second := w.sign(aliceAt, bobAt, "second")
	w.fly(flight{aliceAt, bobAt, second})
	w.fly(flight{aliceAt, bobAt, first}) // overtaken: it is new
	w.wantGot(bobAt, "second", "first")
	bob := w.ends[bobAt]
	for _, from := range []netip.AddrPort{aliceAt, malloryAt, carolAt} {
		if got := bob.change(func() { w.fly(flight{from, bobAt, first}) }); got != "[replayed 1]" {
			t.Errorf("a replay from %v: %s", from, got)
		}
	}
	late := w.sign(aliceAt, bobAt, "late")
	w.ends[aliceAt].signer.number += windowSize - 1
	w.send(aliceAt, bobAt, "8,128 later")
	w.wantGot(bobAt, "8,128 later")
	for _, old := range [][]byte{first, second, late} {
		if got := bob.change(func() { w.fly(flight{aliceAt, bobAt, old}) }); got != "[replayed 1]" {
			t.Errorf("a datagram that is 8,128 numbers old: %s", got)
		}
	}
	w.wantGot(bobAt)
}

// A copy that comes by another way, before the other, is not read twice.
func TestCopiesByManyWays(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	b := w.sign(aliceAt, bobAt, "once")
	for port := range uint16(20) {
		w.fly(flight{netip.AddrPortFrom(malloryAt.Addr(), 1+port), bobAt, b})
	}
	w.fly(flight{aliceAt, bobAt, b})
	w.fly(flight{aliceAt, bobAt, b})
	w.wantGot(bobAt, "once")
}

// Bob restarts. Mallory, who has recorded the life of the first bob, plays it
// to the second: from the same address and from her own, once and many times,
// while alice is gone, has restarted, or lives on and answers whatever she is
// asked, directly and through mallory.
func TestNothingOfAnEarlierRunIsRead(t *testing.T) {
	for _, alice := range []string{"gone", "restarted", "alive", "alive and talking"} {
		for _, from := range []netip.AddrPort{aliceAt, malloryAt} {
			w := newWorld(t)
			w.befriend(aliceAt, bobAt)
			for i := range 15 {
				w.send(aliceAt, bobAt, fmt.Sprint("recorded ", i))
				w.now = w.now.Add(10 * time.Millisecond)
			}
			record := slices.Clone(w.flights)
			w.now = w.now.Add(time.Second)
			w.start("bob", bobAt, Config{})
			fresh := []string{}
			switch alice {
			case "gone":
				delete(w.ends, aliceAt)
			case "restarted":
				w.start("alice", aliceAt, Config{})
			}
			w.ends[malloryAt] = nil
			for round := range 4 {
				w.now = w.now.Add(300 * time.Millisecond)
				if alice == "alive and talking" {
					fresh = append(fresh, fmt.Sprint("fresh ", round))
					w.send(aliceAt, bobAt, fresh[round])
				}
				for _, f := range record {
					if f.to == bobAt {
						w.relay(flight{from, bobAt, f.b})
					}
				}
			}
			w.wantGot(bobAt, fresh...)
		}
	}
}

// relay is fly, but what goes to mallory she passes on: challenges to alice,
// answers to bob.
func (w *world) relay(f flight) {
	e := w.ends[f.to]
	if e == nil {
		return
	}
	_, reply, _ := e.receive(w.now, f.from, slices.Clone(f.b))
	e.drain()
	switch {
	case reply == nil:
	case f.from != malloryAt:
		w.relay(flight{f.to, f.from, reply})
	case f.to == bobAt:
		w.relay(flight{malloryAt, aliceAt, reply})
	default:
		w.relay(flight{malloryAt, bobAt, reply})
	}
}

// One who passes everything on between two ends is a router: she may be taken
// for the place where alice is, and can do no more than lose datagrams.
func TestRelayedChallengeMakesTheRelayARoute(t *testing.T) {
	w := newWorld(t)
	b := w.sign(aliceAt, bobAt, "by mallory")
	w.relay(flight{malloryAt, bobAt, b})
	w.wantGot(bobAt, "by mallory")
	w.relay(flight{malloryAt, bobAt, b})
	w.send(aliceAt, bobAt, "directly")
	w.wantGot(bobAt, "directly")
	for _, from := range []netip.AddrPort{malloryAt, aliceAt} {
		if peer, ok := w.ends[bobAt].network.PeerAt(from); !ok || peer.Name != "alice" {
			t.Errorf("PeerAt(%v) = %v, %v, want alice", from, peer, ok)
		}
	}
}

// A session that was forgotten is challenged again, and nothing that it said
// before is read again.
func TestForgottenSessionsCannotBeReplayed(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	w.send(aliceAt, bobAt, "delivered")
	old := w.flights[len(w.flights)-1]
	w.wantGot(bobAt, "delivered")
	for i := range maxSessions {
		w.now = w.now.Add(2 * time.Minute)
		at := netip.AddrPortFrom(aliceAt.Addr(), uint16(9000+i))
		w.start("alice", at, Config{})
		w.send(at, bobAt, fmt.Sprint(i))
		w.wantGot(bobAt, fmt.Sprint(i))
	}
	if w.ends[bobAt].session(identityOf("alice").public, w.ends[aliceAt].signer.session) != nil {
		t.Fatal("a ninth session makes none of the first eight forgotten")
	}
	w.now = w.now.Add(time.Minute)
	if got := w.ends[bobAt].change(func() { w.fly(old) }); got != "[held 1 challenged 1 replayed 1 confirmed 1]" && got != "[held 1 challenged 1 confirmed 1 replayed 1]" {
		t.Errorf("the replay of a forgotten session: %s", got)
	}
	w.wantGot(bobAt)
	w.send(aliceAt, bobAt, "fresh")
	w.wantGot(bobAt, "fresh")
}

func TestOldAnswersAreStale(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{0, "[confirmed 1]"},
		{noncePeriod, "[confirmed 1]"},
		{2*noncePeriod - 1, "[confirmed 1]"},
		{2 * noncePeriod, "[stale 1]"},
		{time.Hour, "[stale 1]"},
	} {
		w := newWorld(t)
		w.now = w.now.Add(noncePeriod) // the beginning of a period
		w.lose = func(f flight) bool { return f.kind() == kindAnswer }
		w.send(aliceAt, bobAt, "")
		answer := w.flights[len(w.flights)-1]
		w.lose = nil
		w.now = w.now.Add(test.after)
		w.ends[bobAt].lobby.leave(path{identityOf("alice").public, w.ends[aliceAt].signer.session, aliceAt})
		if got := w.ends[bobAt].change(func() { w.fly(answer) }); got != test.want {
			t.Errorf("an answer after %v: %s, want %s", test.after, got, test.want)
		}
		if got := w.ends[bobAt].change(func() { w.fly(answer) }); got != "[stale 1]" {
			t.Errorf("the same answer again: %s", got)
		}
	}
}

// An answer proves one session of one key at one address: that of the challenge.
func TestAnswerIsGoodForItsPathOnly(t *testing.T) {
	w := newWorld(t)
	w.lose = func(f flight) bool { return f.kind() == kindAnswer }
	w.send(aliceAt, bobAt, "")
	answer := w.flights[len(w.flights)-1]
	w.lose = nil
	bob := w.ends[bobAt]
	nonce := binary.BigEndian.Uint64(answer.b[50:])
	for name, p := range map[string]path{
		"address": {identityOf("alice").public, w.ends[aliceAt].signer.session, malloryAt},
		"port":    {identityOf("alice").public, w.ends[aliceAt].signer.session, netip.AddrPortFrom(aliceAt.Addr(), 8081)},
		"session": {identityOf("alice").public, w.ends[aliceAt].signer.session + 1, aliceAt},
		"key":     {identityOf("carol").public, w.ends[aliceAt].signer.session, aliceAt},
	} {
		if bob.nonce(w.now, p, 0) == nonce {
			t.Errorf("another %s has the same nonce", name)
		}
	}
	if got := bob.change(func() { w.fly(flight{malloryAt, bobAt, answer.b}) }); got != "[stale 1]" {
		t.Errorf("an answer from another address: %s", got)
	}
	if got := bob.change(func() { w.fly(answer) }); !strings.Contains(got, "confirmed 1") {
		t.Errorf("the answer from its address: %s", got)
	}
}

// To nobody is sent more than came from there.
func TestNothingIsAmplified(t *testing.T) {
	for _, cfg := range []Config{{}, {GroupKey: make([]byte, 32)}} {
		w := newWorld(t)
		w.start("alice", aliceAt, cfg)
		w.start("bob", bobAt, cfg)
		w.send(aliceAt, bobAt, "")
		record := slices.Clone(w.flights)
		w.now = w.now.Add(time.Hour)
		w.start("bob", bobAt, cfg)
		for i := range 100 {
			w.now = w.now.Add(time.Second)
			for _, f := range record {
				e := w.ends[f.to]
				from := netip.AddrPortFrom(malloryAt.Addr(), uint16(1+i%20))
				_, reply, _ := e.receive(w.now, from, slices.Clone(f.b))
				if len(reply) > len(f.b) {
					t.Fatalf("%d bytes are answered by %d", len(f.b), len(reply))
				}
			}
		}
	}
}

func TestTwoEndsDoNotLoop(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	record := slices.Clone(w.flights)
	for _, from := range []netip.AddrPort{aliceAt, bobAt, carolAt} {
		for _, to := range []netip.AddrPort{aliceAt, bobAt, carolAt} {
			for _, f := range record {
				w.fly(flight{from, to, f.b}) // which fails if it takes more than ten
			}
		}
	}
}

// A million datagrams with the key of alice and wrong signatures, each from a
// place of its own, take neither memory nor time nor alice's turn.
func TestMillionForgedSources(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	bob := w.ends[bobAt]
	forged := signedAs(identityOf("eve"), header{kind: kindData, mark: groupOf(""), key: identityOf("alice").public, session: 7, number: 1})
	sources := 1_000_000
	if underRace {
		sources = 500
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, start := heap(), time.Now()
	var ip [4]byte
	for i := range sources {
		binary.BigEndian.PutUint32(ip[:], 0x0a000000+uint32(i))
		from := netip.AddrPortFrom(netip.AddrFrom4(ip), 1000)
		if _, reply, o := bob.receive(w.now, from, forged); reply != nil || o != badSignature && o != tooMany {
			t.Fatalf("outcome %d, reply %x", o, reply)
		}
		if i%(sources/10) == 0 {
			w.send(aliceAt, bobAt, fmt.Sprint(i))
			w.wantGot(bobAt, fmt.Sprint(i))
		}
	}
	if verified := bob.stats[badSignature].Load(); verified > perCrowd {
		t.Errorf("%d signatures were verified in a second, want %d at most", verified, perCrowd)
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	t.Logf("%d in %v", sources, time.Since(start))
}

// A source is an IPv4 address, or a /64 of IPv6: other ports, and other addresses
// there, have no budget of their own.
func TestForgeriesOfOneSourceShareItsBudget(t *testing.T) {
	if underRace {
		t.Skip("it verifies thousands of signatures, on one goroutine")
	}
	forged := signedAs(identityOf("eve"), header{kind: kindData, mark: groupOf(""), key: identityOf("alice").public, session: 7, number: 1})
	for name, source := range map[string]func(i int) netip.Addr{
		"IPv4": func(int) netip.Addr { return malloryAt.Addr() },
		"IPv6": func(i int) netip.Addr {
			ip := netip.MustParseAddr("2001:db8::").As16()
			binary.BigEndian.PutUint64(ip[8:], uint64(i)<<32)
			return netip.AddrFrom16(ip)
		},
	} {
		w := newWorld(t)
		want := fmt.Sprintf("[tooMany %d badSignature %d]", perSource/2, perSource)
		if got := w.ends[bobAt].change(func() {
			for i := range perSource + perSource/2 {
				w.give(bobAt, netip.AddrPortFrom(source(i), uint16(1000+i)), forged)
			}
		}); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Replays of a recording, from forged sources, fill what is held only so far,
// and do not keep alice out.
func TestFloodOfReplaysKeepsNobodyOut(t *testing.T) {
	w := newWorld(t)
	large := strings.Repeat("x", 20_000)
	var record []flight
	for i := range 30 {
		w.now = w.now.Add(time.Second)
		record = append(record, flight{aliceAt, bobAt, w.sign(aliceAt, bobAt, large)})
		if i == 15 {
			w.start("alice", aliceAt, Config{})
		}
	}
	w.now = w.now.Add(time.Hour)
	bob := w.start("bob", bobAt, Config{})
	alice := w.start("alice", aliceAt, Config{})
	flood := func() {
		for i, f := range record {
			bob.receive(w.now, netip.AddrPortFrom(malloryAt.Addr(), uint16(1+i)), slices.Clone(f.b))
		}
		if n, bytes := len(bob.lobby.paths), bob.lobby.bytes; n > maxWaitingPerKey || bytes > maxWaitingPerKey*maxHeldPerRoute {
			t.Fatalf("%d routes wait, with %d bytes", n, bytes)
		}
	}
	flood()
	_, challenge, _ := bob.receive(w.now, aliceAt, slices.Clone(w.sign(aliceAt, bobAt, "lost")))
	flood()
	_, answer, _ := alice.receive(w.now, bobAt, challenge)
	flood()
	bob.receive(w.now, aliceAt, answer)
	w.send(aliceAt, bobAt, "I am here")
	w.wantGot(bobAt, "I am here")
}

func TestHoldHasItsEdge(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	bob := w.ends[bobAt]
	w.now = w.now.Add(30 * time.Second)
	w.send(aliceAt, bobAt, "still here")
	w.wantGot(bobAt, "still here")
	w.start("carol", aliceAt, Config{})
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{0, "[addressTaken 1]"},
		{time.Minute - 1, "[addressTaken 1]"},
		{1, "[delivered 1 held 1 challenged 1 confirmed 1]"},
	} {
		w.now = w.now.Add(test.after)
		if got := bob.change(func() { w.send(aliceAt, bobAt, "it is carol") }); got != test.want {
			t.Errorf("%v later: %s, want %s", test.after, got, test.want)
		}
	}
	w.wantGot(bobAt, "it is carol")
	if peer, _ := bob.network.PeerAt(aliceAt); peer.Name != "carol" {
		t.Errorf("PeerAt(%v) = %v, want carol", aliceAt, peer)
	}
}

// An address belongs to one key, whichever socket of a network it was proved to.
func TestTwoSocketsShareTheirPlaces(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	bob := w.ends[bobAt]
	other := netip.AddrPortFrom(bobAt.Addr(), 9090)
	second := w.bind(bob.network, other)
	w.send(aliceAt, other, "to the other one")
	w.wantGot(other, "to the other one")
	alice := w.ends[aliceAt]
	w.start("carol", aliceAt, Config{})
	if got := second.change(func() { w.send(aliceAt, other, "") }); got != "[addressTaken 1]" {
		t.Errorf("carol at the address of alice: %s", got)
	}
	w.now = w.now.Add(time.Minute)
	w.send(aliceAt, other, "carol")
	w.wantGot(other, "carol")
	if peer, _ := bob.network.PeerAt(aliceAt); peer.Name != "carol" {
		t.Errorf("PeerAt = %v, want carol", peer)
	}
	w.ends[aliceAt] = alice
	if got := bob.change(func() { w.send(aliceAt, bobAt, "alice, to the first") }); got != "[addressTaken 1]" {
		t.Errorf("alice, at what is carol's now: %s", got)
	}
	w.now = w.now.Add(time.Minute)
	w.send(aliceAt, bobAt, "alice, to the first")
	w.wantGot(bobAt, "alice, to the first")
	second.clear()
	if peer, _ := bob.network.PeerAt(aliceAt); peer.Name != "alice" {
		t.Errorf("PeerAt = %v, want alice", peer)
	}
	bob.clear()
	if place := bob.network.packets.places[aliceAt]; place.routes != 0 {
		t.Errorf("%d routes remain of closed sockets", place.routes)
	}
}

// One key has eight sessions, one session eight addresses; one of them gives way
// to a ninth at once.
func TestTablesHaveTheirEdges(t *testing.T) {
	sessions := func(w *world, i int) {
		at := netip.AddrPortFrom(aliceAt.Addr(), uint16(9000+i))
		w.start("alice", at, Config{})
		w.send(at, bobAt, fmt.Sprint(i))
	}
	sameAddress := func(w *world, i int) {
		w.start("alice", aliceAt, Config{})
		w.send(aliceAt, bobAt, fmt.Sprint(i))
	}
	addresses := func(w *world, i int) {
		at := netip.AddrPortFrom(aliceAt.Addr(), uint16(9000+i))
		w.ends[at] = w.ends[aliceAt]
		w.send(at, bobAt, fmt.Sprint(i))
	}
	for _, test := range []struct {
		name string
		come func(w *world, i int)
	}{
		{"sessions", sessions},
		{"sessions that follow each other at one address", sameAddress},
		{"addresses", addresses},
	} {
		w := newWorld(t)
		bob := w.ends[bobAt]
		for i := range 2*maxSessions + 1 {
			test.come(w, i)
			w.wantGot(bobAt, fmt.Sprint(i))
			w.now = w.now.Add(time.Millisecond)
		}
		for _, p := range bob.peers {
			if len(p.sessions) > maxSessions {
				t.Errorf("%s: %d sessions", test.name, len(p.sessions))
			}
			for _, s := range p.sessions {
				if len(s.routes) > maxRoutes {
					t.Errorf("%s: %d routes", test.name, len(s.routes))
				}
			}
		}
		atPlaces := 0
		for _, place := range bob.network.packets.places {
			atPlaces += place.routes
		}
		if routes := len(bob.routes); routes > maxSessions || atPlaces != routes {
			t.Errorf("%s: %d routes, %d by the places", test.name, routes, atPlaces)
		}
	}
}

// Of eight sessions it is the quietest that gives way, not the oldest.
func TestSessionThatTalksStays(t *testing.T) {
	w := newWorld(t)
	bob := w.ends[bobAt]
	w.send(aliceAt, bobAt, "first")
	for i := range 3 * maxSessions {
		w.now = w.now.Add(2 * time.Minute)
		w.send(aliceAt, bobAt, "still here")
		at := netip.AddrPortFrom(aliceAt.Addr(), uint16(9000+i))
		w.start("alice", at, Config{})
		w.send(at, bobAt, "a new session")
	}
	if got := bob.change(func() { w.send(aliceAt, bobAt, "still here") }); got != "[delivered 1]" {
		t.Errorf("the oldest session, which talks: %s", got)
	}
}

// Who is confirmed is not kept out by forgeries, not even if these bear the
// right address.
func TestBudgetOfAConfirmedPeerIsItsOwn(t *testing.T) {
	if underRace {
		t.Skip("it verifies thousands of signatures, on one goroutine")
	}
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	bob := w.ends[bobAt]
	forged := signedAs(identityOf("eve"), header{kind: kindData, mark: groupOf(""), key: identityOf("alice").public, session: 7, number: 1})
	for range 5000 {
		bob.receive(w.now, aliceAt, forged)
	}
	for i := range perSource + 100 {
		w.send(aliceAt, bobAt, "")
		if len(bob.got) != i+1 {
			t.Fatalf("datagram %d of alice does not arrive", i)
		}
	}
	bob.got = nil
	forged = signedAs(identityOf("eve"), header{kind: kindData, mark: groupOf(""), key: identityOf("alice").public, session: w.ends[aliceAt].signer.session, number: 1 << 40})
	for range 5000 {
		bob.receive(w.now, aliceAt, forged)
	}
	if verified := bob.stats[badSignature].Load(); verified > 2*perSource+10 {
		t.Errorf("%d signatures are verified", verified)
	}
}

func TestSenderUsesUpItsNumbers(t *testing.T) {
	w := newWorld(t)
	s := w.ends[aliceAt].signer
	s.number = math.MaxUint64 - 1
	w.send(aliceAt, bobAt, "the last one")
	if _, _, err := s.datagram(w.now, []byte("one more"), bobAt); err != errExhausted {
		t.Errorf("one more: %v, want %v", err, errExhausted)
	}
	w.wantGot(bobAt, "the last one")
}

func TestOneSignatureForAll(t *testing.T) {
	w := newWorld(t)
	s := w.ends[aliceAt].signer
	to := func(i int) netip.AddrPort { return netip.AddrPortFrom(bobAt.Addr(), uint16(i)) }
	var last []byte
	for _, step := range []struct {
		name  string
		text  string
		to    int
		after time.Duration
		isNew bool
	}{
		{"the first", "a", 1, 0, true},
		{"to another", "a", 2, 0, false},
		{"to the first again", "a", 1, 0, true},
		{"to another, a little later", "a", 2, reuseFor, false},
		{"to another, much later", "a", 3, 1, true},
		{"another text", "b", 4, 0, true},
		{"the text before", "a", 5, 0, true},
	} {
		w.now = w.now.Add(step.after)
		b, isNew, err := s.datagram(w.now, []byte(step.text), to(step.to))
		if err != nil || isNew != step.isNew || string(b) == string(last) == isNew {
			t.Errorf("%s: signed anew: %v, %v, want %v", step.name, isNew, err, step.isNew)
		}
		last = b
	}
	for i := range 2 * maxDestinations {
		s.datagram(w.now, []byte("to many"), to(i))
	}
	if len(s.sentTo) > maxDestinations {
		t.Errorf("%d destinations are remembered", len(s.sentTo))
	}
}

// firstSince never tells a number that was used too early.
func TestFirstSince(t *testing.T) {
	w := newWorld(t)
	s := w.ends[aliceAt].signer
	start := w.now
	if got := s.firstSince(w.now, time.Hour); got != 1 {
		t.Errorf("before the first number, firstSince = %d, want 1", got)
	}
	for range 1000 {
		s.datagram(w.now, nil, bobAt)
		w.now = w.now.Add(50 * time.Millisecond)
	}
	if len(s.marks) > maxMarks {
		t.Errorf("%d marks", len(s.marks))
	}
	for _, test := range []struct {
		age  time.Duration
		want uint64
	}{
		{0, 1001},
		{50*time.Millisecond - 1, 1001},
		{100 * time.Millisecond, 999},
		{150 * time.Millisecond, 999},
		{200 * time.Millisecond, 997},
		{time.Hour, 1001 - 2*maxMarks},
	} {
		got := s.firstSince(w.now, test.age)
		signedAt := start.Add(time.Duration(got-1) * 50 * time.Millisecond)
		if got != test.want || w.now.Sub(signedAt) > test.age && got <= 1000 && test.age < time.Hour {
			t.Errorf("firstSince(%v) = %d, want %d", test.age, got, test.want)
		}
	}
}
