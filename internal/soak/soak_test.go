package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/internal/leak"
)

func TestMain(m *testing.M) {
	if os.Getenv(participantVariable) != "" {
		if err := participate(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	leak.Main(m)
}

func TestAGroupForSomeSeconds(t *testing.T) {
	for _, plain := range []bool{false, true} {
		var log bytes.Buffer
		if err := run(t.Context(), plan{participants: 4, duration: 2 * time.Second, seed: 1, plain: plain}, &log); err != nil {
			t.Fatalf("plain %v: %v\n%s", plain, err, &log)
		}
		if text := log.String(); strings.Contains(text, " 0 messages") || strings.Contains(text, " 0 over") {
			t.Errorf("plain %v: nothing was said:\n%s", plain, text)
		}
	}
}

func TestNobodyOutlivesAnInterrupt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var log bytes.Buffer
	err := run(ctx, plan{participants: 4, duration: time.Hour, seed: 2}, &log)
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("run = %v, want that it was interrupted", err)
	} // that the processes have ended is what TestMain looks for: a goroutine waits for each
}

func TestACrashIsABrokenPromise(t *testing.T) {
	for _, test := range []struct {
		p    process
		err  error
		want bool
	}{
		{process{}, errors.New("exit status 2"), true},
		{process{}, nil, true},
		{process{leaving: true}, errors.New("exit status 1"), true},
		{process{leaving: true}, nil, false},
		{process{killed: true}, errors.New("signal: killed"), false},
	} {
		g := &group{slots: []*process{&test.p}, lives: []int{1}, settling: true, over: true}
		if g.died(0, &test.p, test.err); (g.err != nil) != test.want {
			t.Errorf("a participant (killed %v, leaving %v) ended with %v: broken %v, want %v",
				test.p.killed, test.p.leaving, test.err, g.err, test.want)
		}
	}
}

func TestReportsAreChecked(t *testing.T) {
	for _, test := range []struct {
		r    report
		want string
	}{
		{report{Connections: maxConnections, Peers: 3 + maxStrangers, Heap: maxHeap}, ""},
		{report{Broken: "a promise"}, "a promise"},
		{report{Connections: maxConnections + 1}, "connections"},
		{report{Peers: 4 + maxStrangers}, "peers"},
		{report{Heap: maxHeap + 1}, "memory"},
	} {
		err := test.r.check(3)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("check of %+v = %v, want %q", test.r, err, test.want)
		}
	}
}

func TestNotHeard(t *testing.T) {
	heard := func(life string, last uint64, unsure bool, heard map[string]uint64) *process {
		return &process{life: life, latest: report{Last: last, Unsure: unsure, Heard: heard}}
	}
	for _, test := range []struct {
		name  string
		slots []*process
		want  string
	}{
		{"all", []*process{heard("0.1", 7, false, map[string]uint64{"1.2": 9}), heard("1.2", 9, false, map[string]uint64{"0.1": 7})}, ""},
		{"not the last", []*process{heard("0.1", 7, false, map[string]uint64{"1.2": 8}), heard("1.2", 9, false, map[string]uint64{"0.1": 7})}, "0.1 has message 8 of 1.2, whose last is 9"},
		{"another life", []*process{heard("0.1", 7, false, map[string]uint64{"1.1": 9}), heard("1.2", 9, false, map[string]uint64{"0.1": 7})}, "0.1 has message 0 of 1.2, whose last is 9"},
		{"doubt", []*process{heard("0.1", 7, true, map[string]uint64{"1.2": 9}), heard("1.2", 9, false, map[string]uint64{"0.1": 7})}, "0.1 doubts that message 7 has reached all"},
		{"dead", []*process{heard("0.1", 7, false, nil), nil}, "one is dead"},
	} {
		for _, p := range test.slots {
			if p != nil {
				p.latest.Peer = netip.MustParseAddrPort("127.0.0.1:1")
			}
		}
		g := &group{slots: test.slots}
		if got := g.notHeard(); got != test.want {
			t.Errorf("%s: notHeard = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestSequence(t *testing.T) {
	for _, test := range []struct {
		name     string
		s        sequence
		letters  [][2]uint64 // epoch and number
		complain string      // of the last one
	}{
		{"in order", sequence{}, [][2]uint64{{0, 5}, {0, 6}, {0, 7}}, ""},
		{"an epoch without a hole", sequence{}, [][2]uint64{{0, 5}, {1, 6}}, ""},
		{"a hole that was told", sequence{}, [][2]uint64{{0, 5}, {1, 8}}, ""},
		{"a hole", sequence{}, [][2]uint64{{0, 5}, {0, 7}}, "missing"},
		{"twice", sequence{}, [][2]uint64{{0, 5}, {0, 5}}, "twice"},
		{"twice, in another epoch", sequence{}, [][2]uint64{{0, 5}, {1, 5}}, "twice"},
		{"overtaken", sequence{}, [][2]uint64{{0, 5}, {1, 7}, {0, 6}}, "out of order"},
		{"an old epoch", sequence{}, [][2]uint64{{0, 5}, {1, 6}, {0, 8}}, "missing"},
		{"from the beginning", sequence{begun: true}, [][2]uint64{{0, 1}, {0, 2}}, ""},
		{"not from the beginning", sequence{begun: true}, [][2]uint64{{0, 2}}, "missing"},
	} {
		for i, l := range test.letters {
			got, want := test.s.add(letter{"0.1", l[0], l[1]}), ""
			if i == len(test.letters)-1 {
				want = test.complain
			}
			if (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%s: letter %v: %q, want %q", test.name, l, got, want)
			}
		}
	}
}

func TestLetters(t *testing.T) {
	for _, size := range []int{0, 1, 1000} {
		want := letter{"12.3", 4, 5}
		if got, ok := parseLetter(want.bytes(size)); !ok || got != want {
			t.Errorf("parseLetter = %v, %v, want %v", got, ok, want)
		}
	}
	for _, payload := range []string{"", "soak", "soak 0.1 2 3", "soap 0.1 2 3 x", "soak 0.1 -2 3 x", "soak 0.1 2 z x", "soak 0.1 2 3 xxyx"} {
		if l, ok := parseLetter([]byte(payload)); ok {
			t.Errorf("parseLetter(%q) = %v, want none", payload, l)
		}
	}
}

func TestGrowth(t *testing.T) {
	const minutes = 100
	for _, test := range []struct {
		name string
		at   func(minute int) report
		want string
	}{
		{"steady", func(int) report { return report{Goroutines: 30, Descriptors: 20, Heap: 5 << 20} }, ""},
		{"warm after a tenth", func(m int) report { return report{Goroutines: min(m, 10) * 10} }, ""},
		{"now and then", func(m int) report { return report{Heap: uint64(m%5/4) << 26} }, ""},
		{"a goroutine a minute", func(m int) report { return report{Goroutines: m} }, "goroutines"},
		{"a descriptor a minute", func(m int) report { return report{Descriptors: m} }, "descriptors"},
		{"memory", func(m int) report { return report{Heap: uint64(m) << 16} }, "memory"},
	} {
		g := growth{begun: time.Now(), duration: minutes * time.Minute}
		for m := range minutes + 10 {
			g.add(g.begun.Add(time.Duration(m)*time.Minute), test.at(m))
		}
		err := g.verdict()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	if err := (&growth{duration: time.Minute}).verdict(); err == nil {
		t.Error("without a report nothing is known, and that is no error")
	}
}
