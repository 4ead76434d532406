//go:build unix && !openbsd && (amd64 || arm64)

package rivals

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
)

func init() {
	register(Rival{Name: "netpoll", Serve: serveNetpoll, Dial: dialNetpoll})
}

func serveNetpoll(l net.Listener, kind Kind, _ *Stats) error {
	if kind == Stream || kind == Group {
		return fmt.Errorf("netpoll does not carry %q here", kind)
	}
	loop, err := netpoll.NewEventLoop(echoAll)
	if err != nil {
		return err
	}
	return loop.Serve(l)
}

// echoAll takes all that is there, where it is, as netpoll's documents
// recommend, and flushes at the end, or before it waits for the rest of a
// message.
func echoAll(_ context.Context, connection netpoll.Connection) error {
	reader, writer := connection.Reader(), connection.Writer()
	defer reader.Release()
	for reader.Len() > 0 {
		if err := flushBefore(reader, writer, 4); err != nil {
			return err
		}
		prefix, err := reader.Peek(4)
		if err != nil {
			return err
		}
		frame := 4 + int(binary.BigEndian.Uint32(prefix))
		if frame > 4+longest {
			return connection.Close()
		}
		if err := flushBefore(reader, writer, frame); err != nil {
			return err
		}
		bytes, err := reader.Next(frame)
		if err != nil {
			return err
		}
		if _, err := writer.WriteBinary(bytes); err != nil {
			return err
		}
	}
	return writer.Flush()
}

// flushBefore flushes if n bytes are still to be waited for.
func flushBefore(reader netpoll.Reader, writer netpoll.Writer, n int) error {
	if reader.Len() >= n {
		return nil
	}
	return writer.Flush()
}

func dialNetpoll(_ context.Context, address string, _ Kind) (Link, error) {
	connection, err := netpoll.DialConnection("tcp", address, 10*time.Second)
	return &netpollLink{Connection: connection}, err
}

type netpollLink struct {
	netpoll.Connection
	closed atomic.Bool
}

// Close lets the next Send fail: netpoll panics when a connection is closed
// while it is written to. The end of the process closes it.
func (l *netpollLink) Close() error {
	l.closed.Store(true)
	return nil
}

func (l *netpollLink) Send(payload []byte) error {
	if l.closed.Load() {
		return net.ErrClosed
	}
	frame, err := l.Writer().Malloc(4 + len(payload))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frame, uint32(len(payload)))
	copy(frame[4:], payload)
	return l.Writer().Flush()
}

func (l *netpollLink) Receive() ([]byte, error) {
	if err := l.Reader().Release(); err != nil {
		return nil, err
	}
	prefix, err := l.Reader().Next(4)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(prefix)
	if length > longest {
		return nil, errLength
	}
	return l.Reader().Next(int(length))
}
