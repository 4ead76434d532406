package simnet_test

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

	"github.com/google/go-cmp/cmp"
	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/packettest"
	"github.com/seed287501ae/sockets/simnet"
)

// impairedHosts are Alice, whose host is behind a link, and Bob, whose host is
// not, each with a socket at port 1. They are in a bubble.
type impairedHosts struct {
	t          *testing.T
	impaired   *simnet.Impaired
	bobsHost   *simnet.Host
	alice, bob net.PacketConn
}

func newImpairedHosts(t *testing.T, link simnet.Link) *impairedHosts {
	t.Helper()
	n := simnet.New(1)
	h := &impairedHosts{t: t, impaired: simnet.Impair(n.Host("alice", "10.0.0.1"), link), bobsHost: n.Host("bob", "10.0.0.2")}
	h.alice = bind(t, h.impaired, ":1")
	h.bob = bind(t, h.bobsHost, ":1")
	return h
}

func bind(t *testing.T, network sockets.Network, address string) net.PacketConn {
	t.Helper()
	conn, err := network.ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

var (
	aliceAddr = &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
	bobAddr   = &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
)

// from returns the socket that sends in a direction, the one that receives, and
// the address of that.
func (h *impairedHosts) ends(outwards bool) (from, to net.PacketConn, address net.Addr) {
	if outwards {
		return h.alice, h.bob, bobAddr
	}
	return h.bob, h.alice, aliceAddr
}

// exchange sends count numbered datagrams in a direction, pause apart, and
// returns the numbers and times of those that arrive.
func (h *impairedHosts) exchange(outwards bool, count int, pause time.Duration) (numbers []int, times []time.Duration) {
	h.t.Helper()
	from, to, address := h.ends(outwards)
	start, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 100)
		for {
			n, _, err := to.ReadFrom(buffer)
			if err != nil {
				return
			}
			var number int
			fmt.Sscan(string(buffer[:n]), &number)
			numbers, times = append(numbers, number), append(times, time.Since(start))
		}
	}()
	for i := range count {
		if _, err := from.WriteTo(fmt.Append(nil, i), address); err != nil {
			h.t.Fatal(err)
		}
		time.Sleep(pause)
	}
	to.SetReadDeadline(time.Now().Add(time.Hour))
	<-done
	to.SetReadDeadline(time.Time{})
	return numbers, times
}

// directions runs a test in a bubble, for what an impaired socket sends and for
// what it receives.
func directions(t *testing.T, test func(t *testing.T, outwards bool)) {
	for _, outwards := range []bool{true, false} {
		t.Run(map[bool]string{true: "sent", false: "received"}[outwards], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, outwards) })
		})
	}
}

// What the kernel's sockets pass in internal/packettest, impaired ones pass too.
func TestImpairedPacketConnsAreLikeThoseOfTheKernel(t *testing.T) {
	for name, link := range map[string]simnet.Link{
		"perfect": {},
		"slow":    {Delay: time.Millisecond, Jitter: time.Millisecond, Bandwidth: 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
				synctest.Test(t, func(t *testing.T) {
					n := simnet.New(1)
					a, b := n.Host("10.0.0.1"), n.Host("10.0.0.2")
					check(t, packettest.Place{A: simnet.Impair(a, link), B: simnet.Impair(b, link), IPA: "10.0.0.1", IPB: "10.0.0.2"})
				})
			})
		})
	}
	t.Run("kernel", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("kernels differ")
		}
		packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
			impaired := simnet.Impair(nil, simnet.Link{})
			check(t, packettest.Place{A: impaired, B: impaired, IPA: "127.0.0.1", IPB: "127.0.0.1"})
		})
	})
}

func TestImpairPerfectChangesNothing(t *testing.T) {
	directions(t, func(t *testing.T, outwards bool) {
		h := newImpairedHosts(t, simnet.Link{})
		numbers, times := h.exchange(outwards, 500, 0)
		for i, number := range numbers {
			if number != i || times[i] != 0 {
				t.Fatalf("datagram %d arrives as number %d, after %v", number, i, times[i])
			}
		}
		sent, received := h.impaired.Counters()
		if !outwards {
			sent, received = received, sent
		}
		if want := (simnet.Counters{Sent: 500, Delivered: 500}); len(numbers) != 500 || sent != want || received != (simnet.Counters{}) {
			t.Errorf("%d arrive; counters %+v and %+v, want %+v", len(numbers), sent, received, want)
		}
	})
}

