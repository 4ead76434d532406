package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed287501ae/sockets/bench/local"
	"github.com/seed287501ae/sockets/bench/results"
	"github.com/seed287501ae/sockets/bench/rivals"
)

// A row is a load, and how it is measured.
type row struct {
	results.Row
	load    rivals.Load // the zero Load for what package local measures
	oneCore bool        // both processes run on the first processor only
	memory  bool        // what a connection takes is measured
	stalled bool        // one more member of the group never reads
}

// rows are all loads of the comparison. In the name of a contestant "c" is the
// limit: its echo server, or its client.
func rows() []row {
	const (
		bars   = "bars"
		bulk   = "ours+c ours-owned+c netpoll+c c"
		growth = "ours+c ours-owned+c netpoll+c naive+c c"
	)
	all := []row{
		exchange("echo-64x64-128", "ours ours-owned naive onewrite netpoll+c c ours+c msgio gorilla coder nats",
			"Echo through callbacks: 64 connections with 64 messages of 128 B under way in each.", 64, 64, 128),
		exchange("echo-onecore-128", bulk,
			"The same under the client in C, both processes on one core.", 64, 64, 128).onOneCore(),
		exchange("echo-1k", bulk,
			"The same with messages of 1 KiB, on all cores.", 64, 64, 1<<10),
		exchange("echo-1x64-128", "ours ours-owned naive onewrite netpoll+c c msgio gorilla coder nats",
			"Echo over one connection with 64 messages of 128 B under way.", 1, 64, 128),
		other(rivals.PingPong, "pingpong-128", "ours ours-owned naive onewrite netpoll msgio gorilla coder nats",
			"Ping-pong: one message of 128 B at a time, both processes on one core.", 1, 128).onOneCore(),
		other(rivals.PingPong, "pingpong-c-128", "ours+c ours-owned+c netpoll+c naive+c c",
			"The same under the client in C, which blocks.", 1, 128).onOneCore(),
		other(rivals.Stream, "stream-128", "ours ours-owned naive onewrite msgio gorilla coder nats",
			"One sender calls Send in a loop, with 128 B: what arrives, at the server.", 1, 128),
		other(rivals.Stream, "stream-64k", "ours ours-owned naive onewrite raw msgio gorilla coder nats",
			"The same with 64 KiB.", 1, 64<<10),
	}
	for _, members := range []int{100, 1000} {
		all = append(all,
			group(members, "group", "One member speaks to %d, itself among them, with 64 messages of 128 B under way."),
			group(members, "group-stalled", "The same to %d, and to one more that never reads: what the others get.").withOneStalled())
	}
	all = append(all, other(rivals.Idle, "idle-10000", "ours+naive ours-owned+naive naive netpoll+naive msgio gorilla coder",
		"10,000 connections, each silent for 3 seconds after one echo of 128 B: memory of the server after a garbage collection.", 10_000, 128).withMemory())
	for _, r := range local.Rows() {
		all = append(all, row{Row: r})
	}
	for n := 1; n <= 10_000; n *= 10 {
		r := exchange(fmt.Sprint("connections-", n), growth, "Echo of 128 B, 16 under way in each connection, under the client in C.", n, 16, 128)
		r.Group, r.X = "connections", float64(n)
		if n >= 100 { // below, the heap's own growth hides them
			r = r.withMemory()
		}
		all = append(all, r)
	}
	for size := 16; size <= 1<<20; size *= 4 {
		r := exchange(fmt.Sprint("size-", size), growth, "Echo over 8 connections, 16 messages under way in each, under the client in C.", 8, 16, size)
		r.Group, r.X = "sizes", float64(size)
		all = append(all, r)
	}
	return all
}

func exchange(name, contestants, title string, connections, window, size int) row {
	r := other(rivals.Echo, name, contestants, title, connections, size)
	r.load.Window = window
	return r
}

func other(kind rivals.Kind, name, contestants, title string, connections, size int) row {
	return row{
		Row:  results.Row{Name: name, Title: title, Contestants: strings.Fields(contestants), Unit: "messages", Group: "bars"},
		load: rivals.Load{Kind: kind, Connections: connections, Window: 1, Size: size},
	}
}

func group(members int, name, title string) row {
	r := exchange(fmt.Sprint(name, "-", members), "ours+c ours-owned+c naive+c nats+c", fmt.Sprintf(title, members), members, 64, 128)
	r.load.Kind, r.Unit = rivals.Group, "deliveries"
	return r
}

