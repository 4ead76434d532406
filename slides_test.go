package sockets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// soon is how long a test waits for what happens at once, on a busy machine.
const soon = 30 * time.Second

// slideServer listens on loopback. Who connects is sent to the channel, with
// nothing read from it yet, and is closed at the end of the test.
func slideServer(t *testing.T, cfg sockets.Config) (*sockets.Server, <-chan *sockets.Connection) {
	t.Helper()
	connections := make(chan *sockets.Connection, 16)
	server, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			connections <- connection
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(ctx)
		<-server.Done()
	})
	return server, connections
}

// slideClient connects to server, and returns both ends.
func slideClient(t *testing.T, cfg sockets.Config, server *sockets.Server, connections <-chan *sockets.Connection) (*sockets.Client, *sockets.Connection) {
	t.Helper()
	client, err := cfg.Dial(t.Context(), server.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CloseNow() })
	return client, <-connections
}

// bareClient connects to server without this library.
func bareClient(t *testing.T, server *sockets.Server, connections <-chan *sockets.Connection) (*net.TCPConn, *sockets.Connection) {
	t.Helper()
	conn, err := net.Dial("tcp", server.LocalAddress().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(soon))
	return conn.(*net.TCPConn), <-connections
}

// bareEnds returns the two ends of a connection without this library.
func bareEnds(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{dialled, accepted} {
		conn.SetDeadline(time.Now().Add(soon))
		t.Cleanup(func() { conn.Close() })
	}
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// wantMessage receives the next message, which must be this one.
func wantMessage(t *testing.T, c *sockets.Connection, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if got, err := c.Receive(ctx); err != nil || string(got) != want {
		t.Fatalf("Receive() = %.80q, %v, want %.80q", got, err, want)
	}
}

func wantEnd(t *testing.T, c *sockets.Connection) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if got, err := c.Receive(ctx); err != io.EOF {
		t.Fatalf("Receive() = %.80q, %v, want %v", got, err, io.EOF)
	}
}

// Datagram sockets.

func TestSlidesADatagramCarriesAtMost65507Bytes(t *testing.T) {
	here, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	here.SetReadDeadline(time.Now().Add(soon))
	if !systemTakes(65507) {
		t.Skip("this system takes less in a datagram")
	}
	for _, size := range []int{65507, 65508, 65535} {
		_, err := here.WriteTo(make([]byte, size), here.LocalAddr())
		if fits := size <= 65507; fits != (err == nil) {
			t.Errorf("a datagram of %d bytes to the system: %v", size, err)
		}
	}
	if n, _, err := here.ReadFrom(make([]byte, 1<<16)); n != 65507 || err != nil {
		t.Errorf("received %d bytes, %v, want 65507", n, err)
	}
}

func TestSlidesADatagramArrivesWhole(t *testing.T) {
	alice, bob := loopbackPeer(t, "127.0.0.1:0"), loopbackPeer(t, "127.0.0.1:0")
	for _, text := range []string{"Hello", ", ", "", "world!"} {
		if err := bob.Send([]byte(text), alice.LocalAddress()); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"Hello", ", ", "", "world!"} {
		wantDatagram(t, alice, text, bob.LocalAddress().String())
	}
}

// The slides read 1,024 bytes at a time: of a longer datagram the rest is lost.
func TestSlidesALongDatagramIsNotCut(t *testing.T) {
	alice, bob := loopbackPeer(t, "127.0.0.1:0"), loopbackPeer(t, "127.0.0.1:0")
	text := strings.Repeat("a", 1024) + "b"
	if err := bob.Send([]byte(text), alice.LocalAddress()); err != nil {
		t.Fatal(err)
	}
	wantDatagram(t, alice, text, bob.LocalAddress().String())
}

func TestSlidesADatagramSocketTalksToMany(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	for range 3 {
		other := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String())
		if err := other.SendAll([]byte("as a client")); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, alice, "as a client", other.LocalAddress().String())
		if err := alice.Send([]byte("as a server"), other.LocalAddress()); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, other, "as a server", alice.LocalAddress().String())
	}
}

