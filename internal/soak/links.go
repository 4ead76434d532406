package main

import (
	"context"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
)

// serve is the callback of the participant's server.
func (p *participant) serve(event sockets.Event, connection *sockets.Connection, _ sockets.Address, _ error) {
	if event == sockets.EventConnect {
		connection.SetCallback(p.follow(sequence{begun: true}))
	}
}

// follow returns a callback of one connection that checks what it is told. The
// letters there begin behind s.
func (p *participant) follow(s sequence) sockets.ConnectionCallback {
	closed := false
	return func(event sockets.Event, payload []byte, connection *sockets.Connection, _ error) {
		if closed {
			p.breaks("event " + string(event) + " came after close")
		}
		closed = closed || event == sockets.EventClose
		l, ok := parseLetter(payload)
		if event != sockets.EventMessage || !ok {
			return // a stranger may send what it likes
		}
		if p.secure != nil {
			peer, _ := secure.PeerOf(connection)
			p.expect(l, peer.Name)
		}
		if wrong := s.add(l); wrong != "" {
			p.breaks("on one connection " + wrong)
		}
		p.mu.Lock()
		p.streamed++
		p.mu.Unlock()
	}
}

// link keeps one connection to somebody of the group, and then to somebody
// else.
func (p *participant) link(ctx context.Context) {
	for pause(ctx, p.upTo(time.Second)) {
		p.mu.Lock()
		servers := p.order.Servers
		var address string
		if len(servers) > 0 {
			address = servers[p.rng.IntN(len(servers))]
		}
		p.mu.Unlock()
		if address == "" {
			continue
		}
		client, err := p.cfg.Dial(ctx, address, p.follow(sequence{}))
		if err != nil {
			continue // it is dead, or stopped, or full
		}
		l := letter{life: p.birth.Life}
		for end := time.Now().Add(p.upTo(10 * time.Second)); time.Now().Before(end) && pause(ctx, p.upTo(200*time.Millisecond)); {
			if l.number++; client.Send(l.bytes(p.size())) != nil {
				break
			}
		}
		if p.upTo(5) == 0 {
			client.CloseNow()
		} else {
			client.Close()
		}
		<-client.Done()
	}
}

// broadcast sends to everybody who is connected to the participant's server.
func (p *participant) broadcast(ctx context.Context) {
	l := letter{life: p.birth.Life}
	for pause(ctx, p.upTo(time.Second)) {
		l.number++
		sockets.SendAll(l.bytes(p.size()), p.server.Connections()...)
	}
}
