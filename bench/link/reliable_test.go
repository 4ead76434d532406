package link_test

import (
	"bufio"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/simnet"
)

// reliableFlow moves content by messages of 16,000 bytes.
func reliableFlow(t *testing.T, from, to *simnet.Host, port uint16, content []byte) io.Reader {
	receiver := listenPacket(t, reliable.Over(to), port)
	sender := listenPacket(t, reliable.Over(from), port)
	t.Cleanup(func() {
		receiver.Close()
		sender.Close()
	})
	go func() {
		for message := range slices.Chunk(content, 16_000) {
			if _, err := sender.WriteTo(message, net.UDPAddrFromAddrPort(to.AddrPort(port))); err != nil {
				if t.Context().Err() == nil {
					t.Error(err)
				}
				return
			}
		}
	}()
	return bufio.NewReaderSize(messages{receiver}, 1<<16)
}

// messages is the stream of all the messages that come. A Read returns one, as
// much of it as fits.
type messages struct{ net.PacketConn }

func (m messages) Read(buffer []byte) (int, error) {
	n, _, err := m.ReadFrom(buffer)
	return n, err
}
