package secure_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/packettest"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

const overhead = 122 // bytes

// A circle is people who know each other.
type circle struct {
	identities []*secure.Identity
	known      *secure.KnownPeers
}

func newCircle(names ...string) circle {
	c := circle{}
	var peers []secure.KnownPeer
	for i, name := range names {
		id := secure.NewIdentityFromSeed(name, byte(100+i))
		c.identities = append(c.identities, id)
		peers = append(peers, secure.KnownPeer{Name: name, Key: id.PublicKey()})
	}
	c.known, _ = secure.NewKnownPeers(peers...)
	return c
}

// over returns the network of the i-th of the circle over base.
func (c circle) over(i int, base sockets.Network, cfg secure.Config) *secure.Network {
	cfg.Identity, cfg.Known = c.identities[i], c.known
	return cfg.Over(base)
}

// needsReader are the rules whose sender never reads, so that it answers no
// challenge; those that a socket keeps with itself; and what connected sockets
// are told, which is not authentic.
var needsReader = []string{
	"datagrams go both ways", "a socket can send", "datagrams of all", "the payload may", "each read", "a short buffer",
	"too long", "a deadline that passed", "a deadline that is put off", "a write after", "one deadline", "many read",
	"a read that begins", "without a host", "connected: a socket has", "refusal: any other",
}

func TestPacketConnIsAPacketConnOnASimulatedNetwork(t *testing.T) {
	for name, cfg := range map[string]secure.Config{"open": {}, "sealed": {GroupKey: make([]byte, 32)}} {
		t.Run(name, func(t *testing.T) {
			packettest.Run(t, func(t *testing.T, check func(t *testing.T, p packettest.Place)) {
				synctest.Test(t, func(t *testing.T) {
					c := newCircle("alice", "bob")
					network := simnet.New(1)
					check(t, packettest.Place{
						A:   c.over(0, network.Host("10.0.0.1"), cfg),
						B:   c.over(1, network.Host("10.0.0.2"), cfg),
						IPA: "10.0.0.1", IPB: "10.0.0.2",
						Longest: 65507 - overhead,
					})
				})
			}, needsReader...)
		})
	}
}

// readers are the rules that need somebody who reads, as the impaired network
// of package simnet does for both ends.
func TestPacketConnIsAPacketConnWhereBothEndsRead(t *testing.T) {
	for name, cfg := range map[string]secure.Config{"open": {}, "sealed": {GroupKey: make([]byte, 32)}} {
		t.Run(name, func(t *testing.T) {
			longest := 65507 - overhead
			if cfg.GroupKey != nil {
				longest -= 16
			}
			packettest.Run(t, func(t *testing.T, check func(t *testing.T, p packettest.Place)) {
				synctest.Test(t, func(t *testing.T) {
					c := newCircle("alice", "bob")
					network := simnet.New(1)
					check(t, packettest.Place{
						A:   simnet.Impair(c.over(0, network.Host("10.0.0.1"), cfg), simnet.Link{}),
						B:   simnet.Impair(c.over(1, network.Host("10.0.0.2"), cfg), simnet.Link{}),
						IPA: "10.0.0.1", IPB: "10.0.0.2",
						Longest: longest,
					})
				})
			}, "a socket can send", "one deadline", "refusal: any other")
		})
	}
}

func TestPacketConnIsAPacketConnOnTheLoopback(t *testing.T) {
	c := newCircle("alice", "bob")
	packettest.Run(t, func(t *testing.T, check func(t *testing.T, p packettest.Place)) {
		check(t, packettest.Place{
			A:   c.over(0, nil, secure.Config{}),
			B:   c.over(1, nil, secure.Config{}),
			IPA: "127.0.0.1", IPB: "127.0.0.1",
			Longest: 65507 - overhead,
		})
	}, needsReader...)
}

// A stage is hosts of a simulated network, with a secure network on each.
type stage struct {
	circle
	*simnet.Network
	hosts    []*simnet.Host
	networks []*secure.Network
}

func onStage(t *testing.T, cfg secure.Config, play func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{circle: newCircle("alice", "bob", "carol"), Network: simnet.New(1)}
		s.SetLinks(simnet.Link{Delay: 10 * time.Millisecond})
		for i := range s.identities {
			s.hosts = append(s.hosts, s.Host())
			s.networks = append(s.networks, s.over(i, s.hosts[i], cfg))
		}
		play(t, s)
		synctest.Wait()
	})
}

