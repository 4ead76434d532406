// Mutate asks whether the tests notice when the code is wrong.
//
//	go run ./internal/mutate [-list] [-run REGEXP] [-parallel 1]
//
// It puts defects into the code, one at a time, runs the tests of the packages
// that should catch it, and prints which test did. The files stay as they are:
// the go command is told to read another one in the place of one of them.
//
// The exit status is 1 where more than two defects survive, where one does not
// compile or does not apply any more, because its text is not found exactly once,
// and where a test fails without any defect. It runs at the top of the repository.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const survivorsAllowed = 2

var defects = slices.Concat(streamDefects, serverDefects, datagramDefects, textDefects, secureDefects, reliableDefects)

func main() {
	list := flag.Bool("list", false, "list the defects, and run nothing")
	only := flag.String("run", "", "only defects whose name or file matches this `REGEXP`")
	parallel := flag.Int("parallel", 1, "how many defects are tried at once")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 || *parallel < 1 {
		flag.Usage()
		os.Exit(2)
	}
	chosen := slices.DeleteFunc(slices.Clone(defects), func(d defect) bool { return !wanted.MatchString(d.name) && !wanted.MatchString(d.file) })
	if *list {
		for _, d := range chosen {
			fmt.Printf("%-56s | %s\n", d.name, d.file)
		}
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if !hunt(ctx, chosen, *parallel) {
		os.Exit(1)
	}
}

// hunt tries every defect, prints what became of it, and reports whether that
// is good enough.
func hunt(ctx context.Context, defects []defect, parallel int) bool {
	if len(defects) == 0 {
		fmt.Println("no defect has such a name")
		return false
	}
	fmt.Println("first the code as it is")
	if v := runTests(ctx, packagesOf(defects)); v.fate != survived {
		fmt.Println("the tests do not pass without any defect:", v)
		return false
	}
	var mu sync.Mutex // guards count and the standard output
	count := make(map[fate]int)
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, d := range defects {
		group.Go(func() error {
			start := time.Now()
			v := d.try(ctx)
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() == nil {
				count[v.fate]++
				fmt.Printf("%-56s | %-28s | %-72s | %5.1f\n", d.name, d.file, v, time.Since(start).Seconds())
			}
			return nil
		})
	}
	group.Wait()
	fmt.Printf("%d of %d defects are caught; %d survive, %d do not compile, %d do not apply\n",
		count[caught], len(defects), count[survived], count[broken], count[stale])
	return ctx.Err() == nil && count[survived] <= survivorsAllowed && count[broken]+count[stale] == 0
}

// packagesOf returns every package whose tests are to catch one of the defects.
func packagesOf(defects []defect) []string {
	var all []string
	for _, d := range defects {
		all = append(all, strings.Fields(d.tests)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
