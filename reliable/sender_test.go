package reliable

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// newTestSender returns a sender whose receiver has much room, and which has
// full segments to send.
func newTestSender(segments int) *sender {
	s := newSender(1000*maxSegment, new(counters))
	s.edge = 1000
	for range segments {
		s.push(make([]byte, maxSegment-2))
	}
	return &s
}

// transmit returns the segments that are sent now.
func transmit(s *sender, now time.Time) (numbers []uint64) {
	for {
		number, _, _, ok := s.next(now)
		if !ok {
			return numbers
		}
		numbers = append(numbers, number)
	}
}

func wantSent(t *testing.T, s *sender, now time.Time, want ...uint64) {
	t.Helper()
	if got := transmit(s, now); !slices.Equal(got, want) {
		t.Errorf("sends %v, want %v", got, want)
	}
}

func acknowledge(t *testing.T, s *sender, now time.Time, a acknowledgement) {
	t.Helper()
	if !s.acknowledged(now, a) {
		t.Errorf("%+v is refused", a)
	}
}

func TestSmallMessagesShareASegmentWhenTheWindowIsFull(t *testing.T) {
	s := newTestSender(0)
	now := time.Unix(1e9, 0)
	for i := range uint64(initialWindow) {
		s.push([]byte("at once"))
		wantSent(t, s, now, i)
	}
	for range 3 {
		s.push([]byte("together"))
		wantSent(t, s, now)
	}
	acknowledge(t, s, now, acknowledgement{next: 1, transmission: 1})
	_, _, payload, _ := s.next(now)
	if want := strings.Repeat("\x00\x08together", 3); string(payload) != want {
		t.Errorf("the next segment is %q, want %q", payload, want)
	}
}

func TestASegmentNeverChanges(t *testing.T) {
	s := newTestSender(0)
	now := time.Unix(1e9, 0)
	s.push([]byte("first"))
	_, _, before, _ := s.next(now)
	before = bytes.Clone(before)
	s.push([]byte("second"))
	s.timeout()
	if _, _, after, _ := s.next(now); !bytes.Equal(before, after) {
		t.Errorf("%q has become %q", before, after)
	}
}

func TestThreeOvertakersMakeALoss(t *testing.T) {
	s := newTestSender(20)
	now := time.Unix(1e9, 0)
	wantSent(t, s, now, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 3, ranges: []span{{1, 3}}})
	if len(s.lost) != 0 {
		t.Errorf("after two, %v are lost", s.lost)
	}
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 4, ranges: []span{{1, 4}}})
	if !slices.Equal(s.lost, []uint64{0}) {
		t.Errorf("after three, %v are lost", s.lost)
	}
	if want := initialWindow + 2.; s.congestion.window != want*decrease {
		t.Errorf("the window is %v, want %v", s.congestion.window, want*decrease)
	}
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 10, ranges: []span{{1, 10}}})
	if got := transmit(s, now); got[0] != 0 {
		t.Errorf("sends %v, want 0 first", got)
	}
}

func TestLossOfARetransmissionIsFound(t *testing.T) {
	s := newTestSender(20)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 10, ranges: []span{{1, 10}}})
	sent := transmit(s, now) // 11: segment 0 again; then new ones
	if sent[0] != 0 || len(sent) < 4 {
		t.Fatalf("sends %v", sent)
	}
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 14, ranges: []span{{1, 13}}})
	if !slices.Contains(s.lost, 0) {
		t.Error("the retransmission of 0 is not lost")
	}
}

func TestInASmallWindowFewerOvertakersAreEnough(t *testing.T) {
	s := newTestSender(5)
	s.congestion.window, s.congestion.threshold = minWindow, minWindow
	now := time.Unix(1e9, 0)
	wantSent(t, s, now, 0, 1)
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 2, ranges: []span{{1, 2}}})
	wantSent(t, s, now, 0, 2)
}

func TestReorderingTakesMoreOvertakers(t *testing.T) {
	s := newTestSender(30)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	acknowledge(t, s, now, acknowledgement{next: 0, transmission: 6, ranges: []span{{1, 6}}})
	acknowledge(t, s, now, acknowledgement{next: 6, transmission: 6})
	if s.reordering.overtakers != 2*firstOvertakers {
		t.Errorf("%d overtakers, want %d", s.reordering.overtakers, 2*firstOvertakers)
	}
	if got := s.stats.retransmitted.Load(); got != 0 {
		t.Errorf("%d retransmissions, want none", got)
	}
}

