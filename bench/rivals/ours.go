package rivals

import (
	"context"
	"errors"
	"net"

	"github.com/seed287501ae/sockets"
)

// Both ends receive by callbacks. All limits are the defaults, but for the
// number of connections.
func init() {
	for name, lend := range map[string]bool{"ours": true, "ours-owned": false} {
		o := &our{sockets.Config{LendPayloads: lend, MaxConnections: 20_000}}
		register(Rival{Name: name, Serve: o.serve, Dial: o.dial, Load: o.load})
	}
}

type our struct {
	cfg sockets.Config
}

func (o *our) serve(l net.Listener, kind Kind, s *Stats) error {
	var group circle[*sockets.Connection]
	server := o.cfg.NewServer(l, func(event sockets.Event, connection *sockets.Connection, _ sockets.Address, err error) {
		switch {
		case event == sockets.EventError:
			s.Fail(err)
		case event != sockets.EventConnect:
		case kind == Stream:
			connection.SetCallback(countMessages(s.Counter()))
		case kind == Group:
			connection.SetCallback(passOn(&group))
		default:
			connection.SetCallback(echoMessages)
		}
	})
	<-server.Done()
	return nil
}

func echoMessages(event sockets.Event, payload []byte, connection *sockets.Connection, _ error) {
	if event == sockets.EventMessage {
		connection.Send(payload)
	}
}

func countMessages(counter *Counter) sockets.ConnectionCallback {
	return func(event sockets.Event, payload []byte, _ *sockets.Connection, _ error) {
		switch event {
		case sockets.EventMessage:
			counter.Message(payload)
		case sockets.EventClose:
			counter.Close()
		}
	}
}

func passOn(group *circle[*sockets.Connection]) sockets.ConnectionCallback {
	joined := false
	return func(event sockets.Event, payload []byte, connection *sockets.Connection, _ error) {
		switch {
		case event == sockets.EventClose:
			group.leave(connection)
		case event != sockets.EventMessage:
		case !joined:
			joined = true
			group.join(connection)
			connection.Send(payload)
		default:
			sockets.SendAll(payload, group.all()...)
		}
	}
}

func (o *our) load(ctx context.Context, address string, load Load, s *Stats) error {
	if load.Kind != Echo && load.Kind != PingPong {
		return Exchange(ctx, o.dial, address, load, s)
	}
	content := s.Content(load.Size)
	for range load.Connections {
		client, err := o.cfg.Dial(ctx, address, nil)
		if err != nil {
			return err
		}
		defer client.CloseNow()
		next := 0
		send := func() {
			if err := client.Send(content.Message(next)); err != nil && ctx.Err() == nil {
				s.Fail(err)
			}
			next++
		}
		for range load.Window {
			send()
		}
		counter := s.Counter()
		client.SetCallback(func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
			switch {
			case event == sockets.EventMessage:
				counter.Message(payload)
				send()
			case ctx.Err() != nil:
			case event == sockets.EventError:
				s.Fail(err)
			default:
				s.Fail(errors.New("the server ended a connection"))
			}
		})
	}
	<-ctx.Done()
	return nil
}

func (o *our) dial(ctx context.Context, address string, _ Kind) (Link, error) {
	client, err := o.cfg.Dial(ctx, address, nil)
	return ourLink{client}, err
}

type ourLink struct{ *sockets.Client }

func (l ourLink) Receive() ([]byte, error) { return l.Client.Receive(context.Background()) }
