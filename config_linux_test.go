package sockets_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/netns"
)

// Multicast would leave the machine, so the test has a network namespace of its
// own, which has a loopback interface and nothing else.
func TestListenPacketJoinsTheGroup(t *testing.T) { netns.Run(t, multicastInside) }

func multicastInside(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}

	setFlags(t, lo.Name, unix.IFF_UP, unix.IFF_MULTICAST)
	if conn, err := sockets.System.ListenPacket(t.Context(), "udp", "239.1.2.3:0"); err == nil {
		t.Errorf("ListenPacket on a group, without an interface that carries multicast: joined, at %v", conn.LocalAddr())
		conn.Close()
	}
	setFlags(t, lo.Name, unix.IFF_UP|unix.IFF_MULTICAST, 0)

	from, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if err := ipv4.NewPacketConn(from).SetMulticastInterface(lo); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"239.1.2.3:0", "[::ffff:239.1.2.3]:0"} {
		receiveOnlyFromTheGroup(t, from, address)
	}

	// A loopback interface has no route for groups of IPv6, so the kernel is asked
	// whether it joined.
	conn, err := sockets.System.ListenPacket(t.Context(), "udp", "[ff02::123%lo]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if groups, err := os.ReadFile("/proc/self/net/igmp6"); err != nil || !bytes.Contains(groups, []byte("ff020000000000000000000000000123")) {
		t.Errorf("ListenPacket on a group of IPv6 joins, %v:\n%s", err, groups)
	}
}

// receiveOnlyFromTheGroup listens at address, which is 239.1.2.3, and receives
// what from sends there, but not what it sends to another group before.
func receiveOnlyFromTheGroup(t *testing.T, from net.PacketConn, address string) {
	t.Helper()
	conn, err := sockets.System.ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Errorf("ListenPacket(%s): %v", address, err)
		return
	}
	defer conn.Close()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	for _, group := range []net.IP{net.IPv4(239, 3, 2, 1), net.IPv4(239, 1, 2, 3)} {
		if _, err := from.WriteTo([]byte(group.String()), &net.UDPAddr{IP: group, Port: port}); err != nil {
			t.Errorf("send to %v: %v", group, err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buffer := make([]byte, 100)
	n, _, err := conn.ReadFrom(buffer)
	if err != nil || string(buffer[:n]) != "239.1.2.3" {
		t.Errorf("at %s arrives %q, %v, want what was sent to the group", address, buffer[:n], err)
	}
}

func setFlags(t *testing.T, name string, set, clear uint16) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	flags, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, flags); err != nil {
		t.Fatalf("flags of %s: %v", name, err)
	}
	flags.SetUint16(flags.Uint16()&^clear | set)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, flags); errors.Is(err, unix.EPERM) {
		t.Skipf("this system does not permit to set up %s in a network namespace of one's own", name)
	} else if err != nil {
		t.Fatalf("set up %s: %v", name, err)
	}
}
