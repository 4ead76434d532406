package sockets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// An office is a Network in memory that carries letters, the datagrams of a
// test, between the mailboxes that peers bind. It has no streams. Who waits
// there waits for a channel: virtual time goes on.
type office struct {
	sockets.Network
	hosts   map[string][]netip.Addr
	lookUp  func(ctx context.Context, host string) ([]netip.Addr, error) // instead of hosts, if not nil
	ips     []netip.Addr
	ipsErr  error
	wrap    func(*mailbox) net.PacketConn // of what is bound, if not nil
	onClose func() error                  // of a mailbox, if not nil

	mu    sync.Mutex // guards what follows
	boxes []*mailbox // those that are open
	asked []string   // names looked up and addresses bound
}

func newOffice() *office {
	return &office{
		hosts: map[string][]netip.Addr{
			"localhost": {netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")},
			"alice":     {netip.MustParseAddr("192.0.2.7")},
		},
		ips: []netip.Addr{
			netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.2"),
			netip.IPv6Loopback(), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("fe80::2"),
		},
	}
}

func (o *office) note(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, what)
}

func (o *office) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	o.note("name " + host)
	if o.lookUp != nil {
		return o.lookUp(ctx, host)
	}
	return o.hosts[host], nil
}

func (o *office) LocalIPs() ([]netip.Addr, error) { return o.ips, o.ipsErr }

func (o *office) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	o.note(network + " " + address)
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if port == 0 {
		port = 40000 + len(o.boxes)
	}
	box := &mailbox{
		office:  o,
		local:   net.UDPAddr{IP: net.IPv6unspecified, Port: port},
		changed: make(chan struct{}),
		refuse:  make(map[sockets.Address]error),
	}
	if host != "" {
		box.local.IP = net.ParseIP(host)
	}
	o.boxes = append(o.boxes, box)
	if o.wrap != nil {
		return o.wrap(box), nil
	}
	return box, nil
}

// carry delivers a letter to who is bound there, or loses it.
func (o *office) carry(text string, from, to sockets.Address) {
	if from.Addr().IsUnspecified() {
		from = netip.AddrPortFrom(to.Addr(), from.Port())
	}
	o.mu.Lock()
	boxes := slices.Clone(o.boxes)
	o.mu.Unlock()
	for _, box := range boxes {
		if a := box.address(); a == to || a.Addr().IsUnspecified() && a.Port() == to.Port() && slices.Contains(o.ips, to.Addr()) {
			box.arrive(letter{text: text, from: clothed(from)})
			return
		}
	}
}

func (o *office) open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.boxes)
}

// peer returns a Peer of the office, which is closed at the end of the test,
// and its mailbox.
func (o *office) peer(t *testing.T, cfg sockets.Config, address string, peers ...string) (*sockets.Peer, *mailbox) {
	t.Helper()
	cfg.Network = o
	p, err := cfg.NewPeer(address, peers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, o.last()
}

// async is peer, for an AsyncPeer on port 8080.
func (o *office) async(t *testing.T, cfg sockets.Config, callback sockets.MessageCallback, peers ...string) (*sockets.AsyncPeer, *mailbox) {
	t.Helper()
	cfg.Network = o
	p, err := cfg.NewAsyncPeer("8080", peers, callback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, o.last()
}

func (o *office) last() *mailbox {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.boxes[len(o.boxes)-1]
}

// A letter is what a call that receives returns.
type letter struct {
	text string
	from net.Addr
	err  error
}

// A parcel is what a call that sends was given.
type parcel struct {
	Text string
	To   string
}

// A mailbox is a datagram socket of an office.
type mailbox struct {
	office *office
	local  net.UDPAddr

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed when who reads should look again
	closed  bool
	late    bool // the read deadline has passed
	arrived []letter
	endless error // what follows the letters, if not nil
	reads   int
	refuse  map[sockets.Address]error // what sending answers
	sent    []parcel
}

func (b *mailbox) address() sockets.Address { return sockets.AddressOf(&b.local) }

func (b *mailbox) changeLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// arrive makes calls that receive return letters, after what came before.
func (b *mailbox) arrive(letters ...letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arrived = append(b.arrived, letters...)
	b.changeLocked()
}

// from makes a datagram arrive.
func (b *mailbox) from(sender, text string) {
	b.arrive(letter{text: text, from: clothed(netip.MustParseAddrPort(sender))})
}

// clothed is a sender as a socket for IPv4 and IPv6 has it: all are IPv6.
func clothed(a sockets.Address) *net.UDPAddr {
	ip := a.Addr().As16()
	return &net.UDPAddr{IP: ip[:], Port: int(a.Port()), Zone: a.Addr().Zone()}
}

// failForEver makes every call that receives fail, after what came before.
func (b *mailbox) failForEver(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endless = err
	b.changeLocked()
}

// refuseTo makes every call that sends there fail.
func (b *mailbox) refuseTo(address string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse[netip.MustParseAddrPort(address)] = err
}

// parcels returns what was sent since it was called last.
func (b *mailbox) parcels() []parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

func (b *mailbox) readCalls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

func (b *mailbox) ReadFrom(p []byte) (int, net.Addr, error) {
	b.mu.Lock()
	b.reads++
	for {
		var l letter
		switch {
		case b.closed:
			l.err = net.ErrClosed
		case b.late:
			l.err = os.ErrDeadlineExceeded
		case len(b.arrived) > 0:
			l, b.arrived = b.arrived[0], b.arrived[1:]
		case b.endless != nil:
			l.err = b.endless
		default:
			changed := b.changed
			b.mu.Unlock()
			<-changed
			b.mu.Lock()
			continue
		}
		b.mu.Unlock()
		if l.err != nil {
			return 0, l.from, &net.OpError{Op: "read", Net: "udp", Source: &b.local, Err: l.err}
		}
		return copy(p, l.text), l.from, nil
	}
}

func (b *mailbox) WriteTo(p []byte, address net.Addr) (int, error) {
	to := address.(*net.UDPAddr).AddrPort()
	b.mu.Lock()
	err := b.refuse[to]
	if b.closed {
		err = net.ErrClosed
	}
	if err == nil {
		b.sent = append(b.sent, parcel{string(p), to.String()})
	}
	b.mu.Unlock()
	if err != nil {
		return 0, &net.OpError{Op: "write", Net: "udp", Source: &b.local, Addr: address, Err: err}
	}
	b.office.carry(string(p), b.address(), to)
	return len(p), nil
}

func (b *mailbox) Close() error {
	if b.office.onClose != nil {
		if err := b.office.onClose(); err != nil {
			return err
		}
	}
	b.office.mu.Lock()
	b.office.boxes = slices.DeleteFunc(b.office.boxes, func(other *mailbox) bool { return other == b })
	b.office.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return &net.OpError{Op: "close", Net: "udp", Source: &b.local, Err: net.ErrClosed}
	}
	b.closed = true
	b.changeLocked()
	return nil
}

func (b *mailbox) LocalAddr() net.Addr { return &b.local }

// SetReadDeadline takes what a Peer sets: no deadline, or one that has passed.
func (b *mailbox) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late = !t.IsZero(); b.late && time.Now().Before(t) {
		panic("a deadline to come")
	}
	b.changeLocked()
	return nil
}

func (b *mailbox) SetDeadline(t time.Time) error    { return b.SetReadDeadline(t) }
func (b *mailbox) SetWriteDeadline(time.Time) error { return nil }

// A limitedMailbox has a limit of its own on the bytes of a datagram.
type limitedMailbox struct {
	*mailbox
	limit int
}

func (b limitedMailbox) MaxDatagram() int { return b.limit }

// loopbackPeer returns a Peer on a real socket, which is closed at the end of
// the test.
func loopbackPeer(t *testing.T, address string, peers ...string) *sockets.Peer {
	t.Helper()
	p, err := sockets.NewPeer(address, peers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// wantDatagram receives the next datagram, which must be this one.
func wantDatagram(t *testing.T, p *sockets.Peer, text, sender string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	payload, from, err := p.Receive(ctx)
	if err != nil || string(payload) != text || sender != "" && from.String() != sender {
		t.Fatalf("Receive() = %d bytes %.40q, %v, %v, want %d bytes %.40q from %s", len(payload), payload, from, err, len(text), text, sender)
	}
}

// wantNothing looks, in virtual time, whether a datagram is there.
func wantNothing(t *testing.T, p *sockets.Peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if payload, sender, err := p.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Receive() = %.40q, %v, %v, want nothing", payload, sender, err)
	}
}

func wantPeers(t *testing.T, p *sockets.Peer, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, texts(p.Peers())); diff != "" {
		t.Fatalf("Peers: -want +got\n%s", diff)
	}
}

func texts(addresses []sockets.Address) (all []string) {
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return all
}

func wantParcels(t *testing.T, b *mailbox, want ...parcel) {
	t.Helper()
	if diff := cmp.Diff(want, b.parcels()); diff != "" {
		t.Fatalf("sent: -want +got\n%s", diff)
	}
}

// noise is size bytes that are not UTF-8.
func noise(size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return string(b)
}

