package simnet_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

func TestMulticastReachesThoseThatJoined(t *testing.T) {
	for _, family := range []struct{ group, other, a, b, c string }{
		{"224.0.0.9", "224.0.0.8", "10.0.0.1", "10.0.0.2", "10.0.0.3"},
		{"ff02::9", "ff02::8", "fd00::1", "fd00::2", "fd00::3"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b, c := n.Host(family.a), n.Host(family.b), n.Host(family.c)
			n.SetLinks(simnet.Link{Delay: time.Millisecond})
			group := netip.AddrPortFrom(netip.MustParseAddr(family.group), 80)
			joined := bindSocket(t, b, group.String())
			twice := bindSocket(t, b, group.String())
			own := bindSocket(t, a, group.String())
			bindOther := bindSocket(t, c, netip.AddrPortFrom(netip.MustParseAddr(family.other), 80).String())
			sender := bindSocket(t, a, netip.AddrPortFrom(a.Addr(), 5).String())
			if ip := joined.LocalAddr().(*net.UDPAddr).IP; !ip.IsUnspecified() {
				t.Errorf("one that joined is bound to %v", joined.LocalAddr())
			}

			sender.sendTo("hello", group)
			for name, s := range map[string]socket{"joined": joined, "twice": twice, "own": own} {
				if got := s.waitFor(time.Second); len(got) != 1 || got[0].payload != "hello" || got[0].from != a.AddrPort(5) {
					t.Errorf("%s receives %v", name, got)
				}
			}
			if got := bindOther.payloads(time.Second); len(got) != 0 {
				t.Errorf("another group receives %q", got)
			}
			if total := n.Total(); total.Sent != 2 || total.Delivered != 2 || n.Counters(a, c).Sent != 0 {
				t.Errorf("one packet for each host that joined: %+v", total)
			}

			sender.sendTo("to it alone", b.AddrPort(80))
			if got, last := joined.payloads(time.Second), twice.payloads(time.Second); len(got) != 0 || len(last) != 1 {
				t.Errorf("a datagram for one of two that share a port: the first receives %q, the last %q", got, last)
			}
			joined.sendTo("answer", a.AddrPort(5))
			if got := sender.waitFor(time.Second); len(got) != 1 || got[0].from != b.AddrPort(80) {
				t.Errorf("the answer of one that joined arrives as %v", got)
			}

			sender.sendTo("too late", group)
			joined.Close()
			twice.Close()
			time.Sleep(time.Second)
			if refused := n.Counters(a, b).Refused; refused != 1 {
				t.Errorf("%d datagrams find nobody, of one that was sent before all left", refused)
			}
		})
	}
}

func TestMulticastIsDeliveredIfOneHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		sender := bindSocket(t, a, ":0")
		group := netip.MustParseAddrPort("224.0.0.9:80")
		empty := bindSocket(t, b, group.String())
		bindSocket(t, b, group.String())
		for range 4 {
			sender.sendTo(strings.Repeat("x", 53_000), b.AddrPort(80)) // to the last one
		}
		before := n.Counters(a, b)
		sender.sendTo(strings.Repeat("y", 2000), group)
		if c := n.Counters(a, b); c.Delivered != before.Delivered+1 || len(empty.payloads(time.Second)) != 1 {
			t.Errorf("%+v, then %+v", before, c)
		}
		for range 4 {
			sender.sendTo(strings.Repeat("z", 65_000), group)
		}
		if c := n.Counters(a, b); c.Overflowed != 1 {
			t.Errorf("with both buffers full: %+v", c)
		}
	})
}

// A link may lose what another one carries.
func TestMulticastTakesEachLinkOnItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b, c, cut := n.Host(), n.Host(), n.Host(), n.Host()
		n.SetLinks(simnet.Link{Loss: 0.5})
		n.Cut(a, cut)
		sender := bindSocket(t, a, ":0")
		group := netip.MustParseAddrPort("224.0.0.9:80")
		members := []socket{bindSocket(t, b, "224.0.0.9:80"), bindSocket(t, c, "224.0.0.9:80"), bindSocket(t, cut, "224.0.0.9:80")}
		for i := range 100 {
			sender.sendTo(fmt.Sprint(i), group)
		}
		one, two := members[0].payloads(time.Second), members[1].payloads(time.Second)
		if len(one) < 30 || len(one) > 70 || len(two) < 30 || len(two) > 70 || slices.Equal(one, two) {
			t.Errorf("of 100 one receives %d, the other %d, the same: %v", len(one), len(two), slices.Equal(one, two))
		}
		if got := members[2].payloads(time.Second); len(got) != 0 {
			t.Errorf("one that is cut off receives %q", got)
		}
	})
}

func TestPeersOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		group := netip.MustParseAddrPort("224.0.0.9:80")
		var peers []*sockets.Peer
		for range 3 {
			cfg := sockets.Config{Network: n.Host()}
			p, err := cfg.NewPeer(group.String(), []string{group.String()})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			peers = append(peers, p)
		}
		if err := peers[0].SendAll([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		for i, p := range peers {
			payload, sender, err := p.Receive(t.Context())
			if err != nil || string(payload) != "hello" || sender.String() != "10.0.0.1:80" {
				t.Errorf("peer %d: Receive() = %q, %v, %v", i, payload, sender, err)
			}
			want := "[10.0.0.1:80 224.0.0.9:80]"
			if i == 0 {
				want = "[224.0.0.9:80]" // never itself
			}
			if got := fmt.Sprint(p.Peers()); got != want {
				t.Errorf("peer %d: Peers() = %s, want %s", i, got, want)
			}
		}
	})
}

func TestBroadcastReachesWhoIsBoundToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b, c := n.Host(), n.Host(), n.Host("fd00::3", "10.0.0.3")
		sender := bindSocket(t, a, ":80")
		every, otherPort := bindSocket(t, b, ":80"), bindSocket(t, b, ":81")
		one := bindSocket(t, c, "10.0.0.3:80")
		six, err := c.ListenPacket(t.Context(), "udp6", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer six.Close()
		sender.sendTo("all", netip.MustParseAddrPort("255.255.255.255:80"))
		for _, test := range []struct {
			name string
			s    socket
			want int
		}{{"itself", sender, 1}, {"one bound to all", every, 1}, {"another port", otherPort, 0}, {"one bound to an address", one, 0}, {"IPv6", socket{six, t}, 0}} {
			if got := test.s.payloads(time.Second); len(got) != test.want {
				t.Errorf("%s receives %q", test.name, got)
			}
		}
	})
}

func TestWhoIsBoundToTheAddressReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		h, other := n.Host("10.0.0.1", "10.0.0.7", "fd00::1"), n.Host("10.0.0.2", "fd00::2")
		first, second, loopback := bindSocket(t, h, "10.0.0.1:80"), bindSocket(t, h, "10.0.0.7:80"), bindSocket(t, h, "127.0.0.1:80")
		six := bindSocket(t, h, "[fd00::1]:80")
		far, near := bindSocket(t, other, ":5"), bindSocket(t, h, ":5")
		for _, test := range []struct {
			from     socket
			to       string
			receiver socket
			source   string
		}{
			{far, "10.0.0.1:80", first, "10.0.0.2:5"},
			{far, "10.0.0.7:80", second, "10.0.0.2:5"},
			{far, "[fd00::1]:80", six, "[fd00::2]:5"},
			{near, "10.0.0.1:80", first, "10.0.0.1:5"},
			{near, "10.0.0.7:80", second, "10.0.0.7:5"},
			{near, "127.0.0.1:80", loopback, "127.0.0.1:5"},
			{near, "0.0.0.0:80", loopback, "127.0.0.1:5"},
			{near, "[fd00::1]:80", six, "[fd00::1]:5"},
			{first, "127.0.0.1:5", near, "10.0.0.1:80"},
			{first, "10.0.0.2:5", far, "10.0.0.1:80"},
			{near, "[::ffff:10.0.0.2]:5", far, "10.0.0.1:5"},
			{near, "[fd00::2%eth0]:5", far, "[fd00::1]:5"},
		} {
			test.from.sendTo("x", netip.MustParseAddrPort(test.to))
			if got := test.receiver.waitFor(time.Second); len(got) != 1 || got[0].from.String() != test.source {
				t.Errorf("from %v to %s: %v", test.from.LocalAddr(), test.to, got)
			}
		}
		if total := n.Total(); total.Delivered != total.Sent {
			t.Errorf("%+v", total)
		}
	})
}

func TestWhatCannotBeSent(t *testing.T) {
	n := simnet.New(1)
	h := n.Host("10.0.0.1", "fd00::1")
	only4 := n.Host("10.0.0.2")
	n.Host("10.0.0.3", "fd00::3")
	for _, test := range []struct {
		host    *simnet.Host
		network string
		local   string
		to      string
		want    string
	}{
		{h, "udp", "127.0.0.1:1", "10.0.0.3:1", "sendto: invalid argument"},
		{h, "udp", ":1", "10.0.0.3:0", "sendto: invalid argument"},
		{h, "udp4", ":1", "[fd00::3]:1", "address fd00::3: non-IPv4 address"},
		{h, "udp", "10.0.0.1:1", "[fd00::3]:1", "address fd00::3: non-IPv4 address"},
		{h, "udp6", ":1", "10.0.0.3:1", "address 10.0.0.3: non-IPv6 address"},
		{h, "udp", "[fd00::1]:1", "10.0.0.3:1", "address 10.0.0.3: non-IPv6 address"},
		{only4, "udp", ":1", "[fd00::3]:1", "sendto: network is unreachable"},
	} {
		c, err := test.host.ListenPacket(t.Context(), test.network, test.local)
		if err != nil {
			t.Fatal(err)
		}
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(test.to))
		want := fmt.Sprintf("write %s %v->%s: %s", test.network, c.LocalAddr(), test.to, test.want)
		if _, err := c.WriteTo([]byte("x"), to); fmt.Sprint(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
		c.Close()
	}
	if _, err := only4.DialContext(t.Context(), "udp", "[fd00::3]:1"); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("dial to IPv6 from a host without: %v", err)
	}
	if total := n.Total(); total != (simnet.Counters{}) {
		t.Errorf("%+v", total)
	}
}

