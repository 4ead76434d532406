package endpoint

import (
	"net"
	"net/netip"
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

	udp    *net.UDPConn // PacketConn, if it is the kernel's
	trier  trier        // PacketConn, if sending there may have to wait
	buffer []byte       // of Receive
}

type trier interface {
	TryWriteTo(payload []byte, to net.Addr) (int, error)
}

// NewSocket returns a socket over conn. Its limit is what conn's method
// MaxDatagram returns, and 65,507 bytes if it has none.
func NewSocket(conn net.PacketConn) *Socket {
	s := &Socket{PacketConn: conn, Limit: maxDatagram}
	s.udp, _ = conn.(*net.UDPConn)
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

// Receive returns the next datagram, whole, and its sender. The payload is good
// until the next call. An error may come with the peer that it concerns.
func (s *Socket) Receive() (payload []byte, sender netip.AddrPort, err error) {
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
