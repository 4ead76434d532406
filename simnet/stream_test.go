package simnet_test

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"weak"

	"golang.org/x/net/nettest"

	"github.com/seed287501ae/sockets/simnet"
)

const streamBuffer = 64 << 10

// A pair is two hosts, a listener of the second, and a stream between them.
type pair struct {
	network  *simnet.Network
	a, b     *simnet.Host
	listener net.Listener
	dialled  stream // at a
	accepted stream // at b
}

type stream interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetLinger(seconds int) error
}

func newPair(t testing.TB, seed uint64, link simnet.Link) *pair {
	t.Helper()
	n := simnet.New(seed)
	p := &pair{network: n, a: n.Host("alice"), b: n.Host("bob")}
	n.SetLinks(link)
	if _, ok := t.(*testing.T); ok {
		var last time.Time
		n.Observe(func(at time.Time, _, _ netip.AddrPort, _ []byte, _ simnet.Fate) {
			if at.Before(last) {
				t.Errorf("at %v something happens after what happened at %v", at, last)
			}
			last = at
		})
	}
	p.listener = listen(t, p.b, "bob:8080")
	p.dialled = dial(t, p.a, "bob:8080")
	p.accepted = accept(t, p.listener)
	return p
}

func listen(t testing.TB, h *simnet.Host, address string) net.Listener {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t testing.TB, h *simnet.Host, address string) stream {
	t.Helper()
	c, err := h.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(stream)
}

func accept(t testing.TB, l net.Listener) stream {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(stream)
}

// randomBytes returns bytes that are hard to mistake for others.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// send writes payload and ends the stream, on a goroutine of its own.
func send(t testing.TB, c stream, payload []byte) {
	go func() {
		if n, err := c.Write(payload); n != len(payload) || err != nil {
			t.Errorf("Write of %d bytes = %d, %v", len(payload), n, err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
	}()
}

// receive reads to the end and compares.
func receive(t testing.TB, c io.Reader, want []byte) {
	t.Helper()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadAll = %d bytes, %v, equal %v; want %d bytes", len(got), err, bytes.Equal(got, want), len(want))
	}
}

// virtually runs a test in virtual time.
func virtually(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestStreamIsANetConn(t *testing.T) {
	for name, link := range map[string]simnet.Link{
		"perfect": {},
		"slow":    {Delay: 100 * time.Microsecond, Bandwidth: 1e9},
		"lossy":   {Delay: 100 * time.Microsecond, Jitter: 100 * time.Microsecond, Loss: 0.001, Duplicate: 0.1, Reorder: 0.1, Late: time.Millisecond},
		"sliced":  {Slice: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				p := newPair(t, 1, link)
				stop := func() {
					p.dialled.Close()
					p.accepted.Close()
					p.listener.Close()
				}
				return p.dialled, p.accepted, stop, nil
			})
		})
	}
}

func TestWriteWaitsWhileTheBuffersAreFull(t *testing.T) {
	for name, link := range map[string]simnet.Link{
		"perfect": {},
		"slow":    {Delay: 10 * time.Millisecond, Bandwidth: 1e7},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, link)
				payload := randomBytes(3 * streamBuffer)
				p.dialled.SetWriteDeadline(time.Now().Add(time.Minute))
				n, err := p.dialled.Write(payload)
				if n != 2*streamBuffer || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("Write = %d, %v, want %d, os.ErrDeadlineExceeded", n, err, 2*streamBuffer)
				}
				time.Sleep(time.Hour) // the window stays closed, and open ends stay open
				p.dialled.SetWriteDeadline(time.Time{})
				send(t, p.dialled, payload[n:])
				receive(t, p.accepted, payload)
			})
		})
	}
}