func TestSlidesTheSocketIsSharedAmongThreads(t *testing.T) {
	alice, bob := loopbackPeer(t, "127.0.0.1:0"), loopbackPeer(t, "127.0.0.1:0")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := bob.Send([]byte("text"), alice.LocalAddress()); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			if payload, _, err := alice.Receive(ctx); err != nil || string(payload) != "text" {
				t.Errorf("Receive() = %q, %v", payload, err)
			}
		})
	}
	group.Wait()
}

func TestSlidesPortZeroIsAFreePort(t *testing.T) {
	ports := make(map[uint16]bool)
	for range 5 {
		port := loopbackPeer(t, "127.0.0.1:0").LocalAddress().Port()
		if port == 0 || ports[port] {
			t.Errorf("port %d, want a free one", port)
		}
		ports[port] = true
	}
}

func TestSlidesAnyAddressIsEveryLocalAddress(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0"} {
		alice := loopbackPeer(t, address)
		for _, ip := range []string{"127.0.0.1", "127.0.0.2"} {
			if ip == "127.0.0.2" && runtime.GOOS != "linux" && runtime.GOOS != "windows" {
				continue
			}
			bob := loopbackPeer(t, "127.0.0.1:0")
			if err := bob.Send([]byte(ip), netip.AddrPortFrom(netip.MustParseAddr(ip), alice.LocalAddress().Port())); err != nil {
				t.Fatal(err)
			}
			wantDatagram(t, alice, ip, bob.LocalAddress().String())
		}
	}
}

func TestSlidesAClosedSocketRaises(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	alice.Close()
	if err := alice.Send([]byte("text"), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("sendto after close: %v, want %v", err, net.ErrClosed)
	}
	if _, _, err := alice.Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("recvfrom after close: %v, want %v", err, net.ErrClosed)
	}
}

// 127.255.255.255 is the broadcast address of the loopback network: nothing
// leaves the machine. Without the right to broadcast, sending there is refused.
func TestSlidesTheRightToBroadcastIsOn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the loopback network has a broadcast address on Linux only")
	}
	alice, bob := loopbackPeer(t, "0"), loopbackPeer(t, "0")
	everyone := netip.AddrPortFrom(netip.MustParseAddr("127.255.255.255"), alice.LocalAddress().Port())
	if err := bob.Send([]byte("to all"), everyone); err != nil {
		t.Fatalf("Send to a broadcast address: %v", err)
	}
	wantDatagram(t, alice, "to all", "")
}

// Utilities.

func TestSlidesTheUsageOfAddress(t *testing.T) {
	for text, want := range map[string]string{
		"localhost:8080": "127.0.0.1:8080",
		"127.0.0.1:8080": "127.0.0.1:8080",
		"8080":           "0.0.0.0:8080",
		"":               "0.0.0.0:0",
		" 0.0.0.0:0 ":    "0.0.0.0:0",
	} {
		if got, err := sockets.ResolveAddress(t.Context(), text); err != nil || got.String() != want {
			t.Errorf("ResolveAddress(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
	if _, err := sockets.ResolveAddress(t.Context(), "127.0.0.1:65536"); err == nil || !strings.Contains(err.Error(), "0-65535") {
		t.Errorf("ResolveAddress of port 65536: %v, want an error that says 0-65535", err)
	}
}

// The slides print address[0] where they mean the port.
func TestSlidesTheFirstElementOfAnAddressIsTheIP(t *testing.T) {
	address, err := sockets.ResolveAddress(t.Context(), "localhost:8080")
	if err != nil || address.Addr().String() != "127.0.0.1" || address.Port() != 8080 {
		t.Errorf("(%v, %d), %v, want (127.0.0.1, 8080)", address.Addr(), address.Port(), err)
	}
}

func TestSlidesTheUsageOfMessage(t *testing.T) {
	m := sockets.Message{Text: "Hello, World!", Sender: "Alice", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)}
	if got, want := m.String(), "[2024-02-03T12:15:00] Alice:\n\tHello, World!"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	m = sockets.Message{Text: "Hello Alice!", Sender: "Bob", Timestamp: time.Date(2024, 10, 3, 15, 0, 22, 175104000, time.Local)}
	if got, want := m.String(), "[2024-10-03T15:00:22.175104] Bob:\n\tHello Alice!"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestSlidesTheLocalIPsHoldTheLoopbackAddress(t *testing.T) {
	ips, err := sockets.LocalIPs()
	if err != nil || !slices.Contains(ips, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("LocalIPs() = %v, %v, want 127.0.0.1 among them", ips, err)
	}
}

// The UDP group chat.

func TestSlidesTheFirstParticipantCannotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		alice, box := o.peer(t, sockets.Config{}, "8080")
		bob, _ := o.peer(t, sockets.Config{}, "8081", "localhost:8080")
		if err := alice.SendAll([]byte("Is there anybody?")); err != nil {
			t.Fatal(err)
		}
		wantParcels(t, box)
		if err := bob.SendAll([]byte("Hello Alice!")); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, alice, "Hello Alice!", "127.0.0.1:8081")
		if err := alice.SendAll([]byte("Hello Bob, how are you?")); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, bob, "Hello Bob, how are you?", "127.0.0.1:8080")
	})
}

