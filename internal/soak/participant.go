package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

const (
	silence = 10 * time.Second // after which reliable gives a peer up
	idle    = 30 * time.Second // longer than a participant is ever stopped
	links   = 3                // connections that a participant makes
)

// A participant is one process of the group.
type participant struct {
	birth  birth
	tap    *tap
	secure *secure.Network // nil: no layer secure
	cfg    sockets.Config
	peer   *sockets.AsyncPeer
	server *sockets.Server

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	order    order
	heard    map[string]*sequence // by life
	sent     letter               // the last one
	unsure   bool                 // that it reaches everybody
	messages int
	streamed int
	broken   string // the first promise that was broken
}

// participate is the life of a participant, up to the order to leave or the end
// of in.
func participate(in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt) // a terminal sends it to children too
	orders := json.NewDecoder(in)
	p := &participant{heard: make(map[string]*sequence), unsure: true}
	if err := orders.Decode(&p.birth); err != nil {
		return err
	}
	before := runtime.NumGoroutine()
	p.rng = rand.New(rand.NewPCG(p.birth.Seed, 1))
	p.sent.life = p.birth.Life
	if err := p.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { p.talk(ctx) })
	tasks.Go(func() { p.broadcast(ctx) })
	for range links {
		tasks.Go(func() { p.link(ctx) })
	}
	reports := json.NewEncoder(out)
	tasks.Go(func() { p.reportAll(ctx, reports) })

	err := p.obey(orders)
	cancel()
	tasks.Wait()
	if err != nil {
		return err // the parent has gone: nobody waits for a goodbye
	}
	p.close(before)
	return reports.Encode(p.report())
}

// open binds the participant's sockets.
func (p *participant) open() (err error) {
	link := simnet.Link{Loss: 0.05, Duplicate: 0.03, Reorder: 0.05, Delay: time.Millisecond, Jitter: 4 * time.Millisecond, Seed: p.birth.Seed}
	p.tap = &tap{base: sockets.System, rng: rand.New(rand.NewPCG(p.birth.Seed, 2))}
	var beneath sockets.Network = simnet.Impair(p.tap, link)
	if p.birth.Identity != "" {
		cfg, err := p.birth.secured()
		if err != nil {
			return err
		}
		p.secure = cfg.Over(beneath)
		p.tap.forge, beneath = true, p.secure
	}
	over := &reliable.Config{Silence: silence}
	p.cfg = sockets.Config{
		Network:        over.Over(beneath),
		MaxConnections: maxConnections,
		MaxPeers:       maxStrangers,
		MaxMessage:     64 << 10,
		FrameTimeout:   idle,
		IdleTimeout:    idle,
		PeerError:      func(sockets.Address, error) { p.doubt() },
	}
	p.peer, err = p.cfg.NewAsyncPeer(p.birth.Address.String(), nil, nil)
	if err != nil {
		anywhere := netip.AddrPortFrom(p.birth.Address.Addr(), 0)
		p.peer, err = p.cfg.NewAsyncPeer(anywhere.String(), nil, nil)
	}
	if err != nil {
		return err
	}
	p.peer.SetCallback(p.hear)
	p.server, err = p.cfg.Listen("127.0.0.1:0", p.serve)
	return err
}

// obey follows orders until the one to leave.
func (p *participant) obey(orders *json.Decoder) error {
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			return err
		}
		for _, peer := range p.peer.Peers() {
			if !slices.Contains(o.Peers, peer) {
				p.peer.Remove(peer)
			}
		}
		p.peer.Add(o.Peers...)
		p.mu.Lock()
		if o.Quiet && !p.order.Quiet {
			p.unsure = true
		}
		p.order = o
		p.mu.Unlock()
		if o.Leave {
			return nil
		}
	}
}

// talk sends a message to the group once a period.
func (p *participant) talk(ctx context.Context) {
	for pause(ctx, p.birth.Period/2+p.upTo(p.birth.Period)) {
		p.mu.Lock()
		if p.order.Quiet && !p.unsure {
			p.mu.Unlock()
			continue
		}
		p.unsure = false
		p.sent.number++
		l := p.sent
		p.mu.Unlock()
		err := p.peer.SendAll(l.bytes(p.size()))
		if err == nil {
			continue
		}
		p.mu.Lock()
		p.sent.epoch++
		p.mu.Unlock()
		p.doubt()
		for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
			if !errors.Is(err, sockets.ErrPeerUnreachable) && !errors.Is(err, sockets.ErrSlow) {
				p.breaks(fmt.Sprintf("SendAll: %v", err))
			}
		}
	}
}

// hear takes a message from the group.
func (p *participant) hear(payload []byte, sender sockets.Address) {
	l, ok := parseLetter(payload)
	if !ok {
		p.breaks(fmt.Sprintf("a datagram that nobody sent: %.64q", payload))
		return
	}
	if p.secure != nil {
		peer, _ := p.secure.PeerAt(sender)
		p.expect(l, peer.Name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages++
	s := p.heard[l.life]
	if s == nil {
		s = new(sequence)
		p.heard[l.life] = s
	}
	p.broken = cmp.Or(p.broken, s.add(l))
}

// expect checks that l is from who has proved this name.
func (p *participant) expect(l letter, proved string) {
	if name, _, _ := strings.Cut(l.life, "."); name != proved {
		p.breaks(fmt.Sprintf("%q said what %s says", proved, l.life))
	}
}

// doubt says that something may not have arrived.
func (p *participant) doubt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsure = true
}

// breaks notes a broken promise.
func (p *participant) breaks(promise string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = cmp.Or(p.broken, promise)
}

// reportAll reports to the parent until ctx ends.
func (p *participant) reportAll(ctx context.Context, reports *json.Encoder) {
	for reports.Encode(p.report()) == nil && pause(ctx, p.birth.Every) {
	}
}

func (p *participant) report() report {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	descriptors, _ := os.ReadDir("/dev/fd") // where there is none, none are counted
	r := report{
		Peer:        p.peer.LocalAddress(),
		Server:      p.server.LocalAddress(),
		Goroutines:  runtime.NumGoroutine(),
		Descriptors: len(descriptors),
		Heap:        memory.HeapAlloc,
		Peers:       len(p.peer.Peers()),
		Connections: len(p.server.Connections()),
		Heard:       make(map[string]uint64),
		Overheard:   p.tap.overheard(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for life, s := range p.heard {
		r.Heard[life] = s.last.number
	}
	r.Last, r.Unsure, r.Messages, r.Streamed, r.Broken = p.sent.number, p.unsure, p.messages, p.streamed, p.broken
	return r
}

// close ends everything, and looks whether anything is left.
func (p *participant) close(before int) {
	ctx, cancel := context.WithTimeout(context.Background(), silence)
	defer cancel()
	p.server.Shutdown(ctx)
	p.peer.Close()
	<-p.peer.Done()
	patience, cancel := context.WithTimeout(context.Background(), silence)
	defer cancel()
	for runtime.NumGoroutine() > before && pause(patience, 10*time.Millisecond) {
	}
	if left := runtime.NumGoroutine() - before; left > 0 {
		stacks := make([]byte, 64<<10)
		stacks = stacks[:runtime.Stack(stacks, true)]
		p.breaks(fmt.Sprintf("%d goroutines outlive Close:\n%s", left, stacks))
	}
}

// upTo returns a time of less than d, by chance.
func (p *participant) upTo(d time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(p.rng.Int64N(int64(d)))
}

// size returns the size of a message, by chance: small ones mostly.
func (p *participant) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rng.IntN(20) == 0 {
		return p.rng.IntN(16 << 10)
	}
	return p.rng.IntN(200)
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
