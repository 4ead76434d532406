package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

const modulePath = "github.com/seed287501ae/sockets"

// A target is a function for go test -fuzz.
type target struct {
	folder string // of its package, with slashes
	name   string
}

func (t target) String() string { return path.Join(t.folder, t.name) }

// test is the name of what runs the target in the copy.
func (t target) test() string { return "TestCampaign" + t.name }

var (
	packageClause = regexp.MustCompile(`(?m)^package (\w+)$`)
	targetClause  = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	argument      = regexp.MustCompile(`\*testing\.F\b`)
)

// prepare copies the repository, without modules in it, to another folder, where
// targets are tests, and returns them.
func prepare(from, to string) ([]target, error) {
	var targets []target
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if relative != "." && (err == nil || strings.HasPrefix(entry.Name(), ".")) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, relative), 0o777)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			source, found := convert(string(text), filepath.ToSlash(filepath.Dir(relative)))
			text, targets = []byte(source), append(targets, found...)
		}
		return os.WriteFile(filepath.Join(to, relative), text, 0o666)
	})
	return targets, err
}

// convert makes tests of the targets in a file of a folder.
func convert(source, folder string) (string, []target) {
	if !argument.MatchString(source) {
		return source, nil
	}
	var targets []target
	var tests strings.Builder
	for _, found := range targetClause.FindAllStringSubmatch(source, -1) {
		t := target{folder, found[1]}
		targets = append(targets, t)
		fmt.Fprintf(&tests, "\nfunc %s(t *testing.T) { campaign%s(&driver.F{T: t}) }\n", t.test(), t.name)
	}
	source = targetClause.ReplaceAllString(source, "func campaign$1(f *testing.F)")
	source = argument.ReplaceAllString(source, "*driver.F")
	source = packageClause.ReplaceAllString(source, "package $1\n\nimport \""+modulePath+"/internal/campaign/driver\"")
	return source + tests.String(), targets
}
