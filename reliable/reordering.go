package reliable

// Three transmissions that overtook one say that it got lost, as three
// duplicate acknowledgements do in TCP. Where that is wrong, the network
// reorders, and it takes more of them, until it has been right for so many
// round trips.
const (
	firstOvertakers = 3
	maxOvertakers   = 64
	calmAfter       = 16
)

// A reordering learns how far a network lets datagrams overtake others.
type reordering struct {
	overtakers int    // how many say that a transmission got lost
	late       bool   // one that was declared lost has arrived since the last call of acked
	raised     bool   // overtakers was raised in this round trip: once is enough
	round      uint64 // the first transmission of the next round trip
	calm       int    // round trips since overtakers was changed
}

// acked is to be called for each acknowledgement; largest is the largest
// transmission that arrived, next the number of the next one.
func (r *reordering) acked(largest, next uint64) {
	late := r.late
	r.late = false
	switch {
	case late && !r.raised:
		r.overtakers = min(2*r.overtakers, maxOvertakers)
		r.raised, r.round, r.calm = true, next, 0
	case largest < r.round:
	default:
		r.raised, r.round = false, next
		if r.calm++; r.calm == calmAfter {
			r.overtakers, r.calm = max(r.overtakers/2, firstOvertakers), 0
		}
	}
}