func TestSlidesAThirdPeerJoinsTheChat(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	bob := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String())
	carol := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String(), bob.LocalAddress().String())
	everyone := []*sockets.Peer{bob, carol, alice}
	for _, speaker := range []*sockets.Peer{bob, carol, alice, bob, carol} {
		if err := speaker.SendAll([]byte("Hello!")); err != nil {
			t.Fatal(err)
		}
		for _, other := range everyone {
			if other != speaker && slices.Contains(speaker.Peers(), other.LocalAddress()) {
				wantDatagram(t, other, "Hello!", speaker.LocalAddress().String())
			}
		}
	}
	for _, p := range everyone {
		if known := p.Peers(); len(known) != 2 {
			t.Errorf("%v knows %v, want the two others", p.LocalAddress(), known)
		}
	}
}

func TestSlidesTwoSpellingsOfOneEndpointAreOnePeer(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	port := alice.LocalAddress().Port()
	bob := loopbackPeer(t, "127.0.0.1:0", fmt.Sprint("localhost:", port), fmt.Sprint("127.0.0.1:", port))
	wantPeers(t, bob, alice.LocalAddress().String())
}

// On the slides who sends dies when it is iterating as a newcomer is learnt, and
// who receives dies over bytes that are not UTF-8.
func TestSlidesLifeGoesOnWhileThePeersChange(t *testing.T) {
	alice := loopbackPeer(t, "127.0.0.1:0")
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 1000 {
			alice.Add(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(1+i%9)))
			alice.Remove(alice.Peers()...)
		}
	})
	group.Go(func() {
		for range 300 {
			alice.SendAll([]byte("text"))
		}
	})
	group.Wait()
	bob := loopbackPeer(t, "127.0.0.1:0", alice.LocalAddress().String())
	if err := bob.SendAll([]byte("\xff\xfe\xfd")); err != nil {
		t.Fatal(err)
	}
	wantDatagram(t, alice, "\xff\xfe\xfd", bob.LocalAddress().String())
}

func TestSlidesACallbackHandlesWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var printed []string
		p, box := newOffice().async(t, sockets.Config{}, func(message []byte, _ sockets.Address) {
			printed = append(printed, string(message))
		}, "192.0.2.1:1")
		if err := p.SendAll([]byte("typed meanwhile")); err != nil {
			t.Fatal(err)
		}
		box.from("192.0.2.1:1", "Fine thanks! What about you?")
		synctest.Wait()
		if diff := cmp.Diff([]string{"Fine thanks! What about you?"}, printed); diff != "" {
			t.Errorf("printed: -want +got\n%s", diff)
		}
		wantParcels(t, box, parcel{"typed meanwhile", "192.0.2.1:1"})
	})
}

