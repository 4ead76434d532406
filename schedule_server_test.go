package sockets_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed287501ae/sockets"
)

func (w *streams) serve(clients int) {
	for range clients {
		w.link()
	}
	w.told = newServerRecorder(w.t)
	w.told.then = func(event sockets.Event, c *sockets.Connection, address sockets.Address, err error) {
		switch {
		case event == sockets.EventError && !w.explains(err):
			w.t.Errorf("the server tells %v, which nothing explains", err)
		case event == sockets.EventStop:
			time.Sleep(time.Millisecond) // for who believes too early that it is over
		case event == sockets.EventConnect:
			s := w.sides[2*(int(address.Addr().As4()[3])-1)+1]
			s.c.Store(c)
			go s.watch(c)
			if (w.greet%2 == 0 || w.ending()) && s.setCallback(w.greet/2) {
				s.r.mu.Lock()
				s.greeted = true
				s.r.mu.Unlock()
			}
		}
	}
	w.greet = w.p.next(16)
	if w.p.next(2) == 1 {
		for range clients {
			w.shy = append(w.shy, w.p.next(8))
		}
	}
	w.server = serve(w.t, w.cfg, nil, func(l *memListener) { l.wrap = w.accept })
	go func() {
		<-w.server.Done()
		events := w.told.told()
		if len(events) == 0 || events[0] != string(sockets.EventListen) {
			return // it was done before it had a callback
		}
		if events[len(events)-1] != string(sockets.EventStop) || w.told.running.Load() || w.shaking.Load() > 0 {
			w.t.Errorf("the server is done after %v, while the callback runs: %v, and %d handshakes", events, w.told.running.Load(), w.shaking.Load())
		}
	}()
	w.p.tell("a server, %d clients, greet %d, handshakes %v", clients, w.greet, w.shy)
	if w.p.next(4) > 0 {
		w.setServerCallback()
	}
}

// explains reports whether a server may have such an error to tell.
func (w *streams) explains(err error) bool {
	switch {
	case errors.Is(err, sockets.ErrTooManyConnections):
		return w.cfg.MaxConnections > 0
	case errors.Is(err, errUnfriendly):
		return slices.Contains(w.shy, 6)
	default:
		return errors.Is(err, os.ErrDeadlineExceeded) && strings.Contains(err.Error(), "Config.HandshakeTimeout") && w.shy != nil
	}
}

// A shyStream has a handshake.
type shyStream struct {
	halfStream
	handshake func(ctx context.Context) error
}

func (s shyStream) HandshakeContext(ctx context.Context) error { return s.handshake(ctx) }

var errUnfriendly = errors.New("an unfriendly handshake")

// accept is what the listener makes of a connection.
func (w *streams) accept(conn *memConn) net.Conn {
	client := int(conn.remote.IP.To4()[3]) - 1
	s := w.sides[2*client+1]
	over := w.over(conn, s)
	if w.shy == nil {
		return over
	}
	manner := w.shy[client]
	if manner >= 6 {
		s.rough.Store(true)
	}
	return shyStream{over, func(ctx context.Context) error {
		w.shaking.Add(1)
		defer w.shaking.Add(-1)
		switch manner {
		case 4: // deaf to the end of its context
			time.Sleep(4 * time.Millisecond)
		case 5: // late
			w.hang(ctx)
		case 6:
			time.Sleep(time.Millisecond)
			return errUnfriendly
		case 7:
			return w.hang(ctx)
		default:
			return slowNetwork{while: time.Duration(manner) * time.Millisecond}.pass(ctx)
		}
		return nil
	}}
}

// hang waits for the end of a handshake, which is in time or with the server.
func (w *streams) hang(ctx context.Context) error {
	start := time.Now()
	err := hang(ctx, nil)
	if passed := time.Since(start); passed > w.cfg.HandshakeTimeout || isPast(&w.stoppedAt) {
		w.t.Errorf("a handshake ends after %v, some time after the server: %v", passed, isPast(&w.stoppedAt))
	}
	return err
}

func (w *streams) setServerCallback() {
	if w.served.CompareAndSwap(false, true) {
		w.server.SetCallback(w.told.callback)
	}
}

// ending reports whether the finale has begun, where nobody else greets a late
// connection.
func (w *streams) ending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

func (w *streams) dial(client int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end {
		return
	}
	s := w.sides[2*client]
	conn, err := w.server.network.dialFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(client + 1)}), w.server.listener.Addr().String())
	if w.stoppedAt.Load() != 0 {
		s.rough.Store(true)
	} else if err != nil {
		w.t.Errorf("dial: %v", err)
	}
	if err == nil {
		s.open(conn, client)
	}
}

func (w *streams) planServer(actor, arg int) {
	switch arg % 8 {
	case 0, 1, 2:
		w.p.plan(actor, w.setServerCallback, "server.SetCallback")
	case 3, 4:
		w.p.plan(actor, func() {
			for _, c := range w.server.Connections() {
				if c == nil {
					w.t.Error("Connections has nil")
				}
			}
		}, "server.Connections")
	case 5, 6:
		w.p.plan(actor, func() { w.stopServer(w.server.Close) }, "server.Close")
	default:
		w.p.plan(actor, func() {
			ctx := context.Background()
			if w.rough {
				var cancel func()
				ctx, cancel = context.WithTimeout(ctx, time.Duration(arg)*time.Millisecond/8)
				defer cancel()
			}
			w.setServerCallback()
			w.shutdown(ctx)
		}, "server.Shutdown")
	}
}

// stopServer closes the server by a call of Close or Shutdown.
func (w *streams) stopServer(stop func() error) {
	w.stoppedAt.CompareAndSwap(0, time.Now().UnixNano())
	for i := 1; i < len(w.sides); i += 2 {
		if w.sides[i].c.Load() == nil {
			w.sides[i].rough.Store(true)
		}
	}
	if err := stop(); err != nil && !(w.rough && errors.Is(err, context.DeadlineExceeded)) {
		w.t.Errorf("the server stops with %v", err)
	}
}

func (w *streams) shutdown(ctx context.Context) {
	w.stopServer(func() error {
		for i := 1; i < len(w.sides); i += 2 {
			w.sides[i].closing()
			w.sides[i].hard.Store(true)
			w.sides[i].swept.Store(true)
		}
		if w.rough { // as in side.close
			w.roughen()
		}
		err := w.server.Shutdown(ctx)
		if end, ok := ctx.Deadline(); ok && time.Since(end) > w.pause() {
			w.t.Errorf("Shutdown returns %v after the end of its context", time.Since(end))
		}
		if err != nil {
			return err
		}
		for _, s := range w.sides {
			if s.r.mu.Lock(); s.greeted && !s.r.closed {
				w.t.Errorf("%s: Shutdown returns before the close event", s.name)
			}
			s.r.mu.Unlock()
		}
		select {
		case <-w.server.Done():
		default:
			w.t.Error("Shutdown returns before the server is done")
		}
		return nil
	})
}
