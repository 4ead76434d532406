package secure_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
	"golang.org/x/net/nettest"
)

var (
	alice   = secure.NewIdentityFromSeed("alice", 1)
	bob     = secure.NewIdentityFromSeed("bob", 2)
	mallory = secure.NewIdentityFromSeed("mallory", 3)
)

func peerOf(id *secure.Identity) secure.KnownPeer {
	return secure.KnownPeer{Name: id.Name(), Key: id.PublicKey()}
}

// between is what two ends of the same stream that shake hands say, where the
// client is alice's and the server bob's.
func between(t testing.TB, base sockets.Network, client, server secure.Config, address string) (here, there net.Conn, refusedHere, refusedThere error) {
	t.Helper()
	listener, err := server.Over(base).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	shaken := make(chan struct{})
	go func() {
		defer close(shaken)
		if there, refusedThere = listener.Accept(); refusedThere == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			refusedThere = there.(handshaker).HandshakeContext(ctx)
		}
	}()
	if _, port, err := net.SplitHostPort(listener.Addr().String()); err == nil {
		address += ":" + port
	}
	here, refusedHere = client.Over(base).DialContext(t.Context(), "tcp", address)
	<-shaken
	return here, there, refusedHere, refusedThere
}

type handshaker interface{ HandshakeContext(context.Context) error }

// friends are two ends that know each other.
func friends(t testing.TB, base sockets.Network) (here, there net.Conn) {
	t.Helper()
	here, there, err, errThere := between(t, base,
		secure.Config{Identity: alice, Known: know(t, peerOf(bob))},
		secure.Config{Identity: bob, Known: know(t, peerOf(alice))}, "127.0.0.1")
	if err != nil || errThere != nil {
		t.Fatal(err, errThere)
	}
	return here, there
}

// bubble runs f in virtual time, on a host of a simulated network.
func bubble(t *testing.T, f func(t *testing.T, host *simnet.Host)) {
	synctest.Test(t, func(t *testing.T) { f(t, simnet.New(1).Host("host")) })
}

// listenStream is a listener on the loopback, until the test ends.
func listenStream(t *testing.T, network sockets.Network) net.Listener {
	t.Helper()
	listener, err := network.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// serveOne is the address of a server that accepts one stream, and closes it
// after do. The test does not end before.
func serveOne(t *testing.T, network sockets.Network, do func(conn net.Conn)) (address string) {
	t.Helper()
	var group sync.WaitGroup
	t.Cleanup(group.Wait)
	listener := listenStream(t, network)
	group.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		do(conn)
	})
	return listener.Addr().String()
}

// accepted are the two ends of a stream of host that network accepted, until the
// test ends. Nobody shook hands yet.
func accepted(t *testing.T, host *simnet.Host, network sockets.Network) (stranger, conn net.Conn) {
	t.Helper()
	listener := listenStream(t, network)
	stranger, err := host.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stranger.Close() })
	if conn, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return stranger, conn
}

func TestStreamIsAConn(t *testing.T) {
	nettest.TestConn(t, func() (here, there net.Conn, stop func(), err error) {
		here, there = friends(t, nil)
		return here, there, func() { here.Close(); there.Close() }, nil
	})
}

func TestWritingGoesOnAfterADeadline(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		sent := make([]byte, 2<<20)
		for i := range sent {
			sent[i] = byte(i * i >> 8)
		}
		go func() {
			rest, late := sent, 0
			for len(rest) > 0 {
				here.SetWriteDeadline(time.Now().Add(time.Second))
				n, err := here.Write(rest)
				if rest = rest[n:]; errors.Is(err, os.ErrDeadlineExceeded) {
					late++
				} else if err != nil {
					t.Error(err)
					break
				}
			}
			if late == 0 {
				t.Error("no Write was late: nothing is tested")
			}
			here.(halfCloser).CloseWrite()
		}()
		time.Sleep(10 * time.Second)
		received, err := io.ReadAll(there)
		if err != nil || !bytes.Equal(received, sent) {
			t.Errorf("received %d bytes, %v, want the %d that were sent", len(received), err, len(sent))
		}
		here.Close()
		there.Close()
	})
}

