package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

func TestHostsHaveAddressesAndNames(t *testing.T) {
	n := simnet.New(1)
	n.Host("10.0.0.2", "taken")
	n.Host("::ffff:10.0.0.3")
	first, third := n.Host("Alice", "www.alice.example"), n.Host()
	both := n.Host("fd00::1", "192.0.2.1", "bob")
	for _, test := range []struct {
		got  fmt.Stringer
		want string
	}{
		{first.Addr(), "10.0.0.1"},
		{third.Addr(), "10.0.0.4"},
		{both.Addr(), "fd00::1"},
		{both.AddrPort(80), "[fd00::1]:80"},
	} {
		if test.got.String() != test.want {
			t.Errorf("got %v, want %s", test.got, test.want)
		}
	}
	if ips, err := both.LocalIPs(); fmt.Sprint(ips, err) != "[127.0.0.1 192.0.2.1 ::1 fd00::1] <nil>" {
		t.Errorf("LocalIPs() = %v, %v", ips, err)
	}
	for name, want := range map[string]string{
		"alice":             "[10.0.0.1] <nil>",
		"ALICE":             "[10.0.0.1] <nil>",
		"www.alice.example": "[10.0.0.1] <nil>",
		"bob":               "[fd00::1 192.0.2.1] <nil>",
		"localhost":         "[127.0.0.1 ::1] <nil>",
		"10.0.0.99":         "[10.0.0.99] <nil>",
		"carol":             "[] lookup carol: no such host",
	} {
		if ips, err := third.Resolve(t.Context(), name); fmt.Sprint(ips, err) != want {
			t.Errorf("Resolve(%s) = %v, %v, want %s", name, ips, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := third.Resolve(ctx, "alice"); err != context.Canceled {
		t.Errorf("Resolve with a context that has ended: %v", err)
	}
	if _, err := third.ListenPacket(ctx, "udp", ":0"); !errors.Is(err, context.Canceled) {
		t.Errorf("ListenPacket with a context that has ended: %v", err)
	}
	if _, err := third.DialContext(ctx, "udp", "alice:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("DialContext with a context that has ended: %v", err)
	}
}

func TestHostPanics(t *testing.T) {
	const exists, impossible = "exists already", "neither a name nor an address"
	for s, want := range map[string]string{
		"10.0.0.1": exists, "::ffff:10.0.0.1": exists, "alice": exists, "Alice": exists,
		"": impossible, "localhost": impossible, "alice:80": impossible, "10.0.0.0/8": impossible, "two words": impossible,
		"0.0.0.0": impossible, "::": impossible, "127.0.0.1": impossible, "::1": impossible, "224.0.0.1": impossible,
		"ff02::1": impossible, "255.255.255.255": impossible, "fe80::1%eth0": impossible,
	} {
		n := simnet.New(1)
		n.Host("alice")
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, want) || !strings.Contains(said, fmt.Sprintf("%q", s)) {
					t.Errorf("Host(%q) panics with %s, want that it %s", s, said, want)
				}
			}()
			n.Host(s)
		}()
	}
}

