package endpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
)

// A place is an address to bind to, and how one that is bound there is reached.
type place struct{ network, address, reached string }

var (
	place4    = place{"udp4", "127.0.0.1:0", "127.0.0.1"}
	place6    = place{"udp6", "[::1]:0", "::1"}
	placeBoth = place{"udp", "[::]:0", ""}
)

// bind returns a UDP socket of the kernel, which the end of the test closes. It
// skips the test where the system has none there.
func (p place) bind(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenPacket(p.network, p.address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}

// socket returns a Socket, and where it is reached from loopback of IPv4, or of
// IPv6.
func (p place) socket(t *testing.T) (*endpoint.Socket, netip.AddrPort) {
	t.Helper()
	s := endpoint.NewSocket(p.bind(t))
	here := endpoint.Of(s.LocalAddr())
	if p.reached != "" {
		here = netip.AddrPortFrom(netip.MustParseAddr(p.reached), here.Port())
	}
	return s, here
}

const patience = 10 * time.Second

// wantRead reads payloads from a socket, and nothing else.
func wantRead(t *testing.T, conn *net.UDPConn, sender netip.AddrPort, payloads ...[]byte) {
	t.Helper()
	buffer := make([]byte, 1<<16)
	conn.SetReadDeadline(time.Now().Add(patience))
	for i, want := range payloads {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil || !bytes.Equal(buffer[:n], want) {
			t.Fatalf("datagram %d of %d is of %d bytes, %.20q, %v, want %d bytes %.20q", i, len(payloads), n, buffer[:n], err, len(want), want)
		}
		if from.Port() != sender.Port() {
			t.Fatalf("datagram %d is from %v, want %v", i, from, sender)
		}
	}
}

// wantReceived is wantRead for a Socket.
func wantReceived(t *testing.T, s *endpoint.Socket, sender netip.AddrPort, payloads ...[]byte) {
	t.Helper()
	for i, want := range payloads {
		s.SetReadDeadline(time.Now().Add(patience))
		payload, from, err := s.Receive()
		if err != nil || from != sender || !bytes.Equal(payload, want) || cap(payload) != len(payload) {
			t.Fatalf("Receive number %d of %d = %d bytes, capacity %d, %.20q, %v, %v, want %d bytes %.20q from %v",
				i, len(payloads), len(payload), cap(payload), payload, from, err, len(want), want, sender)
		}
	}
	s.SetReadDeadline(time.Time{})
}

// numbered returns payloads of these sizes, each of them another.
func numbered(sizes ...int) (payloads [][]byte) {
	for i, size := range sizes {
		payload := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(size)}).Read(payload)
		payloads = append(payloads, payload)
	}
	return payloads
}

func equal(count, size int) []int { return slices.Repeat([]int{size}, count) }

func TestSendAllReachesEveryone(t *testing.T) {
	const members = 150
	for name, row := range map[string]struct {
		own    place
		others []place
	}{
		"IPv4":          {place4, []place{place4}},
		"IPv6":          {place6, []place{place6}},
		"IPv4 and IPv6": {placeBoth, []place{place4, place6, place6, place4}},
	} {
		t.Run(name, func(t *testing.T) {
			s, here := row.own.socket(t)
			var conns []*net.UDPConn
			var peers []netip.AddrPort
			for i := range members {
				conn := row.others[i%len(row.others)].bind(t)
				conns = append(conns, conn)
				peers = append(peers, endpoint.Of(conn.LocalAddr()))
			}
			for _, n := range []int{0, 1, 2, 63, 64, 65, members} {
				payloads := numbered(0, 1, n, 1200)
				for _, payload := range payloads {
					if sent, err := s.SendAll(payload, peers[:n]); sent != n || err != nil {
						t.Fatalf("SendAll of %d bytes to %d = %d, %v", len(payload), n, sent, err)
					}
				}
				for _, conn := range conns[:n] {
					wantRead(t, conn, here, payloads...)
				}
			}
			longest := numbered(65507)[0]
			if sent, err := s.SendAll(longest, peers[:3]); err != nil {
				t.Skipf("this system does not send 65,507 bytes: %d, %v", sent, err)
			}
			for _, conn := range conns[:3] {
				wantRead(t, conn, here, longest)
			}
		})
	}
}