// An inbox is what a peer has received: "name: text", or what was refused.
type inbox struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (in *inbox) add(line string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.lines = append(in.lines, line)
}

// want waits a virtual second, and checks what has come since the last call.
func (in *inbox) want(t *testing.T, lines ...string) {
	t.Helper()
	time.Sleep(time.Second)
	in.mu.Lock()
	defer in.mu.Unlock()
	if !slices.Equal(in.lines, lines) {
		t.Errorf("received %q, want %q", in.lines, lines)
	}
	in.lines = nil
}

// listen makes a peer that knows others, and collects what it receives.
func listen(t *testing.T, n *secure.Network, peers ...string) (*sockets.AsyncPeer, *inbox) {
	t.Helper()
	in := new(inbox)
	cfg := sockets.Config{Network: n}
	peer, err := cfg.NewAsyncPeer("8080", peers, func(payload []byte, sender sockets.Address) {
		who, ok := n.PeerAt(sender)
		if !ok {
			who.Name = "nobody"
		}
		in.add(who.Name + ": " + string(payload))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		peer.Close()
		<-peer.Done()
	})
	return peer, in
}

func TestPeersChat(t *testing.T) {
	for name, cfg := range map[string]secure.Config{"open": {}, "secret": {Group: "friends", GroupKey: make([]byte, 32)}} {
		t.Run(name, func(t *testing.T) {
			onStage(t, cfg, func(t *testing.T, s *stage) {
				alice, toAlice := listen(t, s.networks[0])
				bob, toBob := listen(t, s.networks[1], "10.0.0.1:8080")
				carol, toCarol := listen(t, s.networks[2], "10.0.0.1:8080", "10.0.0.2:8080")
				bob.SendAll([]byte("hello"))
				carol.SendAll([]byte("hello"))
				toAlice.want(t, "bob: hello", "carol: hello")
				toBob.want(t, "carol: hello")
				before := s.networks[0].Stats().Signed
				alice.SendAll([]byte("to both"))
				toBob.want(t, "alice: to both")
				toCarol.want(t, "alice: to both")
				bob.SendAll([]byte("I have to go"))
				toAlice.want(t, "bob: I have to go")
				toCarol.want(t, "bob: I have to go")
				if n := s.networks[0].Stats().Signed - before; n != 1 {
					t.Errorf("SendAll signs %d times, want 1", n)
				}
				bob.SendAll(sockets.NewMessage(sockets.ExitMessage, "bob").Bytes())
				bob.Close()
				time.Sleep(time.Second)
				for name, in := range map[string]*inbox{"alice": toAlice, "carol": toCarol} {
					in.mu.Lock()
					if len(in.lines) != 1 || !strings.HasPrefix(in.lines[0], "bob: ") || !sockets.IsExit([]byte(in.lines[0][5:])) {
						t.Errorf("%s receives %q, want that bob leaves", name, in.lines)
					}
					in.mu.Unlock()
				}
			})
		})
	}
}

