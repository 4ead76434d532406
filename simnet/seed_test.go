package simnet_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed287501ae/sockets/simnet"
)

// A verdict is a test that fails, or does not.
type verdict struct {
	failed bool
	log    strings.Builder
}

func (v *verdict) Helper()                    {}
func (v *verdict) Logf(s string, args ...any) { fmt.Fprintf(&v.log, s, args...) }
func (v *verdict) Fatalf(s string, args ...any) {
	v.failed = true
	v.Logf(s, args...)
}

// A test that panics or deadlocks has no time to log more.
func TestSeedIsLoggedAtOnce(t *testing.T) {
	t.Setenv("SIMNET_SEED", "")
	var v verdict
	seed := simnet.Seed(&v)
	if want := fmt.Sprint("SIMNET_SEED=", seed); !strings.Contains(v.log.String(), want) {
		t.Errorf("it logs %q, want %s", &v.log, want)
	}
	if other := simnet.Seed(&v); other == seed {
		t.Errorf("two seeds are %d", seed)
	}
}

func TestTheEnvironmentRepeatsASeed(t *testing.T) {
	for _, test := range []struct {
		value  string
		want   uint64
		failed bool
	}{
		{"7", 7, false},
		{"18446744073709551615", 1<<64 - 1, false},
		{"0xff", 255, false},
		{"seven", 0, true},
	} {
		t.Setenv("SIMNET_SEED", test.value)
		var v verdict
		if seed := simnet.Seed(&v); v.failed != test.failed || !v.failed && seed != test.want {
			t.Errorf("SIMNET_SEED=%s: Seed() = %d, it fails: %v", test.value, seed, v.failed)
		}
	}
}

func TestSeedServesTestsAndBubbles(t *testing.T) {
	simnet.New(simnet.Seed(t))
	synctest.Test(t, func(t *testing.T) { simnet.New(simnet.Seed(t)) })
}
