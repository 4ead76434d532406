package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

// A script is what a program does with streams. It says what it sees.
type script struct {
	*testing.T
	network sockets.Network
	names   map[string]string // of addresses
	lines   []string
}

var endpoint = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// log says what a call returned. Addresses become their names.
func (s *script) log(call string, results ...any) {
	for i, r := range results {
		if timeout, ok := r.(net.Error); ok && timeout.Timeout() {
			temporary, _ := r.(interface{ Temporary() bool })
			results[i] = fmt.Sprintf("%v (temporary: %v)", r, temporary.Temporary())
		}
	}
	line := endpoint.ReplaceAllStringFunc(fmt.Sprint(results...), func(address string) string { return s.names[address] })
	s.lines = append(s.lines, call+": "+line)
}

type listener interface {
	net.Listener
	SetDeadline(t time.Time) error
}

func (s *script) listener(address string) listener {
	l, err := s.network.Listen(s.Context(), "tcp", address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { l.Close() })
	s.names[l.Addr().String()] = "LISTENER"
	return l.(listener)
}

func (s *script) dial(address string) stream {
	c, err := s.network.DialContext(s.Context(), "tcp", address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	s.names[c.LocalAddr().String()] = "DIALLED"
	return c.(stream)
}

func (s *script) read(name string, c net.Conn) {
	buffer := make([]byte, 100)
	n, err := c.Read(buffer)
	s.log(name+" reads", fmt.Sprintf("%q ", buffer[:n]), err)
}

func (s *script) write(name string, c net.Conn, text string) {
	n, err := io.WriteString(c, text)
	s.log(name+" writes", n, " ", err)
}

// writeUntilRefused writes until the kernel knows that it is in vain.
func (s *script) writeUntilRefused(name string, c net.Conn) {
	for range 1_000_000 {
		if n, err := io.WriteString(c, "x"); err != nil {
			s.log(name+" writes", n, " ", err)
			return
		}
	}
	s.Fatal("it never is")
}

// connect returns both ends of a new stream.
func (s *script) connect() (l listener, dialled, accepted stream) {
	l = s.listener("127.0.0.1:0")
	dialled = s.dial(l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return l, dialled, c.(stream)
}

var scripts = map[string]func(s *script){
	"nobody listens": func(s *script) {
		l := s.listener("127.0.0.1:0")
		l.Close()
		_, err := s.network.DialContext(s.Context(), "tcp", l.Addr().String())
		s.log("dial", err)
		s.log("refused", errors.Is(err, syscall.ECONNREFUSED))
	},
	"addresses": func(s *script) {
		l, dialled, accepted := s.connect()
		s.log("listener", l.Addr().Network(), l.Addr())
		s.log("dialled", dialled.LocalAddr().Network(), dialled.LocalAddr(), dialled.RemoteAddr())
		s.log("accepted", accepted.LocalAddr(), accepted.RemoteAddr())
		for _, address := range []net.Addr{l.Addr(), dialled.LocalAddr(), dialled.RemoteAddr(), accepted.RemoteAddr()} {
			s.log("type", fmt.Sprintf("%T", address), address.(*net.TCPAddr).Port != 0)
		}
	},
	"address in use": func(s *script) {
		l := s.listener("127.0.0.1:0")
		_, err := s.network.Listen(s.Context(), "tcp", l.Addr().String())
		s.log("listen", err)
		_, err = s.network.Listen(s.Context(), "tcp4", fmt.Sprintf("0.0.0.0:%d", l.Addr().(*net.TCPAddr).Port))
		s.log("in use", errors.Is(err, syscall.EADDRINUSE))
		s.log("other address", s.listener(fmt.Sprintf("127.0.0.2:%d", l.Addr().(*net.TCPAddr).Port)) != nil)
		s.log("close", l.Close())
		s.log("again", s.listener(l.Addr().String()) != nil)
	},
	"listen again while a connection lives": func(s *script) {
		l, dialled, accepted := s.connect()
		l.Close()
		s.listener(l.Addr().String())
		s.write("dialled", dialled, "hello")
		s.read("accepted", accepted)
	},
	"bad arguments": func(s *script) {
		for _, address := range []string{"127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "192.0.2.1:0"} {
			_, err := s.network.Listen(s.Context(), "tcp4", address)
			s.log("listen "+address, err)
		}
		for _, address := range []string{"127.0.0.1", "127.0.0.1:65536", "127.0.0.1:0"} {
			_, err := s.network.DialContext(s.Context(), "tcp4", address)
			s.log("dial "+address, err)
		}
		_, err := s.network.Listen(s.Context(), "tcp5", "127.0.0.1:0")
		s.log("listen", err)
		_, err = s.network.DialContext(s.Context(), "tcp5", "127.0.0.1:1")
		s.log("dial", err)
	},
	"half-close": func(s *script) {
		_, dialled, accepted := s.connect()
		s.write("dialled", dialled, "hello")
		s.log("close write", dialled.CloseWrite(), dialled.CloseWrite())
		s.write("dialled", dialled, "more")
		s.read("accepted", accepted)
		s.read("accepted", accepted)
		s.write("accepted", accepted, "bye")
		s.log("close", accepted.Close())
		s.read("dialled", dialled)
		s.read("dialled", dialled)
		s.read("dialled", dialled)
	},
	"close read": func(s *script) {
		_, dialled, accepted := s.connect()
		s.log("close read", dialled.CloseRead())
		s.read("dialled", dialled)
		s.write("accepted", accepted, "hello")
		s.write("dialled", dialled, "hello")
		s.read("accepted", accepted)
	},
	"close with unread input": func(s *script) {
		_, dialled, accepted := s.connect()
		s.write("accepted", accepted, "hello")
		s.write("dialled", dialled, "hello")
		io.ReadFull(accepted, make([]byte, 1))
		s.log("close", accepted.Close())
		s.read("dialled", dialled)
		s.read("dialled", dialled)
		s.read("dialled", dialled)
		s.write("dialled", dialled, "hello")
		s.log("close write", dialled.CloseWrite())
		s.log("close", dialled.Close())
	},
	"a reset, seen by a write": func(s *script) {
		_, dialled, accepted := s.connect()
		s.write("dialled", dialled, "hello")
		io.ReadFull(accepted, make([]byte, 1))
		s.log("close", accepted.Close())
		s.writeUntilRefused("dialled", dialled)
		s.write("dialled", dialled, "hello")
		s.read("dialled", dialled)
	},
	"data at a closed end": func(s *script) {
		_, dialled, accepted := s.connect()
		s.log("close", accepted.Close())
		s.read("dialled", dialled)
		s.writeUntilRefused("dialled", dialled)
		s.write("dialled", dialled, "hello")
		s.read("dialled", dialled)
	},
	"linger": func(s *script) {
		_, dialled, accepted := s.connect()
		s.log("linger", accepted.SetLinger(0))
		s.log("close", accepted.Close())
		s.read("dialled", dialled)
		s.read("dialled", dialled)
	},
	"after close": func(s *script) {
		_, dialled, _ := s.connect()
		s.log("close", dialled.Close())
		s.log("close", dialled.Close())
		s.log("close write", dialled.CloseWrite())
		s.log("close read", dialled.CloseRead())
		s.log("linger", dialled.SetLinger(0))
		s.log("deadline", dialled.SetDeadline(time.Time{}))
		s.read("dialled", dialled)
		s.write("dialled", dialled, "hello")
	},
	"close wakes": func(s *script) {
		l, dialled, _ := s.connect()
		done := make(chan error)
		go func() {
			_, err := dialled.Read(make([]byte, 1))
			done <- err
		}()
		dialled.Close()
		s.log("read", <-done)
		go func() {
			_, err := l.Accept()
			done <- err
		}()
		l.Close()
		s.log("accept", <-done)
		s.log("close", l.Close())
		s.log("deadline", l.SetDeadline(time.Time{}))
	},
	"deadlines": func(s *script) {
		l, dialled, accepted := s.connect()
		past := time.Unix(1, 0)
		s.log("deadline", dialled.SetDeadline(past), accepted.SetReadDeadline(time.Now().Add(time.Millisecond)), l.SetDeadline(past))
		s.read("dialled", dialled)
		s.write("dialled", dialled, "hello")
		s.read("accepted", accepted)
		_, err := l.Accept()
		s.log("accept", err)
		s.log("no deadline", dialled.SetDeadline(time.Time{}), accepted.SetReadDeadline(time.Time{}), l.SetDeadline(time.Time{}))
		s.write("dialled", dialled, "hello")
		s.read("accepted", accepted)
		s.dial(l.Addr().String())
		_, err = l.Accept()
		s.log("accept", err)
	},
	"not accepted": func(s *script) {
		l := s.listener("127.0.0.1:0")
		dialled := s.dial(l.Addr().String())
		s.write("dialled", dialled, "hello")
		s.log("close", l.Close())
		s.read("dialled", dialled)
	},
	"accepted after its end": func(s *script) {
		l := s.listener("127.0.0.1:0")
		for i := range 3 {
			dialled := s.dial(l.Addr().String())
			s.write("dialled", dialled, fmt.Sprint(i))
			dialled.Close()
		}
		for range 3 {
			c, err := l.Accept()
			if err != nil {
				s.Fatal(err)
			}
			s.read("accepted", c)
			s.read("accepted", c)
			c.Close()
		}
	},
	"nothing to read or write": func(s *script) {
		_, dialled, accepted := s.connect()
		n, err := dialled.Read(nil)
		s.log("dialled reads", n, err)
		s.write("dialled", dialled, "")
		accepted.Close()
		s.read("dialled", dialled)
		s.write("dialled", dialled, "")
		dialled.CloseWrite()
		s.write("dialled", dialled, "")
	},
	"a context that has ended": func(s *script) {
		l := s.listener("127.0.0.1:0")
		ended, cancel := context.WithCancel(s.Context())
		cancel()
		late, cancel := context.WithTimeout(s.Context(), -1)
		defer cancel()
		_, err := s.network.DialContext(ended, "tcp", l.Addr().String())
		s.log("cancelled", errors.Is(err, context.Canceled))
		_, err = s.network.DialContext(late, "tcp", l.Addr().String())
		s.log("late", errors.Is(err, context.DeadlineExceeded))
	},
}

// TestStreamsDoAsTheKernelDoes runs each script on a simulated network and on
// that of the machine, and compares what it saw, word by word.
func TestStreamsDoAsTheKernelDoes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("simnet does as Linux")
	}
	for name, run := range scripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulated := &script{T: t, network: simnet.New(1).Host(), names: make(map[string]string)}
			run(simulated)
			real := &script{T: t, network: sockets.System, names: make(map[string]string)}
			run(real)
			if diff := cmp.Diff(real.lines, simulated.lines); diff != "" {
				t.Errorf("-real +simulated:\n%s", diff)
			}
		})
	}
}