// A destination that needs the name of an interface, or that the socket cannot
// have at all, does not hold up the others.
func TestSendAllStopsAtEachErrorOnce(t *testing.T) {
	s, here := place4.socket(t)
	const members = 140
	var conns []*net.UDPConn
	var peers []netip.AddrPort
	for range members {
		conn := place4.bind(t)
		conns = append(conns, conn)
		peers = append(peers, endpoint.Of(conn.LocalAddr()))
	}
	bad := map[int]string{
		0: "127.0.0.1:0", 1: "[::1]:9", 5: "[fe80::1%nowhere]:9", 63: "127.0.0.1:0", 64: "[::1]:9", 65: "127.0.0.1:0",
		127: "[::1]:9", 128: "127.0.0.1:0", members - 1: "127.0.0.1:0",
	}
	for i, text := range bad {
		peers[i] = netip.MustParseAddrPort(text)
	}
	var failed []int
	for at := 0; at < len(peers); at++ {
		sent, err := s.SendAll([]byte("text"), peers[at:])
		if at += sent; err == nil {
			break
		}
		failed = append(failed, at)
		want := s.Send([]byte("text"), peers[at])
		if want == nil || err.Error() != want.Error() {
			t.Errorf("SendAll to %v: %v, want what Send says: %v", peers[at], err, want)
		}
	}
	for i, conn := range conns {
		if _, isBad := bad[i]; isBad != slices.Contains(failed, i) {
			t.Errorf("sending to %v fails: %v, want %v", peers[i], !isBad, isBad)
		} else if !isBad {
			if err := s.Send([]byte("end"), peers[i]); err != nil {
				t.Fatal(err)
			}
			wantRead(t, conn, here, []byte("text"), []byte("end"))
		}
	}
}

func TestSendAllToADestinationWithAZone(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Skip(err)
	}
	at := slices.IndexFunc(interfaces, func(i net.Interface) bool { return i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 })
	if at < 0 {
		t.Skip("no loopback interface here")
	}
	s, here := placeBoth.socket(t)
	conn := place6.bind(t)
	plain := endpoint.Of(conn.LocalAddr())
	zoned := netip.AddrPortFrom(plain.Addr().WithZone(interfaces[at].Name), plain.Port())
	if err := s.Send([]byte("first"), zoned); err != nil {
		t.Skipf("this system does not send to %v: %v", zoned, err)
	}
	if sent, err := s.SendAll([]byte("text"), []netip.AddrPort{plain, zoned, plain}); sent != 3 || err != nil {
		t.Errorf("SendAll = %d, %v, want 3", sent, err)
	}
	if sent, err := s.SendRun([][]byte{[]byte("text"), []byte("text")}, zoned); sent != 2 || err != nil {
		t.Errorf("SendRun = %d, %v, want 2", sent, err)
	}
	wantRead(t, conn, here, slices.Insert(slices.Repeat([][]byte{[]byte("text")}, 5), 0, []byte("first"))...)
}

// runs are the lengths of datagrams, one after the other.
var runs = map[string][]int{
	"none":                        nil,
	"one":                         {100},
	"one, empty":                  {0},
	"one, longest":                {65507},
	"two":                         {100, 100},
	"equal":                       equal(100, 100),
	"equal, 64":                   equal(64, 10),
	"equal, 65":                   equal(65, 10),
	"equal, of a packet":          equal(60, 1200),
	"equal, as many as the queue": equal(90, 1),
	"empty":                       equal(20, 0),
	"the last is shorter":         append(equal(30, 100), 99),
	"the last is empty":           append(equal(30, 100), 0),
	"the last is longer":          append(equal(30, 100), 101),
	"empty between":               {100, 100, 0, 100, 100, 0, 0, 100},
	"growing":                     {1, 2, 3, 4, 5, 6, 7, 8, 9},
	"shrinking":                   {9, 8, 7, 6, 5, 4, 3, 2, 1},
	"in pairs":                    {50, 50, 70, 70, 60, 60, 10, 10},
	"as long as one may be":       {32753, 32753, 1},
	"longer than one may be":      {32754, 32754},
	"long ones":                   {65507, 65507},
	"long and short":              {1, 65507, 1},
}

