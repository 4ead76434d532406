package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/latch"
	"github.com/seed287501ae/sockets/internal/roster"
	"github.com/seed287501ae/sockets/internal/slab"
	"github.com/seed287501ae/sockets/internal/system"
)

// ErrPeerUnreachable is the error of a peer that does not answer any more, on a
// Network that can tell. Plain UDP cannot.
var ErrPeerUnreachable = errors.New("sockets: peer unreachable")

var errNoEndpoint = errors.New("a destination needs a port, from 1 to 65535, and an IP address")

const maxFaults = 128 // errors in a row after which reception ends

// A Peer is a datagram socket and the peers that it talks to: those it was told
// of, and those that it received from. Each payload travels as one datagram,
// which may get lost, delayed, duplicated, or overtaken by others.
//
// Every method may be called from many goroutines.
type Peer struct {
	socket  *endpoint.Socket
	self    endpoint.Self
	peers   *roster.Roster
	cfg     Config
	reading chan struct{} // one slot; holding it is the right to receive from socket

	called latch.Latch // a callback receives
	done   latch.Latch // of an AsyncPeer: nothing is received any more, and no callback runs
}

// NewPeer binds a socket to address, as "8080", and names its first peers, as
// "localhost:8081" ([ResolveAddress] tells the spellings). Port 0 is any free
// port. A socket bound without a host serves IPv4 and, where the system can,
// IPv6 too.
func NewPeer(address string, peers []string) (*Peer, error) {
	return new(Config).NewPeer(address, peers)
}

// NewPeer is the function [NewPeer] with this configuration.
func (cfg *Config) NewPeer(address string, peers []string) (*Peer, error) {
	full := cfg.withDefaults()
	ctx, cancel, overdue := within(context.Background(), full.DialTimeout)
	defer cancel()
	local, port, err := endpoint.HostPort(address)
	if err != nil {
		return nil, err
	}
	named := make([]Address, len(peers))
	for i, peer := range peers {
		if named[i], err = endpoint.Resolve(ctx, full.Network, peer); err != nil {
			return nil, overdue(err, "DialTimeout")
		}
		if named[i].Port() == 0 {
			return nil, fmt.Errorf("sockets: peer %q: %w", peer, errNoEndpoint)
		}
	}
	conn, err := full.Network.ListenPacket(ctx, "udp", local)
	if err != nil {
		return nil, system.ExplainBind(overdue(err, "DialTimeout"), port)
	}
	p := &Peer{
		socket:  endpoint.NewSocket(conn),
		self:    endpoint.Self{Address: endpoint.Of(conn.LocalAddr())},
		peers:   roster.New(full.MaxPeers),
		cfg:     full,
		reading: make(chan struct{}, 1),
	}
	if p.self.Address.Addr().IsUnspecified() {
		if p.self.IPs, err = system.LocalIPsOf(full.Network); err != nil {
			conn.Close()
			return nil, err
		}
	}
	p.Add(named...)
	return p, nil
}

// LocalAddress returns the address that the peer is bound to, with its real
// port.
func (p *Peer) LocalAddress() Address { return p.self.Address }

// Peers returns the known peers, sorted.
func (p *Peer) Peers() []Address { return slices.Clone(p.peers.Sorted()) }

// Add makes peers known. The peer itself is never one of them.
func (p *Peer) Add(peers ...Address) {
	for _, peer := range peers {
		if peer = p.self.Destination(peer); endpoint.IsComplete(peer) && !p.self.Is(peer) {
			p.peers.Add(peer)
		}
	}
}

// Remove forgets peers. One that is received from again is learnt again.
func (p *Peer) Remove(peers ...Address) {
	for _, peer := range peers {
		p.peers.Remove(p.self.Destination(peer))
	}
}

// Send sends payload as one datagram to one endpoint, known or not; the payload
// may be reused. No error does not mean that it arrives. One of over 65,507
// bytes gives [ErrMessageTooBig]; after Close the error is [net.ErrClosed].
func (p *Peer) Send(payload []byte, to Address) error {
	if err := p.checkLength(payload); err != nil {
		return err
	}
	to, err := p.destination(to)
	if err != nil {
		return err
	}
	return explainSend(p.socket.Send(payload, to), payload, to)
}

// SendRun sends each of payloads as one datagram to one endpoint, in order; the
// payloads may be reused when it returns. That is [Peer.Send] for each of them, but
// many of equal length cost little more than one, where the system can. If one has
// over 65,507 bytes, or to is no destination, nothing is sent. Any other error ends
// the run, and says how many were sent before; the others were not tried.
func (p *Peer) SendRun(payloads [][]byte, to Address) error {
	for _, payload := range payloads {
		if err := p.checkLength(payload); err != nil {
			return err
		}
	}
	to, err := p.destination(to)
	if err != nil {
		return err
	}
	sent, err := p.socket.SendRun(payloads, to)
	if err != nil {
		return fmt.Errorf("%w (after %d of %d datagrams)", explainSend(err, payloads[sent], to), sent, len(payloads))
	}
	return nil
}

// SendAll sends payload to every known peer. It tries them all, whatever
// happens: the error joins one for each peer to which it could not be sent. It
// never waits for one: on a Network where Send would, that is [ErrSlow].
func (p *Peer) SendAll(payload []byte) error {
	if err := p.checkLength(payload); err != nil {
		return err
	}
	var errs []error
	for peers := p.peers.Sorted(); len(peers) > 0; {
		sent, err := p.socket.SendAll(payload, peers)
		if peers = peers[sent:]; err != nil {
			errs = append(errs, explainSend(err, payload, peers[0]))
			peers = peers[1:]
		}
	}
	return errors.Join(errs...)
}

