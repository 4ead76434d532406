// Package system knows what differs from one operating system to another: the
// kernel's network, its addresses, and the meaning of its errors.
package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"

	psnet "github.com/shirou/gopsutil/v3/net"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Network is the kernel's network. Its ListenPacket joins the group when the
// address is one of multicast: on the interface that its zone names, else on
// every one that carries multicast.
type Network struct{}

func (Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}

func (Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (Network) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if group, err := netip.ParseAddrPort(address); err == nil && group.Addr().IsMulticast() {
		if err := joinGroup(conn, net.UDPAddrFromAddrPort(group)); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

func joinGroup(conn net.PacketConn, group *net.UDPAddr) error {
	join := ipv4.NewPacketConn(conn).JoinGroup
	if group.IP.To4() == nil {
		join = ipv6.NewPacketConn(conn).JoinGroup
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	joined := false
	err = errors.New("sockets: no network interface carries multicast")
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0 && (group.Zone == "" || group.Zone == i.Name) {
			err = join(&i, group)
			joined = joined || err == nil
		}
	}
	if joined {
		return nil
	}
	return err
}

// LocalIPs returns the addresses of the network interfaces, IPv4 first.
func LocalIPs() ([]netip.Addr, error) {
	interfaces, err := psnet.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("sockets: local addresses: %w", err)
	}
	var ips []netip.Addr
	for _, i := range interfaces {
		for _, address := range i.Addrs {
			if prefix, err := netip.ParsePrefix(address.Addr); err == nil {
				ips = append(ips, prefix.Addr().Unmap())
			}
		}
	}
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	return ips, nil
}

// LocalIPsOf returns the addresses that a network has: what its method LocalIPs
// returns, if it has one, else those of the machine.
func LocalIPsOf(network any) ([]netip.Addr, error) {
	if n, ok := network.(interface{ LocalIPs() ([]netip.Addr, error) }); ok {
		return n.LocalIPs()
	}
	return LocalIPs()
}

// is reports whether err is a system error, by its number on Unix or by the one
// that Windows has for it.
func is(err error, unix, windows syscall.Errno) bool {
	return errors.Is(err, unix) || runtime.GOOS == "windows" && errors.Is(err, windows)
}

// IsTooBig reports whether a datagram was longer than the system takes.
func IsTooBig(err error) bool { return is(err, syscall.EMSGSIZE, 10040) }

// retried are the errors of accepting that do not end the listener, by their
// numbers on Unix and on Windows. Linux also passes on, where it accepts, what
// the network has to say of the connection: accept(2) asks to go on.
var retried = []struct{ unix, windows syscall.Errno }{
	{syscall.ECONNABORTED, 10053},
	{syscall.ECONNRESET, 10054},
	{syscall.EMFILE, 10024},
	{syscall.ENOBUFS, 10055},
	{syscall.ENOMEM, syscall.ENOMEM},
	{syscall.EPROTO, syscall.EPROTO},
	{syscall.ENETDOWN, 10050},
	{syscall.ENETUNREACH, 10051},
	{syscall.EHOSTDOWN, 10064},
	{syscall.EHOSTUNREACH, 10065},
	{syscall.ENOPROTOOPT, 10042},
}

// IsTemporary reports whether accepting may succeed later: a connection was
// aborted, or lost its network, or the machine is short of something.
func IsTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	if errors.As(err, &temporary) && temporary.Temporary() {
		return true
	}
	for _, e := range retried {
		if is(err, e.unix, e.windows) {
			return true
		}
	}
	return false
}

// explained is an error in words that say what to do. It is also the error that
// portable programs look for.
type explained struct {
	text string
	err  error
	also error
}

func (e *explained) Error() string   { return e.text + ": " + e.err.Error() }
func (e *explained) Unwrap() []error { return []error{e.err, e.also} }

// ExplainBind says what to do about the error of binding a socket to port.
func ExplainBind(err error, port uint16) error {
	switch {
	case is(err, syscall.EADDRINUSE, 10048):
		return &explained{"sockets: another program uses this port: choose another one, or 0 for any", err, syscall.EADDRINUSE}
	case port > 0 && port < 1024 && is(err, syscall.EACCES, 10013):
		return &explained{"sockets: ports below 1024 may need the rights of an administrator", err, syscall.EACCES}
	}
	return err
}

// ExplainDial tells apart, as the slides do, why nobody could be reached.
func ExplainDial(err error, address string) error {
	var unknown *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case is(err, syscall.ECONNREFUSED, 10061):
		return &explained{"sockets: dial " + address + ": the machine answers, but no program accepts connections there", err, syscall.ECONNREFUSED}
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return fmt.Errorf("sockets: dial %s: there is no host of this name: %w", address, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return &explained{"sockets: dial " + address + ": no answer in time: the machine is off, or not reachable", err, os.ErrDeadlineExceeded}
	}
	return fmt.Errorf("sockets: dial %s: %w", address, err)
}
