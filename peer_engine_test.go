package sockets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// texts of datagrams, numbered.
func numbers(n int) (payloads [][]byte) {
	for i := range n {
		payloads = append(payloads, fmt.Appendf(nil, "%03d", i))
	}
	return payloads
}

func TestPeerSendRunSendsEachPayloadInOrder(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080")
	for to, want := range map[string]string{"192.0.2.9:9": "192.0.2.9:9", "0.0.0.0:9": "127.0.0.1:9", "[::ffff:192.0.2.9]:9": "192.0.2.9:9"} {
		payloads := [][]byte{[]byte("one"), {}, []byte("two"), nil, []byte("three")}
		if err := p.SendRun(payloads, netip.MustParseAddrPort(to)); err != nil {
			t.Errorf("SendRun to %s: %v", to, err)
		}
		wantParcels(t, box, parcel{"one", want}, parcel{"", want}, parcel{"two", want}, parcel{"", want}, parcel{"three", want})
	}
	if err := p.SendRun(nil, netip.MustParseAddrPort(stranger)); err != nil {
		t.Errorf("SendRun of nothing: %v", err)
	}
	wantParcels(t, box)
	wantPeers(t, p)
}

func TestPeerSendRunSendsNothingIfItCannotSendAll(t *testing.T) {
	p, box := newOffice().peer(t, sockets.Config{}, "8080")
	tooLong := append(numbers(3), make([]byte, 65508), []byte("end"))
	want := p.Send(tooLong[3], netip.MustParseAddrPort(stranger))
	if err := p.SendRun(tooLong, netip.MustParseAddrPort(stranger)); !errors.Is(err, sockets.ErrMessageTooBig) || err.Error() != want.Error() {
		t.Errorf("SendRun with one that is too long: %v, want %v", err, want)
	}
	for _, to := range []sockets.Address{{}, netip.MustParseAddrPort("192.0.2.1:0")} {
		if err := p.SendRun(numbers(3), to); err == nil || err.Error() != p.Send(nil, to).Error() {
			t.Errorf("SendRun to %v: %v, want what Send says: %v", to, err, p.Send(nil, to))
		}
	}
	wantParcels(t, box)
}

// A fullMailbox takes so many datagrams.
type fullMailbox struct {
	*mailbox
	room int
	err  error
}

func (b *fullMailbox) WriteTo(p []byte, to net.Addr) (int, error) {
	if b.room--; b.room < 0 {
		return 0, b.err
	}
	return b.mailbox.WriteTo(p, to)
}

func TestPeerSendRunSaysHowManyWereSent(t *testing.T) {
	for _, errno := range systemErrors {
		for _, room := range []int{0, 1, 4} {
			o := newOffice()
			o.wrap = func(b *mailbox) net.PacketConn { return &fullMailbox{b, room, errno} }
			p, box := o.peer(t, sockets.Config{}, "8080")
			payloads := numbers(5)
			payloads[room] = []byte("a longer one")
			err := p.SendRun(payloads, netip.MustParseAddrPort(stranger))
			want := fmt.Sprintf("(after %d of 5 datagrams)", room)
			if errno == syscall.EMSGSIZE && !strings.Contains(err.Error(), "12 bytes") {
				t.Errorf("SendRun: %v, want how long that one is", err)
			}
			if !errors.Is(err, errno) || errors.Is(err, sockets.ErrMessageTooBig) != (errno == syscall.EMSGSIZE) ||
				!strings.HasPrefix(err.Error(), "sockets: send to "+stranger+": ") || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("SendRun with %v: %v, want %s", error(errno), err, want)
			}
			if sent := box.parcels(); len(sent) != room {
				t.Errorf("SendRun with %v after %d sent %d", error(errno), room, len(sent))
			}
		}
	}
}

