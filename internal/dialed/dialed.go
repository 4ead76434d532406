// Package dialed lets layers of packet connections serve connections of
// datagrams that were dialled.
package dialed

import "net"

// A PacketConn is a packet connection of a layer.
type PacketConn interface {
	net.PacketConn
	MaxDatagram() int
}

// New returns conn, a connection of datagrams, as a layer makes it: over is given
// conn as a packet connection with one peer, and its WriteTo is only called for
// that peer.
func New(conn net.Conn, over func(net.PacketConn) PacketConn) net.Conn {
	return &layered{over(beneath{conn}), conn.RemoteAddr()}
}

// A layered is a packet connection with one peer: one Write there, one Read here.
type layered struct {
	PacketConn
	remote net.Addr
}

func (l *layered) RemoteAddr() net.Addr { return l.remote }

func (l *layered) Read(p []byte) (int, error) {
	n, _, err := l.ReadFrom(p)
	return n, err
}

func (l *layered) Write(payload []byte) (int, error) { return l.PacketConn.WriteTo(payload, l.remote) }

func (l *layered) WriteTo(_ []byte, addr net.Addr) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "udp", Source: l.LocalAddr(), Addr: addr, Err: net.ErrWriteToConnected}
}

// A beneath is a connection of datagrams with one peer, as a packet connection.
type beneath struct{ net.Conn }

func (b beneath) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := b.Read(p)
	return n, b.RemoteAddr(), err
}

func (b beneath) WriteTo(p []byte, _ net.Addr) (int, error) { return b.Write(p) }
