package link_test

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

const sharing = 30 * time.Second

// TestFairness prints, as a table, how two flows share the link for 30 seconds.
func TestFairness(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	content := random(2 * bandwidth / 8 * int(sharing/time.Second))
	fmt.Println("| first flow | second flow | which begins | loss, both ways | the first's part of the sum | both together, of the link |")
	fmt.Println("|---|---|---|---|---|---|")
	ours, quicGo := rival{"`reliable`", reliableFlow}, rival{"quic-go", quicStream(false)}
	for _, row := range []struct {
		first, second rival
		later         time.Duration
		loss          float64
		seeds         int
		least         float64 // part of the sum that either must have
	}{
		{ours, ours, 0, 0, 1, 1. / 3},
		{ours, ours, 0, 0.001, 5, 1. / 3},
		{ours, ours, 5 * time.Second, 0, 1, 1. / 3},
		{ours, ours, 5 * time.Second, 0.001, 5, 1. / 3},
		{quicGo, quicGo, 0, 0.001, 5, 0},
		{ours, quicGo, 0, 0.001, 5, 0},
	} {
		parts, sums := make([]float64, row.seeds), make([]float64, row.seeds)
		for seed := range parts {
			parts[seed], sums[seed] = twoFlows(t, row.first.move, row.second.move, row.later, content, row.loss, uint64(seed))
			if part := min(parts[seed], 1-parts[seed]); part < row.least {
				t.Errorf("second flow %v later, loss %v, seed %d: one has %.3f of the sum, want a third",
					row.later, row.loss, seed, part)
			}
		}
		fmt.Printf("| %s | %s | %v later | %.1f %% | %s | %.3f |\n", row.first.name, row.second.name,
			row.later, row.loss*100, summary(parts), median(sums))
	}
}

type rival struct {
	name string
	move mover
}

// twoFlows returns the part that the first flow has of what both receive from
// when both have begun, and what both have of the link.
func twoFlows(t *testing.T, first, second mover, later time.Duration, content []byte, loss float64, seed uint64) (part, sum float64) {
	synctest.Test(t, func(t *testing.T) {
		from, to := hosts(loss, seed)
		var received [2]*atomic.Int64
		received[0] = receive(t, first, from, to, 1, content)
		time.Sleep(later)
		received[1] = receive(t, second, from, to, 2, content)
		before := [2]int64{received[0].Load(), received[1].Load()}
		time.Sleep(sharing)
		a, b := float64(received[0].Load()-before[0]), float64(received[1].Load()-before[1])
		part, sum = a/(a+b), (a+b)*8/bandwidth/sharing.Seconds()
	})
	return part, sum
}

// receive begins to move content and returns the count of the bytes that have
// arrived.
func receive(t *testing.T, move mover, from, to *simnet.Host, port uint16, content []byte) *atomic.Int64 {
	count := new(atomic.Int64)
	reader := &comparer{reader: move(t, from, to, port, content), left: content}
	go func() {
		if _, err := io.Copy(counter{count}, reader); err != nil && t.Context().Err() == nil {
			t.Errorf("after %d bytes: %v", count.Load(), err)
		}
	}()
	return count
}

type counter struct{ *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}
