package secure_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

// unsavable are known peers whose file cannot be made.
func unsavable(t testing.TB) *secure.KnownPeers {
	known, err := secure.LoadKnownPeers(filepath.Join(t.TempDir(), "none", "known_peers"))
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func TestBothEndsTellTheReasonOfARefusal(t *testing.T) {
	nameless := secure.NewIdentityFromSeed("no name", 4)
	namesake := secure.NewIdentityFromSeed("bob", 5)
	for _, test := range []struct {
		name           string
		client, server secure.Config
		expected       string
		here, there    error    // why the client refuses the server, and the server the client
		texts          []string // of the end that refuses, and of the one that is refused
	}{{
		name:   "a server that is not known",
		client: secure.Config{Identity: alice}, server: secure.Config{Identity: bob, Known: know(t, peerOf(alice))},
		here:  secure.ErrUnknownKey,
		texts: []string{"bob with the key " + bob.PublicKey().Fingerprint(), "add to the known peers of this program the line: " + bob.String(), "to have this line, and no other of that name: " + bob.String()},
	}, {
		name:   "a client that is not known",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: bob},
		there: secure.ErrUnknownKey,
		texts: []string{alice.PublicKey().Fingerprint(), "to have this line, and no other of that name: " + alice.String()},
	}, {
		name:   "two that do not know each other",
		client: secure.Config{Identity: alice}, server: secure.Config{Identity: bob},
		here: secure.ErrUnknownKey, there: secure.ErrUnknownKey,
		texts: []string{"(and it refuses this one: the key is not known)"},
	}, {
		name:   "first use of a server that is not named",
		client: secure.Config{Identity: alice, FirstUse: true}, server: secure.Config{Identity: bob, FirstUse: true},
		here:  secure.ErrUnknownKey,
		texts: []string{"say whom you expect there, NAME@HOST:PORT"},
	}, {
		name:   "a server that poses as bob",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: mallory, FirstUse: true},
		expected: "bob", here: secure.ErrKeyChanged,
		texts: []string{"bob has the key " + bob.PublicKey().Fingerprint(), "somebody may pose as bob", "replace that line by: bob " + mallory.PublicKey().String()},
	}, {
		name:   "first use of a server that poses as bob",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob)), FirstUse: true}, server: secure.Config{Identity: mallory, FirstUse: true},
		expected: "bob", here: secure.ErrKeyChanged,
	}, {
		name:   "a server that calls itself bob",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: namesake, FirstUse: true},
		here: secure.ErrKeyChanged,
	}, {
		name:   "a known server at another's address",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob), peerOf(mallory))}, server: secure.Config{Identity: mallory, FirstUse: true},
		expected: "bob", here: secure.ErrNotExpected,
		texts: []string{"bob was expected", "it looks for somebody else than mallory"},
	}, {
		name:   "a client that poses as alice",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: bob, Known: know(t, knownPeer("alice", 9)), FirstUse: true},
		there: secure.ErrKeyChanged,
	}, {
		name:   "a client with the server's name",
		client: secure.Config{Identity: namesake, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: bob, FirstUse: true},
		there: secure.ErrKeyChanged,
		texts: []string{"that name is this end's own"},
	}, {
		name:   "a client whose name is none",
		client: secure.Config{Identity: nameless, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: bob, FirstUse: true},
		there: secure.ErrBadName,
		texts: []string{"(a name that is none with the key"},
	}, {
		name:   "a client too many",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: bob, FirstUse: true, MaxLearnt: -1},
		there: secure.ErrTooManyLearnt,
	}, {
		name:   "a client that cannot be saved",
		client: secure.Config{Identity: alice, Known: know(t, peerOf(bob))}, server: secure.Config{Identity: bob, FirstUse: true, Known: unsavable(t)},
		there: secure.ErrNotSaved,
		texts: []string{"alice cannot be saved as a known peer"},
	}, {
		name:   "a server that cannot be saved",
		client: secure.Config{Identity: alice, FirstUse: true, Known: unsavable(t)}, server: secure.Config{Identity: bob, Known: know(t, peerOf(alice))},
		expected: "bob", here: secure.ErrNotSaved,
	}, {
		name:   "oneself",
		client: secure.Config{Identity: alice, FirstUse: true, Known: know(t, peerOf(alice))}, server: secure.Config{Identity: alice, FirstUse: true},
		expected: "alice", here: secure.ErrOwnKey, there: secure.ErrOwnKey,
		texts: []string{"needs an identity of its own"},
	}} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				address := "127.0.0.1"
				if test.expected != "" {
					address = test.expected + "@" + address
				}
				_, _, here, there := between(t, host, test.client, test.server, address)
				checkRefusal(t, "client", here, test.here, test.there, test.server.Identity)
				checkRefusal(t, "server", there, test.there, test.here, test.client.Identity)
				for _, text := range test.texts {
					if both := here.Error() + "\n" + there.Error(); !strings.Contains(both, text) {
						t.Errorf("neither end says %q:\n%s", text, both)
					}
				}
			})
		})
	}
}

