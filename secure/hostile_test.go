package secure_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

// forge is a certificate that a key signs itself, with a name of its own.
func forge(t testing.TB, key any, name string) tls.Certificate {
	t.Helper()
	var public any
	switch k := key.(type) {
	case *rsa.PrivateKey:
		public = &k.PublicKey
	case *ecdsa.PrivateKey:
		public = &k.PublicKey
	case ed25519.PrivateKey:
		public = k.Public()
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// foreign are certificates that this package does not send, by what is said of
// them.
func foreign(t testing.TB) map[string]tls.Certificate {
	t.Helper()
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	own := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	two := forge(t, own, "alice")
	two.Certificate = append(two.Certificate, two.Certificate[0])
	return map[string]tls.Certificate{
		"key is one of ECDSA":                 forge(t, elliptic, "alice"),
		"key is one of RSA":                   forge(t, old, "alice"),
		"sent 2 certificates":                 two,
		"bytes, and 1024 is the limit":        forge(t, own, strings.Repeat("alice", 400)),
		"sent more than a handshake has":      forge(t, own, strings.Repeat("alice", 20_000)),
		"failed to parse":                     {Certificate: [][]byte{[]byte("garbage")}, PrivateKey: own},
		"bytes exceeds maximum of 262144":     forge(t, own, strings.Repeat("alice", 80_000)),
		"invalid signature by the client":     {Certificate: forge(t, own, "alice").Certificate, PrivateKey: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))},
		"client didn't provide a certificate": {},
	}
}

// Each row is a client, and what the server says of it.
func TestServerIsNotImpressed(t *testing.T) {
	type row struct {
		problem string
		client  func(t *testing.T, conn net.Conn)
	}
	says := func(text string) func(*testing.T, net.Conn) {
		return func(_ *testing.T, conn net.Conn) { io.WriteString(conn, text) }
	}
	rows := []row{
		{`first bytes are "GET /": is it a program`, says("GET / HTTP/1.1\r\n\r\n")},
		{`first bytes are "SSH-2": is it a program`, says("SSH-2.0-OpenSSH_9.9\r\n")},
		{`first bytes are "\x00\x00\x00\x05h"`, says("\x00\x00\x00\x05hello")},
		{"hung up during the handshake", says("")},
		{"hung up during the handshake", says("\x16\x03\x01\x02\x00\x01")},
		{"oversized record", says("\x16\x03\x01\xff\xff\x01")},
		{"sent more than a handshake has", func(_ *testing.T, conn net.Conn) { flood(conn) }},
		{"unsupported versions", shakeAs(func(cfg *tls.Config) { cfg.MinVersion, cfg.MaxVersion = 0, tls.VersionTLS12 })},
		{"unsupported application protocols", shakeAs(func(cfg *tls.Config) { cfg.NextProtos = []string{"h2"} })},
		{"but not that of this package", shakeAs(func(cfg *tls.Config) { cfg.NextProtos = nil })},
	}
	for problem, certificate := range foreign(t) {
		rows = append(rows, row{problem, shakeAs(func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{certificate} })})
	}
	for _, test := range rows {
		t.Run(test.problem, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				address := serveOne(t, secure.Over(host, bob, know(t, peerOf(alice))), func(conn net.Conn) {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					err := conn.(handshaker).HandshakeContext(ctx)
					if err == nil || !strings.Contains(err.Error(), test.problem) {
						t.Errorf("HandshakeContext = %v, want an error that says %s", err, test.problem)
					}
					if _, err := conn.(unwrapper).NetConn().Write(nil); !errors.Is(err, net.ErrClosed) {
						t.Errorf("Write to what is beneath = %v, want %v", err, net.ErrClosed)
					}
					if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
						t.Errorf("Read = %d, %v", n, err)
					}
				})
				conn, err := host.DialContext(t.Context(), "tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				test.client(t, conn)
				conn.(halfCloser).CloseWrite()
				io.Copy(io.Discard, conn)
			})
		})
	}
}

// shakeAs is a client of a TLS of its own: alice's, but for what change does.
func shakeAs(change func(*tls.Config)) func(*testing.T, net.Conn) {
	return func(t *testing.T, conn net.Conn) {
		cfg := secure.TLSConfig(alice)
		change(cfg)
		client := tls.Client(conn, cfg)
		if client.Handshake() == nil {
			client.Write([]byte{0})
			if n, err := client.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("welcome: %d, %v", n, err)
			}
		}
	}
}

