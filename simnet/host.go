package simnet

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	firstEphemeral = 49152 // as RFC 6335 has it
	lastPort       = 65535
)

// A Host is a machine of a [Network]. It is a Network of package sockets: what
// binds, listens and dials there has the host's addresses. Its loopback
// addresses are its own. Its methods may be called from many goroutines.
type Host struct {
	network *Network
	number  int
	ips     []netip.Addr // never changed

	// The network's mutex guards what follows.
	up        bool
	packets   map[uint16][]*packetConn // by port
	listeners map[uint16][]*listener   // by port
	streams   map[ends]*stream         // until they have ended
	used      [2]int                   // by protocol, the ephemeral port to try next, less the first
}

// Addr returns the host's first IP address.
func (h *Host) Addr() netip.Addr { return h.ips[0] }

// AddrPort returns the endpoint of a port at the host's first IP address.
func (h *Host) AddrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.ips[0], port) }

// LocalIPs returns the addresses of the host and those of loopback, IPv4 first.
func (h *Host) LocalIPs() ([]netip.Addr, error) {
	ips := append([]netip.Addr{loopback4, netip.IPv6Loopback()}, h.ips...)
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return ips, nil
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Resolve returns the IP addresses of the host of a name, which may be localhost.
// Nothing is asked outside the simulated network.
func (h *Host) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.EqualFold(host, "localhost") {
		return []netip.Addr{loopback4, netip.IPv6Loopback()}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if named := h.network.byName[strings.ToLower(host)]; named != nil {
		return slices.Clone(named.ips), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Crash takes the host down: its sockets vanish without a goodbye, calls that
// wait on them return [net.ErrClosed], and what is sent to it gets lost.
func (h *Host) Crash() {
	now := h.network.lock()
	defer h.network.unlock(now)
	h.up = false
	for _, conns := range h.packets {
		for _, c := range slices.Clone(conns) {
			c.closeLocked()
		}
	}
	for _, listeners := range h.listeners {
		for _, l := range slices.Clone(listeners) {
			l.closeLocked()
		}
	}
	for _, s := range h.streams {
		s.vanishLocked(now)
	}
}

// Restart brings the host up again, without sockets.
func (h *Host) Restart() {
	now := h.network.lock()
	defer h.network.unlock(now)
	h.up = true
}

// resolve returns the endpoint of an address for a network such as "udp4". No
// host is the unspecified address or, where the call is to dial, loopback. As in
// package net, an unspecified address serves IPv4 and IPv6 unless the network is
// for one of them; and of the addresses of a name, one of IPv4 comes first.
func (h *Host) resolve(ctx context.Context, network, address string, dial bool) (netip.AddrPort, error) {
	if err := ctx.Err(); err != nil {
		return netip.AddrPort{}, contextError(err)
	}
	if address == "" && !dial {
		address = ":"
	}
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(cmp.Or(digits, "0"), 10, 16)
	if err != nil {
		return netip.AddrPort{}, &net.AddrError{Err: "invalid port", Addr: digits}
	}
	ips := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	if host != "" {
		if ips, err = h.Resolve(ctx, host); err != nil {
			return netip.AddrPort{}, contextError(err)
		}
	}
	only4, only6 := strings.HasSuffix(network, "4"), strings.HasSuffix(network, "6")
	ips = slices.DeleteFunc(ips, func(ip netip.Addr) bool { return only4 && !ip.Is4() || only6 && ip.Is4() })
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	if len(ips) == 0 {
		return netip.AddrPort{}, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	ip := ips[0].WithZone("")
	switch {
	case dial:
		reachable := slices.IndexFunc(ips, func(ip netip.Addr) bool {
			_, err := h.source(ip)
			return err == nil
		})
		ip = h.thisMachine(ips[max(0, reachable)].WithZone(""))
	case ip.IsUnspecified() && !only4:
		ip = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// thisMachine returns the address that a destination means: loopback, if it is
// unspecified.
func (h *Host) thisMachine(ip netip.Addr) netip.Addr {
	switch {
	case !ip.IsUnspecified():
		return ip
	case ip.Is4():
		return loopback4
	}
	return netip.IPv6Loopback()
}

// hasIP reports whether ip is one of the host's own, loopback included.
func (h *Host) hasIP(ip netip.Addr) bool { return ip.IsLoopback() || slices.Contains(h.ips, ip) }

// hostLocked returns who has ip, as h sees it; nil if nobody has.
func (h *Host) hostLocked(ip netip.Addr) *Host {
	if ip.IsLoopback() {
		return h
	}
	return h.network.byIP[ip]
}

// source returns the address from which h sends to a destination. The error is
// a syscall.Errno.
func (h *Host) source(to netip.Addr) (netip.Addr, error) {
	if h.hasIP(to) {
		return to, nil
	}
	for _, ip := range h.ips {
		if ip.Is4() == to.Is4() {
			return ip, nil
		}
	}
	return netip.Addr{}, syscall.ENETUNREACH
}

// covers reports whether a socket bound to local receives what is sent to ip.
func covers(network string, local, ip netip.Addr) bool {
	if !local.IsUnspecified() {
		return local == ip
	}
	if local.Is4() {
		return ip.Is4()
	}
	return ip.Is6() || !strings.HasSuffix(network, "6")
}

// overlap reports whether two sockets cannot have the same port.
func overlap(network1 string, local1 netip.Addr, network2 string, local2 netip.Addr) bool {
	return local1 == local2 || covers(network1, local1, local2) || covers(network2, local2, local1)
}

// portLocked returns the port that a socket gets: the one asked for, or a free
// one for 0, if isFree says so.
func (h *Host) portLocked(p protocol, asked uint16, isFree func(port uint16) bool) (uint16, error) {
	if asked != 0 {
		if isFree(asked) {
			return asked, nil
		}
		return 0, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	const ports = lastPort - firstEphemeral + 1
	for range ports {
		port := uint16(firstEphemeral + h.used[p])
		h.used[p] = (h.used[p] + 1) % ports
		if isFree(port) {
			return port, nil
		}
	}
	return 0, os.NewSyscallError("bind", syscall.EADDRINUSE)
}
