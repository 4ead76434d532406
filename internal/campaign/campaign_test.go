package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if err := os.Chdir(filepath.Join("..", "..")); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestEveryTargetIsPrepared(t *testing.T) {
	targets, err := prepare(".", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	listed, err := exec.Command("git", "grep", "--untracked", "-E", "^func Fuzz", "--", "*_test.go").Output()
	if err != nil {
		t.Skip("not a clone: ", err)
	}
	if count := strings.Count(string(listed), "\n"); len(targets) != count {
		t.Errorf("%d targets are prepared, want %d:\n%v\n%s", len(targets), count, targets, listed)
	}
}

func TestWhatACampaignFindsIsKept(t *testing.T) {
	if _, err := findLibrary(); err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	for from, to := range map[string]string{
		"go.mod": "go.mod",
		"internal/campaign/testdata/planted.go.txt": "planted/planted_test.go",
		"internal/campaign/driver/driver.go":        "internal/campaign/driver/driver.go",
	} {
		copyFile(t, from, filepath.Join(root, to))
	}
	t.Chdir(root)
	err := campaign(t.Context(), t.TempDir(), "", regexp.MustCompile(""), 2000, 2)
	if want := "3 of 4 targets failed or were stopped"; err == nil || err.Error() != want {
		t.Errorf("campaign = %v, want %s", err, want)
	}
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