// Of a certificate only the key counts: this one of alice's has expired, bears
// another name, and is signed by mallory.
func TestNamesDatesAndAuthoritiesPlayNoPart(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		address := serveOne(t, secure.Over(host, bob, know(t, peerOf(alice))), func(conn net.Conn) {
			if err := conn.(handshaker).HandshakeContext(t.Context()); err != nil {
				t.Errorf("HandshakeContext = %v", err)
			}
			if peer, ok := secure.PeerOf(conn); !ok || peer != peerOf(alice) {
				t.Errorf("PeerOf = %v, %v, want %v", peer, ok, alice)
			}
		})
		conn, err := host.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		key, authority := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mallory"}, NotAfter: time.Unix(1, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), authority)
		if err != nil {
			t.Fatal(err)
		}
		cfg := secure.TLSConfig(alice)
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
		client := tls.Client(conn, cfg)
		client.Write([]byte{0})
		if got, err := io.ReadAll(client); string(got) != "\x00" || err != nil {
			t.Errorf("ReadAll = %q, %v, want a welcome", got, err)
		}
	})
}

// A counter is a cache that counts the sessions it could resume.
type counter int

func (c *counter) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (c *counter) Put(_ string, session *tls.ClientSessionState) {
	if session != nil {
		*c++
	}
}

// A client that would like to resume its session gets no ticket for that.
func TestNoSessionIsResumed(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		address := serveOne(t, secure.Over(host, bob, know(t, peerOf(alice))), func(conn net.Conn) { io.WriteString(conn, "hello") })
		conn, err := host.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var tickets counter
		cfg := secure.TLSConfig(alice)
		cfg.SessionTicketsDisabled, cfg.ClientSessionCache, cfg.ServerName = false, &tickets, "bob"
		client := tls.Client(conn, cfg)
		client.Write([]byte{0})
		if got, err := io.ReadAll(client); string(got) != "\x00hello" || err != nil {
			t.Errorf("ReadAll = %q, %v", got, err)
		}
		if tickets > 0 {
			t.Errorf("the server gave %d tickets", tickets)
		}
	})
}

// flood sends a handshake message without an end, in small records.
func flood(conn net.Conn) {
	record := append([]byte{0x16, 0x03, 0x01, 0x04, 0x00}, make([]byte, 1024)...)
	record[5], record[7] = 1, 0xff
	for range 63 {
		if _, err := conn.Write(record); err != nil {
			return
		}
		clear(record[5:])
	}
}

// A client meets servers that are none of ours, or pose as one.
func TestClientIsNotImpressed(t *testing.T) {
	rows := map[string]func(conn net.Conn){
		"first bytes are \"HTTP/\"":    func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"hung up during the handshake": func(conn net.Conn) {},
		"protocol version": func(conn net.Conn) {
			cfg := secure.TLSConfig(bob)
			cfg.MinVersion, cfg.MaxVersion = 0, tls.VersionTLS12
			tls.Server(conn, cfg).Handshake()
		},
		"but not that of this package": func(conn net.Conn) {
			cfg := secure.TLSConfig(bob)
			cfg.NextProtos = nil
			tls.Server(conn, cfg).Handshake()
		},
	}
	for problem, certificate := range foreign(t) {
		if strings.Contains(problem, "client") {
			continue
		}
		rows[problem] = func(conn net.Conn) {
			cfg := secure.TLSConfig(bob)
			cfg.Certificates = []tls.Certificate{certificate}
			tls.Server(conn, cfg).Handshake()
		}
	}
	for problem, server := range rows {
		t.Run(problem, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				address := serveOne(t, host, func(conn net.Conn) {
					server(conn)
					conn.(halfCloser).CloseWrite()
					io.Copy(io.Discard, conn)
				})
				conn, err := secure.Over(host, alice, know(t, peerOf(bob))).DialContext(t.Context(), "tcp", address)
				if conn != nil || !errors.As(err, new(*net.OpError)) || !strings.Contains(err.Error(), problem) {
					t.Errorf("DialContext = %v, want a *net.OpError that says %s", err, problem)
				}
			})
		})
	}
}

// A tape is a connection that remembers what was written to it.
type tape struct {
	net.Conn
	written *bytes.Buffer
}

