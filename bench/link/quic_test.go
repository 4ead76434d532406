package link_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/seed287501ae/sockets/simnet"
)

// quicStream moves content by one stream of quic-go, whose packets have 1,280
// bytes of UDP payload, or grow to nearly 1,452 by path MTU discovery.
func quicStream(discoverMTU bool) mover {
	return func(t *testing.T, from, to *simnet.Host, port uint16, content []byte) io.Reader {
		config := &quic.Config{DisablePathMTUDiscovery: !discoverMTU}
		listener, err := transport(t, to, port).Listen(selfSigned(t), config)
		if err != nil {
			t.Fatal(err)
		}
		dialler := transport(t, from, port)
		go func() {
			if err := send(t, dialler, to.AddrPort(port), config, content); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		}()
		connection, err := listener.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stream, err := connection.AcceptUniStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
}

func send(t *testing.T, from *quic.Transport, to netip.AddrPort, config *quic.Config, content []byte) error {
	trusting := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
	connection, err := from.Dial(t.Context(), net.UDPAddrFromAddrPort(to), trusting, config)
	if err != nil {
		return err
	}
	stream, err := connection.OpenUniStream()
	if err != nil {
		return err
	}
	if _, err := stream.Write(content); err != nil {
		return err
	}
	return stream.Close()
}

const protocol = "link"

func transport(t *testing.T, host *simnet.Host, port uint16) *quic.Transport {
	conn := kernelLike{listenPacket(t, host, port)}
	tr := &quic.Transport{Conn: conn}
	t.Cleanup(func() {
		tr.Close()
		conn.Close()
	})
	return tr
}

// A kernelLike is a simulated socket on which quic-go may set the "do not
// fragment" option, without which it does not discover the path MTU.
type kernelLike struct{ net.PacketConn }

func (k kernelLike) SyscallConn() (syscall.RawConn, error) { return k, nil }

// Control gives f a socket of the kernel's that is bound to loopback, and that
// nothing is sent from.
func (kernelLike) Control(f func(fd uintptr)) error {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

func (kernelLike) Read(func(fd uintptr) bool) error  { return syscall.ENOTSUP }
func (kernelLike) Write(func(fd uintptr) bool) error { return syscall.ENOTSUP }

func selfSigned(t *testing.T) *tls.Config {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: private}},
		NextProtos:   []string{protocol},
	}
}
