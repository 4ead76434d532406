package simnet

import (
	"container/heap"
	"time"
)

// An agenda is what is going to happen, earliest first. Whoever uses it guards
// it. The zero agenda is empty.
type agenda struct {
	events events
	timer  *time.Timer
	armed  time.Time // when timer goes off; zero: it does not
}

// An order tells two events of the same moment apart, so that they happen in an
// order that does not depend on the scheduler.
type order struct{ flow, number, part uint64 }

type event struct {
	at     time.Time
	order  order
	happen func(now time.Time)
}

// add enters an event.
func (a *agenda) add(at time.Time, o order, happen func(now time.Time)) {
	heap.Push(&a.events, event{at, o, happen})
}

// next takes out the first event if its time has come.
func (a *agenda) next(now time.Time) (happen func(now time.Time), ok bool) {
	if len(a.events) == 0 || a.events[0].at.After(now) {
		return nil, false
	}
	return heap.Pop(&a.events).(event).happen, true
}

// arm sees to it that run is called, on a goroutine of its own, when the first
// event's time comes. All that was due must have been taken out before.
func (a *agenda) arm(now time.Time, run func()) {
	switch {
	case len(a.events) == 0:
		return
	case !a.armed.IsZero() && !a.events[0].at.Before(a.armed):
		return
	}
	a.armed = a.events[0].at
	if wait := a.armed.Sub(now); a.timer == nil {
		a.timer = time.AfterFunc(wait, run)
	} else {
		a.timer.Reset(wait)
	}
}

// events is a heap.
type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }

func (e events) Less(i, j int) bool {
	a, b := &e[i], &e[j]
	switch {
	case !a.at.Equal(b.at):
		return a.at.Before(b.at)
	case a.order.flow != b.order.flow:
		return a.order.flow < b.order.flow
	case a.order.number != b.order.number:
		return a.order.number < b.order.number
	}
	return a.order.part < b.order.part
}

func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}
