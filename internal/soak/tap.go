package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"sync"

	"github.com/seed287501ae/sockets"
)

const (
	remembered = 256 // datagrams
	replayOne  = 50  // in so many
)

// A tap is a network that remembers datagrams which it sends, and now and then
// sends an old one again, to the same address or to another one. Where it may
// forge, it also changes a bit of it.
type tap struct {
	base  sockets.Network
	forge bool

	mu  sync.Mutex // guards what follows
	rng *rand.Rand
	old []datagram
}

type datagram struct {
	payload []byte
	to      net.Addr
}

func (t *tap) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return t.base.Listen(ctx, network, address)
}

func (t *tap) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return t.base.DialContext(ctx, network, address)
}

func (t *tap) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := t.base.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tapped{conn, t}, nil
}

// remember notes a datagram, and returns an old one if it is time to send one.
func (t *tap) remember(payload []byte, to net.Addr) (old datagram, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := datagram{bytes.Clone(payload), to}
	if len(t.old) < remembered {
		t.old = append(t.old, d)
	} else if t.rng.IntN(replayOne) == 0 { // some become minutes old
		t.old[t.rng.IntN(remembered)] = d
	}
	if t.rng.IntN(replayOne) > 0 {
		return datagram{}, false
	}
	old = t.old[t.rng.IntN(len(t.old))]
	if t.rng.IntN(4) == 0 {
		old.to = to
	}
	if t.forge && t.rng.IntN(2) == 0 {
		old.payload = bytes.Clone(old.payload)
		old.payload[t.rng.IntN(len(old.payload))] ^= 1 << t.rng.IntN(8)
	}
	return old, true
}

// overheard returns one of the remembered datagrams.
func (t *tap) overheard() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.old) == 0 {
		return nil
	}
	return t.old[t.rng.IntN(len(t.old))].payload
}

type tapped struct {
	net.PacketConn
	tap *tap
}

func (c *tapped) WriteTo(payload []byte, to net.Addr) (int, error) {
	if old, due := c.tap.remember(payload, to); due {
		c.PacketConn.WriteTo(old.payload, old.to)
	}
	return c.PacketConn.WriteTo(payload, to)
}
