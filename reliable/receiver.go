package reliable

import (
	"bytes"
	"math"
	"slices"
	"time"
)

// An acknowledgement waits for a second segment, but not for long: it may then
// ride with data, or stand for two.
const (
	ackEvery = 2
	ackDelay = 25 * time.Millisecond
)

// A receiver is the receiving half of an association: it puts the segments in
// order again, each once, and acknowledges them.
type receiver struct {
	inbox   *inbox
	limit   int               // bytes that the inbox and ahead may hold
	next    uint64            // the first segment that is missing
	ahead   map[uint64][]byte // segments beyond next
	ranges  []span            // their numbers
	largest uint64            // the largest transmission number that arrived
	dropped uint64            // the first segment that came too late to be read, once the inbox is shut

	told    uint64    // the edge of the window that the last acknowledgement told, or the first will
	unacked int       // segments that arrived since then
	ackAt   time.Time // when the next one is due; zero if none is
}

func newReceiver(in *inbox, limit int) receiver {
	return receiver{inbox: in, limit: limit, ahead: make(map[uint64][]byte), told: uint64(limit / maxSegment)}
}

// window is for how many segments from next on there is room. What it welcomes
// once it welcomes until it has come: next rises by one, and the inbox by no
// more than one segment.
func (r *receiver) window() int {
	return min(max(r.limit-r.inbox.stream.Len(), 0)/maxSegment, math.MaxUint16)
}

// accept takes a segment. It reports whether the segment was new.
func (r *receiver) accept(now time.Time, number, transmission uint64, payload []byte) (fresh bool) {
	_, known := r.ahead[number]
	switch {
	case number < r.next || known:
		r.largest = max(r.largest, transmission)
		r.ackAt = now
		return false
	case number >= r.next+uint64(r.window()):
		r.ackAt = now
		return true
	}
	inOrder := transmission == r.largest+1
	r.largest = max(r.largest, transmission)
	r.unacked++
	if number > r.next {
		r.ahead[number] = bytes.Clone(payload)
		r.ranges = insert(r.ranges, number)
		r.ackAt = now
		return true
	}
	if !inOrder || len(r.ranges) > 0 || r.unacked >= ackEvery {
		r.ackAt = now
	} else if r.ackAt.IsZero() {
		r.ackAt = now.Add(ackDelay)
	}
	r.inbox.add(payload)
	r.next++
	if len(r.ranges) > 0 && r.ranges[0].first == r.next {
		for ; r.next < r.ranges[0].end; r.next++ {
			r.inbox.add(r.ahead[r.next])
			delete(r.ahead, r.next)
		}
		r.ranges = slices.Delete(r.ranges, 0, 1)
	}
	return true
}

// insert adds number, which is new, to ranges that ascend with gaps between.
func insert(ranges []span, number uint64) []span {
	i := len(ranges)
	for i > 0 && ranges[i-1].first > number {
		i--
	}
	joinsLeft := i > 0 && ranges[i-1].end == number
	joinsRight := i < len(ranges) && ranges[i].first == number+1
	switch {
	case joinsLeft && joinsRight:
		ranges[i-1].end = ranges[i].end
		return slices.Delete(ranges, i, i+1)
	case joinsLeft:
		ranges[i-1].end++
	case joinsRight:
		ranges[i].first--
	default:
		return slices.Insert(ranges, i, span{number, number + 1})
	}
	return ranges
}

// read is to be called when something left the inbox. The sender is told when
// there is room for a good deal more than it knows of, not for each message.
func (r *receiver) read(now time.Time) {
	edge := r.next + uint64(r.window())
	if edge >= r.told+uint64(r.limit/maxSegment/4) {
		r.ackAt = now
	}
}

// shutDown drops everything, now and later. It is acknowledged as before: an end
// that leaves too waits for that.
func (r *receiver) shutDown() {
	r.inbox.shutDown()
	r.dropped = r.next
}

// unread is the first segment that nobody will read if the association ends now.
func (r *receiver) unread() uint64 {
	if r.inbox.shut {
		return r.dropped
	}
	return r.next
}

// due reports whether an acknowledgement is to be sent now.
func (r *receiver) due(now time.Time) bool { return !r.ackAt.IsZero() && !r.ackAt.After(now) }

// acknowledge returns the acknowledgement that is to be sent. Its ranges are
// good until the next call of accept.
func (r *receiver) acknowledge() acknowledgement {
	r.unacked, r.ackAt = 0, time.Time{}
	window := r.window()
	r.told = r.next + uint64(window)
	return acknowledgement{r.next, r.largest, window, r.ranges[:min(len(r.ranges), maxRanges)]}
}