type halfCloser interface{ CloseWrite() error }

// overfill writes until there is no room for more, and returns how much that is.
func overfill(conn net.Conn) (n int) {
	for {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		m, err := conn.Write(make([]byte, 10_000))
		if n += m; err != nil {
			return n
		}
	}
}

func TestGoodbyeWaitsForRoom(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		sent := overfill(here)
		closed := make(chan error, 1)
		go func() { closed <- here.(halfCloser).CloseWrite() }()
		time.Sleep(20 * time.Second)
		if received, err := io.ReadAll(there); len(received) != sent || err != nil {
			t.Errorf("%d bytes, %v, want %d", len(received), err, sent)
		}
		if err := <-closed; err != nil {
			t.Errorf("CloseWrite = %v", err)
		}
		here.Close()
		there.Close()
	})
}

func TestGoodbyeGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		overfill(here)
		start := time.Now()
		if err := here.(halfCloser).CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("CloseWrite = %v after %v, want %v after a minute", err, time.Since(start), os.ErrDeadlineExceeded)
		}
		here.Close()
		there.Close()

		here, there = friends(t, host)
		overfill(here)
		start = time.Now()
		if here.Close(); time.Since(start) != 5*time.Second {
			t.Errorf("Close took %v, want 5 s", time.Since(start))
		}
		there.Close()
	})
}

func TestGoodbyeDoesNotWaitForAWriterForEver(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		overfill(here)
		here.SetWriteDeadline(time.Time{})
		written := make(chan struct{})
		go func() {
			defer close(written)
			here.Write([]byte("more"))
		}()
		synctest.Wait()
		start := time.Now()
		if err := here.(halfCloser).CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("CloseWrite = %v after %v, want %v after a minute", err, time.Since(start), os.ErrDeadlineExceeded)
		}
		here.Close()
		there.Close()
		<-written
	})
}

func TestCloseEndsAWriteAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		overfill(here)
		here.SetWriteDeadline(time.Time{})
		written := make(chan error, 1)
		go func() {
			_, err := here.Write([]byte("more"))
			written <- err
		}()
		synctest.Wait()
		start := time.Now()
		here.Close()
		if err := <-written; !errors.Is(err, net.ErrClosed) || time.Since(start) > 0 {
			t.Errorf("Write = %v after %v, want %v at once", err, time.Since(start), net.ErrClosed)
		}
		there.Close()
	})
}

func TestReadingGoesOnAfterADeadline(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		here.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %v, want %v", err, os.ErrDeadlineExceeded)
		}
		here.SetReadDeadline(time.Time{})
		there.Write([]byte("hello"))
		there.Close()
		if got, err := io.ReadAll(here); string(got) != "hello" || err != nil {
			t.Errorf("ReadAll = %q, %v", got, err)
		}
		here.Close()
	})
}

func TestHalfCloseLetsTheAnswerThrough(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		here.Write([]byte("question"))
		if err := here.(halfCloser).CloseWrite(); err != nil {
			t.Errorf("CloseWrite = %v", err)
		}
		if _, err := here.Write([]byte("more")); err == nil {
			t.Error("Write after CloseWrite = nil")
		}
		if got, err := io.ReadAll(there); string(got) != "question" || err != nil {
			t.Errorf("there: %q, %v", got, err)
		}
		there.Write([]byte("answer"))
		there.Close()
		if got, err := io.ReadAll(here); string(got) != "answer" || err != nil {
			t.Errorf("here: %q, %v", got, err)
		}
		here.Close()
		if err := here.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close again = %v, want %v", err, net.ErrClosed)
		}
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close = %v, want %v", err, net.ErrClosed)
		}
		if _, err := here.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close = %v, want %v", err, net.ErrClosed)
		}
	})
}

