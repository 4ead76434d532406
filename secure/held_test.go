package secure

import (
	"net/netip"
	"testing"
	"time"
)

func TestLobbyHasItsBounds(t *testing.T) {
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(malloryAt.Addr(), uint16(i)) }
	one := func(i int) path { return path{PublicKey{1}, 1, at(i)} }
	many := func(i int) path { return path{PublicKey{byte(i), byte(i >> 8)}, 1, at(i)} }
	for _, test := range []struct {
		name         string
		path         func(i int) path
		size         int
		paths, bytes int // in the end
	}{
		{"one key", one, 0, maxWaitingPerKey, maxWaitingPerKey * heldOverhead},
		{"many keys", many, 0, maxWaiting, maxWaiting * heldOverhead},
		{"one key, long payloads", one, maxHeldPerRoute - heldOverhead, maxWaitingPerKey, maxWaitingPerKey * maxHeldPerRoute},
		{"many keys, long payloads", many, maxHeldPerRoute - heldOverhead, maxHeld / maxHeldPerRoute, maxHeld},
	} {
		var l lobby
		for i := range 1000 {
			l.enter(test.path(i))
			if !l.hold(1, make([]byte, test.size)) {
				t.Fatalf("%s: no room for the first payload of path %d", test.name, i)
			}
		}
		if len(l.paths) != test.paths || l.bytes != test.bytes {
			t.Errorf("%s: %d paths with %d bytes, want %d with %d", test.name, len(l.paths), l.bytes, test.paths, test.bytes)
		}
		first, last := test.path(1000-test.paths), test.path(999)
		if l.find(first) == nil || l.find(last) == nil || l.find(test.path(999-test.paths)) != nil {
			t.Errorf("%s: it is not the least recent ones that gave way", test.name)
		}
		for i := range 1000 {
			l.leave(test.path(i))
		}
		if len(l.paths) != 0 || l.bytes != 0 {
			t.Errorf("%s: %d paths with %d bytes remain", test.name, len(l.paths), l.bytes)
		}
	}
}

func TestLobbyHoldsSoMuchForEachPath(t *testing.T) {
	var l lobby
	p := path{PublicKey{1}, 1, malloryAt}
	l.enter(p).challenged = time.Unix(1, 0)
	n := 0
	for n < 2000 && l.hold(uint64(n), nil) {
		n++
	}
	if n != 1024 {
		t.Fatalf("%d empty payloads are held, want 1,024", n)
	}
	if w := l.enter(p); w.challenged.IsZero() || !w.holds(uint64(n-1)) || w.holds(uint64(n)) {
		t.Error("who enters again has lost what was held")
	}
	for i, h := range l.leave(p) {
		if h.number != uint64(i) {
			t.Fatalf("payload %d has the number %d", i, h.number)
		}
	}
}
