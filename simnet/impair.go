package simnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/deadline"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
)

// Close may take so much longer than the link, and sending what was written to a
// stream in the background after that.
const (
	goodbye   = time.Second
	lingering = time.Minute
)

// An Impaired is a Network whose sockets are those of another one, behind a bad
// link: all that a socket sends passes it, and all that it receives, each
// direction with dice and bandwidth of its own. Between two sockets of one
// Impaired everything passes twice. In a bubble of package [testing/synctest] it
// must be made in the bubble that uses it. Methods may be called from many
// goroutines.
//
// The dice of a packet depend on the seed of the link, its direction, the address
// of the other end, its number between the two, and this end: its address if it
// was asked for with a port, else its number in the order in which such sockets
// were made. So the same program meets the same faults, also when the operating
// system chooses other ports. At more than 1,024 addresses of other ends, a
// socket numbers anew.
//
// # Datagrams
//
// A datagram that is not delayed is passed on within the call that sends it. The
// others wait, as those received do: 4 MiB in each direction, of which each
// takes 64 bytes beside its payload; what finds no room counts as Overflowed.
// What fails, late or at once, counts as Refused. Close sends what is on its way
// before it returns.
//
// # Streams
//
// A stream is cut into pieces as TCP would, and their order is kept, so one that
// is late makes all behind it late. A piece that is lost comes late, by 200
// milliseconds, and by twice as long each further time: Lost counts the times.
// Where all is lost, and after Stall bytes, nothing passes until the link is
// another one. After Reset bytes, both ends get [syscall.ECONNRESET]. Duplicate
// does nothing. Making a connection is not impaired.
//
// Writing waits while 256 KiB are on their way, or while the queue of a link of
// limited bandwidth is full, which then is what the link carries in a tenth of a
// second. Close waits until what was written has left, at most a second longer
// than the link takes. What the other end has not taken by then is sent in the
// background for a minute; then it gets a reset, and at once where there is unread
// input. If the connection beneath was closed before, Close does not wait.
type Impaired struct {
	base sockets.Network

	mu       sync.Mutex // guards what follows, and the ways of all sockets
	link     Link
	changed  chan struct{} // closed when link is another one
	nameless int           // sockets so far that were not asked for with a port
	counters [2]Counters   // by direction
	witness  witness
}

// Impair returns base behind a link. If base is nil, it is [sockets.System].
func Impair(base sockets.Network, link Link) *Impaired {
	return &Impaired{base: cmp.Or(base, sockets.System), link: link, changed: make(chan struct{})}
}

// SetLink changes the link of all sockets. What is on its way keeps its time of
// arrival.
func (i *Impaired) SetLink(link Link) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.link = link
	close(i.changed)
	i.changed = make(chan struct{})
}

// Link returns the link in force.
func (i *Impaired) Link() Link {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.link
}

// Counters returns what became of the datagrams, and pieces of streams, that the
// sockets sent and received.
func (i *Impaired) Counters() (sent, received Counters) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.counters[sending], i.counters[receiving]
}

// Observe makes observer know of every datagram and piece of a stream from now
// on, as [Network.Observe] does.
func (i *Impaired) Observe(observer Observer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.witness.observer = observer
}

// Listen listens where the network beneath does.
func (i *Impaired) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := i.base.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &impairedListener{i, l}, nil
}

// ListenPacket binds a datagram socket where the network beneath does.
func (i *Impaired) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := i.base.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return i.impairPackets(conn, nil, address), nil
}

// DialContext connects as the network beneath does.
func (i *Impaired) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := i.base.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(network, "udp") {
		return i.impairPackets(dialled{conn}, conn.RemoteAddr(), ""), nil
	}
	return i.impairStream(conn, conn.RemoteAddr()), nil
}

// Resolve looks up a host name as the network beneath does.
func (i *Impaired) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return endpoint.LookUp(ctx, i.base, host)
}

// LocalIPs returns the addresses that the network beneath has.
func (i *Impaired) LocalIPs() ([]netip.Addr, error) {
	if base, ok := i.base.(interface{ LocalIPs() ([]netip.Addr, error) }); ok {
		return base.LocalIPs()
	}
	return system.LocalIPs()
}

