package system_test

import (
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
	"syscall"
	"testing"

	"github.com/seed287501ae/sockets/internal/system"
)

// dressed is err in every dress in which package net returns it.
func dressed(err error) []error {
	call := os.NewSyscallError("call", err)
	op := &net.OpError{Op: "op", Net: "udp", Err: call}
	return []error{err, call, op, fmt.Errorf("around: %w", op), errors.Join(io.EOF, op)}
}

// Windows has numbers of its own.
const (
	wsaEMFILE       = syscall.Errno(10024)
	wsaEACCES       = syscall.Errno(10013)
	wsaEMSGSIZE     = syscall.Errno(10040)
	wsaENOPROTOOPT  = syscall.Errno(10042)
	wsaEADDRINUSE   = syscall.Errno(10048)
	wsaENETDOWN     = syscall.Errno(10050)
	wsaENETUNREACH  = syscall.Errno(10051)
	wsaECONNABORTED = syscall.Errno(10053)
	wsaECONNRESET   = syscall.Errno(10054)
	wsaENOBUFS      = syscall.Errno(10055)
	wsaECONNREFUSED = syscall.Errno(10061)
	wsaEHOSTDOWN    = syscall.Errno(10064)
	wsaEHOSTUNREACH = syscall.Errno(10065)
)

const onWindows = runtime.GOOS == "windows"

func TestIsTooBig(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EMSGSIZE:       true,
		wsaEMSGSIZE:            onWindows,
		syscall.ENOBUFS:        false,
		syscall.ECONNREFUSED:   false,
		syscall.EINVAL:         false,
		net.ErrClosed:          false,
		os.ErrDeadlineExceeded: false,
	} {
		for _, err := range dressed(err) {
			if got := system.IsTooBig(err); got != want {
				t.Errorf("IsTooBig(%v) = %v, want %v", err, got, want)
			}
		}
	}
	if system.IsTooBig(nil) {
		t.Error("IsTooBig(nil) = true")
	}
}

// A shortage is an error that says itself whether it is temporary.
type shortage bool

func (shortage) Error() string     { return "shortage" }
func (s shortage) Temporary() bool { return bool(s) }

func TestIsTemporary(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ECONNABORTED: true,
		syscall.ECONNRESET:   true,
		syscall.EMFILE:       true,
		syscall.ENOBUFS:      true,
		syscall.ENOMEM:       true,
		syscall.EPROTO:       true,
		syscall.ENETDOWN:     true,
		syscall.ENETUNREACH:  true,
		syscall.EHOSTDOWN:    true,
		syscall.EHOSTUNREACH: true,
		syscall.ENOPROTOOPT:  true,
		wsaECONNABORTED:      onWindows,
		wsaECONNRESET:        onWindows,
		wsaEMFILE:            onWindows,
		wsaENOBUFS:           onWindows,
		wsaENETDOWN:          onWindows,
		wsaENETUNREACH:       onWindows,
		wsaEHOSTDOWN:         onWindows,
		wsaEHOSTUNREACH:      onWindows,
		wsaENOPROTOOPT:       onWindows,
		shortage(true):       true,
		shortage(false):      false,
		syscall.EINVAL:       false,
		syscall.EBADF:        false,
		net.ErrClosed:        false,
		io.EOF:               false,
		context.Canceled:     false,
	} {
		for _, err := range dressed(err) {
			if got := system.IsTemporary(err); got != want {
				t.Errorf("IsTemporary(%v) = %v, want %v", err, got, want)
			}
		}
	}
	if system.IsTemporary(nil) {
		t.Error("IsTemporary(nil) = true")
	}
}

func TestExplainBind(t *testing.T) {
	const (
		taken  = "sockets: another program uses this port: choose another one, or 0 for any: "
		rights = "sockets: ports below 1024 may need the rights of an administrator: "
	)
	for _, test := range []struct {
		err  syscall.Errno
		port uint16
		also syscall.Errno
		want string // at the beginning; nothing is explained if it is empty
	}{
		{syscall.EADDRINUSE, 0, syscall.EADDRINUSE, taken},
		{syscall.EADDRINUSE, 80, syscall.EADDRINUSE, taken},
		{syscall.EADDRINUSE, 65535, syscall.EADDRINUSE, taken},
		{syscall.EACCES, 1, syscall.EACCES, rights},
		{syscall.EACCES, 80, syscall.EACCES, rights},
		{syscall.EACCES, 1023, syscall.EACCES, rights},
		{syscall.EACCES, 1024, syscall.EACCES, ""},
		{syscall.EACCES, 8080, syscall.EACCES, ""},
		{syscall.EACCES, 0, syscall.EACCES, ""},
		{syscall.EADDRNOTAVAIL, 80, syscall.EADDRNOTAVAIL, ""},
		{syscall.EPERM, 80, syscall.EPERM, ""},
		{wsaEADDRINUSE, 8080, syscall.EADDRINUSE, onWindowsOnly(taken)},
		{wsaEACCES, 80, syscall.EACCES, onWindowsOnly(rights)},
	} {
		for _, err := range dressed(test.err) {
			got := system.ExplainBind(err, test.port)
			if test.want == "" {
				if fmt.Sprint(got) != err.Error() || !errors.Is(got, test.err) {
					t.Errorf("ExplainBind(%v, %d) = %v, want it as it was", err, test.port, got)
				}
				continue
			}
			if want := test.want + err.Error(); got.Error() != want {
				t.Errorf("ExplainBind(%v, %d) = %v, want %s", err, test.port, got, want)
			}
			if !errors.Is(got, test.err) || !errors.Is(got, test.also) || !errors.Is(got, err) {
				t.Errorf("ExplainBind(%v, %d) = %v, which is not also %v", err, test.port, got, error(test.also))
			}
		}
	}
}