func TestImpairRollsTheDice(t *testing.T) {
	const count = 5000
	directions(t, func(t *testing.T, outwards bool) {
		h := newImpairedHosts(t, simnet.Link{Loss: 0.3, Duplicate: 0.05, Reorder: 0.1})
		numbers, _ := h.exchange(outwards, count, time.Millisecond)
		seen := make(map[int]int)
		overtaken, twice := 0, 0
		for i, number := range numbers {
			if seen[number]++; seen[number] == 2 {
				twice++
			}
			if i > 0 && number < slices.Max(numbers[max(0, i-20):i]) {
				overtaken++
			}
		}
		near := func(what string, got int, probability float64) {
			if want := probability * count; float64(got) < 0.8*want || float64(got) > 1.2*want {
				t.Errorf("%d %s of %d, want about %v", got, what, count, want)
			}
		}
		near("arrive", len(seen), 1-0.3*0.95) // the copy of a lost one arrives
		near("arrive twice", twice, 0.7*0.05)
		near("arrive late", overtaken, 0.7*0.1)
		sent, received := h.impaired.Counters()
		if !outwards {
			sent = received
		}
		near("count as lost", int(sent.Lost), 0.3)
		near("count as duplicated", int(sent.Duplicated), 0.05)
		near("count as reordered", int(sent.Reordered), 0.07)
		if sent.Sent != count || sent.Delivered != int64(len(numbers)) {
			t.Errorf("counters %+v, want %d sent and %d delivered", sent, count, len(numbers))
		}
	})
}

func TestImpairDelays(t *testing.T) {
	const delay, jitter = 50 * time.Millisecond, 20 * time.Millisecond
	directions(t, func(t *testing.T, outwards bool) {
		h := newImpairedHosts(t, simnet.Link{Delay: delay, Jitter: jitter})
		numbers, times := h.exchange(outwards, 200, time.Second)
		for i, number := range numbers {
			if took := times[i] - time.Duration(number)*time.Second; took < delay || took > delay+jitter {
				t.Errorf("datagram %d took %v, want 50 to 70 ms", number, took)
			}
		}
		if len(numbers) != 200 || slices.Max(times) == slices.Min(times) {
			t.Errorf("%d datagrams arrive, want 200", len(numbers))
		}
	})
}

func TestImpairHasABandwidthAndAQueue(t *testing.T) {
	directions(t, func(t *testing.T, outwards bool) {
		h := newImpairedHosts(t, simnet.Link{Bandwidth: 8000, Queue: 300}) // a thousand bytes a second
		numbers, times := h.exchange(outwards, 100, 0)
		if want := 300 / 29; len(numbers) != want { // 28 of headers and 1 of payload
			t.Fatalf("%d arrive, want %d", len(numbers), want)
		}
		for i, at := range times {
			if want := time.Duration(i+1) * 29 * time.Millisecond; at.Round(time.Millisecond) != want {
				t.Errorf("number %d arrives after %v, want %v", i, at, want)
			}
		}
		sent, received := h.impaired.Counters()
		if sent.Dropped+received.Dropped != 90 {
			t.Errorf("counters %+v, %+v, want 90 dropped", sent, received)
		}
	})
}

