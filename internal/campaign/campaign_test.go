package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTargetIsPrepared(t *testing.T) {
	root := filepath.Join("..", "..")
	targets, err := prepare(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		count += strings.Count(string(text), "\nfunc Fuzz")
		return err
	})
	if err != nil || len(targets) != count {
		t.Errorf("%d targets are prepared, want %d, %v:\n%v", len(targets), count, err, targets)
	}
}

func TestWhatACampaignFindsIsKept(t *testing.T) {
	if _, err := findLibrary(); err != nil {
		t.Skip(err)
	}
	for _, comparisons := range []bool{true, false} {
		t.Run(fmt.Sprint("comparisons=", comparisons), func(t *testing.T) {
			root := t.TempDir()
			for from, to := range map[string]string{
				"../../go.mod":            "go.mod",
				"testdata/planted.go.txt": "planted/planted_test.go",
				"driver/driver.go":        "internal/campaign/driver/driver.go",
				"driver/counters.go":      "internal/campaign/driver/counters.go",
			} {
				copyFile(t, from, filepath.Join(root, to))
			}
			t.Chdir(root)
			p := plan{runs: 2000, parallel: 2, folder: t.TempDir(), wanted: regexp.MustCompile(""), comparisons: comparisons}
			err := p.carryOut(t.Context())
			if want := "3 of 4 targets failed or were stopped"; err == nil || err.Error() != want {
				t.Errorf("carryOut = %v, want %s", err, want)
			}
			log, err := os.ReadFile(filepath.Join(p.folder, "planted", "FuzzNothing", "log"))
			if err != nil || !bytes.Contains(log, []byte("inline 8-bit counters")) || bytes.Contains(log, []byte(" cov: ")) != comparisons {
				t.Errorf("the counters, or the places in the code, are not as they should be: %v\n%s", err, log)
			}
			checkKept(t)
		})
	}
}

func checkKept(t *testing.T) {
	t.Helper()
	want := "go test fuzz v1\nstring(\"seed\")\nuint16(7)\n[]byte(\"more\")\nint(-1)\nbool(true)\nuint8(34)\n"
	for name, failed := range map[string]bool{"FuzzNothing": false, "FuzzError": true, "FuzzPanicElsewhere": true, "FuzzSchedule": true} {
		kept, err := filepath.Glob("planted/testdata/fuzz/" + name + "/*")
		if err != nil || len(kept) > 0 != failed {
			t.Errorf("%s: kept %v, %v, failed: %v", name, kept, err, failed)
		}
		for _, path := range kept {
			if text, err := os.ReadFile(path); err != nil || string(text) != want {
				t.Errorf("%s: kept %q, %v, want %q", name, text, err, want)
			}
			run := exec.Command("go", "test", "-run", "^"+name+"$/^"+filepath.Base(path)+"$", "./planted")
			if output, err := run.CombinedOutput(); err == nil || !strings.Contains(string(output), "found") {
				t.Errorf("%s: go test does not repeat it: %v\n%s", name, err, output)
			}
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o777)
	}
	if err == nil {
		err = os.WriteFile(to, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}