// Who is in between ends the connection beneath, between two messages.
func TestAnEndThatNobodySignedIsATruncation(t *testing.T) {
	ends := map[string]func(beneath net.Conn){
		"half-closed": func(beneath net.Conn) { beneath.(halfCloser).CloseWrite() },
		"closed":      func(beneath net.Conn) { beneath.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				here, there := friends(t, host)
				here.Write([]byte("message"))
				end(here.(unwrapper).NetConn())
				got, err := io.ReadAll(there)
				if string(got) != "message" || !errors.Is(err, secure.ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("ReadAll = %q, %v, want %v", got, err, secure.ErrTruncated)
				}
				here.Close()
				there.Close()
			})
		})
	}
}

type unwrapper interface{ NetConn() net.Conn }

func TestPeerOfTellsWhoIsThere(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		c, s := sockets.NewConnection(here, nil), sockets.NewConnection(there, nil)
		if peer, ok := secure.PeerOf(c); !ok || peer != peerOf(bob) {
			t.Errorf("PeerOf = %v, %v, want %v", peer, ok, bob)
		}
		if peer, ok := secure.PeerOf(s); !ok || peer != peerOf(alice) {
			t.Errorf("PeerOf = %v, %v, want %v", peer, ok, alice)
		}
		if peer, ok := secure.PeerOf(here); !ok || peer != peerOf(bob) {
			t.Errorf("PeerOf of the stream itself = %v, %v, want %v", peer, ok, bob)
		}
		if peer, ok := secure.PeerOf(here.(unwrapper).NetConn()); ok {
			t.Errorf("PeerOf what is beneath = %v, true", peer)
		}
		c.CloseNow()
		s.CloseNow()
	})
}

func TestPeerOfAStrangerIsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		_, conn := accepted(t, host, secure.Over(host, bob, know(t, peerOf(alice))))
		if peer, ok := secure.PeerOf(sockets.NewConnection(conn, nil)); ok {
			t.Errorf("PeerOf = %v, true, before any handshake", peer)
		}
	})
}

// Accepted streams shake hands by themselves, also for those who read and write
// at the same time.
func TestHandshakeOfTheFirstReadOrWrite(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		address := serveOne(t, secure.Over(host, bob, know(t, peerOf(alice))), func(conn net.Conn) {
			var both sync.WaitGroup
			both.Go(func() { conn.Write([]byte("hello")) })
			both.Go(func() { io.ReadFull(conn, make([]byte, 5)) })
			both.Wait()
		})
		conn, err := secure.Over(host, alice, know(t, peerOf(bob))).DialContext(t.Context(), "tcp", "bob@"+address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("hello"))
		if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
			t.Errorf("ReadAll = %q, %v", got, err)
		}
		conn.Close()
	})
}

// Who has no more time when the other end has just accepted gets the error of the
// context, and no stream that it has closed.
func TestHandshakeThatEndsWithItsTimeHasFailed(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		address := serveOne(t, secure.Over(host, bob, know(t, peerOf(alice))), func(conn net.Conn) {
			ctx, cancel := context.WithCancel(context.Background())
			secure.AfterGreeting(conn, cancel)
			for range 2 {
				if err := conn.(handshaker).HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("HandshakeContext = %v, want %v", err, context.Canceled)
				}
			}
			if peer, ok := secure.PeerOf(conn); ok {
				t.Errorf("PeerOf = %v, true", peer)
			}
		})
		conn, err := secure.Over(host, alice, know(t, peerOf(bob))).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.ReadAll(conn); len(n) > 0 || !errors.Is(err, secure.ErrTruncated) {
			t.Errorf("ReadAll = %q, %v, want %v", n, err, secure.ErrTruncated)
		}
		conn.Close()
	})
}

func TestLazyHandshakeGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		_, conn := accepted(t, host, secure.Over(host, bob, nil))
		start := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("Read = %v after %v, want %v after 5 s", err, time.Since(start), context.DeadlineExceeded)
		}
		if _, again := conn.Write([]byte("x")); !errors.Is(again, context.DeadlineExceeded) {
			t.Errorf("Write = %v, want the same", again)
		}
	})
}
