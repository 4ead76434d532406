package simnet

import (
	"net/netip"
	"sync"
	"time"
)

// Counters tell what became of packets. Every copy of a packet comes to one end:
// Sent and Duplicated together are Delivered, Lost, Dropped, Parted, TooBig,
// Refused and Overflowed together, and what is still on its way or held. What is
// sent to many is one packet for each host that wants it. What is sent to an
// address that nobody has is on no link, and not counted.
type Counters struct {
	Sent       int64 // packets
	Delivered  int64 // packets and copies that a socket received
	Lost       int64 // by chance
	Duplicated int64 // copies made by chance
	Reordered  int64 // made late by chance
	Dropped    int64 // by the full queue of a link of limited bandwidth
	Parted     int64 // by a cut or partition, or as the host was down
	TooBig     int64 // longer than the MTU
	Refused    int64 // nobody had the port
	Overflowed int64 // the socket's buffer was full
}

// count counts one packet, or one copy.
func (c *Counters) count(fate Fate) {
	switch fate {
	case Sent:
		c.Sent++
	case Delivered:
		c.Delivered++
	case Lost:
		c.Lost++
	case Duplicated:
		c.Duplicated++
	case Reordered:
		c.Reordered++
	case Dropped:
		c.Dropped++
	case Parted:
		c.Parted++
	case TooBig:
		c.TooBig++
	case Refused:
		c.Refused++
	case Overflowed:
		c.Overflowed++
	}
}

// Counters returns what became of the packets from one host to another.
func (n *Network) Counters(from, to *Host) Counters {
	now := n.lock()
	defer n.unlock(now)
	if l := n.lanes[[2]*Host{from, to}]; l != nil {
		return l.counters
	}
	return Counters{}
}

// Total returns the counters of all links together.
func (n *Network) Total() Counters {
	now := n.lock()
	defer n.unlock(now)
	return n.total
}

// A Fate is what happens to a packet.
type Fate string

// The fates of a packet. Sent is the first of each packet, and Delivered, Lost,
// Dropped, Parted, TooBig, Refused or Overflowed the last, once for each copy.
const (
	Sent       Fate = "sent"
	Delivered  Fate = "delivered"
	Lost       Fate = "lost"
	Duplicated Fate = "duplicated"
	Reordered  Fate = "reordered"
	Dropped    Fate = "dropped"
	Parted     Fate = "parted"
	TooBig     Fate = "too big"
	Refused    Fate = "refused"
	Overflowed Fate = "overflowed"
)

// An Observer is told the fate of packets: when, from where, to where, and with
// what content, which must not be changed.
type Observer func(at time.Time, from, to netip.AddrPort, payload []byte, fate Fate)

// Observe makes observer know of every packet from now on, in the order in which
// things happen. It is called by whichever goroutine sends, receives or changes
// something, never twice at once, and may call the methods of the network and its
// sockets. While it waits, who called it waits too, the network goes on, and all
// that it is still to be told is kept, without a bound. If it panics or ends its
// goroutine, it is told the rest with what happens next. The one before it, if any,
// is told nothing more; a nil observer ends it.
func (n *Network) Observe(observer Observer) {
	now := n.lock()
	defer n.unlock(now)
	n.witness.observe(observer)
}

// A witness tells an observer what it has seen. Whoever uses it guards it.
type witness struct {
	observer Observer
	unseen   []sighting // not yet told to observer
	telling  bool       // somebody is about to tell them
}

type sighting struct {
	at       time.Time
	from, to netip.AddrPort
	payload  []byte
	fate     Fate
}

func (w *witness) observe(observer Observer) { w.observer, w.unseen = observer, nil }

func (w *witness) see(s sighting) {
	if w.observer != nil {
		w.unseen = append(w.unseen, s)
	}
}

// unlock unlocks the mutex that guards the witness, and tells the observer, if
// nobody is telling it already.
func (w *witness) unlock(mu *sync.Mutex) {
	if len(w.unseen) == 0 || w.telling {
		mu.Unlock()
		return
	}
	w.telling = true
	defer func() {
		w.telling = false
		mu.Unlock()
	}()
	for len(w.unseen) > 0 {
		s, observer := w.unseen[0], w.observer
		w.unseen = w.unseen[1:]
		mu.Unlock()
		func() {
			defer mu.Lock() // also if the observer panics, or ends a test
			observer(s.at, s.from, s.to, s.payload, s.fate)
		}()
	}
}

func (n *Network) seeLocked(now time.Time, p *packet, fate Fate) {
	n.witness.see(sighting{now, p.from, p.to, p.payload, fate})
}