// A stranger, and one who has only the address of bob, say nothing that anybody
// reads.
func TestStrangersAreNotHeardNorLearnt(t *testing.T) {
	var refused inbox
	cfg := secure.Config{Refused: func(r secure.Refusal) {
		refused.add(fmt.Sprint(r.Address, " ", r.Key == secure.PublicKey{}, " ", r.Err, " ", r.Count))
	}}
	onStage(t, cfg, func(t *testing.T, s *stage) {
		alice, toAlice := listen(t, s.networks[0])
		eve := secure.Over(s.Host(), secure.NewIdentityFromSeed("alice", 66), s.known)
		stranger, toStranger := listen(t, eve, "10.0.0.1:8080")
		for range 10 {
			stranger.SendAll([]byte("I am bob"))
			time.Sleep(300 * time.Millisecond)
		}
		plain, err := (&sockets.Config{Network: s.Host()}).NewPeer("8080", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		time.Sleep(time.Second)
		plain.Send(sockets.NewMessage(sockets.ExitMessage, "bob").Bytes(), s.hosts[0].AddrPort(8080))
		toAlice.want(t)
		toStranger.want(t)
		if peers := alice.Peers(); len(peers) != 0 {
			t.Errorf("alice has learnt %v", peers)
		}
		refused.want(t,
			"10.0.0.4:8080 false secure: the key is not known 1",
			"10.0.0.4:8080 false secure: the key is not known 4",
			"10.0.0.4:8080 false secure: the key is not known 4",
			"10.0.0.5:8080 true secure: the datagram is not one of this protocol 2",
		)
		if got := s.networks[0].Stats(); got != (secure.Stats{UnknownKey: 10, Malformed: 1}) {
			t.Errorf("Stats = %+v", got)
		}
	})
}

// A stranger whose stream was believed on first use is still one whose datagrams
// are not, also once the list is loaded again: until somebody adds it.
func TestDatagramsAreNotBelievedOnFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		path := filepath.Join(t.TempDir(), "known_peers")
		if err := loadKnown(t, path).Add(peerOf(alice)); err != nil {
			t.Fatal(err)
		}
		friend, _ := listen(t, secure.Over(n.Host("alice"), alice, know(t, peerOf(bob))))
		mallorys := secure.Over(n.Host("mallory"), mallory, know(t, peerOf(bob)))
		stranger, _ := listen(t, mallorys)
		var refused inbox
		firstUse := secure.Config{Identity: bob, FirstUse: true, Refused: func(r secure.Refusal) { refused.add(r.Err.Error()) }}
		start := func(name string) (bobs *secure.Network, hears func(lines ...string)) {
			host, cfg := n.Host(name), firstUse
			cfg.Known = loadKnown(t, path)
			bobs = cfg.Over(host)
			_, in := listen(t, bobs)
			return bobs, func(lines ...string) {
				t.Helper()
				friend.Send([]byte("hello"), host.AddrPort(8080))
				synctest.Wait()
				stranger.Send([]byte("hello"), host.AddrPort(8080))
				in.want(t, lines...)
			}
		}
		bobs, hears := start("bob")
		hears("alice: hello")
		refused.want(t, secure.ErrUnknownKey.Error())
		serveOver(t, bobs, ":8080")
		conn, err := mallorys.DialContext(t.Context(), "tcp", "bob:8080")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		hears("alice: hello")
		refused.want(t, secure.ErrFirstUse.Error())
		if _, err := bobs.DialContext(t.Context(), "udp", "mallory@mallory:8080"); !errors.Is(err, secure.ErrFirstUse) {
			t.Errorf("DialContext = %v, want %v", err, secure.ErrFirstUse)
		}
		_, hears = start("bob2")
		hears("alice: hello")
		refused.want(t, secure.ErrFirstUse.Error())
		if err := loadKnown(t, path).Add(peerOf(mallory)); err != nil {
			t.Fatal(err)
		}
		_, hears = start("bob3")
		hears("alice: hello", "mallory: hello")
		refused.want(t)
		if got := bobs.Stats(); got.UnknownKey != 1 || got.FirstUse != 1 {
			t.Errorf("Stats = %+v", got)
		}
	})
}

// Whoever only sends answers no challenge. What was held of it is read after all
// if it reads soon; later only what it sends then. What was sent right before a
// Close is lost.
func TestWhoOnlySendsIsHeardOnceItReads(t *testing.T) {
	for wait, held := range map[time.Duration][]string{
		8 * time.Second: {"alice: 0", "alice: 1", "alice: 2"},
		time.Minute:     nil, // the challenges that she finds are too old
	} {
		onStage(t, secure.Config{}, func(t *testing.T, s *stage) {
			_, toBob := listen(t, s.networks[1])
			to := s.hosts[1].AddrPort(8080)
			alice, err := (&sockets.Config{Network: s.networks[0]}).NewPeer("8080", nil)
			if err != nil {
				t.Fatal(err)
			}
			carol, err := (&sockets.Config{Network: s.networks[2]}).NewPeer("8080", nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				alice.Send([]byte(fmt.Sprint(i)), to)
				toBob.want(t)
			}
			carol.Send([]byte("hello, goodbye"), to)
			carol.Close()
			time.Sleep(wait)
			var reading sync.WaitGroup
			defer reading.Wait()
			defer alice.Close()
			reading.Go(func() { alice.Receive(t.Context()) })
			toBob.want(t, held...)
			alice.Send([]byte("3"), to)
			toBob.want(t, "alice: 3")
		})
	}
}

// A crowded socket has no room for what is sent.
type crowded struct {
	net.PacketConn
	t     *testing.T
	tried atomic.Int32
}

