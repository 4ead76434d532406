package simnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets/internal/deadline"
	"github.com/seed287501ae/sockets/internal/endpoint"
)

const (
	maxDatagram    = 65507 // bytes
	receiveBuffer  = 208 << 10
	bufferOverhead = 64 // what a datagram takes of the buffer beside its payload
)

// ListenPacket binds a datagram socket: network is "udp", "udp4" or "udp6". On a
// multicast address it joins the group. The socket's receive buffer is 208 KiB,
// of which each datagram takes 64 bytes beside its payload; what finds no room is
// dropped.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := h.bind(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return c, nil
}

func (h *Host) bind(ctx context.Context, network, address string) (*packetConn, error) {
	if network != "udp" && network != "udp4" && network != "udp6" {
		return nil, net.UnknownNetworkError(network)
	}
	local, err := h.resolve(ctx, network, address, false)
	if err != nil {
		return nil, err
	}
	now := h.network.lock()
	defer h.network.unlock(now)
	return h.bindLocked(network, local, netip.AddrPort{})
}

func (h *Host) bindLocked(network string, local, remote netip.AddrPort) (*packetConn, error) {
	ip := local.Addr()
	switch {
	case !h.up:
		return nil, os.NewSyscallError("bind", syscall.ENETDOWN)
	case !ip.IsUnspecified() && !ip.IsMulticast() && !h.hasIP(ip):
		return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	port, err := h.portLocked(local.Port(), func(port uint16) bool {
		return ip.IsMulticast() || !slices.ContainsFunc(h.packets[port], func(c *packetConn) bool {
			return overlap(network, ip, c.network, c.local.Addr())
		})
	})
	if err != nil {
		return nil, err
	}
	c := &packetConn{
		host:    h,
		network: network,
		local:   netip.AddrPortFrom(ip, port),
		remote:  remote,
		arrived: make(chan struct{}, 1),
		gone:    make(chan struct{}),
	}
	h.packets[port] = append(h.packets[port], c)
	return c, nil
}

func (h *Host) dialUDP(ctx context.Context, network, address string) (net.Conn, error) {
	remote, err := h.resolve(ctx, network, address, true)
	if err != nil {
		return nil, err
	}
	source, err := h.source(remote.Addr())
	if err != nil {
		return nil, err
	}
	now := h.network.lock()
	defer h.network.unlock(now)
	return h.bindLocked(network, netip.AddrPortFrom(source, 0), remote)
}

// receiverLocked returns the socket to which a datagram goes: a connected one
// before one bound to the address, before one bound to all.
func (h *Host) receiverLocked(from, to netip.AddrPort) *packetConn {
	var best *packetConn
	rank := func(c *packetConn) int {
		switch {
		case c.remote.IsValid():
			return 2
		case !c.local.Addr().IsUnspecified():
			return 1
		}
		return 0
	}
	for _, c := range h.packets[to.Port()] {
		if covers(c.network, c.local.Addr(), to.Addr()) && (!c.remote.IsValid() || c.remote == from) &&
			(best == nil || rank(c) > rank(best)) {
			best = c
		}
	}
	return best
}

// A packetConn is a datagram socket. It is a net.PacketConn and, if it was
// dialled, a net.Conn.
type packetConn struct {
	host          *Host
	network       string
	local, remote netip.AddrPort // remote: of one that was dialled

	readDeadline, writeDeadline deadline.Deadline

	arrived chan struct{} // one slot: who reads should look again
	gone    chan struct{} // closed with the socket

	// The network's mutex guards what follows.
	queue  []*packet
	room   int   // bytes of the receive buffer that are taken
	fault  error // of an earlier datagram, for the next call
	closed bool
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

func (c *packetConn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(c.remote)
}

func (c *packetConn) WriteTo(payload []byte, address net.Addr) (int, error) {
	a, ok := address.(*net.UDPAddr)
	if !ok || a == nil {
		return 0, c.fail("write", address, syscall.EINVAL)
	}
	if c.remote.IsValid() {
		return 0, c.fail("write", address, net.ErrWriteToConnected)
	}
	return c.send(payload, endpoint.Of(a))
}

func (c *packetConn) Write(payload []byte) (int, error) {
	if !c.remote.IsValid() {
		return 0, c.fail("write", nil, os.NewSyscallError("write", syscall.EDESTADDRREQ))
	}
	return c.send(payload, c.remote)
}

func (c *packetConn) send(payload []byte, to netip.AddrPort) (int, error) {
	now := c.host.network.lock()
	defer c.host.network.unlock(now)
	if err := c.sendLocked(now, payload, to); err != nil {
		return 0, c.fail("write", net.UDPAddrFromAddrPort(to), err)
	}
	return len(payload), nil
}

func (c *packetConn) sendLocked(now time.Time, payload []byte, to netip.AddrPort) error {
	ip := to.Addr()
	switch fault := c.fault; {
	case c.closed:
		return net.ErrClosed
	case c.writeDeadline.HasPassed():
		return os.ErrDeadlineExceeded
	case fault != nil:
		c.fault = nil
		return os.NewSyscallError("sendto", fault)
	case len(payload) > maxDatagram:
		return os.NewSyscallError("sendto", syscall.EMSGSIZE)
	case !to.IsValid() || to.Port() == 0:
		return os.NewSyscallError("sendto", syscall.EINVAL)
	case ip.IsUnspecified():
		ip = c.host.thisMachine(ip)
	}
	ip = ip.WithZone("")
	own := c.local.Addr()
	switch {
	case own.IsUnspecified() && !covers(c.network, own, ip), !own.IsUnspecified() && own.Is4() != ip.Is4():
		return &net.AddrError{Err: "address of another family", Addr: ip.String()}
	case own.IsLoopback() && !c.host.hasIP(ip):
		return os.NewSyscallError("sendto", syscall.EINVAL)
	case own.IsUnspecified() || own.IsMulticast():
		var err error
		if own, err = c.host.source(ip); err != nil {
			return err
		}
	}
	p := packet{
		protocol: udp,
		from:     netip.AddrPortFrom(own, c.local.Port()),
		to:       netip.AddrPortFrom(ip, to.Port()),
		payload:  slices.Clone(payload),
		arrive:   arriveDatagram,
	}
	if ip.IsMulticast() || ip == broadcast {
		for _, h := range c.host.network.hosts {
			if h.wantsLocked(p.to) {
				each := p
				each.receiver = h
				c.host.network.sendLocked(now, c.host, &each)
			}
		}
		return nil
	}
	if p.receiver = c.host.hostLocked(ip); p.receiver == nil {
		c.host.network.seeLocked(now, &p, Sent)
		c.host.network.seeLocked(now, &p, Parted)
		return nil
	}
	c.host.network.sendLocked(now, c.host, &p)
	return nil
}

// wantsLocked reports whether a socket of h receives what is sent to a group or
// to all.
func (h *Host) wantsLocked(to netip.AddrPort) bool {
	return slices.ContainsFunc(h.packets[to.Port()], func(c *packetConn) bool { return c.wants(to.Addr()) })
}

func (c *packetConn) wants(group netip.Addr) bool {
	own := c.local.Addr()
	return own == group || group == broadcast && own.IsUnspecified() && covers(c.network, own, group)
}

// arriveDatagram gives a datagram to the socket that it is for, or to all those
// of a group.
func arriveDatagram(now time.Time, p *packet) Fate {
	h := p.receiver
	if ip := p.to.Addr(); ip.IsMulticast() || ip == broadcast {
		fate := Refused
		for _, c := range h.packets[p.to.Port()] {
			if c.wants(ip) {
				fate = c.takeLocked(p)
			}
		}
		return fate
	}
	if c := h.receiverLocked(p.from, p.to); c != nil {
		return c.takeLocked(p)
	}
	h.network.refuseLocked(now, p)
	return Refused
}

func (c *packetConn) takeLocked(p *packet) Fate {
	if c.room+len(p.payload)+bufferOverhead > receiveBuffer {
		return Overflowed
	}
	c.room += len(p.payload) + bufferOverhead
	c.queue = append(c.queue, p)
	c.wake()
	return Delivered
}

// refuseLocked tells the sender of a datagram that nobody has the port, if the
// way back is open. As in the kernel, only a socket that was dialled gets to
// know.
func (n *Network) refuseLocked(now time.Time, p *packet) {
	sender := p.receiver.hostLocked(p.from.Addr())
	back := n.laneLocked(p.receiver, sender)
	answer := func(time.Time) {
		c := sender.receiverLocked(p.to, p.from)
		if c == nil || !c.remote.IsValid() || n.isCutLocked(back) {
			return
		}
		c.fault = syscall.ECONNREFUSED
		c.wake()
	}
	if back.link.Delay > 0 {
		n.atLocked(now.Add(back.link.Delay), order{p.flow, p.number, 2}, answer)
		return
	}
	answer(now)
}

func (c *packetConn) wake() {
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

func (c *packetConn) ReadFrom(buffer []byte) (int, net.Addr, error) {
	p, err := c.receive()
	if err != nil {
		return 0, nil, c.fail("read", nil, err)
	}
	return copy(buffer, p.payload), net.UDPAddrFromAddrPort(p.from), nil
}

func (c *packetConn) Read(buffer []byte) (int, error) {
	n, _, err := c.ReadFrom(buffer)
	return n, err
}

func (c *packetConn) receive() (*packet, error) {
	for {
		if c.readDeadline.HasPassed() {
			return nil, os.ErrDeadlineExceeded
		}
		if p, err := c.take(); p != nil || err != nil {
			return p, err
		}
		select {
		case <-c.arrived:
		case <-c.gone:
		case <-c.readDeadline.Passed():
		}
	}
}

// take returns what a read returns at once: nothing, if it has to wait.
func (c *packetConn) take() (*packet, error) {
	mu := &c.host.network.mu
	mu.Lock()
	defer mu.Unlock()
	switch fault := c.fault; {
	case c.closed:
		return nil, net.ErrClosed
	case fault != nil:
		c.fault = nil
		return nil, os.NewSyscallError("recvfrom", fault)
	case len(c.queue) == 0:
		return nil, nil
	}
	p := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.room -= len(p.payload) + bufferOverhead
	if len(c.queue) > 0 {
		c.wake()
	}
	return p, nil
}

func (c *packetConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *packetConn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readDeadline, t) }
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeDeadline, t) }

func (c *packetConn) setDeadline(d *deadline.Deadline, t time.Time) error {
	select {
	case <-c.gone:
		return c.fail("set", nil, net.ErrClosed)
	default:
		d.Set(t)
		return nil
	}
}

func (c *packetConn) Close() error {
	mu := &c.host.network.mu
	mu.Lock()
	defer mu.Unlock()
	if c.closed {
		return c.fail("close", nil, net.ErrClosed)
	}
	c.closeLocked()
	return nil
}

func (c *packetConn) closeLocked() {
	c.closed, c.queue = true, nil
	close(c.gone)
	port := c.local.Port()
	c.host.packets[port] = slices.DeleteFunc(c.host.packets[port], func(other *packetConn) bool { return other == c })
	if len(c.host.packets[port]) == 0 {
		delete(c.host.packets, port)
	}
}

// fail returns err as package net spells it.
func (c *packetConn) fail(op string, to net.Addr, err error) error {
	e := &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: to, Err: err}
	if to == nil && c.remote.IsValid() {
		e.Addr = c.RemoteAddr()
	}
	return e
}
