package reliable

// The constants of congestion control, in segments.
const (
	initialWindow = 10
	minWindow     = 2
	increase      = 1460.0 / maxSegment // a round trip, in congestion avoidance: one segment of TCP's over Ethernet
	decrease      = 0.7                 // what a loss leaves of the window
)

// A congestion is how many segments may be on their way at once: the
// congestion window. It starts small and doubles each round trip (slow start);
// a loss says that it was too large and reduces it; from then on it grows by
// one segment a round trip (congestion avoidance).
type congestion struct {
	window    float64
	threshold float64 // where slow start ends; 0 as long as nothing was lost
	recovery  uint64  // the first transmission after the last reduction
}

// allows reports whether one more segment may leave when flight are on their
// way.
func (c *congestion) allows(flight int) bool { return float64(flight+1) <= c.window }

// acked tells that so many segments arrived, the last of them by transmission,
// while the window was in full use.
func (c *congestion) acked(segments int, transmission uint64) {
	switch {
	case transmission < c.recovery:
	case c.threshold == 0 || c.window < c.threshold:
		c.window += float64(segments)
	default:
		c.window += increase * float64(segments) / c.window
	}
}

// lost tells that a transmission got lost; next is the number of the next one.
// All that was sent before a reduction belongs to the same congestion: the
// window is reduced once a round trip.
func (c *congestion) lost(transmission, next uint64) {
	if transmission >= c.recovery {
		c.window = max(c.window*decrease, minWindow)
		c.threshold = c.window
		c.recovery = next
	}
}

// timedOut tells that nothing came back: all that was on its way counts as
// lost, and slow start begins anew, up to where the window was before.
func (c *congestion) timedOut(next uint64) {
	if c.window > minWindow {
		c.threshold = c.window * decrease
	}
	c.window = minWindow
	c.recovery = next
}
