package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seed287501ae/sockets/bench/results"
)

// shown are the rows of the picture of bars, with short titles, two abreast.
var shown = []struct{ row, title string }{
	{"echo-64x64-128", "Echo: 64 connections × 64 under way, 128 B"},
	{"echo-1x64-128", "Echo: one connection × 64 under way, 128 B"},
	{"stream-128", "Stream: Send in a loop, 128 B"},
	{"stream-64k", "Stream: Send in a loop, 64 KiB"},
	{"group-100", "Group chat, 100 members, 128 B"},
	{"group-1000", "Group chat, 1,000 members, 128 B"},
	{"pingpong-128", "Ping-pong on one core, 128 B"},
	{"idle-10000", "10,000 idle connections: memory of each"},
	{"peer-run", "Datagrams of 100 B to one peer"},
	{"peer-receive", "Datagrams of 100 B from a full queue"},
}

// classes are how a contestant looks; all others are rivals.
var classes = map[string]string{"ours": "ours", "ours-owned": "owned", "c": "limit", "raw": "limit", "memcpy": "limit"}

// A bar is drawn from zero, with the range of the repetitions.
type bar struct {
	label, class string
	figure
}

const (
	panelWidth = 424.0
	margin     = 16.0
	labelWidth = 150.0
	barHeight  = 15.0
	barStep    = 19.0
	valueWidth = 66.0
	headHeight = 30.0
)

// drawBars draws one panel for each row that is shown and was measured.
func drawBars(run *results.Run) []byte {
	p := &picture{title: "Package sockets beside its rivals", width: 2*panelWidth + 3*margin}
	top, side, below := margin, 0, 0.0
	for _, panel := range shown {
		i := slices.IndexFunc(run.Rows, func(row results.Row) bool { return row.Name == panel.row })
		if i < 0 {
			continue
		}
		bars, unit, write := barsOf(run, run.Rows[i])
		if len(bars) == 0 {
			continue
		}
		bottom := drawPanel(p, margin+float64(side)*(panelWidth+margin), top, panel.title, unit, bars, write)
		below = max(below, bottom)
		if side = 1 - side; side == 0 {
			top = below
		}
	}
	p.text(margin, below+8, "start", "dim small", "Median of the repetitions; the thin line is their range. ← C: under a client in C. "+plainText(run.Machine)+"; "+run.Go+".")
	p.height = below + 8 + margin
	return p.svg()
}

// barsOf are ours, as they stand, then all others from the best to the worst. A row whose
// memory was measured is about memory: the least is the best.
func barsOf(run *results.Run, row results.Row) (bars []bar, unit string, write func(float64) string) {
	q := results.Rate
	unit, write = cmp.Or(row.Unit, "messages")+"/s", short
	if slices.ContainsFunc(run.Samples, func(s results.Sample) bool { return s.Row == row.Name && s.PerConnection != 0 }) {
		q, unit, write = results.PerConnection, "less is better", bytesOf
	}
	mixed := slices.ContainsFunc(row.Contestants, func(c string) bool { return c != "c" && !strings.Contains(c, "+") })
	for _, contestant := range row.Contestants {
		found := of(run.Samples, row.Name, contestant, func(s results.Sample) (float64, bool) { return quantity(s, q) })
		if found.count == 0 {
			continue
		}
		server, client, other := strings.Cut(contestant, "+")
		label := plainText(named(server))
		if other && mixed && client == "c" {
			label += " ← C"
		}
		bars = append(bars, bar{label, cmp.Or(classes[server], "rival"), found})
	}
	theirs := func(b bar) int {
		if b.class == "ours" || b.class == "owned" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(bars, func(a, b bar) int {
		better := cmp.Compare(b.median, a.median)
		if q == results.PerConnection {
			better = -better
		}
		return cmp.Or(theirs(a)-theirs(b), theirs(a)*better)
	})
	return bars, unit, write
}

// drawPanel returns where the panel ends.
func drawPanel(p *picture, x, y float64, title, unit string, bars []bar, write func(float64) string) float64 {
	p.text(x, y+14, "start", "title", title)
	p.text(x+panelWidth, y+14, "end", "dim small", unit)
	most := 0.0
	for _, b := range bars {
		most = max(most, b.most)
	}
	y += headHeight
	for _, b := range bars {
		scale := (panelWidth - labelWidth - valueWidth) / most
		begin, middle := x+labelWidth, y+barHeight/2
		p.text(begin-8, y+12, "end", "", b.label)
		p.rect(begin, y, max(1, b.median*scale), barHeight, b.class)
		p.line(begin+b.least*scale, middle, begin+b.most*scale, middle, "range")
		p.text(begin+b.most*scale+6, y+12, "start", "dim", write(b.median))
		y += barStep
	}
	return y + margin
}
