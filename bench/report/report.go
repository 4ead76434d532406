// Package report writes what a run measured: as Markdown, as pictures, and into
// a README.
package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/seed287501ae/sockets/bench/results"
)

// Markdown writes all that was measured: the bars, then one table for each row.
func Markdown(w io.Writer, run *results.Run) error {
	var b strings.Builder
	b.WriteString("# Results\n\n")
	writeConditions(&b, run)
	b.WriteString("\n## Ours against each bar\n\n")
	writeBars(&b, run)
	b.WriteString("\n## Every load\n")
	for _, row := range run.Rows {
		if row.Group == "bars" {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", row.Name, row.Title)
			writeTable(&b, run, "", nil, []results.Row{row})
		}
	}
	for _, growth := range growths {
		if rows := rowsOf(run, growth.group); len(rows) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", growth.title, rows[0].Title)
			writeTable(&b, run, growth.axis, growth.place, rows)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeConditions tells where and how long it was measured, and what is missing.
func writeConditions(b *strings.Builder, run *results.Run) {
	fmt.Fprintf(b, "%s; %s. %d repetitions of %s s each, interleaved.\n", run.Machine, run.Go, run.Reps, round(digits(run.Seconds)))
	var versions []string
	for _, module := range slices.Sorted(maps.Keys(run.Versions)) {
		versions = append(versions, strings.TrimPrefix(module, "github.com/")+" "+run.Versions[module])
	}
	if len(versions) > 0 {
		fmt.Fprintf(b, "Rivals: %s.\n", strings.Join(versions, ", "))
	}
	for _, note := range run.Notes {
		fmt.Fprintf(b, "\n> %s\n", note)
	}
}

// writeBars writes one line for each bar.
func writeBars(b *strings.Builder, run *results.Run) {
	b.WriteString("| load | ours | against | of | median (least–most) | must | aim | met |\n|---|---|---|---|---|---|---|---|\n")
	for _, bar := range run.Bars {
		found := against(run.Samples, bar)
		rival := "–"
		if bar.Rival != "" {
			rival = named(bar.Rival)
		}
		if bar.RivalRow != "" && bar.RivalRow != bar.Row {
			rival += " in " + bar.RivalRow
		}
		value, aim := "–", "–"
		if found.count > 0 {
			value = fmt.Sprintf("**%s** (%s–%s)", amount(bar, found.median), amount(bar, found.least), amount(bar, found.most)) + partOf(found.count, run.Reps)
		}
		if bar.Aim != 0 {
			aim = bound(bar, bar.Aim)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			bar.Row, named(bar.Ours), rival, bar.Quantity, value, bound(bar, bar.Must), aim, verdict(bar, found))
	}
}

func verdict(bar results.Bar, found figure) string {
	switch {
	case found.count == 0:
		return "not measured"
	case !reaches(found, bar.Must, bar.AtMost):
		return "**no**"
	case bar.Aim != 0 && reaches(found, bar.Aim, bar.AtMost):
		return "yes, and the aim"
	case bar.Must == 0 && !bar.AtMost:
		return "not the aim"
	}
	return "yes"
}

// A column of a table of contestants is left out where nothing was measured.
type column struct {
	title string
	value func(results.Sample) (float64, bool)
	write func(float64) string
}

func columnsOf(unit string) []column {
	measured := func(value func(results.Sample) float64) func(results.Sample) (float64, bool) {
		return func(s results.Sample) (float64, bool) { return value(s), s.Err == "" && value(s) != 0 }
	}
	of := func(q results.Quantity) func(results.Sample) (float64, bool) {
		return func(s results.Sample) (float64, bool) { return quantity(s, q) }
	}
	return []column{
		{cmp.Or(unit, "messages") + "/s (least–most)", of(results.Rate), short},
		{"p50", measured(func(s results.Sample) float64 { return float64(s.P50) }), durationOf},
		{"p99", of(results.P99), durationOf},
		{"CPU, both ends", of(results.CPU), durationOf},
		{"CPU, server", measured(func(s results.Sample) float64 { return float64(s.ServerCPU) }), durationOf},
		{"allocations, server", func(s results.Sample) (float64, bool) {
			v, ok := quantity(s, results.Allocs)
			return v, ok && s.Messages > 0
		}, allocations},
		{"memory, server", measured(func(s results.Sample) float64 { return float64(s.ServerRSS) }), bytesOf},
		{"memory per connection", of(results.PerConnection), bytesOf},
	}
}

// writeTable writes one line for each contestant of each row; where axis has a
// name, the first column is the row's place on it, as place writes it.
func writeTable(b *strings.Builder, run *results.Run, axis string, place func(float64) string, rows []results.Row) {
	columns := slices.DeleteFunc(columnsOf(rows[0].Unit), func(c column) bool {
		return !slices.ContainsFunc(run.Samples, func(s results.Sample) bool {
			_, ok := c.value(s)
			return ok && slices.ContainsFunc(rows, func(row results.Row) bool { return row.Name == s.Row })
		})
	})
	head := []string{"contestant"}
	if axis != "" {
		head = []string{axis, "contestant"}
	}
	for _, c := range columns {
		head = append(head, c.title)
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		for _, contestant := range row.Contestants {
			var cells []string
			if axis != "" {
				cells = append(cells, place(row.X))
			}
			cells = append(cells, named(contestant))
			for i, c := range columns {
				found := of(run.Samples, row.Name, contestant, c.value)
				part := ""
				if i == 0 {
					part = partOf(found.count, repetitions(run.Samples, row.Name, contestant))
				}
				switch {
				case found.count == 0 && i == 0:
					cells = append(cells, failure(run.Samples, row.Name, contestant))
				case found.count == 0:
					cells = append(cells, "–")
				case i == 0 && found.count > 1:
					cells = append(cells, fmt.Sprintf("%s (%s–%s)", c.write(found.median), c.write(found.least), c.write(found.most))+part)
				default:
					cells = append(cells, c.write(found.median)+part)
				}
			}
			fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
}

// partOf tells how many repetitions a figure is of, where some of them failed.
func partOf(count, reps int) string {
	if count >= reps {
		return ""
	}
	return fmt.Sprintf(", %d of %d", count, reps)
}

// failure is why a contestant has no figure.
func failure(samples []results.Sample, row, contestant string) string {
	for _, s := range samples {
		if s.Row == row && s.Contestant == contestant && s.Err != "" {
			return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s.Err)
		}
	}
	return "–"
}

func rowsOf(run *results.Run, group string) []results.Row {
	return slices.DeleteFunc(slices.Clone(run.Rows), func(row results.Row) bool { return row.Group != group })
}
