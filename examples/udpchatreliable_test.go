package examples_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// sayThroughABadNetwork makes Bob say numbers to Alice, both in the same
// program, and returns those that she showed.
func sayThroughABadNetwork(t *testing.T, program string, count int) (shown []string) {
	t.Helper()
	alice := join(t, program, "Alice")
	relay, listen := startBadNetwork(t, "-udp", "loss=0.3,dup=0.2,reorder=0.3,delay=20ms,jitter=10ms,seed=3", "127.0.0.1:"+alice.port)
	bob := join(t, program, "Bob", "0", listen[0])
	for i := range count {
		bob.say(fmt.Sprint("number ", i))
	}
	bob.leave()
	relay.say("delay=200ms") // longer than anything that is still on its way
	relay.expect("Faults: delay=200ms")
	carol := join(t, program, "Carol", "0", listen[0])
	carol.say("That was all.")
	alice.expect("That was all.")
	for _, p := range []*process{carol, alice, relay} {
		p.leave()
	}
	for _, line := range alice.lines {
		if number, ok := strings.CutPrefix(line, "\tnumber "); ok {
			shown = append(shown, number)
		}
	}
	return shown
}

func TestUDPChatReliableThroughABadNetwork(t *testing.T) {
	t.Parallel()
	const count = 200
	var want []string
	for i := range count {
		want = append(want, fmt.Sprint(i))
	}
	if got := sayThroughABadNetwork(t, "udpchatreliable", count); !slices.Equal(got, want) {
		t.Errorf("%v is shown, want %d numbers in order", got, count)
	}
	got := sayThroughABadNetwork(t, "udpchatgraceful", count)
	byNumber := make(map[string]int)
	for _, number := range got {
		byNumber[number]++
	}
	if len(byNumber) == count || len(byNumber) == len(got) || slices.IsSortedFunc(got, func(a, b string) int {
		return slices.Index(want, a) - slices.Index(want, b)
	}) {
		t.Errorf("%v is shown by udpchatgraceful, want some missing, some twice, and some overtaken", got)
	}
}

func TestUDPChatReliableSaysGoodbye(t *testing.T) {
	t.Parallel()
	alice := join(t, "udpchatreliable", "Alice")
	relay, listen := startBadNetwork(t, "-udp", "loss=0.2,dup=0.2,delay=5ms,seed=1", "127.0.0.1:"+alice.port)
	bob := join(t, "udpchatreliable", "Bob", "0", listen[0])
	bob.say("Hello Alice!")
	alice.expect("Hello Alice!")
	alice.say("Hello Bob, how are you?")
	bob.expect("Hello Bob, how are you?")
	bob.signal(os.Interrupt)
	bob.exits(0)
	alice.expect("<LEAVES THE CHAT>")
	alice.leave()
	relay.leave()
}

func TestUDPChatReliableTellsWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	bob := join(t, "udpchatreliable", "Bob", "0", "127.0.0.1:"+freePort(t))
	bob.say("Is anybody there?")
	bob.stdin.Close()
	bob.exits(0)
	bob.shows("has not acknowledged everything")
}
