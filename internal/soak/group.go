package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/seed287501ae/sockets"
)

const (
	patience = time.Minute // until everybody must have reported, heard the last message, or left
	maxHeap  = 64 << 20    // bytes of one participant
)

// A plan is what is to be done.
type plan struct {
	participants int
	duration     time.Duration // of the disturbances
	seed         uint64
	plain        bool // without the layer secure
}

// every is the time from one report of a participant to the next.
func (p *plan) every() time.Duration { return min(5*time.Second, p.duration/40) }

// A group is the participants. All of it belongs to one goroutine, which does
// what others hand it.
type group struct {
	plan
	out   io.Writer
	rng   *rand.Rand
	todo  chan func()
	ended chan struct{} // closed when nothing is done any more

	keys            string     // the folder of the identities; empty: no layer secure
	slots           []*process // nil: dead
	lives           []int      // how many each slot has had
	places          []sockets.Address
	growths         []growth // of those that are never killed
	targets         *targets
	count           map[string]int // of what was done
	settling, quiet bool           // everybody is to come back, and then to be silent
	over            bool           // everybody is to leave
	err             error          // the first broken promise
}

// newGroup returns a group of which nobody lives yet, with a key for everybody.
func newGroup(p plan, out io.Writer) (*group, error) {
	g := &group{
		plan: p, out: out,
		rng:     rand.New(rand.NewPCG(p.seed, 0)),
		todo:    make(chan func()),
		ended:   make(chan struct{}),
		slots:   make([]*process, p.participants),
		lives:   make([]int, p.participants),
		places:  make([]sockets.Address, p.participants),
		targets: new(targets),
		count:   make(map[string]int),
	}
	if p.plain {
		return g, nil
	}
	folder, err := os.MkdirTemp("", "soak")
	if err != nil {
		return nil, err
	}
	if err := writeIdentities(folder, p.participants); err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	g.keys = folder
	return g, nil
}

// run runs a group and returns which promise was broken.
func run(ctx context.Context, p plan, out io.Writer) error {
	runtime.LockOSThread() // whose end would be that of the participants
	defer runtime.UnlockOSThread()
	g, err := newGroup(p, out)
	if err != nil {
		return err
	}
	defer g.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fmt.Fprintf(out, "%d participants for %v, seed %d\n", p.participants, p.duration, p.seed)
	for slot := range g.slots {
		g.places[slot] = netip.MustParseAddrPort("127.0.0.1:0")
		g.bear(slot)
	}
	g.until(ctx, g.notReady)
	begun := time.Now()
	for range (p.participants + 1) / 2 {
		g.growths = append(g.growths, growth{begun: begun, duration: p.duration})
	}

	disturbed, calm := context.WithTimeout(ctx, p.duration)
	defer calm()
	attacks := g.targets.attack(disturbed, p.seed)
	go g.disturb(disturbed)
	go g.log(disturbed, begun)
	g.work(disturbed, func() bool { return false })
	calm()
	attacks.Wait()

	g.settling = true
	for slot := range g.slots {
		g.bear(slot)
		g.resume(g.slots[slot])
	}
	g.until(ctx, g.notReady)
	g.quiet = true
	g.inform()
	g.until(ctx, g.notHeard)
	g.over = true
	g.printLine(time.Since(begun))
	for _, p := range g.slots {
		g.leave(p)
	}
	g.until(ctx, g.notGone)
	for slot := range g.growths {
		if err := g.growths[slot].verdict(); err != nil {
			g.breaks(slot, err)
		}
	}
	return g.err
}

// do hands f to the goroutine of the group.
func (g *group) do(f func()) {
	select {
	case g.todo <- f:
	case <-g.ended:
	}
}

