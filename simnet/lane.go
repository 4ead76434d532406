package simnet

import (
	"net/netip"
	"time"
)

// Counters tell what became of packets. Every copy of a packet comes to one end:
// Sent and Duplicated together are Delivered, Lost, Dropped, Parted, TooBig,
// Refused and Overflowed together, and what is still on its way or held.
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

func (c *Counters) add(d Counters) {
	c.Sent += d.Sent
	c.Delivered += d.Delivered
	c.Lost += d.Lost
	c.Duplicated += d.Duplicated
	c.Reordered += d.Reordered
	c.Dropped += d.Dropped
	c.Parted += d.Parted
	c.TooBig += d.TooBig
	c.Refused += d.Refused
	c.Overflowed += d.Overflowed
}

// Counters returns what became of the packets from one host to another.
func (n *Network) Counters(from, to *Host) Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.lanes[[2]*Host{from, to}]; l != nil {
		return l.counters
	}
	return Counters{}
}

// Total returns the counters of all links together.
func (n *Network) Total() Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	var total Counters
	for _, l := range n.lanes {
		total.add(l.counters)
	}
	return total
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
// things happen. It is never called twice at once, and may call the methods of
// the network. A nil observer ends it.
func (n *Network) Observe(observer Observer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observer = observer
}

type sighting struct {
	at       time.Time
	from, to netip.AddrPort
	payload  []byte
	fate     Fate
}

func (n *Network) seeLocked(now time.Time, p *packet, fate Fate) {
	if n.observer != nil {
		n.unseen = append(n.unseen, sighting{now, p.from, p.to, p.payload, fate})
	}
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

// A lane is a link at work.
type lane struct {
	from, to *Host
	link     Link
	cut      bool
	hold     bool
	held     []*packet
	busy     time.Time // until when the link transmits what it has accepted
	counters Counters
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
	f := n.flowLocked(flowKey{p.protocol, p.from, p.to, p.receiver.number})
	p.flow, p.number = f.hash, f.sent
	f.sent++
	l := n.laneLocked(from, p.receiver)
	l.counters.Sent++
	n.seeLocked(now, p, Sent)
	if l.hold {
		l.held = append(l.held, p)
		return
	}
	n.passLocked(now, l, p)
}

// passLocked does to a packet what the link does to it.
func (n *Network) passLocked(now time.Time, l *lane, p *packet) {
	if n.isCutLocked(l) {
		l.counters.Parted++
		n.seeLocked(now, p, Parted)
		return
	}
	if l.link.MTU > 0 && p.size() > int64(l.link.MTU) {
		l.counters.TooBig++
		n.seeLocked(now, p, TooBig)
		return
	}
	left := now
	if l.link.Bandwidth > 0 {
		if l.busy.Before(now) {
			l.busy = now
		}
		if l.link.waiting(l.busy.Sub(now))+p.size() > l.link.queue() {
			l.counters.Dropped++
			n.seeLocked(now, p, Dropped)
			return
		}
		l.busy = l.busy.Add(l.link.transmission(p.size()))
		left = l.busy
	}
	lot := l.link.draw(diceFor(n.seed^l.link.Seed, p.flow, p.number))
	if lot.twice {
		l.counters.Duplicated++
		n.seeLocked(now, p, Duplicated)
		n.landLocked(now, left.Add(lot.copied), l, p, 1)
	}
	if lot.lost {
		l.counters.Lost++
		n.seeLocked(now, p, Lost)
		return
	}
	if lot.reordered {
		l.counters.Reordered++
		n.seeLocked(now, p, Reordered)
	}
	n.landLocked(now, left.Add(lot.delay), l, p, 0)
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
	switch fate {
	case Delivered:
		l.counters.Delivered++
	case Refused:
		l.counters.Refused++
	case Overflowed:
		l.counters.Overflowed++
	case Parted:
		l.counters.Parted++
	}
	n.seeLocked(now, p, fate)
}