func TestDialPrefersAnAddressThatTheHostCanReach(t *testing.T) {
	n := simnet.New(1)
	four, six := n.Host("10.0.0.1"), n.Host("fd00::1")
	n.Host("fd00::2", "10.0.0.2", "bob")
	for _, test := range []struct {
		from             *simnet.Host
		network, address string
		want             string
	}{
		{four, "udp", "bob:1", "10.0.0.1:49152 10.0.0.2:1"},
		{six, "udp", "bob:1", "[fd00::1]:49152 [fd00::2]:1"},
		{four, "udp", ":1", "127.0.0.1:49153 127.0.0.1:1"},
		{six, "udp6", "localhost:1", "[::1]:49153 [::1]:1"},
		{four, "udp", "0.0.0.0:1", "127.0.0.1:49154 127.0.0.1:1"},
	} {
		c, err := test.from.DialContext(t.Context(), test.network, test.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(c.LocalAddr(), " ", c.RemoteAddr()); got != test.want {
			t.Errorf("DialContext(%s, %s): %s, want %s", test.network, test.address, got, test.want)
		}
		c.Close()
	}
}

func TestRefusalTakesTheWayBack(t *testing.T) {
	const never = time.Hour
	for _, test := range []struct {
		name    string
		prepare func(n *simnet.Network, a, b *simnet.Host)
		after   time.Duration
	}{
		{"near", func(n *simnet.Network, a, b *simnet.Host) {}, 0},
		{"far", func(n *simnet.Network, a, b *simnet.Host) {
			n.SetLink(a, b, simnet.Link{Delay: time.Second})
			n.SetLink(b, a, simnet.Link{Delay: time.Minute})
		}, time.Minute + time.Second},
		{"cut", func(n *simnet.Network, a, b *simnet.Host) { n.Cut(b, a) }, never},
		{"held", func(n *simnet.Network, a, b *simnet.Host) { n.Hold(b, a) }, never},
		{"down", func(n *simnet.Network, a, b *simnet.Host) { b.Crash() }, never},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			a, b := n.Host(), n.Host()
			test.prepare(n, a, b)
			c, err := a.DialContext(t.Context(), "udp", b.AddrPort(1).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			start := time.Now()
			c.SetReadDeadline(start.Add(never))
			write := func() error {
				_, err := c.Write([]byte("x"))
				return err
			}
			if err := write(); err != nil {
				t.Errorf("%s: the first Write: %v", test.name, err)
			}
			_, err = c.Read(make([]byte, 10))
			if took := time.Since(start); took != test.after || errors.Is(err, syscall.ECONNREFUSED) != (test.after < never) {
				t.Errorf("%s: after %v: %v", test.name, took, err)
			}
			write()
			time.Sleep(test.after)
			if err := write(); errors.Is(err, syscall.ECONNREFUSED) != (test.after < never) {
				t.Errorf("%s: a Write after one that was refused: %v", test.name, err)
			}
			if err := write(); err != nil {
				t.Errorf("%s: a Write after the error was told: %v", test.name, err)
			}
		})
	}
}

func TestAFullBufferDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host()
		from, to := bindSocket(t, a, ":1"), bindSocket(t, b, ":1")
		const room = 208 << 10 / (1000 + 64)
		for round := range int64(3) {
			for i := range 1000 {
				from.sendTo(fmt.Sprintf("%01000d", i), b.AddrPort(1))
			}
			if c := n.Counters(a, b); c.Delivered != room*(round+1) || c.Overflowed != (1000-room)*(round+1) {
				t.Errorf("%+v, want %d delivered", c, room*(round+1))
			}
			got := to.payloads(time.Second)
			if len(got) != room || strings.TrimLeft(got[room-1], "0") != fmt.Sprint(room-1) {
				t.Errorf("%d received, the last is %s", len(got), got[len(got)-1])
			}
		}
	})
}
