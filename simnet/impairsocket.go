package simnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/seed287501ae/sockets/internal/deadline"
	"github.com/seed287501ae/sockets/internal/endpoint"
)

const (
	goodbye   = 2 * time.Second // Close takes at most
	lingering = time.Minute     // what was sent may take so much longer than the link
)

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

// close makes the socket a closed one. It calls begin with the owner's mutex
// locked, then finish: when nothing more leaves by out, or a long time after all
// should have left, or at once if begin is in a hurry. That goes on in the
// background if it takes longer than a goodbye.
func (s *impairedSocket) close(out *way, begin func(now time.Time) (hurry bool), finish func(sent bool) error) error {
	s.owner.mu.Lock()
	if isClosed(s.gone) {
		s.owner.mu.Unlock()
		return s.fail("close", nil, net.ErrClosed)
	}
	close(s.gone)
	s.readDeadline.Set(time.Time{})
	s.writeDeadline.Set(time.Time{})
	now := time.Now()
	patience := time.Duration(1)
	if !begin(now) {
		patience = max(out.latest.Sub(now), 0) + lingering
	}
	s.owner.mu.Unlock()
	wake(out.ready)
	finished := make(chan error, 1)
	go func() {
		_, sent := within(patience, s.sent)
		err := finish(sent)
		s.pumps.Wait()
		finished <- err
	}()
	err, _ := within(goodbye, finished)
	return err
}

// within receives from a channel that is closed or sent to within a time.
func within[T any](d time.Duration, c <-chan T) (received T, ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case received = <-c:
		return received, true
	case <-timer.C:
		return received, false
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
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
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
