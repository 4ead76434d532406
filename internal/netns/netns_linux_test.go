package netns_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed287501ae/sockets/internal/netns"
)

// A subtest that skips in the namespace does not make the test skip.
func TestASkippedSubtestSkipsNoTest(t *testing.T) {
	const variable = "SOCKETS_TEST_NETNS_REACHED" // names a file by which the child tells that it ran
	if os.Getenv(variable) == "" {
		t.Setenv(variable, filepath.Join(t.TempDir(), "reached"))
	}
	reached := os.Getenv(variable)
	inside := false
	t.Cleanup(func() {
		if _, err := os.Stat(reached); err == nil && t.Skipped() && !inside {
			t.Error("the test is skipped because one of its subtests is")
		}
	})
	netns.Run(t, func(t *testing.T) {
		inside = true
		if err := os.WriteFile(reached, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run("sub", func(t *testing.T) { t.Skip("as it is to be") })
	})
}
