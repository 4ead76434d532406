package simnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
	"golang.org/x/net/nettest"
)

// connect returns both ends of a stream between two networks: the one that
// dialled, and the one that accepted.
func connect(t *testing.T, dialler, listener sockets.Network, address string) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := listener.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = dialler.DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

// newImpairedStream returns both ends of a stream between hosts of which the
// first is behind a link, and the other not.
func newImpairedStream(t *testing.T, link simnet.Link) (impaired *simnet.Impaired, alice, bob net.Conn) {
	t.Helper()
	n := simnet.New(1)
	impaired = simnet.Impair(n.Host("alice"), link)
	alice, bob = connect(t, impaired, n.Host("bob", "10.0.0.9"), "10.0.0.9:1")
	t.Cleanup(func() {
		alice.Close()
		bob.Close()
	})
	return impaired, alice, bob
}

// streamDirections runs a test in a bubble, for what an impaired stream sends
// and for what it receives.
func streamDirections(t *testing.T, link simnet.Link, test func(t *testing.T, impaired *simnet.Impaired, from, to net.Conn)) {
	directions(t, func(t *testing.T, outwards bool) {
		impaired, from, to := newImpairedStream(t, link)
		if !outwards {
			from, to = to, from
		}
		test(t, impaired, from, to)
	})
}

func TestImpairedStreamsConform(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]simnet.Link{
		"perfect": {},
		"slow":    {Delay: 100 * time.Microsecond, Jitter: 100 * time.Microsecond, Slice: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				impaired := simnet.Impair(nil, link)
				c1, c2 = connect(t, impaired, impaired, "127.0.0.1:0")
				return c1, c2, func() {
					c1.Close()
					c2.Close()
				}, nil
			})
		})
	}
}

// transfer sends a text of so many bytes to the end of the stream, and returns
// how long it took and in how many reads it came.
func transfer(t *testing.T, from, to net.Conn, length int) (took time.Duration, reads int) {
	t.Helper()
	text := bytes.Repeat([]byte("0123456789"), length/10)
	start := time.Now()
	go func() {
		if _, err := from.Write(text); err != nil {
			t.Error(err)
		}
		if err := from.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
	}()
	buffer := make([]byte, length+1)
	for n := 0; ; reads++ {
		m, err := to.Read(buffer[n:])
		if n += m; err != nil {
			if err != io.EOF || !bytes.Equal(buffer[:n], text) {
				t.Errorf("%d bytes arrive, want %d; %v", n, length, err)
			}
			return time.Since(start), reads
		}
	}
}

func TestImpairedStreamKeepsOrder(t *testing.T) {
	link := simnet.Link{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Duplicate: 0.1, Reorder: 0.1, Loss: 0.1}
	streamDirections(t, link, func(t *testing.T, impaired *simnet.Impaired, from, to net.Conn) {
		took, _ := transfer(t, from, to, 1_000_000)
		sent, received := impaired.Counters()
		c := sent
		if c.Sent == 0 {
			c = received
		}
		if c.Sent != c.Delivered || c.Sent < 1_000_000/1460 || c.Lost < c.Sent/20 || c.Lost > c.Sent/5 || took < 250*time.Millisecond {
			t.Errorf("%+v, in %v", c, took)
		}
	})
}

func TestImpairedStreamSendsWhatIsLostAgain(t *testing.T) {
	streamDirections(t, simnet.Link{Loss: 0.5}, func(t *testing.T, impaired *simnet.Impaired, from, to net.Conn) {
		late := make(map[time.Duration]int) // how often a byte came so late
		for range 100 {
			start := time.Now()
			from.Write([]byte("x"))
			if _, err := to.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			late[time.Since(start)]++
		}
		lost := int64(0)
		for i, want := range []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond} {
			if got, average := late[want], 50>>i; got < average/4 || got > 2*average {
				t.Errorf("%d of 100 came after %v, want about %d", got, want, average)
			}
		}
		for took, times := range late {
			for again := 200 * time.Millisecond; took > 0; again *= 2 {
				lost += int64(times)
				took -= again
			}
		}
		if sent, received := impaired.Counters(); sent.Lost+received.Lost != lost {
			t.Errorf("lost %d and %d times, want %d", sent.Lost, received.Lost, lost)
		}
	})
}

func TestImpairedStreamHasLatencyAndBandwidth(t *testing.T) {
	link := simnet.Link{Delay: 50 * time.Millisecond, Bandwidth: 8_000_000}
	streamDirections(t, link, func(t *testing.T, _ *simnet.Impaired, from, to net.Conn) {
		took, _ := transfer(t, from, to, 10_000_000)
		if took < 10*time.Second || took > 11*time.Second {
			t.Errorf("10 MB at 1 MB/s took %v", took)
		}
	})
}

