package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	packageLimit = time.Minute     // for the tests of one package, which then name who never ended
	runLimit     = 5 * time.Minute // for all of them, compiled
)

// A defect is a wrong version of one file.
type defect struct {
	name  string
	file  string // from the top of the repository
	tests string // the packages whose tests should catch it, separated by spaces
	edits []edit
}

// An edit replaces a text that a file has exactly once.
type edit struct{ old, new string }

// A fate is what became of a defect.
type fate string

const (
	caught   fate = "caught by"
	survived fate = "SURVIVED"
	broken   fate = "does not compile"
	stale    fate = "does not apply"
)

// A verdict is a fate, and by whom or why.
type verdict struct {
	fate fate
	who  string
}

func (v verdict) String() string { return strings.TrimSpace(string(v.fate) + " " + v.who) }

// apply returns the file with the defect in it.
func (d *defect) apply() (string, error) {
	source, err := os.ReadFile(d.file)
	if err != nil {
		return "", err
	}
	text := string(source)
	for _, e := range d.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s has %d times: %q", d.file, n, e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, nil
}

// try runs the tests against the defect.
func (d *defect) try(ctx context.Context) verdict {
	text, err := d.apply()
	if err != nil {
		return verdict{stale, err.Error()}
	}
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return verdict{stale, err.Error()}
	}
	defer os.RemoveAll(scratch)
	overlay, err := writeOverlay(scratch, d.file, text)
	if err != nil {
		return verdict{stale, err.Error()}
	}
	return runTests(ctx, append([]string{"-overlay", overlay}, strings.Fields(d.tests)...))
}

// writeOverlay makes the go command read text in the place of file, and returns
// the name of the file that tells it so. Both are in the folder scratch.
func writeOverlay(scratch, file, text string) (overlay string, err error) {
	original, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(scratch, filepath.Base(file))
	overlay = filepath.Join(scratch, "overlay.json")
	table, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, table, 0o600)
}

// runTests runs go test with these arguments until the first test fails.
func runTests(ctx context.Context, arguments []string) verdict {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	arguments = append([]string{"test", "-json", "-vet=off", "-failfast", "-timeout", packageLimit.String()}, arguments...)
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var report, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &report, &complaint
	err := cmd.Run()
	switch v := judge(&report); {
	case err == nil:
		return verdict{fate: survived}
	case ctx.Err() != nil:
		return verdict{stale, "the tests did not end within " + runLimit.String()}
	case v.fate == survived: // nothing was run, by the go command's own decision
		return verdict{broken, strings.TrimSpace(complaint.String())}
	default:
		return v
	}
}

// judge reads the report of go test -json up to the first failure.
func judge(report io.Reader) verdict {
	running := make(map[string][]string) // tests that have begun, by package
	endless := make(map[string]bool)     // packages stopped by their time limit
	for decoder := json.NewDecoder(report); ; {
		var event struct{ Action, Package, Test, Output string }
		if err := decoder.Decode(&event); err != nil {
			return verdict{fate: survived}
		}
		tests := running[event.Package]
		switch event.Action {
		case "run":
			running[event.Package] = append(tests, event.Test)
		case "pass", "skip":
			running[event.Package] = slices.DeleteFunc(tests, func(test string) bool { return test == event.Test })
		case "output":
			if strings.HasPrefix(event.Output, "panic: test timed out") {
				endless[event.Package] = true
			}
		case "build-fail":
			return verdict{fate: broken}
		case "fail":
			return verdict{caught, blame(event.Package, event.Test, tests, endless[event.Package])}
		}
	}
}

// blame names the test that failed: the one that the report names, else the last
// that had begun, else what the package does around its tests.
func blame(name, test string, running []string, endless bool) string {
	if n := len(running); test == "" && n > 0 {
		test = running[n-1]
	}
	if test == "" {
		test = "the TestMain of " + name
	}
	if endless {
		test += " (it never ends)"
	}
	return test
}
