package local

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed287501ae/sockets"
)

var loopback = net.IPv4(127, 0, 0, 1)

func bound() (*net.UDPConn, error) { return net.ListenUDP("udp", &net.UDPAddr{IP: loopback}) }

func addressOf(conn *net.UDPConn) sockets.Address { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// toAll sends to sockets that nobody reads. Their queues are as short as the
// system allows, and soon full: what does not fit is thrown away by the kernel,
// for both contestants.
func toAll(peers int) []contestant {
	return []contestant{
		{"ours", toUnread(peers, func(addresses []sockets.Address) (func([]byte) error, io.Closer, error) {
			peer, err := sockets.NewPeer("127.0.0.1:0", nil)
			if err != nil {
				return nil, nil, err
			}
			peer.Add(addresses...)
			return peer.SendAll, peer, nil
		})},
		{"loop", toUnread(peers, func(addresses []sockets.Address) (func([]byte) error, io.Closer, error) {
			conn, err := bound()
			return func(payload []byte) error {
				var errs []error
				for _, address := range addresses {
					if _, err := conn.WriteToUDPAddrPort(payload, address); err != nil {
						errs = append(errs, err)
					}
				}
				return errors.Join(errs...)
			}, conn, err
		})},
	}
}

func toUnread(peers int, open func([]sockets.Address) (func([]byte) error, io.Closer, error)) setup {
	return func() (_ step, stop func(), err error) {
		var opened []io.Closer
		stop = func() {
			for _, c := range opened {
				c.Close()
			}
		}
		defer func() {
			if err != nil {
				stop()
			}
		}()
		addresses := make([]sockets.Address, peers)
		for i := range addresses {
			conn, err := bound()
			if err != nil {
				return nil, nil, err
			}
			opened = append(opened, conn)
			conn.SetReadBuffer(1)
			addresses[i] = addressOf(conn)
		}
		send, sender, err := open(addresses)
		if err != nil {
			return nil, nil, err
		}
		opened = append(opened, sender)
		payload := pattern(datagram)
		return timed(func() (int64, error) { return int64(peers), send(payload) }), stop, nil
	}
}

const run = 1000 // datagrams that a streamer has at hand

// A receiver is open once it takes each datagram.
type receiver func(take func([]byte)) (sockets.Address, io.Closer, error)

// toOne sends runs to a receiver that reads, and counts what that one hears.
func toOne(to receiver) []contestant {
	return []contestant{
		{"ours", streamed(to, func() (func([][]byte, sockets.Address) error, io.Closer, error) {
			peer, err := sockets.NewPeer("127.0.0.1:0", nil)
			if err != nil {
				return nil, nil, err
			}
			return peer.SendRun, peer, nil
		})},
		{"loop", streamed(to, func() (func([][]byte, sockets.Address) error, io.Closer, error) {
			conn, err := bound()
			return func(payloads [][]byte, to sockets.Address) error {
				for _, payload := range payloads {
					if _, err := conn.WriteToUDPAddrPort(payload, to); err != nil {
						return err
					}
				}
				return nil
			}, conn, err
		})},
	}
}

func streamed(to receiver, open func() (func([][]byte, sockets.Address) error, io.Closer, error)) setup {
	return func() (step, func(), error) {
		payload, received := pattern(datagram), 0
		var heard atomic.Int64
		var wrong atomic.Bool
		address, receiver, err := to(func(p []byte) {
			if received++; received <= verify && !bytes.Equal(p, payload) {
				wrong.Store(true)
			}
			heard.Add(1)
		})
		if err != nil {
			return nil, nil, err
		}
		send, sender, err := open()
		if err != nil {
			receiver.Close()
			return nil, nil, err
		}
		payloads := slices.Repeat([][]byte{payload}, run)
		return timed(func() (int64, error) {
			for {
				if err := send(payloads, address); err != nil {
					return 0, err
				}
				if wrong.Load() {
					return 0, errContent
				}
				if n := heard.Swap(0); n > 0 {
					return n, nil
				}
			}
		}), func() { sender.Close(); receiver.Close() }, nil
	}
}

// receivers take what is in their queue: as fast as they can, and never
// waiting.
var receivers = []contestant{
	{"ours", queued(asyncPeer(true))},
	{"ours-owned", queued(asyncPeer(false))},
	{"loop", queued(readLoop)},
}

func readLoop(take func([]byte)) (sockets.Address, io.Closer, error) {
	conn, err := bound()
	if err != nil {
		return sockets.Address{}, nil, err
	}
	go func() {
		payload := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(payload)
			if err != nil {
				return
			}
			take(payload[:n])
		}
	}()
	return addressOf(conn), conn, nil
}

func asyncPeer(lend bool) receiver {
	return func(take func([]byte)) (sockets.Address, io.Closer, error) {
		cfg := sockets.Config{LendPayloads: lend}
		peer, err := cfg.NewAsyncPeer("127.0.0.1:0", nil, func(payload []byte, _ sockets.Address) { take(payload) })
		if err != nil {
			return sockets.Address{}, nil, err
		}
		return peer.LocalAddress(), peer, nil
	}
}

const (
	burst   = 100              // datagrams that every system's queue has room for
	verify  = 10 * burst       // datagrams that are compared, from the first
	silence = 10 * time.Second // after which nothing more arrives
)

var errLost = errors.New("a datagram was lost")

// queued sends a burst: the first datagram, and once the receiver is in its
// callback the others. Then it releases the callback, and takes the time from
// there to the last one.
func queued(open receiver) setup {
	return func() (step, func(), error) {
		payload, received, begun := pattern(datagram), 0, time.Time{}
		entered, release := make(chan struct{}, 1), make(chan struct{})
		over, wrong := make(chan time.Duration, 1), make(chan struct{}, verify)
		address, receiver, err := open(func(p []byte) {
			if received < verify && !bytes.Equal(p, payload) {
				wrong <- struct{}{}
			}
			switch received++; received % burst {
			case 1:
				entered <- struct{}{}
				<-release
				begun = time.Now()
			case 0:
				over <- time.Since(begun)
			}
		})
		if err != nil {
			return nil, nil, err
		}
		sender, err := bound()
		if err != nil {
			receiver.Close()
			return nil, nil, err
		}
		lost := time.NewTimer(silence)
		step := func() (int64, time.Duration, error) {
			lost.Reset(silence)
			for sent := range burst {
				if _, err := sender.WriteToUDPAddrPort(payload, address); err != nil {
					return 0, 0, err
				}
				if sent > 0 {
					continue
				}
				select {
				case <-entered:
				case <-wrong:
					return 0, 0, errContent
				case <-lost.C:
					return 0, 0, errLost
				}
			}
			release <- struct{}{}
			select {
			case took := <-over:
				return burst - 1, took, nil
			case <-wrong:
				return 0, 0, errContent
			case <-lost.C:
				return 0, 0, errLost
			}
		}
		return step, func() { lost.Stop(); sender.Close(); receiver.Close() }, nil
	}
}