func hasIPv6() bool {
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// servesBoth reports whether a socket bound without a host serves IPv4 and IPv6
// on this system.
func servesBoth() bool {
	return hasIPv6() && runtime.GOOS != "openbsd" && runtime.GOOS != "dragonfly"
}

// systemTakes reports whether this system carries datagrams of that size over
// loopback. macOS and the BSDs have a limit of their own.
func systemTakes(size int) bool {
	if runtime.GOOS == "linux" || runtime.GOOS == "windows" {
		return true
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return false
	}
	defer conn.Close()
	_, err = conn.WriteTo(make([]byte, size), conn.LocalAddr())
	return err == nil
}

func TestPeerCarriesDatagramsOfEverySize(t *testing.T) {
	hosts := []string{"127.0.0.1:0"}
	if hasIPv6() {
		hosts = append(hosts, "[::1]:0")
	}
	for _, host := range hosts {
		alice := loopbackPeer(t, host)
		bob := loopbackPeer(t, host, alice.LocalAddress().String())
		for _, size := range []int{0, 1, 1024, 1025, 1200, 65507} {
			if !systemTakes(size) {
				continue
			}
			payload := noise(size)
			if err := bob.SendAll([]byte(payload)); err != nil {
				t.Fatalf("SendAll of %d bytes: %v", size, err)
			}
			wantDatagram(t, alice, payload, bob.LocalAddress().String())
			if err := alice.Send([]byte(payload), bob.LocalAddress()); err != nil {
				t.Fatalf("Send of %d bytes: %v", size, err)
			}
			wantDatagram(t, bob, payload, alice.LocalAddress().String())
		}
	}
}

func TestPeerRefusesALongerDatagram(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	bob := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String(), "127.0.0.1:9", "127.0.0.1:10")
	for _, size := range []int{65508, 65535, 65536, 1 << 20} {
		payload := make([]byte, size)
		for name, err := range map[string]error{
			"Send":    bob.Send(payload, alice.LocalAddress()),
			"SendAll": bob.SendAll(payload),
		} {
			want := fmt.Sprintf("sockets: message too big: %d bytes, a datagram carries 65507", size)
			if !errors.Is(err, sockets.ErrMessageTooBig) || err.Error() != want {
				t.Errorf("%s of %d bytes: %v, want %s", name, size, err, want)
			}
		}
	}
	if err := bob.Send([]byte("short"), alice.LocalAddress()); err != nil {
		t.Errorf("Send after those that were refused: %v", err)
	}
	wantDatagram(t, alice, "short", bob.LocalAddress().String())
}

func TestPeerHonoursTheLimitOfItsNetwork(t *testing.T) {
	for _, limit := range []int{0, 1, 1200, 65000} {
		o := newOffice()
		o.wrap = func(b *mailbox) net.PacketConn { return limitedMailbox{b, limit} }
		p, box := o.peer(t, sockets.Config{}, "8080", "192.0.2.1:1")
		payload := make([]byte, limit+1)
		if err := p.SendAll(payload[:limit]); err != nil {
			t.Errorf("with MaxDatagram %d, SendAll of as many bytes: %v", limit, err)
		}
		if sent := box.parcels(); len(sent) != 1 || len(sent[0].Text) != limit {
			t.Errorf("with MaxDatagram %d, %d datagrams were sent, want 1", limit, len(sent))
		}
		err := p.SendAll(payload)
		if want := fmt.Sprintf("%d bytes, a datagram carries %d", limit+1, limit); !errors.Is(err, sockets.ErrMessageTooBig) || !strings.Contains(err.Error(), want) {
			t.Errorf("with MaxDatagram %d, SendAll of more: %v, want %s", limit, err, want)
		}
		wantParcels(t, box)
	}
}

func TestNothingIsCutWhereTheNetworkTakesMore(t *testing.T) {
	const limit = 200_000
	o := newOffice()
	o.wrap = func(b *mailbox) net.PacketConn { return limitedMailbox{b, limit} }
	alice, _ := o.peer(t, sockets.Config{}, "8080")
	bob, _ := o.peer(t, sockets.Config{}, "8081", "localhost:8080")
	for _, size := range []int{65507, 65508, 65535, 65536, 65537, limit} {
		if err := bob.SendAll([]byte(noise(size))); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, alice, noise(size), "127.0.0.1:8081")
	}
}

// IPv6 carries 20 bytes more than IPv4, and other programs send them.
func TestPeerCutsNoDatagramOfIPv6(t *testing.T) {
	if !hasIPv6() {
		t.Skip("no IPv6 here")
	}
	alice := loopbackPeer(t, "[::1]:0")
	other, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, size := range []int{65507, 65508, 65509, 65527} {
		payload := noise(size)
		if _, err := other.WriteTo([]byte(payload), net.UDPAddrFromAddrPort(alice.LocalAddress())); err != nil {
			t.Skipf("this system does not send %d bytes: %v", size, err)
		}
		wantDatagram(t, alice, payload, other.LocalAddr().String())
	}
}

// A boastful layer says that it takes more than the kernel does.
type boastful struct{ base sockets.Network }

func (n boastful) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return n.base.Listen(ctx, network, address)
}

func (n boastful) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.base.DialContext(ctx, network, address)
}

func (n boastful) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := n.base.ListenPacket(ctx, network, address)
	return boastfulConn{conn}, err
}

type boastfulConn struct{ net.PacketConn }

func (boastfulConn) MaxDatagram() int { return 1 << 20 }

func TestPeerExplainsTheLimitOfTheSystem(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	cfg := sockets.Config{Network: boastful{sockets.System}}
	bob, err := cfg.NewPeer("127.0.0.1:0", []string{alice.LocalAddress().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	payload := make([]byte, 65508)
	for name, err := range map[string]error{
		"Send":    bob.Send(payload, alice.LocalAddress()),
		"SendAll": bob.SendAll(payload),
	} {
		if !errors.Is(err, sockets.ErrMessageTooBig) {
			t.Errorf("%s of what the system refuses: %v, want %v", name, err, sockets.ErrMessageTooBig)
			continue
		}
		for _, want := range []string{"65508 bytes", "this system or network takes less", alice.LocalAddress().String()} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s of what the system refuses: %v, want an error that says %q", name, err, want)
			}
		}
		if runtime.GOOS != "windows" && !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("%s of what the system refuses: %v, want also %v", name, err, error(syscall.EMSGSIZE))
		}
	}
	if err := bob.SendAll([]byte("short")); err != nil {
		t.Errorf("SendAll after one that was refused: %v", err)
	}
	wantDatagram(t, alice, "short", bob.LocalAddress().String())
}

func TestPeerWithoutAHostServesIPv4AndIPv6(t *testing.T) {
	if !servesBoth() {
		t.Skip("no socket serves both here")
	}
	for _, address := range []string{"", "0", ":0", "[::]:0"} {
		alice := loopbackPeer(t, address)
		local := alice.LocalAddress()
		if local.Addr() != netip.IPv6Unspecified() || local.Port() == 0 {
			t.Fatalf("NewPeer(%q).LocalAddress() = %v, want [::] and a port", address, local)
		}
		for _, host := range []string{"127.0.0.1", "::1"} {
			bob := loopbackPeer(t, net.JoinHostPort(host, "0"), net.JoinHostPort(host, strconv.Itoa(int(local.Port()))))
			if err := bob.SendAll([]byte(host)); err != nil {
				t.Fatal(err)
			}
			wantDatagram(t, alice, host, bob.LocalAddress().String())
			if err := alice.SendAll([]byte("back")); err != nil {
				t.Fatal(err)
			}
			wantDatagram(t, bob, "back", net.JoinHostPort(host, strconv.Itoa(int(local.Port()))))
			alice.Remove(alice.Peers()...)
		}
	}
}

func TestPeerBindsWhatItIsTold(t *testing.T) {
	for address, want := range map[string]string{
		"8080":             "[::]:8080",
		" :8080 ":          "[::]:8080",
		"[::]:8080":        "[::]:8080",
		"0.0.0.0:8080":     "0.0.0.0:8080",
		"127.0.0.1:8080":   "127.0.0.1:8080",
		"192.0.2.2:8080":   "192.0.2.2:8080",
		"[2001:db8::2]:80": "[2001:db8::2]:80",
		"":                 "[::]:40000",
	} {
		p, _ := newOffice().peer(t, sockets.Config{}, address)
		if got := p.LocalAddress().String(); got != want {
			t.Errorf("NewPeer(%q).LocalAddress() = %s, want %s", address, got, want)
		}
	}
}

// selves are the spellings of a socket on port 8080 of an office.
var selves = []string{
	"8080", ":8080", "localhost:8080", "0.0.0.0:8080", "[::]:8080",
	"127.0.0.1:8080", "127.9.9.9:8080", "[::1]:8080", "[::ffff:127.0.0.1]:8080", "[::ffff:0.0.0.0]:8080",
	"192.0.2.2:8080", "[::ffff:192.0.2.2]:8080", "[2001:db8::2]:8080", "[fe80::2%eth0]:8080", "[fe80::2%2]:8080",
}

func TestPeerIsNeverItsOwnPeer(t *testing.T) {
	for _, test := range []struct {
		address string
		selves  []string
	}{
		{"8080", selves},
		{"[::]:8080", selves},
		{"0.0.0.0:8080", selves},
		{"127.0.0.1:8080", []string{"8080", "localhost:8080", "0.0.0.0:8080", "[::]:8080", "127.0.0.1:8080", "[::ffff:127.0.0.1]:8080"}},
		{"[::1]:8080", []string{"8080", "0.0.0.0:8080", "[::]:8080", "[::1]:8080"}},
		{"192.0.2.2:8080", []string{"192.0.2.2:8080", "[::ffff:192.0.2.2]:8080"}},
	} {
		p, box := newOffice().peer(t, sockets.Config{}, test.address, append(test.selves, "localhost:8081", "192.0.2.3:8080")...)
		wantPeers(t, p, "127.0.0.1:8081", "192.0.2.3:8080")
		for _, self := range test.selves {
			if a, err := netip.ParseAddrPort(self); err == nil {
				p.Add(a)
				wantPeers(t, p, "127.0.0.1:8081", "192.0.2.3:8080")
				if !a.Addr().Unmap().IsUnspecified() {
					box.from(self, "from myself")
					wantDatagram(t, p, "from myself", "")
					wantPeers(t, p, "127.0.0.1:8081", "192.0.2.3:8080")
				}
			}
		}
	}
}

