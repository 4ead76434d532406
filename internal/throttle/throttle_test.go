package throttle_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/throttle"
)

var errFault = errors.New("fault")

// want passes a errFault that is told with this text, or not if it is empty.
func want(t *testing.T, th *throttle.Throttle, text string) {
	t.Helper()
	err := th.Pass(errFault)
	if text == "" && err == nil {
		return
	}
	if !errors.Is(err, errFault) || err.Error() != text {
		t.Errorf("Pass = %v, want %q", err, text)
	}
}

func TestAnySecondHasItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(3)
		want(t, th, "fault")
		time.Sleep(900 * time.Millisecond)
		want(t, th, "fault")
		want(t, th, "fault")
		want(t, th, "")
		time.Sleep(100*time.Millisecond - 1)
		want(t, th, "")
		time.Sleep(time.Nanosecond)
		want(t, th, "fault, and 2 more")
		want(t, th, "") // the second and the third are less than a second old
		time.Sleep(900*time.Millisecond - 1)
		want(t, th, "")
		time.Sleep(time.Nanosecond)
		want(t, th, "fault, and 2 more")
		want(t, th, "fault")
		want(t, th, "")
	})
}

func TestWhatWasNotToldIsToldHoweverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(1)
		want(t, th, "fault")
		for range 53 {
			want(t, th, "")
		}
		time.Sleep(24 * 365 * time.Hour)
		want(t, th, "fault, and 53 more")
		time.Sleep(time.Second)
		want(t, th, "fault")
	})
}

func TestPassFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(10)
		var told atomic.Int32
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if th.Pass(errFault) != nil {
					told.Add(1)
				}
			})
		}
		group.Wait()
		if got := told.Load(); got != 10 {
			t.Errorf("%d were told, want 10", got)
		}
		time.Sleep(time.Second)
		if err := th.Pass(errFault); err == nil || !strings.HasSuffix(err.Error(), "and 90 more") {
			t.Errorf("Pass = %v, want 90 more", err)
		}
	})
}