func TestSendRunIsReadInOrder(t *testing.T) {
	for name, other := range map[string]place{"IPv4": place4, "IPv6": place6} {
		for run, sizes := range runs {
			t.Run(name+"/"+run, func(t *testing.T) {
				s, here := placeBoth.socket(t)
				conn := other.bind(t)
				sendRun(t, s, endpoint.Of(conn.LocalAddr()), numbered(sizes...))
				wantRead(t, conn, here, numbered(sizes...)...)
			})
		}
	}
}

func TestSendRunIsReceivedInOrder(t *testing.T) {
	for name, places := range map[string][2]place{"IPv4": {place4, place4}, "IPv6": {place6, place6}, "both to IPv4": {placeBoth, place4}, "IPv6 to both": {place6, placeBoth}} {
		for run, sizes := range runs {
			t.Run(name+"/"+run, func(t *testing.T) {
				s, from := places[0].socket(t)
				other, to := places[1].socket(t)
				if places[0] == placeBoth {
					from = netip.AddrPortFrom(to.Addr(), from.Port())
				}
				if places[1] == placeBoth {
					to = netip.AddrPortFrom(from.Addr(), to.Port())
				}
				for range 2 {
					sendRun(t, s, to, numbered(sizes...))
					wantReceived(t, other, from, numbered(sizes...)...)
				}
			})
		}
	}
}

func sendRun(t *testing.T, s *endpoint.Socket, to netip.AddrPort, payloads [][]byte) {
	t.Helper()
	for _, payload := range payloads {
		if len(payload) > 9216 {
			sink := place6
			if to.Addr().Is4() {
				sink = place4
			}
			if err := s.Send(payload, endpoint.Of(sink.bind(t).LocalAddr())); err != nil {
				t.Skip(err)
			}
			break
		}
	}
	if sent, err := s.SendRun(payloads, to); sent != len(payloads) || err != nil {
		t.Fatalf("SendRun = %d, %v, want %d", sent, err, len(payloads))
	}
	for _, payload := range payloads {
		clear(payload)
	}
}

func TestSendRunStopsAtAnError(t *testing.T) {
	s, here := place4.socket(t)
	conn := place4.bind(t)
	to := endpoint.Of(conn.LocalAddr())
	for _, before := range []int{0, 1, 2, 70} {
		payloads := append(append(numbered(equal(before, 10)...), numbered(65508)...), numbered(10)...)
		if sent, err := s.SendRun(payloads, to); sent != before || err == nil {
			t.Errorf("SendRun with one too long after %d = %d, %v", before, sent, err)
		}
		wantRead(t, conn, here, payloads[:before]...)
	}
	for _, text := range []string{"127.0.0.1:0", "[::1]:9"} {
		to := netip.MustParseAddrPort(text)
		sent, err := s.SendRun(numbered(10, 10, 10), to)
		if want := s.Send(nil, to); sent != 0 || err == nil || err.Error() != want.Error() {
			t.Errorf("SendRun to %v = %d, %v, want %v", to, sent, err, want)
		}
	}
	sendRun(t, s, to, numbered(10, 10, 10))
	wantRead(t, conn, here, numbered(10, 10, 10)...)
	s.Close()
	if sent, err := s.SendRun(numbered(10, 10), to); sent != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("SendRun of a closed socket = %d, %v", sent, err)
	}
	if sent, err := s.SendAll(nil, []netip.AddrPort{to, to}); sent != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("SendAll of a closed socket = %d, %v", sent, err)
	}
}

