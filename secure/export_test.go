package secure

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

var (
	ParseIdentity = parseIdentity
	CheckShape    = checkShape
	TLSConfig     = tlsConfig
	CutName       = cutName
	ReasonOf      = reasonOf
	StatusOf      = statusOf
)

const (
	Protocol     = protocol
	Learning     = learning
	MaxHandshake = maxHandshake
)

// Certificate is the certificate of an identity.
func Certificate(id *Identity) tls.Certificate { return tlsConfig(id).Certificates[0] }

// NewIdentityFromSeed is the same identity for the same seed.
func NewIdentityFromSeed(name string, seed byte) *Identity {
	return newIdentity(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// ReadKnownPeers reads what a file of known peers says.
func ReadKnownPeers(file io.Reader) (*KnownPeers, error) {
	k := newKnownPeers("known_peers")
	return k, k.read(file)
}

// Learn adds a peer by first use.
func Learn(k *KnownPeers, peer KnownPeer) error {
	peer.FirstUse = true
	return k.Add(peer)
}

// Exchange is what both ends of a stream do with their statuses.
func Exchange(conn io.ReadWriter, ours byte) (theirs byte, err error) { return exchange(conn, ours) }

// Accept makes writes to what NewRaw returned wait for flush.
func Accept(conn net.Conn) { conn.(*raw).accepted = true }

// SavingHangs makes a network wait before it saves a key, until it is released.
func SavingHangs(n *Network) (release func()) {
	n.streams.pinning <- struct{}{}
	return func() { <-n.streams.pinning }
}

// AfterGreeting makes a stream do something just before its handshake succeeds.
func AfterGreeting(conn net.Conn, do func()) {
	s := conn.(*stream)
	greet := s.greet
	s.greet = func(ctx context.Context, c *tls.Conn) (KnownPeer, error) {
		defer do()
		return greet(ctx, c)
	}
}

// WithoutLinks makes a file system have no hard links.
func WithoutLinks() (restore func()) {
	old := link
	link = func(string, string) error { return errors.ErrUnsupported }
	return func() { link = old }
}

// NewRaw is what TLS writes to, and what finishes its writes.
func NewRaw(conn net.Conn) (raw net.Conn, flush func() error) {
	r := newRaw(conn)
	return r, r.flush
}
