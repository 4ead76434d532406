package simnet

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
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
// What fails, late or at once, counts as Refused.
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
// second.
//
// # Closing
//
// Close waits until what was sent has left, but at most two seconds: a program
// may end then, and its goodbye has passed a link that takes no longer. What
// takes longer leaves in the background, and until then the socket beneath keeps
// its port. If that sends nothing for a minute after all has come out of the
// link, it is closed, and the other end of a stream gets a reset. A reset it gets
// at once where there is unread input. If the connection beneath was closed
// before, Close does not wait.
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
	return &Impaired{base: cmp.Or(base, sockets.System), link: link.bounded(), changed: make(chan struct{})}
}

// SetLink changes the link of all sockets. What is on its way keeps its time of
// arrival.
func (i *Impaired) SetLink(link Link) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.link = link.bounded()
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
	i.witness.observe(observer)
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
func (i *Impaired) LocalIPs() ([]netip.Addr, error) { return system.LocalIPsOf(i.base) }

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
