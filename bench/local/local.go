// Package local measures the loads that need no server: what one process does
// in its memory, or with datagrams.
package local

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/seed287501ae/sockets/bench/results"
)

// A step does some messages, and says how many, and how long it took.
type step func() (messages int64, took time.Duration, err error)

// A setup prepares a step, and what ends it.
type setup func() (step, func(), error)

type contestant struct {
	name  string
	setup setup
}

type row struct {
	results.Row
	contestants []contestant
}

const datagram = 100 // bytes

var rows = []row{
	{results.Row{Name: "framer-128", Title: "Messages of 128 bytes are written into memory and read back: prefix, message, no network.", Unit: "messages"}, framers(128)},
	{results.Row{Name: "framer-64k", Title: "The same with 64 KiB.", Unit: "messages"}, framers(64 << 10)},
	{results.Row{Name: "peer-sendall-64", Title: "`Peer.SendAll` of 100 bytes to 64 sockets that nobody reads, against `WriteToUDPAddrPort` to each.", Unit: "datagrams"}, toAll(64)},
	{results.Row{Name: "peer-sendall-512", Title: "The same to 512.", Unit: "datagrams"}, toAll(512)},
	{results.Row{Name: "peer-run", Title: "`Peer.SendRun`, 1,000 datagrams of 100 bytes each time, against `WriteToUDPAddrPort` for each: what an `AsyncPeer` hears that lends its payloads.", Unit: "datagrams"}, toOne(asyncPeer(true))},
	{results.Row{Name: "peer-run-plain", Title: "The same: what a loop of `ReadFromUDPAddrPort` hears, which takes a datagram at a time.", Unit: "datagrams"}, toOne(readLoop)},
	{results.Row{Name: "peer-receive", Title: "An `AsyncPeer` takes datagrams of 100 bytes from a queue that is filled while its first callback runs, against a loop of `ReadFromUDPAddrPort`; the CPU time includes sending them.", Unit: "datagrams"}, receivers},
}

// Rows returns the rows that Run measures, in order.
func Rows() []results.Row {
	var all []results.Row
	for _, row := range rows {
		for _, c := range row.contestants {
			row.Contestants = append(row.Contestants, c.name)
		}
		row.Group = "bars"
		all = append(all, row.Row)
	}
	return all
}

// Run measures one contestant of a row for d, after a tenth of it to warm up. The
// function cpu returns the CPU time of the process.
func Run(name, contestant string, d time.Duration, cpu func() time.Duration) (results.Sample, error) {
	sample := results.Sample{Row: name, Contestant: contestant}
	setup, err := find(name, contestant)
	if err != nil {
		return sample, err
	}
	step, stop, err := setup()
	if err != nil {
		return sample, err
	}
	defer stop()
	if _, _, err := repeat(step, d/10); err != nil {
		return sample, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := cpu()
	messages, took, err := repeat(step, d)
	used = cpu() - used
	runtime.ReadMemStats(&after)
	if err != nil {
		return sample, err
	}
	sample.Messages = messages
	sample.Rate = float64(messages) / took.Seconds()
	sample.CPUPerMessage = used / time.Duration(messages)
	sample.AllocsPerMessage = float64(after.Mallocs-before.Mallocs) / float64(messages)
	return sample, nil
}

func find(name, contestant string) (setup, error) {
	for _, row := range rows {
		for _, c := range row.contestants {
			if row.Name == name && c.name == contestant {
				return c.setup, nil
			}
		}
	}
	return nil, fmt.Errorf("there is no contestant %q in a row %q", contestant, name)
}

// repeat does a step at least once.
func repeat(step step, d time.Duration) (messages int64, took time.Duration, err error) {
	for begun := time.Now(); ; {
		n, t, err := step()
		messages, took = messages+n, took+t
		if err != nil || time.Since(begun) >= d {
			return messages, took, err
		}
	}
}

// timed is a step of which all counts.
func timed(do func() (int64, error)) step {
	return func() (int64, time.Duration, error) {
		begun := time.Now()
		n, err := do()
		return n, time.Since(begun), err
	}
}

// pattern is a message that looks like no other.
func pattern(size int) []byte {
	message := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(message)
	return message
}
