package sockets_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math"
	"math/big"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
)

// tlsPair is TLS over an in-memory stream, of which only the client's handshake
// is left to the test: client's far end reads what server decrypts. The names
// are those in the server's certificate.
func tlsPair(t *testing.T, beneath net.Conn, far net.Conn, names ...string) (client, server *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return tls.Client(beneath, &tls.Config{InsecureSkipVerify: true}),
		tls.Server(far, &tls.Config{Certificates: []tls.Certificate{certificate}})
}

func TestSetCallbackLeavesAHandshakeAlone(t *testing.T) {
	for range 20 {
		here, there := pipe()
		client, server := tlsPair(t, here, there)
		echoed := make(chan error, 1)
		go func() {
			framer := sockets.NewFramer(server, 4)
			message, err := framer.ReadMessage()
			if err == nil {
				err = framer.WriteMessage(message)
			}
			echoed <- err
		}()
		c := sockets.NewConnection(client, func(sockets.Event, []byte, *sockets.Connection, error) {})
		if err := c.Send([]byte("at once")); err != nil {
			t.Fatalf("Send, which shakes hands, = %v", err)
		}
		if err := <-echoed; err != nil {
			t.Fatal(err)
		}
		c.CloseNow()
		<-c.Done()
		there.Close()
	}
}

// tls.Conn.Close waits up to 5 seconds for room for its goodbye.
func TestCloseNowOverTLSIsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := pipe()
		client, server := tlsPair(t, here, there)
		shaken := make(chan error, 1)
		go func() { shaken <- server.Handshake() }()
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
		c := sockets.NewConnection(client, nil)
		there.setCapacity(0)
		takes(t, "CloseNow", 0, func() { c.CloseNow() })
		there.Close()
	})
}

// A slowWriter takes 20 ms for a write, and fails when its deadline is over by
// then, as TLS does for good.
type slowWriter struct {
	*memConn
	deadline time.Time
	failed   error
}

func (s *slowWriter) SetWriteDeadline(deadline time.Time) error {
	s.deadline = deadline
	return nil
}

func (s *slowWriter) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += 16 << 10 {
		time.Sleep(20 * time.Millisecond)
		if s.failed == nil && time.Now().After(s.deadline) {
			s.failed = os.ErrDeadlineExceeded
		}
		if s.failed != nil {
			return n, s.failed
		}
		if _, err := s.memConn.Write(p[n:min(len(p), n+16<<10)]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func TestSendTimeoutEndsNoSlowAndSteadyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := pipe()
		go io.Copy(io.Discard, there)
		cfg := sockets.Config{SendTimeout: 300 * time.Millisecond}
		c := cfg.NewConnection(&slowWriter{memConn: here}, nil)
		if err := c.Send(make([]byte, 1<<20)); err != nil {
			t.Errorf("Send of 1 MiB in 1.3 s = %v", err)
		}
		c.CloseNow()
	})
}

func TestReadAppendOfTheLargestLength(t *testing.T) {
	stream := append(binary.BigEndian.AppendUint64(nil, math.MaxInt-8), "hello"...)
	f := sockets.NewFramer(duplex{bytes.NewReader(stream), nil}, 8)
	f.MaxMessage = -1
	if dst, err := f.ReadAppend([]byte("0123456789")); string(dst) != "0123456789" || err != io.ErrUnexpectedEOF {
		t.Errorf("ReadAppend = %q, %v, want what it was given and %v", dst, err, io.ErrUnexpectedEOF)
	}
}
