package simnet

import (
	"cmp"
	"math"
	"net/netip"
	"time"
)

const (
	streamMTU   = 1500                 // bytes; of a link that does not say
	shortestMTU = 68                   // bytes; of IPv4, by RFC 791
	year        = 365 * 24 * time.Hour // nothing takes longer
)

// A Link is one direction of the way between two hosts: what it does to each
// packet. The zero Link is perfect: it carries everything at once, and in
// order.
//
// Probabilities are from 0 to 1. The dice are rolled for each packet on its own:
// what befalls it depends on the seed, its source, its destination, its protocol
// and its number between these two, and on nothing else.
//
// What is negative is as zero, a probability over 1 as 1, a time of more than a
// year as a year, and an MTU of less than 68 as 68.
type Link struct {
	// Loss, Duplicate and Reorder are the probabilities that a packet does not
	// arrive, arrives twice, and arrives late, by Late.
	Loss, Duplicate, Reorder float64

	// Delay is how long a packet takes, at least; Jitter is how much longer it may
	// take, at random, in whole microseconds. Where Jitter is more than the time
	// between two datagrams, the second may overtake the first.
	Delay, Jitter time.Duration

	// Late is how much longer a reordered packet takes. If zero, as long again as
	// Delay and Jitter together, and at least 10 milliseconds.
	Late time.Duration

	// Bandwidth is in bits per second, headers included. If zero, it is unlimited.
	Bandwidth int64

	// Queue is how many bytes, headers included, a link of limited bandwidth has
	// room for until they have left. A packet that finds no room is dropped, but
	// never one that finds the link idle. If zero, what the link carries in a tenth
	// of a second, and at least 64 KiB.
	Queue int

	// MTU is the length in bytes of the longest packet, headers included; a longer
	// datagram is dropped, a stream makes shorter packets. If zero, it is 1,500 for
	// streams, and datagrams of all lengths pass.
	MTU int

	// Slice cuts what is written to a stream into pieces of at most so many bytes,
	// which arrive one by one. If zero, the MTU alone does.
	Slice int

	// Stall and Reset are numbers of bytes after which a stream carries nothing
	// more, and after which it is reset. If zero, never.
	Stall, Reset int64

	// Seed is mixed into the dice, beside the seed of the network.
	Seed uint64
}

// bounded returns the link as it works: without what no link can have.
func (l Link) bounded() Link {
	for _, k := range l.keys() {
		switch field := k.field.(type) {
		case *float64:
			*field = min(max(*field, 0), 1)
		case *time.Duration:
			*field = min(max(*field, 0), year)
		case *int64:
			*field = max(*field, 0)
		case *int:
			*field = max(*field, 0)
		}
	}
	if l.MTU > 0 {
		l.MTU = max(l.MTU, shortestMTU)
	}
	return l
}

func (l *Link) late() time.Duration {
	if l.Late > 0 {
		return l.Late
	}
	return max(l.Delay+l.Jitter, 10*time.Millisecond)
}

func (l *Link) queue() int64 {
	if l.Queue > 0 {
		return int64(l.Queue)
	}
	return max(l.Bandwidth/80, 64<<10)
}

// transmission is how long the link is busy with so many bytes.
func (l *Link) transmission(bytes int64) time.Duration {
	if l.Bandwidth <= 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 * float64(time.Second) / float64(l.Bandwidth))
}

// waiting is how many bytes the link carries in the time d.
func (l *Link) waiting(d time.Duration) int64 {
	return int64(min(math.Round(d.Seconds()*float64(l.Bandwidth)/8), 1<<62))
}

// segment is how many bytes of a stream fit into a packet to ip.
func (l *Link) segment(ip netip.Addr) int64 {
	size := int64(cmp.Or(l.MTU, streamMTU)) - tcp.headerLength(ip)
	if l.Slice > 0 {
		size = min(size, int64(l.Slice))
	}
	return size
}

// A lot is what befalls one packet.
type lot struct {
	lost, twice, reordered bool
	delay, copied          time.Duration // of the packet, and of its copy
}

// draw decides the lot of the packet that the dice were made for. It always
// takes the same number of them, so that a change of one fault leaves the others
// as they were.
func (l *Link) draw(d dice) lot {
	var r lot
	r.lost = d.chance() < l.Loss
	r.twice = d.chance() < l.Duplicate
	r.reordered = d.chance() < l.Reorder
	r.delay = l.Delay + time.Duration(d.chance()*float64(l.Jitter)).Truncate(time.Microsecond)
	r.copied = l.Delay + time.Duration(d.chance()*float64(l.Jitter)).Truncate(time.Microsecond)
	if r.reordered {
		r.delay += l.late()
	}
	return r
}

// dice are a source of random numbers that is one number long (splitmix64).
type dice uint64

// diceFor returns the dice of one packet: the number-th of a flow.
func diceFor(seed, flow, number uint64) dice {
	d := dice(seed)
	d = dice(d.next() ^ flow)
	return dice(d.next() ^ number)
}

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// chance returns a number from 0 to 1, and less than 1.
func (d *dice) chance() float64 { return float64(d.next()>>11) / (1 << 53) }
