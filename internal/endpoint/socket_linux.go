//go:build linux && !plain

package endpoint

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A kernel is the fast way of a UDP socket: a system call for many datagrams, not
// for each, which package net makes with a lock and a look at its poller besides.
//
//   - SendAll gives up to 64 messages to one sendmmsg: 1.3 times the rate of a loop.
//   - SendRun lays datagrams of equal length end to end, and the kernel cuts them
//     apart again as late as it can (UDP_SEGMENT): 25 times and more where the
//     receiver takes runs whole, as a Peer does; about 5 where it does not.
//   - Receive takes up to 16 messages from one recvmmsg, each of them a datagram or
//     such a run, whole (UDP_GRO), and gives them out one by one: 1.14 times if
//     they are lent, 1.0 if not. Their memory is borrowed while something is there,
//     so who waits needs none.
//
// The figures are of 100 bytes, over loopback.
type kernel struct {
	udp    *net.UDPConn
	raw    syscall.RawConn
	family uint16

	longest atomic.Int32 // bytes of a segment that no path was seen to refuse, 0 if there are none

	// Of the goroutine that receives.
	in    *incoming // nil while nothing is there
	read  func(fd uintptr) bool
	errno syscall.Errno
}

func newFast(udp *net.UDPConn) fast {
	raw, err := udp.SyscallConn()
	if err != nil || udp.RemoteAddr() != nil {
		return nil
	}
	k := &kernel{udp: udp, raw: raw}
	k.read = k.readFrom
	var missing syscall.Errno // a sandbox, or an emulation of Linux, may not have it
	err = raw.Control(func(fd uintptr) {
		domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		k.family = uint16(domain)
		if _, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT); err == nil {
			k.longest.Store(maxDatagram)
		}
		if _, _, missing = syscall.Syscall6(unix.SYS_RECVMMSG, fd, 0, 0, unix.MSG_DONTWAIT, 0, 0); missing == 0 {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		}
	})
	if err != nil || missing != 0 {
		return nil
	}
	return k
}

// A message is C's struct mmsghdr.
type message struct {
	unix.Msghdr
	n uint32 // bytes that were received
}

// A name is C's struct sockaddr_in or sockaddr_in6.
type name [unix.SizeofSockaddrInet6]byte

// set reports whether a socket of that family can send to a without looking up
// its zone.
func (n *name) set(family uint16, a netip.AddrPort) bool {
	*n = name{}
	binary.NativeEndian.PutUint16(n[:], family)
	binary.BigEndian.PutUint16(n[2:], a.Port())
	switch ip := a.Addr(); {
	case family == unix.AF_INET && ip.Is4():
		*(*[4]byte)(n[4:]) = ip.As4()
	case family == unix.AF_INET6 && ip.IsValid() && ip.Zone() == "":
		*(*[16]byte)(n[8:]) = ip.As16()
	default:
		return false
	}
	return true
}

// address returns what n says. The socket, whichever, tells the zone.
func (n *name) address(fd uintptr) netip.AddrPort {
	port := binary.BigEndian.Uint16(n[2:])
	switch binary.NativeEndian.Uint16(n[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4(*(*[4]byte)(n[4:])), port)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(*(*[16]byte)(n[8:])).Unmap()
		if scope := binary.NativeEndian.Uint32(n[24:]); scope != 0 {
			ip = ip.WithZone(zone(fd, scope))
		}
		return netip.AddrPortFrom(ip, port)
	}
	return netip.AddrPort{}
}

// zone returns the name of a network interface, and its number if it has none.
func zone(fd uintptr, scope uint32) string {
	request, err := unix.NewIfreq("")
	if err == nil {
		request.SetUint32(scope)
		err = unix.IoctlIfreq(int(fd), unix.SIOCGIFNAME, request)
	}
	if err != nil {
		return strconv.FormatUint(uint64(scope), 10)
	}
	return request.Name()
}
