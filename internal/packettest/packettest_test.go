package packettest_test

import (
	"runtime"
	"testing"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/packettest"
)

// The kernel's sockets keep the rules: they are where the rules come from.
func TestSystem(t *testing.T) {
	longest := 65507
	var without []string
	switch runtime.GOOS {
	case "linux":
	case "windows":
		without = []string{"a short buffer", "all addresses", "refusal"}
	default:
		longest = 9216 // by default
	}
	packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
		check(t, packettest.Place{
			A: sockets.System, B: sockets.System,
			IPA: "127.0.0.1", IPB: "127.0.0.1",
			Longest: longest,
		})
	}, without...)
}
