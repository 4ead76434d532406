package reliable

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestTimeout(t *testing.T) {
	for _, test := range []struct {
		samples []time.Duration
		want    time.Duration
	}{
		{nil, time.Second},
		{[]time.Duration{300 * ms}, 900 * ms},                  // 300 + 4*150
		{[]time.Duration{300 * ms, 300 * ms}, 750 * ms},        // 300 + 4*112.5
		{[]time.Duration{300 * ms, 700 * ms}, 350*ms + 850*ms}, // variation (3*150 + 400) / 4
		{[]time.Duration{40 * ms}, minTimeout},                 // 120
		{[]time.Duration{3 * time.Second}, maxTimeout},         // 9 s
		{[]time.Duration{0}, minTimeout},                       // a clock that stands still
		{[]time.Duration{-ms, 0}, minTimeout},
	} {
		var r rtt
		for _, d := range test.samples {
			r.sample(d)
		}
		if got := r.timeout(0); got != test.want {
			t.Errorf("after %v, timeout = %v, want %v", test.samples, got, test.want)
		}
	}
}

func TestBackoffDoublesTwice(t *testing.T) {
	r := rtt{smoothed: 300 * ms}
	for backoff, want := range []time.Duration{300 * ms, 600 * ms, 1200 * ms, 1200 * ms, 1200 * ms} {
		if got := r.timeout(backoff); got != want {
			t.Errorf("timeout(%d) = %v, want %v", backoff, got, want)
		}
	}
	if got := new(rtt).timeout(5); got != firstTimeout {
		t.Errorf("without a sample, timeout(5) = %v, want %v", got, firstTimeout)
	}
	r.smoothed = 3 * time.Second
	if got := r.timeout(1); got != maxTimeout {
		t.Errorf("timeout(1) = %v, want %v", got, maxTimeout)
	}
}

func TestSlowStartDoublesEachRoundTrip(t *testing.T) {
	c := congestion{window: initialWindow}
	for range 10 {
		c.acked(1, 1)
	}
	if c.window != 20 {
		t.Errorf("window %v, want 20", c.window)
	}
}

func TestCongestionAvoidanceGrowsByOneTCPSegmentEachRoundTrip(t *testing.T) {
	c := congestion{window: 100, threshold: 100}
	for range 100 {
		c.acked(1, 1)
	}
	if got, want := (c.window-100)*maxSegment, 1460.; got < want*0.98 || got > want {
		t.Errorf("grown by %v bytes, want about %v", got, want)
	}
}

func TestOneReductionEachRoundTrip(t *testing.T) {
	c := congestion{window: 100}
	c.lost(40, 100)
	c.lost(50, 101)
	c.acked(10, 99) // sent before the reduction
	if c.window != 70 || c.threshold != 70 {
		t.Errorf("window %v, threshold %v, want 70", c.window, c.threshold)
	}
	c.lost(100, 170)
	if c.window != 49 {
		t.Errorf("window %v, want 49", c.window)
	}
}

func TestWindowHasAFloor(t *testing.T) {
	c := congestion{window: initialWindow}
	for n := range uint64(20) {
		c.lost(n, n+1)
	}
	if c.window != minWindow || !c.allows(1) || c.allows(2) {
		t.Errorf("window %v, want %d", c.window, minWindow)
	}
}

func TestTimeoutBeginsSlowStartAnew(t *testing.T) {
	c := congestion{window: 100, threshold: 50}
	c.timedOut(10)
	c.timedOut(12)
	if c.window != minWindow || c.threshold != 70 {
		t.Errorf("window %v, threshold %v, want %d and 70", c.window, c.threshold, minWindow)
	}
	c.acked(2, 12)
	if c.window != 4 {
		t.Errorf("window %v, want 4", c.window)
	}
}
