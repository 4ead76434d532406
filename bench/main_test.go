package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/bench/results"
	"github.com/seed287501ae/sockets/bench/rivals"
)

// TestMain lets the test's program be its own children.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains(roles, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limit, err := buildLimit(t.Context(), t.TempDir())
	if err != nil {
		t.Log(err)
	}
	return &harness{self: self, limit: limit, seconds: 50 * time.Millisecond}
}

// TestEveryRow measures each contestant of each row, with few connections and for
// an instant; of the rows that show growth, the first and the last.
func TestEveryRow(t *testing.T) {
	h := newHarness(t)
	_, noTaskset := exec.LookPath("taskset")
	all := rows()
	for i, r := range all {
		if r.Group != "bars" && i > 0 && i+1 < len(all) && all[i-1].Group == r.Group && all[i+1].Group == r.Group {
			continue
		}
		r.load.Connections, r.load.Window = min(r.load.Connections, 20), min(r.load.Window, 4)
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			if r.oneCore && noTaskset != nil {
				t.Skip(noTaskset)
			}
			for _, contestant := range r.Contestants {
				if !h.has(r, contestant) {
					t.Logf("%s cannot run here", contestant)
					continue
				}
				sample := h.sample(t.Context(), r, contestant)
				still := r.load.Kind == rivals.Idle || r.stalled && contestant == "naive+c"
				if sample.Err == "" && sample.Rate == 0 && !still { // a busy machine can starve it for that long
					patient := *h
					patient.seconds = time.Second
					sample = patient.sample(t.Context(), r, contestant)
				}
				if sample.Err != "" || sample.Rate <= 0 && !still {
					t.Errorf("%s: %v messages per second, error %q", contestant, sample.Rate, sample.Err)
				}
			}
		})
	}
}

// TestCommand prints what a short run measures, and writes it anew.
func TestCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	var printed strings.Builder
	if err := run(t.Context(), []string{"-only", "^(framer-128|echo-1k)$", "-rivals", "ours,msgio", "-reps", "2", "-seconds", "0.02"}, &printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"echo-1k", "framer-128", "2 repetitions"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the results do not mention %q:\n%s", want, &printed)
		}
	}
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("a run of some rows wrote %v", files)
	}

	made := results.Run{Rows: []results.Row{rows()[0].Row}, Samples: []results.Sample{
		{Row: "echo-64x64-128", Contestant: "ours", Rate: 4e6},
		{Row: "echo-64x64-128", Contestant: "naive", Rate: 1e5},
	}}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile("old.json", text, 0o666)
	os.WriteFile("README.md", []byte("# Bench\n<!-- results -->\n<!-- /results -->\n"), 0o666)
	if err := run(t.Context(), []string{"-from", "old.json"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	readme, _ := os.ReadFile("README.md")
	if !strings.Contains(string(readme), "40.0×") {
		t.Errorf("README.md does not have the ratio:\n%s", readme)
	}
	for _, name := range []string{"results.json", "results.svg", "growth.svg"} {
		if info, err := os.Stat(name); err != nil || info.Size() == 0 {
			t.Errorf("%s was not written: %v", name, err)
		}
	}
}

// TestBadServerIsFound has clients talk to servers that are no good.
func TestBadServerIsFound(t *testing.T) {
	h := newHarness(t)
	clients := slices.DeleteFunc([]string{"naive", "ours", "netpoll", "c"}, func(name string) bool {
		return !h.has(other(rivals.Echo, "", "", "", 1, 128), name)
	})
	for name, serve := range map[string]func(net.Conn){
		"changes a byte": func(conn net.Conn) {
			frame := make([]byte, 4+128)
			for i := 0; ; i++ {
				if _, err := io.ReadFull(conn, frame); err != nil {
					return
				}
				if i == 5 {
					frame[100] ^= 1
				}
				conn.Write(frame)
			}
		},
		"hangs up":      func(conn net.Conn) { conn.Close() },
		"never answers": func(conn net.Conn) { io.Copy(io.Discard, conn) },
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
		for _, client := range clients {
			for _, kind := range []rivals.Kind{rivals.Echo, rivals.PingPong} {
				t.Run(name+"/"+client+"/"+string(kind), func(t *testing.T) {
					t.Parallel()
					patience := time.Minute
					if name == "never answers" {
						patience = time.Second
					}
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					p, err := h.client(ctx, other(kind, "", "", "", 1, 128), "", client, l.Addr().String())
					if err == nil {
						p.kill()
						t.Error("the client says that all is well")
					}
				})
			}
		}
	}
}