// checkRefusal checks what an end says that refuses the other for a reason, and
// is refused for one.
func checkRefusal(t *testing.T, end string, err, ours, theirs error, other *secure.Identity) {
	t.Helper()
	var refused *secure.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v, want a *RefusedError", end, err)
	}
	reason := ours
	if ours == nil {
		reason = theirs
	}
	if refused.There != (ours == nil) || !errors.Is(refused.Reason, reason) || refused.Peer.Key != other.PublicKey() {
		t.Errorf("%s: %v (There = %v), want %v", end, err, refused.There, reason)
	}
	if theirs != nil && !errors.Is(err, theirs) {
		t.Errorf("%s: %v, which does not tell why the other end refused: %v", end, err, theirs)
	}
}

func TestFirstUsePinsBothEnds(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		client := secure.Config{Identity: alice, FirstUse: true, Known: know(t)}
		server := secure.Config{Identity: bob, FirstUse: true, Known: know(t)}
		here, there, err, errThere := between(t, host, client, server, "robert@127.0.0.1")
		if err != nil || errThere != nil {
			t.Fatal(err, errThere)
		}
		here.Close()
		there.Close()
		if got, want := client.Known.All(), []secure.KnownPeer{{Name: "robert", Key: bob.PublicKey(), FirstUse: true}}; !slices.Equal(got, want) {
			t.Errorf("the client pinned %v, want %v", got, want)
		}
		if got, want := server.Known.All(), []secure.KnownPeer{{Name: "alice", Key: alice.PublicKey(), FirstUse: true}}; !slices.Equal(got, want) {
			t.Errorf("the server pinned %v, want %v", got, want)
		}
		for _, name := range []string{"", "robert@"} {
			here, there, err, errThere = between(t, host, client, server, name+"127.0.0.1")
			if err != nil || errThere != nil {
				t.Fatalf("again, %q: %v, %v", name, err, errThere)
			}
			here.Close()
			there.Close()
		}
	})
}

func TestFirstUsePinsNobodyWhoRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		client := secure.Config{Identity: alice, FirstUse: true, Known: know(t)}
		server := secure.Config{Identity: bob, Known: know(t)}
		_, _, err, _ := between(t, host, client, server, "bob@127.0.0.1")
		if !errors.Is(err, secure.ErrUnknownKey) {
			t.Errorf("the client says %v, want %v", err, secure.ErrUnknownKey)
		}
		_, _, _, err = between(t, host, secure.Config{Identity: bob}, secure.Config{Identity: alice, FirstUse: true, Known: client.Known}, "127.0.0.1")
		if !errors.Is(err, secure.ErrUnknownKey) {
			t.Errorf("the server says %v, want %v", err, secure.ErrUnknownKey)
		}
		if got := client.Known.All(); len(got) > 0 {
			t.Errorf("pinned: %v", got)
		}
	})
}

