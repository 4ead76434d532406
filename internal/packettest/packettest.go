// Package packettest holds packet connections to what a UDP socket does.
package packettest

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

// A Place is where the sockets of one row live: two machines, which may be one.
type Place struct {
	A, B     sockets.Network
	IPA, IPB string // to which sockets are bound there
	Longest  int    // bytes that a datagram carries; if zero, 65,507
}

// A row is one rule, and how it is seen to be kept.
type row struct {
	rule  string
	check func(t *testing.T, p Place)
}

// Run holds the packet connections of a place to the rules, each in a subtest.
// It leaves out the rules that begin with one of the words of without.
//
// For each rule it calls at, once, which calls check with a new place: in a
// bubble of package testing/synctest or not.
func Run(t *testing.T, at func(t *testing.T, check func(t *testing.T, p Place)), without ...string) {
	for _, word := range without {
		if !slices.ContainsFunc(rows, func(r row) bool { return strings.HasPrefix(r.rule, word) }) {
			t.Errorf("no rule begins with %q", word)
		}
	}
	for _, r := range rows {
		if slices.ContainsFunc(without, func(word string) bool { return strings.HasPrefix(r.rule, word) }) {
			continue
		}
		t.Run(r.rule, func(t *testing.T) {
			checked := false
			at(t, func(t *testing.T, p Place) {
				checked = true
				if p.Longest == 0 {
					p.Longest = 65507
				}
				r.check(t, p)
			})
			if !checked && !t.Skipped() {
				t.Error("nothing was checked")
			}
		})
	}
}

// patience is how long a row waits for what must come.
const patience = 10 * time.Second

// moment is how long a row waits for what must not come.
const moment = 20 * time.Millisecond

// listen binds a socket, which the end of the test closes.
func listen(t *testing.T, n sockets.Network, address string) net.PacketConn {
	t.Helper()
	c, err := n.ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pair binds a socket at each machine of the place.
func pair(t *testing.T, p Place) (a, b net.PacketConn) {
	t.Helper()
	return listen(t, p.A, net.JoinHostPort(p.IPA, "0")), listen(t, p.B, net.JoinHostPort(p.IPB, "0"))
}

// dial connects a socket of A to an address of B.
func dial(t *testing.T, p Place, to net.Addr) net.Conn {
	t.Helper()
	c, err := p.A.DialContext(t.Context(), "udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.PacketConn, payload string, to net.Addr) {
	t.Helper()
	if n, err := c.WriteTo([]byte(payload), to); n != len(payload) || err != nil {
		t.Fatalf("WriteTo(%.20q, %v) = %d, %v, want %d", payload, to, n, err, len(payload))
	}
}

// want receives one datagram, which is payload, and from from if that is not
// nil.
func want(t *testing.T, c net.PacketConn, payload string, from net.Addr) {
	t.Helper()
	buffer := make([]byte, len(payload)+1)
	c.SetReadDeadline(time.Now().Add(patience))
	n, sender, err := c.ReadFrom(buffer)
	c.SetReadDeadline(time.Time{})
	if err != nil || string(buffer[:n]) != payload {
		t.Fatalf("ReadFrom() = %.20q, %v, want %.20q", buffer[:n], err, payload)
	}
	if _, ok := sender.(*net.UDPAddr); !ok || from != nil && sender.String() != from.String() {
		t.Fatalf("ReadFrom() from %T %v, want %v", sender, sender, from)
	}
}

// wantNothing receives nothing for a moment.
func wantNothing(t *testing.T, c net.PacketConn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(moment))
	n, from, err := c.ReadFrom(make([]byte, 100))
	c.SetReadDeadline(time.Time{})
	if err == nil {
		t.Fatalf("ReadFrom() = %d bytes from %v, want nothing", n, from)
	}
	wantTimeout(t, "ReadFrom", err)
}

func wantTimeout(t *testing.T, call string, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s: %v, want the error of a deadline", call, err)
	}
}

func wantClosed(t *testing.T, call string, err error) {
	t.Helper()
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("%s on a closed socket: %v, want net.ErrClosed", call, err)
	}
}
