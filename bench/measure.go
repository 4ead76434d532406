package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed287501ae/sockets/bench/results"
	"github.com/seed287501ae/sockets/bench/rivals"
)

const (
	patience = time.Minute     // beyond what a sample should take
	settling = 16              // connections before the memory of a server is taken for its own
	silence  = 3 * time.Second // after which a connection is idle
)

// A harness measures samples, each with processes of its own.
type harness struct {
	self    string // this program
	limit   string // the limit's, or empty if there is none
	warm    time.Duration
	seconds time.Duration // that a sample is measured
}

// has reports whether a contestant can run here.
func (h *harness) has(r row, contestant string) bool {
	if r.load.Kind == "" {
		return true // package local's
	}
	for _, name := range strings.Split(contestant, "+") {
		if name == "c" {
			if h.limit == "" {
				return false
			}
		} else if _, err := rivals.Named(name); err != nil {
			return false
		}
	}
	return true
}

// sample measures once. A process that hangs is killed, and the sample says so.
func (h *harness) sample(ctx context.Context, r row, contestant string) results.Sample {
	ctx, cancel := context.WithTimeout(ctx, h.warm+h.seconds+patience)
	defer cancel()
	measure := h.apart
	if r.load.Kind == "" {
		measure = h.alone
	}
	sample, err := measure(ctx, r, contestant)
	if err != nil {
		sample = results.Sample{Err: err.Error()}
		if ctx.Err() == context.DeadlineExceeded {
			sample.Err = fmt.Sprintf("it hung for %v: %v", patience, err)
		}
	}
	sample.Row, sample.Contestant = r.Name, contestant
	return sample
}

// alone measures what package local does, in one process.
func (h *harness) alone(ctx context.Context, r row, contestant string) (results.Sample, error) {
	var sample results.Sample
	p, err := start(ctx, r.oneCore, h.self, "local", r.Name, contestant, fmt.Sprint(h.seconds.Seconds()))
	if err != nil {
		return sample, err
	}
	defer p.kill()
	line, err := p.line()
	if err != nil {
		return sample, err
	}
	return sample, json.Unmarshal([]byte(line), &sample)
}

// apart measures a server and a client.
func (h *harness) apart(ctx context.Context, r row, contestant string) (results.Sample, error) {
	var sample results.Sample
	serverName, clientName, other := strings.Cut(contestant, "+")
	if !other {
		clientName = serverName
	}
	server, err := start(ctx, r.oneCore, h.server(serverName, r)...)
	if err != nil {
		return sample, err
	}
	defer server.kill()
	address, err := server.line()
	if err != nil {
		return sample, err
	}
	var alone usage
	if r.memory {
		if alone, err = h.settle(ctx, r, server, serverName, clientName, address); err != nil {
			return sample, err
		}
	}
	client, err := h.client(ctx, r, serverName, clientName, address)
	if err != nil {
		return sample, err
	}
	defer client.kill()
	if r.load.Kind == rivals.Idle {
		wait(ctx, silence)
		full, err := server.ask("collect")
		sample.ServerRSS, sample.PerConnection = full.RSS, float64(full.RSS-alone.RSS)/float64(r.load.Connections)
		return sample, err
	}
	if r.load.Kind == rivals.Stream {
		if err := arrival(ctx, server, rivals.Verified); err != nil {
			return sample, err
		}
	}
	wait(ctx, h.warm)
	before, err := both(server, client)
	if err != nil {
		return sample, err
	}
	wait(ctx, h.seconds)
	after, err := both(server, client)
	if err != nil {
		return sample, err
	}
	full := after[0]
	if r.memory {
		if full, err = server.ask("collect"); err != nil {
			return sample, err
		}
	}
	client.in.Close()
	last, err := client.told()
	if err != nil {
		return sample, err
	}
	s, c := after[0].since(before[0]), after[1].since(before[1])
	counted := c
	if r.load.Kind == rivals.Stream {
		counted = s
		if err := arrival(ctx, server, last.Sent); err != nil {
			return sample, err
		}
	}
	sample = results.Sample{Rate: counted.messages, Messages: counted.counted, P50: last.P50, P99: last.P99, ServerRSS: after[0].RSS}
	if sample.Rate > 0 {
		sample.ServerCPU = time.Duration(s.cpu / sample.Rate)
		sample.CPUPerMessage = time.Duration((s.cpu + c.cpu) / sample.Rate)
		sample.AllocsPerMessage = s.allocs / sample.Rate
	}
	if after[0].Allocs < 0 {
		sample.AllocsPerMessage = -1
	}
	if r.memory {
		sample.PerConnection = float64(full.RSS-alone.RSS) / float64(r.load.Connections)
	}
	return sample, nil
}

// settle has a server do a little of the load, and returns what it takes without
// connections.
func (h *harness) settle(ctx context.Context, r row, server *process, serverName, clientName, address string) (usage, error) {
	r.load.Connections = min(settling, r.load.Connections)
	p, err := h.client(ctx, r, serverName, clientName, address)
	if err != nil {
		return usage{}, err
	}
	p.kill()
	return server.ask("collect")
}

// both asks two processes at about the same time.
func both(server, client *process) (told [2]usage, err error) {
	if told[0], err = server.ask("stat"); err != nil {
		return told, err
	}
	told[1], err = client.ask("stat")
	return told, err
}

// arrival returns once a server has counted n messages.
func arrival(ctx context.Context, server *process, n int64) error {
	for {
		u, err := server.ask("stat")
		if err != nil || u.Messages >= n {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d messages arrived", u.Messages, n)
		}
		wait(ctx, time.Millisecond)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (h *harness) server(name string, r row) []string {
	if name == "c" {
		return []string{h.limit, "echo"}
	}
	return []string{h.self, "serve", name, string(r.load.Kind)}
}

// client returns a client that is ready.
func (h *harness) client(ctx context.Context, r row, server, name, address string) (*process, error) {
	connections, window, size := fmt.Sprint(r.load.Connections), fmt.Sprint(r.load.Window), fmt.Sprint(r.load.Size)
	command := []string{h.self, "load", name, string(r.load.Kind), address, connections, window, size}
	if name == "c" {
		switch r.load.Kind {
		case rivals.PingPong:
			command = []string{h.limit, "pingpong", address, size}
		case rivals.Group:
			protocol := "frames"
			if server == "nats" {
				protocol = server
			}
			command = []string{h.limit, "group", address, connections, window, size, protocol, fmt.Sprint(r.stalled)}
		default:
			command = []string{h.limit, "bulk", address, connections, window, size}
		}
	}
	p, err := start(ctx, r.oneCore, command...)
	if err != nil {
		return nil, err
	}
	if _, err := p.told(); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// A pace is what a process did in a second.
type pace struct {
	messages, cpu, allocs float64
	counted               int64 // messages in all
}

func (u usage) since(before usage) pace {
	seconds := float64(u.Time-before.Time) / 1e9
	return pace{
		messages: float64(u.Messages-before.Messages) / seconds,
		cpu:      float64(u.CPU-before.CPU) / seconds,
		allocs:   float64(u.Allocs-before.Allocs) / seconds,
		counted:  u.Messages - before.Messages,
	}
}
