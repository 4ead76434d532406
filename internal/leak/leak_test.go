package leak

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestLeakedGoroutinesAreSeen(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	leak := func() {
		<-stop
		close(stopped)
	}
	go leak()
	seen := func() bool {
		return slices.ContainsFunc(goroutines(), func(stack string) bool {
			return strings.Contains(stack, "TestLeakedGoroutinesAreSeen.func1(")
		})
	}
	if !seen() {
		t.Error("a goroutine that waits is not seen")
	}
	close(stop)
	<-stopped
	for deadline := time.Now().Add(5 * time.Second); seen(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a goroutine that has ended is still seen")
		}
	}
}
