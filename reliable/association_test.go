package reliable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

func TestAcknowledgementRidesWithData(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.send(alice, bob, "question")
	w.run(halfTrip + ms)
	w.send(bob, alice, "answer")
	w.run(time.Second)
	w.wantSeen("DATA 1", "DATA 0 + ACK 2", "ACK 1")
}

func TestFirstAcknowledgementRidesWithTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.send(alice, bob, "question")
	w.run(5*halfTrip + ms)
	w.wantRead(bob, "question")
	w.send(bob, alice, "answer")
	w.run(time.Second)
	w.wantSeen("HELLO", "COOKIE", "ECHO", "WELCOME", "DATA 0", "DATA 0 + ACK 1", "ACK 1")
}

func TestAcknowledgementWaitsForASecondSegmentButNotForLong(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.send(alice, bob, "one")
	w.collect()
	w.send(alice, bob, "two")
	w.run(halfTrip + ms)
	w.wantSeen("DATA 1", "DATA 2", "ACK 3")
	w.send(alice, bob, "three")
	w.run(halfTrip + ackDelay - ms)
	w.wantSeen("DATA 3")
	w.run(2 * ms)
	w.wantSeen("ACK 4")
}

func TestLossIsRepairedAfterThreeOvertook(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.fate = func(f flying) int {
		if f.String() == "DATA 2" {
			w.fate = nil
			return 0
		}
		return 1
	}
	for _, message := range []string{"one", "two", "three", "four", "five"} {
		w.send(alice, bob, message)
		w.collect()
	}
	w.run(5 * halfTrip)
	w.wantSeen("DATA 1", "DATA 2", "DATA 3", "DATA 4", "DATA 5", "ACK 2 3-5", "DATA 2", "ACK 6")
	w.wantRead(bob, "one", "two", "three", "four", "five")
}

// Much data goes both ways: not every ACK fits beside it.
func TestBothWaysAtOnce(t *testing.T) {
	w := newWorld(t)
	dice := rand.New(rand.NewPCG(1, 1))
	w.fate = func(flying) int { return dice.IntN(4) } // copies
	var want []string
	for i := range 100 {
		want = append(want, strings.Repeat(fmt.Sprint(i), 500))
		w.send(alice, bob, want[i])
		w.send(bob, alice, want[i])
	}
	w.run(time.Minute)
	w.wantRead(alice, want...)
	w.wantRead(bob, want...)
}

func TestGoodbye(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.send(alice, bob, "last words")
	w.engines[alice].leave(w.now)
	w.run(time.Second)
	w.wantSeen("DATA 1", "ACK 2", "BYE", "GONE")
	w.wantRead(bob, "last words")
	if !w.engines[alice].gone() || w.engines[alice].unfinished() != nil || len(w.engines[bob].peers) != 0 {
		t.Errorf("gone: %v, unfinished: %v, bob knows %d peers",
			w.engines[alice].gone(), w.engines[alice].unfinished(), len(w.engines[bob].peers))
	}
}

func TestGoodbyeIsRepeatedButNotForEver(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.fate = func(flying) int { return 0 }
	w.engines[alice].leave(w.now)
	w.collect()
	w.inject(bob, alice, appendAck(appendHeader(nil, w.life(bob, alice).tags()), acknowledgement{next: 1}))
	w.run(goodbyes*byeRetry - ms)
	if w.engines[alice].gone() {
		t.Error("alice is gone too early")
	}
	w.run(2 * ms)
	w.wantSeen(slices.Repeat([]string{"BYE"}, goodbyes)...)
	if !w.engines[alice].gone() || w.engines[alice].unfinished() != nil {
		t.Error("alice is not gone")
	}
}

// Who says goodbye still takes what is on its way, though nobody reads it.
func TestWhoLeavesStillAcknowledges(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.send(bob, alice, strings.Repeat("x", 60_000))
	w.send(alice, bob, "bye")
	w.engines[alice].leave(w.now)
	w.run(halfTrip + ms)
	w.engines[bob].leave(w.now)
	w.run(time.Second)
	for _, e := range w.engines {
		if !e.gone() || e.unfinished() != nil {
			t.Errorf("gone: %v, unfinished: %v", e.gone(), e.unfinished())
		}
	}
	w.wantRead(alice)
}

