package simnet

import "time"

// An agenda is what is going to happen, earliest first. Whoever uses it guards
// it.
type agenda struct {
	run    func()    // called, on a goroutine of its own, when the time of the first event comes
	start  time.Time // the times of events count from here
	events []event   // a heap: each is before those at twice its place plus 1 and plus 2
	timer  *time.Timer
	armed  time.Time // when timer goes off; zero: it does not
}

// An order tells two events of the same moment apart, so that they happen in an
// order that does not depend on the scheduler.
type order struct{ flow, number, part uint64 }

type event struct {
	at     time.Duration
	order  order
	happen func(now time.Time)
}

func (e *event) before(other *event) bool {
	switch {
	case e.at != other.at:
		return e.at < other.at
	case e.order.flow != other.order.flow:
		return e.order.flow < other.order.flow
	case e.order.number != other.order.number:
		return e.order.number < other.order.number
	}
	return e.order.part < other.order.part
}

// add enters an event.
func (a *agenda) add(at time.Time, o order, happen func(now time.Time)) {
	e := event{at.Sub(a.start), o, happen}
	a.events = append(a.events, e)
	i := len(a.events) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&a.events[parent]) {
			break
		}
		a.events[i] = a.events[parent]
		i = parent
	}
	a.events[i] = e
}

// next takes out the first event if its time has come.
func (a *agenda) next(now time.Time) (at time.Time, happen func(now time.Time), ok bool) {
	if len(a.events) == 0 || a.events[0].at > now.Sub(a.start) {
		return time.Time{}, nil, false
	}
	first, last := a.events[0], len(a.events)-1
	e := a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	i := 0
	for child := 1; child < last; child = 2*i + 1 {
		if right := child + 1; right < last && a.events[right].before(&a.events[child]) {
			child = right
		}
		if !a.events[child].before(&e) {
			break
		}
		a.events[i] = a.events[child]
		i = child
	}
	if last > 0 {
		a.events[i] = e
	}
	return a.start.Add(first.at), first.happen, true
}

// first returns when the first event happens, if there is one.
func (a *agenda) first() (at time.Time, ok bool) {
	if len(a.events) == 0 {
		return time.Time{}, false
	}
	return a.start.Add(a.events[0].at), true
}

// arm sees to it that run is called when the first event's time comes. All that
// was due must have been taken out before.
func (a *agenda) arm(now time.Time) {
	first, ok := a.first()
	if !ok || !a.armed.IsZero() && !first.Before(a.armed) {
		return
	}
	a.armed = first
	if wait := first.Sub(now); a.timer == nil {
		a.timer = time.AfterFunc(wait, a.run)
	} else {
		a.timer.Reset(wait)
	}
}
