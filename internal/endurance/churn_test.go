package endurance

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

// sourced is a Network whose connections come from one address.
type sourced struct {
	sockets.Network
	dialer net.Dialer
}

func (n *sourced) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dialer.DialContext(ctx, network, address)
}

// source returns the network of the i-th connection. A kernel that has all of
// 127.0.0.0/8 gets many source addresses: a port that was closed is not free
// for a minute.
func source(i int) *sourced {
	ip := net.IPv4(127, 0, 0, 1)
	if runtime.GOOS == "linux" {
		ip = net.IPv4(127, 1, byte(i/200%200), byte(1+i%200))
	}
	return &sourced{sockets.System, net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}}
}

// endings are the ways to end a connection to the server, which sends back what
// it receives, and closes by CloseNow or Close when it is told so.
var endings = []struct {
	name string
	end  func(t *testing.T, n *sourced, address string)
}{
	{"Close", func(t *testing.T, n *sourced, address string) {
		c := dial(t, n, address)
		ask(t, c, "ciao")
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}},
	{"Close with a callback, and all that is unread", func(t *testing.T, n *sourced, address string) {
		c := dial(t, n, address)
		c.SetCallback(func(sockets.Event, []byte, *sockets.Connection, error) {})
		for range 10 {
			if err := c.Send(make([]byte, 1000)); err != nil {
				t.Errorf("Send = %v", err)
			}
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		<-c.Done()
	}},
	{"CloseNow there", func(t *testing.T, n *sourced, address string) {
		c := dial(t, n, address)
		if err := c.Send([]byte("CloseNow")); err != nil {
			t.Errorf("Send = %v", err)
		}
		if payload, err := c.Receive(t.Context()); err == nil {
			t.Errorf("Receive = %q after CloseNow there", payload)
		}
		c.CloseNow()
	}},
	{"Close there", func(t *testing.T, n *sourced, address string) {
		c := dial(t, n, address)
		ask(t, c, "Close")
		if payload, err := c.Receive(t.Context()); err != io.EOF {
			t.Errorf("Receive = %q, %v, want %v", payload, err, io.EOF)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}},
	{"reset after a message", func(t *testing.T, n *sourced, address string) {
		c := dial(t, n, address)
		ask(t, c, "ciao")
		c.NetConn().(*net.TCPConn).SetLinger(0)
		c.CloseNow()
	}},
	{"connect and reset", func(t *testing.T, n *sourced, address string) { write(t, n, address, "", true) }},
	{"connect and close", func(t *testing.T, n *sourced, address string) { write(t, n, address, "", false) }},
	{"half a prefix", func(t *testing.T, n *sourced, address string) { write(t, n, address, "\x00\x00", false) }},
	{"half a message", func(t *testing.T, n *sourced, address string) { write(t, n, address, "\x00\x00\x00\x09half", false) }},
	{"half a message and reset", func(t *testing.T, n *sourced, address string) {
		write(t, n, address, "\x00\x00\x00\x09half", true)
	}},
	{"another protocol", func(t *testing.T, n *sourced, address string) {
		write(t, n, address, "GET / HTTP/1.1\r\n\r\n", false)
	}},
}

// dial connects; who cannot ends its goroutine.
func dial(t *testing.T, n *sourced, address string) *sockets.Client {
	c, err := (&sockets.Config{Network: n}).Dial(t.Context(), address, nil)
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
	return c
}

func ask(t *testing.T, c *sockets.Client, text string) {
	if err := c.Send([]byte(text)); err != nil {
		t.Errorf("Send = %v", err)
	}
	if payload, err := c.Receive(t.Context()); string(payload) != text || err != nil {
		t.Errorf("Receive = %q, %v, want %q", payload, err, text)
	}
}

// write connects without the library, writes, and closes.
func write(t *testing.T, n *sourced, address, text string, reset bool) {
	conn, err := n.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Errorf("Write = %v", err)
	}
	if reset {
		conn.(*net.TCPConn).SetLinger(0)
	}
}

// Connections that come and go, in every way, leave nothing behind.
func TestChurnLeavesNothing(t *testing.T) {
	count := size(t, "CHURN", 600)
	var connected, closed atomic.Int64
	s, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			connected.Add(1)
			c.SetCallback(func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
				switch event {
				case sockets.EventMessage:
					if string(payload) == "CloseNow" {
						c.CloseNow()
						return
					}
					c.Send(payload)
					if string(payload) == "Close" {
						c.Close()
					}
				case sockets.EventClose:
					closed.Add(1)
				}
			})
		case sockets.EventError:
			t.Errorf("the server tells of %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	churn := func(count int) {
		var workers sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(count))
		for range 8 {
			workers.Go(func() {
				for i := left.Add(-1); i >= 0; i = left.Add(-1) {
					endings[int(i)%len(endings)].end(t, source(int(i)), s.LocalAddress().String())
				}
			})
		}
		workers.Wait()
		made += count
		wait(t, "every connection to be closed", func() bool {
			return connected.Load() == closed.Load() && len(s.Connections()) == 0
		})
	}
	churn(10 * len(endings))
	before := usageNow()
	start := time.Now()
	churn(count)
	t.Logf("%d connections in %v; the server was told of %d of %d", count, time.Since(start), connected.Load(), made)
	var after usage
	wait(t, "all that they used to be given back", func() bool {
		after = usageNow()
		return after.goroutines <= before.goroutines && after.descriptors <= before.descriptors
	})
	t.Logf("before: %+v, after: %+v", before, after)
	if grown := int64(after.heap) - int64(before.heap); grown > 2<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

// usage is what a process uses. Descriptors are 0 where the system does not tell.
type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

func usageNow() usage {
	runtime.GC()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	descriptors, _ := os.ReadDir("/proc/self/fd")
	return usage{runtime.NumGoroutine(), len(descriptors), memory.HeapAlloc}
}

// wait looks until something is so, for half a minute at most.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
