package simnet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
)

const (
	maxWaiting  = 4 << 20 // bytes of datagrams in one direction, with bufferOverhead for each
	maxFlows    = 1024    // in one direction of a socket
	maxReceived = 65527   // bytes of a datagram; IPv6 does not count its own header
)

// A parcel is a datagram, or an error, that comes from an address or goes there.
type parcel struct {
	payload []byte
	address net.Addr
	err     error
}

// A packetWay is one direction of a packet connection.
type packetWay struct {
	way
	flows   map[netip.AddrPort]*flow
	agenda  agenda // moves parcels to due
	due     []parcel
	waiting int // bytes of what is on its way and due
}

// put makes a parcel set out, and returns how many copies of it need not wait.
func (w *packetWay) put(now time.Time, p parcel) (copies int) {
	remote := endpoint.Of(p.address)
	f := w.flows[remote]
	if f == nil {
		if len(w.flows) == maxFlows {
			clear(w.flows)
		}
		f = &flow{hash: hash(udp, w.direction, w.name, remote)}
		w.flows[remote] = f
	}
	number := f.sent
	f.sent++
	w.link = w.owner.link
	see := func(fate Fate) { w.see(now, remote, p.payload, fate) }
	see(Sent)
	size := int64(len(p.payload)) + udp.headerLength(remote.Addr())
	w.pass(now, size, diceFor(w.link.Seed, f.hash, number), see, func(at time.Time, copy uint64) {
		if !at.After(now) {
			copies++
		} else if w.admit(now, p) {
			w.agenda.add(at, order{f.hash, number, copy}, func(time.Time) { w.due = append(w.due, p) })
			if at.After(w.latest) {
				w.latest = at
			}
			wake(w.ready)
		}
	})
	return copies
}

// admit reports whether there is room for one more parcel to wait.
func (w *packetWay) admit(now time.Time, p parcel) bool {
	if w.waiting+len(p.payload)+bufferOverhead > maxWaiting {
		w.see(now, endpoint.Of(p.address), p.payload, Overflowed)
		return false
	}
	w.waiting += len(p.payload) + bufferOverhead
	return true
}

// take returns the next parcel that is due; else when there is one, if there is
// one at all.
func (w *packetWay) take(now time.Time) (p parcel, again time.Time, ok bool) {
	for {
		at, happen, ok := w.agenda.next(now)
		if !ok {
			break
		}
		happen(at)
	}
	if len(w.due) == 0 {
		again, _ = w.agenda.first()
		return parcel{}, again, false
	}
	p = w.due[0]
	w.due[0] = parcel{}
	w.due = w.due[1:]
	w.waiting -= len(p.payload) + bufferOverhead
	return p, time.Time{}, true
}

// An impairedPacketConn is a packet connection behind a link and, if it was
// dialled, a net.Conn.
type impairedPacketConn struct {
	impairedSocket
	base    net.PacketConn
	try     func(payload []byte, to net.Addr) (int, error) // base.WriteTo, but does not wait
	limit   int                                            // bytes of a datagram
	handled chan struct{}                                  // one slot: fault was told

	// The owner's mutex guards what follows.
	out, in packetWay
	fault   *parcel // error of base, not yet told; net.ErrClosed stays
}

func (i *Impaired) impairPackets(base net.PacketConn, remote net.Addr, asked string) *impairedPacketConn {
	c := &impairedPacketConn{
		impairedSocket: i.newSocket(base.LocalAddr(), remote),
		base:           base,
		try:            base.WriteTo,
		limit:          maxDatagram,
		handled:        make(chan struct{}, 1),
	}
	if b, ok := base.(interface{ MaxDatagram() int }); ok {
		c.limit = b.MaxDatagram()
	}
	if b, ok := base.(interface {
		TryWriteTo(payload []byte, to net.Addr) (int, error)
	}); ok {
		c.try = b.TryWriteTo
	}
	name := i.nameOf(asked, c.local)
	c.out, c.in = c.newPacketWay(sending, name), c.newPacketWay(receiving, name)
	c.pumps.Go(c.receive)
	c.pumps.Go(c.send)
	return c
}

func (s *impairedSocket) newPacketWay(d direction, name string) packetWay {
	return packetWay{way: s.newWay(d, name), flows: make(map[netip.AddrPort]*flow), agenda: agenda{start: time.Now()}}
}

// MaxDatagram returns how many bytes a datagram carries.
func (c *impairedPacketConn) MaxDatagram() int { return c.limit }

func (c *impairedPacketConn) WriteTo(payload []byte, to net.Addr) (int, error) {
	return c.writeTo(c.base.WriteTo, payload, to)
}

// TryWriteTo is WriteTo, but gives [sockets.ErrSlow] where that would wait.
func (c *impairedPacketConn) TryWriteTo(payload []byte, to net.Addr) (int, error) {
	return c.writeTo(c.try, payload, to)
}

func (c *impairedPacketConn) writeTo(write func([]byte, net.Addr) (int, error), payload []byte, to net.Addr) (int, error) {
	if c.remote != nil {
		return 0, c.fail("write", to, net.ErrWriteToConnected)
	}
	return c.write(write, payload, to)
}