// Attempt 2: who leaves without a word is not noticed, and goes on being sent to.
func TestSlidesTheRemotePeerIsNotNotifiedOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		told := 0
		cfg := sockets.Config{PeerError: func(peer sockets.Address, err error) { t.Errorf("PeerError is told %v of %v", err, peer) }}
		alice, box := o.async(t, cfg, func([]byte, sockets.Address) { told++ })
		bob, _ := o.peer(t, sockets.Config{}, "8081", "localhost:8080")
		if err := bob.SendAll([]byte("Hello Alice!")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bob.Close()
		time.Sleep(24 * time.Hour)
		if err := alice.SendAll([]byte("Are you there?")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantParcels(t, box, parcel{"Are you there?", "127.0.0.1:8081"})
		wantPeers(t, alice.Peer, "127.0.0.1:8081")
		if told != 1 {
			t.Errorf("the callback was told %d datagrams, want 1", told)
		}
	})
}

// Attempt 3: the chat goes on without who says goodbye, and who says so in the
// course of a sentence stays.
func TestSlidesALeavingPeerIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		alice, _ := o.async(t, sockets.Config{}, nil)
		alice.SetCallback(func(payload []byte, sender sockets.Address) {
			if sockets.IsExit(payload) {
				alice.Remove(sender)
			}
		})
		bob, _ := o.peer(t, sockets.Config{}, "8081", "localhost:8080")
		carol, _ := o.peer(t, sockets.Config{}, "8082", "localhost:8080")
		say := func(text string, want ...string) {
			t.Helper()
			if err := bob.SendAll(sockets.NewMessage(text, "Bob").Bytes()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			wantPeers(t, alice.Peer, want...)
		}
		if err := carol.SendAll(sockets.NewMessage("hi", "Carol").Bytes()); err != nil {
			t.Fatal(err)
		}
		say("hello", "127.0.0.1:8081", "127.0.0.1:8082")
		say("how do I quit? type "+sockets.ExitMessage, "127.0.0.1:8081", "127.0.0.1:8082")
		say(sockets.ExitMessage, "127.0.0.1:8082")
		say(sockets.ExitMessage, "127.0.0.1:8082")
		say("I am back", "127.0.0.1:8081", "127.0.0.1:8082")
	})
}

// Whoever claims to be Bob is Bob: nothing is verified.
func TestSlidesPeersDeclareTheirOwnIdentity(t *testing.T) {
	alice, mallory := loopbackPeer(t, "127.0.0.1:0"), loopbackPeer(t, "127.0.0.1:0")
	if err := mallory.Send(sockets.NewMessage("lend me 10 euro", "Bob").Bytes(), alice.LocalAddress()); err != nil {
		t.Fatal(err)
	}
	payload, sender, err := alice.Receive(t.Context())
	if err != nil || sender != mallory.LocalAddress() {
		t.Fatalf("Receive from %v, %v", sender, err)
	}
	if m, err := sockets.ParseMessage(payload); err != nil || m.Sender != "Bob" {
		t.Errorf("ParseMessage(%q) = %v, %v", payload, m, err)
	}
}

// Stream sockets.

