package endpoint_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed287501ae/sockets/internal/endpoint"
)

func TestHostPort(t *testing.T) {
	for _, test := range []struct {
		text, want string
		port       uint16
	}{
		{"localhost:8080", "localhost:8080", 8080},
		{" [::1]:8080 ", "[::1]:8080", 8080},
		{"8080", ":8080", 8080},
		{"0080", ":80", 80},
		{":0", ":0", 0},
		{"", ":0", 0},
		{"[]", ":0", 0},
		{"localhost", "localhost:0", 0},
		{"::1", "[::1]:0", 0},
		{"[::1]", "[::1]:0", 0},
		{"[host]:1", "host:1", 1},
		{"fe80::1%eth0", "[fe80::1%eth0]:0", 0},
		{"bob@localhost:8080", "bob@localhost:8080", 8080},
		{"bob@[::1]:8080", "[bob@::1]:8080", 8080},
		{"[bob@::1]:8080", "[bob@::1]:8080", 8080},
	} {
		got, port, err := endpoint.HostPort(test.text)
		if err != nil || got != test.want || port != test.port {
			t.Errorf("HostPort(%q) = %q, %d, %v, want %q, %d", test.text, got, port, err, test.want, test.port)
		}
	}
	for text, problem := range map[string]string{
		"65536":     `"65536" is not a port`,
		"+80":       `"+80" is not a port`,
		"-":         `"-" is not a port`,
		"host:":     `"" is not a port`,
		"host:http": `"http" is not a port`,
		"1::2::3":   "want HOST:PORT",
		"[::1]:80]": "want HOST:PORT",
		"a]":        "want HOST:PORT",
		"[a]b]":     "want HOST:PORT",
		"fe80::1%]": "want HOST:PORT",
	} {
		if got, port, err := endpoint.HostPort(text); err == nil || got != "" || port != 0 || !strings.Contains(err.Error(), problem) {
			t.Errorf("HostPort(%q) = %q, %d, %v, want an error that says %s", text, got, port, err, problem)
		}
	}
}

func TestIsUnicast(t *testing.T) {
	for text, want := range map[string]bool{
		"192.0.2.1:1":          true,
		"127.0.0.1:65535":      true,
		"[::1]:1":              true,
		"192.0.2.1:0":          false,
		"0.0.0.0:1":            false,
		"[::]:1":               false,
		"224.0.0.1:1":          false,
		"[ff02::1%eth0]:1":     false,
		"255.255.255.255:1":    false,
		"255.255.255.254:1234": true,
	} {
		if got := endpoint.IsUnicast(netip.MustParseAddrPort(text)); got != want {
			t.Errorf("IsUnicast(%s) = %v, want %v", text, got, want)
		}
	}
	if none := (netip.AddrPort{}); endpoint.IsUnicast(none) || endpoint.IsComplete(none) {
		t.Error("no address is unicast or complete")
	}
}

func TestSite(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":             "192.0.2.1",
		"169.254.1.2":           "169.254.1.2",
		"2001:db8::1":           "2001:db8::/64",
		"2001:db8:0:0:ffff::1":  "2001:db8::/64",
		"2001:db8:0:1::1":       "2001:db8:0:1::/64",
		"fc00::1":               "fc00::/64",
		"fe80::1%eth0":          "fe80::1%eth0",
		"fe80::1%eth1":          "fe80::1%eth1",
		"fe80::2%eth0":          "fe80::2%eth0",
		"febf:ffff::1":          "febf:ffff::1",
		"fec0::1":               "fec0::/64",
		"64:ff9b::192.0.2.1":    "64:ff9b::c000:201",
		"64:ff9b::198.51.100.1": "64:ff9b::c633:6401",
		"64:ff9b::1:0:0":        "64:ff9b::/64",
		"64:ff9b:1::1":          "64:ff9b:1::/64",
	} {
		if got := endpoint.Site(netip.MustParseAddr(text)); got != want {
			t.Errorf("Site(%s) = %s, want %s", text, got, want)
		}
	}
	if got, want := endpoint.Site(netip.Addr{}), (netip.Addr{}).String(); got != want {
		t.Errorf("Site of no address = %s, want %s", got, want)
	}
}