// A socket of one protocol takes no port from the other, whose flows stay as
// they were.
func TestEphemeralPortsOfAProtocol(t *testing.T) {
	h := simnet.New(1).Host()
	for i := range 3 {
		want := fmt.Sprint(49152 + i)
		conn, err := h.ListenPacket(t.Context(), "udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		listener, err := h.Listen(t.Context(), "tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		for _, address := range []net.Addr{conn.LocalAddr(), listener.Addr()} {
			if _, port, _ := net.SplitHostPort(address.String()); port != want {
				t.Errorf("the %s port is %s, want %s", address.Network(), port, want)
			}
		}
	}
}

func TestHowAddressesAreBound(t *testing.T) {
	both, only4 := []string{"10.0.0.1", "fd00::1", "alice"}, []string{"10.0.0.1", "alice"}
	for _, test := range []struct {
		host             []string
		network, address string
		want             string
	}{
		{both, "udp", ":80", "[::]:80"},
		{both, "udp", "0.0.0.0:80", "[::]:80"},
		{both, "udp", "[::]:80", "[::]:80"},
		{only4, "udp", ":80", "[::]:80"},
		{both, "udp4", ":80", "0.0.0.0:80"},
		{both, "udp6", ":80", "[::]:80"},
		{both, "udp", "", "[::]:49152"},
		{both, "udp", "10.0.0.1:", "10.0.0.1:49152"},
		{both, "udp", "alice:80", "10.0.0.1:80"},
		{both, "udp6", "alice:80", "[fd00::1]:80"},
		{both, "udp", "localhost:80", "127.0.0.1:80"},
		{both, "udp", "127.0.0.5:80", "127.0.0.5:80"},
		{both, "udp6", "localhost:80", "[::1]:80"},
		{both, "udp", "[::ffff:10.0.0.1]:80", "10.0.0.1:80"},
		{both, "udp4", "[::1]:80", "listen udp4: address ::1: no suitable address found"},
		{both, "udp6", "10.0.0.1:80", "listen udp6: address 10.0.0.1: no suitable address found"},
		{both, "udp", "bob:80", "listen udp 10.0.0.2:80: bind: cannot assign requested address"},
		{both, "udp", "192.0.2.1:80", "listen udp 192.0.2.1:80: bind: cannot assign requested address"},
		{only4, "udp", "[fd00::1]:80", "listen udp [fd00::1]:80: bind: cannot assign requested address"},
		{both, "udp", "carol:80", "listen udp: lookup carol: no such host"},
		{both, "udp", "alice:65536", "listen udp: address 65536: invalid port"},
		{both, "udp", "alice", "listen udp: address alice: missing port in address"},
		{both, "udp5", ":80", "listen udp5: unknown network udp5"},
	} {
		n := simnet.New(1)
		h := n.Host(test.host...)
		n.Host("10.0.0.2", "bob")
		c, err := h.ListenPacket(t.Context(), test.network, test.address)
		got := fmt.Sprint(err)
		if err == nil {
			got = c.LocalAddr().String()
		}
		if got != test.want {
			t.Errorf("ListenPacket(%s, %q): %s, want %s", test.network, test.address, got, test.want)
		}
	}
}

func TestWhatSharesAPort(t *testing.T) {
	for _, test := range []struct {
		first, second string // network and address
		share         bool
	}{
		{"udp 10.0.0.1:80", "udp 10.0.0.1:80", false},
		{"udp :80", "udp :80", false},
		{"udp :80", "udp 10.0.0.1:80", false},
		{"udp 10.0.0.1:80", "udp :80", false},
		{"udp :80", "udp4 :80", false},
		{"udp :80", "udp6 :80", false},
		{"udp 127.0.0.1:80", "udp4 :80", false},
		{"udp 10.0.0.1:80", "udp 127.0.0.1:80", true},
		{"udp 10.0.0.1:80", "udp [fd00::1]:80", true},
		{"udp4 :80", "udp6 :80", true},
		{"udp4 :80", "udp [fd00::1]:80", true},
		{"udp6 :80", "udp 10.0.0.1:80", true},
		{"udp 224.0.0.1:80", "udp 224.0.0.1:80", true},
		{"udp 224.0.0.1:80", "udp 224.0.0.2:80", true},
		{"udp 224.0.0.1:80", "udp6 [ff02::1]:80", true},
		{"udp 224.0.0.1:80", "udp :80", false},
		{"udp :80", "udp 224.0.0.1:80", false},
		{"udp 10.0.0.1:80", "udp 224.0.0.1:80", false},
	} {
		h := simnet.New(1).Host("10.0.0.1", "fd00::1")
		var network, address string
		for i, s := range []string{test.first, test.second} {
			fmt.Sscan(s, &network, &address)
			_, err := h.ListenPacket(t.Context(), network, address)
			if fails := i == 1 && !test.share; fails != errors.Is(err, syscall.EADDRINUSE) || !fails && err != nil {
				t.Errorf("%s, then %s: %v", test.first, test.second, err)
			}
		}
	}
}

func TestFreePorts(t *testing.T) {
	h := simnet.New(1).Host()
	ports := make(map[uint16]bool)
	bindSocket(t, h, ":50000")
	var last net.PacketConn
	for range 65536 - 49152 - 1 {
		last = bindSocket(t, h, ":0")
		ports[last.LocalAddr().(*net.UDPAddr).AddrPort().Port()] = true
	}
	if len(ports) != 65536-49152-1 || ports[50000] || ports[49151] || ports[0] {
		t.Errorf("%d free ports", len(ports))
	}
	if _, err := h.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("when all ports are in use: %v", err)
	}
	address := last.LocalAddr().String()
	last.Close()
	if again := bindSocket(t, h, ":0"); again.LocalAddr().String() != address {
		t.Errorf("the last free port is that of %s, got %v", address, again.LocalAddr())
	}
}

func TestCrashAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host("bob")
		n.SetLinks(simnet.Link{Delay: 10 * time.Millisecond})
		from, old := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
		reading := make(chan error)
		go func() {
			_, _, err := old.ReadFrom(make([]byte, 10))
			reading <- err
		}()
		synctest.Wait()
		from.sendTo("on its way when it goes down", b.AddrPort(1))
		old.sendTo("a last word", a.AddrPort(1))
		b.Crash()
		if err := <-reading; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read that waits when the host goes down: %v", err)
		}
		if _, err := old.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(a.AddrPort(1))); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write when the host is down: %v", err)
		}
		if _, err := b.ListenPacket(t.Context(), "udp", ":1"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("ListenPacket when the host is down: %v", err)
		}
		if ips, err := a.Resolve(t.Context(), "bob"); len(ips) != 1 || err != nil {
			t.Errorf("its name, when the host is down: %v, %v", ips, err)
		}
		if got := from.payloads(time.Second); len(got) != 1 {
			t.Errorf("%q arrive from a host that went down", got)
		}
		from.sendTo("while it is down", b.AddrPort(1))
		time.Sleep(time.Second)
		from.sendTo("on its way when it comes up", b.AddrPort(1))
		b.Restart()
		now := bindSocket(t, b, ":1")
		if got := now.payloads(time.Second); len(got) != 1 || got[0] != "on its way when it comes up" {
			t.Errorf("%q arrive after the restart", got)
		}
		if c := n.Counters(a, b); c.Parted != 2 || c.Delivered != 1 {
			t.Errorf("%+v", c)
		}
		b.Restart()
		from.sendTo("still up", netip.AddrPortFrom(b.Addr(), 1))
		if got := now.payloads(time.Second); len(got) != 1 {
			t.Errorf("%q arrive after a Restart of a host that was up", got)
		}
	})
}
