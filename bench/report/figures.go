package report

import (
	"slices"

	"github.com/seed287501ae/sockets/bench/results"
)

// A figure is the median of the repetitions, and their range.
type figure struct {
	median, least, most float64
	count               int // of repetitions
}

func figureOf(values []float64) figure {
	if len(values) == 0 {
		return figure{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	return figure{median, sorted[0], sorted[len(sorted)-1], len(sorted)}
}

// quantity of a sample that succeeded; where it was not measured, ok is false.
func quantity(s results.Sample, q results.Quantity) (value float64, ok bool) {
	switch q {
	case results.Rate: // a server may stand still
		return s.Rate, s.Err == "" && (s.Rate != 0 || s.PerConnection == 0)
	case results.P99:
		value = float64(s.P99)
	case results.CPU:
		value = float64(s.CPUPerMessage)
	case results.PerConnection:
		value = s.PerConnection
	case results.Allocs:
		return s.AllocsPerMessage, s.Err == "" && s.AllocsPerMessage >= 0
	}
	return value, s.Err == "" && value != 0
}

// of is what one contestant reached in a row.
func of(samples []results.Sample, row, contestant string, value func(results.Sample) (float64, bool)) figure {
	var values []float64
	for _, s := range samples {
		if s.Row == row && s.Contestant == contestant {
			if v, ok := value(s); ok {
				values = append(values, v)
			}
		}
	}
	return figureOf(values)
}

// repetitions is how often a contestant was measured in a row, or failed.
func repetitions(samples []results.Sample, row, contestant string) int {
	n := 0
	for _, s := range samples {
		if s.Row == row && s.Contestant == contestant {
			n++
		}
	}
	return n
}

// against is what a bar looks at: the ratio of the samples of the same
// repetition or, without a rival, the quantity itself.
func against(samples []results.Sample, bar results.Bar) figure {
	value := func(s results.Sample) (float64, bool) { return quantity(s, bar.Quantity) }
	if bar.Rival == "" {
		return of(samples, bar.Row, bar.Ours, value)
	}
	rivalRow := bar.RivalRow
	if rivalRow == "" {
		rivalRow = bar.Row
	}
	theirs := map[int]float64{}
	for _, s := range samples {
		if v, ok := value(s); ok && s.Row == rivalRow && s.Contestant == bar.Rival {
			theirs[s.Rep] = v
		}
	}
	var ratios []float64
	for _, s := range samples {
		v, ok := value(s)
		if rival := theirs[s.Rep]; ok && rival > 0 && s.Row == bar.Row && s.Contestant == bar.Ours {
			ratios = append(ratios, v/rival)
		}
	}
	return figureOf(ratios)
}

// reaches reports whether a figure is within a bound: "at least 1" is met at
// 0.95, which is as good as equal, and "at most 0" is what 0.00 stands for.
func reaches(f figure, bound float64, atMost bool) bool {
	switch {
	case atMost && bound == 0:
		return f.median < 0.005
	case atMost:
		return f.median <= bound
	case bound == 1:
		return f.median >= 0.95
	}
	return f.median >= bound
}
