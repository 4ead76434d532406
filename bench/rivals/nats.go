//go:build !freebsd || amd64

package rivals

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NATS carries messages between clients of an embedded server, which is the
// process that is measured. What counts as one message:
//
//   - echo: what a client publishes and, as it subscribed to the subject itself,
//     gets back, in the callback of its subscription;
//   - stream: what the callback of a subscriber gets, which is a client within the
//     server's process, over TCP: NATS's connection in memory is slower;
//   - group: what one of the subscribers to one subject gets; the client is the
//     limit's, which speaks the protocol.
func init() {
	register(Rival{Name: "nats", Listens: true, Serve: serveNATS, Dial: dialNATS, Load: loadNATS})
}

const (
	natsStream = "stream.message"
	natsReady  = "stream.ready" // answered once there is a subscriber
	natsEnd    = "stream.end"
)

// serveNATS listens at the address that l had.
func serveNATS(l net.Listener, kind Kind, s *Stats) error {
	address := l.Addr().(*net.TCPAddr)
	broker, err := server.NewServer(&server.Options{
		Host: address.IP.String(), Port: address.Port, NoLog: true, NoSigs: true, MaxPayload: longest,
		DisableShortFirstPing: true, // the limit's client counts bytes, all of them messages
	})
	if err != nil {
		return err
	}
	broker.Start()
	if kind == Stream {
		if err := subscribeStream(broker, s); err != nil {
			return err
		}
	}
	broker.WaitForShutdown()
	return nil
}

// subscribeStream counts what is streamed. The subscriber's queue has no limit:
// a message is never thrown away.
func subscribeStream(broker *server.Server, s *Stats) error {
	conn, err := nats.Connect(broker.ClientURL())
	if err != nil {
		return err
	}
	counter := s.Counter()
	subscription, err := conn.Subscribe("stream.*", func(m *nats.Msg) {
		switch m.Subject {
		case natsReady:
			m.Respond(nil)
		case natsEnd:
			counter.Close()
		default:
			counter.Message(m.Data)
		}
	})
	if err != nil {
		return err
	}
	return errors.Join(subscription.SetPendingLimits(-1, -1), conn.Flush())
}

// connectNATS tries again while the server does not listen yet and, for a
// stream, has no subscriber.
func connectNATS(ctx context.Context, address string, kind Kind, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.NoReconnect())
	for {
		conn, err := nats.Connect("nats://"+address, options...)
		if err == nil && kind == Stream {
			if _, err = conn.RequestWithContext(ctx, natsReady, nil); err != nil {
				conn.Close()
			}
		}
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// loadNATS sends the next message from the callback that gets one.
func loadNATS(ctx context.Context, address string, load Load, s *Stats) error {
	if load.Kind != Echo && load.Kind != PingPong {
		return Exchange(ctx, dialNATS, address, load, s)
	}
	content := s.Content(load.Size)
	for i := range load.Connections {
		conn, err := connectNATS(ctx, address, load.Kind)
		if err != nil {
			return err
		}
		defer conn.Close()
		subject, counter, started := fmt.Sprint("echo.", i), s.Counter(), make(chan struct{})
		next := load.Window
		if _, err := conn.Subscribe(subject, func(m *nats.Msg) {
			<-started
			counter.Message(m.Data)
			if err := conn.Publish(subject, content.Message(next)); err != nil && ctx.Err() == nil {
				s.Fail(err)
			}
			next++
		}); err != nil {
			return err
		}
		for first := range load.Window {
			if err := conn.Publish(subject, content.Message(first)); err != nil {
				return err
			}
		}
		close(started)
	}
	<-ctx.Done()
	return nil
}

// dialNATS subscribes a link to a subject of its own; the link of a stream only
// publishes.
func dialNATS(ctx context.Context, address string, kind Kind) (Link, error) {
	if kind == Stream {
		conn, err := connectNATS(ctx, address, kind)
		return &natsLink{conn: conn, subject: natsStream}, err
	}
	link := &natsLink{subject: nats.NewInbox(), received: make(chan *nats.Msg, natsQueue), closed: make(chan struct{})}
	conn, err := connectNATS(ctx, address, kind, nats.ClosedHandler(func(*nats.Conn) { close(link.closed) }))
	if err != nil {
		return nil, err
	}
	link.conn = conn
	if _, err := conn.ChanSubscribe(link.subject, link.received); err != nil {
		conn.Close()
		return nil, err
	}
	return link, nil
}

const natsQueue = 256 // messages that a link holds for Receive

type natsLink struct {
	conn     *nats.Conn
	subject  string
	received chan *nats.Msg
	closed   chan struct{}
}

func (n *natsLink) Send(payload []byte) error { return n.conn.Publish(n.subject, payload) }

func (n *natsLink) Receive() ([]byte, error) {
	select {
	case m := <-n.received:
		return m.Data, nil
	case <-n.closed:
		return nil, nats.ErrConnectionClosed
	}
}

func (n *natsLink) Close() error {
	if n.subject == natsStream {
		n.conn.Publish(natsEnd, nil)
	}
	err := n.conn.Flush()
	n.conn.Close()
	return err
}
