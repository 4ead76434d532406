package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

// Who finds the backlog full gets no answer, and a place once there is one.
func TestAFullBacklogDrops(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const backlog = 128
		n := simnet.New(1)
		a, b := n.Host("alice"), n.Host("bob")
		l := listen(t, b, ":8080")
		var dialled []stream
		for range backlog {
			dialled = append(dialled, dial(t, a, "bob:8080"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.DialContext(ctx, "tcp", "bob:8080"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialling a full backlog gives %v, want context.DeadlineExceeded", err)
		}
		if got := n.Counters(a, b).Overflowed; got != 6 {
			t.Errorf("%d SYNs were dropped, want 6", got)
		}
		start := time.Now()
		time.AfterFunc(2*time.Second, func() { accept(t, l) })
		dialled = append(dialled, dial(t, a, "bob:8080"))
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %v to get the place of one that was accepted, want 3s", took)
		}
		for i, c := range dialled[1:] {
			if got, want := accept(t, l).RemoteAddr().String(), c.LocalAddr().String(); got != want {
				t.Fatalf("number %d accepted is of %v, want %v", i+1, got, want)
			}
		}
	})
}

// Those that only began to connect hold no place.
func TestHalfOpenStreamsAreNotInTheBacklog(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b, c := n.Host("alice"), n.Host("bob"), n.Host("carol")
		listen(t, b, ":8080")
		n.Cut(b, a)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var dialling sync.WaitGroup
		for range 200 {
			dialling.Go(func() { a.DialContext(ctx, "tcp", "bob:8080") })
		}
		dialling.Wait()
		start := time.Now()
		dial(t, c, "bob:8080")
		if took := time.Since(start); took != 0 {
			t.Errorf("the backlog had no room for %v", took)
		}
	})
}

func TestManyHostsDialAtOnce(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const hosts = 1000
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: 20 * time.Millisecond})
		l := listen(t, n.Host("server"), ":8080")
		start := time.Now()
		for range hosts {
			h := n.Host()
			go func() {
				if c, err := h.DialContext(t.Context(), "tcp", "server:8080"); err == nil {
					c.Close()
				}
			}()
		}
		for range hosts {
			accept(t, l)
		}
		if took := time.Since(start); took != 60*time.Millisecond {
			t.Errorf("it took %v, want 60ms", took)
		}
	})
}

// Who finds the backlog full at the end of the handshake is connected, as on
// Linux, and accepted once there is room.
func TestABacklogThatFillsDuringTheHandshake(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const backlog, more = 128, 10
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: 100 * time.Millisecond})
		a, b := n.Host("alice"), n.Host("bob")
		l := listen(t, b, ":8080")
		var dialling sync.WaitGroup
		for range backlog + more {
			dialling.Go(func() {
				if c, err := a.DialContext(t.Context(), "tcp", "bob:8080"); err == nil {
					io.WriteString(c, "hello")
				}
			})
		}
		dialling.Wait()
		time.Sleep(500 * time.Millisecond)
		if got := n.Counters(a, b).Overflowed; got < more || got > 10*more {
			t.Errorf("%d segments were dropped, want %d and some more", got, more)
		}
		for range backlog + more {
			if _, err := io.ReadFull(accept(t, l), make([]byte, 5)); err != nil {
				t.Error(err)
			}
		}
	})
}

// Nobody gets an answer any more who has not got one when the listener is closed.
func TestCloseForgetsHalfOpenStreams(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host("alice"), n.Host("bob")
		l := listen(t, b, ":8080")
		n.Cut(b, a)
		time.AfterFunc(5*time.Second, func() {
			l.Close()
			n.Heal()
		})
		if c, err := a.DialContext(t.Context(), "tcp", "bob:8080"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("DialContext = %v, %v, want ECONNREFUSED", c, err)
		}
	})
}

const firstPort, ports = 49152, 16384 // that a host chooses from

