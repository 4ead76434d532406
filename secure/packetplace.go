package secure

import (
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
}

// A place is an address that belongs to a key, as long as a socket has a route
// there.
type place struct {
	key    PublicKey
	heard  time.Time
	routes int // of all sockets
}

// PeerAt returns the peer to whom an address of datagrams belongs: who last
// proved there to one of the sockets of this network to have that key. It is who
// sent the datagram from there that was received last, until the next one is
// received.
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
	return !ok || p.key == *key || now.Sub(p.heard) >= hold
}

// claim gives an address to a key, for one route, if it is free.
func (c *packetConns) claim(now time.Time, address netip.AddrPort, key *PublicKey, hold time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isFreeLocked(now, address, key, hold) {
		return false
	}
	p := c.places[address]
	if p.key != *key {
		p = place{key: *key}
	}
	p.heard = now
	p.routes++
	if c.places == nil {
		c.places = make(map[netip.AddrPort]place)
	}
	c.places[address] = p
	return true
}

// hear says that a key was heard at its address. It reports whether that is so:
// somebody else may have got the address since.
func (c *packetConns) hear(now time.Time, address netip.AddrPort, key *PublicKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.places[address]
	if !ok || p.key != *key {
		return false
	}
	p.heard = now
	c.places[address] = p
	return true
}

// leave says that a key has one route less at an address.
func (c *packetConns) leave(address netip.AddrPort, key *PublicKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.places[address]
	if !ok || p.key != *key {
		return
	}
	if p.routes--; p.routes == 0 {
		delete(c.places, address)
		return
	}
	c.places[address] = p
}
