package secure

import (
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is held for those who have not answered their challenge yet.
const (
	maxWaiting       = 256      // routes of one socket
	maxWaitingPerKey = 8        // routes of one key
	maxHeldPerRoute  = 64 << 10 // bytes, with heldOverhead for each payload
	maxHeld          = 4 << 20  // bytes of one socket
	heldOverhead     = 64
)

// A path is one session of a key, as it is heard from one address.
type path struct {
	key     PublicKey
	session uint64
	address netip.AddrPort
}

// A waiting is a path that is being challenged.
type waiting struct {
	path
	challenged time.Time
	held       []heldPayload // in the order of arrival
	bytes      int           // that held takes
}

type heldPayload struct {
	number  uint64
	payload []byte
}

// A lobby holds the payloads of those who have not answered yet. Who was heard
// least recently gives way.
type lobby struct {
	paths []*waiting // as they were heard
	bytes int        // that all of them hold
}

// find returns a path that waits, nil if it does not.
func (l *lobby) find(p path) *waiting {
	for _, w := range l.paths {
		if w.session == p.session && w.path == p {
			return w
		}
	}
	return nil
}

// enter returns a path that waits from now on.
func (l *lobby) enter(p path) *waiting {
	w := l.find(p)
	if w == nil {
		w = &waiting{path: p}
		l.makeRoom(p.key)
	} else {
		i := slices.Index(l.paths, w)
		l.paths = slices.Delete(l.paths, i, i+1)
	}
	l.paths = append(l.paths, w)
	return w
}

// makeRoom makes room for one more path of a key.
func (l *lobby) makeRoom(key PublicKey) {
	same, first := 0, -1
	for i, w := range l.paths {
		if w.key == key {
			if same++; first < 0 {
				first = i
			}
		}
	}
	switch {
	case same >= maxWaitingPerKey:
		l.remove(first)
	case len(l.paths) >= maxWaiting:
		l.remove(0)
	}
}

func (l *lobby) remove(i int) {
	l.bytes -= l.paths[i].bytes
	l.paths = slices.Delete(l.paths, i, i+1)
}

// hold keeps a copy of a payload for the path that entered last. It reports
// whether there was room.
func (l *lobby) hold(number uint64, payload []byte) bool {
	w := l.paths[len(l.paths)-1]
	size := len(payload) + heldOverhead
	if w.bytes+size > maxHeldPerRoute {
		return false
	}
	for l.bytes+size > maxHeld {
		l.remove(0)
	}
	w.held = append(w.held, heldPayload{number, slices.Clone(payload)})
	w.bytes += size
	l.bytes += size
	return true
}

// holds reports whether a payload of this number is held for the path.
func (w *waiting) holds(number uint64) bool {
	return w != nil && slices.ContainsFunc(w.held, func(h heldPayload) bool { return h.number == number })
}

// leave returns what was held for a path, which waits no longer.
func (l *lobby) leave(p path) []heldPayload {
	w := l.find(p)
	if w == nil {
		return nil
	}
	l.remove(slices.Index(l.paths, w))
	return w.held
}
