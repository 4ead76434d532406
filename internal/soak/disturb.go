package main

import (
	"context"
	"fmt"
	"time"
)

const away = 20 * time.Second // at most, how long a participant is dead, or stopped

// disturb kills, stops and dismisses participants until ctx ends. They come back.
func (g *group) disturb(ctx context.Context) {
	for pause(ctx, min(time.Second, g.duration/20)) {
		g.do(g.disturbOne)
	}
}

func (g *group) disturbOne() {
	slot := g.rng.IntN(len(g.slots))
	p := g.slots[slot]
	if !p.isReady() || p.stopped {
		return
	}
	switch steady := slot < len(g.growths); g.rng.IntN(3) {
	case 0:
		if stop(p.cmd.Process) == nil {
			p.stopped = true
			g.count["stops"]++
			g.later(func() { g.resume(p) })
		}
	case 1:
		if !steady {
			p.kill()
			g.count["kills"]++
		}
	case 2:
		if !steady {
			g.leave(p)
			g.count["leaves"]++
		}
	}
}

// later does f after a while.
func (g *group) later(f func()) {
	wait := time.Duration(g.rng.Int64N(int64(min(away, g.duration/4))))
	go func() {
		select {
		case <-time.After(wait):
			g.do(f)
		case <-g.ended:
		}
	}()
}

// resume continues p, if it is stopped.
func (g *group) resume(p *process) {
	if p == nil || !p.stopped {
		return
	}
	resume(p.cmd.Process)
	p.stopped, p.heardOf = false, time.Now()
	g.inform()
}

// leave makes p close everything, and end.
func (g *group) leave(p *process) {
	if p != nil && !p.leaving {
		p.leaving = true
		p.tell(order{Leave: true})
	}
}

// log prints a line a minute, and looks who hangs.
func (g *group) log(ctx context.Context, begun time.Time) {
	for pause(ctx, time.Minute) {
		g.do(func() {
			g.printLine(time.Since(begun))
			for slot, p := range g.slots {
				if p != nil && !p.stopped && time.Since(p.heardOf) > patience {
					g.breaks(slot, fmt.Errorf("it was not heard for %v", patience))
				}
			}
		})
	}
}

// printLine prints how the group is.
func (g *group) printLine(age time.Duration) {
	var most report
	alive := 0
	for _, p := range g.slots {
		if !p.isReady() {
			continue
		}
		alive++
		most.Goroutines = max(most.Goroutines, p.latest.Goroutines)
		most.Descriptors = max(most.Descriptors, p.latest.Descriptors)
		most.Heap = max(most.Heap, p.latest.Heap)
	}
	fmt.Fprintf(g.out, "%7v: %d alive; %d kills, %d stops, %d leaves, %d attacks; %d messages, %d over connections; at most %d goroutines, %d descriptors, %d KiB\n",
		age.Round(time.Second), alive, g.count["kills"], g.count["stops"], g.count["leaves"], g.targets.attacks.Load(),
		g.count["messages"], g.count["messages over connections"], most.Goroutines, most.Descriptors, most.Heap>>10)
}