// Who does not use a Socket sends one datagram at a time, and others between.
func TestReceiveKeepsTheOrderOfManySenders(t *testing.T) {
	for name, places := range map[string][]place{"IPv4": {place4, place4}, "IPv6": {place6, place6}, "IPv4 and IPv6": {place4, place6, place4}} {
		t.Run(name, func(t *testing.T) {
			s, here := placeBoth.socket(t)
			payloads := numbered(0, 1, 100, 100, 100, 1200, 0, 0, 5, 5, 1400, 3, 3, 3, 3, 9000, 2, 2, 2, 0)
			var senders []*net.UDPConn
			for _, p := range places {
				senders = append(senders, p.bind(t))
			}
			for i, payload := range payloads {
				p := places[i%len(places)]
				to := netip.AddrPortFrom(netip.MustParseAddr(p.reached), here.Port())
				if _, err := senders[i%len(senders)].WriteToUDPAddrPort(payload, to); err != nil {
					t.Fatal(err)
				}
			}
			for i := range payloads {
				wantReceived(t, s, endpoint.Of(senders[i%len(senders)].LocalAddr()), payloads[i])
			}
		})
	}
}

func TestReceiveCutsNoDatagram(t *testing.T) {
	s, here := place6.socket(t)
	conn := place6.bind(t)
	for _, size := range []int{65507, 65527, 65527} {
		payload := numbered(size)[0]
		if _, err := conn.WriteToUDPAddrPort(payload, here); err != nil {
			t.Skipf("this system does not send %d bytes: %v", size, err)
		}
		wantReceived(t, s, endpoint.Of(conn.LocalAddr()), payload)
	}
}

// What has arrived waits while the deadline has passed, and is not lost; after
// Close it is.
func TestDeadlineAndCloseHoldForWhatHasArrived(t *testing.T) {
	for name, set := range map[string]func(*endpoint.Socket, time.Time) error{"SetReadDeadline": (*endpoint.Socket).SetReadDeadline, "SetDeadline": (*endpoint.Socket).SetDeadline} {
		t.Run(name, func(t *testing.T) {
			s, here := place4.socket(t)
			sender, from := place4.socket(t)
			sendRun(t, sender, here, numbered(equal(20, 100)...))
			payloads := numbered(equal(20, 100)...)
			for i, payload := range payloads[:10] {
				wantReceived(t, s, from, payload)
				if err := set(s, time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if payload, from, err := s.Receive(); payload != nil || from.IsValid() || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "read udp") {
						t.Fatalf("Receive number %d after the deadline = %q, %v, %v", i, payload, from, err)
					}
				}
				if err := set(s, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := set(s, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			wantReceived(t, s, from, payloads[10])
			wantReceived(t, s, from, payloads[11])
			s.Close()
			set(s, time.Time{})
			for range 2 {
				if payload, from, err := s.Receive(); payload != nil || from.IsValid() || !errors.Is(err, net.ErrClosed) {
					t.Fatalf("Receive after Close = %q, %v, %v", payload, from, err)
				}
			}
		})
	}
}

func TestCloseEndsAReceiveThatWaits(t *testing.T) {
	s, _ := place4.socket(t)
	errs := make(chan error)
	go func() {
		_, _, err := s.Receive()
		errs <- err
	}()
	s.Close()
	if err := <-errs; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive when Close is called: %v", err)
	}
}

func TestManySendAtOnce(t *testing.T) {
	const goroutines, rounds, members = 4, 10, 70
	s, _ := placeBoth.socket(t)
	var conns []*net.UDPConn
	var peers []netip.AddrPort
	for range members {
		conn := place4.bind(t)
		conns = append(conns, conn)
		peers = append(peers, endpoint.Of(conn.LocalAddr()))
	}
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			payload := make([]byte, 100)
			for round := range rounds {
				for i := range payload {
					payload[i] = byte(g*rounds + round)
				}
				if sent, err := s.SendAll(payload, peers); sent != members || err != nil {
					t.Errorf("SendAll = %d, %v", sent, err)
				}
				if sent, err := s.SendRun([][]byte{payload, payload[:50]}, peers[round]); sent != 2 || err != nil {
					t.Errorf("SendRun = %d, %v", sent, err)
				}
			}
		})
	}
	group.Wait()
	buffer := make([]byte, 200)
	for i, conn := range conns {
		want := goroutines * rounds
		if i < rounds {
			want += 2 * goroutines
		}
		last := make([]int, goroutines)
		for range want {
			conn.SetReadDeadline(time.Now().Add(patience))
			n, err := conn.Read(buffer)
			if err != nil || n != 100 && n != 50 || !bytes.Equal(buffer[:n], slices.Repeat(buffer[:1], n)) {
				t.Fatalf("at %d: %d bytes %.20q, %v", i, n, buffer[:n], err)
			}
			if g, round := int(buffer[0])/rounds, int(buffer[0])%rounds; round < last[g] {
				t.Fatalf("at %d: round %d of %d is after %d", i, round, g, last[g])
			} else {
				last[g] = round
			}
		}
	}
}

