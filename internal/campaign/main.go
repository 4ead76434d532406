// Campaign fuzzes every target, many millions of times each.
//
//	go run ./internal/campaign [-runs 20000000] [-run REGEXP] [-parallel 2] [-folder FOLDER] [-comparisons=false]
//
// The engine is libFuzzer, which is fast: a million executions take seconds to
// minutes, where go test -fuzz looks through the counters of the whole program
// after each. It needs clang's run-time library and C++'s; on Debian they are
// the packages libclang-rt-14-dev and g++.
//
// It builds the tests of a copy of the repository, in which targets take a
// stand-in for testing.F, and runs them side by side. Where one fails, the input
// is written to testdata/fuzz of its package, so that go test runs it again, and
// the exit status is 1. With -folder the corpora stay, for the next campaign to
// go on. Where comparisons are not shown to libFuzzer, it guesses fewer numbers
// and words, and long executions take half the time. It runs at the top of the
// repository, on Linux.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// longest is how many bytes an input of a target has, at most: few where a few
// are a call or a datagram.
var longest = map[string]int{
	"FuzzSchedule":         80,
	"FuzzPeerSchedule":     80,
	"FuzzFramer":           300,
	"reliable/FuzzReceive": 300,
	"secure/FuzzReceive":   200,
}

const longestOfOthers = 2000

type plan struct {
	runs, parallel  int
	folder, library string
	wanted          *regexp.Regexp
	comparisons     bool
}

func main() {
	var p plan
	flag.IntVar(&p.runs, "runs", 20_000_000, "executions of each target")
	only := flag.String("run", "", "only targets of which the folder and the name, as secure/FuzzWindow, match this `REGEXP`")
	flag.IntVar(&p.parallel, "parallel", runtime.NumCPU(), "how many targets run at once")
	flag.StringVar(&p.folder, "folder", "", "where the corpora and the logs stay; a temporary one if it is empty")
	flag.StringVar(&p.library, "library", "", "libFuzzer without its main, if it is not where Debian has it")
	flag.BoolVar(&p.comparisons, "comparisons", true, "show libFuzzer what the code compares")
	flag.Parse()
	var err error
	p.wanted, err = regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(flag.CommandLine.Output(), err)
	}
	if err != nil || flag.NArg() > 0 || p.runs < 1 || p.runs > math.MaxInt32 || p.parallel < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := p.carryOut(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(1)
	}
}

func (p plan) carryOut(ctx context.Context) error {
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("this is not the top of the repository: there is no go.mod")
	}
	if p.library == "" {
		var err error
		if p.library, err = findLibrary(); err != nil {
			return err
		}
	}
	module, err := os.MkdirTemp("", "campaign")
	if err != nil {
		return err
	}
	defer os.RemoveAll(module)
	if p.folder, err = filepath.Abs(cmp.Or(p.folder, filepath.Join(module, "campaign"))); err != nil {
		return err
	}
	targets, err := prepare(".", module)
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !p.wanted.MatchString(t.String()) })
	if len(targets) == 0 {
		return errors.New("no target has such a name")
	}
	for _, packageFolder := range foldersOf(targets) {
		if err := p.build(ctx, module, packageFolder); err != nil {
			return err
		}
	}
	var failures atomic.Int32
	var group errgroup.Group
	group.SetLimit(p.parallel)
	for _, t := range targets {
		group.Go(func() error {
			if !t.fuzz(ctx, module, filepath.Join(p.folder, filepath.FromSlash(t.String())), p.runs) {
				failures.Add(1)
			}
			return nil
		})
	}
	group.Wait()
	if n := failures.Load(); n > 0 {
		return fmt.Errorf("%d of %d targets failed or were stopped", n, len(targets))
	}
	return nil
}

func findLibrary() (string, error) {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	found, _ := filepath.Glob("/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer_no_main-" + machine + ".a")
	if _, err := exec.LookPath("g++"); err != nil || len(found) == 0 {
		return "", errors.New("libFuzzer and C++ are not installed: apt-get install libclang-rt-14-dev g++, or name the first by -library")
	}
	return found[len(found)-1], nil
}

