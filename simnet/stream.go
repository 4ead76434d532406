package simnet

import (
	"context"
	"net"
)

func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
}

// DialContext connects to an address: by a stream for "tcp", "tcp4" and "tcp6",
// and for "udp", "udp4" and "udp6" by a datagram socket that sends to that
// address, and receives from it only.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := h.dialUDP(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return c, nil
}