func (c tape) Write(p []byte) (int, error) {
	c.written.Write(p)
	return c.Conn.Write(p)
}

// tapes is a network whose dialled streams are taped.
type tapes struct {
	sockets.Network
	written bytes.Buffer
}

func (n *tapes) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.Network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return tape{conn, &n.written}, nil
}

func TestReplayedStreamIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		base := &tapes{Network: host}
		here, there := friends(t, base)
		here.Write([]byte("pay mallory"))
		here.Close()
		there.Close()

		conn, victim := accepted(t, host, secure.Over(host, bob, know(t, peerOf(alice))))
		conn.Write(base.written.Bytes())
		if got, err := io.ReadAll(victim); len(got) > 0 || err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("of a replay: %q, %v", got, err)
		}
	})
}

// A record that is changed on its way ends the stream.
func TestChangedRecordEndsTheStream(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		here, there := friends(t, host)
		here.Write([]byte("first"))
		here.(unwrapper).NetConn().Write([]byte("\x17\x03\x03\x00\x18forged forged forged for"))
		if got, err := io.ReadAll(there); string(got) != "first" || err == nil {
			t.Errorf("ReadAll = %q, %v", got, err)
		}
		here.Close()
		there.Close()
	})
}

// A sealer is what encrypts the records of an end of TLS_AES_128_GCM_SHA256.
type sealer struct {
	secret []byte
	number uint64
}

func (s *sealer) expand(t *testing.T, label string, size int) []byte {
	t.Helper()
	info := append([]byte{0, byte(size), byte(len("tls13 " + label))}, "tls13 "+label+"\x00"...)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), size)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// seal is a record of that type.
func (s *sealer) seal(t *testing.T, kind byte, text ...byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(s.expand(t, "key", 16))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := s.expand(t, "iv", 12)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^s.number)
	s.number++
	plain := append(bytes.Clone(text), kind)
	header := []byte{23, 3, 3, 0, byte(len(plain) + gcm.Overhead())}
	return append(header, gcm.Seal(nil, nonce, plain, header)...)
}

// keyUpdate is a record that asks the other end for one, too.
func (s *sealer) keyUpdate(t *testing.T) []byte {
	t.Helper()
	record := s.seal(t, 22, 24, 0, 0, 1, 1)
	s.secret, s.number = s.expand(t, "traffic upd", sha256.Size), 0
	return record
}

// A peer wants an answer to each of its records, and takes none.
func TestKeyUpdatesDoNotStopTheReader(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		conn, there := accepted(t, host, secure.Over(host, bob, know(t, peerOf(alice))))
		victim := sockets.NewConnection(there, nil)
		shaken := make(chan error)
		go func() { shaken <- there.(handshaker).HandshakeContext(context.Background()) }()
		var log bytes.Buffer
		cfg := secure.TLSConfig(alice)
		cfg.KeyLogWriter = &log
		client := tls.Client(conn, cfg)
		client.Write([]byte{0})
		io.ReadFull(client, make([]byte, 1))
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
		if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skip("this machine prefers", tls.CipherSuiteName(suite))
		}
		attacker := &sealer{number: 1}
		_, secret, _ := strings.Cut(log.String(), "CLIENT_TRAFFIC_SECRET_0 ")
		if fields := strings.Fields(secret); len(fields) > 1 {
			var err error
			if attacker.secret, err = hex.DecodeString(fields[1]); err != nil {
				t.Fatal(err)
			}
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			conn.Write(attacker.seal(t, 23, 0, 1, 0, 0)) // a message of 64 KiB begins
			for i := range 2000 {
				conn.Write(attacker.keyUpdate(t))
				if i%10 == 0 {
					conn.Write(attacker.seal(t, 23, 0))
				}
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := victim.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Receive = %v after %v, want %v after 1 s", err, time.Since(start), context.DeadlineExceeded)
		}
		<-sent
		victim.CloseNow()
	})
}

// A hasty network has no more time once it is connected.
type hasty struct {
	sockets.Network
	cancel context.CancelFunc
	closed atomic.Bool
}

type hastyConn struct {
	net.Conn
	network *hasty
}

func (c hastyConn) Close() error {
	c.network.closed.Store(true)
	return c.Conn.Close()
}

func (n *hasty) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.Network.DialContext(ctx, network, address)
	n.cancel()
	return hastyConn{conn, n}, err
}

