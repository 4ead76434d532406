package endpoint

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	maxDatagram = 65507 // bytes: 65,535 less the headers of IPv4 and UDP
	maxReceived = 65527 // IPv6 does not count its own header
)

// A Socket is a packet connection that speaks of addresses as values. Many
// goroutines may use it at once, but for Receive.
type Socket struct {
	net.PacketConn
	Limit int // bytes of a datagram that it sends

	udp   *net.UDPConn // PacketConn, if it is the kernel's
	trier trier        // PacketConn, if sending there may have to wait
	fast  fast         // a better way than udp, if there is one

	// Of the goroutine that receives.
	buffer []byte
	again  bool

	bounded atomic.Bool // there is a deadline for receiving
	closed  atomic.Bool // Close was called
}

type trier interface {
	TryWriteTo(payload []byte, to net.Addr) (int, error)
}

// A fast is what a system has for many datagrams at once. What it sends may be
// less than it is given, and nothing: then the first one goes the ordinary way,
// which also tells the error.
type fast interface {
	sendAll(payload []byte, peers []netip.AddrPort) (sent int)
	sendRun(payloads [][]byte, to netip.AddrPort) (sent int)
	release()
	receive(careful bool) (payload []byte, sender netip.AddrPort, again bool, err error)
}

// NewSocket returns a socket over conn. Its limit is what conn's method
// MaxDatagram returns, and 65,507 bytes if it has none.
func NewSocket(conn net.PacketConn) *Socket {
	s := &Socket{PacketConn: conn, Limit: maxDatagram}
	if s.udp, _ = conn.(*net.UDPConn); s.udp != nil {
		s.fast = newFast(s.udp)
	}
	s.trier, _ = conn.(trier)
	if c, ok := conn.(interface{ MaxDatagram() int }); ok {
		s.Limit = c.MaxDatagram()
	}
	return s
}

// Send sends payload as one datagram.
func (s *Socket) Send(payload []byte, to netip.AddrPort) (err error) {
	if s.udp != nil {
		_, err = s.udp.WriteToUDPAddrPort(payload, to)
	} else {
		_, err = s.WriteTo(payload, net.UDPAddrFromAddrPort(to))
	}
	return err
}

// TrySend is Send, but gives an error where that would wait.
func (s *Socket) TrySend(payload []byte, to netip.AddrPort) error {
	if s.trier == nil {
		return s.Send(payload, to)
	}
	_, err := s.trier.TryWriteTo(payload, net.UDPAddrFromAddrPort(to))
	return err
}

// SendAll sends payload to each of the peers in turn, as TrySend does, until one
// gives an error. It returns to how many it was sent.
func (s *Socket) SendAll(payload []byte, peers []netip.AddrPort) (sent int, err error) {
	for sent < len(peers) {
		n := 0
		if s.fast != nil {
			n = s.fast.sendAll(payload, peers[sent:])
		}
		if n == 0 {
			if err := s.TrySend(payload, peers[sent]); err != nil {
				return sent, err
			}
			n = 1
		}
		sent += n
	}
	return sent, nil
}

// SendRun sends each of payloads as one datagram, in order, until one gives an
// error. It returns how many were sent.
func (s *Socket) SendRun(payloads [][]byte, to netip.AddrPort) (sent int, err error) {
	for sent < len(payloads) {
		n := 0
		if s.fast != nil {
			n = s.fast.sendRun(payloads[sent:], to)
		}
		if n == 0 {
			if err := s.Send(payloads[sent], to); err != nil {
				return sent, err
			}
			n = 1
		}
		sent += n
	}
	return sent, nil
}

// SetReadDeadline bounds Receive, as that of a [net.PacketConn] does.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.bounded.Store(!t.IsZero())
	return s.PacketConn.SetReadDeadline(t)
}

// SetDeadline bounds Receive, and sending where that may wait.
func (s *Socket) SetDeadline(t time.Time) error {
	s.bounded.Store(!t.IsZero())
	return s.PacketConn.SetDeadline(t)
}

// Close closes the packet connection. Nothing is received any more.
func (s *Socket) Close() error {
	s.closed.Store(true)
	return s.PacketConn.Close()
}

// Receive returns the next datagram, whole, and its sender. The payload is good
// until the next call. An error may come with the peer that it concerns.
func (s *Socket) Receive() (payload []byte, sender netip.AddrPort, err error) {
	if s.fast != nil {
		payload, sender, s.again, err = s.fast.receive(s.bounded.Load() || s.closed.Load())
		return payload, sender, err
	}
	if s.buffer == nil {
		s.buffer = make([]byte, max(s.Limit, maxReceived))
	}
	var n int
	if s.udp != nil {
		n, sender, err = s.udp.ReadFromUDPAddrPort(s.buffer)
		sender = unmap(sender)
	} else {
		var from net.Addr
		n, from, err = s.ReadFrom(s.buffer)
		sender = Of(from)
	}
	if err != nil {
		return nil, sender, err
	}
	return s.buffer[:n:n], sender, nil
}

// Release ends the life of the payload that Receive returned last: who may not
// call Receive again for long keeps no memory.
func (s *Socket) Release() {
	if s.fast != nil {
		s.fast.release()
	}
}

// Again reports whether what Receive returned last had arrived when it returned
// the one before, from the same sender.
func (s *Socket) Again() bool { return s.again }