func (r row) onOneCore() row      { r.oneCore = true; return r }
func (r row) withMemory() row     { r.memory = true; return r }
func (r row) withOneStalled() row { r.stalled = true; return r }

// bars are what the library is asked for.
func bars() []results.Bar {
	var all []results.Bar
	atLeast := func(row, ours, rival string, must, aim float64) {
		all = append(all, results.Bar{Row: row, Ours: ours, Rival: rival, Quantity: results.Rate, Must: must, Aim: aim})
	}
	atMost := func(quantity results.Quantity, row, ours, rival string, must, aim float64) {
		all = append(all, results.Bar{Row: row, Ours: ours, Rival: rival, Quantity: quantity, AtMost: true, Must: must, Aim: aim})
	}
	atLeast("echo-64x64-128", "ours", "naive", 30, 40)
	atLeast("echo-64x64-128", "ours", "netpoll+c", 0.8, 1)
	atLeast("echo-64x64-128", "ours", "c", 0.7, 0.85)
	atLeast("echo-64x64-128", "ours-owned", "naive", 20, 0)
	atLeast("echo-64x64-128", "ours-owned", "ours", 0, 0.8)
	atLeast("echo-onecore-128", "ours+c", "netpoll+c", 1.1, 1.3)
	atLeast("echo-onecore-128", "ours+c", "c", 0.8, 0.95)
	atLeast("echo-1k", "ours+c", "netpoll+c", 0.9, 1.1)
	atLeast("echo-1x64-128", "ours", "naive", 20, 40)
	atLeast("pingpong-128", "ours", "naive", 1.6, 1.9)
	for _, rival := range []string{"onewrite", "netpoll", "msgio", "gorilla", "coder", "nats"} {
		atLeast("pingpong-128", "ours", rival, 0.95, 1.05)
		atMost(results.P99, "pingpong-128", "ours", rival, 1.25, 0)
	}
	atLeast("pingpong-c-128", "ours+c", "c", 0.65, 0.85)
	atLeast("stream-128", "ours", "naive", 50, 75)
	for _, rival := range []string{"msgio", "gorilla", "coder"} {
		atLeast("stream-128", "ours", rival, 20, 35)
	}
	atLeast("stream-128", "ours", "nats", 10, 18)
	atLeast("stream-64k", "ours", "naive", 2, 0)
	atLeast("stream-64k", "ours", "raw", 0.8, 0.95)
	for _, members := range []string{"100", "1000"} {
		atLeast("group-"+members, "ours+c", "naive+c", 40, 75)
		atLeast("group-"+members, "ours+c", "nats+c", 2, 3)
		all = append(all, results.Bar{Row: "group-stalled-" + members, Ours: "ours+c", RivalRow: "group-" + members, Rival: "ours+c",
			Quantity: results.Rate, Must: 0.7, Aim: 0.9})
	}
	atMost(results.PerConnection, "idle-10000", "ours+naive", "", 5000, 4000)
	atMost(results.PerConnection, "idle-10000", "ours+naive", "netpoll+naive", 0.5, 0)
	atMost(results.PerConnection, "idle-10000", "ours+naive", "gorilla", 0.2, 0)
	for _, row := range []string{"peer-sendall-64", "peer-sendall-512", "peer-receive"} {
		atLeast(row, "ours", "loop", 1, 1.3)
		atMost(results.Allocs, row, "ours", "", 0, 0)
	}
	atLeast("peer-receive", "ours-owned", "loop", 1, 1.3)
	atMost(results.Allocs, "peer-receive", "ours-owned", "", 0.1, 0)
	atLeast("peer-run", "ours", "loop", 5, 20)
	atLeast("framer-128", "ours", "msgio", 2.5, 0)
	atMost(results.Allocs, "framer-128", "ours", "", 0, 0)
	atLeast("framer-64k", "ours", "memcpy", 0.9, 0)
	atMost(results.Allocs, "framer-64k", "ours", "", 0, 0)
	return all
}

// barsOf are the bars whose contestants all run.
func barsOf(measured []results.Row) []results.Bar {
	runs := func(name, contestant string) bool {
		i := slices.IndexFunc(measured, func(r results.Row) bool { return r.Name == name })
		return i >= 0 && slices.Contains(measured[i].Contestants, contestant)
	}
	return slices.DeleteFunc(bars(), func(b results.Bar) bool {
		rivalRow := b.Row
		if b.RivalRow != "" {
			rivalRow = b.RivalRow
		}
		return !runs(b.Row, b.Ours) || b.Rival != "" && !runs(rivalRow, b.Rival)
	})
}
