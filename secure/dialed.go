package secure

import (
	"context"
	"fmt"
	"net"

	"github.com/seed287501ae/sockets/internal/dialed"
)

// dialPacket connects a datagram socket to an address, where a known peer is: the
// one of that name, if the address says NAME@HOST:PORT.
func (n *Network) dialPacket(ctx context.Context, network, address string) (net.Conn, error) {
	name, target, err := cutName(address)
	if err != nil {
		return nil, err
	}
	peer, ok := n.cfg.Known.ByName(name)
	if name != "" && !ok {
		return nil, fmt.Errorf("secure: dial %s: no key of %s: %w", target, name, ErrUnknownKey)
	}
	if peer.FirstUse {
		return nil, fmt.Errorf("secure: dial %s: %s: %w", target, name, ErrFirstUse)
	}
	conn, err := n.base.DialContext(ctx, network, target)
	if err != nil {
		return nil, err
	}
	return dialed.New(conn, func(beneath net.PacketConn) dialed.PacketConn {
		c := newPacketConn(beneath, n)
		c.gate.expected = peer.Key
		return c
	}), nil
}