func (c *crowded) WriteTo([]byte, net.Addr) (int, error) {
	c.t.Error("a reply waits for room, and reading waits for it")
	return 0, sockets.ErrSlow
}

func (c *crowded) TryWriteTo([]byte, net.Addr) (int, error) {
	c.tried.Add(1)
	return 0, sockets.ErrSlow
}

// crowd is a network whose sockets are crowded.
type crowd struct {
	sockets.Network
	t    *testing.T
	last *crowded
}

func (n *crowd) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := n.Network.ListenPacket(ctx, network, address)
	n.last = &crowded{PacketConn: conn, t: n.t}
	return n.last, err
}

// A challenge for which there is no room is dropped: reading goes on.
func TestRepliesDoNotWaitForRoom(t *testing.T) {
	onStage(t, secure.Config{}, func(t *testing.T, s *stage) {
		base := &crowd{Network: s.hosts[1], t: t}
		_, toBob := listen(t, s.over(1, base, secure.Config{}))
		alice, _ := listen(t, s.networks[0])
		alice.Send([]byte("hello"), s.hosts[1].AddrPort(8080))
		toBob.want(t)
		if n := base.last.tried.Load(); n != 1 {
			t.Errorf("%d challenges were tried to be sent, want 1", n)
		}
	})
}

// The caller may use the slice of a group's key for something else.
func TestGroupKeyIsCopied(t *testing.T) {
	cfg := secure.Config{GroupKey: make([]byte, 32)}
	onStage(t, cfg, func(t *testing.T, s *stage) {
		cfg.GroupKey[0] = 1
		alice, _ := listen(t, s.networks[0])
		_, toBob := listen(t, s.over(1, s.Host(), secure.Config{GroupKey: make([]byte, 32)}), "10.0.0.1:8080")
		alice.Send([]byte("hello"), netip.MustParseAddrPort("10.0.0.4:8080"))
		toBob.want(t, "alice: hello")
	})
}

func TestErrorsOfSending(t *testing.T) {
	for size, cfg := range map[int]secure.Config{65507 - overhead: {}, 65507 - overhead - 16: {GroupKey: make([]byte, 32)}} {
		onStage(t, cfg, func(t *testing.T, s *stage) {
			peer, _ := listen(t, s.networks[0])
			to := s.hosts[1].AddrPort(8080)
			if err := peer.Send(make([]byte, size), to); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			if err := peer.Send(make([]byte, size+1), to); !errors.Is(err, sockets.ErrMessageTooBig) {
				t.Errorf("%d bytes: %v, want %v", size+1, err, sockets.ErrMessageTooBig)
			}
			conn, err := s.networks[0].ListenPacket(t.Context(), "udp", ":0")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.WriteTo(make([]byte, size+1), net.UDPAddrFromAddrPort(to)); !errors.Is(err, sockets.ErrMessageTooBig) {
				t.Errorf("WriteTo(%d bytes): %v, want %v", size+1, err, sockets.ErrMessageTooBig)
			}
		})
	}
}

// A read ends at its deadline, however much garbage comes.
func TestFloodDoesNotPutOffADeadline(t *testing.T) {
	onStage(t, secure.Config{}, func(t *testing.T, s *stage) {
		conn, err := s.networks[0].ListenPacket(t.Context(), "udp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		flooder, err := s.hosts[1].ListenPacket(t.Context(), "udp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		defer flooder.Close()
		over := make(chan struct{})
		var flooding sync.WaitGroup
		flooding.Go(func() {
			garbage := make([]byte, 200)
			for {
				select {
				case <-over:
					return
				default:
					flooder.WriteTo(garbage, net.UDPAddrFromAddrPort(s.hosts[0].AddrPort(8080)))
					time.Sleep(time.Millisecond)
				}
			}
		})
		for _, wait := range []time.Duration{time.Second, 0, -time.Hour} {
			start := time.Now()
			conn.SetReadDeadline(start.Add(wait))
			_, _, err := conn.ReadFrom(make([]byte, 10))
			if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != max(wait, 0) {
				t.Errorf("a deadline in %v: %v after %v", wait, err, took)
			}
		}
		close(over)
		flooding.Wait()
	})
}

// What was held is read by the rules of deadlines and of closing, too.
func TestHeldDatagramsObeyDeadlinesAndClose(t *testing.T) {
	onStage(t, secure.Config{}, func(t *testing.T, s *stage) {
		alice, _ := listen(t, s.networks[0])
		conn, err := s.networks[1].ListenPacket(t.Context(), "udp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		for i := range 5 {
			alice.Send([]byte(fmt.Sprint(i)), s.hosts[1].AddrPort(8080))
		}
		want := func(text string) {
			t.Helper()
			if n, _, err := conn.ReadFrom(b); err != nil || string(b[:n]) != text {
				t.Fatalf("ReadFrom = %q, %v, want %q", b[:n], err, text)
			}
		}
		want("0")
		conn.SetReadDeadline(time.Now())
		if _, _, err := conn.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom after the deadline: %v", err)
		}
		conn.SetDeadline(time.Time{})
		want("1")
		conn.Close()
		if n, _, err := conn.ReadFrom(b); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom after Close = %q, %v", b[:n], err)
		}
		if peer, _ := s.networks[1].PeerAt(s.hosts[0].AddrPort(8080)); peer.Name != "alice" {
			t.Errorf("after Close, PeerAt = %v, want alice, whose message may be in a callback", peer)
		}
	})
}

