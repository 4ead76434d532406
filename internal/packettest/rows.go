package packettest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
)

var rows = []row{
	{"an address is one of UDP, with a port", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		for _, c := range []net.PacketConn{a, b} {
			if local, ok := c.LocalAddr().(*net.UDPAddr); !ok || local.Port == 0 {
				t.Errorf("LocalAddr() = %T %v", c.LocalAddr(), c.LocalAddr())
			}
		}
		if got, want := endpoint.Of(a.LocalAddr()).Addr().String(), p.IPA; got != want {
			t.Errorf("LocalAddr() is at %s, want %s", got, want)
		}
		if a.LocalAddr().String() == b.LocalAddr().String() {
			t.Errorf("two sockets are bound to %v", a.LocalAddr())
		}
	}},
	{"datagrams go both ways, and name their sender", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		send(t, a, "ping", b.LocalAddr())
		want(t, b, "ping", a.LocalAddr())
		send(t, b, "pong", a.LocalAddr())
		want(t, a, "pong", b.LocalAddr())
	}},
	{"a socket can send to itself", func(t *testing.T, p Place) {
		a, _ := pair(t, p)
		send(t, a, "me", a.LocalAddr())
		want(t, a, "me", a.LocalAddr())
	}},
	{"datagrams of all lengths arrive whole", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		for _, length := range []int{0, 1, 512, 1472, 1473, 8192, p.Longest} {
			payload := strings.Repeat("x", length)
			send(t, a, payload, b.LocalAddr())
			want(t, b, payload, a.LocalAddr())
		}
	}},
	{"the payload may be reused", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		payload := []byte("first")
		a.WriteTo(payload, b.LocalAddr())
		copy(payload, "other")
		want(t, b, "first", nil)
	}},
	{"each read takes one datagram", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		var got, sent []string
		for i := range 10 {
			sent = append(sent, fmt.Sprint("datagram ", i))
			send(t, a, sent[i], b.LocalAddr())
		}
		buffer := make([]byte, 1000)
		b.SetReadDeadline(time.Now().Add(patience))
		for range sent {
			n, _, err := b.ReadFrom(buffer)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(buffer[:n]))
		}
		if slices.Sort(got); !slices.Equal(got, sent) {
			t.Errorf("received %q, want %q", got, sent)
		}
	}},
	{"a short buffer cuts the datagram", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		send(t, a, "much too long", b.LocalAddr())
		buffer := make([]byte, 4)
		b.SetReadDeadline(time.Now().Add(patience))
		if n, from, err := b.ReadFrom(buffer); n != 4 || err != nil || string(buffer) != "much" || from.String() != a.LocalAddr().String() {
			t.Errorf("ReadFrom(4 bytes) = %q, %v, %v", buffer[:n], from, err)
		}
		send(t, a, "next", b.LocalAddr())
		want(t, b, "next", a.LocalAddr())
	}},
	{"too long a datagram is refused", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		if n, err := a.WriteTo(make([]byte, p.Longest+1), b.LocalAddr()); n != 0 || !system.IsTooBig(err) {
			t.Errorf("WriteTo(%d bytes) = %d, %v, want EMSGSIZE", p.Longest+1, n, err)
		}
		send(t, a, "next", b.LocalAddr())
		want(t, b, "next", a.LocalAddr())
	}},
	{"an address that is none of UDP is refused", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		port := b.LocalAddr().(*net.UDPAddr).Port
		for _, to := range []net.Addr{nil, (*net.UDPAddr)(nil), &net.TCPAddr{IP: net.ParseIP(p.IPB), Port: port}, &net.UDPAddr{IP: net.ParseIP(p.IPB)}} {
			if n, err := a.WriteTo([]byte("x"), to); n != 0 || err == nil {
				t.Errorf("WriteTo(%T %v) = %d, %v", to, to, n, err)
			}
		}
		wantNothing(t, b)
	}},
	{"a read ends at its deadline", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		start := time.Now()
		b.SetReadDeadline(start.Add(moment))
		_, _, err := b.ReadFrom(make([]byte, 10))
		wantTimeout(t, "ReadFrom", err)
		if took := time.Since(start); took < moment || took > patience {
			t.Errorf("ReadFrom ended after %v, want %v", took, moment)
		}
		_, _, err = b.ReadFrom(make([]byte, 10))
		wantTimeout(t, "ReadFrom, again,", err)
	}},
	{"a deadline that passed loses nothing", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		send(t, a, "x", b.LocalAddr())
		b.SetReadDeadline(time.Unix(1, 0))
		_, _, err := b.ReadFrom(make([]byte, 10))
		wantTimeout(t, "ReadFrom", err)
		b.SetReadDeadline(time.Time{})
		want(t, b, "x", a.LocalAddr())
	}},
	{"a deadline reaches a read that waits", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(3 * moment)} {
			b.SetReadDeadline(time.Now().Add(patience))
			done := reading(b)
			time.Sleep(moment)
			b.SetReadDeadline(deadline)
			wantTimeout(t, "ReadFrom", <-done)
		}
	}},
	{"a deadline that is put off does not end a read", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		b.SetReadDeadline(time.Now().Add(2 * moment))
		done := reading(b)
		b.SetReadDeadline(time.Now().Add(patience))
		time.Sleep(3 * moment)
		send(t, a, "x", b.LocalAddr())
		if err := <-done; err != nil {
			t.Errorf("ReadFrom: %v", err)
		}
	}},
	{"a write after its deadline fails", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		a.SetWriteDeadline(time.Unix(1, 0))
		n, err := a.WriteTo([]byte("late"), b.LocalAddr())
		if wantTimeout(t, "WriteTo", err); n != 0 {
			t.Errorf("WriteTo = %d, want 0", n)
		}
		a.SetWriteDeadline(time.Now().Add(patience))
		send(t, a, "in time", b.LocalAddr())
		want(t, b, "in time", a.LocalAddr())
	}},
	{"one deadline is for reads and writes", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		a.SetDeadline(time.Unix(1, 0))
		_, err := a.WriteTo([]byte("x"), b.LocalAddr())
		wantTimeout(t, "WriteTo", err)
		_, _, err = a.ReadFrom(make([]byte, 10))
		wantTimeout(t, "ReadFrom", err)
		a.SetDeadline(time.Time{})
		send(t, a, "x", a.LocalAddr())
		want(t, a, "x", a.LocalAddr())
	}},
	{"a closed socket does nothing", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		a.SetDeadline(time.Unix(1, 0))
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		_, _, err := a.ReadFrom(make([]byte, 10))
		wantClosed(t, "ReadFrom", err)
		_, err = a.WriteTo([]byte("x"), b.LocalAddr())
		wantClosed(t, "WriteTo", err)
		wantClosed(t, "SetDeadline", a.SetDeadline(time.Now()))
		wantClosed(t, "SetReadDeadline", a.SetReadDeadline(time.Time{}))
		wantClosed(t, "SetWriteDeadline", a.SetWriteDeadline(time.Time{}))
		wantClosed(t, "Close", a.Close())
		if a.LocalAddr() == nil {
			t.Error("a closed socket has forgotten its address")
		}
	}},
	{"closing ends the reads that wait", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		first, second := reading(b), reading(b)
		time.Sleep(moment)
		b.Close()
		wantClosed(t, "ReadFrom", <-first)
		wantClosed(t, "ReadFrom", <-second)
	}},
	{"many read and write at once", func(t *testing.T, p Place) {
		const writers, readers, each = 4, 4, 40
		a, b := pair(t, p)
		var writing, reading sync.WaitGroup
		received := make(chan string, writers*each)
		b.SetReadDeadline(time.Now().Add(patience))
		for range readers {
			reading.Go(func() {
				buffer := make([]byte, 1000)
				for {
					n, from, err := b.ReadFrom(buffer)
					if err != nil {
						return
					}
					if from.String() != a.LocalAddr().String() {
						t.Errorf("ReadFrom() from %v, want %v", from, a.LocalAddr())
					}
					received <- string(buffer[:n])
				}
			})
		}
		var sent, got []string
		for i := range writers * each {
			sent = append(sent, strings.Repeat(fmt.Sprintf("%03d ", i), i/each+1))
		}
		for share := range slices.Chunk(sent, each) {
			writing.Go(func() {
				for _, payload := range share {
					if _, err := a.WriteTo([]byte(payload), b.LocalAddr()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		for range sent {
			select {
			case payload := <-received:
				got = append(got, payload)
			case <-time.After(patience):
				t.Fatalf("received %d of %d datagrams", len(got), len(sent))
			}
		}
		b.Close()
		reading.Wait()
		if slices.Sort(got); !slices.Equal(got, sent) {
			t.Errorf("received %q, want %q", got, sent)
		}
	}},
	{"a read that begins while datagrams arrive gets its own", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		b.SetReadDeadline(time.Now().Add(patience))
		for range 200 {
			first, second := reading(b), reading(b)
			send(t, a, "x", b.LocalAddr())
			send(t, a, "y", b.LocalAddr())
			for _, done := range []<-chan error{first, second} {
				if err := <-done; err != nil {
					t.Fatalf("ReadFrom: %v", err)
				}
			}
		}
	}},
	{"a port is bound once", func(t *testing.T, p Place) {
		a, _ := pair(t, p)
		wantInUse(t, p, a, a.LocalAddr().String())
		a.Close()
		if again := listen(t, p.A, a.LocalAddr().String()); again.LocalAddr().String() != a.LocalAddr().String() {
			t.Errorf("LocalAddr() = %v, want %v", again.LocalAddr(), a.LocalAddr())
		}
	}},
	{"all addresses are not bound beside one of them", func(t *testing.T, p Place) {
		a, _ := pair(t, p)
		wantInUse(t, p, a, fmt.Sprint(":", a.LocalAddr().(*net.UDPAddr).Port))
		every := listen(t, p.A, ":0")
		wantInUse(t, p, every, net.JoinHostPort(p.IPA, fmt.Sprint(every.LocalAddr().(*net.UDPAddr).Port)))
	}},
	{"an address of nobody here cannot be bound", func(t *testing.T, p Place) {
		for _, address := range []string{"192.0.2.1:0", "127.0.0.1:65536", "127.0.0.1", "localhost:-1"} {
			if c, err := p.A.ListenPacket(t.Context(), "udp", address); err == nil {
				t.Errorf("ListenPacket(%s) = %v", address, c.LocalAddr())
				c.Close()
			}
		}
		if c, err := p.A.ListenPacket(t.Context(), "carrier pigeon", ":0"); err == nil {
			t.Error("ListenPacket(carrier pigeon) succeeds")
			c.Close()
		}
	}},
	{"without a host a socket serves all addresses", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		every := listen(t, p.A, ":0")
		local := endpoint.Of(every.LocalAddr())
		if !local.Addr().IsUnspecified() {
			t.Errorf("LocalAddr() = %v", local)
		}
		own := &net.UDPAddr{IP: net.ParseIP(p.IPA), Port: int(local.Port())}
		send(t, b, "x", own)
		want(t, every, "x", b.LocalAddr())
		send(t, every, "y", b.LocalAddr())
		want(t, b, "y", own)
	}},
	{"errors are spelled as in package net", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		a.SetDeadline(time.Unix(1, 0))
		_, _, read := a.ReadFrom(nil)
		_, write := a.WriteTo(nil, b.LocalAddr())
		a.Close()
		for op, err := range map[string]error{"read": read, "write": write, "set": a.SetDeadline(time.Time{}), "close": a.Close()} {
			var e *net.OpError
			if !errors.As(err, &e) || e.Op != op || e.Net != "udp" {
				t.Errorf("%s: %#v", op, err)
			}
		}
		local, remote := a.LocalAddr(), b.LocalAddr()
		for _, test := range []struct {
			err  error
			want string
		}{
			{read, fmt.Sprintf("read udp %v: i/o timeout", local)},
			{write, fmt.Sprintf("write udp %v->%v: i/o timeout", local, remote)},
			{a.Close(), fmt.Sprintf("close udp %v: use of closed network connection", local)},
		} {
			if fmt.Sprint(test.err) != test.want {
				t.Errorf("an error says %q, want %q", test.err, test.want)
			}
		}
	}},
	{"connected: a socket has one other end", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		c := dial(t, p, b.LocalAddr())
		if c.RemoteAddr().String() != b.LocalAddr().String() || c.LocalAddr().(*net.UDPAddr).Port == 0 {
			t.Errorf("it goes from %v to %v, want to %v", c.LocalAddr(), c.RemoteAddr(), b.LocalAddr())
		}
		if n, err := c.Write([]byte("ping")); n != 4 || err != nil {
			t.Errorf("Write() = %d, %v", n, err)
		}
		want(t, b, "ping", c.LocalAddr())
		stranger := listen(t, p.B, net.JoinHostPort(p.IPB, "0"))
		send(t, stranger, "hear me", c.LocalAddr())
		send(t, b, "pong", c.LocalAddr())
		buffer := make([]byte, 100)
		c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != "pong" {
			t.Errorf("Read() = %q, %v, want what the other end sent", buffer[:n], err)
		}
	}},
	{"connected: WriteTo is refused", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		c, ok := dial(t, p, b.LocalAddr()).(net.PacketConn)
		if !ok {
			t.Fatal("a connected socket is no net.PacketConn")
		}
		if _, err := c.WriteTo([]byte("x"), b.LocalAddr()); !errors.Is(err, net.ErrWriteToConnected) {
			t.Errorf("WriteTo: %v, want net.ErrWriteToConnected", err)
		}
		if w, ok := a.(io.Writer); ok {
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("Write on a socket that is not connected succeeds")
			}
		}
	}},
	{"connected: deadlines and closing are as ever", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		c := dial(t, p, b.LocalAddr())
		c.SetDeadline(time.Unix(1, 0))
		_, err := c.Read(make([]byte, 1))
		wantTimeout(t, "Read", err)
		_, err = c.Write([]byte("x"))
		wantTimeout(t, "Write", err)
		c.Close()
		_, err = c.Read(make([]byte, 1))
		wantClosed(t, "Read", err)
		_, err = c.Write([]byte("x"))
		wantClosed(t, "Write", err)
	}},
	{"refusal: a connected socket is told", func(t *testing.T, p Place) {
		_, b := pair(t, p)
		c := dial(t, p, b.LocalAddr())
		b.Close()
		if _, err := c.Write([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Read: %v, want ECONNREFUSED", err)
		}
		c.SetReadDeadline(time.Now().Add(moment))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read, after the error was told: %v, want the error of a deadline", err)
		}
	}},
	{"refusal: any other socket is not", func(t *testing.T, p Place) {
		a, b := pair(t, p)
		b.Close()
		send(t, a, "anybody?", b.LocalAddr())
		wantNothing(t, a)
		send(t, a, "myself", a.LocalAddr())
		want(t, a, "myself", a.LocalAddr())
	}},
}

// reading begins to read, and tells the error once that ended.
func reading(c net.PacketConn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, _, err := c.ReadFrom(make([]byte, 100))
		done <- err
	}()
	return done
}

// wantInUse binds a socket to an address, which cannot be, as holder has it.
func wantInUse(t *testing.T, p Place, holder net.PacketConn, address string) {
	t.Helper()
	c, err := p.A.ListenPacket(t.Context(), "udp", address)
	if err == nil {
		t.Errorf("ListenPacket(%s) = %v, beside %v", address, c.LocalAddr(), holder.LocalAddr())
		c.Close()
		return
	}
	if err := system.ExplainBind(err, endpoint.Of(holder.LocalAddr()).Port()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("ListenPacket(%s): %v, want EADDRINUSE", address, err)
	}
}
