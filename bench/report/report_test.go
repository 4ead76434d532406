package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/bench/report"
	"github.com/seed287501ae/sockets/bench/results"
)

// invented is a run that nobody measured: ours is 30, 40 and 41 times as fast as
// the naive one in its three repetitions.
func invented() *results.Run {
	run := &results.Run{
		Machine: "linux/amd64, 2 cores", Go: "go1.26", Seconds: 1, Reps: 3,
		Versions: map[string]string{"github.com/coder/websocket": "v1.8.15"},
		Notes:    []string{"There is no C compiler: the limit is left out."},
		Rows: []results.Row{
			{Name: "echo-64x64-128", Title: "Echo.", Contestants: []string{"ours", "naive", "netpoll+c", "gorilla"}, Unit: "messages", Group: "bars"},
			{Name: "idle-10000", Title: "Idle.", Contestants: []string{"ours+naive", "gorilla"}, Unit: "messages", Group: "bars"},
		},
		Bars: []results.Bar{
			{Row: "echo-64x64-128", Ours: "ours", Rival: "naive", Quantity: results.Rate, Must: 30, Aim: 40},
			{Row: "echo-64x64-128", Ours: "ours", Rival: "netpoll+c", Quantity: results.Rate, Must: 1, Aim: 1.3},
			{Row: "echo-64x64-128", Ours: "ours", Rival: "naive", Quantity: results.P99, AtMost: true, Must: 1.25},
			{Row: "echo-64x64-128", Ours: "ours", Quantity: results.Allocs, AtMost: true},
			{Row: "echo-64x64-128", Ours: "ours", Rival: "gorilla", Quantity: results.Rate, Must: 10},
			{Row: "idle-10000", Ours: "ours+naive", Quantity: results.PerConnection, AtMost: true, Must: 5000, Aim: 4000},
			{Row: "idle-10000", Ours: "ours+naive", RivalRow: "echo-64x64-128", Rival: "ours", Quantity: results.Rate, Must: 0.7},
		},
	}
	for rep, times := range []float64{30, 40, 41} {
		rate := 100_000 * float64(rep+1)
		run.Samples = append(run.Samples,
			results.Sample{Row: "echo-64x64-128", Contestant: "ours", Rep: rep, Rate: times * rate, P99: 30 * time.Microsecond, Messages: 1},
			results.Sample{Row: "echo-64x64-128", Contestant: "naive", Rep: rep, Rate: rate, P99: 20 * time.Microsecond, AllocsPerMessage: 2, Messages: 1},
			results.Sample{Row: "echo-64x64-128", Contestant: "netpoll+c", Rep: rep, Rate: times * rate / 0.96, AllocsPerMessage: -1, Messages: 1},
			results.Sample{Row: "echo-64x64-128", Contestant: "gorilla", Rep: rep, Rate: 5, Err: "gorilla | failed"},
			results.Sample{Row: "idle-10000", Contestant: "ours+naive", Rep: rep, PerConnection: 3600},
			results.Sample{Row: "idle-10000", Contestant: "gorilla", Rep: rep, PerConnection: 26_000},
		)
	}
	for _, group := range []string{"connections", "sizes"} {
		for x := 1.0; x <= 100; x *= 10 {
			row := results.Row{Name: group + strings.Repeat("0", int(x)%7), Title: "Growth.", Contestants: []string{"ours+c", "c"}, Unit: "messages", Group: group, X: x}
			run.Rows = append(run.Rows, row)
			for i, contestant := range row.Contestants {
				run.Samples = append(run.Samples, results.Sample{
					Row: row.Name, Contestant: contestant, Rate: 1e6 * float64(i+1) / x, CPUPerMessage: time.Microsecond, PerConnection: 3000, Messages: 1,
				})
			}
		}
	}
	return run
}