// Many strangers come at once; the limit holds, and a name is given once.
func TestMaxLearntHoldsInACrowd(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		server := secure.Config{Identity: bob, FirstUse: true, MaxLearnt: 3, Known: know(t)}
		s := serve(t, host, server)
		var mu sync.Mutex
		outcomes := make(map[error]int)
		var crowd sync.WaitGroup
		for i := range byte(10) {
			crowd.Go(func() {
				id := secure.NewIdentityFromSeed(fmt.Sprint("guest", i), 10+i)
				cfg := sockets.Config{Network: secure.Over(host, id, know(t, peerOf(bob)))}
				client, err := cfg.Dial(t.Context(), s.LocalAddress().String(), nil)
				var refused *secure.RefusedError
				var reason error
				if errors.As(err, &refused) {
					reason = refused.Reason
				} else if err != nil {
					t.Error(err)
				} else {
					client.CloseNow()
				}
				mu.Lock()
				outcomes[reason]++
				mu.Unlock()
			})
		}
		crowd.Wait()
		if outcomes[nil] != 3 || outcomes[secure.ErrTooManyLearnt] != 7 || len(server.Known.All()) != 3 {
			t.Errorf("outcomes %v, known %v", outcomes, server.Known.All())
		}
	})
}

// The same client comes several times at once, hesitates, and is one key.
func TestAKeyIsLearntOnce(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		s := serve(t, host, secure.Config{Identity: bob, FirstUse: true, MaxLearnt: 1})
		var crowd sync.WaitGroup
		for range 5 {
			crowd.Go(func() {
				conn, err := host.DialContext(t.Context(), "tcp", s.LocalAddress().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				client := tls.Client(conn, secure.TLSConfig(alice))
				if err := client.Handshake(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				client.Write([]byte{0})
				verdict := make([]byte, 2)
				if _, err := io.ReadFull(client, verdict); err != nil || !bytes.Equal(verdict, []byte{secure.Learning, 0}) {
					t.Errorf("told %d, %v, want %d and 0", verdict, err, secure.Learning)
				}
			})
		}
		crowd.Wait()
	})
}

// One key comes under two names at once.
func TestAKeyIsLearntByOneName(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		var refusal error
		cfg := sockets.Config{Network: (&secure.Config{Identity: bob, FirstUse: true}).Over(host)}
		s, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
			if event == sockets.EventConnect {
				c.CloseNow()
			} else if err != nil {
				refusal = err
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var clients []*tls.Conn
		for _, name := range []string{"alice", "alicia"} {
			conn, err := host.DialContext(t.Context(), "tcp", s.LocalAddress().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			clients = append(clients, tls.Client(conn, secure.TLSConfig(secure.NewIdentityFromSeed(name, 1))))
			if _, err := io.ReadFull(clients[len(clients)-1], make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []byte{0, secure.StatusOf(secure.ErrNotExpected)} {
			verdict := make([]byte, 1)
			clients[i].Write(verdict)
			if _, err := io.ReadFull(clients[i], verdict); err != nil || verdict[0] != want {
				t.Errorf("client %d was told %d, %v, want %d", i, verdict, err, want)
			}
		}
		synctest.Wait()
		for _, text := range []string{"is that of alice, not of alicia", "its owner needs to keep to one name"} {
			if refusal == nil || !strings.Contains(refusal.Error(), text) {
				t.Errorf("the server says %v, want %s", refusal, text)
			}
		}
		s.Close()
		<-s.Done()
	})
}

func TestHandshakeDoesNotWaitForTheDiskForEver(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		network := (&secure.Config{Identity: alice, FirstUse: true}).Over(host)
		s := serve(t, host, secure.Config{Identity: bob, Known: know(t, peerOf(alice))})
		release := secure.SavingHangs(network)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := network.DialContext(ctx, "tcp", "bob@"+s.LocalAddress().String())
		if !errors.Is(err, secure.ErrNotSaved) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("DialContext = %v after %v, want %v after 1 s", err, time.Since(start), secure.ErrNotSaved)
		}
		release()
	})
}