func foldersOf(targets []target) []string {
	var folders []string
	for _, t := range targets {
		folders = append(folders, t.folder)
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// build compiles the tests of a package of the copy, so that libFuzzer sees which
// way the code of the module takes, and what it compares.
func (p plan) build(ctx context.Context, module, folder string) error {
	tags := "campaign"
	if p.comparisons {
		tags += ",libfuzzer"
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binaryOf(module, folder),
		"-tags="+tags, "-ldflags=-checklinkname=0", "-gcflags="+modulePath+"/...=-d=libfuzzer", "./"+folder)
	build.Dir = module
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_LDFLAGS="+p.library+" -lstdc++ -lm")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tests of %s: %w\n%s", folder, err, output)
	}
	return nil
}

func binaryOf(module, folder string) string { return filepath.Join(module, folder, "campaign.test") }

// fuzz runs a target in its folder, prints what became of it, and reports
// whether all is well.
func (t target) fuzz(ctx context.Context, module, folder string, runs int) bool {
	start := time.Now()
	log, err := t.run(ctx, module, folder, runs)
	count := 0
	for _, found := range executions.FindAllStringSubmatch(log, -1) {
		count, _ = strconv.Atoi(found[1])
	}
	if err == nil && count < runs {
		err = errors.New("it ended early")
	}
	line := fmt.Sprintf("%-28s | %10d executions | %6.0f s", t, count, time.Since(start).Seconds())
	switch {
	case err == nil:
		fmt.Println(line)
	case ctx.Err() != nil:
		fmt.Println(line, "| stopped")
	default:
		fmt.Printf("%s | %v\n%s\n", line, err, t.explain(module, folder, log))
	}
	return err == nil
}

var (
	executions = regexp.MustCompile(`(?m)^#(\d+)\s`) // that libFuzzer counts
	cause      = regexp.MustCompile(`(?m)^(panic: |fatal error: |.*ERROR: libFuzzer|\s+\w+_test\.go:\d+: )`)
)

const linesShown = 100 // of the log, from the cause on

// run runs a target under libFuzzer, and returns what was printed.
func (t target) run(ctx context.Context, module, folder string, runs int) (string, error) {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	length := cmp.Or(longest[t.String()], longestOfOthers)
	c := t.command(ctx, module, folder, fmt.Sprintf("CAMPAIGN_ARGUMENTS=-runs=%d -max_len=%d -rss_limit_mb=4096 -detect_leaks=0 -handle_int=0", runs, length))
	c.Stdout, c.Stderr = log, log
	err = c.Run()
	text, readErr := os.ReadFile(log.Name())
	return string(text), cmp.Or(err, readErr)
}

// explain keeps the input that failed, and says how to run it again.
func (t target) explain(module, folder, log string) string {
	if at := cause.FindStringIndex(log); at != nil {
		log = log[at[0]:]
	}
	lines := strings.SplitAfter(log, "\n")
	log = strings.Join(lines[:min(linesShown, len(lines))], "")
	path, err := t.keep(module, folder)
	if err != nil {
		return fmt.Sprintf("%s\nNo input is kept: %v", log, err)
	}
	return fmt.Sprintf("%s\ngo test -run '^%s$/^%s$' ./%s runs it again.", log, t.name, filepath.Base(path), t.folder)
}

// keep writes the last input of a target where go test finds it.
func (t target) keep(module, folder string) (string, error) {
	kept, err := filepath.Abs(filepath.Join(t.folder, "testdata", "fuzz", t.name))
	if err != nil {
		return "", err
	}
	path := filepath.Join(kept, "campaign-"+time.Now().Format("20060102-150405"))
	c := t.command(context.Background(), module, folder, "CAMPAIGN_TRANSLATE="+path)
	return path, c.Run()
}

func (t target) command(ctx context.Context, module, folder, setting string) *exec.Cmd {
	c := exec.CommandContext(ctx, binaryOf(module, t.folder), "-test.v", "-test.timeout=0", "-test.run=^"+t.test()+"$")
	c.Dir = filepath.Join(module, t.folder)
	c.Env = append(os.Environ(), "CAMPAIGN_FOLDER="+folder, "TMPDIR="+folder, setting)
	if strings.HasSuffix(t.name, "Schedule") {
		// Its goroutines would wait for the thread that libFuzzer calls from.
		c.Env = append(c.Env, "CAMPAIGN_WORKER=yes", "GOMAXPROCS=1")
	}
	return c
}