func TestPeerSendRunAfterClose(t *testing.T) {
	office, _ := newOffice().peer(t, sockets.Config{}, "8080")
	for name, p := range map[string]*sockets.Peer{"office": office, "loopback": loopbackPeer(t, "127.0.0.1:0")} {
		p.Close()
		if err := p.SendRun(numbers(2), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: SendRun after Close: %v, want %v", name, err, net.ErrClosed)
		}
	}
}

// sendNumbers sends n datagrams at once to p, and returns their sender.
func sendNumbers(t *testing.T, p *sockets.Peer, n int) sockets.Address {
	t.Helper()
	sender := loopbackPeer(t, "127.0.0.1:0")
	if err := sender.SendRun(numbers(n), p.LocalAddress()); err != nil {
		t.Fatal(err)
	}
	return sender.LocalAddress()
}

// Where several datagrams arrive at once, each is received by itself, whoever
// stops in between.
func TestRunIsReceivedOneByOne(t *testing.T) {
	const length = 60
	p := loopbackPeer(t, "127.0.0.1:0")
	sender := sendNumbers(t, p, length)
	for i, want := range numbers(length) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if payload, _, err := p.Receive(ctx); err != context.Canceled {
			t.Fatalf("Receive number %d with a context that has ended = %q, %v", i, payload, err)
		}
		wantDatagram(t, p, string(want), sender.String())
		wantPeers(t, p, sender.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if payload, _, err := p.Receive(ctx); err != context.DeadlineExceeded {
		t.Errorf("Receive after all = %q, %v", payload, err)
	}
}

func TestRunIsSharedByReceiveAndCallback(t *testing.T) {
	const length, before = 60, 7
	p, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sender := sendNumbers(t, p.Peer, length)
	for _, want := range numbers(length)[:before] {
		wantDatagram(t, p.Peer, string(want), sender.String())
	}
	told := make(chan string, length)
	p.SetCallback(func(payload []byte, _ sockets.Address) { told <- string(payload) })
	for _, want := range numbers(length)[before:] {
		select {
		case got := <-told:
			if got != string(want) {
				t.Fatalf("the callback is told %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the callback is not told %q", want)
		}
	}
}

// What has arrived when the peer is closed is told to nobody, also if it was
// read at once with what was told before.
func TestRunEndsWithClose(t *testing.T) {
	const length, last = 60, 7
	var told atomic.Int64
	p, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sendNumbers(t, p.Peer, length)
	p.SetCallback(func([]byte, sockets.Address) {
		if told.Add(1) == last {
			p.Close()
		}
	})
	<-p.Done()
	if n := told.Load(); n != last {
		t.Errorf("%d datagrams are told, want no more than the %d before Close", n, last)
	}
	if payload, _, err := p.Receive(t.Context()); err != sockets.ErrCallbackSet {
		t.Errorf("Receive = %q, %v", payload, err)
	}
}

// A callback that forgets the sender of each datagram sees it learnt by the next,
// also if they had arrived together.
func TestRunIsLearntAgain(t *testing.T) {
	const length = 60
	told := make(chan []string, length)
	p, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sender := sendNumbers(t, p.Peer, length)
	p.SetCallback(func(_ []byte, from sockets.Address) {
		told <- texts(p.Peers())
		p.Remove(from)
	})
	for i := range length {
		select {
		case peers := <-told:
			if diff := cmp.Diff([]string{sender.String()}, peers); diff != "" {
				t.Fatalf("Peers with datagram %d: -want +got\n%s", i, diff)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("datagram %d is not told", i)
		}
	}
}

func TestPayloadsOfARunBelongToTheCallback(t *testing.T) {
	for _, lend := range []bool{false, true} {
		const length = 60
		var kept [][]byte
		arrived, done := 0, make(chan struct{})
		cfg := sockets.Config{LendPayloads: lend}
		p, err := cfg.NewAsyncPeer("127.0.0.1:0", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		p.SetCallback(func(payload []byte, _ sockets.Address) {
			want := numbers(length)[arrived%length]
			if !bytes.Equal(payload, want) || cap(payload) != len(payload) {
				t.Errorf("LendPayloads %v: told %q, capacity %d, want %q", lend, payload, cap(payload), want)
			}
			if !lend {
				kept = append(kept, payload)
				_ = append(payload, "more"...)
			}
			if arrived++; arrived%length == 0 {
				done <- struct{}{}
			}
		})
		for range 3 {
			sendNumbers(t, p.Peer, length)
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Fatalf("LendPayloads %v: %d datagrams are told", lend, arrived)
			}
		}
		for i, payload := range kept {
			if want := numbers(length)[i%length]; !bytes.Equal(payload, want) {
				t.Errorf("payload %d has become %q, want %q", i, payload, want)
			}
		}
	}
}

// Peers of both kinds of addresses among those that cannot be reached.
func TestPeerSendAllOnARealSocketTriesEveryone(t *testing.T) {
	const members = 70
	hosts := []string{"127.0.0.1:0"}
	if servesBoth() {
		hosts = append(hosts, "[::1]:0")
	}
	bob := loopbackPeer(t, "")
	alone := loopbackPeer(t, "127.0.0.1:0")
	var peers []*sockets.Peer
	for i := range members {
		p := loopbackPeer(t, hosts[i%len(hosts)])
		peers = append(peers, p)
		bob.Add(p.LocalAddress())
		alone.Add(p.LocalAddress())
	}
	if err := bob.SendAll([]byte("by bob")); err != nil {
		t.Errorf("SendAll: %v", err)
	}
	failing := 0
	for i, p := range peers {
		wantDatagram(t, p, "by bob", "")
		if i%len(hosts) == 1 {
			failing++
		}
	}
	err := alone.SendAll([]byte("by IPv4"))
	if failing == 0 && err != nil {
		t.Errorf("SendAll from IPv4: %v", err)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); failing > 0 && (!ok || len(joined.Unwrap()) != failing) {
		t.Errorf("SendAll from IPv4 to %d of IPv6: %v, want as many errors", failing, err)
	}
	for i, p := range peers {
		if i%len(hosts) == 0 {
			wantDatagram(t, p, "by IPv4", alone.LocalAddress().String())
		} else if want := "sockets: send to " + p.LocalAddress().String() + ": "; strings.Count(err.Error(), want) != 1 {
			t.Errorf("SendAll from IPv4: %v, want one that begins with %s", err, want)
		}
	}
}

// A datagram of these benchmarks is of 100 bytes. Each of them stands beside the
// loop that a program would write over package net.
const benchmarkDatagram = 100

// benchmarkSocket is bound to loopback until the benchmark ends.
func benchmarkSocket(b *testing.B) (*net.UDPConn, sockets.Address) {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn, sockets.AddressOf(conn.LocalAddr())
}

func benchmarkPeer(b *testing.B, cfg sockets.Config, callback sockets.MessageCallback) *sockets.AsyncPeer {
	b.Helper()
	p, err := cfg.NewAsyncPeer("127.0.0.1:0", nil, callback)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}

// perDatagram reports what one of count datagrams cost. The operations of a
// benchmark are many of them.
func perDatagram(b *testing.B, took time.Duration, count int) {
	b.ReportMetric(float64(took.Nanoseconds())/float64(count), "ns/datagram")
}

// BenchmarkPeerSendAll sends to sockets that nobody reads.
func BenchmarkPeerSendAll(b *testing.B) {
	payload := make([]byte, benchmarkDatagram)
	for _, members := range []int{1, 8, 64, 512} {
		var all []sockets.Address
		for range members {
			conn, address := benchmarkSocket(b)
			conn.SetReadBuffer(1)
			all = append(all, address)
		}
		b.Run(fmt.Sprintf("loop/%d", members), func(b *testing.B) {
			conn, _ := benchmarkSocket(b)
			b.ReportAllocs()
			for b.Loop() {
				for _, to := range all {
					if _, err := conn.WriteToUDPAddrPort(payload, to); err != nil {
						b.Fatal(err)
					}
				}
			}
			perDatagram(b, b.Elapsed(), b.N*members)
		})
		b.Run(fmt.Sprintf("ours/%d", members), func(b *testing.B) {
			p := benchmarkPeer(b, sockets.Config{}, nil)
			p.Add(all...)
			b.ReportAllocs()
			for b.Loop() {
				if err := p.SendAll(payload); err != nil {
					b.Fatal(err)
				}
			}
			perDatagram(b, b.Elapsed(), b.N*members)
		})
	}
}

// BenchmarkPeerSendRun sends runs of datagrams to one who reads, or not.
func BenchmarkPeerSendRun(b *testing.B) {
	const length = 256
	for _, size := range []int{benchmarkDatagram, 1200} {
		var payloads [][]byte
		for range length {
			payloads = append(payloads, make([]byte, size))
		}
		var heard atomic.Int64
		unread, toUnread := benchmarkSocket(b)
		unread.SetReadBuffer(1)
		reader := benchmarkPeer(b, sockets.Config{LendPayloads: true}, func([]byte, sockets.Address) { heard.Add(1) })
		for name, to := range map[string]netip.AddrPort{"unread": toUnread, "read": reader.LocalAddress()} {
			measure := func(who string, send func() error) {
				b.Run(fmt.Sprintf("%s/%s/%d", who, name, size), func(b *testing.B) {
					heard.Store(0)
					b.ReportAllocs()
					for b.Loop() {
						if err := send(); err != nil {
							b.Fatal(err)
						}
					}
					perDatagram(b, b.Elapsed(), b.N*length)
					b.ReportMetric(100*float64(heard.Load())/float64(b.N*length), "%heard")
				})
			}
			conn, _ := benchmarkSocket(b)
			measure("loop", func() error {
				for _, payload := range payloads {
					if _, err := conn.WriteToUDPAddrPort(payload, to); err != nil {
						return err
					}
				}
				return nil
			})
			p := benchmarkPeer(b, sockets.Config{}, nil)
			measure("ours", func() error { return p.SendRun(payloads, to) })
		}
	}
}

// BenchmarkPeerReceive takes datagrams that arrived while the callback ran for the
// first: of each operation, the time from the end of that call until all are told.
func BenchmarkPeerReceive(b *testing.B) {
	const length = 100
	payload := make([]byte, benchmarkDatagram)
	measure := func(who string, bind func(b *testing.B, told func()) sockets.Address) {
		b.Run(who, func(b *testing.B) {
			left := 0
			entered, blocked, all := make(chan struct{}), make(chan struct{}), make(chan struct{})
			to := bind(b, func() {
				if left == 0 {
					entered <- struct{}{}
					<-blocked
					left = length
				}
				if left--; left == 0 {
					all <- struct{}{}
				}
			})
			conn, _ := benchmarkSocket(b)
			send := func(n int) {
				for range n {
					if _, err := conn.WriteToUDPAddrPort(payload, to); err != nil {
						b.Fatal(err)
					}
				}
			}
			var took time.Duration
			b.ReportAllocs()
			for b.Loop() {
				send(1)
				<-entered
				send(length - 1)
				start := time.Now()
				blocked <- struct{}{}
				<-all
				took += time.Since(start)
			}
			perDatagram(b, took, b.N*(length-1))
		})
	}
	measure("loop", func(b *testing.B, told func()) sockets.Address {
		conn, address := benchmarkSocket(b)
		go func() {
			buffer := make([]byte, 1<<16)
			for {
				if _, _, err := conn.ReadFromUDPAddrPort(buffer); err != nil {
					return
				}
				told()
			}
		}()
		return address
	})
	for name, lend := range map[string]bool{"lent": true, "owned": false} {
		measure(name, func(b *testing.B, told func()) sockets.Address {
			return benchmarkPeer(b, sockets.Config{LendPayloads: lend}, func([]byte, sockets.Address) { told() }).LocalAddress()
		})
	}
}