func (c *impairedPacketConn) Write(payload []byte) (int, error) {
	return c.write(c.base.WriteTo, payload, c.remote)
}

func (c *impairedPacketConn) write(write func([]byte, net.Addr) (int, error), payload []byte, to net.Addr) (int, error) {
	p := parcel{payload: slices.Clone(payload), address: to}
	copies, err := c.depart(p)
	if err != nil {
		return 0, c.fail("write", to, err)
	}
	for range copies {
		_, failed := write(p.payload, to)
		c.departed(p, failed)
		if err == nil {
			err = failed
		}
	}
	if err != nil {
		return 0, c.fail("write", to, err)
	}
	return len(payload), nil
}

// depart makes a datagram set out, and returns how many copies of it are to be
// sent at once.
func (c *impairedPacketConn) depart(p parcel) (copies int, err error) {
	c.owner.mu.Lock()
	defer c.owner.witness.unlock(&c.owner.mu)
	_, isUDP := p.address.(*net.UDPAddr)
	switch {
	case isClosed(c.gone):
		return 0, net.ErrClosed
	case c.writeDeadline.HasPassed():
		return 0, os.ErrDeadlineExceeded
	case c.fault != nil && !endpoint.Of(c.fault.address).IsValid():
		return 0, c.takeFault().err
	case !isUDP || !endpoint.IsComplete(endpoint.Of(p.address)):
		return 0, os.NewSyscallError("sendto", syscall.EINVAL)
	case len(p.payload) > c.limit:
		return 0, os.NewSyscallError("sendto", syscall.EMSGSIZE)
	}
	return c.out.put(time.Now(), p), nil
}

// departed tells that a datagram was sent, or could not be.
func (c *impairedPacketConn) departed(p parcel, err error) {
	c.owner.mu.Lock()
	defer c.owner.witness.unlock(&c.owner.mu)
	fate := Delivered
	if err != nil {
		fate = Refused
	}
	c.out.see(time.Now(), endpoint.Of(p.address), p.payload, fate)
}

// send sends what was delayed, until the socket is closed and nothing is left.
func (c *impairedPacketConn) send() {
	defer close(c.sent)
	for {
		var p parcel
		over := false
		c.await(nil, &c.never, c.out.ready, func(now time.Time) (again time.Time, ok bool) {
			p, again, ok = c.out.take(now)
			over = !ok && again.IsZero() && isClosed(c.gone)
			return again, ok || over
		})
		if over {
			return
		}
		_, err := c.base.WriteTo(p.payload, p.address)
		c.departed(p, err)
	}
}

func (c *impairedPacketConn) ReadFrom(buffer []byte) (int, net.Addr, error) {
	var p parcel
	err := c.await(c.gone, &c.readDeadline, c.in.ready, func(now time.Time) (again time.Time, ok bool) {
		if c.fault != nil {
			p = c.takeFault()
			return again, true
		}
		if p, again, ok = c.in.take(now); ok {
			c.in.see(now, endpoint.Of(p.address), p.payload, Delivered)
		}
		return again, ok
	})
	if err != nil {
		return 0, nil, c.fail("read", nil, err)
	}
	if p.err != nil {
		return 0, p.address, c.fail("read", p.address, p.err)
	}
	return copy(buffer, p.payload), p.address, nil
}

func (c *impairedPacketConn) Read(buffer []byte) (int, error) {
	n, _, err := c.ReadFrom(buffer)
	return n, err
}

// takeFault returns the fault, and lets reception go on. The owner is locked.
func (c *impairedPacketConn) takeFault() parcel {
	fault := *c.fault
	if !errors.Is(fault.err, net.ErrClosed) {
		c.fault = nil
		wake(c.handled)
	}
	return fault
}

// receive receives until the base is closed.
func (c *impairedPacketConn) receive() {
	buffer := make([]byte, max(c.limit, maxReceived))
	for {
		n, from, err := c.base.ReadFrom(buffer)
		if err == nil {
			c.arrive(parcel{payload: slices.Clone(buffer[:n]), address: from})
			continue
		}
		c.owner.mu.Lock()
		c.fault = &parcel{address: from, err: err}
		c.owner.mu.Unlock()
		wake(c.in.ready)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		told := func(time.Time) (again time.Time, done bool) { return again, c.fault == nil }
		if c.await(c.gone, &c.never, c.handled, told) != nil {
			return
		}
	}
}

func (c *impairedPacketConn) arrive(p parcel) {
	c.owner.mu.Lock()
	defer c.owner.witness.unlock(&c.owner.mu)
	now := time.Now()
	for range c.in.put(now, p) {
		if c.in.admit(now, p) {
			c.in.due = append(c.in.due, p)
			wake(c.in.ready)
		}
	}
}

func (c *impairedPacketConn) Close() error {
	return c.close(&c.out.way, func(time.Time) bool { return false }, func(bool) error { return c.base.Close() })
}

// A dialled connection as a packet connection.
type dialled struct{ net.Conn }

func (d dialled) ReadFrom(buffer []byte) (int, net.Addr, error) {
	n, err := d.Read(buffer)
	if err != nil {
		return 0, nil, err
	}
	return n, d.RemoteAddr(), nil
}

func (d dialled) WriteTo(payload []byte, _ net.Addr) (int, error) { return d.Write(payload) }
