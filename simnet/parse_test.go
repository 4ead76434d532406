package simnet_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

// links are the texts that ParseLink takes, and what they spell in the end.
var links = []struct {
	text, spelt string
	want        simnet.Link
}{
	{"", "none", simnet.Link{}},
	{" none ", "none", simnet.Link{}},
	{" , ,", "none", simnet.Link{}},
	{"loss=0,delay=0,queue=0,seed=0,dup=-0", "none", simnet.Link{}},
	{"loss=0.3,dup=0.05,reorder=0.1,delay=50ms,jitter=20ms,seed=7", "loss=0.3,dup=0.05,reorder=0.1,delay=50ms,jitter=20ms,seed=7",
		simnet.Link{Loss: 0.3, Duplicate: 0.05, Reorder: 0.1, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Seed: 7}},
	{"seed=18446744073709551615\tdelay=1m30s, loss=30%", "loss=0.3,delay=1m30s,seed=18446744073709551615",
		simnet.Link{Loss: 0.3, Delay: 90 * time.Second, Seed: math.MaxUint64}},
	{"loss=1 dup=100% reorder=1e-3 late=24h", "loss=1,dup=1,reorder=0.001,late=24h0m0s",
		simnet.Link{Loss: 1, Duplicate: 1, Reorder: 0.001, Late: 24 * time.Hour}},
	{"rate=10M,queue=64k,mtu=1500,slice=1,stall=10000,reset=2G", "rate=10M,queue=64k,mtu=1500,slice=1,stall=10k,reset=2G",
		simnet.Link{Bandwidth: 10_000_000, Queue: 64_000, MTU: 1500, Slice: 1, Stall: 10_000, Reset: 2_000_000_000}},
	{"rate=9223372036854775807", "rate=9223372036854775807", simnet.Link{Bandwidth: math.MaxInt64}},
}

func TestParseLink(t *testing.T) {
	for _, test := range links {
		got, err := simnet.ParseLink(test.text)
		if err != nil || got != test.want || got.String() != test.spelt {
			t.Errorf("ParseLink(%q) = %q, %v, want %q", test.text, got, err, test.spelt)
		}
		if again, err := simnet.ParseLink(test.spelt); err != nil || again != test.want {
			t.Errorf("ParseLink(%q) = %q, %v, want the same", test.spelt, again, err)
		}
	}
}

// faultyLinks are the texts that ParseLink refuses, and a part of its error.
var faultyLinks = []struct{ text, want string }{
	{"loss", `"loss": want KEY=VALUE`},
	{"loss = 0.3", `"loss": want KEY=VALUE, without spaces`},
	{"none,loss=0.3", `"none": want KEY=VALUE`},
	{"lost=0.3", `there is no "lost"; the keys are loss, dup, reorder, late, delay, jitter, rate, queue, mtu, slice, stall, reset, seed`},
	{"=", `there is no ""`},
	{"loss=0.3,loss=0.3", "loss is given twice"},
	{"loss=0.3 dup=1.1", `"dup=1.1": want a probability from 0 to 1`},
	{"loss=-0.1", "want a probability"},
	{"loss=101%", "want a probability"},
	{"loss=NaN", "want a probability"},
	{"loss=Inf%", "want a probability"},
	{"loss=", "want a probability"},
	{"loss=many", "want a probability"},
	{"delay=50", "with its unit, as in 50ms"},
	{"delay=-1s", "want a time from 0"},
	{"jitter=24h1ns", "want a time from 0 to 24h"},
	{"late=9999999999h", "want a time"},
	{"rate=1.5M", "want a whole number from 0 to 9223372036854775807, as in"},
	{"rate=-1", "want a whole number"},
	{"rate=10000000000G", "want a whole number"},
	{"rate=k", "want a whole number"},
	{"queue=10MB", "want a whole number"},
	{"mtu=9223372036854775808", "want a whole number"},
	{"seed=-1", "want a whole number from 0 to 18446744073709551615"},
	{"seed=1k", "want a whole number"},
}

func TestParseLinkSaysWhatIsWrong(t *testing.T) {
	for _, test := range faultyLinks {
		got, err := simnet.ParseLink(test.text)
		if err == nil || !strings.HasPrefix(err.Error(), "simnet: ") || !strings.Contains(err.Error(), test.want) || got != (simnet.Link{}) {
			t.Errorf("ParseLink(%q) = %q, %v, want an error with %q", test.text, got, err, test.want)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	for _, test := range links {
		f.Add(test.text)
	}
	for _, test := range faultyLinks {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := simnet.ParseLink(text)
		if err != nil {
			if l != (simnet.Link{}) {
				t.Fatalf("ParseLink(%q) = %+v with the error %v", text, l, err)
			}
			return
		}
		for _, p := range []float64{l.Loss, l.Duplicate, l.Reorder} {
			if !(p >= 0 && p <= 1) || math.Signbit(p) {
				t.Errorf("ParseLink(%q) gives the probability %v", text, p)
			}
		}
		for _, d := range []time.Duration{l.Late, l.Delay, l.Jitter} {
			if d < 0 || d > 24*time.Hour {
				t.Errorf("ParseLink(%q) gives the time %v", text, d)
			}
		}
		if min(l.Bandwidth, l.Stall, l.Reset, int64(l.Queue), int64(l.MTU), int64(l.Slice)) < 0 {
			t.Errorf("ParseLink(%q) = %+v, which is negative", text, l)
		}
		if again, err := simnet.ParseLink(l.String()); err != nil || again != l {
			t.Errorf("ParseLink(%q) = %+v, spelt %q, which gives %+v, %v", text, l, l, again, err)
		}
	})
}