func TestDatagramsCostNoMemory(t *testing.T) {
	s, here := placeBoth.socket(t)
	other, there := place4.socket(t)
	here = netip.AddrPortFrom(there.Addr(), here.Port())
	payloads := numbered(equal(10, 100)...)
	peers := slices.Repeat([]netip.AddrPort{there}, 10)
	for name, send := range map[string]func() error{
		"Send": func() (err error) {
			for _, payload := range payloads {
				err = errors.Join(err, s.Send(payload, there))
			}
			return err
		},
		"SendAll": func() error { _, err := s.SendAll(payloads[0], peers); return err },
		"SendRun": func() error { _, err := s.SendRun(payloads, there); return err },
	} {
		allocs := testing.AllocsPerRun(50, func() {
			if err := send(); err != nil {
				t.Fatal(err)
			}
			for range payloads {
				if _, from, err := other.Receive(); from != here || err != nil {
					t.Fatal(from, err)
				}
			}
		})
		if allocs != 0 {
			t.Errorf("10 datagrams by %s, and Receive: %v allocations, want 0", name, allocs)
		}
	}
}

// A connected socket refuses destinations, as that of package net.
func TestSocketThatIsConnected(t *testing.T) {
	conn, err := net.DialUDP("udp4", nil, place4.bind(t).LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := endpoint.NewSocket(conn)
	to := endpoint.Of(conn.RemoteAddr())
	if sent, err := s.SendAll(nil, []netip.AddrPort{to, to}); sent != 0 || !errors.Is(err, net.ErrWriteToConnected) {
		t.Errorf("SendAll = %d, %v, want %v", sent, err, net.ErrWriteToConnected)
	}
	if sent, err := s.SendRun(numbered(1, 1), to); sent != 0 || !errors.Is(err, net.ErrWriteToConnected) {
		t.Errorf("SendRun = %d, %v, want %v", sent, err, net.ErrWriteToConnected)
	}
}

// A layer gets every datagram by itself, in order.
func TestLayersAreSentToOneByOne(t *testing.T) {
	refused := errors.New("refused")
	c := &collector{refuse: "3", err: refused}
	s := endpoint.NewSocket(c)
	to := netip.MustParseAddrPort("192.0.2.1:1")
	if sent, err := s.SendRun([][]byte{[]byte("1"), []byte("2"), []byte("3"), []byte("4")}, to); sent != 2 || err != refused {
		t.Errorf("SendRun = %d, %v, want 2, %v", sent, err, refused)
	}
	if sent, err := s.SendAll([]byte("5"), []netip.AddrPort{to, to}); sent != 2 || err != nil {
		t.Errorf("SendAll = %d, %v, want 2", sent, err)
	}
	if got := fmt.Sprint(c.sent); got != "[1 2 5 5]" {
		t.Errorf("sent were %s", got)
	}
}

type collector struct {
	net.PacketConn
	sent   []string
	refuse string
	err    error
}

func (c *collector) WriteTo(p []byte, to net.Addr) (int, error) {
	if string(p) == c.refuse {
		return 0, c.err
	}
	c.sent = append(c.sent, string(p))
	return len(p), nil
}