func TestPeerOnOneAddressKnowsTheOthersOfItsMachine(t *testing.T) {
	for address, others := range map[string][]string{
		"127.0.0.1:8080": {"127.0.0.2:8080", "192.0.2.2:8080", "[::1]:8080"},
		"192.0.2.2:8080": {"127.0.0.1:8080", "[::1]:8080", "[2001:db8::2]:8080"},
	} {
		p, box := newOffice().peer(t, sockets.Config{}, address, others...)
		wantPeers(t, p, others...)
		p.Remove(p.Peers()...)
		for _, other := range others {
			box.from(other, "another socket")
			wantDatagram(t, p, "another socket", other)
		}
		wantPeers(t, p, others...)
	}
}

func TestPeerOnARealSocketIsNeverItsOwnPeer(t *testing.T) {
	for _, address := range []string{"0", "127.0.0.1:0"} {
		p := loopbackPeer(t, address)
		port := p.LocalAddress().Port()
		p.Add(p.LocalAddress(), netip.AddrPortFrom(netip.IPv4Unspecified(), port),
			netip.AddrPortFrom(netip.IPv6Unspecified(), port), netip.MustParseAddrPort(fmt.Sprint("[::ffff:127.0.0.1]:", port)))
		localhost, err := sockets.ResolveAddress(t.Context(), fmt.Sprint("localhost:", port))
		if err != nil {
			t.Fatal(err)
		}
		p.Add(localhost)
		if p.LocalAddress().Addr().IsUnspecified() {
			ips, err := sockets.LocalIPs()
			if err != nil {
				t.Fatal(err)
			}
			for _, ip := range ips {
				p.Add(netip.AddrPortFrom(ip, port))
			}
		}
		wantPeers(t, p)
		if err := p.Send([]byte("to myself"), netip.AddrPortFrom(netip.IPv4Unspecified(), port)); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, p, "to myself", "")
		wantPeers(t, p)
	}
}

func TestSpellingsOfOneEndpointAreOnePeer(t *testing.T) {
	alice := loopbackPeer(t, "0")
	port := alice.LocalAddress().Port()
	spellings := []string{"0.0.0.0:%d", "[::]:%d", "localhost:%d", "127.0.0.1:%d", "[::ffff:127.0.0.1]:%d", ":%d", "%d", " localhost:%d "}
	var peers []string
	for _, spelling := range spellings {
		peers = append(peers, fmt.Sprintf(spelling, port))
	}
	bob := loopbackPeer(t, "0", peers...)
	wantPeers(t, bob, fmt.Sprint("127.0.0.1:", port))
	if err := bob.SendAll([]byte("once")); err != nil {
		t.Fatal(err)
	}
	if err := bob.SendAll([]byte("the next one")); err != nil {
		t.Fatal(err)
	}
	wantDatagram(t, alice, "once", "")
	wantDatagram(t, alice, "the next one", "")

	bob.Add(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	wantPeers(t, bob, fmt.Sprint("127.0.0.1:", port))
	bob.Remove(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	wantPeers(t, bob)
}

func TestPeerOnAnIPv6AddressReachesThisMachineByIPv6(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "[2001:db8::2]:8080", "0.0.0.0:9", "[::]:9", ":9")
	wantPeers(t, p, "[::1]:9")
	if err := p.Send([]byte("text"), netip.MustParseAddrPort("0.0.0.0:10")); err != nil {
		t.Fatal(err)
	}
	wantParcels(t, box, parcel{"text", "[::1]:10"})
}

func TestPeersIsASortedCopy(t *testing.T) {
	p, _ := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.10:1", "192.0.2.9:2", "[2001:db8::1]:1", "192.0.2.9:1", "alice:1")
	want := []string{"192.0.2.7:1", "192.0.2.9:1", "192.0.2.9:2", "192.0.2.10:1", "[2001:db8::1]:1"}
	wantPeers(t, p, want...)
	clear(p.Peers())
	wantPeers(t, p, want...)
}

func TestPeerLooksNamesUpOnce(t *testing.T) {
	o := newOffice()
	p, box := o.peer(t, sockets.Config{}, " 8080 ", "alice:1", "192.0.2.1:1", "localhost:1")
	for range 3 {
		if err := p.SendAll([]byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	box.from("192.0.2.9:1", "text")
	wantDatagram(t, p, "text", "192.0.2.9:1")
	if diff := cmp.Diff([]string{"name alice", "name localhost", "udp :8080"}, slices.Sorted(slices.Values(o.asked))); diff != "" {
		t.Errorf("the Network was asked: -want +got\n%s", diff)
	}
}

func TestPeerSendNeedsADestination(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080")
	for _, to := range []sockets.Address{
		{},
		netip.MustParseAddrPort("192.0.2.1:0"),
		netip.MustParseAddrPort("0.0.0.0:0"),
		netip.AddrPortFrom(netip.Addr{}, 9),
	} {
		p.Add(to)
		wantPeers(t, p)
		if err := p.Send([]byte("text"), to); err == nil || !strings.Contains(err.Error(), "a destination needs") {
			t.Errorf("Send to %v: %v, want an error that says what a destination needs", to, err)
		}
	}
	wantParcels(t, box)
}

func TestPeerSendReachesWhoIsNoPeer(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.1:1")
	for _, test := range []struct{ to, want string }{
		{"192.0.2.9:9", "192.0.2.9:9"},
		{"[::ffff:192.0.2.9]:9", "192.0.2.9:9"},
		{"0.0.0.0:9", "127.0.0.1:9"},
		{"[::]:9", "127.0.0.1:9"},
		{"127.0.0.1:8080", "127.0.0.1:8080"},
		{"[fe80::9%eth0]:9", "[fe80::9%eth0]:9"},
		{"255.255.255.255:9", "255.255.255.255:9"},
		{"224.0.0.9:9", "224.0.0.9:9"},
	} {
		if err := p.Send([]byte("text"), netip.MustParseAddrPort(test.to)); err != nil {
			t.Errorf("Send to %s: %v", test.to, err)
		}
		wantParcels(t, box, parcel{"text", test.want})
	}
	wantPeers(t, p, "192.0.2.1:1")
}

// systemErrors are those that sending to one peer may give.
var systemErrors = []syscall.Errno{
	syscall.ECONNREFUSED, syscall.EACCES, syscall.EPERM, syscall.ENOBUFS, syscall.ENETUNREACH, syscall.EMSGSIZE,
}

func TestPeerSendAllTriesEveryone(t *testing.T) {
	everyone := []string{"192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3", "192.0.2.4:4", "192.0.2.5:5"}
	for _, errno := range systemErrors {
		for _, failing := range [][]string{everyone[:1], everyone[2:3], everyone[4:], everyone[:2], everyone[1:4], everyone} {
			p, box := newOffice().peer(t, sockets.Config{}, "8080", everyone...)
			var want []parcel
			for _, peer := range everyone {
				if slices.Contains(failing, peer) {
					box.refuseTo(peer, errno)
				} else {
					want = append(want, parcel{"text", peer})
				}
			}
			err := p.SendAll([]byte("text"))
			wantParcels(t, box, want...)
			if !errors.Is(err, errno) {
				t.Errorf("SendAll with %v of %v = %v", error(errno), failing, err)
			}
			if got := errors.Is(err, sockets.ErrMessageTooBig); got != (errno == syscall.EMSGSIZE) {
				t.Errorf("SendAll with %v: errors.Is(%v, ErrMessageTooBig) = %v", error(errno), err, got)
			}
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok || len(joined.Unwrap()) != len(failing) {
				t.Errorf("SendAll with %v of %v = %v, want as many errors", error(errno), failing, err)
				continue
			}
			for i, one := range joined.Unwrap() {
				if !errors.Is(one, errno) || !strings.HasPrefix(one.Error(), "sockets: send to "+failing[i]+": ") {
					t.Errorf("SendAll with %v of %v: %v, want an error of %s", error(errno), failing, one, failing[i])
				}
			}
			wantPeers(t, p, everyone...)
		}
	}
}

func TestPeerSendAllTellsDifferentErrorsApart(t *testing.T) {
	var peers []string
	for i := range systemErrors {
		peers = append(peers, fmt.Sprintf("192.0.2.9:%d", i+1))
	}
	p, box := newOffice().peer(t, sockets.Config{}, "8080", peers...)
	for i, errno := range systemErrors {
		box.refuseTo(peers[i], errno)
	}
	err := p.SendAll([]byte("text"))
	for i, errno := range systemErrors {
		if !errors.Is(err, errno) || strings.Count(err.Error(), "sockets: send to "+peers[i]+": ") != 1 {
			t.Errorf("SendAll = %v, want %v of %s in it, once", err, error(errno), peers[i])
		}
	}
}

// A busyMailbox belongs to a layer on which there is no room to send to one
// peer: WriteTo waits for it until the mailbox is closed.
type busyMailbox struct {
	*mailbox
	busy   string
	once   sync.Once
	closed chan struct{}
}

func (b *busyMailbox) WriteTo(p []byte, to net.Addr) (int, error) {
	if to.String() == b.busy {
		<-b.closed
		return 0, net.ErrClosed
	}
	return b.mailbox.WriteTo(p, to)
}

func (b *busyMailbox) TryWriteTo(p []byte, to net.Addr) (int, error) {
	if to.String() == b.busy {
		return 0, sockets.ErrSlow
	}
	return b.mailbox.WriteTo(p, to)
}

func (b *busyMailbox) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.mailbox.Close()
}

func TestPeerSendWaitsForALayerAndSendAllDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const busy, idle = "192.0.2.1:1", "192.0.2.2:2"
		o := newOffice()
		o.wrap = func(b *mailbox) net.PacketConn {
			return &busyMailbox{mailbox: b, busy: busy, closed: make(chan struct{})}
		}
		p, box := o.peer(t, sockets.Config{}, "8080", busy, idle)
		sent := make(chan error)
		go func() { sent <- p.Send([]byte("one"), netip.MustParseAddrPort(busy)) }()
		synctest.Wait()
		err := p.SendAll([]byte("all"))
		if !errors.Is(err, sockets.ErrSlow) || strings.Count(err.Error(), "sockets: send to ") != 1 {
			t.Errorf("SendAll = %v, want one error, %v of %s", err, sockets.ErrSlow, busy)
		}
		wantParcels(t, box, parcel{"all", idle})
		select {
		case err := <-sent:
			t.Errorf("Send = %v, want it to wait", err)
		default:
		}
		p.Close()
		if err := <-sent; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send after Close = %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestPeerSendAllToNobodyIsNoError(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080")
	if err := p.SendAll([]byte("text")); err != nil {
		t.Errorf("SendAll to nobody: %v", err)
	}
	wantParcels(t, box)
}

func TestPeerThatIsGoneHarmsNoOther(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	alice := loopbackPeer(t, "127.0.0.1:0")
	bob := loopbackPeer(t, "127.0.0.1:0", closed.LocalAddr().String(), alice.LocalAddress().String())
	for i := range 100 {
		if err := bob.SendAll([]byte(strconv.Itoa(i))); err != nil {
			t.Fatalf("SendAll number %d: %v", i, err)
		}
		wantDatagram(t, alice, strconv.Itoa(i), bob.LocalAddress().String())
		if err := alice.SendAll([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, bob, "answer", alice.LocalAddress().String())
	}
	wantPeers(t, bob, texts(slices.SortedFunc(slices.Values([]sockets.Address{sockets.AddressOf(closed.LocalAddr()), alice.LocalAddress()}), sockets.Address.Compare))...)
}

func TestPeerReceiveLearnsTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		alice, _ := o.peer(t, sockets.Config{}, "8080")
		bob, _ := o.peer(t, sockets.Config{}, "8081", "localhost:8080")
		if err := alice.SendAll([]byte("Is there anybody?")); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, bob)
		if err := bob.SendAll([]byte("Hello Alice!")); err != nil {
			t.Fatal(err)
		}
		wantPeers(t, alice)
		wantDatagram(t, alice, "Hello Alice!", "127.0.0.1:8081")
		wantPeers(t, alice, "127.0.0.1:8081")
		if err := alice.SendAll([]byte("Hello Bob, how are you?")); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, bob, "Hello Bob, how are you?", "127.0.0.1:8080")
		wantPeers(t, bob, "127.0.0.1:8080")
	})
}