// However many arrive late at once, that is one lesson.
func TestOvertakersRiseOnceARoundTrip(t *testing.T) {
	s := newTestSender(30)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	s.timeout()
	transmit(s, now)
	for next := uint64(1); next <= 6; next++ {
		acknowledge(t, s, now, acknowledgement{next: next, transmission: next})
	}
	if s.reordering.overtakers != 2*firstOvertakers {
		t.Errorf("%d overtakers, want %d", s.reordering.overtakers, 2*firstOvertakers)
	}
}

func TestOvertakersComeDown(t *testing.T) {
	r := reordering{overtakers: 4 * firstOvertakers}
	for trip := range uint64(2 * calmAfter) {
		if want := 4 * firstOvertakers >> (trip / calmAfter); r.overtakers != want {
			t.Fatalf("after %d round trips, %d overtakers, want %d", trip, r.overtakers, want)
		}
		for acks := range uint64(5) {
			r.acked(10*trip+acks, 10*trip+10)
		}
	}
	if r.overtakers != firstOvertakers {
		t.Errorf("%d overtakers, want %d", r.overtakers, firstOvertakers)
	}
}

// That others arrive does not put off the time-out of the first.
func TestTimeoutIsThatOfTheFirstMissing(t *testing.T) {
	s := newTestSender(0)
	s.reordering.overtakers = maxOvertakers
	s.congestion.window = 100
	now := time.Unix(1e9, 0)
	s.rtt.sample(20 * ms)
	expires := now.Add(minTimeout)
	for i := range uint64(15) {
		s.push([]byte("x"))
		wantSent(t, s, now, i)
		if i > 0 {
			acknowledge(t, s, now, acknowledgement{transmission: i + 1, ranges: []span{{1, i + 1}}})
			transmit(s, now)
		}
		if !s.expires.Equal(expires) {
			t.Fatalf("expires %v after the transmission of the first, want %v", s.expires.Sub(expires)+minTimeout, minTimeout)
		}
		now = now.Add(10 * ms)
	}
	s.lose(0)
	transmit(s, now)
	if want := now.Add(s.rtt.timeout(0)); !s.expires.Equal(want) {
		t.Errorf("after it was sent again, it expires %v too late", s.expires.Sub(want))
	}
}

// Who acknowledges all but the first segment gets no more than the window.
func TestSegmentsBehindAMissingOneAreBounded(t *testing.T) {
	s := newSender(minWindowBytes, new(counters))
	now := time.Unix(1e9, 0)
	for range 5000 {
		s.push(nil)
		transmit(&s, now)
		if s.end() > 1 {
			acknowledge(t, &s, now, acknowledgement{window: 1 << 15, ranges: []span{{1, s.end()}}})
		}
		if due(now, s.expires) {
			s.timeout()
		}
		now = now.Add(10 * ms)
	}
	const limit = minWindowBytes / maxSegment
	if len(s.segments) != limit || len(s.sent) > 2*limit || len(s.lost) > 2 {
		t.Errorf("%d segments, %d transmissions, %d lost are kept, want %d segments", len(s.segments), len(s.sent), len(s.lost), limit)
	}
}

func TestTimeoutSendsTheOldestAgain(t *testing.T) {
	s := newTestSender(20)
	s.rtt.sample(100 * ms)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	if want := now.Add(300 * ms); !s.expires.Equal(want) {
		t.Fatalf("expires at %v, want %v", s.expires, want)
	}
	s.timeout()
	wantSent(t, s, now, 0, 1)
	if want := now.Add(600 * ms); !s.expires.Equal(want) {
		t.Errorf("expires at %v, want %v", s.expires, want)
	}
	acknowledge(t, s, now, acknowledgement{next: 2, transmission: 12})
	if s.backoff != 0 {
		t.Error("progress does not end the back-off")
	}
	wantSent(t, s, now, 2, 3, 4, 5)
}

func TestRoundTripOfARetransmissionCounts(t *testing.T) {
	s := newTestSender(1)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	now = now.Add(time.Second)
	s.timeout()
	transmit(s, now)
	acknowledge(t, s, now.Add(100*ms), acknowledgement{next: 1, transmission: 2})
	if s.rtt.smoothed != 100*ms {
		t.Errorf("round trip %v, want 100ms", s.rtt.smoothed)
	}
	if s.outstanding() || !s.expires.IsZero() {
		t.Error("something waits still")
	}
}

