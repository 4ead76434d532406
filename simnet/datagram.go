package simnet

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

const maxDatagram = 65507 // bytes

// ListenPacket binds a datagram socket: network is "udp", "udp4" or "udp6". On a
// multicast address it joins the group, and is bound to the port at all
// addresses, which it may share with others that join a group. The socket's
// receive buffer is 208 KiB, of which each datagram takes 64 bytes beside its
// payload; what finds no room is dropped.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	local, err := h.resolveUDP(ctx, network, address, false)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	c, err := h.bind(network, local, netip.AddrPort{})
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.UDPAddrFromAddrPort(local), Err: err}
	}
	return c, nil
}

func (h *Host) dialUDP(ctx context.Context, network, address string) (net.Conn, error) {
	remote, err := h.resolveUDP(ctx, network, address, true)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.UDPAddrFromAddrPort(remote), Err: err}
	}
	source, err := h.source(remote.Addr())
	if err != nil {
		return fail(os.NewSyscallError("connect", err))
	}
	c, err := h.bind(network, netip.AddrPortFrom(source, 0), remote)
	if err != nil {
		return fail(err)
	}
	return c, nil
}

func (h *Host) resolveUDP(ctx context.Context, network, address string, dial bool) (netip.AddrPort, error) {
	if network != "udp" && network != "udp4" && network != "udp6" {
		return netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	return h.resolve(ctx, network, address, dial)
}

func (h *Host) bind(network string, local, remote netip.AddrPort) (*packetConn, error) {
	now := h.network.lock()
	defer h.network.unlock(now)
	ip := local.Addr()
	var group netip.Addr
	switch {
	case !h.up:
		return nil, os.NewSyscallError("bind", syscall.ENETDOWN)
	case ip.IsMulticast() && ip.Is4():
		group, ip = ip, netip.IPv4Unspecified()
	case ip.IsMulticast():
		group, ip = ip, netip.IPv6Unspecified()
	case !ip.IsUnspecified() && !h.hasIP(ip):
		return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	port, err := h.portLocked(udp, local.Port(), func(port uint16) bool {
		return !slices.ContainsFunc(h.packets[port], func(c *packetConn) bool {
			return overlap(network, ip, c.network, c.local.Addr()) && !(group.IsValid() && c.group.IsValid())
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
		group:   group,
		arrived: make(chan struct{}, 1),
	}
	h.packets[port] = append(h.packets[port], c)
	return c, nil
}

// unbindLocked undoes bind.
func (c *packetConn) unbindLocked() {
	port := c.local.Port()
	c.host.packets[port] = slices.DeleteFunc(c.host.packets[port], func(other *packetConn) bool { return other == c })
	if len(c.host.packets[port]) == 0 {
		delete(c.host.packets, port)
	}
}

// sendDatagramLocked sends a datagram to whoever is behind the address to. The
// error is a system call's, or one of the address.
func (c *packetConn) sendDatagramLocked(now time.Time, payload []byte, to netip.AddrPort) error {
	h := c.host
	ip := h.thisMachine(cmp.Or(to.Addr().WithZone(""), netip.IPv4Unspecified()))
	own := c.local.Addr()
	switch {
	case len(payload) > maxDatagram:
		return syscall.EMSGSIZE
	case to.Port() == 0, own.IsLoopback() && !h.hasIP(ip):
		return syscall.EINVAL
	case ip.Is6() && (own.Is4() || c.network == "udp4"):
		return &net.AddrError{Err: "non-IPv4 address", Addr: ip.String()}
	case ip.Is4() && (own.Is6() && !own.IsUnspecified() || c.network == "udp6"):
		return &net.AddrError{Err: "non-IPv6 address", Addr: ip.String()}
	case own.IsUnspecified():
		var err error
		if own, err = h.source(ip); err != nil {
			return err
		}
	}
	p := &packet{
		protocol: udp,
		from:     netip.AddrPortFrom(own, c.local.Port()),
		to:       netip.AddrPortFrom(ip, to.Port()),
		payload:  slices.Clone(payload),
		arrive:   arriveDatagram,
	}
	if toMany(ip) {
		for _, receiver := range h.network.hosts {
			if receiver.wantsLocked(p.to) {
				each := *p
				each.receiver = receiver
				h.network.sendLocked(now, h, &each)
			}
		}
		return nil
	}
	if p.receiver = h.hostLocked(ip); p.receiver == nil {
		h.network.seeLocked(now, p, Sent)
		h.network.seeLocked(now, p, Parted)
		return nil
	}
	h.network.sendLocked(now, h, p)
	return nil
}

func toMany(ip netip.Addr) bool { return ip.IsMulticast() || ip == broadcast }

// wantsLocked reports whether a socket of h receives what is sent to a group or
// to all.
func (h *Host) wantsLocked(to netip.AddrPort) bool {
	return slices.ContainsFunc(h.packets[to.Port()], func(c *packetConn) bool { return c.wants(to.Addr()) })
}

func (c *packetConn) wants(ip netip.Addr) bool {
	return c.group == ip || ip == broadcast && c.local.Addr().IsUnspecified() && covers(c.network, c.local.Addr(), ip)
}

// arriveDatagram gives a datagram to the socket that it is for, or to all those
// that want what is for many.
func arriveDatagram(now time.Time, p *packet) Fate {
	h := p.receiver
	if toMany(p.to.Addr()) {
		fate := Refused
		for _, c := range h.packets[p.to.Port()] {
			if !c.wants(p.to.Addr()) {
				continue
			}
			if taken := c.takeLocked(p); fate != Delivered {
				fate = taken
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

// receiverLocked returns the socket to which a datagram goes: a connected one
// before one that is bound to the address, before one that is bound to all; of
// those that share a port, the one that was bound last.
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
			(best == nil || rank(c) >= rank(best)) {
			best = c
		}
	}
	return best
}

// refuseLocked tells the sender of a datagram that nobody has the port, after
// the Delay of the way back, if that is open. As in the kernel, only a socket
// that was dialled gets to know.
func (n *Network) refuseLocked(now time.Time, p *packet) {
	sender := p.receiver.hostLocked(p.from.Addr())
	back := n.laneLocked(p.receiver, sender)
	answer := func(time.Time) {
		c := sender.receiverLocked(p.to, p.from)
		if c == nil || !c.remote.IsValid() || back.hold || n.isCutLocked(back) {
			return
		}
		c.fault = syscall.ECONNREFUSED
		c.wakeLocked()
	}
	if back.link.Delay > 0 {
		n.atLocked(now.Add(back.link.Delay), order{p.flow, p.number, 2}, answer)
		return
	}
	answer(now)
}