func TestPeerLearnsUnicastSourcesWithAPortOnly(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080")
	var letters []letter
	for _, forged := range []string{
		"192.0.2.9:0", "[2001:db8::9]:0", "127.0.0.1:0", "0.0.0.0:0",
		"0.0.0.0:9", "[::]:9", "[::ffff:0.0.0.0]:9",
		"224.0.0.1:9", "239.255.255.255:9", "[ff02::1]:9", "[ff02::1%eth0]:9", "[ff0e::1]:9", "[::ffff:224.0.0.1]:9",
		"255.255.255.255:9", "[::ffff:255.255.255.255]:9",
		"127.0.0.1:8080", "192.0.2.2:8080", "[2001:db8::2]:8080", "[fe80::2%eth0]:8080", "[::ffff:192.0.2.2]:8080",
	} {
		letters = append(letters, letter{text: forged, from: clothed(netip.MustParseAddrPort(forged))})
	}
	letters = append(letters, letter{"no IP address", &net.UDPAddr{Port: 9}, nil}, letter{"no address", nil, nil})
	for _, l := range letters {
		box.arrive(l)
		wantDatagram(t, p, l.text, "")
		wantPeers(t, p)
	}

	for _, source := range []struct{ address, want string }{
		{"192.0.2.9:1", "192.0.2.9:1"},
		{"[::ffff:192.0.2.9]:2", "192.0.2.9:2"},
		{"192.0.2.2:8081", "192.0.2.2:8081"},
		{"192.0.2.3:8080", "192.0.2.3:8080"},
		{"[fe80::2%eth0]:8081", "[fe80::2%eth0]:8081"},
		{"[2001:db8::9]:65535", "[2001:db8::9]:65535"},
	} {
		box.from(source.address, "good")
		wantDatagram(t, p, "good", source.want)
		wantPeers(t, p, source.want)
		p.Remove(netip.MustParseAddrPort(source.address))
		wantPeers(t, p)
	}
}

func TestPeerThatIsRemovedIsLearntAgain(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.1:1", "192.0.2.2:2")
	p.Remove(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.9:9"))
	wantPeers(t, p, "192.0.2.2:2")
	if err := p.SendAll([]byte("text")); err != nil {
		t.Fatal(err)
	}
	wantParcels(t, box, parcel{"text", "192.0.2.2:2"})
	for range 2 {
		box.from("192.0.2.1:1", "here I am again")
		wantDatagram(t, p, "here I am again", "192.0.2.1:1")
		wantPeers(t, p, "192.0.2.1:1", "192.0.2.2:2")
		p.Remove(netip.MustParseAddrPort("192.0.2.1:1"))
		wantPeers(t, p, "192.0.2.2:2")
	}
}

func TestPeerLearnsAtMostMaxPeers(t *testing.T) {
	for _, test := range []struct{ limit, want int }{{0, 1024}, {1, 1}, {3, 3}, {-1, 2000}} {
		p, box := newOffice().peer(t, sockets.Config{MaxPeers: test.limit}, "8080")
		for i := range 2000 {
			box.from(fmt.Sprintf("192.0.2.9:%d", i+1), strconv.Itoa(i))
			wantDatagram(t, p, strconv.Itoa(i), "")
		}
		peers := p.Peers()
		if len(peers) != test.want || peers[test.want-1].Port() != uint16(test.want) {
			t.Errorf("with MaxPeers %d, of 2000 senders %d are known, want the first %d", test.limit, len(peers), test.want)
		}
	}
}

func TestNamedPeersDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{MaxPeers: 1}, "8080", "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3")
		hear := func(sender string) {
			t.Helper()
			box.from(sender, "text")
			wantDatagram(t, p, "text", sender)
		}
		hear("192.0.2.1:1")
		hear("192.0.2.9:1")
		hear("192.0.2.9:2")
		wantPeers(t, p, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.9:1")

		time.Sleep(24 * time.Hour)
		hear("192.0.2.9:2")
		wantPeers(t, p, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.9:2")

		p.Add(netip.MustParseAddrPort("192.0.2.9:2"), netip.MustParseAddrPort("192.0.2.9:2"))
		hear("192.0.2.9:3")
		wantPeers(t, p, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.9:2", "192.0.2.9:3")

		p.Remove(netip.MustParseAddrPort("192.0.2.9:3"), netip.MustParseAddrPort("192.0.2.1:3"))
		hear("192.0.2.9:4")
		hear("192.0.2.9:5")
		wantPeers(t, p, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.9:2", "192.0.2.9:4")
	})
}

func TestLearntPeerGivesWayAfterFifteenMinutesOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{MaxPeers: 3}, "8080")
		start := time.Now()
		at := func(minutes time.Duration, sender string, want ...string) {
			t.Helper()
			time.Sleep(time.Until(start.Add(minutes)))
			box.from(sender, "text")
			wantDatagram(t, p, "text", sender)
			wantPeers(t, p, want...)
		}
		const a, b, c, d, e = "192.0.2.9:1", "192.0.2.9:2", "192.0.2.9:3", "192.0.2.9:4", "192.0.2.9:5"
		at(0*time.Minute, a, a)
		at(1*time.Minute, b, a, b)
		at(2*time.Minute, c, a, b, c)
		at(3*time.Minute, d, a, b, c)
		at(10*time.Minute, b, a, b, c)
		at(15*time.Minute-1, d, a, b, c)
		at(15*time.Minute, d, b, c, d)
		at(17*time.Minute-1, e, b, c, d)
		at(17*time.Minute, e, b, d, e)
		at(25*time.Minute-1, c, b, d, e)
		at(25*time.Minute, c, c, d, e)
		at(24*time.Hour, a, a, c, e)
		at(24*time.Hour, b, a, b, c)
		at(24*time.Hour, c, a, b, c)
		at(24*time.Hour, d, a, b, c)
	})
}