// choose makes h choose some ports, and returns them.
func choose(t *testing.T, h *simnet.Host, some int) []int {
	var chosen []int
	for range some {
		l, err := h.Listen(t.Context(), "tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		chosen = append(chosen, l.Addr().(*net.TCPAddr).Port)
		l.Close()
	}
	return chosen
}

func TestChosenPortsAreFree(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host("alice"), n.Host("bob")
		if c, err := a.DialContext(t.Context(), "tcp", fmt.Sprint("alice:", firstPort)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialling oneself = %v, %v, want ECONNREFUSED", c, err)
		}
		listen(t, a, fmt.Sprint(":", firstPort+2))
		listen(t, b, ":8080")
		dialled := dial(t, a, "bob:8080").LocalAddr().(*net.TCPAddr)
		if dialled.Port != firstPort+3 {
			t.Errorf("dialling from port %d, want %d", dialled.Port, firstPort+3)
		}
		chosen := choose(t, a, ports)
		for _, used := range []int{firstPort + 2, firstPort + 3} {
			if slices.Contains(chosen, used) {
				t.Errorf("port %d is chosen, and in use", used)
			}
		}
	})
}

// When a host has chosen each port once, a stream may have the ends of an earlier
// one, of which the other host still knows.
func TestAnotherStreamBetweenTheSameEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end func(a *simnet.Host, c stream)
		err error // of the earlier one
	}{
		"crash": {func(a *simnet.Host, c stream) { a.Crash(); a.Restart() }, syscall.ECONNRESET},
		"close": {func(a *simnet.Host, c stream) { c.Close(); time.Sleep(time.Minute) }, syscall.EPIPE},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				n := simnet.New(1)
				a, b := n.Host("alice"), n.Host("bob")
				l := listen(t, b, ":8080")
				before := dial(t, a, "bob:8080")
				old := accept(t, l)
				test.end(a, before)
				choose(t, a, ports-1)
				after := dial(t, a, "bob:8080")
				if before.LocalAddr().String() != after.LocalAddr().String() {
					t.Fatalf("dialling from %v, want %v", after.LocalAddr(), before.LocalAddr())
				}
				if _, err := old.Write([]byte("hello")); !errors.Is(err, test.err) {
					t.Errorf("Write on the old stream = %v, want %v", err, test.err)
				}
				send(t, after, []byte("hello"))
				receive(t, accept(t, l), []byte("hello"))
			})
		})
	}
}

// A SYN that is a minute late harms neither its own stream nor a later one.
func TestALateSYNDoesNoHarm(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host("alice"), n.Host("bob")
		l := listen(t, b, ":8080")
		connect := func() (dialled, accepted stream) {
			n.SetLinks(simnet.Link{Delay: time.Minute})
			time.AfterFunc(time.Millisecond, func() { n.SetLinks(simnet.Link{}) })
			return dial(t, a, "bob:8080"), accept(t, l)
		}
		first, half := connect()
		first.Close()
		time.Sleep(59500 * time.Millisecond) // the SYN has come, and the first end is still there
		if err := half.CloseWrite(); err != nil {
			t.Errorf("CloseWrite of its own stream = %v", err)
		}
		choose(t, a, ports-1)
		earlier, accepted := connect()
		earlier.Close()
		accepted.Close()
		choose(t, a, ports-1)
		later := dial(t, a, "bob:8080")
		time.Sleep(time.Hour)
		send(t, later, []byte("hello"))
		receive(t, accept(t, l), []byte("hello"))
	})
}

func TestTwoThatDialEachOther(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: time.Second})
		a, b := n.Host("alice"), n.Host("bob")
		done := make(chan error)
		for from, to := range map[*simnet.Host]string{a: "bob", b: "alice"} {
			go func() {
				_, err := from.DialContext(t.Context(), "tcp", fmt.Sprint(to, ":", firstPort))
				done <- err
			}()
		}
		for range 2 {
			if err := <-done; !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("DialContext = %v, want ECONNREFUSED", err)
			}
		}
	})
}