// A window that was closed for an hour opens, whatever gets lost just then.
func TestAClosedWindowOpens(t *testing.T) {
	for name, test := range map[string]struct {
		news, data float64       // the loss of each
		took       time.Duration // at most
	}{
		"nothing lost": {0, 0, 0},
		"data lost":    {0, 1, 200 * time.Millisecond},
		"news lost":    {1, 0, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, simnet.Link{})
				payload := randomBytes(4 * streamBuffer)
				p.dialled.Write(payload[:streamBuffer]) // which fills it
				time.Sleep(time.Hour)
				send(t, p.dialled, payload[streamBuffer:])
				time.Sleep(time.Hour)
				p.network.SetLink(p.b, p.a, simnet.Link{Loss: test.news})
				p.network.SetLink(p.a, p.b, simnet.Link{Loss: test.data})
				start := time.Now()
				time.AfterFunc(100*time.Millisecond, func() { p.network.SetLinks(simnet.Link{}) })
				io.ReadFull(p.accepted, make([]byte, streamBuffer))
				receive(t, p.accepted, payload[streamBuffer:])
				if took := time.Since(start); took > test.took {
					t.Errorf("it took %v, want %v at most", took, test.took)
				}
			})
		})
	}
}

// A receiver that takes little does not make the sender send little.
func TestNoSillyWindow(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{})
		payload := randomBytes(4 * streamBuffer)
		send(t, p.dialled, payload)
		receive(t, iotest.OneByteReader(p.accepted), payload)
		if sent := p.network.Counters(p.a, p.b).Sent; sent > 300 {
			t.Errorf("%d segments for %d bytes", sent, len(payload))
		}
	})
}

func TestSegmentsUnderWayAreBounded(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Slice: 1})
		before := p.network.Counters(p.a, p.b).Sent
		p.network.Hold(p.a, p.b)
		p.dialled.Write(make([]byte, 1000))
		if sent := p.network.Counters(p.a, p.b).Sent - before; sent != 512 {
			t.Errorf("%d segments are under way, want 512", sent)
		}
		p.network.Heal()
		io.ReadFull(p.accepted, make([]byte, 1000))
	})
}

func TestEndsThatOnlyWriteBlockEachOther(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: time.Millisecond})
		for _, c := range []stream{p.dialled, p.accepted} {
			go func() {
				n, err := c.Write(make([]byte, 1<<20))
				if n != 2*streamBuffer || !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write = %d, %v, want %d, net.ErrClosed", n, err, 2*streamBuffer)
				}
			}()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		p.dialled.Close()
		p.accepted.Close()
	})
}

// What ends a stream ends every call that waits. As on Linux, one of them gets
// to know of a reset.
func TestAllWaitingCallsReturn(t *testing.T) {
	for name, test := range map[string]struct {
		ends              func(p *pair)
		read, write, once error
	}{
		"close":           {func(p *pair) { p.dialled.Close() }, net.ErrClosed, net.ErrClosed, nil},
		"crash":           {func(p *pair) { p.a.Crash() }, net.ErrClosed, net.ErrClosed, nil},
		"close there":     {func(p *pair) { p.accepted.Close() }, io.EOF, syscall.EPIPE, syscall.ECONNRESET},
		"ends":            {func(p *pair) { p.accepted.CloseWrite(); p.dialled.CloseWrite() }, io.EOF, syscall.EPIPE, nil},
		"shut here":       {func(p *pair) { p.dialled.CloseRead(); p.dialled.CloseWrite() }, io.EOF, syscall.EPIPE, nil},
		"deadlines":       {func(p *pair) { p.dialled.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, nil},
		"deadlines later": {func(p *pair) { p.dialled.SetDeadline(time.Now().Add(1)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, nil},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, simnet.Link{})
				failures := make(chan error)
				for i := range 6 {
					call, want := p.dialled.Read, test.read
					if i%2 == 0 {
						call, want = p.dialled.Write, test.write
					}
					go func() {
						if _, err := call(make([]byte, 3*streamBuffer)); !errors.Is(err, want) {
							failures <- err
						} else {
							failures <- nil
						}
					}()
				}
				synctest.Wait()
				test.ends(p)
				for range 6 {
					switch err := <-failures; {
					case err != nil && test.once != nil && errors.Is(err, test.once):
						test.once = nil
					case err != nil:
						t.Error(err)
					}
				}
				if test.once != nil {
					t.Errorf("nobody gets to know of %v", test.once)
				}
			})
		})
	}
}

