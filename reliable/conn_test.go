package reliable_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/packettest"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/simnet"
)

func TestConnIsAPacketConnOnASimulatedNetwork(t *testing.T) {
	packettest.Run(t, func(t *testing.T, check func(t *testing.T, p packettest.Place)) {
		synctest.Test(t, func(t *testing.T) {
			network := simnet.New(1)
			check(t, packettest.Place{
				A:   reliable.Over(network.Host("10.0.0.1")),
				B:   reliable.Over(network.Host("10.0.0.2")),
				IPA: "10.0.0.1", IPB: "10.0.0.2",
			})
		})
	}, "refusal: a connected socket")
}

func TestConnIsAPacketConnOnLossyLinks(t *testing.T) {
	packettest.Run(t, func(t *testing.T, check func(t *testing.T, p packettest.Place)) {
		synctest.Test(t, func(t *testing.T) {
			network := simnet.New(1)
			network.SetLinks(simnet.Link{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Delay: time.Millisecond})
			check(t, packettest.Place{
				A:   reliable.Over(network.Host("10.0.0.1")),
				B:   reliable.Over(network.Host("10.0.0.2")),
				IPA: "10.0.0.1", IPB: "10.0.0.2",
			})
		})
	}, "refusal: a connected socket", "a read that begins") // which is 200 round trips
}

func TestConnIsAPacketConnOnTheLoopback(t *testing.T) {
	cfg := &reliable.Config{CloseTimeout: 50 * time.Millisecond}
	packettest.Run(t, func(t *testing.T, check func(t *testing.T, p packettest.Place)) {
		check(t, packettest.Place{A: cfg.Over(nil), B: cfg.Over(nil), IPA: "127.0.0.1", IPB: "127.0.0.1"})
	}, "refusal: a connected socket")
}

// A stage is two hosts, and a reliable socket on each, in a bubble.
type stage struct {
	*simnet.Network
	hosts [2]*simnet.Host
	conns [2]*reliable.Conn
	addrs [2]net.Addr
}

func onStage(t *testing.T, cfg *reliable.Config, link simnet.Link, play func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{Network: simnet.New(1)}
		s.SetLinks(link)
		for i := range s.conns {
			s.hosts[i] = s.Host()
			s.conns[i] = bind(t, cfg.Over(s.hosts[i]), ":8080")
			s.addrs[i] = net.UDPAddrFromAddrPort(s.hosts[i].AddrPort(8080))
		}
		play(t, s)
	})
}

// bind returns a socket, which the end of the test closes.
func bind(t *testing.T, n *reliable.Network, address string) *reliable.Conn {
	t.Helper()
	c, err := n.ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*reliable.Conn)
}

func wantMessage(t *testing.T, c net.PacketConn, want string) {
	t.Helper()
	b := make([]byte, 1<<16)
	if n, _, err := c.ReadFrom(b); err != nil || string(b[:n]) != want {
		t.Fatalf("ReadFrom = %.40q, %v, want %.40q", b[:n], err, want)
	}
}

func wantUnreachable(t *testing.T, call string, err error, text string) {
	t.Helper()
	if !errors.Is(err, sockets.ErrPeerUnreachable) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %v, %s", call, err, sockets.ErrPeerUnreachable, text)
	}
}

var slow = simnet.Link{Delay: 10 * time.Millisecond}

