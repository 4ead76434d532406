package secure

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// streams makes and judges the streams of a [Network].
type streams struct {
	cfg    Config
	config *tls.Config

	pinning chan struct{} // one slot, which guards what follows
	learnt  int           // keys that servers pinned
}

func newStreams(cfg Config) *streams {
	return &streams{cfg: cfg, config: tlsConfig(cfg.Identity), pinning: make(chan struct{}, 1)}
}

func (v *streams) server(conn net.Conn) *stream {
	beneath := newRaw(conn)
	return newStream(beneath, tls.Server(beneath, v.config), func(ctx context.Context, c *tls.Conn) (KnownPeer, error) {
		return v.greet(ctx, c, true, "")
	})
}

func (v *streams) client(conn net.Conn, expected string) *stream {
	beneath := newRaw(conn)
	return newStream(beneath, tls.Client(beneath, v.config), func(ctx context.Context, c *tls.Conn) (KnownPeer, error) {
		return v.greet(ctx, c, false, expected)
	})
}

// greet exchanges verdicts with the other end, whose possession of its key TLS
// has proved. It returns who that is, once both have accepted each other. Each
// end speaks before it listens.
func (v *streams) greet(ctx context.Context, conn *tls.Conn, server bool, expected string) (KnownPeer, error) {
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != protocol {
		return KnownPeer{}, errors.New("the other end speaks TLS, but not that of this package: is it another program?")
	}
	certificate := state.PeerCertificates[0]
	other := KnownPeer{Name: certificate.Subject.CommonName, Key: PublicKey(certificate.PublicKey.(ed25519.PublicKey))}
	if CheckName(other.Name) != nil {
		other.Name = ""
	}
	peer, learn, reason := v.judge(other, server, expected)
	ours := statusOf(reason)
	if learn {
		ours = learning
	}
	theirs, err := exchange(conn, ours)
	if err == nil && accepts(ours) && accepts(theirs) {
		reason, theirs, err = v.conclude(ctx, conn, peer, learn, server, theirs)
	}
	if reason == nil && err != nil {
		return KnownPeer{}, err
	}
	also := reasonOf(theirs)
	shown := other
	if same, ok := v.cfg.Known.ByKey(other.Key); ok {
		shown = same
	}
	switch {
	case reason != nil:
		return KnownPeer{}, &RefusedError{Peer: shown, Reason: reason, also: also, advice: v.advice(other, server, expected, reason)}
	case also != nil:
		return KnownPeer{}, &RefusedError{There: true, Peer: shown, Reason: also, advice: v.adviceThere(also)}
	}
	return peer, nil
}

// judge decides on the other end, which claims a name (empty: one that is none)
// and has proved its key: as who it is accepted, and whether its key is to be
// learnt as that.
func (v *streams) judge(other KnownPeer, server bool, expected string) (peer KnownPeer, learn bool, reason error) {
	if other.Key == v.cfg.Identity.public {
		return other, false, ErrOwnKey
	}
	if peer, ok := v.cfg.Known.ByKey(other.Key); ok {
		if expected != "" && peer.Name != expected {
			return peer, false, ErrNotExpected
		}
		return peer, false, nil
	}
	name := cmp.Or(expected, other.Name)
	if _, taken := v.owner(name); taken {
		return other, false, ErrKeyChanged
	}
	switch {
	case !v.cfg.FirstUse, !server && expected == "":
		return other, false, ErrUnknownKey
	case name == "":
		return other, false, ErrBadName
	}
	return KnownPeer{name, other.Key, true}, true, nil
}

// owner returns whose a name is: that of a known peer, or one's own.
func (v *streams) owner(name string) (KnownPeer, bool) {
	if peer, ok := v.cfg.Known.ByName(name); ok {
		return peer, true
	}
	return v.cfg.Identity.self(), name == v.cfg.Identity.name
}

// conclude ends the greeting of two ends that accept each other, where one of
// them has a key to save first: it tells the other whether it could.
func (v *streams) conclude(ctx context.Context, conn io.ReadWriter, peer KnownPeer, learn, server bool, theirs byte) (reason error, last byte, err error) {
	if learn {
		reason = v.pin(ctx, peer, server)
		_, err = conn.Write([]byte{statusOf(reason)})
	}
	if theirs == learning && err == nil {
		theirs, err = receiveStatus(conn)
		if theirs == learning {
			err = errors.New("the other end does not make up its mind")
		}
	}
	return reason, theirs, err
}

// pin learns a key by first use.
func (v *streams) pin(ctx context.Context, peer KnownPeer, server bool) error {
	select {
	case v.pinning <- struct{}{}:
		defer func() { <-v.pinning }()
	case <-ctx.Done():
		return fmt.Errorf("%w in time: %w", ErrNotSaved, ctx.Err())
	}
	if same, ok := v.cfg.Known.ByKey(peer.Key); ok && same.Name == peer.Name {
		return nil // over another stream, just now
	}
	if server && v.learnt >= v.cfg.MaxLearnt {
		return fmt.Errorf("%w: %d were, and that is the limit (Config.MaxLearnt)", ErrTooManyLearnt, v.learnt)
	}
	if err := v.cfg.Known.Add(peer); err != nil {
		return cmp.Or(v.cfg.Known.conflict(peer), fmt.Errorf("%w: %v", ErrNotSaved, err))
	}
	if server {
		v.learnt++
	}
	return nil
}

func accepts(status byte) bool { return status == welcome || status == learning }

// exchange tells the other end a status and returns the other's. A status that
// arrives counts, also if this end could not tell its own.
func exchange(conn io.ReadWriter, ours byte) (theirs byte, err error) {
	_, unsent := conn.Write([]byte{ours})
	theirs, err = receiveStatus(conn)
	if err == nil && accepts(theirs) {
		err = unsent
	}
	return theirs, err
}

func receiveStatus(conn io.Reader) (byte, error) {
	var status [1]byte
	_, err := io.ReadFull(conn, status[:])
	return status[0], err
}