func TestSlidesAConnectionIsFullDuplex(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	client, accepted := slideClient(t, sockets.Config{}, server, connections)
	var group sync.WaitGroup
	for _, c := range []*sockets.Connection{client.Connection, accepted} {
		group.Go(func() {
			for i := range 100 {
				if err := c.Send(fmt.Append(nil, i, " from ", c.LocalAddress())); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for i := range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), soon)
				got, err := c.Receive(ctx)
				cancel()
				if want := fmt.Sprint(i, " from ", c.RemoteAddress()); err != nil || string(got) != want {
					t.Errorf("Receive() = %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	group.Wait()
}

func TestSlidesTheAcceptedSocketIsConnectedToTheClient(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	for range 3 {
		client, accepted := slideClient(t, sockets.Config{}, server, connections)
		if accepted.RemoteAddress() != client.LocalAddress() || accepted.LocalAddress() != server.LocalAddress() ||
			client.RemoteAddress() != server.LocalAddress() || client.LocalAddress().Port() == server.LocalAddress().Port() {
			t.Errorf("client %v -> %v, accepted %v -> %v, server %v", client.LocalAddress(), client.RemoteAddress(),
				accepted.LocalAddress(), accepted.RemoteAddress(), server.LocalAddress())
		}
	}
}

func TestSlidesConnectIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	_, err = sockets.Dial(t.Context(), listener.Addr().String(), nil)
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "the machine answers") {
		t.Errorf("Dial where nobody accepts: %v, want ECONNREFUSED explained", err)
	}
}

// A desert is a Network in which nobody answers.
type desert struct{ sockets.Network }

func (desert) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
}

func TestSlidesConnectTimesOut(t *testing.T) {
	for _, test := range []struct{ timeout, want time.Duration }{{0, 10 * time.Second}, {time.Minute, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			cfg := sockets.Config{Network: desert{}, DialTimeout: test.timeout}
			_, err := cfg.Dial(t.Context(), "192.0.2.1:8080", nil)
			if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "not reachable") || time.Since(start) != test.want {
				t.Errorf("Dial where nobody answers: %v after %v, want %v after %v", err, time.Since(start), os.ErrDeadlineExceeded, test.want)
			}
		})
	}
}

func TestSlidesSettimeoutIsAContext(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	client, _ := slideClient(t, sockets.Config{}, server, connections)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := client.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Receive with 1 ms: %v, want %v", err, context.DeadlineExceeded)
	}
}

// recv(n) waits for some bytes, not for n.
func TestSlidesRecvMayReturnFewerBytes(t *testing.T) {
	here, there := bareEnds(t)
	here.Write([]byte("abc"))
	buffer := make([]byte, 4096)
	if n, err := there.Read(buffer); err != nil || n == 0 || n > 3 {
		t.Errorf("Read = %d, %v, want from 1 to 3 bytes", n, err)
	}
}

func TestSlidesShutWrTellsTheOtherEnd(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	client, accepted := slideClient(t, sockets.Config{}, server, connections)
	if err := client.Send([]byte("My very important payload")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, accepted, "My very important payload")
	wantEnd(t, accepted)
	if err := accepted.Send([]byte("the answer")); err != nil {
		t.Fatalf("Send after the end of the other end: %v", err)
	}
	wantMessage(t, client.Connection, "the answer")
}

func TestSlidesShutRdTellsTheOtherEndNothing(t *testing.T) {
	here, there := bareEnds(t)
	if err := here.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		if _, err := there.Write([]byte("who reads this?")); err != nil {
			t.Errorf("Write to an end that was shut for reading: %v", err)
		}
	}
	here.Write([]byte("abc"))
	buffer := make([]byte, 3)
	if _, err := io.ReadFull(there, buffer); err != nil || string(buffer) != "abc" {
		t.Errorf("Read from an end that was shut for reading = %q, %v, want abc: as if nothing had happened", buffer, err)
	}
}

func TestSlidesCloseIsNoticed(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	client, accepted := slideClient(t, sockets.Config{}, server, connections)
	events := make(chan sockets.Event, 10)
	accepted.SetCallback(func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) { events <- event })
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := <-events; got != sockets.EventClose {
		t.Errorf("event %q, want %q", got, sockets.EventClose)
	}
	<-accepted.Done()
	if err := accepted.Err(); err != io.EOF || len(events) > 0 {
		t.Errorf("Err() = %v, and %d more events, want %v and none", err, len(events), io.EOF)
	}
}

