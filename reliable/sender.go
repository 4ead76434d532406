package reliable

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

// A sender is the sending half of an association. The messages form a stream of
// bytes, each preceded by its length. The stream is cut into segments, numbered
// from 0, each when it may leave and of all that waits then, so that small
// messages share one when the windows hold them back. A segment never changes
// and is sent until it is acknowledged.
//
// Each transmission has a number of its own, from 1, also when it repeats a
// segment: acknowledgements tell which one arrived.
type sender struct {
	queue    bytes.Buffer // what is not cut into segments yet
	segments []segment    // those that were sent, from the first that is not acknowledged
	first    uint64       // the number of segments[0]
	edge     uint64       // the first segment that the receiver has no room for
	limit    int          // how many segments may be kept, whatever room the receiver has
	held     int          // bytes in queue and in segments
	taken    time.Time    // when something was acknowledged that was not before, or something began to wait
	dropped  bool         // nobody will read all that was acknowledged

	sent       []transmission // from the oldest that matters
	oldest     uint64         // the number of sent[0]
	largest    uint64         // the largest transmission number that was acknowledged
	reordering reordering
	lost       []uint64 // segments to send again; some may have arrived since
	flight     int      // segments on their way: neither acknowledged nor lost

	rtt        rtt
	congestion congestion
	expires    time.Time // when the retransmission time-out is over; zero if nothing waits
	backoff    int       // time-outs in a row
	probing    bool      // the last segment is beyond the edge

	stats *counters
}

type segment struct {
	payload      []byte // nil once it is acknowledged
	transmission uint64 // its last
	lost         bool
}

type transmission struct {
	segment uint64
	at      time.Time
}

func newSender(window int, stats *counters) sender {
	return sender{
		edge:       initialWindow,
		limit:      window / maxSegment,
		oldest:     1,
		reordering: reordering{overtakers: firstOvertakers},
		congestion: congestion{window: initialWindow},
		stats:      stats,
	}
}

// push queues a message.
func (s *sender) push(message []byte) {
	s.queue.Write(binary.BigEndian.AppendUint16(s.queue.AvailableBuffer(), uint16(len(message))))
	s.queue.Write(message)
	s.held += 2 + len(message)
}

// outstanding reports whether a message is not wholly acknowledged.
func (s *sender) outstanding() bool { return s.held > 0 }

func (s *sender) end() uint64              { return s.first + uint64(len(s.segments)) }
func (s *sender) nextTransmission() uint64 { return s.oldest + uint64(len(s.sent)) }

// next returns a segment to transmit now, and the number of this transmission,
// if there is one: first what got lost, then what is new, as far as both windows
// allow. It is to be called until there is none.
func (s *sender) next(now time.Time) (number, sending uint64, payload []byte, ok bool) {
	if s.congestion.allows(s.flight) {
		if number, ok = s.takeLost(); ok {
			s.stats.retransmitted.Add(1)
		} else {
			number, ok = s.cut()
		}
	}
	if !ok {
		if s.expires.IsZero() && s.outstanding() {
			s.expires = now.Add(s.rtt.timeout(s.backoff))
		}
		return 0, 0, nil, false
	}
	sending = s.nextTransmission()
	s.sent = append(s.sent, transmission{number, now})
	s.flight++
	if number == s.first { // whose time-out it is
		s.expires = time.Time{}
	}
	seg := &s.segments[number-s.first]
	seg.transmission, seg.lost = sending, false
	return number, sending, seg.payload, true
}

// takeLost returns the first segment that is to be sent again.
func (s *sender) takeLost() (number uint64, ok bool) {
	for len(s.lost) > 0 {
		number, s.lost = s.lost[0], s.lost[1:]
		if number >= s.first && s.segments[number-s.first].lost {
			return number, true
		}
	}
	return 0, false
}

// cut makes a new segment of what waits.
func (s *sender) cut() (number uint64, ok bool) {
	if s.queue.Len() == 0 || s.end() >= s.edge || len(s.segments) >= s.limit {
		return 0, false
	}
	payload := bytes.Clone(s.queue.Next(maxSegment))
	s.segments = append(s.segments, segment{payload: payload})
	return s.end() - 1, true
}

