package simnet_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

// A socket is a datagram socket of a test in a bubble.
type socket struct {
	net.PacketConn
	t testing.TB
}

// bindSocket binds a socket, which the end of the test closes.
func bindSocket(t testing.TB, h *simnet.Host, address string) socket {
	t.Helper()
	c, err := h.ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return socket{c, t}
}

// sendTo sends a datagram.
func (s socket) sendTo(payload string, to netip.AddrPort) {
	s.t.Helper()
	if _, err := s.WriteTo([]byte(payload), net.UDPAddrFromAddrPort(to)); err != nil {
		s.t.Errorf("WriteTo(%.20q, %v): %v", payload, to, err)
	}
}

// A datagram is what a socket received.
type datagram struct {
	payload string
	from    netip.AddrPort
	after   time.Duration // since waitFor was called
}

// waitFor returns what arrives within a time, which passes.
func (s socket) waitFor(d time.Duration) []datagram {
	s.t.Helper()
	var got []datagram
	start := time.Now()
	buffer := make([]byte, 65536)
	s.SetReadDeadline(start.Add(d))
	for {
		n, from, err := s.ReadFrom(buffer)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				s.t.Errorf("ReadFrom: %v", err)
			}
			s.SetReadDeadline(time.Time{})
			return got
		}
		got = append(got, datagram{string(buffer[:n]), from.(*net.UDPAddr).AddrPort(), time.Since(start)})
	}
}

// payloads returns the payloads of what arrives within a time.
func (s socket) payloads(d time.Duration) []string {
	s.t.Helper()
	var got []string
	for _, d := range s.waitFor(d) {
		got = append(got, d.payload)
	}
	return got
}

// came returns how many copies of packets have come to their end.
func came(c simnet.Counters) int64 {
	return c.Delivered + c.Lost + c.Dropped + c.Parted + c.TooBig + c.Refused + c.Overflowed
}