func TestUnreachablePeerIsToldOfOnceEachWay(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		a.WriteTo([]byte("hello"), s.addrs[1])
		wantMessage(t, b, "hello")
		time.Sleep(time.Second)
		s.Partition(s.hosts[:1])
		start := time.Now()
		a.WriteTo([]byte("lost"), s.addrs[1])
		n, from, err := a.ReadFrom(make([]byte, 10))
		wantUnreachable(t, "ReadFrom", err, "10.0.0.2:8080: no acknowledgement in 30s")
		if took := time.Since(start); n != 0 || from.String() != "10.0.0.2:8080" || took < 30*time.Second || took > 31*time.Second {
			t.Errorf("ReadFrom = %d, %v after %v", n, from, took)
		}
		_, err = a.WriteTo([]byte("not sent"), s.addrs[1])
		wantUnreachable(t, "WriteTo", err, "10.0.0.2:8080")
		s.Heal()
		if _, err := a.WriteTo([]byte("anew"), s.addrs[1]); err != nil {
			t.Errorf("WriteTo, the second time: %v", err)
		}
		wantMessage(t, b, "anew")
		a.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := a.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom, afterwards: %v", err)
		}
	})
}

func TestTryWriteToIsToldOfAnUnreachablePeer(t *testing.T) {
	onStage(t, &reliable.Config{Silence: time.Second}, slow, func(t *testing.T, s *stage) {
		s.Partition(s.hosts[:1])
		a := s.conns[0]
		if _, err := a.TryWriteTo([]byte("lost"), s.addrs[1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		_, err := a.TryWriteTo([]byte("not sent"), s.addrs[1])
		wantUnreachable(t, "TryWriteTo", err, "no handshake in 1s")
		if _, err := a.TryWriteTo([]byte("anew"), s.addrs[1]); err != nil {
			t.Errorf("TryWriteTo, the second time: %v", err)
		}
	})
}

// The silent peer is one of many: the others do not notice.
func TestUnreachablePeerHarmsNoOther(t *testing.T) {
	onStage(t, &reliable.Config{Silence: 2 * time.Second}, slow, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		nobody := net.UDPAddrFromAddrPort(s.Host().AddrPort(9))
		a.WriteTo([]byte("anybody?"), nobody)
		for i := range 100 {
			if _, err := a.WriteTo(fmt.Append(nil, i), s.addrs[1]); err != nil {
				t.Fatal(err)
			}
			wantMessage(t, b, fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		_, from, err := a.ReadFrom(make([]byte, 10))
		if wantUnreachable(t, "ReadFrom", err, nobody.String()); from.String() != nobody.String() {
			t.Errorf("ReadFrom from %v, want %v", from, nobody)
		}
	})
}

func TestRestartedHost(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		a.WriteTo([]byte("hello"), s.addrs[1])
		wantMessage(t, b, "hello")
		s.hosts[1].Crash()
		a.WriteTo([]byte("lost"), s.addrs[1])
		time.Sleep(time.Second)
		s.hosts[1].Restart()
		again := bind(t, reliable.Over(s.hosts[1]), ":8080")
		_, _, err := a.ReadFrom(make([]byte, 10))
		wantUnreachable(t, "ReadFrom", err, "it has restarted")
		_, err = a.WriteTo([]byte("not sent"), s.addrs[1])
		wantUnreachable(t, "WriteTo", err, "it has restarted")
		a.WriteTo([]byte("welcome back"), s.addrs[1])
		wantMessage(t, again, "welcome back")
		if _, _, err := b.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom where the socket has vanished: %v, want %v", err, net.ErrClosed)
		}
	})
}

// What is acknowledged can be read, though nothing else comes.
func TestReadsAfterTheSocketHasVanished(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		for i := range 3 {
			a.WriteTo(fmt.Append(nil, i), s.addrs[1])
		}
		time.Sleep(time.Second)
		s.hosts[1].Crash()
		time.Sleep(time.Second)
		for i := range 2 {
			wantMessage(t, b, fmt.Sprint(i))
		}
		b.Close()
		if _, _, err := b.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom after Close: %v, want %v", err, net.ErrClosed)
		}
	})
}

