package latch_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed287501ae/sockets/internal/latch"
)

func TestALatchIsClosedOnce(t *testing.T) {
	for range 100 {
		var l latch.Latch
		if l.IsClosed() {
			t.Fatal("the zero Latch is closed")
		}
		var firsts atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { <-l.Wait() })
			all.Go(func() {
				if l.Close() {
					firsts.Add(1)
				}
				if !l.IsClosed() {
					t.Error("a Latch is open after Close")
				}
			})
		}
		all.Wait()
		<-l.Wait()
		if firsts.Load() != 1 {
			t.Fatalf("%d were the first to close, want 1", firsts.Load())
		}
	}
}
