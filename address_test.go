package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// A directory is a Network that can do nothing but look up names.
type directory struct {
	sockets.Network
	hosts map[string][]netip.Addr
	asked []string
}

func (d *directory) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	d.asked = append(d.asked, host)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return d.hosts[host], nil
}

// campus knows the names of these tests.
func campus() *directory {
	v4, v6 := netip.MustParseAddr("137.204.0.1"), netip.MustParseAddr("2001:db8::1")
	return &directory{hosts: map[string][]netip.Addr{
		"localhost":  {netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")},
		"host":       {v4},
		"both":       {v6, v4},
		"mapped":     {v6, netip.AddrFrom16(v4.As16())},
		"two":        {v4, netip.MustParseAddr("137.204.0.2")},
		"only6":      {v6, netip.MustParseAddr("2001:db8::2")},
		"linklocal":  {netip.MustParseAddr("fe80::1%eth0")},
		"università": {v4},
		"1":          {v4},
	}}
}

var resolvable = []struct{ text, want string }{
	{"localhost:8080", "127.0.0.1:8080"},
	{"137.204.0.1:8080", "137.204.0.1:8080"},
	{"[::1]:8080", "[::1]:8080"},

	{"8080", "0.0.0.0:8080"},
	{":8080", "0.0.0.0:8080"},
	{"0", "0.0.0.0:0"},
	{":0", "0.0.0.0:0"},
	{"65535", "0.0.0.0:65535"},
	{":65535", "0.0.0.0:65535"},
	{"0080", "0.0.0.0:80"},

	{"localhost", "127.0.0.1:0"},
	{"127.0.0.1", "127.0.0.1:0"},
	{"::1", "[::1]:0"},
	{"[::1]", "[::1]:0"},
	{"::", "[::]:0"},
	{"[::]:8080", "[::]:8080"},
	{"0.0.0.0:8080", "0.0.0.0:8080"},
	{"", "0.0.0.0:0"},

	{" localhost:8080 ", "127.0.0.1:8080"},
	{"\t8080\n", "0.0.0.0:8080"},
	{"   ", "0.0.0.0:0"},
	{" ::1 ", "[::1]:0"},

	{"::ffff:127.0.0.1", "127.0.0.1:0"},
	{"[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"},
	{"[::ffff:7f00:1]:8080", "127.0.0.1:8080"},
	{"[::ffff:127.0.0.1%lo]:8080", "127.0.0.1:8080"},
	{"[::FFFF:0.0.0.0]:8080", "0.0.0.0:8080"},
	{"[2001:DB8:0:0::1]:8080", "[2001:db8::1]:8080"},
	{"fe80::1%eth0", "[fe80::1%eth0]:0"},
	{"[fe80::1%eth0]:8080", "[fe80::1%eth0]:8080"},
	{"[fe80::1%Ethernet 2]:8080", "[fe80::1%Ethernet 2]:8080"},

	{"host:1", "137.204.0.1:1"},
	{"both:8080", "137.204.0.1:8080"},
	{"mapped:8080", "137.204.0.1:8080"},
	{"two:8080", "137.204.0.1:8080"},
	{"only6:8080", "[2001:db8::1]:8080"},
	{"linklocal:8080", "[fe80::1%eth0]:8080"},
	{"università:8080", "137.204.0.1:8080"},
	{"1:2", "137.204.0.1:2"},
	{"[host]:8080", "137.204.0.1:8080"},
}

func TestResolveAddress(t *testing.T) {
	for _, test := range resolvable {
		got, err := sockets.Resolve(t.Context(), campus(), test.text)
		if err != nil || got != netip.MustParseAddrPort(test.want) {
			t.Errorf("resolve(%q) = %v, %v, want %s", test.text, got, err, test.want)
		}
	}
}

// unresolvable are texts that are refused before any name is looked up.
var unresolvable = []struct{ text, problem string }{
	{"65536", "0-65535"},
	{":65536", "0-65535"},
	{"host:65536", "0-65535"},
	{"[::1]:65536", "0-65535"},
	{"99999999999999999999999", "0-65535"},
	{"-1", "0-65535"},
	{":-1", "0-65535"},
	{"host:-1", "0-65535"},
	{"+80", "0-65535"},
	{"host:+80", "0-65535"},
	{"host:", "0-65535"},
	{"[::1]:", "0-65535"},
	{":", "0-65535"},
	{"host:http", "0-65535"},
	{"host:8080x", "0-65535"},
	{"host:80.5", "0-65535"},
	{"host:0x50", "0-65535"},
	{"host:8_080", "0-65535"},
	{"host: 8080", "0-65535"},
	{"host:８０", "0-65535"},
	{"host:\x1b", "0-65535"},

	{"host:80:90", "HOST:PORT"},
	{"http://localhost:8080", "HOST:PORT"},
	{"http://bob@localhost:8080", "HOST:PORT"},
	{"0@+", "0-65535"},
	{"::1]:80", "HOST:PORT"},
	{"[::1", "HOST:PORT"},
	{"[::1]80", "HOST:PORT"},
	{"[[::1]]:80", "HOST:PORT"},
	{"[::1]]", "HOST:PORT"},
	{"[[host]", "HOST:PORT"},
	{"[::1]:80]", "HOST:PORT"},
	{"fe80::1%]", "HOST:PORT"},
	{"[fe80::1%[]", "HOST:PORT"},
	{"1::2::3", "HOST:PORT"},
	{"\x1b:\x1b:", "HOST:PORT"},
}

func TestResolveAddressSaysWhatIsWrong(t *testing.T) {
	for _, test := range unresolvable {
		network := campus()
		got, err := sockets.Resolve(t.Context(), network, test.text)
		if err == nil || got != (sockets.Address{}) {
			t.Errorf("resolve(%q) = %v, %v, want no address and an error", test.text, got, err)
			continue
		}
		checkAddressError(t, test.text, err)
		if !strings.Contains(err.Error(), test.problem) {
			t.Errorf("resolve(%q): %v, want an error that says %s", test.text, err, test.problem)
		}
		if len(network.asked) > 0 {
			t.Errorf("resolve(%q) looks up %q", test.text, network.asked)
		}
	}
}

func checkAddressError(t *testing.T, text string, err error) {
	t.Helper()
	if prefix := fmt.Sprintf("sockets: address %q: ", text); !strings.HasPrefix(err.Error(), prefix) &&
		!strings.HasPrefix(err.Error(), fmt.Sprintf("sockets: address %q: ", strings.TrimSpace(text))) {
		t.Errorf("resolve(%q): %v, want an error that begins with %s", text, err, prefix)
	}
}

func TestResolveAddressLooksUpOnce(t *testing.T) {
	for text, want := range map[string][]string{
		"":                 nil,
		"8080":             nil,
		"127.0.0.1:8080":   nil,
		"[::1]:8080":       nil,
		"both:8080":        {"both"},
		" localhost:8080 ": {"localhost"},
		"[host]:8080":      {"host"},
	} {
		network := campus()
		if _, err := sockets.Resolve(t.Context(), network, text); err != nil {
			t.Errorf("resolve(%q): %v", text, err)
		}
		if diff := cmp.Diff(want, network.asked); diff != "" {
			t.Errorf("resolve(%q) looks up: -want +got\n%s", text, diff)
		}
	}
}

func TestResolveAddressOfAnUnknownHost(t *testing.T) {
	got, err := sockets.Resolve(t.Context(), campus(), "nobody:8080")
	var unknown *net.DNSError
	if !errors.As(err, &unknown) || !unknown.IsNotFound || unknown.Name != "nobody" || got != (sockets.Address{}) {
		t.Errorf("resolve(nobody:8080) = %v, %v, want a DNSError that says not found", got, err)
	}
	if err != nil {
		checkAddressError(t, "nobody:8080", err)
	}
}

func TestResolveAddressHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := sockets.Resolve(ctx, campus(), "host:8080"); !errors.Is(err, context.Canceled) || got != (sockets.Address{}) {
		t.Errorf("resolve with a context that ended = %v, %v, want %v", got, err, context.Canceled)
	}
}

