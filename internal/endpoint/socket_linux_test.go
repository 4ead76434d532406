package endpoint_test

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/netns"
)

// The kernel makes no runs without checksums.
func TestSendRunWhereTheKernelRefusesRuns(t *testing.T) {
	conn, other := place4.bind(t), place4.bind(t)
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_NO_CHECK)
	s := endpoint.NewSocket(conn)
	here := endpoint.Of(s.LocalAddr())
	for name, sizes := range runs {
		t.Run(name, func(t *testing.T) {
			sendRun(t, s, endpoint.Of(other.LocalAddr()), numbered(sizes...))
			wantRead(t, other, here, numbered(sizes...)...)
		})
	}
}

func setOption(t *testing.T, conn *net.UDPConn, level, option int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var refused error
	if err := raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil || refused != nil {
		t.Fatal(err, refused)
	}
}

// What a socket tells beside its datagrams is not taken for anything else.
func TestReceiveOnASocketThatTellsMore(t *testing.T) {
	conn, sender := place4.bind(t), place4.bind(t)
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS)
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_RXQ_OVFL)
	setOption(t, conn, unix.IPPROTO_IP, unix.IP_PKTINFO)
	setOption(t, conn, unix.IPPROTO_IP, unix.IP_RECVTOS)
	setOption(t, conn, unix.IPPROTO_IP, unix.IP_RECVTTL)
	s, from := endpoint.NewSocket(conn), endpoint.NewSocket(sender)
	for _, sizes := range runs {
		sendRun(t, from, endpoint.Of(s.LocalAddr()), numbered(sizes...))
		wantReceived(t, s, endpoint.Of(from.LocalAddr()), numbered(sizes...)...)
	}
}

// Datagrams that are longer than the path takes in one piece arrive all the same,
// and so does a sender whose address has a zone.
func TestSendRunOverAShortPath(t *testing.T) {
	netns.Run(t, func(t *testing.T) {
		const link = "fe80::1"
		for _, command := range [][]string{
			{"link", "set", "lo", "mtu", "1500", "up"},
			{"address", "add", link + "/64", "dev", "lo", "nodad"},
		} {
			if out, err := exec.Command("ip", command...).CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
				t.Skip(err)
			} else if err != nil {
				t.Fatalf("ip %q: %v\n%s", command, err, out)
			}
		}
		for name, p := range map[string]place{
			"IPv4":       place4,
			"IPv6":       place6,
			"link-local": {"udp6", "[" + link + "%lo]:0", link + "%lo"},
		} {
			s, here := p.socket(t)
			other, there := p.socket(t)
			awaitRoute(t, other, there)
			for run, sizes := range runs {
				for _, more := range []int{0, 1400, 2000} {
					sizes := slices.Clone(sizes)
					for i := range sizes {
						sizes[i] = min(sizes[i]+more, 65507)
					}
					payloads := numbered(sizes...)
					for len(payloads) > 0 {
						n := min(len(payloads), 30)
						if sent, err := s.SendRun(payloads[:n], there); sent != n || err != nil {
							t.Fatalf("%s, %s and %d more: SendRun = %d, %v, want %d", name, run, more, sent, err, n)
						}
						wantReceived(t, other, here, payloads[:n]...)
						payloads = payloads[n:]
					}
				}
			}
			for _, sender := range []place{p, placeBoth} {
				s, here := sender.socket(t)
				here = netip.AddrPortFrom(there.Addr(), here.Port())
				payloads := numbered(5, 5)
				if sent, err := s.SendAll(payloads[0], []netip.AddrPort{there, there}); sent != 2 || err != nil {
					t.Errorf("%s: SendAll = %d, %v", name, sent, err)
				}
				if sent, err := s.SendRun(payloads, there); sent != 2 || err != nil {
					t.Errorf("%s: SendRun = %d, %v", name, sent, err)
				}
				wantReceived(t, other, here, payloads[0], payloads[0], payloads[0], payloads[1])
			}
		}
	})
}

// awaitRoute waits until the kernel has made ready for a new address.
func awaitRoute(t *testing.T, s *endpoint.Socket, here netip.AddrPort) {
	t.Helper()
	for start := time.Now(); time.Since(start) < patience; {
		if err := s.Send(nil, here); err != nil {
			t.Fatal(err)
		}
		s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, _, err := s.Receive(); err == nil {
			return
		}
	}
	t.Fatalf("nothing sent to %v arrives", here)
}