func TestLyingAcknowledgementsAreIgnored(t *testing.T) {
	s := newTestSender(20)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	for _, lie := range []acknowledgement{
		{next: 11},
		{next: 1 << 63},
		{next: 1, transmission: 11},
		{next: 0, transmission: 1, ranges: []span{{9, 11}}},
	} {
		if s.acknowledged(now, lie) {
			t.Errorf("%+v is taken", lie)
		}
	}
	if s.flight != 10 || s.first != 0 || s.congestion.window != initialWindow {
		t.Errorf("flight %d, first %d, window %v", s.flight, s.first, s.congestion.window)
	}
}

func TestOldAcknowledgementsChangeNothing(t *testing.T) {
	s := newTestSender(20)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	acknowledge(t, s, now, acknowledgement{next: 10, transmission: 10, window: 100})
	before := *s
	acknowledge(t, s, now, acknowledgement{next: 3, transmission: 3, window: 10, ranges: []span{{4, 5}}})
	if s.first != before.first || s.edge != before.edge || s.flight != before.flight || s.largest != before.largest || s.held != before.held {
		t.Errorf("%+v has become %+v", before, *s)
	}
}

func TestClosedWindowIsProbed(t *testing.T) {
	s := newTestSender(10)
	s.edge = 2
	now := time.Unix(1e9, 0)
	wantSent(t, s, now, 0, 1)
	acknowledge(t, s, now, acknowledgement{next: 2, transmission: 2})
	wantSent(t, s, now)
	before := s.congestion.window
	for range 5 {
		if s.expires.IsZero() {
			t.Fatal("no time-out")
		}
		now = s.expires
		s.timeout()
		wantSent(t, s, now, 2)
		acknowledge(t, s, now, acknowledgement{next: 2, transmission: 2})
	}
	if s.congestion.window != before || s.flight != 1 {
		t.Errorf("the congestion window is %v, was %v; flight %d", s.congestion.window, before, s.flight)
	}
	acknowledge(t, s, now, acknowledgement{next: 2, transmission: 2, window: 4})
	wantSent(t, s, now, 2, 3, 4, 5)
	if want := now.Add(s.rtt.timeout(0)); !s.expires.Equal(want) {
		t.Errorf("expires at %v, want %v", s.expires, want)
	}
}

// Nothing comes back for long; then all does, late.
func TestTransmissionsAreForgottenThoughNothingComesBack(t *testing.T) {
	s := newSender(minWindowBytes, new(counters))
	now := time.Unix(1e9, 0)
	for range 20 {
		s.push(make([]byte, maxSegment-2))
	}
	transmit(&s, now)
	for range 1000 {
		now = s.expires
		s.timeout()
		transmit(&s, now)
	}
	if len(s.sent) > s.limit+minWindow || s.nextTransmission() != initialWindow+1000*minWindow+1 {
		t.Errorf("%d transmissions of %d are kept, want the last %d", len(s.sent), s.nextTransmission()-1, s.limit+minWindow)
	}
	acknowledge(t, &s, now, acknowledgement{next: 5, transmission: 5})
	if s.rtt.smoothed != 0 {
		t.Errorf("round trip %v, want none: when transmission 5 left is forgotten", s.rtt.smoothed)
	}
	acknowledge(t, &s, now.Add(100*ms), acknowledgement{next: initialWindow, transmission: s.nextTransmission() - 1})
	if s.rtt.smoothed != 100*ms || s.flight != 0 || len(s.segments) != 0 {
		t.Errorf("round trip %v, %d segments of %d on their way", s.rtt.smoothed, s.flight, len(s.segments))
	}
}

// What was sent is forgotten, though nothing new is acknowledged.
func TestTransmissionsAreBounded(t *testing.T) {
	s := newTestSender(200)
	now := time.Unix(1e9, 0)
	transmit(s, now)
	for range 1000 {
		now = s.expires
		s.timeout()
		transmit(s, now)
		acknowledge(t, s, now, acknowledgement{})
	}
	if len(s.sent) > 20 || len(s.lost) > 20 || len(s.segments) > 20 {
		t.Errorf("%d transmissions, %d lost, %d segments", len(s.sent), len(s.lost), len(s.segments))
	}
}
