package sockets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/seed287501ae/sockets/internal/system"
)

// A Network is where sockets live: the operating system's ([System]), one that
// a test simulates, or a layer over another that adds a capability. The three
// methods are those of [net.ListenConfig] and [net.Dialer].
//
// A stream has CloseWrite, and deadlines whose error is
// [os.ErrDeadlineExceeded] and after which reading may go on. It may have
// NetConn() net.Conn, the connection beneath, which is closed with it, and
// HandshakeContext(ctx) error, which a server runs on a goroutine of its own.
//
// A packet connection has addresses of type *[net.UDPAddr] and the same
// deadlines. It may have MaxDatagram() int where that is not 65,507; and, where
// WriteTo may wait for a peer, TryWriteTo with the same parameters, which gives
// [ErrSlow] instead.
//
// The Network itself may have Resolve(ctx, host) ([]netip.Addr, error) and
// LocalIPs() ([]netip.Addr, error).
type Network interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// System is the operating system's network. Its ListenPacket joins the group
// when the address is one of multicast.
var System Network = system.Network{}

// A Config makes peers, connections and servers that differ from those of the
// functions with the same names: those use the zero Config. It is read when the
// constructor is called. In every field zero means the default given here, and
// a negative limit or time-out means that there is none. The error of a time-out
// is [os.ErrDeadlineExceeded] and names the field.
type Config struct {
	// Network is where the sockets live. If nil, System.
	Network Network

	// Logger is told what has no other way out. If nil, nobody is.
	Logger *slog.Logger

	// Prefix is how many bytes the length before each message of a stream has:
	// 1, 2, 4 or 8; any other panics. If zero, 4, as on the slides.
	Prefix int

	// MaxMessage bounds the bytes of one message of a stream, in both directions.
	// Over it, the error is [ErrMessageTooBig]; one that arrives ends the
	// connection. If zero, it is what the prefix can express, at most 1 MiB.
	MaxMessage int

	// DialTimeout bounds Dial, and looking up names in NewPeer and Listen.
	// If zero, 10 seconds.
	DialTimeout time.Duration

	// HandshakeTimeout bounds the handshake of an accepted connection, on a
	// Network that has one. One that fails is an error event, 10 times a second at
	// most: the next says how many more failed. If zero, 5 seconds.
	HandshakeTimeout time.Duration

	// FrameTimeout bounds how long a message that has begun to arrive may take.
	// It counts only while reading, never while a callback runs. If zero, 30
	// seconds.
	FrameTimeout time.Duration

	// SendTimeout ends a connection whose other end takes not one byte for so
	// long while a message waits to be sent. If zero, 60 seconds.
	SendTimeout time.Duration

	// IdleTimeout ends a connection on which no message begins for so long. It
	// counts only while reading. If zero, none.
	IdleTimeout time.Duration

	// CloseTimeout bounds the goodbye of Connection.Close, and how long one may
	// still receive after a message could not be sent. If zero, 3 seconds.
	CloseTimeout time.Duration

	// MaxConnections bounds the connections of a server, from before the handshake
	// until after the close event. One more is closed at once, which is an error
	// event, [ErrTooManyConnections], once a second at most. If zero, 1,024.
	MaxConnections int

	// MaxConnectionsPerIP does the same for each IPv4 address and each /64 of IPv6,
	// but for each address of fe80::/10 and of 64:ff9b::/96, which many share. If
	// zero, none: a class sits behind one address.
	MaxConnectionsPerIP int

	// MaxQueue bounds the bytes that SendAll queues for one connection, where each
	// message counts its prefix and 24 bytes more; one that is alone may be longer.
	// Over it, the connection ends with [ErrSlow]. If zero, 4 MiB.
	MaxQueue int

	// MaxPeers bounds the peers that a Peer learns; those it was told of do not
	// count. When it is full, a learnt peer that has been silent for 15 minutes
	// gives way, else the newcomer is not learnt. If zero, 1,024.
	MaxPeers int

	// LendPayloads lends a callback its payload for the time of the call: faster,
	// but who keeps it must copy it. If false, the payload is the callback's own; a
	// short one that is kept keeps up to 4 KiB alive.
	LendPayloads bool

	// PeerError is told what an AsyncPeer learns about one peer, such as
	// ErrPeerUnreachable, on the receiving goroutine.
	PeerError func(peer Address, err error)
}

// withDefaults is a copy in which every default is filled in.
func (cfg *Config) withDefaults() Config {
	c := *cfg
	c.Network = cmp.Or(c.Network, System)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Prefix = cmp.Or(c.Prefix, 4)
	checkPrefix(c.Prefix)
	c.DialTimeout = cmp.Or(c.DialTimeout, 10*time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 5*time.Second)
	c.FrameTimeout = cmp.Or(c.FrameTimeout, 30*time.Second)
	c.SendTimeout = cmp.Or(c.SendTimeout, time.Minute)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 3*time.Second)
	c.MaxConnections = cmp.Or(c.MaxConnections, 1024)
	c.MaxQueue = cmp.Or(c.MaxQueue, 4<<20)
	c.MaxPeers = cmp.Or(c.MaxPeers, 1024)
	return c
}

// within is ctx, bounded by a limit of Config unless that is none. Its function
// overdue returns err; if that is a time-out because the limit passed while ctx
// went on, it also names the field, and is os.ErrDeadlineExceeded.
func within(ctx context.Context, limit time.Duration) (bounded context.Context, cancel context.CancelFunc, overdue func(err error, field string) error) {
	begun := time.Now()
	overdue = func(err error, field string) error {
		var timeout interface{ Timeout() bool }
		if limit < 0 || time.Since(begun) < limit || ctx.Err() != nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
		return fmt.Errorf("%w: Config.%s is %v: %w", err, field, limit, os.ErrDeadlineExceeded)
	}
	if limit < 0 {
		bounded, cancel = context.WithCancel(ctx)
	} else {
		bounded, cancel = context.WithTimeout(ctx, limit)
	}
	return bounded, cancel, overdue
}
