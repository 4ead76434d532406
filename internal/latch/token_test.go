package latch_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/latch"
)

func TestOneHasTheTokenAtATime(t *testing.T) {
	var token latch.Token
	var all sync.WaitGroup
	n := 0
	for range 8 {
		all.Go(func() {
			for range 2000 {
				token.Take()
				n++
				token.Give()
			}
		})
	}
	all.Wait()
	if n != 8*2000 {
		t.Errorf("%d times, want %d: two had the token at once", n, 8*2000)
	}
}

func TestATokenCanBeWaitedForAmongOtherThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var token latch.Token
		if !token.Try() || token.Try() {
			t.Error("a token is not there once")
		}
		select {
		case <-token.Free():
			t.Error("a token that is taken is free")
		case <-time.After(time.Second):
		}
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			token.Give()
		}()
		token.Take()
		if passed := time.Since(start); passed != time.Second {
			t.Errorf("Take waited for %v, want 1s", passed)
		}
		token.Give()
		<-token.Free()
	})
}