// A Write that waits is cut short by CloseWrite.
func TestCloseWriteDuringWrite(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{})
		payload := randomBytes(3 * streamBuffer)
		done := make(chan bool)
		go func() {
			defer close(done)
			if n, err := p.dialled.Write(payload); n != 2*streamBuffer || !errors.Is(err, syscall.EPIPE) {
				t.Errorf("Write = %d, %v, want %d, EPIPE", n, err, 2*streamBuffer)
			}
		}()
		synctest.Wait()
		p.dialled.CloseWrite()
		receive(t, p.accepted, payload[:2*streamBuffer])
		<-done
	})
}

func TestLatency(t *testing.T) {
	virtually(t, func(t *testing.T) {
		start := time.Now()
		p := newPair(t, 1, simnet.Link{Delay: 50 * time.Millisecond})
		if took := time.Since(start); took != 150*time.Millisecond {
			t.Errorf("the handshake took %v, want 150ms", took)
		}
		start = time.Now()
		send(t, p.dialled, []byte("hello"))
		receive(t, p.accepted, []byte("hello"))
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("5 bytes took %v, want 50ms", took)
		}
	})
}

func TestBandwidth(t *testing.T) {
	for name, delay := range map[string]time.Duration{"near": 0, "far": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, simnet.Link{Delay: delay, Bandwidth: 1e7})
				payload := randomBytes(1_250_000)
				start := time.Now()
				send(t, p.dialled, payload)
				receive(t, p.accepted, payload)
				if took := time.Since(start); took < time.Second || took > 1100*time.Millisecond {
					t.Errorf("1.25 MB at 10 Mbit/s took %v, want 1 s and a little more", took)
				}
			})
		})
	}
}

// What is under way when the MTU becomes less is cut anew.
func TestSegmentsAreAsLongAsTheMTUAllows(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{})
		longest := 0
		p.network.Observe(func(_ time.Time, _, _ netip.AddrPort, payload []byte, fate simnet.Fate) {
			if fate == simnet.Delivered {
				longest = max(longest, len(payload))
			}
		})
		payload := randomBytes(4000)
		for _, mtu := range []int{0, 9000, 1500, 576, 68} {
			p.network.SetLink(p.a, p.b, simnet.Link{Loss: 1})
			if _, err := p.dialled.Write(payload); err != nil {
				t.Fatal(err)
			}
			p.network.SetLink(p.a, p.b, simnet.Link{MTU: mtu})
			time.Sleep(time.Second)
			synctest.Wait() // until the observer has seen what that brought
			longest = 0
			if _, err := p.dialled.Write(payload); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got := make([]byte, len(payload))
				if _, err := io.ReadFull(p.accepted, got); err != nil || !bytes.Equal(got, payload) {
					t.Errorf("MTU %d: another payload, or %v", mtu, err)
				}
			}
			if want := min(cmp.Or(mtu, 1500)-40, len(payload)); longest != want {
				t.Errorf("MTU %d: the longest segment carries %d bytes, want %d", mtu, longest, want)
			}
		}
	})
}

// Nobody has to close what lives in memory only.
func TestAnAbandonedNetworkGoesAway(t *testing.T) {
	abandon := func() weak.Pointer[simnet.Network] {
		n := simnet.New(1)
		a, b := n.Host(), n.Host("bob")
		l, err := b.Listen(t.Context(), "tcp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.DialContext(t.Context(), "tcp", "bob:8080")
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("hello"))
		l.Accept()
		return weak.Make(n)
	}
	network := abandon()
	for deadline := time.Now().Add(5 * time.Second); network.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("it is still there")
		}
	}
}