func TestImpairFaultsAreIndependent(t *testing.T) {
	directions(t, func(t *testing.T, outwards bool) {
		const count = 2000
		h := newImpairedHosts(t, simnet.Link{Loss: 0.5, Duplicate: 0.5, Reorder: 0.5})
		fates := make([][]bool, 3) // of each datagram: lost, duplicated, reordered or lost
		h.impaired.Observe(func(_ time.Time, _, _ netip.AddrPort, _ []byte, fate simnet.Fate) {
			last := len(fates[0]) - 1
			switch fate {
			case simnet.Sent:
				for i := range fates {
					fates[i] = append(fates[i], false)
				}
			case simnet.Lost:
				fates[0][last] = true
			case simnet.Duplicated:
				fates[1][last] = true
			case simnet.Reordered:
				fates[2][last] = true
			}
		})
		h.exchange(outwards, count, time.Second)
		for i, a := range fates {
			for j, b := range fates {
				same := 0
				for n := range count - 1 {
					if a[n] == b[n+1] {
						same++
					}
				}
				// A datagram that is lost is not reordered too: a quarter is.
				if want := map[bool]int{true: 5 * count / 8, false: count / 2}[i == 2 && j == 2]; same < want-count/10 || same > want+count/10 {
					t.Errorf("fault %d of a datagram is fault %d of the next %d times of %d, want about %d", i, j, same, count, want)
				}
			}
		}
	})
}

func TestImpairIsDeterministic(t *testing.T) {
	run := func(seed uint64, others int) (arrived []int) {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			alice, bob := n.Host(), n.Host()
			for range others {
				bind(t, alice, ":0") // takes a port
			}
			impaired := simnet.Impair(alice, simnet.Link{Loss: 0.5, Duplicate: 0.5, Reorder: 0.5, Jitter: time.Second, Seed: seed})
			server := bind(t, bob, ":1")
			client, err := impaired.DialContext(t.Context(), "udp", bob.AddrPort(1).String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for i := range 100 {
				client.Write([]byte{byte(i)})
			}
			server.SetReadDeadline(time.Now().Add(time.Minute))
			buffer := make([]byte, 1)
			for {
				_, from, err := server.ReadFrom(buffer)
				if err != nil {
					break
				}
				arrived = append(arrived, int(buffer[0]))
				server.WriteTo(buffer, from)
			}
			client.SetReadDeadline(time.Now().Add(time.Minute))
			for {
				if _, err := client.Read(buffer); err != nil {
					return
				}
				arrived = append(arrived, int(buffer[0]))
			}
		})
		return arrived
	}
	want := run(1, 0)
	for others := range 5 {
		if diff := cmp.Diff(want, run(1, others)); diff != "" {
			t.Fatalf("another run of the same seed, from another port:\n%s", diff)
		}
	}
	if slices.Equal(want, run(2, 0)) {
		t.Error("another seed gives the same faults")
	}
}

func TestImpairSetLinkChangesWhatRuns(t *testing.T) {
	directions(t, func(t *testing.T, outwards bool) {
		h := newImpairedHosts(t, simnet.Link{Loss: 1})
		if numbers, _ := h.exchange(outwards, 20, 0); len(numbers) != 0 {
			t.Errorf("%v arrive, and all should be lost", numbers)
		}
		want := simnet.Link{Delay: time.Second}
		h.impaired.SetLink(want)
		if got := h.impaired.Link(); got != want {
			t.Errorf("Link() = %v, want %v", got, want)
		}
		numbers, times := h.exchange(outwards, 20, 0)
		if len(numbers) != 20 || slices.Max(times) != time.Second {
			t.Errorf("after SetLink %v arrive, at %v", numbers, times)
		}
	})
}

func TestImpairBoundsWhatIsOnItsWay(t *testing.T) {
	directions(t, func(t *testing.T, outwards bool) {
		h := newImpairedHosts(t, simnet.Link{Delay: time.Minute})
		from, _, address := h.ends(outwards)
		for range 100 {
			from.WriteTo(make([]byte, 60_000), address)
			time.Sleep(time.Millisecond)
		}
		sent, received := h.impaired.Counters()
		if want := int64(100 - 4<<20/60_064); sent.Overflowed+received.Overflowed != want {
			t.Errorf("%d and %d overflow, want %d", sent.Overflowed, received.Overflowed, want)
		}
		for i, want := range []int{4 << 20 / 60_064, 1000} {
			if numbers, _ := h.exchange(outwards, i*1000, time.Millisecond); len(numbers) != want {
				t.Errorf("%d arrive, want %d", len(numbers), want)
			}
		}
	})
}

func TestImpairCloseSendsWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{Delay: time.Second})
		read := make(chan error)
		go func() {
			_, _, err := h.alice.ReadFrom(nil)
			read <- err
		}()
		if _, err := h.alice.WriteTo([]byte("goodbye"), bobAddr); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		go h.alice.Close()
		if err := <-read; !errors.Is(err, net.ErrClosed) || time.Since(start) != 0 {
			t.Errorf("ReadFrom returns %v after %v, want net.ErrClosed at once", err, time.Since(start))
		}
		buffer := make([]byte, 100)
		n, _, err := h.bob.ReadFrom(buffer)
		if err != nil || string(buffer[:n]) != "goodbye" || time.Since(start) != time.Second {
			t.Errorf("%q, %v after %v, want goodbye after 1 s", buffer[:n], err, time.Since(start))
		}
		synctest.Wait()
		for what, err := range map[string]error{
			"Close":   h.alice.Close(),
			"WriteTo": second(h.alice.WriteTo(nil, bobAddr)),
			"Set":     h.alice.SetDeadline(time.Time{}),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close gives %v", what, err)
			}
		}
		again, err := h.impaired.ListenPacket(t.Context(), "udp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
	})
}

// However bad the link is, Close takes no longer, and nothing gets lost.
func TestImpairCloseLeavesWhatTakesLongToTheBackground(t *testing.T) {
	const goodbye = 2 * time.Second
	for delay, want := range map[time.Duration]time.Duration{0: 0, time.Second: time.Second, time.Hour: goodbye} {
		synctest.Test(t, func(t *testing.T) {
			h := newImpairedHosts(t, simnet.Link{Delay: delay})
			start := time.Now()
			h.alice.WriteTo([]byte("goodbye"), bobAddr)
			if err := h.alice.Close(); err != nil || time.Since(start) != want {
				t.Errorf("Close returns %v after %v, want nil after %v", err, time.Since(start), want)
			}
			again, err := h.impaired.ListenPacket(t.Context(), "udp", ":1")
			if free := err == nil; free != (want < goodbye) {
				t.Errorf("with a delay of %v, the port is free after Close: %v", delay, free)
			} else if free {
				again.Close()
			}
			h.bob.SetReadDeadline(start.Add(delay + 1))
			buffer := make([]byte, 100)
			if n, _, err := h.bob.ReadFrom(buffer); string(buffer[:n]) != "goodbye" || err != nil || time.Since(start) != delay {
				t.Errorf("%q, %v after %v, want goodbye after %v", buffer[:n], err, time.Since(start), delay)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		impaired, alice, bob := newImpairedStream(t, simnet.Link{Loss: 0.95})
		alice.Write(make([]byte, 20_000))
		start := time.Now()
		if err := alice.Close(); err != nil || time.Since(start) != goodbye {
			t.Errorf("Close of a stream returns %v after %v, want nil after %v", err, time.Since(start), goodbye)
		}
		if text, err := io.ReadAll(bob); len(text) != 20_000 || err != nil {
			t.Errorf("%d bytes arrive, %v, want 20,000", len(text), err)
		}
		if sent, _ := impaired.Counters(); time.Since(start) <= goodbye || sent.Lost == 0 {
			t.Errorf("the stream ends after %v, with %+v", time.Since(start), sent)
		}
	})
}

// A deadline of tomorrow does not keep a socket in memory that is closed today.
func TestClosedSocketsForgetTheirDeadlines(t *testing.T) {
	n := simnet.New(1)
	plain := n.Host("10.0.0.1")
	impaired := simnet.Impair(n.Host("10.0.0.2"), simnet.Link{})
	listener, err := plain.Listen(t.Context(), "tcp", ":1")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for what, network := range map[string]interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	}{"udp": plain, "udp, impaired": impaired, "tcp, impaired": impaired} {
		forgotten := make(chan struct{})
		conn, err := network.DialContext(t.Context(), what[:3], "10.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		runtime.SetFinalizer(conn, func(net.Conn) { close(forgotten) })
		conn.SetDeadline(time.Now().Add(24 * time.Hour))
		conn.Close()
		conn = nil
		for deadline := time.Now().Add(5 * time.Second); ; {
			runtime.GC()
			select {
			case <-forgotten:
			case <-time.After(time.Millisecond):
				if time.Now().Before(deadline) {
					continue
				}
				t.Errorf("%s: a closed socket stays in memory", what)
			}
			break
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestImpairedPacketDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{Delay: time.Hour})
		start := time.Now()
		h.alice.SetReadDeadline(start.Add(time.Second))
		_, _, err := h.alice.ReadFrom(nil)
		var temporary net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &temporary) || !temporary.Timeout() || time.Since(start) != time.Second {
			t.Errorf("ReadFrom returns %v after %v", err, time.Since(start))
		}
		h.alice.SetDeadline(start)
		if _, err := h.alice.WriteTo(nil, bobAddr); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("WriteTo returns %v", err)
		}
		h.alice.SetDeadline(time.Time{})
		h.bob.WriteTo([]byte("text"), aliceAddr)
		if n, from, err := h.alice.ReadFrom(make([]byte, 2)); n != 2 || err != nil || from.String() != bobAddr.String() {
			t.Errorf("ReadFrom = %d, %v, %v, want the first 2 bytes from %v", n, from, err, bobAddr)
		}
	})
}

func TestImpairedPacketConnHasManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{})
		var readers sync.WaitGroup
		for range 10 {
			readers.Go(func() {
				if _, _, err := h.alice.ReadFrom(nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for range 10 {
			h.bob.WriteTo(nil, aliceAddr)
		}
		h.alice.SetReadDeadline(time.Now().Add(time.Second))
		readers.Wait()
	})
}

func TestImpairedPacketErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{Delay: time.Second})
		dialled, err := h.impaired.DialContext(t.Context(), "udp", "10.0.0.2:9")
		if err != nil {
			t.Fatal(err)
		}
		defer dialled.Close()
		for what, test := range map[string]struct{ err, want error }{
			"too long":         {second(h.alice.WriteTo(make([]byte, 65508), bobAddr)), syscall.EMSGSIZE},
			"no address":       {second(h.alice.WriteTo(nil, nil)), syscall.EINVAL},
			"no port":          {second(h.alice.WriteTo(nil, &net.UDPAddr{IP: bobAddr.IP})), syscall.EINVAL},
			"write, no remote": {second(h.alice.(net.Conn).Write(nil)), syscall.EINVAL},
			"not of UDP":       {second(h.alice.WriteTo(nil, &net.TCPAddr{IP: bobAddr.IP, Port: 1})), syscall.EINVAL},
			"to of a dialled":  {second(dialled.(net.PacketConn).WriteTo(nil, bobAddr)), net.ErrWriteToConnected},
		} {
			if !errors.Is(test.err, test.want) || !errors.As(test.err, new(*net.OpError)) {
				t.Errorf("%s: %v, want %v", what, test.err, test.want)
			}
		}
		for _, call := range []func([]byte) (int, error){dialled.Read, dialled.Write} {
			if _, err := dialled.Write(nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if _, err := call(nil); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("nobody has the port, and the error is %v", err)
			}
		}
		if got, want := dialled.RemoteAddr().String(), "10.0.0.2:9"; got != want {
			t.Errorf("RemoteAddr() = %s, want %s", got, want)
		}
	})
}

// A layer is a network whose packet connections have what one may have, and
// which finds one peer unreachable.
type layer struct {
	*simnet.Host
	fail bool // to write
}

type layerConn struct {
	net.PacketConn
	layer *layer
}

func (l *layer) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := l.Host.ListenPacket(ctx, network, address)
	return layerConn{conn, l}, err
}

func (c layerConn) MaxDatagram() int { return 1000 }

func (c layerConn) TryWriteTo([]byte, net.Addr) (int, error) { return 0, sockets.ErrSlow }

func (c layerConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.layer.fail {
		return 0, syscall.ENETUNREACH
	}
	return c.PacketConn.WriteTo(p, to)
}

func (c layerConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(p)
	if string(p[:n]) == "unreachable" {
		return 0, from, sockets.ErrPeerUnreachable
	}
	return n, from, err
}

func TestImpairPassesOnWhatABaseHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		base := &layer{Host: n.Host("alice")}
		bob := bind(t, n.Host("bob"), ":1")
		impaired := simnet.Impair(base, simnet.Link{})
		cfg := sockets.Config{Network: impaired}
		alice, err := cfg.NewPeer("1", []string{"bob:1"})
		if err != nil {
			t.Fatal(err)
		}
		defer alice.Close()
		peer := alice.Peers()[0]
		if err := alice.Send(make([]byte, 1001), peer); !errors.Is(err, sockets.ErrMessageTooBig) {
			t.Errorf("the limit of the base is not that of the layer: %v", err)
		}
		if err := alice.SendAll(nil); !errors.Is(err, sockets.ErrSlow) {
			t.Errorf("SendAll = %v, want ErrSlow", err)
		}
		bob.WriteTo([]byte("unreachable"), net.UDPAddrFromAddrPort(base.AddrPort(1)))
		bob.WriteTo([]byte("text"), net.UDPAddrFromAddrPort(base.AddrPort(1)))
		if _, sender, err := alice.Receive(t.Context()); sender != peer || !errors.Is(err, sockets.ErrPeerUnreachable) {
			t.Errorf("Receive = %v, %v, want %v to be unreachable", sender, err, peer)
		}
		if payload, _, err := alice.Receive(t.Context()); string(payload) != "text" || err != nil {
			t.Errorf("Receive = %q, %v, want text", payload, err)
		}

		base.fail = true
		if err := alice.Send(nil, peer); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("Send = %v, want what the base returns", err)
		}
		impaired.SetLink(simnet.Link{Delay: time.Second})
		if err := alice.Send(nil, peer); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if sent, _ := impaired.Counters(); sent.Refused != 3 {
			t.Errorf("%+v, want 3 refused", sent)
		}
		ips, err := impaired.LocalIPs()
		want, _ := base.LocalIPs()
		if !slices.Equal(ips, want) || err != nil {
			t.Errorf("LocalIPs() = %v, %v, want %v", ips, err, want)
		}
		if ips, err := impaired.Resolve(t.Context(), "bob"); err != nil || ips[0] != peer.Addr() {
			t.Errorf("Resolve(bob) = %v, %v", ips, err)
		}
	})
}

func TestImpairReturnsTheErrorsOfItsBase(t *testing.T) {
	impaired := simnet.Impair(simnet.New(1).Host(), simnet.Link{})
	for what, err := range map[string]error{
		"Listen":       second(impaired.Listen(t.Context(), "tcp", "192.0.2.1:1")),
		"ListenPacket": second(impaired.ListenPacket(t.Context(), "udp", "192.0.2.1:1")),
		"DialContext":  second(impaired.DialContext(t.Context(), "udp", "nobody:1")),
		"Resolve":      second(impaired.Resolve(t.Context(), "nobody")),
	} {
		if !errors.As(err, new(net.Error)) {
			t.Errorf("%s gives %v", what, err)
		}
	}
	ips, err := simnet.Impair(nil, simnet.Link{}).LocalIPs()
	if want, _ := sockets.LocalIPs(); err != nil || !slices.Equal(ips, want) {
		t.Errorf("LocalIPs() of the system = %v, %v, want %v", ips, err, want)
	}
}

func TestImpairRemembersSoManyFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{Loss: 0.5})
		send := func(port int) (lost int64) {
			before, _ := h.impaired.Counters()
			h.alice.WriteTo(nil, &net.UDPAddr{IP: bobAddr.IP, Port: port})
			after, _ := h.impaired.Counters()
			return after.Lost - before.Lost
		}
		var first, second, again []int64
		for port := range 1024 {
			first = append(first, send(1+port))
		}
		for port := range 1024 {
			second = append(second, send(1+port))
		}
		send(2000)
		for port := range 1023 {
			again = append(again, send(1+port))
		}
		if slices.Equal(first, second) || !slices.Equal(first[:1023], again) {
			t.Error("dice are to begin anew after 1,024 addresses, and not before")
		}
	})
}

func TestImpairJoinsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{Delay: time.Second})
		group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
		member := bind(t, h.impaired, group.String())
		start := time.Now()
		h.bob.WriteTo([]byte("to all"), group)
		buffer := make([]byte, 100)
		if n, _, err := member.ReadFrom(buffer); string(buffer[:n]) != "to all" || err != nil || time.Since(start) != time.Second {
			t.Errorf("%q, %v after %v, want to all after 1 s", buffer[:n], err, time.Since(start))
		}
	})
}

func TestImpairNoticesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		host := n.Host()
		conn := bind(t, simnet.Impair(host, simnet.Link{}), ":1")
		go host.Crash()
		for range 2 {
			if _, _, err := conn.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadFrom = %v, want net.ErrClosed", err)
			}
		}
	})
}

func TestImpairObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newImpairedHosts(t, simnet.Link{Duplicate: 1, Delay: time.Second})
		start, seen := time.Now(), []string(nil)
		h.impaired.Observe(func(at time.Time, from, to netip.AddrPort, payload []byte, fate simnet.Fate) {
			seen = append(seen, fmt.Sprintf("%v %v %v %s %s", at.Sub(start), from, to, payload, fate))
			h.impaired.Counters()
		})
		h.alice.WriteTo([]byte("a"), bobAddr)
		h.bob.WriteTo([]byte("b"), aliceAddr)
		time.Sleep(time.Minute)
		h.alice.ReadFrom(make([]byte, 1))
		h.impaired.Observe(nil)
		h.alice.WriteTo([]byte("c"), bobAddr)
		want := `0s [::]:1 10.0.0.2:1 a sent
0s [::]:1 10.0.0.2:1 a duplicated
0s 10.0.0.2:1 [::]:1 b sent
0s 10.0.0.2:1 [::]:1 b duplicated
1s [::]:1 10.0.0.2:1 a delivered
1s [::]:1 10.0.0.2:1 a delivered
1m0s 10.0.0.2:1 [::]:1 b delivered`
		if diff := cmp.Diff(want, strings.Join(seen, "\n")); diff != "" {
			t.Error(diff)
		}
	})
}

// An observer that is replaced while there is more to tell is told nothing more.
func TestImpairObserveInTheMiddle(t *testing.T) {
	for _, other := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newImpairedHosts(t, simnet.Link{Duplicate: 1})
			var first, second []simnet.Fate
			h.impaired.Observe(func(_ time.Time, _, _ netip.AddrPort, _ []byte, fate simnet.Fate) {
				first = append(first, fate)
				var next simnet.Observer
				if other {
					next = func(_ time.Time, _, _ netip.AddrPort, _ []byte, fate simnet.Fate) { second = append(second, fate) }
				}
				h.impaired.Observe(next)
			})
			h.alice.WriteTo([]byte("a"), bobAddr)
			want := map[bool][]simnet.Fate{true: {simnet.Delivered, simnet.Delivered}}[other]
			if !slices.Equal(first, []simnet.Fate{simnet.Sent}) || !slices.Equal(second, want) {
				t.Errorf("the first is told %v, the second %v, want sent and %v", first, second, want)
			}
		})
	}
}

func TestImpairTheKernel(t *testing.T) {
	impaired := simnet.Impair(nil, simnet.Link{Loss: 0.5, Delay: time.Millisecond, Seed: 7})
	cfg := sockets.Config{Network: impaired}
	alice, err := cfg.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close()
	bob, err := sockets.NewPeer("127.0.0.1:0", []string{alice.LocalAddress().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	for i := range 100 { // the kernel has room for them
		if err := bob.SendAll(bytes.Repeat([]byte{byte(i)}, 100)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for received := int64(0); ; received++ {
		if _, c := impaired.Counters(); c.Sent == 100 && c.Lost+received == 100 {
			if c.Lost < 20 || c.Lost > 80 {
				t.Errorf("%d of 100 lost, want about 50", c.Lost)
			}
			break
		}
		payload, _, err := alice.Receive(ctx)
		if err != nil || len(payload) != 100 {
			_, c := impaired.Counters()
			t.Fatalf("after %d datagrams: %d bytes, %v; %+v", received, len(payload), err, c)
		}
	}
}
