// Bench measures package sockets beside what people would use instead, and
// beside what C reaches.
//
//	go run . > RESULTS.md
//
// prints the results, and writes them into results.json, pictures and README.md;
// with -quick, -only or -rivals it prints them only. The README tells how it
// measures.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"

	"github.com/seed287501ae/sockets/bench/report"
	"github.com/seed287501ae/sockets/bench/results"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && slices.Contains(roles, args[0]) {
		return child(args)
	}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	var (
		quick   = flags.Bool("quick", false, "measure two short samples of each contestant, in less than 3 minutes")
		only    = flags.String("only", "", "measure the rows whose name this regular `expression` matches")
		who     = flags.String("rivals", "", "measure these contestants only, as ours,naive,netpoll+c (a server alone means all its clients)")
		seconds = flags.Float64("seconds", 1, "that a sample is measured")
		reps    = flags.Int("reps", 9, "samples of each contestant")
		from    = flags.String("from", "", "measure nothing: write anew what this `file` holds, as results.json")
	)
	flags.Parse(args)
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	if *from != "" {
		return rewrite(*from, out)
	}
	if *quick {
		*seconds, *reps = 0.2, 2
	}
	chosen, err := choose(*only, *who)
	if err != nil {
		return err
	}
	measured, err := measureAll(ctx, chosen, *seconds, *reps)
	if err != nil {
		return err
	}
	if *quick || *only != "" || *who != "" {
		return report.Markdown(out, measured)
	}
	return write(measured, out)
}

func rewrite(path string, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var measured results.Run
	if err := json.Unmarshal(text, &measured); err != nil {
		return err
	}
	measured.Bars = barsOf(measured.Rows)
	return write(&measured, out)
}

// write writes all that is made of the results.
func write(measured *results.Run, out io.Writer) error {
	text, err := json.MarshalIndent(measured, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile("results.json", append(text, '\n'), 0o666),
		report.Pictures(".", measured),
		report.Readme("README.md", measured),
		report.Markdown(out, measured),
	)
}

// choose returns the rows whose names match, with those contestants only that
// are named.
func choose(only, who string) ([]row, error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(rows(), func(r row) bool { return !match.MatchString(r.Name) })
	if who != "" {
		names := strings.Split(who, ",")
		for i := range all {
			all[i].Contestants = slices.DeleteFunc(all[i].Contestants, func(contestant string) bool {
				server, _, _ := strings.Cut(contestant, "+")
				return !slices.Contains(names, server) && !slices.Contains(names, contestant)
			})
		}
	}
	all = slices.DeleteFunc(all, func(r row) bool { return len(r.Contestants) == 0 })
	if len(all) == 0 {
		return nil, errors.New("no row is left to measure")
	}
	return all, nil
}
