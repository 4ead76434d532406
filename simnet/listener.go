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
)

const backlog = 128

// Listen binds a socket that accepts streams: network is "tcp", "tcp4" or
// "tcp6". Its backlog has room for 128 connections that are not accepted yet, and
// those that are still coming about do not count. While it is full, and nobody
// waits in Accept, who dials gets no answer, and tries again.
//
// Accept returns them in the order in which they came about. Close resets those
// not accepted yet. The listener has the method SetDeadline of a
// [net.TCPListener]. For what the streams promise see [Host.DialContext].
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	local, err := h.resolve(ctx, network, address, false)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	l, err := h.listen(network, local)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.TCPAddrFromAddrPort(local), Err: err}
	}
	return l, nil
}

func (h *Host) listen(network string, local netip.AddrPort) (*listener, error) {
	now := h.network.lock()
	defer h.network.unlock(now)
	ip := local.Addr()
	switch {
	case !h.up:
		return nil, os.NewSyscallError("bind", syscall.ENETDOWN)
	case !ip.IsUnspecified() && !h.hasIP(ip):
		return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	port, err := h.portLocked(tcp, local.Port(), func(port uint16) bool {
		if local.Port() == 0 && h.hasStreamLocked(port) {
			return false
		}
		return !slices.ContainsFunc(h.listeners[port], func(l *listener) bool {
			return overlap(network, ip, l.network, l.local.Addr())
		})
	})
	if err != nil {
		return nil, err
	}
	l := &listener{
		host:    h,
		network: network,
		local:   netip.AddrPortFrom(ip, port),
		arrived: make(chan struct{}, 1),
		gone:    make(chan struct{}),
	}
	h.listeners[port] = append(h.listeners[port], l)
	return l, nil
}

func (h *Host) hasStreamLocked(port uint16) bool {
	for e := range h.streams {
		if e.local.Port() == port {
			return true
		}
	}
	return false
}

// listenerLocked returns the listener at an address: nil, if there is none.
func (h *Host) listenerLocked(to netip.AddrPort) *listener {
	for _, l := range h.listeners[to.Port()] {
		if covers(l.network, l.local.Addr(), to.Addr()) {
			return l
		}
	}
	return nil
}

// answerLocked answers a SYN: by a SYN of a new stream, by a reset, or not at
// all.
func (h *Host) answerLocked(now time.Time, syn *segment) Fate {
	e := ends{syn.to, syn.from}
	switch s := h.streams[e]; {
	case s == nil:
	case s.peer == nil: // both dial; in TCP they would meet
		return syn.refuseLocked(now)
	case s.peer == syn.source || s.peer.hasPortLocked(): // a copy, or one of an earlier stream
		return Delivered
	default: // what s was connected to is no more, and its port is used again
		s.dieLocked(now, s.resetErrorLocked())
	}
	l := h.listenerLocked(syn.to)
	switch {
	case l == nil:
		return syn.refuseLocked(now)
	case l.isFullLocked():
		return Overflowed
	}
	s := h.newStreamLocked(now, l.network, e)
	s.listener = l
	l.half = append(l.half, s)
	s.receiveLocked(now, syn)
	return Delivered
}

// A listener is a net.Listener.
type listener struct {
	host    *Host
	network string
	local   netip.AddrPort

	deadline deadline.Deadline

	arrived chan struct{} // one slot: who accepts should look again
	gone    chan struct{} // closed with the listener

	// The network's mutex guards what follows.
	half    []*stream // in the handshake
	ready   []*stream // to be accepted
	waiting int       // calls of Accept
	closed  bool
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

func (l *listener) Accept() (net.Conn, error) {
	for waited := false; ; waited = true {
		s, err := l.take(waited)
		switch {
		case err != nil:
			return nil, l.fail("accept", err)
		case s != nil:
			return s, nil
		}
		select {
		case <-l.arrived:
		case <-l.gone:
		case <-l.deadline.Passed():
		}
	}
}

// take returns what is to be accepted: nil, if the caller has to wait.
func (l *listener) take(waited bool) (*stream, error) {
	now := l.host.network.lock()
	defer l.host.network.unlock(now)
	if waited {
		l.waiting--
	}
	switch {
	case l.closed:
		return nil, net.ErrClosed
	case l.deadline.HasPassed():
		return nil, os.ErrDeadlineExceeded
	case len(l.ready) == 0:
		l.waiting++
		return nil, nil
	}
	s := l.ready[0]
	l.ready = slices.Delete(l.ready, 0, 1)
	if len(l.ready) > 0 {
		wake(l.arrived)
	}
	return s, nil
}

func (l *listener) SetDeadline(t time.Time) error {
	l.host.network.mu.Lock()
	defer l.host.network.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.deadline.Set(t)
	return nil
}

func (l *listener) Close() error {
	now := l.host.network.lock()
	defer l.host.network.unlock(now)
	if l.closed {
		return l.fail("close", net.ErrClosed)
	}
	l.closeLocked()
	for _, s := range slices.Concat(l.ready, l.half) {
		s.resetLocked(now, nil)
	}
	return nil
}

func (l *listener) closeLocked() {
	l.closed = true
	l.deadline.Set(time.Time{})
	close(l.gone)
	port := l.local.Port()
	l.host.listeners[port] = slices.DeleteFunc(l.host.listeners[port], func(other *listener) bool { return other == l })
	if len(l.host.listeners[port]) == 0 {
		delete(l.host.listeners, port)
	}
}

// isFullLocked reports whether there is no room. Who waits in Accept makes some, but
// only after all that arrives at the same moment.
func (l *listener) isFullLocked() bool { return len(l.ready) >= backlog && l.waiting == 0 }

// settleLocked takes note that the handshake of s is over, well or not.
func (l *listener) settleLocked(s *stream) {
	l.half = slices.DeleteFunc(l.half, func(other *stream) bool { return other == s })
	if !s.dead {
		l.ready = append(l.ready, s)
		wake(l.arrived)
	}
}

// fail returns err as package net spells it.
func (l *listener) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: l.network, Addr: l.Addr(), Err: err}
}
