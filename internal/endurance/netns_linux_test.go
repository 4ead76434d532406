package endurance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/netns"
	"github.com/seed287501ae/sockets/reliable"
)

// What a real network does, by a real kernel: in a network namespace of the test's
// own, whose firewall makes the faults.
func TestRealNetworkFaults(t *testing.T) {
	netns.Run(t, func(t *testing.T) {
		if out, err := exec.Command("ip", "link", "set", "lo", "mtu", "1500", "up").CombinedOutput(); err != nil {
			t.Skipf("ip: %v: %s", err, out)
		}
		if err := firewall(lossy); err != nil {
			t.Skip(err)
		}
		t.Run("messages of a stream arrive once, in order", streamThroughLoss)
		t.Run("reliable datagrams arrive once, in order", datagramsThroughLoss)
		t.Run("a black hole ends a connection", blackHole)
		t.Run("a port scan does not stop a server", portScan)
	})
}

const lossy = `
	chain input {
		type filter hook input priority 0
		numgen random mod 100 < 10 counter drop
	}
	chain output {
		type filter hook output priority 0
		numgen random mod 100 < 10 counter dup to ip daddr
	}`

const hole = `
	chain input {
		type filter hook input priority 0
		counter drop
	}`

// firewall replaces the rules of this network namespace.
func firewall(rules string) error {
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader("flush ruleset\ntable ip faults {" + rules + "\n}\n")
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// suffer runs a test under rules, each of which has to have met something.
func suffer(t *testing.T, rules string, test func()) {
	t.Helper()
	if err := firewall(rules); err != nil {
		t.Fatal(err)
	}
	defer firewall("")
	test()
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	counters := regexp.MustCompile(`counter packets \d+`).FindAllString(string(out), -1)
	t.Logf("%q", counters)
	if err != nil || len(counters) == 0 || strings.Contains(strings.Join(counters, "\n")+"\n", " 0\n") {
		t.Errorf("the rules had no effect: %v\n%s", err, out)
	}
}

func listen(t *testing.T, cfg *sockets.Config, callback sockets.ConnectionCallback) *sockets.Server {
	t.Helper()
	s, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			c.SetCallback(callback)
		case sockets.EventError:
			t.Errorf("the server tells of %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func echo(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
	if event == sockets.EventMessage {
		c.Send(payload)
	}
}

func shutdown(t *testing.T, s *sockets.Server) {
	t.Helper()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

// letter is the i-th message of a test, of up to 3,000 bytes.
func letter(i int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(i)), bytes.Repeat([]byte{byte(i)}, i*37%3000)...)
}

func streamThroughLoss(t *testing.T) {
	s := listen(t, &sockets.Config{CloseTimeout: time.Minute}, echo)
	defer shutdown(t, s)
	const count = 300
	suffer(t, lossy, func() {
		c, err := (&sockets.Config{CloseTimeout: time.Minute}).Dial(t.Context(), s.LocalAddress().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var sender sync.WaitGroup
		sender.Go(func() {
			for i := range count {
				if err := c.Send(letter(i)); err != nil {
					t.Errorf("Send = %v", err)
				}
			}
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite = %v", err)
			}
		})
		for i := range count {
			if payload, err := c.Receive(t.Context()); !bytes.Equal(payload, letter(i)) || err != nil {
				t.Fatalf("Receive = %d bytes, %v, want message %d, which has %d", len(payload), err, i, len(letter(i)))
			}
		}
		if payload, err := c.Receive(t.Context()); err != io.EOF {
			t.Errorf("Receive = %d bytes, %v, want %v", len(payload), err, io.EOF)
		}
		sender.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
}

func datagramsThroughLoss(t *testing.T) {
	const count = 300
	suffer(t, lossy, func() {
		bind := func() *sockets.Peer {
			p, err := (&sockets.Config{Network: reliable.Over(nil)}).NewPeer("127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		peers := [2]*sockets.Peer{bind(), bind()}
		var both sync.WaitGroup
		for i, p := range peers {
			other := peers[1-i].LocalAddress()
			both.Go(func() {
				for i := range count {
					if err := p.Send(letter(i), other); err != nil {
						t.Errorf("Send = %v", err)
					}
				}
			})
			both.Go(func() {
				for i := range count {
					payload, sender, err := p.Receive(t.Context())
					if !bytes.Equal(payload, letter(i)) || sender != other || err != nil {
						t.Errorf("Receive = %d bytes from %v, %v, want message %d, which has %d", len(payload), sender, err, i, len(letter(i)))
						return
					}
				}
			})
		}
		both.Wait()
		for _, p := range peers {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if payload, _, err := p.Receive(ctx); err != context.DeadlineExceeded {
				t.Errorf("one more arrives: %.20q, %v", payload, err)
			}
			cancel()
		}
		for _, p := range peers {
			both.Go(func() {
				if err := p.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		}
		both.Wait()
	})
}

// blackHole cuts connections that work in the middle: nothing arrives any more,
// and nobody is told.
func blackHole(t *testing.T) {
	const limit = 300 * time.Millisecond
	s := listen(t, &sockets.Config{IdleTimeout: -1, CloseTimeout: limit}, echo)
	dial := func(cfg sockets.Config) *sockets.Client {
		c, err := cfg.Dial(t.Context(), s.LocalAddress().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c, "ciao")
		return c
	}
	idle := dial(sockets.Config{IdleTimeout: limit})
	stuck := dial(sockets.Config{SendTimeout: limit})
	polite := dial(sockets.Config{CloseTimeout: limit})
	within := func(what string, f func() error) {
		t.Helper()
		start := time.Now()
		err := f()
		if passed := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || passed < limit || passed > 20*limit {
			t.Errorf("%s ends after %v with %v, want %v after %v", what, passed, err, os.ErrDeadlineExceeded, limit)
		}
	}
	suffer(t, hole, func() {
		within("waiting for a message", func() error {
			_, err := idle.Receive(t.Context())
			checkErr(t, idle, err)
			return err
		})
		within("sending", func() error {
			for {
				if err := stuck.Send(make([]byte, 1<<20)); err != nil {
					checkErr(t, stuck, err)
					return err
				}
			}
		})
		within("the goodbye", polite.Close)
		within("the server's goodbye", func() error {
			var err error
			for _, c := range s.Connections() {
				err = errors.Join(err, c.Close())
			}
			return err
		})
	})
	shutdown(t, s)
}

// checkErr compares why c ended with the error that a method returned.
func checkErr(t *testing.T, c *sockets.Client, err error) {
	t.Helper()
	<-c.Done()
	if !errors.Is(err, c.Err()) {
		t.Errorf("Err() = %v, the method returned %v", c.Err(), err)
	}
}

// portScan tries a thousand ports, and a thousand times that of the server, while
// a client talks to it.
func portScan(t *testing.T) {
	s := listen(t, new(sockets.Config), echo)
	c, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	scanned := make(chan struct{})
	go func() {
		defer close(scanned)
		for port := range 1000 {
			if conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", 1+port)); err == nil {
				t.Errorf("somebody accepts at port %d", 1+port)
				conn.Close()
			}
			conn, err := net.Dial("tcp", s.LocalAddress().String())
			if err != nil {
				t.Errorf("Dial = %v", err)
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	for served := 0; ; served++ {
		ask(t, c, "ciao")
		select {
		case <-scanned:
			t.Logf("%d messages echoed meanwhile", served)
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
			shutdown(t, s)
			return
		default:
		}
	}
}
