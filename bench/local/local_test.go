package local_test

import (
	"testing"
	"time"

	"github.com/seed287501ae/sockets/bench/local"
)

// TestEveryContestantRuns measures each for an instant.
func TestEveryContestantRuns(t *testing.T) {
	for _, row := range local.Rows() {
		if len(row.Contestants) < 2 || row.Contestants[0] != "ours" {
			t.Errorf("%s: nobody to compare with: %v", row.Name, row.Contestants)
		}
		for _, contestant := range row.Contestants {
			var cpu time.Duration
			sample, err := local.Run(row.Name, contestant, time.Millisecond, func() time.Duration {
				cpu += time.Hour
				return cpu
			})
			if err != nil {
				t.Errorf("%s, %s: %v", row.Name, contestant, err)
				continue
			}
			if sample.Rate <= 0 || sample.Messages <= 0 || sample.AllocsPerMessage < 0 {
				t.Errorf("%s, %s: %+v", row.Name, contestant, sample)
			}
			if want := time.Hour / time.Duration(sample.Messages); sample.CPUPerMessage != want {
				t.Errorf("%s, %s: %v of CPU time per message, want %v", row.Name, contestant, sample.CPUPerMessage, want)
			}
		}
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	for _, names := range [][2]string{{"nothing", "ours"}, {"framer-128", "nobody"}} {
		if _, err := local.Run(names[0], names[1], time.Millisecond, func() time.Duration { return 0 }); err == nil {
			t.Errorf("Run(%q, %q) gives no error", names[0], names[1])
		}
	}
}