func TestDialThatEndsClosesWhatIsBeneath(t *testing.T) {
	bubble(t, func(t *testing.T, host *simnet.Host) {
		listener := listenStream(t, host)
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			base := &hasty{Network: host, cancel: cancel}
			_, err := secure.Over(base, alice, nil).DialContext(ctx, "tcp", listener.Addr().String())
			if !errors.Is(err, context.Canceled) || !base.closed.Load() {
				t.Errorf("DialContext = %v, and closed the connection: %v", err, base.closed.Load())
			}
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
	})
}

// Silence at any step of the handshake is over when time is.
func TestStallsEnd(t *testing.T) {
	steps := map[string]func(conn net.Conn, cfg *tls.Config, shake func(net.Conn, *tls.Config) *tls.Conn){
		"before the hello": func(net.Conn, *tls.Config, func(net.Conn, *tls.Config) *tls.Conn) {},
		"inside the hello": func(conn net.Conn, _ *tls.Config, _ func(net.Conn, *tls.Config) *tls.Conn) {
			conn.Write([]byte("\x16\x03\x01"))
		},
		"before the status": func(conn net.Conn, cfg *tls.Config, shake func(net.Conn, *tls.Config) *tls.Conn) {
			shake(conn, cfg).Handshake()
		},
		"before the second status": func(conn net.Conn, cfg *tls.Config, shake func(net.Conn, *tls.Config) *tls.Conn) {
			c := shake(conn, cfg)
			c.Write([]byte{secure.Learning})
		},
	}
	for name, step := range steps {
		t.Run("client/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				errs := make(chan error, 1)
				cfg := sockets.Config{Network: secure.Over(host, bob, know(t, peerOf(alice))), HandshakeTimeout: 7 * time.Second}
				s, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, _ *sockets.Connection, _ sockets.Address, err error) {
					if event == sockets.EventError {
						errs <- err
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				conn, err := host.DialContext(t.Context(), "tcp", s.LocalAddress().String())
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				step(conn, secure.TLSConfig(alice), tls.Client)
				if err := <-errs; !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 7*time.Second {
					t.Errorf("after %v: %v, want %v after 7 s", time.Since(start), err, context.DeadlineExceeded)
				}
				conn.Close()
				s.Close()
				<-s.Done()
			})
		})
		t.Run("server/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *simnet.Host) {
				address := serveOne(t, host, func(conn net.Conn) {
					step(conn, secure.TLSConfig(bob), tls.Server)
					time.Sleep(time.Minute)
				})
				start := time.Now()
				_, err := secure.Over(host, alice, know(t, peerOf(bob))).DialContext(t.Context(), "tcp", address)
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
					t.Errorf("after %v: %v, want %v after 10 s", time.Since(start), err, context.DeadlineExceeded)
				}
			})
		})
	}
}

// shapes are chains of certificates.
func shapes(t testing.TB) map[string][][]byte {
	chains := make(map[string][][]byte)
	for problem, certificate := range foreign(t) {
		chains[problem] = certificate.Certificate
	}
	return chains
}

func TestCheckShape(t *testing.T) {
	for _, id := range []*secure.Identity{alice, secure.NewIdentityFromSeed(strings.Repeat("é", 32), 1)} {
		if err := secure.CheckShape(secure.Certificate(id).Certificate); err != nil {
			t.Errorf("CheckShape of our own = %v", err)
		}
	}
	for problem, chain := range shapes(t) {
		if err := secure.CheckShape(chain); err == nil && !strings.Contains(problem, "invalid signature") {
			t.Errorf("CheckShape of what %s = nil", problem)
		}
	}
}

func FuzzCheckShape(f *testing.F) {
	f.Add(secure.Certificate(alice).Certificate[0], false)
	for _, chain := range shapes(f) {
		if len(chain) > 0 && len(chain[0]) < 4096 {
			f.Add(chain[0], len(chain) > 1)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte, twice bool) {
		chain := [][]byte{der}
		if twice {
			chain = append(chain, der)
		}
		if secure.CheckShape(chain) != nil {
			return
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil || twice || len(der) > 1024 {
			t.Fatalf("accepted: %d bytes, twice: %v, %v", len(der), twice, err)
		}
		if key, ok := certificate.PublicKey.(ed25519.PublicKey); !ok || len(key) != ed25519.PublicKeySize {
			t.Errorf("accepted a key of type %T", certificate.PublicKey)
		}
	})
}
