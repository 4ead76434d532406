package deadline_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/deadline"
)

func TestADeadlinePassesAtItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline.Deadline
		passed := d.Passed()
		if d.HasPassed() {
			t.Error("the zero Deadline has passed")
		}
		start := time.Now()
		d.Set(start.Add(time.Second))
		<-passed
		if took := time.Since(start); took != time.Second || !d.HasPassed() {
			t.Errorf("it passed after %v, HasPassed() = %v", took, d.HasPassed())
		}
	})
}

func TestWhoWaitsNeedNotAskAgain(t *testing.T) {
	for _, test := range []struct {
		name  string
		moves []time.Duration // 0: never
		want  time.Duration
	}{
		{"later", []time.Duration{time.Second, time.Hour}, time.Hour},
		{"earlier", []time.Duration{time.Hour, time.Second}, time.Second},
		{"never and back", []time.Duration{time.Second, 0, time.Minute}, time.Minute},
		{"the past", []time.Duration{time.Hour, -time.Second}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d deadline.Deadline
				passed := d.Passed()
				start := time.Now()
				for _, move := range test.moves {
					if move == 0 {
						d.Set(time.Time{})
					} else {
						d.Set(start.Add(move))
					}
				}
				<-passed
				if took := time.Since(start); took != test.want {
					t.Errorf("it passed after %v, want %v", took, test.want)
				}
			})
		})
	}
}

func TestAPassedDeadlineIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline.Deadline
		for _, next := range []time.Time{{}, time.Now().Add(time.Hour)} {
			d.Set(time.Now())
			d.Set(time.Now().Add(-time.Hour))
			<-d.Passed()
			d.Set(next)
			select {
			case <-d.Passed():
				t.Errorf("set to %v it is still passed", next)
			default:
			}
			if d.HasPassed() {
				t.Errorf("set to %v, HasPassed() = true", next)
			}
		}
	})
}

// At the moment itself it has passed, whether or not the timer's goroutine ran.
func TestHasPassedGoesByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			var d deadline.Deadline
			d.Set(time.Now().Add(time.Second))
			time.Sleep(time.Second - time.Nanosecond)
			if d.HasPassed() {
				t.Fatal("it has passed a nanosecond before")
			}
			time.Sleep(time.Nanosecond)
			if !d.HasPassed() {
				t.Fatal("it has not passed at its moment")
			}
		}
	})
}

// At the moment itself it may still be put off.
func TestADeadlineThatIsPutOffInTimeDoesNotPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			var d deadline.Deadline
			d.Set(time.Now().Add(time.Second))
			time.Sleep(time.Second)
			d.Set(time.Now().Add(time.Hour))
			synctest.Wait()
			select {
			case <-d.Passed():
				t.Fatal("the timer of the former deadline made it pass")
			default:
			}
		}
	})
}

func TestADeadlineIsMovedFromManyGoroutines(t *testing.T) {
	var d deadline.Deadline
	var moving sync.WaitGroup
	for range 4 {
		moving.Go(func() {
			for i := range 200 {
				d.Set(time.Now().Add(time.Duration(i%3-1) * time.Microsecond))
				d.HasPassed()
			}
		})
	}
	moving.Wait()
	d.Set(time.Now().Add(time.Millisecond))
	<-d.Passed()
}
