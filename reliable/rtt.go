package reliable

import "time"

// The retransmission time-out, as RFC 6298 computes it.
const (
	firstTimeout = time.Second
	minTimeout   = 200 * time.Millisecond
	maxTimeout   = 5 * time.Second
	maxBackoff   = 2 // doublings
)

// An rtt knows how long a peer takes to answer. The zero one knows nothing yet.
type rtt struct {
	smoothed  time.Duration
	variation time.Duration
}

// sample tells of one round trip. Transmission numbers tell which transmission
// of a segment was answered, so that every answer counts, also to one that was
// sent again. (Karn's algorithm, which leaves those out, is for the handshake.)
func (r *rtt) sample(d time.Duration) {
	d = max(d, 1)
	if r.smoothed == 0 {
		r.smoothed, r.variation = d, d/2
		return
	}
	r.variation += ((r.smoothed - d).Abs() - r.variation) / 4
	r.smoothed += (d - r.smoothed) / 8
}

// timeout is how long to wait for an acknowledgement after backoff time-outs in
// a row. As long as no round trip is known, it stays what it is at first: long
// enough for most, and none may ever be known if it grew while half of all that
// is sent gets lost.
func (r *rtt) timeout(backoff int) time.Duration {
	if r.smoothed == 0 {
		return firstTimeout
	}
	d := max(r.smoothed+4*r.variation, minTimeout)
	return min(d<<min(backoff, maxBackoff), maxTimeout)
}
