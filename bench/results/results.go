// Package results holds what a run of the comparison measured, and what is
// asked of it: data only, which [encoding/json] can write and read again.
package results

import "time"

// A Run is all that one run of the command measured.
type Run struct {
	Machine  string            // operating system, architecture, processor and cores
	Go       string            // version that compiled it
	Versions map[string]string // of the modules of the rivals, by module path
	Seconds  float64           // that one sample takes
	Reps     int               // samples of one contestant in one row
	Notes    []string          // sentences on what was left out, and why
	Rows     []Row
	Bars     []Bar
	Samples  []Sample
}

// A Row is a load, and who carries it.
type Row struct {
	Name        string // unique; letters, digits and hyphens
	Title       string // a sentence for readers
	Contestants []string
	Unit        string  // of Rate: "messages", "deliveries", "datagrams"
	Group       string  // "bars", "connections" or "sizes": the last two are plots
	X           float64 // the row's place on the axis of a plot: connections, or bytes
}

// A Sample is one measurement. A quantity that was not measured is zero. The
// name of a contestant is that of the server and, after a plus sign, that of
// the client where it is another; "c" is the limit, written in C.
type Sample struct {
	Row, Contestant  string
	Rep              int
	Rate             float64       // whole messages per second
	P50, P99         time.Duration // of a round trip
	CPUPerMessage    time.Duration // of both processes
	ServerCPU        time.Duration // of the server, per message
	AllocsPerMessage float64       // in the server; negative where it cannot tell
	ServerRSS        int64         // bytes, at the end
	PerConnection    float64       // bytes of the server's RSS: its growth divided by the connections
	Messages         int64         // that were counted for Rate
	Err              string        // why there is no measurement
}

// A Quantity is what a bar looks at.
type Quantity string

const (
	Rate          Quantity = "rate"
	P99           Quantity = "p99"
	PerConnection Quantity = "memory per connection"
	Allocs        Quantity = "allocations per message"
	CPU           Quantity = "CPU per message"
)

// A Bar asks something of one contestant: of its quantity divided by that of a
// rival in the same repetition or, where Rival is empty, of its quantity.
// Bounds are at least Must and Aim; where AtMost is set, at most.
type Bar struct {
	Row, Ours string
	Rival     string
	RivalRow  string // where the rival ran; empty for Row
	Quantity  Quantity
	AtMost    bool
	Must      float64
	Aim       float64 // zero if none is named
}
