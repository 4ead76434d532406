package report

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/seed287501ae/sockets/bench/results"
)

// A growth is a group of rows that have a place on an axis.
type growth struct {
	group, title, axis string
	place              func(float64) string
	plots              []plot
}

// A plot is a quantity of these rows.
type plot struct {
	title string
	value func(results.Row, results.Sample) (float64, bool)
	write func(float64) string
}

var growths = []growth{
	{"connections", "How cost grows with connections", "connections", placeOf, []plot{
		{"Messages per second", measuredAs(results.Rate), short},
		{"CPU of both ends per message", measuredAs(results.CPU), durationOf},
		{"Memory of the server per connection", measuredAs(results.PerConnection), bytesOf},
	}},
	{"sizes", "How cost grows with the size of a message", "size", sizeOf, []plot{
		{"Bytes per second, in each direction", func(row results.Row, s results.Sample) (float64, bool) {
			rate, ok := quantity(s, results.Rate)
			return rate * row.X, ok
		}, bytesOf},
	}},
}

func measuredAs(q results.Quantity) func(results.Row, results.Sample) (float64, bool) {
	return func(_ results.Row, s results.Sample) (float64, bool) { return quantity(s, q) }
}

// A curve is what one contestant reached along the axis.
type curve struct {
	label, class string
	points       [][2]float64
}

const (
	plotWidth, plotHeight = 256.0, 200.0
	plotLeft, plotRight   = 60.0, 108.0 // room for the scale and for the names
	plotTop, plotBottom   = 34.0, 44.0
)

// drawGrowth draws one plot for each quantity that was measured, two abreast.
func drawGrowth(run *results.Run) []byte {
	p := &picture{title: "How cost grows", width: 2*(plotLeft+plotWidth+plotRight) + 3*margin}
	n := 0
	for _, growth := range growths {
		rows := rowsOf(run, growth.group)
		for _, plot := range growth.plots {
			if curves := curvesOf(run, rows, plot); len(curves) > 0 {
				x := margin + float64(n%2)*(plotLeft+plotWidth+plotRight+margin)
				y := margin + float64(n/2)*(plotTop+plotHeight+plotBottom)
				drawPlot(p, x, y, growth, plot, rows, curves)
				n++
			}
		}
	}
	p.height = 2*margin + float64((n+1)/2)*(plotTop+plotHeight+plotBottom)
	return p.svg()
}

func curvesOf(run *results.Run, rows []results.Row, plot plot) []curve {
	var curves []curve
	for _, row := range rows {
		for _, contestant := range row.Contestants {
			found := of(run.Samples, row.Name, contestant, func(s results.Sample) (float64, bool) { return plot.value(row, s) })
			if found.median <= 0 {
				continue
			}
			server, _, _ := strings.Cut(contestant, "+")
			label := plainText(named(server))
			i := slices.IndexFunc(curves, func(c curve) bool { return c.label == label })
			if i < 0 {
				i = len(curves)
				curves = append(curves, curve{label: label, class: lineClass(server)})
			}
			curves[i].points = append(curves[i].points, [2]float64{row.X, found.median})
		}
	}
	return curves
}

// lineClass is the number of a contestant's colour.
func lineClass(server string) string {
	switch server {
	case "ours":
		return "0"
	case "ours-owned":
		return "1"
	case "netpoll":
		return "2"
	case "naive":
		return "3"
	case "c":
		return "4"
	}
	return "5"
}

// drawPlot draws curves; both axes are logarithmic.
func drawPlot(p *picture, x, y float64, growth growth, plot plot, rows []results.Row, curves []curve) {
	left, right, top, bottom := x+plotLeft, x+plotLeft+plotWidth, y+plotTop, y+plotTop+plotHeight
	var all [][2]float64
	for _, c := range curves {
		all = append(all, c.points...)
	}
	across := scaleOf(all, 0, left, right)
	up := scaleOf(all, 1, bottom-6, top+6)
	p.text(left, y+14, "start", "title", plot.title)
	for _, value := range ticks(all) {
		p.line(left, up(value), right, up(value), "grid")
		p.text(left-8, up(value)+4, "end", "dim small", round(plot.write(value)))
	}
	every := 1 + len(rows)/7
	for i, row := range rows {
		p.line(across(row.X), bottom, across(row.X), bottom+4, "grid")
		if i%every == 0 {
			p.text(across(row.X), bottom+17, "middle", "dim small", growth.place(row.X))
		}
	}
	p.line(left, bottom, right, bottom, "grid")
	p.text((left+right)/2, bottom+33, "middle", "dim small", growth.axis)
	slices.SortFunc(curves, func(a, b curve) int {
		return cmp.Compare(up(a.points[len(a.points)-1][1]), up(b.points[len(b.points)-1][1]))
	})
	lowest := math.Inf(-1)
	for _, c := range curves {
		var drawn [][2]float64
		for _, at := range c.points {
			drawn = append(drawn, [2]float64{across(at[0]), up(at[1])})
		}
		p.polyline(drawn, "line l"+c.class)
		last := drawn[len(drawn)-1]
		lowest = max(lowest+14, last[1]+4)
		p.text(last[0]+8, lowest, "start", "small t"+c.class, c.label)
	}
}

// scaleOf maps one coordinate of the points, of which it takes the logarithm,
// from begin to end.
func scaleOf(points [][2]float64, coordinate int, begin, end float64) func(float64) float64 {
	least, most := bounds(points, coordinate)
	if least == most {
		least, most = least/2, most*2
	}
	return func(v float64) float64 {
		return begin + (end-begin)*math.Log(v/least)/math.Log(most/least)
	}
}

func bounds(points [][2]float64, coordinate int) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, at := range points {
		least, most = min(least, at[coordinate]), max(most, at[coordinate])
	}
	return least, most
}

// ticks are powers of ten between the least value and the most and, where these
// are few, 2 and 5 times them.
func ticks(points [][2]float64) []float64 {
	least, most := bounds(points, 1)
	steps := []float64{1, 2, 5}
	if most/least > 300 {
		steps = steps[:1]
	}
	var values []float64
	for power := math.Pow(10, math.Floor(math.Log10(least))); power <= most; power *= 10 {
		for _, times := range steps {
			if v := power * times; v >= least && v <= most {
				values = append(values, v)
			}
		}
	}
	return values
}