// A Network may hand out the memory in which it keeps its names.
func TestResolveAddressLeavesTheAnswerAlone(t *testing.T) {
	network := campus()
	before := slices.Clone(network.hosts["mapped"])
	if _, err := sockets.Resolve(t.Context(), network, "mapped:8080"); err != nil {
		t.Fatal(err)
	}
	if after := network.hosts["mapped"]; !slices.Equal(after, before) {
		t.Errorf("resolve changed the Network's answer from %v to %v", before, after)
	}
}

func TestResolveAddressMakesSpellingsEqual(t *testing.T) {
	loopback := netip.MustParseAddrPort("127.0.0.1:8080")
	for _, text := range []string{"localhost:8080", "127.0.0.1:8080", " 127.0.0.1:8080 ", "[::ffff:127.0.0.1]:8080", "[127.0.0.1]:08080"} {
		if got, err := sockets.ResolveAddress(t.Context(), text); err != nil || got != loopback {
			t.Errorf("ResolveAddress(%q) = %v, %v, want %v", text, got, err, loopback)
		}
	}
}

func FuzzResolveAddress(f *testing.F) {
	for _, test := range resolvable {
		f.Add(test.text)
	}
	for _, test := range unresolvable {
		f.Add(test.text)
	}
	everybody := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:137.204.0.1")}
	f.Fuzz(func(t *testing.T, text string) {
		network := &anybody{answer: slices.Clone(everybody)}
		address, err := sockets.Resolve(t.Context(), network, text)
		if err != nil {
			if address != (sockets.Address{}) {
				t.Errorf("resolve(%q) = %v beside the error %v", text, address, err)
			}
			checkAddressError(t, text, err)
			return
		}
		if !address.IsValid() || address.Addr().Is4In6() {
			t.Errorf("resolve(%q) = %v", text, address)
		}
		again, err := sockets.Resolve(t.Context(), &directory{}, address.String())
		if err != nil || again != address {
			t.Errorf("resolve(%q) = %v, and of that %v, %v", text, address, again, err)
		}
	})
}

