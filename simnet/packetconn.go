package simnet

import (
	"errors"
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
	receiveBuffer  = 208 << 10
	bufferOverhead = 64 // what a datagram takes of the buffer beside its payload
)

// A packetConn is a datagram socket. It is a net.PacketConn and, if it was
// dialled, a net.Conn. Its methods may be called from many goroutines.
type packetConn struct {
	host          *Host
	network       string
	local, remote netip.AddrPort // remote: of one that was dialled
	group         netip.Addr     // that it has joined

	readDeadline, writeDeadline deadline.Deadline

	arrived chan struct{} // one slot: who reads should look again; closed with the socket

	// The network's mutex guards what follows.
	queue  []*packet
	read   int           // how many of queue, at its head, have been read
	room   int           // bytes of the receive buffer that are taken
	fault  syscall.Errno // of an earlier datagram, for the next call; 0: none
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
	switch {
	case !ok:
		return 0, c.fail("write", address, syscall.EINVAL)
	case c.remote.IsValid():
		return 0, c.fail("write", address, net.ErrWriteToConnected)
	case a == nil:
		return 0, c.fail("write", nil, errors.New("missing address"))
	}
	return c.send("sendto", payload, endpoint.Of(a))
}

func (c *packetConn) Write(payload []byte) (int, error) {
	if !c.remote.IsValid() {
		return 0, c.fail("write", nil, os.NewSyscallError("write", syscall.EDESTADDRREQ))
	}
	return c.send("write", payload, c.remote)
}

func (c *packetConn) send(call string, payload []byte, to netip.AddrPort) (int, error) {
	now := c.host.network.lock()
	defer c.host.network.unlock(now)
	if err := c.sendLocked(now, call, payload, to); err != nil {
		return 0, c.fail("write", net.UDPAddrFromAddrPort(to), err)
	}
	return len(payload), nil
}

func (c *packetConn) sendLocked(now time.Time, call string, payload []byte, to netip.AddrPort) error {
	var err error
	switch fault := c.fault; {
	case c.closed:
		return net.ErrClosed
	case c.writeDeadline.HasPassed():
		return os.ErrDeadlineExceeded
	case fault != 0:
		c.fault, err = 0, fault
	default:
		err = c.sendDatagramLocked(now, payload, to)
	}
	if number, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(call, number)
	}
	return err
}

// takeLocked puts a datagram that arrives into the receive buffer.
func (c *packetConn) takeLocked(p *packet) Fate {
	if c.room+len(p.payload)+bufferOverhead > receiveBuffer {
		return Overflowed
	}
	c.room += len(p.payload) + bufferOverhead
	c.queue = append(c.queue, p)
	c.wakeLocked()
	return Delivered
}

// wakeLocked makes who reads look again. The socket is open.
func (c *packetConn) wakeLocked() {
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

func (c *packetConn) ReadFrom(buffer []byte) (int, net.Addr, error) {
	p, err := c.receive("recvfrom")
	if err != nil {
		return 0, nil, err
	}
	return copy(buffer, p.payload), net.UDPAddrFromAddrPort(p.from), nil
}

func (c *packetConn) Read(buffer []byte) (int, error) {
	p, err := c.receive("read")
	if err != nil {
		return 0, err
	}
	return copy(buffer, p.payload), nil
}

func (c *packetConn) receive(call string) (*packet, error) {
	for {
		p, err := c.next(call, c.readDeadline.HasPassed())
		switch {
		case err != nil:
			return nil, c.fail("read", nil, err)
		case p != nil:
			return p, nil
		}
		select {
		case <-c.arrived:
		case <-c.readDeadline.Passed():
		}
	}
}

// next returns what a read returns at once: nothing, if it has to wait.
func (c *packetConn) next(call string, late bool) (*packet, error) {
	now := c.host.network.lock() // what is due finds the buffer as it was before this read
	defer c.host.network.unlock(now)
	var p *packet
	var err error
	switch fault := c.fault; {
	case c.closed:
		return nil, net.ErrClosed
	case late:
		return nil, os.ErrDeadlineExceeded
	case fault != 0:
		c.fault, err = 0, os.NewSyscallError(call, fault)
	case len(c.queue) > 0:
		p = c.queue[c.read]
		c.read++
		c.room -= len(p.payload) + bufferOverhead
		if c.read > len(c.queue)/2 {
			c.queue, c.read = slices.Delete(c.queue, 0, c.read), 0
		}
	}
	if len(c.queue) > 0 {
		c.wakeLocked() // somebody else: one wake may be for several datagrams
	}
	return p, err
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
	mu := &c.host.network.mu
	mu.Lock()
	defer mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "set", Net: c.network, Addr: c.LocalAddr(), Err: net.ErrClosed}
	}
	d.Set(t)
	return nil
}

func (c *packetConn) Close() error {
	now := c.host.network.lock()
	defer c.host.network.unlock(now)
	if c.closed {
		return c.fail("close", nil, net.ErrClosed)
	}
	c.closeLocked()
	return nil
}

func (c *packetConn) closeLocked() {
	c.closed, c.queue = true, nil
	close(c.arrived)
	c.readDeadline.Set(time.Time{})
	c.writeDeadline.Set(time.Time{})
	c.unbindLocked()
}

// fail returns err as package net spells it.
func (c *packetConn) fail(op string, to net.Addr, err error) error {
	e := &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: to, Err: err}
	if to == nil && c.remote.IsValid() {
		e.Addr = c.RemoteAddr()
	}
	return e
}
