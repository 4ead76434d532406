package reliable

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/dialed"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
)

// A Config makes networks that differ from that of [Over], which uses the zero
// Config. In every field zero means the default given here, and a negative limit
// or time-out means that there is none.
type Config struct {
	// Silence ends an association whose peer acknowledges nothing for so long
	// while something waits for that, whatever else it says. One that is slow to
	// read acknowledges that it has no room, every few seconds, and is not given up
	// if Silence is 10 seconds or more. If zero, 30 seconds.
	Silence time.Duration

	// SendTimeout bounds how long a peer whose window is full may take nothing, or
	// less than a datagram: it does not read. After that, and as long as it goes on,
	// WriteTo does not wait; its error is both [os.ErrDeadlineExceeded] and
	// [sockets.ErrSlow]. Nothing that was accepted is lost. If zero, 60 seconds.
	SendTimeout time.Duration

	// Window bounds the bytes that wait in each direction for each peer: written
	// and not yet acknowledged, but for the last message; arrived and not yet
	// read. If zero, 256 KiB. It is at least 72 KiB, to hold the longest message.
	Window int

	// MaxPeers bounds the peers of one socket that send first. Those that the
	// program sends to first do not count: of them there may be twice as many,
	// which is enough for all that a [sockets.Peer] with the same limit has learnt,
	// and as many that it was told of. When either is full, one of the same kind
	// gives way that is gone, has been idle for 15 minutes, or has never sent nor
	// been sent a message for as long as Silence; else a newcomer is not answered,
	// and sending to one more is an error. If zero, 1,024.
	MaxPeers int

	// CloseTimeout bounds the goodbye of Close. If zero, 10 seconds: a few losses in
	// a row must not keep the last message from arriving.
	CloseTimeout time.Duration
}

const minWindowBytes = 72 << 10

func (cfg *Config) withDefaults() Config {
	c := *cfg
	c.Silence = cmp.Or(c.Silence, 30*time.Second)
	c.SendTimeout = cmp.Or(c.SendTimeout, time.Minute)
	c.Window = max(cmp.Or(c.Window, 256<<10), minWindowBytes)
	c.MaxPeers = cmp.Or(c.MaxPeers, 1024)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 10*time.Second)
	return c
}

// A Network makes the datagram sockets of another network reliable. It is a
// [sockets.Network]; streams, which are reliable already, and groups, which are
// not made reliable, are those of the other network.
type Network struct {
	base  sockets.Network
	cfg   Config
	stats counters
}

// Over returns a network over base. If base is nil, it is [sockets.System].
func Over(base sockets.Network) *Network { return new(Config).Over(base) }

// Over is the function [Over] with this configuration.
func (cfg *Config) Over(base sockets.Network) *Network {
	return &Network{base: cmp.Or(base, sockets.System), cfg: cfg.withDefaults()}
}

// Stats returns what has happened at the sockets of this network so far.
func (n *Network) Stats() Stats { return n.stats.stats() }

// Listen is that of the network beneath.
func (n *Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return n.base.Listen(ctx, network, address)
}

// ListenPacket binds a datagram socket to address: a [*Conn]. The socket of a
// group, which is a multicast address, and one that is not UDP's, are those of
// the network beneath.
func (n *Network) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := n.base.ListenPacket(ctx, network, address)
	if err != nil || !strings.HasPrefix(network, "udp") || isMulticast(address) {
		return conn, err
	}
	return newConn(conn, n.cfg, &n.stats), nil
}

func isMulticast(address string) bool {
	group, err := netip.ParseAddrPort(address)
	return err == nil && group.Addr().IsMulticast()
}

// DialContext returns a connection to address. One of UDP is reliable: it
// carries messages to and from that peer alone, by the rules of [Conn]. Nothing
// is sent before the first Write: who does not answer is found out then.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.base.DialContext(ctx, network, address)
	if err != nil || !strings.HasPrefix(network, "udp") || endpoint.Of(conn.RemoteAddr()).Addr().IsMulticast() {
		return conn, err
	}
	return dialed.New(conn, func(beneath net.PacketConn) dialed.PacketConn {
		return newConn(beneath, n.cfg, &n.stats)
	}), nil
}

// Resolve looks up a host name as the network beneath does.
func (n *Network) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return endpoint.LookUp(ctx, n.base, host)
}

// LocalIPs returns the addresses that the network beneath has.
func (n *Network) LocalIPs() ([]netip.Addr, error) {
	return system.LocalIPsOf(n.base)
}
