package reliable

import "net"

// A dialed is a Conn with one peer: one Write there, one Read here.
type dialed struct {
	*Conn
	remote net.Addr
}

func (d *dialed) RemoteAddr() net.Addr { return d.remote }

func (d *dialed) Read(p []byte) (int, error) {
	n, _, err := d.ReadFrom(p)
	return n, err
}

func (d *dialed) Write(message []byte) (int, error) { return d.Conn.WriteTo(message, d.remote) }

func (d *dialed) WriteTo(_ []byte, addr net.Addr) (int, error) {
	return 0, d.fault("write", addr, net.ErrWriteToConnected)
}

func (d *dialed) TryWriteTo(message []byte, addr net.Addr) (int, error) {
	return d.WriteTo(message, addr)
}

// A connected is a connection of datagrams with one peer, as a packet
// connection.
type connected struct{ net.Conn }

func (c connected) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.RemoteAddr(), err
}

func (c connected) WriteTo(p []byte, _ net.Addr) (int, error) { return c.Write(p) }
