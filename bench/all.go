package main

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/seed287501ae/sockets/bench/results"
)

//go:embed limit/limit.c
var limitSource []byte

// measureAll measures rows, one after the other: each contestant once, then each
// once more in another order, and so on. Growth takes a third of the
// repetitions.
func measureAll(ctx context.Context, chosen []row, seconds float64, reps int) (*results.Run, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	measured := &results.Run{Machine: machine(), Go: runtime.Version(), Versions: versions(), Seconds: seconds, Reps: reps}
	duration := time.Duration(seconds * float64(time.Second))
	h := &harness{self: self, warm: min(duration/2, 300*time.Millisecond), seconds: duration}
	if h.limit, err = buildLimit(ctx, folder); err != nil {
		measured.Notes = append(measured.Notes, fmt.Sprintf("Contestants in C are left out: %v.", err))
	}
	_, noTaskset := exec.LookPath("taskset")
	if noTaskset != nil {
		measured.Notes = append(measured.Notes, "Rows on one core are left out, as there is no taskset.")
	}
	for _, r := range chosen {
		if r.oneCore && noTaskset != nil {
			continue
		}
		r.Contestants = slices.DeleteFunc(r.Contestants, func(contestant string) bool { return !h.has(r, contestant) })
		if len(r.Contestants) == 0 {
			continue
		}
		measured.Rows = append(measured.Rows, r.Row)
		samples := h.interleave(ctx, r, reps)
		measured.Samples = append(measured.Samples, samples...)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	measured.Bars = barsOf(measured.Rows)
	return measured, nil
}

func (h *harness) interleave(ctx context.Context, r row, reps int) (samples []results.Sample) {
	if r.Group != "bars" {
		reps = (reps + 2) / 3
	}
	order := rand.New(rand.NewPCG(5, 5))
	for rep := range reps {
		for _, i := range order.Perm(len(r.Contestants)) {
			sample := h.sample(ctx, r, r.Contestants[i])
			sample.Rep = rep
			samples = append(samples, sample)
			fmt.Fprintf(os.Stderr, "%-20s %2d/%d  %-16s %12.0f/s  %s\n", r.Name, rep+1, reps, sample.Contestant, sample.Rate, sample.Err)
		}
	}
	return samples
}

// buildLimit compiles the limit, which needs Linux and a C compiler.
func buildLimit(ctx context.Context, folder string) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("they need Linux")
	}
	if err := os.WriteFile(filepath.Join(folder, "limit.c"), limitSource, 0o600); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, "cc", "-O2", "-pthread", "-o", "limit", "limit.c")
	command.Dir = folder
	if text, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cc: %v %s", err, text)
	}
	return filepath.Join(folder, "limit"), nil
}

// machine is the class of this machine.
func machine() string {
	processor := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			processor = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor)
}

// versions are those of the rivals' modules.
func versions() map[string]string {
	all := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return all
	}
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/cloudwego/netpoll", "github.com/coder/websocket", "github.com/gorilla/websocket",
			"github.com/libp2p/go-msgio", "github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go":
			all[module.Path] = module.Version
		}
	}
	return all
}
