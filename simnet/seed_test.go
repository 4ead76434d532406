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
	failed   bool
	cleanups []func()
	log      strings.Builder
}

func (v *verdict) Helper()                    {}
func (v *verdict) Failed() bool               { return v.failed }
func (v *verdict) Cleanup(f func())           { v.cleanups = append(v.cleanups, f) }
func (v *verdict) Logf(s string, args ...any) { fmt.Fprintf(&v.log, s, args...) }
func (v *verdict) Fatalf(s string, args ...any) {
	v.failed = true
	v.Logf(s, args...)
}

func TestAFailedTestLogsItsSeed(t *testing.T) {
	t.Setenv("SIMNET_SEED", "")
	for _, failed := range []bool{false, true} {
		v := verdict{failed: failed}
		seed := simnet.Seed(&v)
		for _, f := range v.cleanups {
			f()
		}
		if logged := strings.Contains(v.log.String(), fmt.Sprint("SIMNET_SEED=", seed)); logged != failed {
			t.Errorf("Failed() = %v: it logs %q", failed, &v.log)
		}
		if other := simnet.Seed(&v); other == seed {
			t.Errorf("two seeds are %d", seed)
		}
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