func TestSelf(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")}
	for _, test := range []struct {
		bound, address, destination string
		is                          bool // of the destination
	}{
		{"0.0.0.0:80", "0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "0.0.0.0:81", "127.0.0.1:81", false},
		{"0.0.0.0:80", "[::ffff:192.0.2.1]:80", "192.0.2.1:80", true},
		{"0.0.0.0:80", "192.0.2.2:80", "192.0.2.2:80", false},
		{"[::]:80", "[::]:80", "127.0.0.1:80", true},
		{"[::]:80", "[fe80::1%eth0]:80", "[fe80::1%eth0]:80", true},
		{"[::1]:80", "0.0.0.0:80", "[::1]:80", true},
		{"192.0.2.1:80", "192.0.2.1:80", "192.0.2.1:80", true},
		{"192.0.2.1:80", "127.0.0.1:80", "127.0.0.1:80", false},
	} {
		self := endpoint.Self{Address: netip.MustParseAddrPort(test.bound)}
		if self.Address.Addr().IsUnspecified() {
			self.IPs = own
		}
		got := self.Destination(netip.MustParseAddrPort(test.address))
		if got != netip.MustParseAddrPort(test.destination) || self.Is(got) != test.is {
			t.Errorf("bound to %s, Destination(%s) = %v, itself: %v, want %s, %v", test.bound, test.address, got, self.Is(got), test.destination, test.is)
		}
	}
}

// A letterbox is a packet connection to which one datagram has come, or an
// error.
type letterbox struct {
	net.PacketConn
	text  string
	err   error
	limit int
}

func (l letterbox) MaxDatagram() int { return l.limit }

func (l letterbox) ReadFrom(p []byte) (int, net.Addr, error) {
	if l.err != nil {
		return -1, (*net.UDPAddr)(nil), l.err
	}
	return copy(p, l.text), &net.UDPAddr{IP: net.ParseIP("192.0.2.1").To16(), Port: 1}, nil
}

func TestSocketCutsNoDatagram(t *testing.T) {
	for _, limit := range []int{1, 65507, 70_000} {
		for _, size := range []int{0, 1, 65507, 65527, max(limit, 65527)} {
			s := endpoint.NewSocket(letterbox{text: strings.Repeat("x", size), limit: limit})
			payload, sender, err := s.Receive()
			if len(payload) != size || sender != netip.MustParseAddrPort("192.0.2.1:1") || err != nil || s.Limit != limit {
				t.Errorf("over a limit of %d, Receive = %d bytes, %v, %v, want %d bytes from 192.0.2.1:1", limit, len(payload), sender, err, size)
			}
		}
	}
}

func TestSocketReturnsTheErrorOfItsConnection(t *testing.T) {
	s := endpoint.NewSocket(letterbox{err: net.ErrClosed})
	if payload, sender, err := s.Receive(); payload != nil || sender.IsValid() || err != net.ErrClosed {
		t.Errorf("Receive = %q, %v, %v, want %v alone", payload, sender, err, net.ErrClosed)
	}
}

func TestSocketOfTheKernel(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := endpoint.NewSocket(conn)
	here := endpoint.Of(s.LocalAddr())
	if err := s.Send([]byte("text"), here); err != nil || s.Limit != 65507 {
		t.Fatalf("Send: %v; the limit is %d, want 65507", err, s.Limit)
	}
	if payload, sender, err := s.Receive(); string(payload) != "text" || sender != here || err != nil {
		t.Errorf("Receive = %q, %v, %v, want text from %v", payload, sender, err, here)
	}
}
