// Package endpoint reads, spells and compares the addresses of endpoints, and
// carries datagrams between them. An address that it gives out is never IPv4 in
// the clothes of IPv6.
package endpoint

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Split cuts an endpoint as people write it into its host, which may be empty,
// and its port: HOST:PORT, a port, or a host, whose port is 0. In NAME@HOST:PORT,
// where a layer is to find NAME, the host is NAME@HOST.
func Split(s string) (host string, port uint16, err error) {
	s = strings.TrimSpace(s)
	text, who := s, ""
	if name, rest, ok := strings.Cut(s, "@"); ok && name != "" && !strings.ContainsAny(name, ":/[") {
		text, who = rest, name+"@"
	}
	full := text
	_, notIP := netip.ParseAddr(text)
	switch {
	case isNumber(text):
		full = ":" + text
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		full = text + ":0"
	case notIP == nil || !strings.Contains(text, ":"):
		full = net.JoinHostPort(text, "0")
	}
	host, digits, err := net.SplitHostPort(full)
	if err != nil {
		return "", 0, fmt.Errorf("sockets: address %q: want HOST:PORT, as in localhost:8080 or [::1]:8080", s)
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("sockets: address %q: %q is not a port: ports are the numbers 0-65535", s, digits)
	}
	return who + host, uint16(n), nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(strings.TrimLeft(s, "+-"), "0123456789") == ""
}

// HostPort returns s in the spelling that package net and every Network
// understand, and its port.
func HostPort(s string) (address string, port uint16, err error) {
	host, port, err := Split(s)
	if err != nil {
		return "", 0, err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), port, nil
}

// Resolve returns the value of an endpoint as people write it. No host is
// 0.0.0.0. A host name is looked up by the network's method Resolve, if it has
// one, else by the operating system; IPv4 is preferred.
func Resolve(ctx context.Context, network any, s string) (netip.AddrPort, error) {
	host, port, err := Split(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), port), nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), port), nil
	}
	ips, err := LookUp(ctx, network, host)
	if err == nil && len(ips) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("sockets: address %q: %w", s, err)
	}
	first := max(0, slices.IndexFunc(ips, func(ip netip.Addr) bool { return ip.Unmap().Is4() }))
	return netip.AddrPortFrom(ips[first].Unmap(), port), nil
}

// LookUp returns the IP addresses of a host name: by the network's method
// Resolve, if it has one, else by the operating system.
func LookUp(ctx context.Context, network any, host string) ([]netip.Addr, error) {
	if r, ok := network.(interface {
		Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	}); ok {
		return r.Resolve(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Of returns the value of a, and the zero one if a has no IP and port.
func Of(a net.Addr) netip.AddrPort {
	var address netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		address = a.AddrPort()
	case *net.TCPAddr:
		address = a.AddrPort()
	case nil:
	default:
		address, _ = netip.ParseAddrPort(a.String())
	}
	return unmap(address)
}

// Ends are the addresses of a stream that may forget or change them. Nil Ends are
// those of a TCP connection, which remembers them itself.
type Ends struct{ local, remote netip.AddrPort }

// Keep returns the Ends of conn.
func Keep(conn net.Conn) *Ends {
	if _, ok := conn.(*net.TCPConn); ok {
		return nil
	}
	return &Ends{Of(conn.LocalAddr()), Of(conn.RemoteAddr())}
}

// Local returns the address of this end of conn, whose Ends are e.
func (e *Ends) Local(conn net.Conn) netip.AddrPort {
	if e == nil {
		return Of(conn.LocalAddr())
	}
	return e.local
}

// Remote returns the address of the other end of conn, whose Ends are e.
func (e *Ends) Remote(conn net.Conn) netip.AddrPort {
	if e == nil {
		return Of(conn.RemoteAddr())
	}
	return e.remote
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// IsComplete reports whether a has an IP address and a port.
func IsComplete(a netip.AddrPort) bool { return a.IsValid() && a.Port() != 0 }

// IsUnicast reports whether a is complete and one socket of one machine.
func IsUnicast(a netip.AddrPort) bool {
	ip := a.Addr()
	return IsComplete(a) && !ip.IsUnspecified() && !ip.IsMulticast() && ip != broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Site is what limits for an address count by. Of IPv6 that is the /64: who has
// one address there has 2^64. But a link's /64 has everybody on it, and that of
// NAT64 (RFC 6052) every IPv4 address.
func Site(ip netip.Addr) string {
	if ip.Is6() && !ip.IsLinkLocalUnicast() && !nat64.Contains(ip) {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// A Self is a bound socket, as its own address tells.
type Self struct {
	Address netip.AddrPort // with its real port
	IPs     []netip.Addr   // of the machine, if Address is every one of them
}

// Is reports whether a is this socket: what it is bound to or, where that is
// every address of the machine, one of those or loopback.
func (s Self) Is(a netip.AddrPort) bool {
	if a.Port() != s.Address.Port() {
		return false
	}
	ip := a.Addr().WithZone("")
	return a == s.Address || s.Address.Addr().IsUnspecified() && (ip.IsLoopback() || slices.Contains(s.IPs, ip))
}

// Destination returns the address to which a datagram of this socket for a
// goes: an unspecified host means this machine.
func (s Self) Destination(a netip.AddrPort) netip.AddrPort {
	a = unmap(a)
	if !a.Addr().IsUnspecified() {
		return a
	}
	if own := s.Address.Addr(); own.Is6() && !own.IsUnspecified() {
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
}