// listen(1) is not one connection at a time: many may wait, and many be open.
func TestSlidesManyConnectionsAreOpenAtOnce(t *testing.T) {
	server, err := sockets.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	var clients []*sockets.Client
	for range 5 {
		client, err := sockets.Dial(t.Context(), server.LocalAddress().String(), nil)
		if err != nil {
			t.Fatalf("Dial while %d connections wait to be accepted: %v", len(clients), err)
		}
		defer client.CloseNow()
		clients = append(clients, client)
	}
	connections := make(chan *sockets.Connection, len(clients))
	server.SetCallback(func(event sockets.Event, connection *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			connections <- connection
		}
	})
	for range clients {
		accepted := <-connections
		defer accepted.CloseNow()
		if err := accepted.Send([]byte("welcome")); err != nil {
			t.Error(err)
		}
	}
	for _, client := range clients {
		wantMessage(t, client.Connection, "welcome")
	}
	server.Close()
	<-server.Done()
}

func TestSlidesClosingAServerWakesAccept(t *testing.T) {
	events := make(chan sockets.Event, 10)
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, _ *sockets.Connection, _ sockets.Address, _ error) { events <- event })
	if err != nil {
		t.Fatal(err)
	}
	if got := <-events; got != sockets.EventListen {
		t.Fatalf("event %q, want %q", got, sockets.EventListen)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if client, err := sockets.Dial(t.Context(), server.LocalAddress().String(), nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial right after Close = %v, %v, want %v", client, err, error(syscall.ECONNREFUSED))
	}
	<-server.Done()
	if got := <-events; got != sockets.EventStop || len(events) > 0 {
		t.Errorf("event %q and %d more, want %q", got, len(events), sockets.EventStop)
	}
}

// A server that has just closed a connection can start again on the same port.
func TestSlidesReuseAddrIsOn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows needs no SO_REUSEADDR for this")
	}
	var err error
	for range 3 {
		server, connections := slideServer(t, sockets.Config{})
		client, accepted := slideClient(t, sockets.Config{}, server, connections)
		server.Close()
		<-server.Done()
		go client.Receive(t.Context())
		accepted.CloseNow()
		var again *sockets.Server
		if again, err = sockets.Listen(server.LocalAddress().String(), nil); err == nil {
			again.Close()
			return
		}
	}
	t.Errorf("Listen on the port of a server that was closed: %v", err)
}