// serve is a server that tells nobody anything, until the test ends.
func serve(t *testing.T, base sockets.Network, cfg secure.Config) *sockets.Server {
	t.Helper()
	return serveOver(t, cfg.Over(base), "127.0.0.1:0")
}

func serveOver(t *testing.T, network sockets.Network, address string) *sockets.Server {
	t.Helper()
	c := sockets.Config{Network: network}
	s, err := c.Listen(address, func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			c.SetCallback(func(sockets.Event, []byte, *sockets.Connection, error) {})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		for _, c := range s.Connections() {
			c.CloseNow()
		}
		<-s.Done()
	})
	return s
}

func TestNameAndAddress(t *testing.T) {
	for _, test := range []struct{ address, name, target string }{
		{"127.0.0.1:80", "", "127.0.0.1:80"},
		{"[::1]:80", "", "[::1]:80"},
		{"bob@127.0.0.1:80", "bob", "127.0.0.1:80"},
		{"bob@[::1]:80", "bob", "[::1]:80"},
		{"[bob@::1]:80", "bob", "[::1]:80"},
		{"[bob@host]:80", "bob", "host:80"},
	} {
		name, target, err := secure.CutName(test.address)
		if err != nil || name != test.name || target != test.target {
			t.Errorf("CutName(%q) = %q, %q, %v, want %q, %q", test.address, name, target, err, test.name, test.target)
		}
	}
	for _, address := range []string{"@host:80", "a b@host:80", "[bob@host:80"} {
		if name, target, err := secure.CutName(address); err == nil {
			t.Errorf("CutName(%q) = %q, %q, nil, want an error", address, name, target)
		}
	}
}

// A recorder is a network that knows what was dialled, and connects to nobody.
type recorder struct {
	sockets.Network
	dialled string
}

func (r *recorder) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	r.dialled = network + " " + address
	return nil, errors.ErrUnsupported
}

func TestOnlyAddressesOfTCPHaveNames(t *testing.T) {
	base := new(recorder)
	network := secure.Over(base, alice, nil)
	for _, test := range []struct{ network, address, want string }{
		{"tcp4", "bob@127.0.0.1:80", "tcp4 127.0.0.1:80"},
		{"unix", "/tmp/bob@home", "unix /tmp/bob@home"},
		{"unix", "@abstract", "unix @abstract"},
	} {
		network.DialContext(t.Context(), test.network, test.address)
		if base.dialled != test.want {
			t.Errorf("DialContext(%q, %q) dials %s, want %s", test.network, test.address, base.dialled, test.want)
		}
	}
	if _, err := network.DialContext(t.Context(), "tcp", "@host:80"); !errors.As(err, new(*net.OpError)) {
		t.Errorf("DialContext without a name before @ = %v, want a *net.OpError", err)
	}
}

// A dialled name survives package sockets.
func TestDialOfANamedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := simnet.New(1).Host("10.0.0.1", "fd00::1")
		network := (&secure.Config{Identity: bob, FirstUse: true}).Over(host)
		for _, own := range []string{"10.0.0.1:8080", "[fd00::1]:8080"} {
			serveOver(t, network, own)
		}
		cfg := sockets.Config{Network: (&secure.Config{Identity: alice, FirstUse: true}).Over(host)}
		for _, address := range []string{"bob@10.0.0.1:8080", "[bob@10.0.0.1]:8080", "bob@[fd00::1]:8080", "[bob@fd00::1]:8080"} {
			c, err := cfg.Dial(t.Context(), address, nil)
			if err != nil {
				t.Fatal(err)
			}
			if peer, ok := secure.PeerOf(c); !ok || peer.Name != "bob" || peer.Key != bob.PublicKey() || !peer.FirstUse {
				t.Errorf("PeerOf = %v, %v", peer, ok)
			}
			c.CloseNow()
		}
	})
}

