package secure

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The bounds that the package comment and WIRE.md print are those of the code.
func TestBoundsAreThoseThatAreDocumented(t *testing.T) {
	var text string
	for _, name := range []string{"doc.go", "WIRE.md"} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += strings.NewReplacer("//", "", ",", "").Replace(string(page))
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, bound := range []string{
		fmt.Sprintf("address or /64 of IPv6 %d a second that is not confirmed", perSource),
		fmt.Sprintf("such addresses together %d a second", perCrowd),
		fmt.Sprintf("on one confirmed route %d a second", perSource),
		fmt.Sprintf("buckets that count them %d", sourceBuckets),
		fmt.Sprintf("being challenged %d; %d for each known key", maxWaiting, maxWaitingPerKey),
		fmt.Sprintf("challenged every %d milliseconds", challengeEvery.Milliseconds()),
		fmt.Sprintf("until the answer %g MiB; %g KiB for each address", maxHeld/0x1p20, maxHeldPerRoute/0x1p10),
		fmt.Sprintf("remembered for each known key %d", maxSessions),
		fmt.Sprintf("remembered for each session %d", maxRoutes),
		fmt.Sprintf("a challenge is good %g seconds", nonceLife.Seconds()),
		fmt.Sprintf("%g to %g seconds later", noncePeriod.Seconds(), nonceLife.Seconds()),
		fmt.Sprintf("socket's session %d a second", perReply),
		fmt.Sprintf("right nonce %d a second", perReply),
		fmt.Sprintf("last %g seconds of her own time", nonceLife.Seconds()),
		fmt.Sprintf("datagram that was signed %d", maxDestinations),
		fmt.Sprintf("the last %d may come in any order", windowSize),
		fmt.Sprintf("or is %d numbers or more behind", windowSize),
		fmt.Sprintf("%d bytes of header and ends with %d bytes of signature: %d", headerSize, signatureSize, overhead),
		fmt.Sprintf("makes %d bytes more", overhead),
		fmt.Sprintf("the same sealed %d bytes longer", sealSize),
	} {
		if !strings.Contains(text, bound) {
			t.Errorf("nothing says %q", bound)
		}
	}
}

// A path is challenged once in 250 milliseconds; another path at its own times.
func TestChallengesHaveTheirEdge(t *testing.T) {
	w := newWorld(t)
	w.lose = func(f flight) bool { return f.kind() == kindChallenge }
	other := netip.AddrPortFrom(aliceAt.Addr(), 8081)
	w.ends[other] = w.ends[aliceAt]
	for i, step := range []struct {
		after time.Duration
		from  netip.AddrPort
		want  string
	}{
		{0, aliceAt, "[held 1 challenged 1]"},
		{0, aliceAt, "[held 1]"},
		{10 * time.Millisecond, other, "[held 1 challenged 1]"},
		{240*time.Millisecond - 1, aliceAt, "[held 1]"},
		{1, aliceAt, "[held 1 challenged 1]"},
		{0, other, "[held 1]"},
		{10 * time.Millisecond, other, "[held 1 challenged 1]"},
		{240*time.Millisecond - 1, aliceAt, "[held 1]"},
		{time.Hour, aliceAt, "[held 1 challenged 1]"},
		{0, aliceAt, "[held 1]"},
	} {
		w.now = w.now.Add(step.after)
		if got := w.ends[bobAt].change(func() { w.send(step.from, bobAt, "") }); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// For each path 64 KiB are held, of which every payload takes 64 bytes more than
// it has. What fits is read after the answer.
func TestHeldPayloadsHaveTheirEdge(t *testing.T) {
	w := newWorld(t)
	w.lose = func(f flight) bool { return f.kind() == kindChallenge }
	half := strings.Repeat("h", 32<<10-64)
	for _, step := range []struct{ text, want string }{
		{half, "[held 1 challenged 1]"},
		{half + "h", "[tooMany 1]"},
		{half, "[held 1]"},
		{"", "[tooMany 1]"},
	} {
		if got := w.ends[bobAt].change(func() { w.send(aliceAt, bobAt, step.text) }); got != step.want {
			t.Errorf("%d bytes: %s, want %s", len(step.text), got, step.want)
		}
	}
	w.lose = nil
	w.now = w.now.Add(250 * time.Millisecond)
	w.send(aliceAt, bobAt, "")
	if got := w.ends[bobAt].got; !slices.Equal(got, []string{half, half}) {
		t.Errorf("%d payloads are read, want the two that were held", len(got))
	}
}

// Strangers cost no memory, no part of the budget, and no signature: one that is
// wrong would cost memory.
func TestStrangersCostNothing(t *testing.T) {
	eve, w := identityOf("eve"), newWorld(t)
	bob := w.ends[bobAt]
	data := header{kind: kindData, mark: groupOf(""), key: eve.public, number: 1}
	unknown := signedAs(bob.identity, data)
	if testing.AllocsPerRun(10, func() { isSigned(&eve.public, unknown, nil) }) == 0 {
		t.Fatal("a wrong signature costs no memory: this test proves nothing")
	}
	otherGroup, own := data, data
	otherGroup.mark++
	own.key = bob.identity.public
	before := *bob.budget
	for name, b := range map[string][]byte{
		"garbage":               make([]byte, 200),
		"another group":         signedAs(bob.identity, otherGroup),
		"bob's key":             signedAs(eve, own),
		"sealed":                append(signedAs(bob.identity, header{kind: kindSealed, mark: groupOf(""), key: eve.public, number: 1}), make([]byte, sealSize)...),
		"unknown key":           unknown,
		"unknown key, asking":   signedAs(bob.identity, header{kind: kindChallenge, key: eve.public, session: bob.signer.session}),
		"unknown key, answered": signedAs(bob.identity, header{kind: kindAnswer, mark: 1, key: eve.public}),
	} {
		if n := testing.AllocsPerRun(100, func() { bob.receive(w.now, malloryAt, b) }); n != 0 || *bob.budget != before {
			t.Errorf("%s: %g allocations, or the budget has changed", name, n)
		}
	}
}

// Close gives up the routes of a socket, so that addresses which nobody needs
// longer than Config.Hold are forgotten.
func TestCloseGivesUpItsRoutes(t *testing.T) {
	w := newWorld(t)
	w.befriend(aliceAt, bobAt)
	bob := w.ends[bobAt]
	c := newPacketConn(nowhere{}, bob.network)
	c.gate = bob.gate
	c.Close()
	if place := bob.network.packets.places[aliceAt]; place.routes != 0 || len(bob.peers)+len(bob.routes) > 0 {
		t.Errorf("after Close there are %d routes at the address of alice, %d peers and %d routes", place.routes, len(bob.peers), len(bob.routes))
	}
}

// What a read beneath returns while Close runs is dropped: nothing is learnt any
// more.
func TestDatagramAfterCloseIsDropped(t *testing.T) {
	w := newWorld(t)
	w.lose = func(f flight) bool { return f.kind() == kindAnswer }
	w.send(aliceAt, bobAt, "held")
	bob := w.ends[bobAt]
	c := newPacketConn(nowhere{}, bob.network)
	c.gate = bob.gate
	c.Close()
	answer := w.flights[len(w.flights)-1].b
	if got := bob.change(func() { c.receive(answer, aliceAt) }); got != "[]" {
		t.Errorf("an answer after Close: %s", got)
	}
}
