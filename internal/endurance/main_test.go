package endurance

import (
	"os"
	"strconv"
	"testing"

	"github.com/seed287501ae/sockets/internal/leak"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(crowdAt); address != "" {
		crowd(address)
		return
	}
	leak.Main(m)
}

// size is a number from the environment.
func size(t *testing.T, name string, value int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		var err error
		if value, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return value
}