// nameOf returns the name, in the dice of its flows, of a socket at an address
// that was asked for.
func (i *Impaired) nameOf(asked string, local net.Addr) string {
	if _, port, err := endpoint.Split(asked); err == nil && port != 0 {
		return local.String()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.nameless++
	return fmt.Sprint("#", i.nameless)
}

// A direction is that of a way, as its socket sees it.
type direction int

const (
	sending direction = iota
	receiving
)

// A way is one direction of a socket. Its owner's mutex guards it.
type way struct {
	conduit
	owner     *Impaired
	direction direction
	local     netip.AddrPort
	name      string        // of the socket
	ready     chan struct{} // one slot: who waits for what comes out should look again
	latest    time.Time     // when the last of what has been put in comes out
}

// see counts and sees what happens to a packet from or to another end.
func (w *way) see(now time.Time, remote netip.AddrPort, payload []byte, fate Fate) {
	w.owner.counters[w.direction].count(fate)
	from, to := w.local, remote
	if w.direction == receiving {
		from, to = to, from
	}
	w.owner.witness.see(sighting{now, from, to, payload, fate})
}

// An impairedSocket is what packet connections and streams have in common.
type impairedSocket struct {
	owner         *Impaired
	local, remote net.Addr // remote: nil, or of one that was dialled

	readDeadline, writeDeadline deadline.Deadline
	never                       deadline.Deadline // of pumps

	gone  chan struct{}  // closed by Close, with the owner's mutex locked
	sent  chan struct{}  // closed when nothing more leaves
	pumps sync.WaitGroup // the goroutines that receive, and send what is delayed
}

func (i *Impaired) newSocket(local, remote net.Addr) impairedSocket {
	return impairedSocket{owner: i, local: local, remote: remote, gone: make(chan struct{}), sent: make(chan struct{})}
}

func (s *impairedSocket) newWay(d direction, name string) way {
	return way{owner: s.owner, direction: d, local: endpoint.Of(s.local), name: name, ready: make(chan struct{}, 1)}
}

// await waits until look, which is called with the owner's mutex locked, is
// done. It looks whenever bell rings or the link changes, and at the time that
// look asks for. A gone that is nil is never closed.
func (s *impairedSocket) await(gone <-chan struct{}, d *deadline.Deadline, bell chan struct{}, look func(now time.Time) (again time.Time, done bool)) error {
	defer wake(bell) // for others who wait
	for {
		switch {
		case isClosed(gone):
			return net.ErrClosed
		case d.HasPassed():
			return os.ErrDeadlineExceeded
		}
		s.owner.mu.Lock()
		now := time.Now()
		again, done := look(now)
		changed := s.owner.changed
		s.owner.witness.unlock(&s.owner.mu)
		if done {
			return nil
		}
		timer := &time.Timer{}
		if !again.IsZero() {
			timer = time.NewTimer(max(again.Sub(now), 1))
		}
		select {
		case <-bell:
		case <-timer.C:
		case <-changed:
		case <-gone:
		case <-d.Passed():
		}
		if timer.C != nil {
			timer.Stop()
		}
	}
}

// flush waits until nothing more leaves, at most so much longer than all on its
// way takes to come out, and reports whether that was so.
func (s *impairedSocket) flush(latest time.Time, longer time.Duration) bool {
	timer := time.NewTimer(max(time.Until(latest), 0) + longer)
	defer timer.Stop()
	select {
	case <-s.sent:
		return true
	case <-timer.C:
		return false
	}
}

// fail returns err as package net spells it, as errors of the network beneath
// are already.
func (s *impairedSocket) fail(op string, to net.Addr, err error) error {
	if err == io.EOF || errors.As(err, new(*net.OpError)) {
		return err
	}
	if to == nil {
		to = s.remote
	}
	return &net.OpError{Op: op, Net: s.local.Network(), Source: s.local, Addr: to, Err: err}
}

func (s *impairedSocket) LocalAddr() net.Addr  { return s.local }
func (s *impairedSocket) RemoteAddr() net.Addr { return s.remote }

func (s *impairedSocket) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

func (s *impairedSocket) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.readDeadline, t) }
func (s *impairedSocket) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(&s.writeDeadline, t)
}

func (s *impairedSocket) setDeadline(d *deadline.Deadline, t time.Time) error {
	if isClosed(s.gone) {
		return s.fail("set", nil, net.ErrClosed)
	}
	d.Set(t)
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