// The Peer is compared with what its documentation says, done the simple way.
func TestPeerLearnsAndForgetsAsAModel(t *testing.T) {
	const most, sources, steps = 4, 10, 800
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, seed))
			p, box := newOffice().peer(t, sockets.Config{MaxPeers: most}, "8080")
			heard := make(map[string]time.Time) // zero: named
			for step := range steps {
				time.Sleep(1 + time.Duration(random.Int64N(int64(6*time.Minute))))
				sender := fmt.Sprintf("192.0.2.9:%d", 1+random.IntN(sources))
				address := netip.MustParseAddrPort(sender)
				switch random.IntN(24) {
				case 0:
					p.Add(address)
					heard[sender] = time.Time{}
				case 1, 2:
					p.Remove(address)
					delete(heard, sender)
				default:
					box.from(sender, "text")
					wantDatagram(t, p, "text", sender)
					learnAsAModel(heard, sender, most)
				}
				var want []string
				for peer := range heard {
					want = append(want, peer)
				}
				got := texts(p.Peers())
				slices.Sort(want)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d: Peers() = %v, want %v", seed, step, got, want)
				}
			}
		})
	}
}

func learnAsAModel(heard map[string]time.Time, sender string, most int) {
	last, known := heard[sender]
	switch {
	case known && last.IsZero():
		return
	case !known:
		learnt, quietest := 0, ""
		for peer, last := range heard {
			if !last.IsZero() {
				learnt++
				if quietest == "" || last.Before(heard[quietest]) {
					quietest = peer
				}
			}
		}
		if learnt == most {
			if time.Since(heard[quietest]) < 15*time.Minute {
				return
			}
			delete(heard, quietest)
		}
	}
	heard[sender] = time.Now()
}

// A forger is a socket at which datagrams of ever new senders arrive. It is
// closed after the last one.
type forger struct {
	*mailbox
	left   int
	sender net.UDPAddr
}

func (f *forger) ReadFrom(p []byte) (int, net.Addr, error) {
	if f.left == 0 {
		return 0, nil, net.ErrClosed
	}
	f.left--
	f.sender = net.UDPAddr{IP: append(f.sender.IP[:0], 10, byte(f.left>>16), byte(f.left>>8), byte(f.left)), Port: 1 + f.left%65535}
	return copy(p, "forged"), &f.sender, nil
}

func TestMillionForgedSourcesCostLittle(t *testing.T) {
	const sources = 1_000_000
	o := newOffice()
	o.wrap = func(b *mailbox) net.PacketConn { return &forger{mailbox: b, left: sources} }
	p, _ := o.async(t, sockets.Config{LendPayloads: true}, nil, "192.0.2.1:1")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	told := 0
	p.SetCallback(func([]byte, sockets.Address) { told++ })
	<-p.Done()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d forged sources grow the heap by %d bytes", sources, grown)
	}
	if told != sources || len(p.Peers()) != 1024+1 {
		t.Errorf("of %d forged sources %d were told and %d are known, want all and 1024 beside the named one", sources, told, len(p.Peers()))
	}
}

// A Peer that looked through all that it learnt, for every newcomer, would need
// minutes for this.
func TestFullPeerTakesNoTimeOverForgedSources(t *testing.T) {
	const most, sources, limit = 60_000, 300_000, 30 * time.Second
	o := newOffice()
	o.wrap = func(b *mailbox) net.PacketConn { return &forger{mailbox: b, left: sources} }
	start := time.Now()
	p, _ := o.async(t, sockets.Config{MaxPeers: most, LendPayloads: true}, func([]byte, sockets.Address) {})
	select {
	case <-p.Done():
	case <-time.After(limit):
		t.Fatalf("%d forged sources take more than %v", sources, limit)
	}
	t.Logf("%d forged sources in %v", sources, time.Since(start))
	if len(p.Peers()) != most {
		t.Errorf("%d forged sources are known, want %d", len(p.Peers()), most)
	}
}

func TestPeerReceiveWaitsAsLongAsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{}, "8080")
		for range 3 {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			payload, sender, err := p.Receive(ctx)
			cancel()
			if payload != nil || sender.IsValid() || err != context.DeadlineExceeded || time.Since(start) != 5*time.Second {
				t.Fatalf("Receive with 5 s = %q, %v, %v after %v", payload, sender, err, time.Since(start))
			}
			go func() {
				time.Sleep(24 * time.Hour)
				box.from("192.0.2.9:9", "late")
			}()
			payload, sender, err = p.Receive(context.Background())
			if string(payload) != "late" || sender != netip.MustParseAddrPort("192.0.2.9:9") || err != nil {
				t.Fatalf("Receive after one that was cut short = %q, %v, %v", payload, sender, err)
			}
		}
	})
}

func TestPeerReceiveIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{}, "8080")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		if _, _, err := p.Receive(ctx); err != context.Canceled {
			t.Errorf("Receive that was cancelled: %v, want %v", err, context.Canceled)
		}
		box.from("192.0.2.9:9", "text")
		for range 3 {
			if payload, _, err := p.Receive(ctx); err != context.Canceled {
				t.Errorf("Receive with a context that has ended = %q, %v, want %v", payload, err, context.Canceled)
			}
		}
		wantPeers(t, p)
		wantDatagram(t, p, "text", "192.0.2.9:9")
	})
}

// A datagram that arrives while the context ends is received by this Receive or
// by the next one.
func TestPeerReceiveCutShortLosesNothing(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080")
	for i := range 2000 {
		text := strconv.Itoa(i)
		ctx, cancel := context.WithCancel(t.Context())
		var others sync.WaitGroup
		others.Go(func() { box.from("192.0.2.9:9", text) })
		others.Go(cancel)
		payload, _, err := p.Receive(ctx)
		others.Wait()
		if errors.Is(err, context.Canceled) {
			wantDatagram(t, p, text, "192.0.2.9:9")
		} else if err != nil || string(payload) != text {
			t.Fatalf("Receive = %q, %v, want %q", payload, err, text)
		}
	}
}

func TestPeerManyReceivesShareTheDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{}, "8080")
		payloads := make(chan string, 10)
		for range 10 {
			go func() {
				payload, _, err := p.Receive(t.Context())
				if err != nil {
					t.Error(err)
				}
				payloads <- string(payload)
			}()
		}
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := p.Receive(ctx); err != context.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("Receive behind others, with 1 s: %v after %v", err, time.Since(start))
		}
		var want, got []string
		for i := range 10 {
			want = append(want, strconv.Itoa(i))
			box.from("192.0.2.9:9", strconv.Itoa(i))
		}
		for range want {
			got = append(got, <-payloads)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("10 Receives: -want +got\n%s", diff)
		}
	})
}

func TestPeerReceiveOnARealSocketIsCutShort(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	bob := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String())
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, _, err := alice.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Receive of nothing: %v, want %v", err, context.DeadlineExceeded)
		}
		cancel()
		if err := bob.SendAll([]byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, alice, strconv.Itoa(i), bob.LocalAddress().String())
	}
}

func TestPeerIsClosed(t *testing.T) {
	for name, peer := range map[string]func(t *testing.T) *sockets.Peer{
		"office":   func(t *testing.T) *sockets.Peer { p, _ := newOffice().peer(t, sockets.Config{}, "8080"); return p },
		"loopback": func(t *testing.T) *sockets.Peer { return loopbackPeer(t, "127.0.0.1:0") },
	} {
		t.Run(name, func(t *testing.T) {
			p := peer(t)
			to := netip.MustParseAddrPort("127.0.0.1:9")
			p.Add(to)
			errs := make(chan error)
			for range 3 {
				go func() {
					_, _, err := p.Receive(context.Background())
					errs <- err
				}()
			}
			for range 3 {
				if err := p.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			for range 3 {
				if err := <-errs; err != net.ErrClosed {
					t.Errorf("Receive when Close is called: %v, want %v", err, net.ErrClosed)
				}
			}
			if _, _, err := p.Receive(t.Context()); err != net.ErrClosed {
				t.Errorf("Receive after Close: %v, want %v", err, net.ErrClosed)
			}
			if err := p.Send([]byte("text"), to); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send after Close: %v, want %v", err, net.ErrClosed)
			}
			if err := p.SendAll([]byte("text")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("SendAll after Close: %v, want %v", err, net.ErrClosed)
			}
			wantPeers(t, p, to.String())
		})
	}
}

func TestPeerCloseWakesAReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newOffice().peer(t, sockets.Config{}, "8080")
		errs := make(chan error)
		for range 3 {
			go func() {
				_, _, err := p.Receive(context.Background())
				errs <- err
			}()
		}
		synctest.Wait()
		p.Close()
		for range 3 {
			if err := <-errs; err != net.ErrClosed {
				t.Errorf("Receive when Close is called: %v, want %v", err, net.ErrClosed)
			}
		}
	})
}

func TestPeerCloseReturnsTheErrorOfTheSocket(t *testing.T) {
	o := newOffice()
	broken := errors.New("broken")
	o.onClose = func() error { return broken }
	p, _ := o.peer(t, sockets.Config{}, "8080")
	if err := p.Close(); !errors.Is(err, broken) {
		t.Errorf("Close: %v, want %v", err, broken)
	}
	o.onClose = nil
}

func TestPeerCloseFreesThePort(t *testing.T) {
	first := loopbackPeer(t, "127.0.0.1:0")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := loopbackPeer(t, first.LocalAddress().String())
	if second.LocalAddress() != first.LocalAddress() {
		t.Errorf("bound to %v, want %v", second.LocalAddress(), first.LocalAddress())
	}
}

