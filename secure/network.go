package secure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
)

// A Network makes the streams and the datagrams of another network secure. It
// is a [sockets.Network]. Its methods may be called from many goroutines.
type Network struct {
	base    sockets.Network
	cfg     Config
	streams *streams
	packets packetConns
	stats   counters
}

// Over returns a network over base, where identity is this end and only known
// is accepted. If base is nil, it is [sockets.System]. A nil identity panics.
func Over(base sockets.Network, identity *Identity, known *KnownPeers) *Network {
	cfg := Config{Identity: identity, Known: known}
	return cfg.Over(base)
}

// Over returns a network over base with this configuration. If base is nil, it
// is [sockets.System]. It panics if the configuration makes no sense.
func (cfg *Config) Over(base sockets.Network) *Network {
	full := cfg.withDefaults()
	return &Network{base: cmp.Or(base, sockets.System), cfg: full, streams: newStreams(full)}
}

// Listen accepts streams at address. Their handshake is run by a
// [sockets.Server]; where a program accepts by itself, by the first Read or
// Write, within 5 seconds and before its deadline, or sooner by
// HandshakeContext(ctx). A handshake that fails has ended the stream.
func (n *Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	beneath, err := n.base.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &listener{beneath, n.streams.server}, nil
}

// ListenPacket binds a datagram socket to address: a [*PacketConn]. Networks
// other than UDP give [errors.ErrUnsupported].
func (n *Network) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	if !isUDP(network) {
		return nil, unsupported("datagrams of " + network)
	}
	conn, err := n.base.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newPacketConn(conn, n), nil
}

// DialContext connects to address. Of TCP it may say who is expected there, as
// NAME@HOST:PORT, else any known peer is; it is returned once both ends have accepted each other, and
// an end that has not gives a [*RefusedError]. Without a deadline of ctx that
// takes 10 seconds at most once the other end is reached.
//
// A UDP connection carries datagrams to and from one address.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if isUDP(network) {
		return n.dialPacket(ctx, network, address)
	}
	name, target := "", address
	if strings.HasPrefix(network, "tcp") {
		var err error
		if name, target, err = cutName(address); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
	}
	conn, err := n.base.DialContext(ctx, network, target)
	if err != nil {
		return nil, err
	}
	return shaken(ctx, n.streams.client(conn, name))
}

// cutName splits NAME@HOST:PORT. The name is empty if none is given. An IPv6
// address is NAME@[::1]:PORT or [NAME@::1]:PORT.
func cutName(address string) (name, target string, err error) {
	inside, bracket := strings.CutPrefix(address, "[")
	name, target, ok := strings.Cut(inside, "@")
	if !ok {
		return "", address, nil
	}
	if bracket {
		host, port, ok := strings.Cut(target, "]")
		if !ok {
			return "", "", fmt.Errorf("secure: address %q: want NAME@HOST:PORT", address)
		}
		target = host + port
		if strings.Contains(host, ":") {
			target = "[" + host + "]" + port
		}
	}
	return name, target, CheckName(name)
}

func isUDP(network string) bool { return strings.HasPrefix(network, "udp") }

func unsupported(what string) error {
	return fmt.Errorf("secure: %s: %w", what, errors.ErrUnsupported)
}

// Resolve looks up a host name as the network beneath does.
func (n *Network) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return endpoint.LookUp(ctx, n.base, host)
}

// LocalIPs returns the addresses that the network beneath has.
func (n *Network) LocalIPs() ([]netip.Addr, error) {
	return system.LocalIPsOf(n.base)
}