// A system tells a connected socket that nobody has the port: that is the peer's
// trouble, not the socket's.
func TestDialedPeerThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(1)
		network.SetLinks(slow)
		here, there := network.Host(), network.Host()
		to := there.AddrPort(8080)
		c, err := (&reliable.Config{Silence: 5 * time.Minute}).Over(here).DialContext(t.Context(), "udp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		start := time.Now()
		c.Write([]byte("anybody?"))
		_, err = c.Read(make([]byte, 10))
		wantUnreachable(t, "Read", err, "no handshake in 5m0s: ")
		if !strings.Contains(err.Error(), "refused") || time.Since(start) < 5*time.Minute {
			t.Errorf("Read: %v after %v", err, time.Since(start))
		}
		_, err = c.Write([]byte("anybody?"))
		wantUnreachable(t, "Write", err, "refused")
		s := bind(t, reliable.Over(there), ":8080")
		if _, err := c.Write([]byte("at last")); err != nil {
			t.Error(err)
		}
		wantMessage(t, s, "at last")
	})
}

// Nothing is left to wait for when the socket has vanished.
func TestCloseOfASocketThatHasVanished(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		s.conns[0].WriteTo([]byte("lost"), s.addrs[1])
		s.hosts[0].Crash()
		start := time.Now()
		if err := s.conns[0].Close(); err == nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %v, want an error at once", err, time.Since(start))
		}
	})
}

func TestWriteThatWaitsIsToldOfAnUnreachablePeer(t *testing.T) {
	onStage(t, &reliable.Config{Window: 1}, slow, func(t *testing.T, s *stage) {
		s.Partition(s.hosts[:1])
		for {
			if _, err := s.conns[0].WriteTo(make([]byte, 60_000), s.addrs[1]); err != nil {
				wantUnreachable(t, "WriteTo", err, "no handshake in 30s")
				break
			}
		}
	})
}

// The window of a peer that does not read fills up. The others' do not.
func TestFullWindow(t *testing.T) {
	onStage(t, &reliable.Config{Window: 100_000, SendTimeout: -1}, slow, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		message := make([]byte, 1000)
		accepted := 0
		for ; ; accepted++ {
			if _, err := a.TryWriteTo(message, s.addrs[1]); errors.Is(err, sockets.ErrSlow) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if accepted < 150 || accepted > 205 { // both windows
			t.Errorf("%d messages of 1000 bytes were accepted", accepted)
		}
		a.SetWriteDeadline(time.Now().Add(time.Hour))
		if _, err := a.WriteTo(message, s.addrs[1]); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("WriteTo: %v, want the error of a deadline: the peer does not read, but is alive", err)
		}
		a.SetWriteDeadline(time.Time{})
		if _, err := a.TryWriteTo(message, net.UDPAddrFromAddrPort(s.Host().AddrPort(9))); err != nil {
			t.Errorf("TryWriteTo to another: %v", err)
		}
		done := make(chan error)
		go func() {
			_, err := a.WriteTo([]byte("last"), s.addrs[1])
			done <- err
		}()
		for range accepted {
			wantMessage(t, b, string(message))
		}
		wantMessage(t, b, "last")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWriteToOneThatDoesNotRead(t *testing.T) {
	onStage(t, &reliable.Config{SendTimeout: time.Hour}, slow, func(t *testing.T, s *stage) {
		start := time.Now()
		s.conns[0].SetWriteDeadline(start.Add(2 * time.Hour))
		for {
			if _, err := s.conns[0].WriteTo(make([]byte, 1000), s.addrs[1]); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, sockets.ErrSlow) {
					t.Errorf("WriteTo: %v, want %v and %v", err, os.ErrDeadlineExceeded, sockets.ErrSlow)
				}
				break
			}
		}
		if took := time.Since(start); took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("that took %v, want an hour", took)
		}
		if _, err := s.conns[0].TryWriteTo(nil, s.addrs[1]); !errors.Is(err, sockets.ErrSlow) {
			t.Errorf("TryWriteTo: %v, want %v", err, sockets.ErrSlow)
		}
	})
}

