package secure_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

// authority is a certificate for localhost and server, and who vouches for it.
func authority(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost", "server"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter:     time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// echoTLS is a server that echoes messages, under ordinary TLS.
func echoTLS(t *testing.T, base sockets.Network, certificate tls.Certificate, address string) *sockets.Server {
	t.Helper()
	cfg := sockets.Config{Network: secure.TLS(base, &tls.Config{Certificates: []tls.Certificate{certificate}})}
	s, err := cfg.Listen(address, func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		if event == sockets.EventConnect {
			c.SetCallback(func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
				if event == sockets.EventMessage {
					c.Send(payload)
				}
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTLSOfOnesOwn(t *testing.T) {
	certificate, pool := authority(t)
	bubble(t, func(t *testing.T, host *simnet.Host) {
		s := echoTLS(t, host, certificate, ":8443")
		cfg := sockets.Config{Network: secure.TLS(host, &tls.Config{RootCAs: pool})}
		c, err := cfg.Dial(t.Context(), "127.0.0.1:8443", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Send([]byte("hello"))
		if got, err := c.Receive(t.Context()); string(got) != "hello" || err != nil {
			t.Errorf("Receive = %q, %v", got, err)
		}
		if peer, ok := secure.PeerOf(c); ok {
			t.Errorf("PeerOf = %v, true", peer)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if _, err := cfg.Dial(t.Context(), "host:8443", nil); err == nil || !strings.Contains(err.Error(), "not host") {
			t.Errorf("Dial of a name that the certificate does not have = %v", err)
		}
		cfg.Network = secure.TLS(host, nil)
		if _, err := cfg.Dial(t.Context(), "127.0.0.1:8443", nil); !errors.As(err, new(x509.UnknownAuthorityError)) {
			t.Errorf("Dial without the authority = %v", err)
		}
		s.Close()
		<-s.Done()
	})
}

func TestTLSHasNoDatagrams(t *testing.T) {
	network := secure.TLS(nil, &tls.Config{})
	if _, err := network.ListenPacket(t.Context(), "udp", "127.0.0.1:0"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ListenPacket = %v, want %v", err, errors.ErrUnsupported)
	}
	if _, err := network.DialContext(t.Context(), "udp", "127.0.0.1:9"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("DialContext = %v, want %v", err, errors.ErrUnsupported)
	}
	if _, err := network.Listen(t.Context(), "tcp", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "needs a certificate") {
		t.Errorf("Listen without a certificate = %v", err)
	}
}

func TestTLSWithOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to talk to")
	}
	certificate, pool := authority(t)

	t.Run("client", func(t *testing.T) {
		s := echoTLS(t, nil, certificate, "127.0.0.1:0")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, openssl, "s_client", "-quiet", "-tls1_3", "-connect", s.LocalAddress().String())
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(in, "\x00\x00\x00\x05hello")
		got := make([]byte, 9)
		if _, err := io.ReadFull(out, got); err != nil || string(got) != "\x00\x00\x00\x05hello" {
			t.Errorf("openssl was told %q, %v", got, err)
		}
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		in.Close()
		cmd.Wait()
	})

	t.Run("server", func(t *testing.T) {
		folder := t.TempDir()
		key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "server.pem")
		text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", path, "-key", path, "-rev", "-naccept", "1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cancel()
		lines := bufio.NewScanner(out)
		address := ""
		for address == "" && lines.Scan() {
			address, _ = strings.CutPrefix(lines.Text(), "ACCEPT ")
			if !strings.HasPrefix(lines.Text(), "ACCEPT ") {
				address = ""
			}
		}
		if address == "" {
			t.Fatal("openssl does not say where it listens")
		}
		go io.Copy(io.Discard, out)
		conn, err := secure.TLS(nil, &tls.Config{RootCAs: pool}).DialContext(ctx, "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "hello\n")
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != "olleh\n" || err != nil {
			t.Errorf("openssl echoes %q, %v", got, err)
		}
	})
}