// work does what is handed over until enough is true, ctx ends or a promise is
// broken.
func (g *group) work(ctx context.Context, enough func() bool) {
	for g.err == nil && !enough() {
		select {
		case f := <-g.todo:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// until works until nothing is missing, which must happen in time.
func (g *group) until(ctx context.Context, missing func() string) {
	inTime, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	g.work(inTime, func() bool { return missing() == "" })
	switch what := missing(); {
	case g.err != nil || what == "":
	case ctx.Err() != nil:
		g.err = errors.New("it was interrupted")
	default:
		g.err = fmt.Errorf("%s, and had %v", what, patience)
	}
}

// end kills who is left.
func (g *group) end() {
	defer os.RemoveAll(g.keys)
	close(g.ended)
	for _, p := range g.slots {
		if p != nil {
			p.kill()
			<-p.gone
		}
	}
}

// bear starts the participant of a slot, if it is dead, where it was before.
func (g *group) bear(slot int) {
	if g.slots[slot] != nil || g.over || g.err != nil {
		return
	}
	g.lives[slot]++
	b := birth{
		Life:    g.life(slot),
		Seed:    g.rng.Uint64(),
		Address: g.places[slot],
		Period:  time.Duration(g.participants) * 40 * time.Millisecond,
		Every:   g.every(),
	}
	if g.keys != "" {
		b.Identity = identityFile(g.keys, slot)
	}
	p, err := start(b,
		func(p *process, r report) { g.do(func() { g.reported(slot, p, r) }) },
		func(p *process, err error) { g.do(func() { g.died(slot, p, err) }) })
	if err != nil {
		g.breaks(slot, err)
		return
	}
	g.slots[slot] = p
}

// reported takes a report. The group is told where a newcomer is.
func (g *group) reported(slot int, p *process, r report) {
	newcomer := !p.latest.Peer.IsValid()
	g.count["messages"] += r.Messages - p.latest.Messages
	g.count["messages over connections"] += r.Streamed - p.latest.Streamed
	p.latest, p.heardOf = r, time.Now()
	if err := r.check(g.participants); err != nil {
		g.breaks(slot, err)
	}
	if newcomer {
		g.places[slot] = r.Peer
		g.inform()
	}
	if slot < len(g.growths) {
		g.growths[slot].add(p.heardOf, r)
	}
	g.targets.overhear(r.Overheard)
}

// died takes the end of a participant, who comes back.
func (g *group) died(slot int, p *process, err error) {
	if !p.killed && (!p.leaving || err != nil) {
		g.breaks(slot, fmt.Errorf("it ended by itself: %v", err))
	}
	g.slots[slot] = nil
	if g.settling {
		g.bear(slot)
	} else {
		g.later(func() { g.bear(slot) })
	}
}

// inform tells everybody who is where.
func (g *group) inform() {
	o := order{Quiet: g.quiet, Peers: slices.Clone(g.places)}
	var servers []sockets.Address
	for slot, p := range g.slots {
		if !p.isReady() {
			continue
		}
		servers = append(servers, p.latest.Server)
		server := p.latest.Server.String()
		if g.keys != "" {
			server = nameOf(slot) + "@" + server
		}
		o.Servers = append(o.Servers, server)
	}
	for _, p := range g.slots {
		if p.isReady() && !p.stopped {
			p.tell(o)
		}
	}
	g.targets.set(o.Peers, servers)
}

func (g *group) breaks(slot int, err error) {
	if g.err == nil {
		g.err = fmt.Errorf("participant %s: %w", g.life(slot), err)
	}
}

// life names the life that a slot has, or had last.
func (g *group) life(slot int) string { return fmt.Sprintf("%s.%d", nameOf(slot), g.lives[slot]) }

// notReady names one who is dead, or has not reported.
func (g *group) notReady() string {
	for slot, p := range g.slots {
		if !p.isReady() {
			return fmt.Sprintf("participant %s has not reported", g.life(slot))
		}
	}
	return ""
}

// notHeard names one who has not the last message of everybody else, or who
// doubts that its own has arrived.
func (g *group) notHeard() string {
	for _, from := range g.slots {
		for _, to := range g.slots {
			switch {
			case !from.isReady() || !to.isReady():
				return "one is dead"
			case from.latest.Unsure:
				return fmt.Sprintf("%s doubts that message %d has reached all", from.life, from.latest.Last)
			case from != to && to.latest.Heard[from.life] != from.latest.Last:
				return fmt.Sprintf("%s has message %d of %s, whose last is %d",
					to.life, to.latest.Heard[from.life], from.life, from.latest.Last)
			}
		}
	}
	return ""
}

// notGone names one who has not left.
func (g *group) notGone() string {
	for _, p := range g.slots {
		if p != nil {
			return p.life + " has not left"
		}
	}
	return ""
}
