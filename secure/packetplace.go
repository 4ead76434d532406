package secure

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/seed287501ae/sockets"
)

// A packetConns is what the datagram sockets of one network share: which key
// was proved at which address. The zero one is empty. Its methods may be called
// from many goroutines.
type packetConns struct {
	mu     sync.Mutex // guards what follows
	places map[netip.AddrPort]place
	claims uint64 // number of the last one
	many   int    // places, from which on those are removed that nobody needs
}

// A place is an address that belongs to a key: as long as a socket has a route
// there, and until the key was silent there for some time.
type place struct {
	key    PublicKey
	claim  uint64 // which change of hands made it so
	heard  time.Time
	routes int // of all sockets
}

func (p *place) isSilent(now time.Time, hold time.Duration) bool { return now.Sub(p.heard) >= hold }

// PeerAt returns the peer to whom an address of datagrams belongs: who last
// proved there to one of the sockets of this network to have that key. It is who
// sent the datagram from there that was received last, until the next one is
// received. Of a message that package reliable has put together, ask within
// Config.Hold.
func (n *Network) PeerAt(address sockets.Address) (KnownPeer, bool) {
	n.packets.mu.Lock()
	p, ok := n.packets.places[address]
	n.packets.mu.Unlock()
	if !ok {
		return KnownPeer{}, false
	}
	return n.cfg.Known.ByKey(p.key)
}

// isFree reports whether an address may become, or is, that of a key: no other
// key was heard there since hold ago.
func (c *packetConns) isFree(now time.Time, address netip.AddrPort, key *PublicKey, hold time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isFreeLocked(now, address, key, hold)
}

func (c *packetConns) isFreeLocked(now time.Time, address netip.AddrPort, key *PublicKey, hold time.Duration) bool {
	p, ok := c.places[address]
	return !ok || p.key == *key || p.isSilent(now, hold)
}

// claim gives an address to a key, for one route, if it is free.
func (c *packetConns) claim(now time.Time, address netip.AddrPort, key *PublicKey, hold time.Duration) (claim uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isFreeLocked(now, address, key, hold) {
		return 0, false
	}
	if len(c.places) >= c.many {
		maps.DeleteFunc(c.places, func(_ netip.AddrPort, p place) bool { return p.routes == 0 && p.isSilent(now, hold) })
		c.many = 2*len(c.places) + 64
	}
	p, ok := c.places[address]
	if !ok || p.key != *key {
		c.claims++
		p = place{key: *key, claim: c.claims}
	}
	p.heard = now
	p.routes++
	if c.places == nil {
		c.places = make(map[netip.AddrPort]place)
	}
	c.places[address] = p
	return p.claim, true
}

// hear says that a key was heard at an address that it has claimed. It reports
// whether that is so: somebody else may have got the address since.
func (c *packetConns) hear(now time.Time, address netip.AddrPort, claim uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.places[address]
	if !ok || p.claim != claim {
		return false
	}
	p.heard = now
	c.places[address] = p
	return true
}

// leave says that there is one route less at an address that was claimed. Nobody
// else gets it any sooner by that.
func (c *packetConns) leave(address netip.AddrPort, claim uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.places[address]; ok && p.claim == claim {
		p.routes--
		c.places[address] = p
	}
}