func TestPeerReceiveSurvivesTransientErrors(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.1:1")
	for round := range 3 {
		for i := range 50 {
			box.arrive(letter{err: systemErrors[i%len(systemErrors)]})
		}
		box.from("192.0.2.1:1", strconv.Itoa(round))
		wantDatagram(t, p, strconv.Itoa(round), "192.0.2.1:1")
	}
	wantPeers(t, p, "192.0.2.1:1")
}

func TestPeerSurvivesASecondWithoutANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		o := newOffice()
		async, asyncBox := o.async(t, sockets.Config{}, func(payload []byte, _ sockets.Address) { told = append(told, string(payload)) })
		p, box := o.peer(t, sockets.Config{}, "8081")
		for _, b := range []*mailbox{asyncBox, box} {
			b.failForEver(syscall.ENETDOWN)
			time.AfterFunc(time.Second, func() {
				b.failForEver(nil)
				b.from("192.0.2.9:9", "up again")
			})
		}
		wantDatagram(t, p, "up again", "192.0.2.9:9")
		synctest.Wait()
		if diff := cmp.Diff([]string{"up again"}, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
		wantPeers(t, async.Peer, "192.0.2.9:9")
	})
}

func TestPeerReceiveReturnsAnErrorThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{}, "8080")
		box.from("192.0.2.1:1", "before")
		wantDatagram(t, p, "before", "192.0.2.1:1")
		box.failForEver(syscall.ENOBUFS)
		payload, sender, err := p.Receive(t.Context())
		if payload != nil || sender.IsValid() || !errors.Is(err, syscall.ENOBUFS) || !strings.HasPrefix(err.Error(), "sockets: receive: ") {
			t.Errorf("Receive of endless errors = %q, %v, %v", payload, sender, err)
		}
		box.failForEver(nil)
		box.from("192.0.2.1:1", "after")
		wantDatagram(t, p, "after", "192.0.2.1:1")
	})
}

func TestPeerReceiveTellsOfAnUnreachablePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.1:1")
		for _, gone := range []string{"192.0.2.1:1", "192.0.2.9:9"} {
			box.arrive(letter{from: clothed(netip.MustParseAddrPort(gone)), err: sockets.ErrPeerUnreachable})
			payload, sender, err := p.Receive(t.Context())
			if payload != nil || sender.String() != gone || !errors.Is(err, sockets.ErrPeerUnreachable) {
				t.Errorf("Receive = %q, %v, %v, want that %s is unreachable", payload, sender, err, gone)
			}
			wantPeers(t, p, "192.0.2.1:1")
		}
		box.from("192.0.2.1:1", "here I am")
		wantDatagram(t, p, "here I am", "192.0.2.1:1")
	})
}

func TestPeerSendTellsOfAnUnreachablePeer(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3")
	box.refuseTo("192.0.2.2:2", sockets.ErrPeerUnreachable)
	if err := p.Send([]byte("text"), netip.MustParseAddrPort("192.0.2.2:2")); !errors.Is(err, sockets.ErrPeerUnreachable) {
		t.Errorf("Send to who is unreachable: %v, want %v", err, sockets.ErrPeerUnreachable)
	}
	err := p.SendAll([]byte("text"))
	if !errors.Is(err, sockets.ErrPeerUnreachable) || !strings.Contains(err.Error(), "192.0.2.2:2") {
		t.Errorf("SendAll with one who is unreachable: %v, want that %v is", err, "192.0.2.2:2")
	}
	wantParcels(t, box, parcel{"text", "192.0.2.1:1"}, parcel{"text", "192.0.2.3:3"})
	wantPeers(t, p, "192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3")
}

func TestPeerReceivedPayloadBelongsToTheCaller(t *testing.T) {
	for _, lend := range []bool{false, true} {
		p, box := newOffice().peer(t, sockets.Config{LendPayloads: lend}, "8080")
		var kept [][]byte
		for i := range 10 {
			box.from("192.0.2.1:1", noise(i*100))
			payload, _, err := p.Receive(t.Context())
			if err != nil || payload == nil {
				t.Fatalf("Receive = %q, %v", payload, err)
			}
			_ = append(payload, "more"...)
			kept = append(kept, payload)
		}
		for i, payload := range kept {
			if string(payload) != noise(i*100) {
				t.Errorf("LendPayloads %v: payload %d has changed", lend, i)
			}
		}
	}
}

func TestBytesPassUnchanged(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	bob := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String())
	for _, text := range []string{"", "\x00", "\xff\xfe invalid", "a\r\nb\x1b[2J", "<LEAVES THE CHAT>", "\x00\x00\x00\x1d", noise(512)} {
		if err := bob.SendAll([]byte(text)); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, alice, text, bob.LocalAddress().String())
	}
}

func TestPeerSentPayloadMayBeReused(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080", "192.0.2.1:1", "192.0.2.1:2")
	payload := []byte("one")
	if err := p.SendAll(payload); err != nil || string(payload) != "one" {
		t.Errorf("SendAll = %v, and the payload is %q", err, payload)
	}
	copy(payload, "two")
	if err := p.SendAll(payload); err != nil {
		t.Error(err)
	}
	wantParcels(t, box, parcel{"one", "192.0.2.1:1"}, parcel{"one", "192.0.2.1:2"}, parcel{"two", "192.0.2.1:1"}, parcel{"two", "192.0.2.1:2"})
}

func TestPeerMethodsAtOnce(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	bob := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String())
	other := netip.MustParseAddrPort("127.0.0.1:9")
	var group sync.WaitGroup
	for range 2 {
		for _, do := range []func(){
			func() { alice.Add(other, bob.LocalAddress()) },
			func() { alice.Remove(other, bob.LocalAddress()) },
			func() { alice.SendAll(alice.LocalAddress().AppendTo(nil)) },
			func() { bob.SendAll([]byte("text")) },
			func() { alice.Send(nil, bob.LocalAddress()) },
			func() { clear(alice.Peers()) },
			func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				if payload, _, err := alice.Receive(ctx); err == nil {
					clear(payload)
				} else if !errors.Is(err, context.DeadlineExceeded) && err != net.ErrClosed {
					t.Error(err)
				}
			},
		} {
			group.Go(func() {
				for range 200 {
					do()
				}
			})
		}
	}
	group.Wait()
	group.Go(func() { alice.Close() })
	for range 3 {
		group.Go(func() {
			for {
				alice.Add(other)
				if err := alice.SendAll([]byte("text")); errors.Is(err, net.ErrClosed) {
					return
				}
			}
		})
	}
	group.Wait()
}

func TestNewPeerSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ address, peer, want string }{
		{"65536", "alice:1", "ports are the numbers 0-65535"},
		{"8080:http", "alice:1", "ports are the numbers 0-65535"},
		{"8080", "alice:65536", "ports are the numbers 0-65535"},
		{"8080", "alice:-1", "ports are the numbers 0-65535"},
		{"8080", "alice:1:2", "want HOST:PORT"},
		{"8080", "nobody:1", "nobody"},
		{"8080", "alice", `peer "alice": a destination needs a port`},
		{"8080", "alice:0", `peer "alice:0": a destination needs a port`},
		{"8080", "0", `peer "0": a destination needs a port`},
		{"8080", "", `peer "": a destination needs a port`},
		{"8080", "192.0.2.1:0", `peer "192.0.2.1:0": a destination needs a port`},
	} {
		for _, peers := range [][]string{{test.peer}, {"localhost:1", test.peer}, {test.peer, "localhost:1"}} {
			o := newOffice()
			cfg := sockets.Config{Network: o}
			p, err := cfg.NewPeer(test.address, peers)
			async, asyncErr := cfg.NewAsyncPeer(test.address, peers, func([]byte, sockets.Address) {})
			if p != nil || async != nil || err == nil || asyncErr == nil || err.Error() != asyncErr.Error() || !strings.Contains(err.Error(), test.want) {
				t.Errorf("NewPeer(%q, %q): %v, %v, want twice an error that says %s", test.address, peers, err, asyncErr, test.want)
			}
			if open := o.open(); open != 0 {
				t.Errorf("NewPeer(%q, %q) fails and leaves %d sockets open", test.address, peers, open)
			}
		}
	}
}

func TestNewPeerWithAnUnknownHost(t *testing.T) {
	_, err := (&sockets.Config{Network: newOffice()}).NewPeer("8080", []string{"alice:1", "nobody:1"})
	var unknown *net.DNSError
	if !errors.As(err, &unknown) || !unknown.IsNotFound || unknown.Name != "nobody" {
		t.Errorf("NewPeer with an unknown host: %v, want a DNSError that says not found", err)
	}
}

func TestNewPeerWithoutLocalAddresses(t *testing.T) {
	o := newOffice()
	o.ipsErr = errors.New("no interfaces")
	p, err := (&sockets.Config{Network: o}).NewPeer("8080", nil)
	if p != nil || !errors.Is(err, o.ipsErr) {
		t.Errorf("NewPeer = %v, %v, want %v", p, err, o.ipsErr)
	}
	if open := o.open(); open != 0 {
		t.Errorf("NewPeer fails and leaves %d sockets open", open)
	}
	o.peer(t, sockets.Config{}, "127.0.0.1:8080")
}