func TestListenersShareAPort(t *testing.T) {
	n := simnet.New(1)
	a, b := n.Host("alice", "10.0.0.1", "2001:db8::1"), n.Host("bob", "10.0.0.2", "10.0.0.3", "2001:db8::2")
	listeners := map[string]net.Listener{}
	for _, test := range []struct {
		network, address string
		err              error
	}{
		{"tcp4", "10.0.0.2:80", nil},
		{"tcp6", "[::]:80", nil},
		{"tcp", ":80", syscall.EADDRINUSE},
		{"tcp4", ":80", syscall.EADDRINUSE},
		{"tcp", "10.0.0.2:80", syscall.EADDRINUSE},
		{"tcp", "10.0.0.3:80", nil},
		{"tcp", "localhost:80", nil},
		{"tcp", ":81", nil},
		{"tcp4", "10.0.0.2:81", syscall.EADDRINUSE},
		{"tcp", "10.0.0.1:80", syscall.EADDRNOTAVAIL},
	} {
		l, err := b.Listen(t.Context(), test.network, test.address)
		if !errors.Is(err, test.err) {
			t.Errorf("Listen(%q, %q) = %v, want %v", test.network, test.address, err, test.err)
		}
		if err == nil {
			defer l.Close()
			listeners[test.address] = l
		}
	}
	for _, test := range []struct {
		from    *simnet.Host
		address string
		by      string // whom it is accepted
		remote  string
	}{
		{a, "10.0.0.2:80", "10.0.0.2:80", "10.0.0.1"},
		{a, "10.0.0.3:80", "10.0.0.3:80", "10.0.0.1"},
		{a, "[2001:db8::2]:80", "[::]:80", "2001:db8::1"},
		{a, "bob:81", ":81", "10.0.0.1"},
		{a, "[2001:db8::2]:81", ":81", "2001:db8::1"},
		{b, "localhost:80", "localhost:80", "127.0.0.1"},
		{b, ":80", "localhost:80", "127.0.0.1"},
		{b, "0.0.0.0:81", ":81", "127.0.0.1"},
		{b, "[::1]:80", "[::]:80", "::1"},
		{b, "bob:80", "10.0.0.2:80", "10.0.0.2"},
	} {
		c := dial(t, test.from, test.address)
		accepted := accept(t, listeners[test.by])
		remote := accepted.RemoteAddr().(*net.TCPAddr)
		if remote.IP.String() != test.remote || remote.String() != c.LocalAddr().String() {
			t.Errorf("dialling %q is accepted from %v, want %v", test.address, remote, c.LocalAddr())
		}
		if got, want := accepted.LocalAddr().String(), c.RemoteAddr().String(); got != want {
			t.Errorf("dialling %q is accepted at %v, want %v", test.address, got, want)
		}
	}
}

func TestManyAcceptAndDialAtOnce(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const streams = 100
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1})
		server := n.Host("server")
		l := listen(t, server, ":8080")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range streams / 10 {
					c := accept(t, l)
					all.Go(func() {
						io.Copy(c, c)
						c.Close()
					})
				}
			})
		}
		for i := range streams {
			all.Go(func() {
				c := dial(t, n.Host(), "server:8080")
				payload := fmt.Appendf(nil, "%09999d", i)
				send(t, c, payload)
				receive(t, c, payload)
			})
		}
		all.Wait()
	})
}

// Ordinary programs do not notice.
func TestHTTP(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: 10 * time.Millisecond, Loss: 0.05})
		client, server := n.Host(), n.Host("example.com")
		web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "you are ", r.RemoteAddr, ", and sent ")
			io.Copy(w, r.Body)
		})}
		served := make(chan error)
		l := listen(t, server, ":80")
		go func() { served <- web.Serve(l) }()
		transport := &http.Transport{DialContext: client.DialContext}
		for i := range 10 {
			response, err := (&http.Client{Transport: transport}).Post("http://example.com/", "", strings.NewReader(fmt.Sprint(i)))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if want := fmt.Sprintf("you are 10.0.0.1:49152, and sent %d", i); string(body) != want || err != nil {
				t.Errorf("the answer is %q, %v, want %q", body, err, want)
			}
		}
		transport.CloseIdleConnections()
		if err := web.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

func TestAServerAndItsClients(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		n.SetLinks(simnet.Link{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.1})
		onServer := sockets.Config{Network: n.Host("server")}
		echo := func(event sockets.Event, payload []byte, c *sockets.Connection, err error) {
			if event == sockets.EventMessage {
				c.Send(payload)
			}
		}
		server, err := onServer.Listen(":8080", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
			if event == sockets.EventConnect {
				c.SetCallback(echo)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var clients sync.WaitGroup
		for range 10 {
			onClient := sockets.Config{Network: n.Host()}
			clients.Go(func() {
				c, err := onClient.Dial(t.Context(), "server:8080", nil)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 100 {
					want := fmt.Sprint("message ", i)
					if err := c.Send([]byte(want)); err != nil {
						t.Error(err)
					}
					if got, err := c.Receive(t.Context()); string(got) != want || err != nil {
						t.Errorf("Receive = %q, %v, want %q", got, err, want)
					}
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		clients.Wait()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}