// fateLocked counts and sees what happens to a packet on a lane.
func (n *Network) fateLocked(now time.Time, l *lane, p *packet, fate Fate) {
	l.counters.count(fate)
	n.total.count(fate)
	n.seeLocked(now, p, fate)
}

// A packet is on its way. Its payload is never changed.
type packet struct {
	protocol protocol
	from, to netip.AddrPort
	payload  []byte
	receiver *Host

	flow   uint64 // hash
	number uint64 // on the flow, from 0

	// arrive gives the packet to the receiver, which is up, and returns its last
	// fate. It is called with the network locked, once for each copy.
	arrive func(now time.Time, p *packet) Fate
}

func (p *packet) size() int64 {
	return int64(len(p.payload)) + p.protocol.headerLength(p.to.Addr())
}

// A lane is a link at work between two hosts.
type lane struct {
	conduit
	from, to *Host
	cut      bool
	hold     bool
	held     []*packet
	counters Counters
}

// A conduit is a link and what it is busy with.
type conduit struct {
	link Link
	busy time.Time // until when the link transmits what it has accepted
}

// transmit returns when a packet of so many bytes has left, if the queue has
// room for it.
func (c *conduit) transmit(now time.Time, size int64) (left time.Time, ok bool) {
	if c.link.Bandwidth <= 0 {
		return now, true
	}
	if c.busy.Before(now) {
		c.busy = now
	}
	if waiting := c.link.waiting(c.busy.Sub(now)); waiting > 0 && waiting+size > c.link.queue() {
		return now, false
	}
	c.busy = c.busy.Add(c.link.transmission(size))
	return c.busy, true
}

// pass does to a packet what the link does to it: it tells see, and land at what
// time each copy arrives.
func (c *conduit) pass(now time.Time, size int64, d dice, see func(Fate), land func(at time.Time, copy uint64)) {
	if c.link.MTU > 0 && size > int64(c.link.MTU) {
		see(TooBig)
		return
	}
	left, ok := c.transmit(now, size)
	if !ok {
		see(Dropped)
		return
	}
	lot := c.link.draw(d)
	if lot.twice {
		see(Duplicated)
		land(left.Add(lot.copied), 1)
	}
	if lot.lost {
		see(Lost)
		return
	}
	if lot.reordered {
		see(Reordered)
	}
	land(left.Add(lot.delay), 0)
}

func (n *Network) laneLocked(from, to *Host) *lane {
	key := [2]*Host{from, to}
	l := n.lanes[key]
	if l == nil {
		l = &lane{from: from, to: to}
		if from != to {
			l.link = n.link
		}
		n.lanes[key] = l
	}
	return l
}

func (n *Network) isCutLocked(l *lane) bool {
	if l.cut {
		return true
	}
	for _, side := range n.partitions {
		if side[l.from] != side[l.to] {
			return true
		}
	}
	return false
}

// sendLocked sends a packet, which has its protocol, addresses, payload,
// receiver and arrive.
func (n *Network) sendLocked(now time.Time, from *Host, p *packet) {
	f := n.flowLocked(from, p)
	p.flow, p.number = f.hash, f.sent
	f.sent++
	l := f.lane
	n.fateLocked(now, l, p, Sent)
	if l.hold {
		l.held = append(l.held, p)
		return
	}
	n.passLocked(now, l, p)
}

// passLocked does to a packet what the lane does to it.
func (n *Network) passLocked(now time.Time, l *lane, p *packet) {
	if n.isCutLocked(l) {
		n.fateLocked(now, l, p, Parted)
		return
	}
	l.pass(now, p.size(), diceFor(n.seed^l.link.Seed, p.flow, p.number),
		func(fate Fate) { n.fateLocked(now, l, p, fate) },
		func(at time.Time, copy uint64) { n.landLocked(now, at, l, p, copy) })
}

// landLocked makes a packet arrive at its time.
func (n *Network) landLocked(now, at time.Time, l *lane, p *packet, copy uint64) {
	if at.After(now) {
		n.atLocked(at, order{p.flow, p.number, copy}, func(now time.Time) { n.arriveLocked(now, l, p) })
		return
	}
	n.arriveLocked(now, l, p)
}

func (n *Network) arriveLocked(now time.Time, l *lane, p *packet) {
	fate := Parted
	if p.receiver.up && !n.isCutLocked(l) {
		fate = p.arrive(now, p)
	}
	n.fateLocked(now, l, p, fate)
}