func TestImpairedStreamIsSliced(t *testing.T) {
	streamDirections(t, simnet.Link{Slice: 7, Delay: time.Millisecond, Bandwidth: 1_000_000}, func(t *testing.T, _ *simnet.Impaired, from, to net.Conn) {
		if _, reads := transfer(t, from, to, 700); reads != 100 {
			t.Errorf("700 bytes came in %d slices, want 100", reads)
		}
	})
}

func TestImpairedStreamStallsUntilSetLink(t *testing.T) {
	for _, link := range []simnet.Link{{Stall: 1000}, {Loss: 1}} {
		t.Run(link.String(), func(t *testing.T) {
			streamDirections(t, link, func(t *testing.T, impaired *simnet.Impaired, from, to net.Conn) {
				text := make([]byte, 3000)
				if n, err := from.Write(text); n != 3000 || err != nil {
					t.Fatal(n, err)
				}
				to.SetReadDeadline(time.Now().Add(time.Second))
				n, err := io.ReadFull(to, text)
				if int64(n) != link.Stall || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%d bytes come, %v, want %d", n, err, link.Stall)
				}
				to.SetReadDeadline(time.Now().Add(time.Second))
				impaired.SetLink(simnet.Link{})
				if n, err := io.ReadFull(to, text[n:]); n+int(link.Stall) != 3000 || err != nil {
					t.Errorf("%d bytes come after SetLink, %v, want %d", n, err, 3000-link.Stall)
				}
				to.SetReadDeadline(time.Time{})
			})
		})
	}
}

func TestImpairedStreamIsReset(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second} {
		streamDirections(t, simnet.Link{Reset: 1000, Delay: delay}, func(t *testing.T, _ *simnet.Impaired, from, to net.Conn) {
			if n, err := from.Write(make([]byte, 3000)); n != 3000 || err != nil {
				t.Fatal(n, err)
			}
			text, err := io.ReadAll(to)
			if len(text) != 1000 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%d bytes come, %v, want 1000 and a reset", len(text), err)
			}
			if _, err := from.Read(text); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("Read at the end that sent: %v, want a reset", err)
			}
			if _, err := from.Write(text); err == nil {
				t.Error("Write at the end that sent: no error")
			}
		})
	}
}

func TestImpairedStreamWaitsForRoom(t *testing.T) {
	streamDirections(t, simnet.Link{Delay: time.Minute}, func(t *testing.T, _ *simnet.Impaired, from, to net.Conn) {
		from.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := from.Write(make([]byte, 10_000_000))
		if n < 100<<10 || n > 500<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write takes %d bytes, %v, want a few hundred KiB", n, err)
		}
		from.SetWriteDeadline(time.Time{})
		from.(interface{ CloseWrite() error }).CloseWrite()
		if text, err := io.ReadAll(to); len(text) != n || err != nil {
			t.Errorf("%d bytes arrive, %v, want %d", len(text), err, n)
		}
	})
}

func TestImpairedStreamLetsOneWriteAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := newImpairedStream(t, simnet.Link{Bandwidth: 8000})
		var writes sync.WaitGroup
		for _, letter := range []string{"a", "b"} {
			writes.Go(func() {
				if _, err := alice.Write(bytes.Repeat([]byte(letter), 5000)); err != nil {
					t.Error(err)
				}
			})
		}
		first := make([]byte, 5000)
		if _, err := io.ReadFull(bob, first); err != nil || bytes.Count(first, first[:1]) != len(first) {
			t.Errorf("two writes mix: %q, %v", first, err)
		}
		writes.Wait()
		writes.Go(func() { alice.Write(make([]byte, 5000)) })
		synctest.Wait()
		alice.SetWriteDeadline(time.Now().Add(time.Millisecond))
		if n, err := alice.Write(first); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a write that waits for another returns %d, %v", n, err)
		}
		writes.Wait()
	})
}

func TestImpairedStreamCloseSendsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := newImpairedStream(t, simnet.Link{Delay: time.Second, Bandwidth: 800_000})
		start := time.Now()
		if _, err := alice.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		go func() {
			bob.Write(make([]byte, 1000)) // is not read, as it arrives later
		}()
		go func() {
			if err := alice.Close(); err != nil || time.Since(start) < 2*time.Second {
				t.Errorf("Close returns %v after %v", err, time.Since(start))
			}
			for what, err := range map[string]error{
				"Close":      alice.Close(),
				"CloseWrite": alice.(interface{ CloseWrite() error }).CloseWrite(),
				"Write":      second(alice.Write(nil)),
				"Read":       second(alice.Read(nil)),
				"Set":        alice.SetDeadline(start),
			} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after Close gives %v", what, err)
				}
			}
		}()
		if text, err := io.ReadAll(bob); len(text) != 100_000 || err != nil {
			t.Errorf("%d bytes arrive, %v, want 100,000", len(text), err)
		}
	})
}

func TestImpairedStreamCloseResetsWhereItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := newImpairedStream(t, simnet.Link{})
		bob.Write([]byte("unread"))
		alice.Read(make([]byte, 1))
		alice.Close()
		if _, err := io.ReadAll(bob); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("closed with unread input: %v, want a reset", err)
		}

		_, alice, bob = newImpairedStream(t, simnet.Link{})
		bob.Write([]byte("unread"))
		go alice.Write(make([]byte, 1_000_000)) // more than there is room for
		synctest.Wait()
		start := time.Now()
		alice.Close()
		if _, err := io.ReadAll(bob); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) > time.Millisecond {
			t.Errorf("closed with unread input, in the middle of a write: %v after %v, want a reset at once", err, time.Since(start))
		}

		_, alice, bob = newImpairedStream(t, simnet.Link{Stall: 1, Delay: time.Second})
		alice.Write([]byte("stalls"))
		start = time.Now()
		if err := alice.Close(); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("Close of a stalled stream returns %v after %v, want nil after 2 s", err, time.Since(start))
		}
		if text, err := io.ReadAll(bob); len(text) != 1 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("closed while stalled: %q, %v, want a reset", text, err)
		}
		if took := time.Since(start); took != 61*time.Second {
			t.Errorf("the reset comes after %v, want 61 s", took)
		}
	})
}

func TestImpairedStreamLosesNothingForASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := newImpairedStream(t, simnet.Link{})
		if _, err := alice.Write(make([]byte, 300_000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := alice.Close(); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("Close returns %v after %v, want nil after 2 s", err, time.Since(start))
		}
		time.Sleep(30 * time.Second)
		if text, err := io.ReadAll(bob); len(text) != 300_000 || err != nil {
			t.Errorf("%d bytes arrive, %v, want 300,000", len(text), err)
		}
	})
}

func TestImpairedStreamEndsAtOnceWithTheOneBeneath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := newImpairedStream(t, simnet.Link{Stall: 1})
		bob.(interface{ CloseWrite() error }).CloseWrite()
		alice.Write([]byte("stalls"))
		synctest.Wait()
		start := time.Now()
		alice.(interface{ NetConn() net.Conn }).NetConn().Close()
		if err := alice.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close returns %v after %v, want nil at once", err, time.Since(start))
		}
	})
}

func TestImpairedStreamAfterCloseWrite(t *testing.T) {
	streamDirections(t, simnet.Link{Delay: time.Second}, func(t *testing.T, _ *simnet.Impaired, from, to net.Conn) {
		transfer(t, from, to, 1000)
		if err := from.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Errorf("CloseWrite again: %v", err)
		}
		if _, err := from.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write: %v, want EPIPE", err)
		}
		if took, _ := transfer(t, to, from, 1000); took != time.Second {
			t.Errorf("the way back takes %v, want 1 s", took)
		}
	})
}

// A secretive network needs a handshake before it lets read.
type secretive struct{ sockets.Network }

type secretiveConn struct {
	net.Conn
	shaken chan struct{}
}

func (s secretive) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := s.Network.DialContext(ctx, network, address)
	return &secretiveConn{conn, make(chan struct{})}, err
}

func (c *secretiveConn) HandshakeContext(context.Context) error {
	close(c.shaken)
	return nil
}

func (c *secretiveConn) Read(p []byte) (int, error) {
	select {
	case <-c.shaken:
		return c.Conn.Read(p)
	default:
		return 0, errors.New("read before the handshake")
	}
}

func TestImpairedStreamLetsABaseShakeHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		alice, bob := connect(t, simnet.Impair(secretive{n.Host()}, simnet.Link{}), n.Host("10.0.0.9"), "10.0.0.9:1")
		defer alice.Close()
		defer bob.Close()
		bob.Write([]byte("text"))
		time.Sleep(time.Second)
		if err := alice.(interface{ HandshakeContext(context.Context) error }).HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
		if n, err := alice.Read(make([]byte, 10)); n != 4 || err != nil {
			t.Errorf("Read = %d, %v, want 4 bytes", n, err)
		}
		if err := alice.(interface{ CloseWrite() error }).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CloseWrite = %v over a connection that has none", err)
		}
	})
}

func TestConnectionsOverImpairedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		link := simnet.Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.01, Slice: 3}
		impaired := simnet.Impair(n.Host("server"), link)
		serverConfig, clientConfig := sockets.Config{Network: impaired}, sockets.Config{Network: n.Host("client")}
		server, err := serverConfig.Listen("1", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
			if event == sockets.EventConnect {
				c.SetCallback(func(event sockets.Event, payload []byte, c *sockets.Connection, err error) {
					if event == sockets.EventMessage {
						c.Send(payload)
					}
				})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		client, err := clientConfig.Dial(t.Context(), "server:1", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			want := fmt.Sprintf("message %d", i)
			if err := client.Send([]byte(want)); err != nil {
				t.Fatal(err)
			}
			if got, err := client.Receive(t.Context()); string(got) != want || err != nil {
				t.Fatalf("Receive = %q, %v, want %q", got, err, want)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-client.Done()
	})
}
