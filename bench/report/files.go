package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed287501ae/sockets/bench/results"
)

// Pictures writes results.svg and growth.svg into a folder.
func Pictures(folder string, run *results.Run) error {
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "results.svg"), drawBars(run), 0o666),
		os.WriteFile(filepath.Join(folder, "growth.svg"), drawGrowth(run), 0o666),
	)
}

const (
	opening = "<!-- results -->"
	closing = "<!-- /results -->"
)

// Readme writes where it was measured, and the bars, into a file between the
// lines <!-- results --> and <!-- /results -->, which it must have.
func Readme(path string, run *results.Run) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, opened := bytes.Cut(text, []byte(opening+"\n"))
	_, after, closed := bytes.Cut(rest, []byte(closing))
	if !opened || !closed {
		return fmt.Errorf("%s has no lines %s and %s", path, opening, closing)
	}
	var b strings.Builder
	writeConditions(&b, run)
	b.WriteString("\n")
	writeBars(&b, run)
	return os.WriteFile(path, fmt.Appendf(nil, "%s%s\n\n%s\n%s%s", before, opening, b.String(), closing, after), 0o666)
}
