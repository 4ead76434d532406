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
// sent again (Karn's algorithm is not needed).
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
// a row.
func (r *rtt) timeout(backoff int) time.Duration {
	d := firstTimeout
	if r.smoothed > 0 {
		d = max(r.smoothed+4*r.variation, minTimeout)
	}
	return min(d<<min(backoff, maxBackoff), maxTimeout)
}