// Two that leave at once wait for each other's last words. Nobody can promise
// that they come.
func TestTwoThatLeaveAtOnce(t *testing.T) {
	failed := 0
	for seed := range uint64(200) {
		w := newWorld(t)
		dice := rand.New(rand.NewPCG(seed, 2))
		w.fate = func(flying) int {
			if dice.Float64() < 0.3 {
				return 0
			}
			return 1
		}
		w.send(alice, bob, "bye")
		w.send(bob, alice, "bye")
		w.engines[alice].leave(w.now)
		w.engines[bob].leave(w.now)
		w.run(30 * time.Second)
		for _, e := range w.engines {
			if e.unfinished() != nil {
				failed++
			}
		}
	}
	if failed > 2 {
		t.Errorf("of 200 goodbyes, %d failed", failed)
	}
}

// The window that nobody reads is no reason to wait any more.
func TestWhoLeavesOpensItsWindow(t *testing.T) {
	w := newWorld(t)
	w.send(bob, alice, strings.Repeat("x", 60_000))
	for range 5 {
		w.run(time.Second)
		w.send(bob, alice, strings.Repeat("x", 60_000))
	}
	w.run(time.Minute)
	w.engines[alice].leave(w.now)
	w.engines[bob].leave(w.now)
	w.run(minTimeout)
	if !w.engines[bob].gone() {
		t.Error("bob is not gone")
	}
}

func TestRestartDuringTheGoodbye(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.start(bob)
	w.send(alice, bob, "bye")
	w.engines[alice].leave(w.now)
	w.run(time.Second)
	if err := w.engines[alice].unfinished(); !errors.Is(err, sockets.ErrPeerUnreachable) {
		t.Errorf("unfinished: %v, want %v", err, sockets.ErrPeerUnreachable)
	}
}

func TestGoodbyeToWhoWaitsForAnAnswer(t *testing.T) {
	w := newWorld(t)
	a, b := w.befriend(alice, bob)
	w.fate = func(f flying) int {
		if f.from == bob && strings.HasPrefix(f.String(), "DATA") {
			return 0
		}
		return 1
	}
	w.send(bob, alice, "did you get this?")
	w.engines[alice].leave(w.now)
	w.run(time.Second)
	if a == nil || b == nil || !w.engines[alice].gone() {
		t.Error("alice is not gone")
	}
	w.wantRead(bob, "error: sockets: peer unreachable: 192.0.2.1:8080: it has closed its socket")
}

// What comes after the goodbye has begun is acknowledged, so that two that leave
// at once need not wait for each other, but nobody will read it.
func TestWhoSendsToOneThatLeavesIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		late []string
		want []string
	}{
		"nothing":   {nil, nil},
		"something": {[]string{"late"}, []string{"error: sockets: peer unreachable: 192.0.2.2:8080: it has closed its socket"}},
	} {
		w := newWorld(t)
		w.befriend(alice, bob)
		w.send(alice, bob, "in time")
		w.run(time.Second)
		w.fate = func(f flying) int {
			if f.from == bob && strings.HasPrefix(f.String(), "DATA") {
				w.fate = nil
				return 0
			}
			return 1
		}
		w.send(bob, alice, "last words")
		w.engines[bob].leave(w.now)
		w.send(alice, bob, test.late...)
		w.run(2 * time.Second)
		w.wantRead(alice, append([]string{"last words"}, test.want...)...)
		if _, err := w.engines[alice].send(w.now, bob, nil); (err != nil) != (test.want != nil) {
			t.Errorf("%s: the next send: %v", name, err)
		}
		if !w.engines[bob].gone() || w.engines[bob].unfinished() != nil {
			t.Errorf("%s: bob is not gone, or has an error: %v", name, w.engines[bob].unfinished())
		}
	}
}

// Who neither reads nor writes after a loss hears of it from Close, and only
// then.
func TestLossOfWhichNobodyWasToldIsTheErrorOfClose(t *testing.T) {
	for name, tell := range map[string]func(*world){
		"nobody":     func(w *world) {},
		"the reader": func(w *world) { w.read(alice) },
		"the writer": func(w *world) { w.engines[alice].send(w.now, bob, nil) },
	} {
		w := newWorld(t)
		w.fate = func(flying) int { return 0 }
		w.send(alice, bob, "lost")
		w.run(time.Minute)
		tell(w)
		w.engines[alice].leave(w.now)
		if err := w.engines[alice].unfinished(); errors.Is(err, sockets.ErrPeerUnreachable) != (name == "nobody") {
			t.Errorf("%s was told: the error of Close is %v", name, err)
		}
	}
}