// A fakeServer does what it likes after the handshake of TLS.
func fakeServer(t *testing.T, host *simnet.Host, then func(conn *tls.Conn)) (address string) {
	t.Helper()
	return serveOne(t, host, func(conn net.Conn) {
		server := tls.Server(conn, secure.TLSConfig(bob))
		if err := server.Handshake(); err != nil {
			t.Error(err)
			return
		}
		then(server)
	})
}

func TestStatuses(t *testing.T) {
	for _, test := range []struct {
		name     string
		statuses []byte
		want     error // nil: accepted
		text     string
	}{
		{name: "welcome", statuses: []byte{0}},
		{name: "welcome, saved", statuses: []byte{secure.Learning, 0}},
		{name: "not saved", statuses: []byte{secure.Learning, 5}, want: secure.ErrNotSaved},
		{name: "a refusal of the future", statuses: []byte{99}, text: "a reason that is not known here (status 99)"},
		{name: "undecided", statuses: []byte{secure.Learning, secure.Learning}, text: "does not make up its mind"},
		{name: "nothing", text: "hung up during the handshake"},
		{name: "nothing more", statuses: []byte{secure.Learning}, text: "hung up during the handshake"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				address := fakeServer(t, host, func(conn *tls.Conn) {
					io.ReadFull(conn, make([]byte, 1))
					conn.Write(test.statuses)
				})
				conn, err := secure.Over(host, alice, know(t, peerOf(bob))).DialContext(t.Context(), "tcp", address)
				switch {
				case test.want == nil && test.text == "":
					if err != nil {
						t.Errorf("DialContext = %v", err)
					} else {
						conn.Close()
					}
				case err == nil, test.want != nil && !errors.Is(err, test.want), !strings.Contains(err.Error(), test.text):
					t.Errorf("DialContext = %v, want %v %s", err, test.want, test.text)
				}
			})
		})
	}
	for status := range 256 {
		reason := secure.ReasonOf(byte(status))
		if accepted := status == 0 || byte(status) == secure.Learning; (reason == nil) != accepted {
			t.Errorf("ReasonOf(%d) = %v", status, reason)
		}
	}
}

// What the other end sends before it accepts, and after it refuses, is nothing
// that a program gets to see.
func TestNoByteBeforeBothHaveAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		address := fakeServer(t, host, func(conn *tls.Conn) {
			conn.Write([]byte("\x01hello"))
			io.Copy(io.Discard, conn)
		})
		conn, err := secure.Over(host, alice, know(t, peerOf(bob))).DialContext(t.Context(), "tcp", address)
		if conn != nil || !errors.Is(err, secure.ErrUnknownKey) {
			t.Errorf("DialContext = %v, %v, want nil and %v", conn, err, secure.ErrUnknownKey)
		}
	})
}

type duplex struct {
	io.Reader
	io.Writer
}

func FuzzExchange(f *testing.F) {
	for status := range byte(9) {
		f.Add([]byte{status, 0}, byte(0))
	}
	f.Add([]byte{secure.Learning}, byte(5))
	f.Add([]byte{}, secure.Learning)
	f.Fuzz(func(t *testing.T, theirs []byte, ours byte) {
		in := strings.NewReader(string(theirs))
		var out strings.Builder
		status, err := secure.Exchange(duplex{in, &out}, ours)
		switch {
		case out.String() != string([]byte{ours}):
			t.Errorf("told %q, want %d", out.String(), ours)
		case len(theirs) == 0 && err == nil:
			t.Error("no status, and no error")
		case len(theirs) > 0 && (err != nil || status != theirs[0] || in.Len() != len(theirs)-1):
			t.Errorf("%d, %v of %q, %d bytes left", status, err, theirs, in.Len())
		}
	})
}
