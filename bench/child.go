package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/seed287501ae/sockets/bench/local"
	"github.com/seed287501ae/sockets/bench/rivals"
)

// A usage is what a child tells of itself, one line of JSON for each line that
// it is given.
type usage struct {
	Time     int64 // nanoseconds since some moment
	CPU      int64 // nanoseconds
	RSS      int64 // bytes
	Allocs   int64 // objects; negative if it cannot tell
	Messages int64
	Sent     int64         // by a stream's sender, once it has ended
	P50, P99 time.Duration // of round trips between the first line and the second
	Wrong    string        // why all this is worth nothing
}

var born = time.Now()

func measure(s *rivals.Stats) usage {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	u := usage{
		Time:     int64(time.Since(born)),
		CPU:      int64(processorTime()),
		RSS:      residentMemory(),
		Allocs:   int64(samples[0].Value.Uint64() + samples[1].Value.Uint64()),
		Messages: s.Messages(),
		Sent:     s.Sent.Load(),
	}
	if err := s.Err(); err != nil {
		u.Wrong = err.Error()
	}
	return u
}

// roles are the first arguments of a child.
var roles = []string{"serve", "load", "local"}

// child does what its arguments say, in a process of its own:
//
//	serve CONTESTANT KIND                                   prints its address
//	load CONTESTANT KIND ADDRESS connections window size    prints a usage once it is ready
//	local ROW CONTESTANT seconds                            prints a sample
//
// Both of the first two then answer each line of their input with a usage. The
// end of their input ends them, a load with a last usage.
func child(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		return serve(args[1], rivals.Kind(args[2]))
	case len(args) == 7 && args[0] == "load":
		load := rivals.Load{Kind: rivals.Kind(args[2])}
		if _, err := fmt.Sscan(args[4]+" "+args[5]+" "+args[6], &load.Connections, &load.Window, &load.Size); err != nil {
			return err
		}
		return carry(args[1], args[3], load)
	case len(args) == 4 && args[0] == "local":
		d, err := time.ParseDuration(args[3] + "s")
		if err != nil {
			return err
		}
		sample, err := local.Run(args[1], args[2], d, processorTime)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(sample)
	}
	return fmt.Errorf("wrong arguments: %q", args)
}

func serve(contestant string, kind rivals.Kind) error {
	rival, err := rivals.Named(contestant)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if rival.Listens {
		l.Close()
	}
	stats := rivals.NewStats(rivals.Load{})
	go func() {
		if err := rival.Serve(l, kind, stats); err != nil {
			stats.Fail(err)
		}
	}()
	fmt.Println(l.Addr())
	answer(stats)
	return nil
}

// answer answers until the end of the input. The line "collect" collects garbage
// first.
func answer(s *rivals.Stats) {
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "collect" {
			debug.FreeOSMemory()
		}
		out.Encode(measure(s))
		s.Time(n == 1)
	}
}

func carry(contestant, address string, load rivals.Load) error {
	rival, err := rivals.Named(contestant)
	if err != nil {
		return err
	}
	stats := rivals.NewStats(load)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := rival.Load(ctx, address, load, stats); err != nil {
			stats.Fail(err)
		}
	}()
	<-stats.Ready()
	out := json.NewEncoder(os.Stdout)
	out.Encode(measure(stats))
	answer(stats)
	cancel()
	<-over
	last := measure(stats)
	last.P50, last.P99 = stats.RoundTrips()
	return out.Encode(last)
}

// residentMemory is zero where the system cannot tell.
func residentMemory() int64 {
	var all, pages int64
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fmt.Sscan(string(statm), &all, &pages)
	return pages * int64(os.Getpagesize())
}