func TestGoodbyeToAnUnreachablePeer(t *testing.T) {
	onStage(t, &reliable.Config{Silence: time.Second}, slow, func(t *testing.T, s *stage) {
		a := s.conns[0]
		s.Partition(s.hosts[:1])
		a.WriteTo([]byte("lost"), s.addrs[1])
		wantUnreachable(t, "Close", a.Close(), "no handshake in 1s")
		if _, _, err := a.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom after Close: %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestCloseEndsAWriteThatWaits(t *testing.T) {
	onStage(t, &reliable.Config{Window: 1, CloseTimeout: time.Second}, slow, func(t *testing.T, s *stage) {
		s.Partition(s.hosts[:1])
		a := s.conns[0]
		done := make(chan error, 2)
		for range 2 {
			go func() {
				for {
					if _, err := a.WriteTo(make([]byte, 60_000), s.addrs[1]); err != nil {
						done <- err
						return
					}
				}
			}()
		}
		time.Sleep(time.Second)
		start := time.Now()
		if err := a.Close(); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "10.0.0.2:8080 has not acknowledged everything") {
			t.Errorf("Close: %v, want that the peer has not acknowledged everything", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %v, want 1s", took)
		}
		for range 2 {
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("WriteTo: %v, want %v", err, net.ErrClosed)
			}
		}
	})
}

func TestCloseDeliversWhatWasAccepted(t *testing.T) {
	link := simnet.Link{Loss: 0.3, Delay: 10 * time.Millisecond}
	onStage(t, &reliable.Config{CloseTimeout: -1}, link, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		for i := range 100 {
			if _, err := a.WriteTo(fmt.Append(nil, i), s.addrs[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for i := range 100 {
			wantMessage(t, b, fmt.Sprint(i))
		}
		// Nothing of b got lost: that the peer has closed its socket is no news.
		b.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := b.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom: %v", err)
		}
	})
}

func TestTwoThatCloseAtOnce(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		start := time.Now()
		var closing sync.WaitGroup
		for i, c := range s.conns {
			if _, err := c.WriteTo([]byte("bye"), s.addrs[1-i]); err != nil {
				t.Error(err)
			}
			closing.Go(func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		closing.Wait()
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("the goodbyes took %v", took)
		}
	})
}

func TestCloseOfAPeerThatHasGoneSilently(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		a, b := s.conns[0], s.conns[1]
		a.WriteTo([]byte("hello"), s.addrs[1])
		wantMessage(t, b, "hello")
		time.Sleep(time.Second)
		s.hosts[1].Crash()
		start := time.Now()
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

func TestPeersOverIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const peers, each = 4, 50
		network := simnet.New(1)
		network.SetLinks(simnet.Link{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Delay: 5 * time.Millisecond})
		var names []string
		hosts := make([]*simnet.Host, peers)
		for i := range hosts {
			hosts[i] = network.Host(fmt.Sprint("host", i))
			names = append(names, fmt.Sprintf("host%d:8080", i))
		}
		var mu sync.Mutex
		got := make(map[string][]string)
		var all []*sockets.AsyncPeer
		for i, host := range hosts {
			cfg := &sockets.Config{Network: reliable.Over(host)}
			peer, err := cfg.NewAsyncPeer("8080", names, func(payload []byte, sender sockets.Address) {
				mu.Lock()
				defer mu.Unlock()
				way := fmt.Sprint(sender, " to ", i)
				got[way] = append(got[way], string(payload))
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, peer)
		}
		var want []string
		for n := range each {
			want = append(want, fmt.Sprint(n))
			for _, peer := range all {
				if err := peer.SendAll([]byte(want[n])); err != nil {
					t.Error(err)
				}
			}
		}
		time.Sleep(time.Minute) // who closes reads no more
		for _, peer := range all {
			if err := peer.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			<-peer.Done()
		}
		if len(got) != peers*(peers-1) {
			t.Errorf("messages went %d ways, want %d", len(got), peers*(peers-1))
		}
		for way, texts := range got {
			if !slices.Equal(texts, want) {
				t.Errorf("%s: %q", way, texts)
			}
		}
	})
}

func TestPeerErrorIsToldToAnAsyncPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(1)
		host := network.Host("10.0.0.1")
		network.Host("10.0.0.2")
		told := make(chan error, 10)
		cfg := &sockets.Config{
			Network:   (&reliable.Config{Silence: time.Second}).Over(host),
			PeerError: func(peer sockets.Address, err error) { told <- fmt.Errorf("%v: %w", peer, err) },
		}
		peer, err := cfg.NewAsyncPeer("8080", []string{"10.0.0.2:8080"}, func([]byte, sockets.Address) {})
		if err != nil {
			t.Fatal(err)
		}
		peer.SendAll([]byte("anybody?"))
		wantUnreachable(t, "PeerError", <-told, "10.0.0.2:8080")
		wantUnreachable(t, "SendAll", peer.SendAll([]byte("anybody?")), "10.0.0.2:8080")
		if err := peer.Close(); err != nil {
			t.Error(err)
		}
		<-peer.Done()
	})
}