func TestMarkdownComparesRepetitionByRepetition(t *testing.T) {
	var b bytes.Buffer
	if err := report.Markdown(&b, invented()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"linux/amd64, 2 cores; go1.26. 3 repetitions of 1 s each, interleaved.",
		"Rivals: coder/websocket v1.8.15.",
		"> There is no C compiler: the limit is left out.",
		"| echo-64x64-128 | sockets | naive `net` code | rate | **40.0×** (30.0×–41.0×) | ≥ 30× | ≥ 40× | yes, and the aim |",
		"| echo-64x64-128 | sockets | netpoll, client C | rate | **0.960×** (0.960×–0.960×) | ≥ 1× | ≥ 1.3× | yes |",
		"| echo-64x64-128 | sockets | naive `net` code | p99 | **1.50×** (1.50×–1.50×) | ≤ 1.25× | – | **no** |",
		"| echo-64x64-128 | sockets | – | allocations per message | **0.00** (0.00–0.00) | 0 | – | yes |",
		"| echo-64x64-128 | sockets | gorilla/websocket | rate | – | ≥ 10× | – | not measured |",
		"| idle-10000 | sockets, client naive `net` code | – | memory per connection | **3.60 KB** (3.60 KB–3.60 KB) | ≤ 5 KB | ≤ 4 KB | yes, and the aim |",
		"| idle-10000 | sockets, client naive `net` code | sockets in echo-64x64-128 | rate | – | ≥ 0.7× | – | not measured |",
		"| sockets | 8.00 M (3.00 M–12.3 M) | 30.0 µs | 0.00 |",
		"| naive `net` code | 200 k (100 k–300 k) | 20.0 µs | 2.00 |",
		"| netpoll, client C | 8.33 M (3.12 M–12.8 M) | – | – |",
		`| gorilla/websocket | gorilla \| failed | – | – |`,
		"| 10 | C | 200 k | 1.00 µs | 0.00 | 3.00 KB |",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("missing line: %s", line)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}

func TestFiguresSayHowManyRepetitionsFailed(t *testing.T) {
	run := invented()
	i := slices.IndexFunc(run.Samples, func(s results.Sample) bool { return s.Contestant == "naive" })
	run.Samples[i].Err = "it hung"
	var b bytes.Buffer
	if err := report.Markdown(&b, run); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"| rate | **40.5×** (40.0×–41.0×), 2 of 3 | ≥ 30× |",
		"| naive `net` code | 250 k (200 k–300 k), 2 of 3 | 20.0 µs | 2.00 |",
		"| sockets | 8.00 M (3.00 M–12.3 M) |",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("missing: %s\n%s", part, &b)
		}
	}
}

func TestPicturesAreXMLWithTextAsText(t *testing.T) {
	folder := t.TempDir()
	if err := report.Pictures(folder, invented()); err != nil {
		t.Fatal(err)
	}
	for name, texts := range map[string][]string{
		"results.svg": {"sockets", "naive net code", "netpoll ← C", "8.00 M", "26.0 KB", "prefers-color-scheme:dark"},
		"growth.svg":  {"Messages per second", "Memory of the server per connection", "sockets", "100 k"},
	} {
		picture, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		for decoder := xml.NewDecoder(bytes.NewReader(picture)); ; {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if element, ok := token.(xml.StartElement); ok && element.Name.Local == "script" {
				t.Errorf("%s has a script", name)
			}
		}
		for _, text := range texts {
			if !bytes.Contains(picture, []byte(text)) {
				t.Errorf("%s does not contain %q", name, text)
			}
		}
		if bytes.Contains(picture, []byte("NaN")) || bytes.Contains(picture, []byte("Inf")) {
			t.Errorf("%s has a place that is no number", name)
		}
	}
}

func TestReadmeKeepsWhatIsAround(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	const around = "before\n\n<!-- results -->\nold\n<!-- /results -->\n\nafter\n"
	if err := os.WriteFile(path, []byte(around), 0o666); err != nil {
		t.Fatal(err)
	}
	var first []byte
	for range 2 {
		if err := report.Readme(path, invented()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("before\n\n<!-- results -->\n\nlinux/amd64")) || !bytes.HasSuffix(text, []byte("|\n\n<!-- /results -->\n\nafter\n")) {
			t.Errorf("README is %s", text)
		}
		if first == nil {
			first = text
		}
		if !bytes.Equal(text, first) {
			t.Error("written again, the README differs")
		}
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := report.Readme(path, invented()); err == nil {
		t.Error("a README without marks gives no error")
	}
}

// A run of a few rows must not break what it cannot draw.
func TestNothingMeasuredIsNoError(t *testing.T) {
	run := &results.Run{Rows: invented().Rows, Bars: invented().Bars}
	if err := report.Markdown(io.Discard, run); err != nil {
		t.Error(err)
	}
	if err := report.Pictures(t.TempDir(), run); err != nil {
		t.Error(err)
	}
}