// An anybody is a Network on which every name exists.
type anybody struct {
	sockets.Network
	answer []netip.Addr
}

func (a *anybody) Resolve(context.Context, string) ([]netip.Addr, error) { return a.answer, nil }

func TestLocalIPs(t *testing.T) {
	ips, err := sockets.LocalIPs()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(ips, netip.Addr.IsLoopback) {
		t.Errorf("LocalIPs() = %v, want a loopback address among them", ips)
	}
	if !slices.IsSortedFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() }) {
		t.Errorf("LocalIPs() = %v, want IPv4 first", ips)
	}
	for _, ip := range ips {
		if !ip.IsValid() || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() {
			t.Errorf("LocalIPs() = %v, of which %v is no address of an interface", ips, ip)
		}
	}
}

type textAddr string

func (textAddr) Network() string  { return "text" }
func (a textAddr) String() string { return string(a) }

func TestAddressesOfSocketsAreUnmapped(t *testing.T) {
	mapped := net.ParseIP("127.0.0.1").To16()
	for _, test := range []struct {
		address net.Addr
		want    string
	}{
		{&net.UDPAddr{IP: mapped, Port: 8080}, "127.0.0.1:8080"},
		{&net.TCPAddr{IP: mapped, Port: 8080}, "127.0.0.1:8080"},
		{&net.TCPAddr{IP: mapped.To4(), Port: 8080}, "127.0.0.1:8080"},
		{&net.UDPAddr{IP: net.IPv6loopback, Port: 8080}, "[::1]:8080"},
		{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 8080}, "[fe80::1%eth0]:8080"},
		{textAddr("[::ffff:127.0.0.1]:8080"), "127.0.0.1:8080"},
		{textAddr("pipe"), ""},
		{(*net.UDPAddr)(nil), ""},
		{(*net.TCPAddr)(nil), ""},
		{nil, ""},
	} {
		var want sockets.Address
		if test.want != "" {
			want = netip.MustParseAddrPort(test.want)
		}
		if got := sockets.AddressOf(test.address); got != want {
			t.Errorf("addressOf(%#v) = %v, want %v", test.address, got, want)
		}
	}
}