func onWindowsOnly(text string) string {
	if onWindows {
		return text
	}
	return ""
}

func TestExplainDial(t *testing.T) {
	const (
		refused = "the machine answers, but no program accepts connections there: "
		unknown = "there is no host of this name: "
		silent  = "no answer in time: the machine is off, or not reachable: "
	)
	noHost := &net.DNSError{Err: "no such host", Name: "nobody", IsNotFound: true}
	slowDNS := &net.DNSError{Err: "i/o timeout", Name: "nobody", IsTimeout: true}
	for _, test := range []struct {
		err, also error
		want      string
	}{
		{syscall.ECONNREFUSED, syscall.ECONNREFUSED, refused},
		{wsaECONNREFUSED, wsaECONNREFUSED, onWindowsOnly(refused)},
		{noHost, noHost, unknown},
		{slowDNS, os.ErrDeadlineExceeded, silent},
		{syscall.ETIMEDOUT, os.ErrDeadlineExceeded, silent},
		{context.DeadlineExceeded, os.ErrDeadlineExceeded, silent},
		{os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, silent},
		{context.Canceled, context.Canceled, ""},
		{syscall.ENETUNREACH, syscall.ENETUNREACH, ""},
		{syscall.EACCES, syscall.EACCES, ""},
		{&net.DNSError{Err: "server misbehaving", Name: "nobody"}, nil, ""},
	} {
		for _, err := range dressed(test.err) {
			got := system.ExplainDial(err, "nobody:8080")
			if want := "sockets: dial nobody:8080: " + test.want + err.Error(); got.Error() != want {
				t.Errorf("ExplainDial(%v) = %v, want %s", err, got, want)
			}
			if !errors.Is(got, err) || test.also != nil && !errors.Is(got, test.also) {
				t.Errorf("ExplainDial(%v) = %v, which is not also %v", err, got, test.also)
			}
			for _, other := range []error{syscall.ECONNREFUSED, os.ErrDeadlineExceeded} {
				if other != test.also && other != test.err && errors.Is(got, other) {
					t.Errorf("ExplainDial(%v) = %v, which must not be %v", err, got, other)
				}
			}
		}
	}
}

func TestLocalIPs(t *testing.T) {
	ips, err := system.LocalIPs()
	if err != nil || !slices.Contains(ips, netip.MustParseAddr("127.0.0.1")) {
		t.Fatalf("LocalIPs() = %v, %v, want 127.0.0.1 among them", ips, err)
	}
	if !slices.IsSortedFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() }) {
		t.Errorf("LocalIPs() = %v, want IPv4 first", ips)
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range interfaces {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			t.Fatal(err)
		}
		if ip := prefix.Addr().Unmap(); !slices.ContainsFunc(ips, func(other netip.Addr) bool { return other.WithZone("") == ip }) {
			t.Errorf("LocalIPs() = %v, want %v of package net among them", ips, ip)
		}
	}
}

func TestNetworkIsThatOfTheKernel(t *testing.T) {
	var network system.Network
	listener, err := network.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	here, err := network.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	there, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if here.LocalAddr().String() != there.RemoteAddr().String() {
		t.Errorf("connected from %v, accepted from %v", here.LocalAddr(), there.RemoteAddr())
	}
	if _, ok := here.(*net.TCPConn); !ok {
		t.Errorf("DialContext returns a %T, want the kernel's", here)
	}
	packets, err := network.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	if _, ok := packets.(*net.UDPConn); !ok {
		t.Errorf("ListenPacket returns a %T, want the kernel's", packets)
	}
}

func TestNetworkHonoursTheContext(t *testing.T) {
	var network system.Network
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := network.DialContext(ctx, "tcp", "127.0.0.1:9"); !errors.Is(err, context.Canceled) && !strings.Contains(fmt.Sprint(err), "canceled") {
		t.Errorf("DialContext with a context that has ended = %v, %v", conn, err)
	}
}

func TestListenPacketReturnsTheErrorOfBinding(t *testing.T) {
	var network system.Network
	first, err := network.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if second, err := network.ListenPacket(t.Context(), "udp", first.LocalAddr().String()); second != nil || !errors.Is(system.ExplainBind(err, 8080), syscall.EADDRINUSE) {
		t.Errorf("ListenPacket where another listens = %v, %v, want %v", second, err, error(syscall.EADDRINUSE))
	}
}
