package simnet

import (
	"slices"
	"time"
)

const (
	maxFlight  = 512 // segments that are under way at once
	reordering = 3   // so many later segments may arrive before one that is not lost

	firstTimeout = time.Second // until a round trip was measured; a time-out doubles each time
	minVariance  = 200 * time.Millisecond
	maxTimeout   = 2 * time.Minute
)

// outgoing is the half of a stream that sends. Offsets are as those of incoming.
type outgoing struct {
	data    []byte    // from acked to written; no byte is ever changed: segments share it
	written int64     // offset
	shut    bool      // nothing more will be written: FIN comes next
	acked   int64     // all before it has arrived
	next    int64     // all before it is, or was, in flight
	edge    int64     // offset up to which the other end has room
	flight  []stretch // sent or about to be, and not acknowledged; by offset

	transmissions, latest uint64        // so far, and the last one that is known to have arrived
	srtt, rttvar, rto     time.Duration // as RFC 6298 has them

	started time.Time // the timer
	since   time.Time // there has been no progress
	tries   int       // times the timer has gone off since
}

// A stretch is what one segment carries: bytes, SYN or FIN.
type stretch struct {
	from, to     int64
	transmission uint64 // the latest one
	at           time.Time
	due          bool // it is to be sent, or sent again
	arrived      bool
}

// newOutgoing returns the half of a stream that has a SYN to send.
func newOutgoing(now time.Time) outgoing {
	syn := stretch{from: -1, to: 0, due: true}
	return outgoing{acked: -1, flight: []stretch{syn}, rto: firstTimeout, started: now, since: now}
}

// put takes as much of payload as there is room for.
func (o *outgoing) put(now time.Time, payload []byte) int {
	if o.isIdle() {
		o.restart(now)
	}
	n := min(len(payload), streamBuffer-len(o.data))
	if cap(o.data)-len(o.data) < n {
		o.data = slices.Grow(o.data, max(n, len(o.data)))
	}
	o.data = append(o.data, payload[:n]...)
	o.written += int64(n)
	return n
}

// end lets nothing more be written.
func (o *outgoing) end(now time.Time) {
	if o.isIdle() {
		o.restart(now)
	}
	o.shut = true
}

// isIdle reports whether all there is has arrived.
func (o *outgoing) isIdle() bool {
	return len(o.flight) == 0 && o.next >= o.written && (!o.shut || o.next > o.written)
}

// restart says that there was progress, or that there is something to wait for.
func (o *outgoing) restart(now time.Time) { o.started, o.since, o.tries = now, now, 0 }

// extend puts into flight what comes next: at most size bytes, and nothing from
// the offset limit on.
func (o *outgoing) extend(now time.Time, size, limit int64) {
	end := o.next
	switch {
	case o.acked < 0 || len(o.flight) >= maxFlight:
	case o.next < o.written:
		end = min(o.next+size, o.written, o.edge, limit)
	case o.shut && o.next == o.written && o.next < limit:
		end++
	}
	if end <= o.next {
		return
	}
	if len(o.flight) == 0 {
		o.restart(now)
	}
	o.flight = append(o.flight, stretch{from: o.next, to: end, due: true})
	o.next = end
}

// transmit returns what is to be sent now, of at most size bytes.
func (o *outgoing) transmit(now time.Time, size int64) (stretch, bool) {
	i := slices.IndexFunc(o.flight, func(e stretch) bool { return e.due })
	if i < 0 {
		return stretch{}, false
	}
	if rest := o.flight[i]; rest.to-rest.from > size { // the MTU has become less
		rest.from += size
		o.flight[i].to = rest.from
		o.flight = slices.Insert(o.flight, i+1, rest)
	}
	e := &o.flight[i]
	o.transmissions++
	e.transmission, e.at, e.due = o.transmissions, now, false
	return *e, true
}

// payload returns the bytes of a stretch: none, if it is SYN or FIN.
func (o *outgoing) payload(e stretch) []byte {
	if e.from < 0 || e.from >= o.written {
		return nil
	}
	start := max(o.acked, 0)
	return o.data[e.from-start : e.to-start : e.to-start]
}

// acknowledge takes note that all before the offset ack has arrived, and one
// transmission. It reports whether there was progress.
func (o *outgoing) acknowledge(now time.Time, ack int64, transmission uint64) bool {
	o.latest = max(o.latest, transmission)
	for i := range o.flight {
		e := &o.flight[i]
		switch {
		case e.arrived || e.due:
		case e.transmission == transmission:
			e.arrived = true
			o.measure(now.Sub(e.at))
		case e.transmission+reordering <= o.latest && now.Sub(e.at) >= o.srtt+4*o.rttvar:
			e.due = e.to > ack
		}
	}
	if ack <= o.acked {
		return false
	}
	o.data = o.data[min(ack, o.written)-max(o.acked, 0):]
	o.acked = ack
	arrived := slices.IndexFunc(o.flight, func(e stretch) bool { return e.to > ack })
	if arrived < 0 {
		arrived = len(o.flight)
	}
	o.flight = o.flight[arrived:]
	o.restart(now)
	return true
}

// measure takes note of a round trip.
func (o *outgoing) measure(rtt time.Duration) {
	if o.srtt == 0 && o.rttvar == 0 {
		o.srtt, o.rttvar = rtt, rtt/2
	} else {
		o.rttvar += ((o.srtt - rtt).Abs() - o.rttvar) / 4
		o.srtt += (rtt - o.srtt) / 8
	}
	o.rto = o.srtt + max(4*o.rttvar, minVariance)
}

// timeout is how long to wait for an acknowledgement.
func (o *outgoing) timeout() time.Duration {
	return min(o.rto<<min(o.tries, 12), maxTimeout)
}