func TestSlidesAPortScanDoesNotEndTheServer(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	for range 20 {
		conn, err := net.Dial("tcp", server.LocalAddress().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	client, err := sockets.Dial(t.Context(), server.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseNow()
	for accepted := range connections {
		if accepted.RemoteAddress() == client.LocalAddress() {
			break
		}
	}
	select {
	case <-server.Done():
		t.Error("the server has ended")
	default:
	}
}

// Connection-oriented message exchange.

var theThreeMessages = []string{
	"The user pressed UP and RIGHT",
	"The user released RIGHT, and pressed LEFT",
	"The user released LEFT",
}

const theThreeFrames = "\x00\x00\x00\x1dThe user pressed UP and RIGHT" +
	"\x00\x00\x00\x29The user released RIGHT, and pressed LEFT" +
	"\x00\x00\x00\x16The user released LEFT"

func TestSlidesTheThreeMessages(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	conn, accepted := bareClient(t, server, connections)
	for _, message := range theThreeMessages {
		if err := accepted.Send([]byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	if err := accepted.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != theThreeFrames {
		t.Errorf("on the wire: %q, %v, want %q", got, err, theThreeFrames)
	}
	if _, err := io.WriteString(conn, theThreeFrames); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	for _, message := range theThreeMessages {
		wantMessage(t, accepted, message)
	}
	wantEnd(t, accepted)
}

// On the slides one recv is one part of a message: a segment that ends inside
// makes two messages of one.
func TestSlidesAMessageOfTwoSegmentsIsOneMessage(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	conn, accepted := bareClient(t, server, connections)
	conn.SetNoDelay(true)
	frame := theThreeFrames[:4+29]
	for cut := 1; cut < len(frame); cut++ {
		io.WriteString(conn, frame[:cut])
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
		if got, err := accepted.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Receive after %d bytes = %q, %v, want %v", cut, got, err, context.DeadlineExceeded)
		}
		cancel()
		io.WriteString(conn, frame[cut:])
		wantMessage(t, accepted, theThreeMessages[0])
	}
}

func TestSlidesMessagesOfOneSegmentAreSeveral(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	conn, accepted := bareClient(t, server, connections)
	io.WriteString(conn, theThreeFrames)
	for _, message := range theThreeMessages {
		wantMessage(t, accepted, message)
	}
}

// On the slides length 0 is the end.
func TestSlidesAnEmptyMessageIsAMessage(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	client, accepted := slideClient(t, sockets.Config{}, server, connections)
	for _, text := range []string{"", "after the empty one", ""} {
		if err := client.Send([]byte(text)); err != nil {
			t.Fatal(err)
		}
		wantMessage(t, accepted, text)
	}
}

// Python's len of this text is 12.
func TestSlidesTheLengthCountsBytes(t *testing.T) {
	const text = "ciao à tutti"
	if characters := utf8.RuneCountInString(text); characters != 12 || len(text) != 13 {
		t.Fatalf("%d characters and %d bytes", characters, len(text))
	}
	var wire bytes.Buffer
	if err := sockets.NewFramer(&wire, 4).WriteMessage([]byte(text)); err != nil || wire.String() != "\x00\x00\x00\x0d"+text {
		t.Errorf("on the wire: %q, %v", wire.String(), err)
	}
}

// In the Python lab more than 65,535 bytes end the connection.
func TestSlidesAMessageTooLongLeavesTheConnectionGood(t *testing.T) {
	cfg := sockets.Config{Prefix: 2}
	server, connections := slideServer(t, cfg)
	client, accepted := slideClient(t, cfg, server, connections)
	if err := client.Send(make([]byte, 65536)); !errors.Is(err, sockets.ErrMessageTooBig) {
		t.Errorf("Send of 65,536 bytes behind a prefix of 2: %v, want %v", err, sockets.ErrMessageTooBig)
	}
	longest := strings.Repeat("a", 65535)
	if err := client.Send([]byte(longest)); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, accepted, longest)
}

// The golden rule: a length that is announced is not believed.
func TestSlidesTheGoldenRule(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	conn, accepted := bareClient(t, server, connections)
	io.WriteString(conn, "\xff\xff\xff\xff")
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := accepted.Receive(ctx); !errors.Is(err, sockets.ErrMessageTooBig) {
		t.Errorf("Receive of 4 GiB: %v, want %v", err, sockets.ErrMessageTooBig)
	}
}

// TCP echo.

// echo is the server of the slides: 1,024 bytes in, the same bytes out.
func echo(conn net.Conn) {
	defer conn.(interface{ CloseWrite() error }).CloseWrite()
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		if _, failed := conn.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// Attempt 1 sends everything before it reads anything.
func TestSlidesEchoAttempt1ComesToAStandstill(t *testing.T) {
	client, server := bareEnds(t)
	var serving sync.WaitGroup
	serving.Go(func() { echo(server) })
	defer serving.Wait()
	defer client.Close()
	chunk := make([]byte, 1<<20)
	const enough = 1 << 30
	sent := 0
	for sent < enough {
		client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := client.Write(chunk)
		sent += n
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Errorf("%d bytes were sent that nobody read back", sent)
}

func TestSlidesEchoAttempt1ManagesAShortStream(t *testing.T) {
	client, server := bareEnds(t)
	var serving sync.WaitGroup
	serving.Go(func() { echo(server) })
	defer serving.Wait()
	text := noise(4096)
	io.WriteString(client, text)
	client.CloseWrite()
	if got, err := io.ReadAll(client); err != nil || string(got) != text {
		t.Errorf("echoed %d bytes, %v, want the %d that were sent", len(got), err, len(text))
	}
}

// Attempt 2 reads each chunk back before it sends the next.
func TestSlidesEchoAttempt2ManagesALongStream(t *testing.T) {
	client, server := bareEnds(t)
	var serving sync.WaitGroup
	serving.Go(func() { echo(server) })
	defer serving.Wait()
	const chunks = 16 << 10
	local, remote := []byte(noise(1024)), make([]byte, 1024)
	for i := range chunks {
		if _, err := client.Write(local); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, remote); err != nil || !bytes.Equal(local, remote) {
			t.Fatalf("chunk %d came back wrong, %v", i, err)
		}
	}
	client.CloseWrite()
	if rest, err := io.ReadAll(client); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %d bytes, %v", len(rest), err)
	}
}

// TCP chat.

func TestSlidesTheEventsHaveTheirNames(t *testing.T) {
	for event, want := range map[sockets.Event]string{
		sockets.EventMessage: "message",
		sockets.EventClose:   "close",
		sockets.EventError:   "error",
		sockets.EventListen:  "listen",
		sockets.EventConnect: "connect",
		sockets.EventStop:    "stop",
	} {
		if string(event) != want {
			t.Errorf("event %q, want %q", event, want)
		}
	}
}

// The callbacks of the slides, on both sides. The server attaches that for the
// messages when somebody connects.
func TestSlidesTwoChatOverTCP(t *testing.T) {
	printed := make(chan string, 100)
	onMessage := func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
		switch event {
		case sockets.EventMessage:
			printed <- string(payload)
		case sockets.EventClose:
			printed <- "Connection with peer " + connection.RemoteAddress().String() + " closed"
		case sockets.EventError:
			printed <- err.Error()
		}
	}
	peers := make(chan *sockets.Connection, 1)
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		switch event {
		case sockets.EventListen:
			printed <- fmt.Sprint("Server listening on port ", address.Port())
		case sockets.EventConnect:
			printed <- "Open ingoing connection from: " + address.String()
			connection.SetCallback(onMessage)
			peers <- connection
		case sockets.EventStop:
			printed <- "Stop listening for new connections"
		case sockets.EventError:
			printed <- err.Error()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(line string) {
		t.Helper()
		if got := <-printed; got != line {
			t.Fatalf("printed %q, want %q", got, line)
		}
	}
	check(fmt.Sprint("Server listening on port ", server.LocalAddress().Port()))
	client, err := sockets.Dial(t.Context(), server.LocalAddress().String(), onMessage)
	if err != nil {
		t.Fatal(err)
	}
	check("Open ingoing connection from: " + client.LocalAddress().String())
	accepted := <-peers
	for i := range 3 {
		hello := sockets.NewMessage(fmt.Sprint("hello ", i), "Alice")
		for _, c := range []*sockets.Connection{accepted, client.Connection} {
			if err := c.Send(hello.Bytes()); err != nil {
				t.Fatal(err)
			}
			check(hello.String())
		}
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	check("Stop listening for new connections")
	if err := client.Send([]byte("the connection lives on")); err != nil {
		t.Error(err)
	}
	check("the connection lives on")
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	<-client.Done()
	<-accepted.Done()
	got := []string{<-printed, <-printed}
	slices.Sort(got)
	last := []string{
		"Connection with peer " + client.LocalAddress().String() + " closed",
		"Connection with peer " + server.LocalAddress().String() + " closed",
	}
	slices.Sort(last)
	if diff := cmp.Diff(last, got); diff != "" || len(printed) > 0 {
		t.Errorf("printed at the end, and %d more lines: -want +got\n%s", len(printed), diff)
	}
}

// In the Python lab this is a RecursionError.
func TestSlidesCloseInsideTheCloseCallbackDoesNothing(t *testing.T) {
	server, connections := slideServer(t, sockets.Config{})
	client, accepted := slideClient(t, sockets.Config{}, server, connections)
	closed := 0
	accepted.SetCallback(func(event sockets.Event, _ []byte, connection *sockets.Connection, _ error) {
		if event == sockets.EventClose {
			closed++
			if err := connection.Close(); err != nil {
				t.Errorf("Close inside the close callback: %v", err)
			}
		}
	})
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	<-accepted.Done()
	if closed != 1 {
		t.Errorf("%d close events, want 1", closed)
	}
}
