package secure_test

import (
	"testing"

	"github.com/seed287501ae/sockets/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
