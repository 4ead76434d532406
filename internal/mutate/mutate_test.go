package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if err := os.Chdir(filepath.Join("..", "..")); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestEveryDefectApplies(t *testing.T) {
	if len(defects) < 30 {
		t.Errorf("there are %d defects, want at least 30", len(defects))
	}
	names := make(map[string]bool)
	for _, d := range defects {
		if names[d.name] {
			t.Errorf("%s: two defects have this name", d.name)
		}
		names[d.name] = true
		text, err := d.apply()
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), d.file, text, parser.SkipObjectResolution); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		for _, folder := range strings.Fields(d.tests) {
			if tests, err := filepath.Glob(filepath.Join(folder, "*_test.go")); err != nil || len(tests) == 0 {
				t.Errorf("%s: no tests in %s", d.name, folder)
			}
		}
	}
}

func TestFateOfADefect(t *testing.T) {
	const file, tests = "internal/guess/guess.go", "./internal/guess"
	for _, test := range []struct {
		name string
		edit edit
		want string // the beginning of the verdict
	}{
		{"a defect", edit{`"GET "`, `"GAT "`}, "caught by Test"},
		{"no defect", edit{"var programs", "// harmless\nvar programs"}, "SURVIVED"},
		{"no Go", edit{"var programs", "var programmes"}, "does not compile"},
		{"not there", edit{"var programmes", ""}, "does not apply"},
		{"there twice", edit{"an HTTP client", ""}, "does not apply"},
		{"a crash", edit{"length := head[:prefix]", "length := head[:prefix]\n\tpanic(length)"}, "caught by Test"},
	} {
		d := defect{test.name, file, tests, []edit{test.edit}}
		if got := d.try(t.Context()).String(); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestJudge(t *testing.T) {
	const (
		run  = `{"Action":"run","Package":"p","Test":"TestA"}`
		sub  = `{"Action":"run","Package":"p","Test":"TestA/row"}`
		late = `{"Action":"output","Package":"p","Output":"panic: test timed out after 1m0s\n"}`
	)
	for _, test := range []struct{ want, report string }{
		{"SURVIVED", run + `{"Action":"pass","Package":"p","Test":"TestA"}{"Action":"pass","Package":"p"}`},
		{"caught by TestA", run + `{"Action":"fail","Package":"p","Test":"TestA"}`},
		{"caught by TestA/row", run + sub + `{"Action":"fail","Package":"p","Test":"TestA/row"}{"Action":"fail","Package":"p","Test":"TestA"}`},
		{"caught by TestA/row", run + sub + `{"Action":"fail","Package":"p"}`},
		{"caught by TestA", run + sub + `{"Action":"pass","Package":"p","Test":"TestA/row"}{"Action":"fail","Package":"p"}`},
		{"caught by TestA (it never ends)", run + late + `{"Action":"fail","Package":"p"}`},
		{"caught by TestB", run + `{"Action":"run","Package":"q","Test":"TestB"}{"Action":"fail","Package":"q"}`},
		{"caught by the TestMain of p", run + `{"Action":"skip","Package":"p","Test":"TestA"}{"Action":"fail","Package":"p"}`},
		{"does not compile", `{"Action":"build-output"}{"Action":"build-fail"}{"Action":"fail","Package":"p","FailedBuild":"p"}`},
	} {
		if got := judge(strings.NewReader(test.report)).String(); got != test.want {
			t.Errorf("judge(%s) = %s, want %s", test.report, got, test.want)
		}
	}
}
