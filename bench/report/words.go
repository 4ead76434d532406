package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/seed287501ae/sockets/bench/results"
)

var names = map[string]string{
	"ours":       "sockets",
	"ours-owned": "sockets, owned",
	"naive":      "naive `net` code",
	"onewrite":   "one write each",
	"netpoll":    "netpoll",
	"coder":      "coder/websocket",
	"gorilla":    "gorilla/websocket",
	"msgio":      "go-msgio",
	"nats":       "NATS",
	"c":          "C",
	"raw":        "raw `net.Conn`",
	"loop":       "plain loop",
	"memcpy":     "memcpy",
}

// named is a contestant for readers: the server and, where it is another, the
// client.
func named(contestant string) string {
	server, client, other := strings.Cut(contestant, "+")
	if name, ok := names[server]; ok {
		server = name
	}
	if !other {
		return server
	}
	if name, ok := names[client]; ok {
		client = name
	}
	return server + ", client " + client
}

// plainText is text without the marks of Markdown.
func plainText(s string) string { return strings.ReplaceAll(s, "`", "") }

// A unit is how many of the smallest it stands for, and its name.
type unit struct {
	of   float64
	name string
}

var (
	thousands = []unit{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, ""}}
	bytesIn   = []unit{{1e9, " GB"}, {1e6, " MB"}, {1e3, " KB"}, {1, " B"}}
	times     = []unit{{1e9, " s"}, {1e6, " ms"}, {1e3, " µs"}, {1, " ns"}}
)

func short(v float64) string      { return scaled(v, thousands) }
func bytesOf(v float64) string    { return scaled(v, bytesIn) }
func durationOf(v float64) string { return scaled(v, times) }

// scaled writes three digits in the largest unit that is not too large.
func scaled(v float64, units []unit) string {
	i := slices.IndexFunc(units, func(u unit) bool { return v >= u.of*0.9995 })
	if i < 0 {
		i = len(units) - 1
	}
	return digits(v/units[i].of) + units[i].name
}

// digits writes three digits, and all of those before the point.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), v)
}

// sizeOf writes a size of a message, which is a power of two.
func sizeOf(v float64) string {
	switch {
	case v >= 1<<20:
		return fmt.Sprintf("%g MiB", v/(1<<20))
	case v >= 1<<10:
		return fmt.Sprintf("%g KiB", v/(1<<10))
	}
	return fmt.Sprintf("%g B", v)
}

// placeOf writes a number of connections.
func placeOf(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%g,%03d", math.Floor(v/1000), int(v)%1000)
	}
	return fmt.Sprintf("%g", v)
}

func allocations(v float64) string { return fmt.Sprintf("%.2f", max(0, v)) }

// amount writes a value that a bar looks at, or its bound.
func amount(bar results.Bar, v float64) string {
	if bar.Rival != "" {
		return digits(v) + "×"
	}
	switch bar.Quantity {
	case results.PerConnection:
		return bytesOf(v)
	case results.P99, results.CPU:
		return durationOf(v)
	case results.Allocs:
		return allocations(v)
	}
	return short(v)
}

// bound writes what a bar asks for.
func bound(bar results.Bar, v float64) string {
	switch {
	case bar.AtMost && v == 0:
		return "0"
	case v == 0:
		return "–"
	case bar.AtMost:
		return "≤ " + round(amount(bar, v))
	}
	return "≥ " + round(amount(bar, v))
}

var zeros = regexp.MustCompile(`\.0+(\D|$)|(\.\d*[1-9])0+(\D|$)`)

// round drops zeros at the end of a number: 30.0× is 30×.
func round(s string) string { return zeros.ReplaceAllString(s, "$2$1$3") }
