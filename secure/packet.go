package secure

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/endpoint"
)

// A PacketConn is a packet connection whose datagrams are signed, and of which
// only those of known peers are read. Many goroutines may use it at once.
//
// It is a [net.PacketConn] as the one beneath it. Whoever reads from it also
// answers the challenges of others: a program that only sends should read too,
// as a [sockets.AsyncPeer] does by itself.
type PacketConn struct {
	socket  *endpoint.Socket
	network *Network
	signer  *signer
	limit   int           // bytes of a payload
	reading chan struct{} // one slot; holding it is the right to read from socket
	noting  chan struct{} // one slot; holding it is the right to set the deadline for reading

	mu      sync.Mutex // guards what follows
	gate    *gate
	readBy  time.Time // deadline; zero: none
	closed  bool
	dropped int       // datagrams that nobody was told of
	told    time.Time // when somebody was
}

func newPacketConn(conn net.PacketConn, n *Network) *PacketConn {
	var random [8]byte
	rand.Read(random[:])
	s := &signer{identity: n.cfg.Identity, group: groupOf(n.cfg.Group), session: binary.BigEndian.Uint64(random[:])}
	c := &PacketConn{
		socket:  endpoint.NewSocket(conn),
		network: n,
		signer:  s,
		reading: make(chan struct{}, 1),
		noting:  make(chan struct{}, 1),
		gate:    newGate(time.Now(), n, s),
	}
	c.limit = c.socket.Limit - overhead
	if n.cfg.GroupKey != nil {
		s.seal = newSeal(n.cfg.GroupKey, s.group, &s.identity.public, s.session)
		c.limit -= sealSize
	}
	return c
}

// LocalAddr returns the address of the socket beneath.
func (c *PacketConn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// MaxDatagram returns the bytes of the longest payload: 122 less than those of
// the network beneath, and another 16 less if datagrams are secret.
func (c *PacketConn) MaxDatagram() int { return c.limit }

// WriteTo sends payload to addr in a signed datagram. To send the same payload to
// others at once costs no further signature.
func (c *PacketConn) WriteTo(payload []byte, addr net.Addr) (int, error) {
	return c.write(c.socket.Send, payload, addr)
}

// TryWriteTo is WriteTo, but gives [sockets.ErrSlow] where the network beneath
// would wait.
func (c *PacketConn) TryWriteTo(payload []byte, addr net.Addr) (int, error) {
	return c.write(c.socket.TrySend, payload, addr)
}

var errDestination = errors.New("a datagram goes to one UDP address, with a port")

func (c *PacketConn) write(send func([]byte, netip.AddrPort) error, payload []byte, addr net.Addr) (int, error) {
	var to netip.AddrPort
	if udp, ok := addr.(*net.UDPAddr); ok {
		to = endpoint.Of(udp)
	}
	switch {
	case !endpoint.IsComplete(to):
		return 0, c.fault(addr, errDestination)
	case len(payload) > c.limit:
		return 0, c.fault(addr, fmt.Errorf("%w: %d bytes, a signed datagram carries %d: %w", sockets.ErrMessageTooBig, len(payload), c.limit, syscall.EMSGSIZE))
	}
	b, isNew, err := c.signer.datagram(time.Now(), payload, to)
	if err != nil {
		return 0, c.fault(addr, err)
	}
	if isNew {
		c.network.stats[signed].Add(1)
	}
	if err := send(b, to); err != nil {
		return 0, err
	}
	return len(payload), nil
}

// fault dresses an error of writing as package net does.
func (c *PacketConn) fault(addr net.Addr, err error) error {
	return &net.OpError{Op: "write", Net: "udp", Source: c.LocalAddr(), Addr: addr, Err: err}
}

// ReadFrom copies the payload of the next datagram of a known peer into p, cut
// off if p is too short, and returns where it came from. [Network.PeerAt] tells
// who that is. Errors are those of the network beneath.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	for {
		next, ok := c.waiting()
		if !ok {
			b, from, err := c.socket.Receive()
			switch {
			case err == nil:
				next, ok = c.receive(b, from)
			case from.IsValid():
				return 0, net.UDPAddrFromAddrPort(from), err
			default:
				return 0, nil, err
			}
		}
		if ok {
			return copy(p, next.payload), net.UDPAddrFromAddrPort(next.from), nil
		}
	}
}

// waiting returns what was ready before, unless the socket beneath is to tell
// that nothing is read any more.
func (c *PacketConn) waiting() (next parcel, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.readBy.IsZero() && !time.Now().Before(c.readBy) {
		return parcel{}, false
	}
	return c.gate.take()
}

// receive passes a datagram through the gate, and returns what can be read then.
// That is not put off, whatever the deadline says: it may be a part of b.
func (c *PacketConn) receive(b []byte, from netip.AddrPort) (next parcel, ok bool) {
	now := time.Now()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return parcel{}, false
	}
	h, reply, o := c.gate.receive(now, from, b)
	next, ok = c.gate.take()
	tell := 0
	if o >= malformed {
		c.dropped++
		if now.Sub(c.told) >= time.Second {
			tell, c.dropped, c.told = c.dropped, 0, now
		}
	}
	c.mu.Unlock()
	if reply != nil {
		c.socket.TrySend(reply, from)
	}
	if tell > 0 && c.network.cfg.Refused != nil {
		c.network.cfg.Refused(Refusal{Address: from, Key: h.key, Err: drops[o-malformed], Count: tell})
	}
	return next, ok
}

// SetDeadline sets both deadlines of the socket beneath.
func (c *PacketConn) SetDeadline(t time.Time) error {
	return c.note(t, c.socket.SetDeadline)
}

// SetReadDeadline sets that of the socket beneath.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	return c.note(t, c.socket.SetReadDeadline)
}

// SetWriteDeadline sets that of the socket beneath.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.socket.SetWriteDeadline(t) }

// note sets a deadline for reading, and remembers it.
func (c *PacketConn) note(t time.Time, set func(time.Time) error) error {
	c.noting <- struct{}{}
	defer func() { <-c.noting }()
	c.mu.Lock()
	c.readBy = t
	c.mu.Unlock()
	return set(t)
}

// Close closes the socket beneath. What others hold until a challenge is answered
// is lost to them.
func (c *PacketConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.gate.clear()
	c.mu.Unlock()
	return c.socket.Close()
}
