package main

import (
	"fmt"
	"time"
)

// measures are what must not grow, by how much it may nevertheless: by chance,
// because the others come and go.
var measures = []struct {
	name  string
	of    func(report) int
	slack int
}{
	{"goroutines", func(r report) int { return r.Goroutines }, 16},
	{"descriptors", func(r report) int { return r.Descriptors }, 12},
	{"bytes of memory", func(r report) int { return int(r.Heap) }, 2 << 20},
}

// A growth is what one participant reported in four quarters of the time, which
// begin after a tenth of it.
type growth struct {
	begun    time.Time
	duration time.Duration
	quarters [4][]report
}

func (g *growth) add(at time.Time, r report) {
	settled := g.duration / 10
	age := at.Sub(g.begun) - settled
	if quarter := 4 * age / (g.duration - settled); age >= 0 && quarter < 4 {
		numbers := report{Goroutines: r.Goroutines, Descriptors: r.Descriptors, Heap: r.Heap}
		g.quarters[quarter] = append(g.quarters[quarter], numbers)
	}
}

// verdict returns what grew from the first quarter to the last one. It compares
// the least of each, because the load varies. In less than a minute it varies too
// much to tell.
func (g *growth) verdict() error {
	if g.duration < time.Minute {
		return nil
	}
	first, last := g.quarters[0], g.quarters[3]
	if len(first) == 0 || len(last) == 0 {
		return fmt.Errorf("%d and %d reports in the first and the last quarter are too few to tell growth", len(first), len(last))
	}
	for _, m := range measures {
		if was, is := least(first, m.of), least(last, m.of); is > was+m.slack {
			return fmt.Errorf("from %d to %d %s: that is growth", was, is, m.name)
		}
	}
	return nil
}

func least(reports []report, of func(report) int) int {
	value := of(reports[0])
	for _, r := range reports {
		value = min(value, of(r))
	}
	return value
}