func (p *Peer) checkLength(payload []byte) error {
	if len(payload) > p.socket.Limit {
		return fmt.Errorf("%w: %d bytes, a datagram carries %d", ErrMessageTooBig, len(payload), p.socket.Limit)
	}
	return nil
}

// destination returns where a datagram for to goes.
func (p *Peer) destination(to Address) (Address, error) {
	if to = p.self.Destination(to); !endpoint.IsComplete(to) {
		return to, fmt.Errorf("sockets: send to %v: %w", to, errNoEndpoint)
	}
	return to, nil
}

func explainSend(err error, payload []byte, to Address) error {
	if system.IsTooBig(err) {
		err = fmt.Errorf("%w: %d bytes, this system or network takes less in a datagram: %w", ErrMessageTooBig, len(payload), err)
	}
	if err != nil {
		err = fmt.Errorf("sockets: send to %v: %w", to, err)
	}
	return err
}

// Receive returns the next datagram's payload, which belongs to the caller, and
// its sender, which is known from now on. It waits until ctx ends.
//
// The error is ctx's own; [net.ErrClosed] after Close; [ErrCallbackSet] where a
// callback receives; [ErrPeerUnreachable] with the peer that it concerns, after
// which reception goes on; or a fault of the socket that does not pass.
func (p *Peer) Receive(ctx context.Context) (payload []byte, sender Address, err error) {
	stop := func() error {
		if p.called.IsClosed() {
			return ErrCallbackSet
		}
		return ctx.Err()
	}
	select {
	case p.reading <- struct{}{}:
		defer func() { <-p.reading }()
	case <-ctx.Done():
	case <-p.called.Wait():
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, p.wake)()
	}
	payload, sender, err = p.next(stop)
	if err == nil {
		payload = slices.Clone(payload)
		p.socket.Release()
	}
	return payload, sender, err
}

// Close closes the socket and ends reception. Closing again does nothing.
func (p *Peer) Close() error {
	err := p.socket.Close()
	if !p.called.IsClosed() {
		p.done.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// next receives one datagram. The caller holds reading, or stop returns an error
// already; when it does, nothing is read. The payload is good until the next call.
func (p *Peer) next(stop func() error) (payload []byte, sender Address, err error) {
	for faults := 0; ; {
		if err := stop(); err != nil {
			return nil, Address{}, err
		}
		payload, sender, err := p.socket.Receive()
		switch {
		case err == nil:
			if endpoint.IsUnicast(sender) && !p.self.Is(sender) {
				p.peers.Learn(sender, p.socket.Again())
			}
			return payload, sender, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.socket.SetReadDeadline(time.Time{})
		case errors.Is(err, net.ErrClosed):
			return nil, Address{}, net.ErrClosed
		case errors.Is(err, ErrPeerUnreachable):
			return nil, sender, err
		default:
			if faults++; faults == maxFaults {
				return nil, Address{}, fmt.Errorf("sockets: receive: %w", err)
			}
			// The first half is read at once: a system may report each datagram that found
			// nobody. What goes on is the machine's, and has two seconds in all to pass.
			time.Sleep(time.Duration(faults-maxFaults/2) * time.Millisecond)
		}
	}
}

// wake makes who reads look whether to stop.
func (p *Peer) wake() { p.socket.SetReadDeadline(time.Unix(1, 0)) }

// An AsyncPeer is a Peer that receives on a goroutine of its own and tells a
// callback. Close ends it.
type AsyncPeer struct{ *Peer }

// NewAsyncPeer is [NewPeer], and calls callback with each datagram that arrives.
// A callback that mentions the peer itself can only be given afterwards: pass
// nil, then [AsyncPeer.SetCallback].
func NewAsyncPeer(address string, peers []string, callback MessageCallback) (*AsyncPeer, error) {
	return new(Config).NewAsyncPeer(address, peers, callback)
}

// NewAsyncPeer is the function [NewAsyncPeer] with this configuration.
func (cfg *Config) NewAsyncPeer(address string, peers []string, callback MessageCallback) (*AsyncPeer, error) {
	p, err := cfg.NewPeer(address, peers)
	if err != nil {
		return nil, err
	}
	async := &AsyncPeer{p}
	if callback != nil {
		async.SetCallback(callback)
	}
	return async, nil
}

// SetCallback starts to receive. Until then nothing is read and nobody is
// learnt. It may be called once; a second call, or a nil callback, panics.
func (p *AsyncPeer) SetCallback(callback MessageCallback) {
	if callback == nil || !p.called.Close() {
		panic("sockets: AsyncPeer.SetCallback: once, and not nil")
	}
	p.wake()
	go p.deliver(callback)
}

// Done returns a channel that is closed when nothing is received any more, after
// Close or an error that does not pass, and no callback runs. Waiting for it in
// the callback waits for ever.
func (p *AsyncPeer) Done() <-chan struct{} { return p.done.Wait() }

// deliver tells callback every datagram. It is the receiving goroutine.
func (p *AsyncPeer) deliver(callback MessageCallback) {
	defer p.done.Close()
	p.reading <- struct{}{}
	defer func() { <-p.reading }()
	var owned slab.Slab
	for {
		payload, sender, err := p.next(func() error { return nil })
		switch {
		case err == nil:
			if !p.cfg.LendPayloads {
				payload = owned.Clone(payload)
			}
			callback(payload, sender)
		case errors.Is(err, ErrPeerUnreachable):
			if p.cfg.PeerError != nil {
				p.cfg.PeerError(sender, err)
			}
		default:
			if err != net.ErrClosed {
				p.cfg.Logger.Error("sockets: a peer receives no more", "peer", p.self.Address, "error", err)
			}
			return
		}
	}
}