// Whoever is told of a refusal may close the socket.
func TestRefusedMayCloseTheSocket(t *testing.T) {
	var conn net.PacketConn
	cfg := secure.Config{Refused: func(secure.Refusal) { conn.Close() }}
	onStage(t, cfg, func(t *testing.T, s *stage) {
		conn, _ = s.networks[0].ListenPacket(t.Context(), "udp", ":8080")
		plain, _ := s.hosts[1].ListenPacket(t.Context(), "udp", ":8080")
		defer plain.Close()
		plain.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(s.hosts[0].AddrPort(8080)))
		if _, _, err := conn.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom: %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestDialPacket(t *testing.T) {
	onStage(t, secure.Config{}, func(t *testing.T, s *stage) {
		bob, toBob := listen(t, s.networks[1])
		for name, want := range map[string]string{"": "bob", "bob@": "bob", "carol@": ""} {
			conn, err := s.networks[0].DialContext(t.Context(), "udp", name+"10.0.0.2:8080")
			if err != nil {
				t.Fatal(err)
			}
			if conn.RemoteAddr().String() != "10.0.0.2:8080" {
				t.Errorf("RemoteAddr() = %v", conn.RemoteAddr())
			}
			conn.Write([]byte("hello"))
			b := make([]byte, 100)
			conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := conn.Read(b) // which also answers bob's challenge
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read = %q, %v", b[:n], err)
			}
			if want == "" {
				toBob.want(t)
			} else {
				toBob.want(t, "alice: hello")
			}
			bob.Send([]byte("welcome"), conn.LocalAddr().(*net.UDPAddr).AddrPort())
			conn.SetReadDeadline(time.Now().Add(time.Second))
			if n, err := conn.Read(b); want != "" && (err != nil || string(b[:n]) != "welcome") || want == "" && err == nil {
				t.Errorf("dialled %s, Read = %q, %v", name, b[:n], err)
			}
			conn.Close()
		}
		if _, err := s.networks[0].DialContext(t.Context(), "udp", "dave@10.0.0.2:8080"); !errors.Is(err, secure.ErrUnknownKey) {
			t.Errorf("dialling somebody unknown: %v", err)
		}
	})
}

func TestGroupsAreSignedToo(t *testing.T) {
	onStage(t, secure.Config{}, func(t *testing.T, s *stage) {
		var conns []net.PacketConn
		for i := range 2 {
			conn, err := s.networks[i].ListenPacket(t.Context(), "udp", "239.1.2.3:9000")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conns = append(conns, conn)
		}
		alice, _ := listen(t, s.networks[2])
		alice.Send([]byte("to the group"), sockets.Address(netip.MustParseAddrPort("239.1.2.3:9000")))
		for i, conn := range conns {
			b := make([]byte, 100)
			conn.SetReadDeadline(time.Now().Add(time.Second))
			n, from, err := conn.ReadFrom(b)
			if err != nil || string(b[:n]) != "to the group" {
				t.Fatalf("member %d: %q, %v", i, b[:n], err)
			}
			if peer, _ := s.networks[i].PeerAt(from.(*net.UDPAddr).AddrPort()); peer.Name != "carol" {
				t.Errorf("member %d: it is from %q, want carol", i, peer.Name)
			}
		}
	})
}