func TestDialTimeoutBoundsTheLookUps(t *testing.T) {
	for _, test := range []struct{ timeout, want time.Duration }{{0, 10 * time.Second}, {2 * time.Second, 2 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			o := newOffice()
			o.lookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
				select {
				case <-time.After(time.Second + time.Second/2):
					return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			peers := []string{"a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:1", "h:1"}
			start := time.Now()
			p, err := (&sockets.Config{Network: o, DialTimeout: test.timeout}).NewPeer("8080", peers)
			if p != nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != test.want {
				t.Errorf("NewPeer = %v, %v after %v, want %v after %v", p, err, time.Since(start), context.DeadlineExceeded, test.want)
			}
			if open := o.open(); open != 0 {
				t.Errorf("NewPeer fails and leaves %d sockets open", open)
			}
			o.peer(t, sockets.Config{DialTimeout: test.timeout}, "8080", "a:1")
			start = time.Now()
			if p, _ := o.peer(t, sockets.Config{DialTimeout: -1}, "8080", peers...); len(p.Peers()) != 1 || time.Since(start) != 12*time.Second {
				t.Errorf("NewPeer without a limit knows %v after %v", p.Peers(), time.Since(start))
			}
		})
	}
}

func TestAsyncPeerTellsItsCallbackEveryDatagram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []parcel
		_, box := newOffice().async(t, sockets.Config{}, func(payload []byte, sender sockets.Address) {
			told = append(told, parcel{string(payload), sender.String()})
		})
		var want []parcel
		for i := range 100 {
			want = append(want, parcel{noise(i), fmt.Sprintf("192.0.2.9:%d", i+1)})
			box.from(want[i].To, want[i].Text)
		}
		synctest.Wait()
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
	})
}

func TestAsyncPeersChatOverLoopback(t *testing.T) {
	texts := make(chan string)
	alice, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	alice.SetCallback(func(payload []byte, sender sockets.Address) {
		if err := alice.SendAll(append([]byte("you said "), payload...)); err != nil {
			t.Error(err)
		}
	})
	bob, err := sockets.NewAsyncPeer("127.0.0.1:0", []string{alice.LocalAddress().String()}, func(payload []byte, sender sockets.Address) {
		texts <- string(payload)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := bob.SendAll([]byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		if got, want := <-texts, "you said "+strconv.Itoa(i); got != want {
			t.Errorf("the callback was told %q, want %q", got, want)
		}
	}
	for _, p := range []*sockets.AsyncPeer{alice, bob} {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		<-p.Done()
	}
}

func TestNobodyIsLearntBeforeSetCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().async(t, sockets.Config{}, nil, "192.0.2.1:1")
		box.from("192.0.2.9:9", "early")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantPeers(t, p.Peer, "192.0.2.1:1")
		if reads := box.readCalls(); reads != 0 {
			t.Errorf("%d calls to receive before SetCallback", reads)
		}
		var told []string
		p.SetCallback(func(payload []byte, sender sockets.Address) {
			told = append(told, string(payload))
			wantPeers(t, p.Peer, "192.0.2.1:1", "192.0.2.9:9")
		})
		synctest.Wait()
		if diff := cmp.Diff([]string{"early"}, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
	})
}

func TestAsyncPeerReceivesUntilItHasACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().async(t, sockets.Config{}, nil)
		box.from("192.0.2.9:9", "one")
		wantDatagram(t, p.Peer, "one", "192.0.2.9:9")
		var told []string
		p.SetCallback(func(payload []byte, sender sockets.Address) { told = append(told, string(payload)) })
		box.from("192.0.2.9:9", "two")
		synctest.Wait()
		if diff := cmp.Diff([]string{"two"}, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
	})
}

// checkCallbackSet wants Receive to say at once that a callback receives.
func checkCallbackSet(t *testing.T, when string, p *sockets.Peer) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if payload, _, err := p.Receive(ctx); err != sockets.ErrCallbackSet || time.Since(start) != 0 {
		t.Errorf("Receive %s = %q, %v after %v, want %v at once", when, payload, err, time.Since(start), sockets.ErrCallbackSet)
	}
}

func TestPeerReceiveSaysThatACallbackIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().async(t, sockets.Config{}, nil)
		told := 0
		p.SetCallback(func([]byte, sockets.Address) {
			told++
			checkCallbackSet(t, "in the callback", p.Peer)
			time.Sleep(time.Minute)
		})
		checkCallbackSet(t, "when a callback was set", p.Peer)
		synctest.Wait()
		checkCallbackSet(t, "while the callback waits for datagrams", p.Peer)
		box.from("192.0.2.9:9", "text")
		synctest.Wait()
		checkCallbackSet(t, "while the callback runs", p.Peer)
		time.Sleep(2 * time.Minute)
		p.Close()
		<-p.Done()
		checkCallbackSet(t, "after Close", p.Peer)
		if told != 1 {
			t.Errorf("the callback was told %d datagrams, want 1", told)
		}
	})
}

func TestPeerSetCallbackEndsTheReceivesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().async(t, sockets.Config{}, nil)
		start := time.Now()
		errs := make(chan error)
		for range 5 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				_, _, err := p.Peer.Receive(ctx)
				errs <- err
			}()
		}
		synctest.Wait()
		var told []string
		p.SetCallback(func(payload []byte, sender sockets.Address) { told = append(told, string(payload)) })
		for range 5 {
			if err := <-errs; err != sockets.ErrCallbackSet || time.Since(start) != 0 {
				t.Errorf("Receive when a callback is set: %v after %v, want %v at once", err, time.Since(start), sockets.ErrCallbackSet)
			}
		}
		box.from("192.0.2.9:9", "text")
		synctest.Wait()
		if diff := cmp.Diff([]string{"text"}, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
	})
}

// Whatever the order in which they come, no Receive is left behind.
func TestPeerReceiveAgainstSetCallback(t *testing.T) {
	for range 500 {
		o := newOffice()
		p, _ := o.async(t, sockets.Config{}, nil)
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				_, _, err := p.Receive(context.Background())
				errs <- err
			}()
		}
		runtime.Gosched()
		p.SetCallback(func([]byte, sockets.Address) {})
		for range cap(errs) {
			select {
			case err := <-errs:
				if err != sockets.ErrCallbackSet {
					t.Fatalf("Receive = %v, want %v", err, sockets.ErrCallbackSet)
				}
			case <-time.After(10 * time.Second):
				p.Close()
				t.Fatal("a Receive waits though a callback receives")
			}
		}
		p.Close()
		<-p.Done()
	}
}

func TestPeerSetCallbackOnce(t *testing.T) {
	const want = "sockets: AsyncPeer.SetCallback: once, and not nil"
	panicOf := func(f func()) (what any) {
		defer func() { what = recover() }()
		f()
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		told, wrong := 0, 0
		first := func([]byte, sockets.Address) { told++ }
		second := func([]byte, sockets.Address) { wrong++ }
		late, lateBox := newOffice().async(t, sockets.Config{}, nil)
		if got := panicOf(func() { late.SetCallback(nil) }); got != want {
			t.Errorf("SetCallback(nil): panic(%v), want panic(%s)", got, want)
		}
		late.SetCallback(first)
		early, earlyBox := newOffice().async(t, sockets.Config{}, first)
		for _, p := range []*sockets.AsyncPeer{late, early} {
			for range 2 {
				if got := panicOf(func() { p.SetCallback(second) }); got != want {
					t.Errorf("SetCallback again: panic(%v), want panic(%s)", got, want)
				}
			}
		}
		lateBox.from("192.0.2.9:9", "text")
		synctest.Wait()
		earlyBox.from("192.0.2.9:9", "text")
		synctest.Wait()
		if told != 2 || wrong != 0 {
			t.Errorf("the first callback was told %d datagrams and the second %d, want 2 and 0", told, wrong)
		}
	})
}

func TestPeerSetCallbackAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().async(t, sockets.Config{}, nil)
		box.from("192.0.2.9:9", "text")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		p.SetCallback(func(payload []byte, sender sockets.Address) { t.Errorf("the callback is told %q after Close", payload) })
		synctest.Wait()
		<-p.Done()
		wantPeers(t, p.Peer)
		checkCallbackSet(t, "with a callback set after Close", p.Peer)
	})
}

// The callback that is set while Close runs may still be told what has arrived,
// but not once Done says that no callback runs any more.
func TestPeerDoneComesAfterACallbackThatIsSetDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		p, box := o.async(t, sockets.Config{}, nil)
		box.from("192.0.2.9:9", "text")
		o.onClose = func() error {
			o.onClose = nil
			p.SetCallback(func([]byte, sockets.Address) {
				select {
				case <-p.Done():
					t.Error("Done is closed while the callback runs")
				default:
				}
			})
			synctest.Wait()
			return nil
		}
		p.Close()
		<-p.Done()
	})
}

func TestPeerDoneWaitsForTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returned := false
		p, box := newOffice().async(t, sockets.Config{}, func([]byte, sockets.Address) {
			time.Sleep(time.Hour)
			returned = true
		})
		select {
		case <-p.Done():
			t.Fatal("Done before Close")
		default:
		}
		box.from("192.0.2.9:9", "one")
		box.from("192.0.2.9:9", "two")
		synctest.Wait()
		start := time.Now()
		if err := p.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %v, want nil at once", err, time.Since(start))
		}
		<-p.Done()
		if !returned || time.Since(start) != time.Hour {
			t.Errorf("Done %v after Close, the callback has returned: %v", time.Since(start), returned)
		}
	})
}

func TestCallbackOfAPeerNeverRunsTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, told := 0, 0
		enter := func() {
			if running++; running > 1 {
				t.Error("two callbacks at once")
			}
			time.Sleep(time.Second)
			running--
			told++
		}
		cfg := sockets.Config{PeerError: func(sockets.Address, error) { enter() }}
		_, box := newOffice().async(t, cfg, func([]byte, sockets.Address) { enter() })
		for i := range 10 {
			go box.from("192.0.2.9:9", "text")
			go box.arrive(letter{from: clothed(netip.MustParseAddrPort("192.0.2.9:9")), err: sockets.ErrPeerUnreachable})
			if i == 5 {
				synctest.Wait()
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 20 {
			t.Errorf("%d callbacks, want 20", told)
		}
	})
}

func TestEveryMethodOfAPeerMayBeCalledInItsCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, box := newOffice().async(t, sockets.Config{}, nil, "192.0.2.1:1")
		p.SetCallback(func(payload []byte, sender sockets.Address) {
			wantPeers(t, p.Peer, "192.0.2.1:1", "192.0.2.9:9")
			p.Remove(netip.MustParseAddrPort("192.0.2.1:1"))
			p.Add(netip.MustParseAddrPort("192.0.2.2:2"))
			if err := p.SendAll(payload); err != nil {
				t.Error(err)
			}
			if err := p.Send([]byte(p.LocalAddress().String()), sender); err != nil {
				t.Error(err)
			}
			checkCallbackSet(t, "in the callback", p.Peer)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		box.from("192.0.2.9:9", "text")
		box.from("192.0.2.9:9", "no callback for this one")
		<-p.Done()
		wantParcels(t, box, parcel{"text", "192.0.2.2:2"}, parcel{"text", "192.0.2.9:9"}, parcel{"[::]:8080", "192.0.2.9:9"})
	})
}

func TestPeerCloseInTheCallbackOnARealSocket(t *testing.T) {
	p, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	p.SetCallback(func([]byte, sockets.Address) {
		told++
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		if err := p.Send(nil, p.LocalAddress()); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
	<-p.Done()
	if told != 1 {
		t.Errorf("the callback was told %d datagrams, want the one in which it closed", told)
	}
}

func TestPeerPayloadBelongsToTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept [][]byte
		_, box := newOffice().async(t, sockets.Config{}, func(payload []byte, _ sockets.Address) {
			if payload == nil {
				t.Error("a nil payload")
			}
			_ = append(payload, "more"...)
			kept = append(kept, payload)
		})
		for i := range 10 {
			box.from("192.0.2.9:9", noise(i*100))
		}
		synctest.Wait()
		for i, payload := range kept {
			if string(payload) != noise(i*100) {
				t.Errorf("payload %d has changed", i)
			}
		}
		if len(kept) != 10 {
			t.Errorf("%d payloads, want 10", len(kept))
		}
	})
}

func TestPeerPayloadIsLentToTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept [][]byte
		_, box := newOffice().async(t, sockets.Config{LendPayloads: true}, func(payload []byte, _ sockets.Address) {
			if len(payload) != cap(payload) {
				t.Errorf("a lent payload of %d bytes has room for %d", len(payload), cap(payload))
			}
			kept = append(kept, payload)
		})
		box.from("192.0.2.9:9", "one")
		synctest.Wait()
		if string(kept[0]) != "one" {
			t.Errorf("payload %q, want one", kept[0])
		}
		box.from("192.0.2.9:9", "two")
		synctest.Wait()
		if &kept[0][0] != &kept[1][0] {
			t.Error("a lent payload was copied")
		}
	})
}

func TestPeerErrorIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		var p *sockets.AsyncPeer
		cfg := sockets.Config{PeerError: func(peer sockets.Address, err error) {
			if !errors.Is(err, sockets.ErrPeerUnreachable) {
				t.Errorf("PeerError is told %v", err)
			}
			told = append(told, "gone "+peer.String())
			p.Remove(peer)
		}}
		p, box := newOffice().async(t, cfg, nil, "192.0.2.1:1", "192.0.2.2:2")
		box.from("192.0.2.2:2", "one")
		box.arrive(letter{from: clothed(netip.MustParseAddrPort("192.0.2.1:1")), err: sockets.ErrPeerUnreachable})
		box.from("192.0.2.2:2", "two")
		p.SetCallback(func(payload []byte, sender sockets.Address) { told = append(told, string(payload)) })
		synctest.Wait()
		if diff := cmp.Diff([]string{"one", "gone 192.0.2.1:1", "two"}, told); diff != "" {
			t.Errorf("was told: -want +got\n%s", diff)
		}
		wantPeers(t, p.Peer, "192.0.2.2:2")
	})
}

func TestUnreachablePeerEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		p, box := newOffice().async(t, sockets.Config{}, func(payload []byte, _ sockets.Address) { told = append(told, string(payload)) })
		gone := letter{from: clothed(netip.MustParseAddrPort("192.0.2.1:1")), err: sockets.ErrPeerUnreachable}
		for range 1000 {
			box.arrive(gone)
		}
		box.from("192.0.2.9:9", "text")
		synctest.Wait()
		if diff := cmp.Diff([]string{"text"}, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
		wantPeers(t, p.Peer, "192.0.2.9:9")
	})
}

func TestPeerCloseInPeerError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *sockets.AsyncPeer
		cfg := sockets.Config{PeerError: func(sockets.Address, error) { p.Close() }}
		p, box := newOffice().async(t, cfg, nil)
		p.SetCallback(func(payload []byte, _ sockets.Address) { t.Errorf("the callback is told %q after Close", payload) })
		box.arrive(letter{from: clothed(netip.MustParseAddrPort("192.0.2.1:1")), err: sockets.ErrPeerUnreachable})
		box.from("192.0.2.9:9", "text")
		<-p.Done()
	})
}

func TestAsyncPeerSurvivesTransientErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told, want []string
		unreachable := 0
		cfg := sockets.Config{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			PeerError: func(peer sockets.Address, err error) {
				if unreachable++; !errors.Is(err, sockets.ErrPeerUnreachable) {
					t.Errorf("PeerError is told %v of %v", err, peer)
				}
			},
		}
		p, box := newOffice().async(t, cfg, func(payload []byte, _ sockets.Address) { told = append(told, string(payload)) })
		for round := range 10 {
			for i := range 50 {
				box.arrive(letter{err: systemErrors[i%len(systemErrors)]})
			}
			box.arrive(letter{from: clothed(netip.MustParseAddrPort("192.0.2.1:1")), err: sockets.ErrPeerUnreachable})
			want = append(want, strconv.Itoa(round))
			box.from("192.0.2.9:9", want[round])
		}
		synctest.Wait()
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("the callback was told: -want +got\n%s", diff)
		}
		p.Close()
		<-p.Done()
		if log.Len() > 0 || unreachable != 10 {
			t.Errorf("PeerError is told %d times, want 10; logged: %s", unreachable, log.String())
		}
	})
}

func TestAsyncPeerGivesUpOverErrorsThatDoNotEnd(t *testing.T) {
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			cfg := sockets.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			if silent {
				cfg.Logger = nil
			}
			var told []string
			p, box := newOffice().async(t, cfg, func(payload []byte, _ sockets.Address) { told = append(told, string(payload)) }, "192.0.2.1:1")
			box.from("192.0.2.9:9", "text")
			box.failForEver(syscall.ENOBUFS)
			<-p.Done()
			if reads := box.readCalls(); reads > 1000 {
				t.Errorf("it gave up after %d reads", reads)
			}
			if diff := cmp.Diff([]string{"text"}, told); diff != "" {
				t.Errorf("the callback was told: -want +got\n%s", diff)
			}
			if got := strings.Count(log.String(), "\n"); got != 1 && !silent || got != 0 && silent {
				t.Errorf("%d lines are logged, want one unless there is no Logger: %s", got, log.String())
			}
			for _, want := range []string{"level=ERROR", "[::]:8080", error(syscall.ENOBUFS).Error()} {
				if !silent && !strings.Contains(log.String(), want) {
					t.Errorf("logged: %s, want %s in it", log.String(), want)
				}
			}
			checkCallbackSet(t, "after it gave up", p.Peer)
			if err := p.SendAll([]byte("text")); err != nil {
				t.Errorf("SendAll when nothing is received any more: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Errorf("Close when nothing is received any more: %v", err)
			}
		})
	}
}

func TestStrangersAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		told := 0
		alice, box := o.async(t, sockets.Config{}, func([]byte, sockets.Address) { told++ }, "192.0.2.1:1")
		bob, bobsBox := o.peer(t, sockets.Config{}, "8081", "localhost:8080")
		strange := []string{"", "\x00", noise(1200), sockets.ExitMessage, "GET / HTTP/1.1\r\n\r\n", string(sockets.NewMessage(sockets.ExitMessage, "Mallory").Bytes())}
		for _, text := range strange {
			box.from("192.0.2.66:9", text)
			if err := bob.SendAll([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wantParcels(t, box)
		wantNothing(t, bob)
		if sent := bobsBox.parcels(); len(sent) != len(strange) || told != 2*len(strange) {
			t.Errorf("%d datagrams sent and %d told, want %d and %d", len(sent), told, len(strange), 2*len(strange))
		}
		wantPeers(t, alice.Peer, "127.0.0.1:8081", "192.0.2.1:1", "192.0.2.66:9")
	})
}