// A network that records what is asked of it, and has no more than a Network
// must have.
type bare struct{ asked []string }

func (b *bare) ask(what string) error {
	b.asked = append(b.asked, what)
	return errors.New("asked")
}
func (b *bare) Listen(_ context.Context, network, address string) (net.Listener, error) {
	return nil, b.ask("listen " + network + " " + address)
}
func (b *bare) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	if strings.Contains(address, "224.") {
		return group{}, nil
	}
	return nil, b.ask("packets " + network + " " + address)
}
func (b *bare) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	return nil, b.ask("dial " + network + " " + address)
}

type group struct{ net.PacketConn }

func TestWhatIsPassedOn(t *testing.T) {
	base := new(bare)
	n := reliable.Over(base)
	ctx := t.Context()
	n.Listen(ctx, "tcp", "a:1")
	n.DialContext(ctx, "tcp", "b:2")
	n.DialContext(ctx, "udp", "c:3")
	n.ListenPacket(ctx, "udp", "d:4")
	if want := []string{"listen tcp a:1", "dial tcp b:2", "dial udp c:3", "packets udp d:4"}; !slices.Equal(base.asked, want) {
		t.Errorf("asked %q, want %q", base.asked, want)
	}
	if c, err := n.ListenPacket(ctx, "udp", "224.0.0.9:1"); err != nil || c != (group{}) {
		t.Errorf("a group: %T, %v, want that of the base", c, err)
	}
	if c, err := reliable.Over(simnet.New(1).Host()).DialContext(ctx, "udp", "224.0.0.9:1"); err != nil || strings.Contains(fmt.Sprintf("%T", c), "reliable") {
		t.Errorf("to a group: %T, %v, want that of the base", c, err)
	}
	if ips, err := n.Resolve(ctx, "127.0.0.1"); err != nil || len(ips) != 1 {
		t.Errorf("Resolve = %v, %v", ips, err)
	}
	want, _ := sockets.LocalIPs()
	if ips, err := n.LocalIPs(); err != nil || !slices.Equal(ips, want) {
		t.Errorf("LocalIPs = %v, %v, want %v", ips, err, want)
	}
	host := simnet.New(1).Host("10.0.0.1", "alice")
	n = reliable.Over(host)
	if ips, err := n.LocalIPs(); err != nil || !slices.Contains(ips, host.Addr()) {
		t.Errorf("LocalIPs = %v, %v, want those of the host", ips, err)
	}
	if ips, err := n.Resolve(ctx, "alice"); err != nil || !slices.Contains(ips, host.Addr()) {
		t.Errorf("Resolve = %v, %v, want those of the host", ips, err)
	}
}

// A broken is a socket whose first reads fail.
type broken struct {
	net.PacketConn
	failures int
	after    time.Duration // how long each takes
}

var errBroken = errors.New("out of order")

