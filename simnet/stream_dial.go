package simnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// DialContext connects to an address: by a stream for "tcp", "tcp4" and "tcp6",
// and for "udp", "udp4" and "udp6" by a datagram socket that sends to that
// address, and receives from it only.
//
// A stream does what TCP does on Linux, as far as a program can see:
//
//   - Where nobody listens, the error is [syscall.ECONNREFUSED]. Where nobody
//     answers, it tries again after 1, 3, 7, 15, 31 and 63 seconds, and gives up
//     after 127 with [syscall.ETIMEDOUT], or when ctx ends.
//   - Each end has a send and a receive buffer of 64 KiB: Write waits while both
//     are full. No more than 64 KiB, and 512 packets, are under way at once.
//   - What gets lost is sent again, as soon as later packets have arrived, or else
//     after 200 milliseconds and a round trip, and then twice as long each time, up
//     to 2 minutes. After a quarter of an hour without any progress (924.6 seconds)
//     it gives up: [syscall.ETIMEDOUT].
//   - Where the other end is no more, or one direction of the way is cut, held or
//     loses all, an idle stream asks for a sign of life, 15 seconds after the last
//     one, and gives up when it has done so 9 times in vain. Elsewhere the answer
//     is certain, and it does not ask: in a bubble, [testing/synctest] reports ends
//     that wait for each other as a deadlock.
//   - One that was closed here forgets the other end if that is not closed within
//     60 seconds of knowing it.
//   - CloseWrite ends what this end sends. Close does too, and sends what was
//     written all the same; but it resets the stream if there is unread input, and
//     so does input that comes later.
//   - After a reset one call returns [syscall.ECONNRESET]; then Read returns
//     [io.EOF], and Write [syscall.EPIPE].
//
// There is no control of congestion: a sender is as fast as the buffers let it.
// The connection has the methods CloseRead, CloseWrite and SetLinger of a
// [net.TCPConn], too. Where [Link.Slice] is set, a Read returns at most one slice.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dial := h.dialTCP
	switch network {
	case "tcp", "tcp4", "tcp6":
	case "udp", "udp4", "udp6":
		dial = h.dialUDP
	default:
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	if address == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("missing address")}
	}
	return dial(ctx, network, address)
}

func (h *Host) dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	failure := &net.OpError{Op: "dial", Net: network}
	remote, err := h.resolve(ctx, network, address, true)
	if err != nil {
		failure.Err = err
		return nil, failure
	}
	failure.Addr = net.TCPAddrFromAddrPort(remote)
	s, err := h.connect(network, remote)
	if err != nil {
		failure.Err = err
		return nil, failure
	}
	select {
	case <-s.settled:
	case <-ctx.Done():
	}
	now := h.network.lock()
	defer h.network.unlock(now)
	if s.out.acked >= 0 {
		return s, nil
	}
	switch {
	case s.closed:
		failure.Err = net.ErrClosed
	case s.dead:
		failure.Err = os.NewSyscallError("connect", s.fault)
	default:
		failure.Err = contextError(ctx.Err())
		s.dieLocked(now, nil)
	}
	return nil, failure
}

// connect makes a stream and sends its SYN.
func (h *Host) connect(network string, remote netip.AddrPort) (*stream, error) {
	source, err := h.source(remote.Addr())
	if ip := remote.Addr(); err != nil || ip.IsMulticast() || ip == broadcast {
		return nil, os.NewSyscallError("connect", syscall.ENETUNREACH)
	}
	now := h.network.lock()
	defer h.network.unlock(now)
	if !h.up {
		return nil, os.NewSyscallError("connect", syscall.ENETDOWN)
	}
	port, err := h.portLocked(tcp, 0, func(port uint16) bool {
		local := netip.AddrPortFrom(source, port)
		return local != remote && len(h.listeners[port]) == 0 && h.streams[ends{local, remote}] == nil
	})
	if err != nil {
		return nil, err
	}
	s := h.newStreamLocked(now, network, ends{netip.AddrPortFrom(source, port), remote})
	s.flushLocked(now)
	return s, nil
}

// contextError spells the end of a context as package net does.
func contextError(err error) error {
	switch err {
	case context.DeadlineExceeded:
		return timeoutError{}
	case context.Canceled:
		return canceledError{}
	}
	return err
}

type timeoutError struct{}

func (timeoutError) Error() string     { return "i/o timeout" }
func (timeoutError) Timeout() bool     { return true }
func (timeoutError) Temporary() bool   { return true }
func (timeoutError) Is(err error) bool { return err == context.DeadlineExceeded }

type canceledError struct{}

func (canceledError) Error() string     { return "operation was canceled" }
func (canceledError) Is(err error) bool { return err == context.Canceled }
