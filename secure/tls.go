package secure

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
)

const (
	protocol       = "sockets-secure/1" // in the ALPN of both ends
	maxCertificate = 1024               // bytes
)

// tlsConfig is that of both ends.
func tlsConfig(id *Identity) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate(id)}, PrivateKey: id.private()}},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{protocol},
		ClientAuth:   tls.RequireAnyClientCert,
		// The key is what counts, and greet checks that. There is no authority to ask,
		// and no name or date that anybody would vouch for.
		InsecureSkipVerify:     true,
		VerifyPeerCertificate:  func(certificates [][]byte, _ [][]*x509.Certificate) error { return checkShape(certificates) },
		SessionTicketsDisabled: true,
	}
}

// certificate carries the name and the key, and signs itself.
func certificate(id *Identity) []byte {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: id.name},
		NotBefore:    time.Unix(0, 0).UTC(),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: never
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, id.private().Public(), id.private())
	if err != nil {
		panic("secure: certificate: " + err.Error()) // of no Ed25519 key and no name
	}
	return der
}

// checkShape refuses what this package does not send. TLS asks before it
// verifies any signature.
func checkShape(certificates [][]byte) error {
	if len(certificates) != 1 {
		return fmt.Errorf("the other end sent %d certificates, not 1: is it another program?", len(certificates))
	}
	if size := len(certificates[0]); size > maxCertificate {
		return fmt.Errorf("the other end's certificate has %d bytes, and %d is the limit", size, maxCertificate)
	}
	certificate, err := x509.ParseCertificate(certificates[0])
	if err != nil {
		return fmt.Errorf("the other end's certificate: %w", err)
	}
	if _, ok := certificate.PublicKey.(ed25519.PublicKey); !ok {
		return fmt.Errorf("the other end's key is one of %v, not of Ed25519", certificate.PublicKeyAlgorithm)
	}
	return nil
}

// A tlsNetwork is ordinary TLS over another network.
type tlsNetwork struct {
	base   sockets.Network
	config *tls.Config
}

// TLS returns a network whose streams are those of base under ordinary TLS, as
// config has it: with certificates from authorities, for programs that know
// nothing of this package. If base is nil, it is [sockets.System]. A client
// whose config has no ServerName expects the host that it dials; a nil config is
// the zero one. There is no renegotiation.
//
// Who is at the other end is for config to check: [PeerOf] does not know. A
// stream that ends without TLS's goodbye gives [ErrTruncated]. There are no
// datagrams: the error is [errors.ErrUnsupported].
func TLS(base sockets.Network, config *tls.Config) sockets.Network {
	own := cmp.Or(config, &tls.Config{}).Clone()
	own.Renegotiation = tls.RenegotiateNever // it would have to write while it reads
	return &tlsNetwork{cmp.Or(base, sockets.System), own}
}

func (n *tlsNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if len(n.config.Certificates) == 0 && n.config.GetCertificate == nil && n.config.GetConfigForClient == nil {
		return nil, errors.New("secure: TLS: a server needs a certificate in its tls.Config")
	}
	beneath, err := n.base.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &listener{beneath, func(conn net.Conn) *stream {
		beneath := newRaw(conn)
		beneath.handshake = -1
		return newStream(beneath, tls.Server(beneath, n.config), nil)
	}}, nil
}

func (n *tlsNetwork) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, unsupported("TLS for datagrams")
}

func (n *tlsNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if isUDP(network) {
		return nil, unsupported("TLS for datagrams")
	}
	config := n.config
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		config = config.Clone()
		config.ServerName = host
	}
	conn, err := n.base.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	beneath := newRaw(conn)
	beneath.handshake = -1
	return shaken(ctx, newStream(beneath, tls.Client(beneath, config), nil))
}

func (n *tlsNetwork) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return endpoint.LookUp(ctx, n.base, host)
}

func (n *tlsNetwork) LocalIPs() ([]netip.Addr, error) { return system.LocalIPsOf(n.base) }