func (b *broken) ReadFrom(p []byte) (int, net.Addr, error) {
	if b.failures > 0 {
		b.failures--
		time.Sleep(b.after)
		return 0, nil, errBroken
	}
	return b.PacketConn.ReadFrom(p)
}

type brokenNetwork struct {
	sockets.Network
	failures int
	after    time.Duration
}

func (n brokenNetwork) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := n.Network.ListenPacket(ctx, network, address)
	return &broken{c, n.failures, n.after}, err
}

func TestFaultsOfTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(1)
		host := network.Host()
		for port, base := range []sockets.Network{brokenNetwork{host, 100, 0}, brokenNetwork{host, 1000, 2 * time.Second}} {
			c := bind(t, (&reliable.Config{Silence: -1}).Over(base), fmt.Sprint(":", port+1))
			c.WriteTo([]byte("myself"), net.UDPAddrFromAddrPort(host.AddrPort(uint16(port+1))))
			wantMessage(t, c, "myself")
		}
		c := bind(t, reliable.Over(brokenNetwork{host, 1000, 0}), ":3")
		if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, errBroken) {
			t.Errorf("ReadFrom: %v, want %v", err, errBroken)
		}
		if _, err := c.WriteTo(nil, net.UDPAddrFromAddrPort(host.AddrPort(1))); !errors.Is(err, errBroken) {
			t.Errorf("WriteTo: %v, want %v", err, errBroken)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom after Close: %v, want %v", err, net.ErrClosed)
		}
	})
}

// A crawling is a network whose sockets take a millisecond to write.
type crawling struct{ sockets.Network }

func (n crawling) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := n.Network.ListenPacket(ctx, network, address)
	return crawlingConn{c}, err
}

type crawlingConn struct{ net.PacketConn }

func (c crawlingConn) WriteTo(p []byte, to net.Addr) (int, error) {
	time.Sleep(time.Millisecond)
	return c.PacketConn.WriteTo(p, to)
}

// Who writes one message does not have to write those of others for long.
func TestWorkOfOthersIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(1)
		from, to := network.Host(), network.Host()
		c := bind(t, reliable.Over(crawling{from}), ":1")
		message := make([]byte, 50_000)
		for port := range uint16(4) {
			f := bind(t, reliable.Over(to), fmt.Sprint(":", port+1))
			go func() {
				for range 100 {
					c.WriteTo(message, net.UDPAddrFromAddrPort(to.AddrPort(port+1)))
				}
			}()
			newDiary(f)
		}
		for range 20 {
			start := time.Now()
			if _, err := c.TryWriteTo([]byte("one"), net.UDPAddrFromAddrPort(to.AddrPort(9))); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("TryWriteTo took %v", took)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// A deadline that is far off does not keep the memory of a closed socket.
func TestCloseForgets(t *testing.T) {
	c, err := reliable.Over(nil).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forgotten := make(chan struct{})
	runtime.AddCleanup(c.(*reliable.Conn), func(done chan struct{}) { close(done) }, forgotten)
	c.SetDeadline(time.Now().Add(time.Hour))
	c.Close()
	for range 500 {
		runtime.GC()
		select {
		case <-forgotten:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the socket is still in memory")
}

func TestPlainDatagramsAreCountedAndIgnored(t *testing.T) {
	onStage(t, new(reliable.Config), slow, func(t *testing.T, s *stage) {
		n := reliable.Over(s.hosts[0])
		c := bind(t, n, ":9")
		plain, err := s.hosts[1].ListenPacket(t.Context(), "udp", ":9")
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		to := net.UDPAddrFromAddrPort(s.hosts[0].AddrPort(9))
		for _, text := range []string{"", "hello", "REL\x01", "REL\x01 and so on, and so on"} {
			plain.WriteTo([]byte(text), to)
		}
		time.Sleep(time.Second)
		c.SetReadDeadline(time.Now())
		if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom: %v", err)
		}
		if got, want := n.Stats(), (reliable.Stats{Received: 4, Foreign: 2, Malformed: 2}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
