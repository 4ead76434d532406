// Package leak fails test runs that leave goroutines behind.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Main runs the tests of a package and ends the program. Tests that passed fail
// if goroutines have not ended five seconds later. It is what a TestMain does.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := leakedGoroutines(5 * time.Second); len(leaked) > 0 {
			fmt.Fprintf(os.Stderr, "%d goroutines outlive the tests:\n\n%s\n", len(leaked), strings.Join(leaked, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// leakedGoroutines returns the stacks of the goroutines that have not ended
// within timeout.
func leakedGoroutines(timeout time.Duration) []string {
	deadline := time.Now().Add(timeout)
	for {
		stacks := goroutines()
		if len(stacks) == 0 || time.Now().After(deadline) {
			return stacks
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goroutines returns the stacks of all goroutines but the calling one and those
// that never end once a program has asked for signals, as the fuzzer does.
func goroutines() []string {
	buffer := make([]byte, 1<<20)
	n := runtime.Stack(buffer, true)
	for n == len(buffer) {
		buffer = make([]byte, 2*len(buffer))
		n = runtime.Stack(buffer, true)
	}
	others := strings.Split(strings.TrimSpace(string(buffer[:n])), "\n\n")[1:]
	return slices.DeleteFunc(others, func(stack string) bool {
		return strings.Contains(stack, "\nos/signal.loop(")
	})
}