// However small the messages, what remembers their order is small, and each peer
// has its turn.
func TestPeersAreReadInTurn(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.befriend(carol, bob)
	var want []string
	for i := range 500 {
		for _, from := range []netip.AddrPort{alice, carol} {
			w.send(from, bob, fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		w.run(20 * ms)
	}
	if n := len(w.engines[bob].ready); n != 2 {
		t.Errorf("%d entries for what may be read, want one for each peer", n)
	}
	w.wantRead(bob, want...)
}

func TestDeadlinesAreSearchedOnceAMillisecond(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	e := w.engines[bob]
	a := w.life(bob, alice)
	searches := 0
	for range 100 { // in 10 ms
		w.now = w.now.Add(ms / 10)
		a.receiver.ackAt = w.now
		e.wake = earliest(e.wake, w.now)
		e.collect(w.now)
		if a.receiver.ackAt.IsZero() {
			searches++
		}
	}
	if searches < 9 || searches > 11 {
		t.Errorf("%d searches in 10 ms", searches)
	}
}

func TestWritersWaitUntilThereIsRoom(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	e := w.engines[alice]
	var room <-chan struct{}
	for message := make([]byte, 60_000); room == nil; {
		room, _ = e.send(w.now, bob, message)
	}
	isOpen := func() bool {
		select {
		case <-room:
			return true
		default:
			return false
		}
	}
	w.inject(bob, alice, appendAck(appendHeader(nil, w.life(bob, alice).tags()), acknowledgement{next: 1, window: 10}))
	w.run(halfTrip + ms)
	if isOpen() {
		t.Error("there is room after an ACK of nothing")
	}
	w.run(time.Second)
	if !isOpen() {
		t.Error("there is no room after all is acknowledged")
	}
}

// Who takes nothing for so long is not waited for, as long as that goes on; who
// takes a little is.
func TestWriterDoesNotWaitForOneThatTakesNothing(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	sent := 0
	fill := func() (room <-chan struct{}, err error) {
		for room == nil && err == nil {
			if room, err = e.send(w.now, bob, make([]byte, 40_000)); room == nil && err == nil {
				sent++
			}
			w.run(ms)
		}
		return room, err
	}
	fill()
	w.run(time.Second)
	room, _ := fill()
	w.run(30 * time.Second)
	b := make([]byte, maxMessage)
	for range 2 {
		w.engines[bob].read(w.now, b)
	}
	w.run(e.sendTimeout - time.Second)
	again, err := fill()
	if room == nil || again == nil || err != nil {
		t.Fatalf("while bob reads a little: %v", err)
	}
	w.run(2 * time.Second)
	select {
	case <-again:
	default:
		t.Error("the writer waits on")
	}
	for range 2 {
		const want = ": 192.0.2.2:8080 has taken nothing for 1m0s (reliable.Config.SendTimeout): does it read? i/o timeout"
		if _, err = fill(); !errors.Is(err, sockets.ErrSlow) || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("the next send: %v, want one that ends with %q", err, want)
		}
		w.run(time.Minute)
	}
	received := 2 + len(w.read(bob))
	w.run(time.Second)
	if _, err := fill(); err != nil {
		t.Errorf("now that bob reads: %v", err)
	}
	for last := -1; received != last; w.run(time.Second) {
		last, received = received, received+len(w.read(bob))
	}
	if received != sent {
		t.Errorf("bob reads %d messages, want %d", received, sent)
	}
}

// Whoever has not yet answered is not slow.
func TestWriterWaitsForTheHandshake(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	e.silence = 0
	w.fate = func(flying) int { return 0 }
	sent := 0
	for {
		room, err := e.send(w.now, bob, make([]byte, 40_000))
		if err != nil {
			t.Fatal(err)
		}
		if room != nil {
			break
		}
		sent++
	}
	w.run(2 * e.sendTimeout)
	if room, err := e.send(w.now, bob, make([]byte, 40_000)); room == nil || err != nil {
		t.Errorf("send: room %v, %v, want to wait", room, err)
	}
	w.fate = nil
	for range 100_000 {
		w.run(ms)
		if e.peers[bob].life.state == open {
			break
		}
	}
	if _, err := e.send(w.now, bob, nil); err != nil {
		t.Errorf("send, as soon as bob has answered: %v", err)
	}
	w.run(time.Second)
	if n := len(w.read(bob)); n == 0 || n > sent {
		t.Errorf("bob reads %d messages, want some of %d", n, sent)
	}
}

func TestOnlyWhatWasWrittenCountsAsSent(t *testing.T) {
	e := newWorld(t).engines[alice]
	e.written([]datagram{{to: bob}, {to: bob, err: errors.New("the cable is out")}})
	if n := e.stats.sent.Load(); n != 1 {
		t.Errorf("%d sent, want 1", n)
	}
}

// Who reads makes room, and says so at once.
func TestReadingTellsOfTheRoom(t *testing.T) {
	w := newWorld(t)
	message := strings.Repeat("x", 50_000)
	for range 6 {
		w.send(alice, bob, message)
		w.run(time.Second)
	}
	w.seen = nil
	for range 2 {
		w.engines[bob].read(w.now, make([]byte, maxMessage))
	}
	w.collect()
	if len(w.seen) != 1 || !strings.HasPrefix(w.seen[0].String(), "ACK") {
		t.Errorf("after two reads, bob sends %q, want an ACK", w.seen)
	}
}

func TestReadOrderAcrossLives(t *testing.T) {
	w := newWorld(t)
	w.send(alice, bob, "first life", "unread")
	w.run(time.Second)
	w.send(bob, alice, "answer")
	w.run(time.Second)
	w.start(alice)
	w.send(bob, alice, "lost")
	w.send(alice, bob, "second life")
	w.run(time.Second)
	w.wantRead(bob, "first life", "unread", "error: sockets: peer unreachable: 192.0.2.1:8080: it has restarted, or closed its socket", "second life")
}

// Half a message of the first life is not joined to the second.
func TestHalfAMessageDiesWithItsLife(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.fate = func(f flying) int {
		if f.String() == "DATA 4" {
			return 0
		}
		return 1
	}
	w.send(alice, bob, "unread", strings.Repeat("x", 5000))
	w.run(time.Second)
	w.fate = nil
	w.start(alice)
	w.send(alice, bob, "whole")
	w.run(time.Second)
	w.wantRead(bob, "unread", "whole")
}

// Who only writes is told, but does not pile up errors that nobody reads.
func TestOneErrorAtATime(t *testing.T) {
	w := newWorld(t)
	w.fate = func(flying) int { return 0 }
	e := w.engines[alice]
	for range 5 {
		w.send(alice, bob, "anybody?")
		w.run(time.Minute)
		if _, err := e.send(w.now, bob, nil); err == nil {
			t.Error("the next send is told nothing")
		}
	}
	if got := w.read(alice); len(got) != 1 {
		t.Errorf("alice reads %q, want one error", got)
	}
	if len(e.peers) != 0 {
		t.Errorf("%d peers, want none", len(e.peers))
	}
}

func TestErrorTellsWhyNothingCouldBeSent(t *testing.T) {
	w := newWorld(t)
	e := w.engines[alice]
	w.send(alice, bob, "anybody?")
	e.collect(w.now)
	batch := e.out
	e.out = nil
	batch[0].err = errors.New("the cable is out")
	e.written(batch)
	w.fate = func(flying) int { return 0 }
	w.run(time.Minute)
	w.wantRead(alice, "error: sockets: peer unreachable: 192.0.2.2:8080: no handshake in 30s: the cable is out")
	e.send(w.now, bob, nil) // is told the same

	w.fate = nil
	w.send(alice, bob, "again")
	e.peers[bob].trouble = errors.New("the cable was out")
	w.run(time.Second)
	w.wantRead(bob, "again")
	w.fate = func(flying) int { return 0 }
	w.send(alice, bob, "anybody?")
	w.run(time.Minute)
	w.wantRead(alice, "error: sockets: peer unreachable: 192.0.2.2:8080: no acknowledgement in 30s")
}

func TestSilenceMayBeEndless(t *testing.T) {
	w := newWorld(t)
	w.engines[alice].silence = -1
	w.fate = func(flying) int { return 0 }
	w.send(alice, bob, "patience")
	w.run(24 * time.Hour)
	w.fate = nil
	w.run(2 * time.Second)
	w.wantRead(bob, "patience")
	w.wantRead(alice)
}

// Silence counts from when something began to wait, not from the last word.
func TestIdlePeersAreNotDead(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	w.run(24 * time.Hour)
	w.wantSeen()
	w.send(bob, alice, "good morning")
	w.run(time.Second)
	w.wantRead(alice, "good morning")
	w.wantRead(bob)
	long := strings.Repeat("x", 60_000)
	w.send(bob, alice, long, long)
	w.run(24 * time.Hour)
	w.wantRead(alice, long, long) // tells bob that there is room again
	w.run(time.Second)
	w.life(alice, bob)
}

// Who talks on, but acknowledges nothing, does not hear this end.
func TestHalfDeadPathIsReported(t *testing.T) {
	for name, chunk := range map[string][]byte{
		"the message again":                         appendData(nil, 0, 1, framed("hi")),
		"an acknowledgement of what was never sent": appendAck(nil, acknowledgement{next: 99}),
	} {
		w := newWorld(t)
		w.befriend(alice, bob)
		w.befriend(bob, alice)
		w.fate = func(flying) int { return 0 }
		w.send(alice, bob, "can you hear me?")
		again := append(appendHeader(nil, w.life(bob, alice).tags()), chunk...)
		for range 30 {
			w.wantRead(alice)
			w.inject(bob, alice, again)
			w.run(time.Second)
		}
		w.run(ms)
		if got, want := w.read(alice), []string{"error: sockets: peer unreachable: 192.0.2.2:8080: no acknowledgement in 30s"}; !slices.Equal(got, want) {
			t.Errorf("%s: alice reads %q, want %q", name, got, want)
		}
	}
}

// That one direction fails for less than the silence is no loss, nor how long
// the peer talks before.
func TestHalfDeadPathMayRecover(t *testing.T) {
	w := newWorld(t)
	w.befriend(alice, bob)
	for range 10 {
		w.fate = func(f flying) int {
			if f.from == alice {
				return 0
			}
			return 1
		}
		w.send(alice, bob, "question")
		w.send(bob, alice, "talk")
		w.run(20 * time.Second)
		w.wantRead(alice, "talk")
		w.fate = nil
		w.run(5 * time.Second)
		w.wantRead(bob, "question")
	}
}

func TestFullOutputQueueDrops(t *testing.T) {
	w := newWorld(t)
	e := w.engines[bob]
	question := appendChunk(appendHeader(nil, tags{0, 7}), hello, make([]byte, cookieSize))
	for range maxQueue + 5 {
		e.receive(w.now, alice, question)
	}
	if n, dropped := len(e.out), e.stats.dropped.Load(); n != maxQueue || dropped != 5 {
		t.Errorf("%d answers, %d dropped, want %d and 5", n, dropped, maxQueue)
	}
}

func TestFewBuffersAreKeptAfterABurst(t *testing.T) {
	w := newWorld(t)
	e := w.engines[bob]
	question := appendChunk(appendHeader(nil, tags{0, 7}), hello, make([]byte, cookieSize))
	for range 2 {
		for range maxQueue + maxFree + 5 {
			e.receive(w.now, alice, question)
		}
		batch := e.out
		e.out = nil
		e.written(batch)
		if n := len(e.free); n != maxFree || cap(e.free[0]) != maxDatagram {
			t.Errorf("%d buffers of %d bytes are kept, want %d of %d", n, cap(e.free[0]), maxFree, maxDatagram)
		}
	}
}

func TestSlowReaderStopsTheSenderAndNothingGetsLost(t *testing.T) {
	w := newWorld(t)
	message := strings.Repeat("x", 50_000)
	for range 5 {
		w.send(alice, bob, message)
		w.run(time.Second)
	}
	w.send(alice, bob, message) // 300,000 bytes are more than bob has room for
	w.run(time.Hour)
	if n := w.engines[bob].peers[alice].inbox.stream.Len(); n > 256<<10 {
		t.Errorf("%d bytes to be read", n)
	}
	w.seen = nil
	w.run(10 * time.Minute)
	if n := len(w.seen); n < 200 || n > 2000 {
		t.Errorf("%d datagrams in ten minutes of a closed window", n)
	}
	want := []string{message, message, message, message, message}
	w.wantRead(bob, want...)
	w.run(time.Second)
	w.wantRead(bob, message)
}