// acknowledged tells what the receiver has. It reports whether that can be
// true.
func (s *sender) acknowledged(now time.Time, a acknowledgement) bool {
	if a.next > s.end() || a.transmission >= s.nextTransmission() ||
		len(a.ranges) > 0 && a.ranges[len(a.ranges)-1].end > s.end() {
		return false
	}
	limited := !s.congestion.allows(s.flight)
	arrived := 0
	for number := s.first; number < a.next; number++ {
		arrived += s.settle(number, a.transmission)
	}
	if a.next > s.first {
		s.segments = slices.Delete(s.segments, 0, int(a.next-s.first))
		s.first = a.next
		s.backoff, s.expires = 0, time.Time{}
	}
	for _, r := range a.ranges {
		for number := max(r.first, s.first); number < r.end; number++ {
			arrived += s.settle(number, a.transmission)
		}
	}
	if a.transmission > s.largest {
		s.largest = a.transmission
		if a.transmission >= s.oldest {
			s.rtt.sample(now.Sub(s.sent[a.transmission-s.oldest].at))
		}
	}
	if arrived > 0 {
		s.taken = now
	}
	if limited {
		s.congestion.acked(arrived, s.largest)
	}
	s.reordering.acked(s.largest, s.nextTransmission())
	s.findLost()
	if edge := a.next + uint64(a.window); edge > s.edge {
		s.open(edge)
	}
	return true
}

// settle forgets a segment that has arrived, among transmissions up to the
// largest, and returns 1 if that is new.
func (s *sender) settle(number, largest uint64) int {
	seg := &s.segments[number-s.first]
	if seg.payload == nil {
		return 0
	}
	s.held -= len(seg.payload)
	seg.payload = nil
	if seg.lost || seg.transmission > largest { // it was declared lost, and was late
		s.reordering.late = true
	}
	if !seg.lost {
		s.flight--
	}
	seg.lost = false
	return 1
}

// findLost declares lost what enough later transmissions have overtaken. In a
// window of n, only n-1 can.
func (s *sender) findLost() {
	enough := uint64(min(max(int(s.congestion.window)-1, 1), s.reordering.overtakers))
	done := 0
	for ; done < len(s.sent); done++ {
		number, sending := s.sent[done].segment, s.oldest+uint64(done)
		if s.inFlight(number) && s.segments[number-s.first].transmission == sending {
			if sending+enough > s.largest {
				break
			}
			s.lose(number)
			s.congestion.lost(sending, s.nextTransmission())
		}
	}
	s.sent = slices.Delete(s.sent, 0, done)
	s.oldest += uint64(done)
}

// inFlight reports whether a segment is on its way.
func (s *sender) inFlight(number uint64) bool {
	if number < s.first || number >= s.end() {
		return false
	}
	seg := &s.segments[number-s.first]
	return seg.payload != nil && !seg.lost
}

func (s *sender) lose(number uint64) {
	s.segments[number-s.first].lost = true
	s.lost = append(s.lost, number)
	s.flight--
}

// open moves the receiver's edge. What was sent beyond it to ask for room was
// not taken, and leaves again.
func (s *sender) open(edge uint64) {
	if s.probing && s.inFlight(s.edge-1) {
		s.lose(s.edge - 1)
	}
	s.edge, s.probing = edge, false
	if s.flight == 0 {
		s.backoff, s.expires = 0, time.Time{}
	}
}

// timeout is to be called when expires has come. All that is on its way is
// lost or, if nothing is, the receiver has had no room for long: one segment
// asks whether it has some now.
func (s *sender) timeout() {
	s.expires = time.Time{}
	s.backoff++
	s.stats.timeOuts.Add(1)
	if len(s.segments) == 0 {
		s.edge++
		s.probing = true
		return
	}
	for i := range s.segments {
		if number := s.first + uint64(i); s.inFlight(number) {
			s.lose(number)
		}
	}
	if !s.probing {
		s.congestion.timedOut(s.nextTransmission())
	}
	if over := len(s.sent) - s.limit; over > 0 { // none of them is on its way any more
		s.sent = slices.Delete(s.sent, 0, over)
		s.oldest += uint64(over)
	}
}
