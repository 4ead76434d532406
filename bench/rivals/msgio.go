package rivals

import (
	"net"

	"github.com/libp2p/go-msgio"
)

// As its README has it: a reader and a writer over the connection, with a prefix
// of 4 bytes, and each message given back to the pool.
func init() {
	p := plain{"msgio", func(conn net.Conn) Link { return &msgioLink{ReadWriteCloser: msgio.NewReadWriter(conn)} }}
	register(Rival{Name: p.name, Serve: p.serve, Dial: p.dial})
}

type msgioLink struct {
	msgio.ReadWriteCloser
	message []byte
}

func (m *msgioLink) Send(payload []byte) error { return m.WriteMsg(payload) }

func (m *msgioLink) Receive() (_ []byte, err error) {
	if m.message != nil {
		m.ReleaseMsg(m.message)
	}
	m.message, err = m.ReadMsg()
	return m.message, err
}
