package simnet

import (
	"math/rand/v2"
	"os"
	"strconv"
)

// seedVariable is the environment variable that repeats a seed.
const seedVariable = "SIMNET_SEED"

// Seed returns a seed for the network of a test: another one in each run. It logs
// the seed at once: go test shows it where the test fails, deadlocks in a bubble,
// or panics on its own goroutine, and go test -v always. The environment variable
// SIMNET_SEED repeats it:
//
//	SIMNET_SEED=7 go test -run=TestMyProtocol
//
// Call it once per test. The parameter is the test, a [*testing.T] for example.
func Seed(t interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(seedVariable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatalf("simnet: %s: %v", seedVariable, err)
		}
	}
	t.Logf("simnet: to repeat this run: %s=%d", seedVariable, seed)
	return seed
}
