package simnet

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets/internal/deadline"
	"github.com/seed287501ae/sockets/internal/endpoint"
)

const (
	maxUnderway   = 256 << 10              // bytes of a stream in one direction
	chunk         = 32 << 10               // bytes that are moved at once
	firstRepeated = 200 * time.Millisecond // how late a lost piece comes
	lastRepeated  = 60 * time.Second       // how late it comes at most, the last time
)

// A portion is a piece of a stream, or its end.
type portion struct {
	at   time.Time // when it comes out
	all  []byte
	rest []byte // not taken yet
	end  error
}

// A streamWay is one direction of a stream.
type streamWay struct {
	way
	remote netip.AddrPort
	flow   flow
	room   chan struct{} // one slot: who puts should look again
	pieces []portion
	bytes  int   // of pieces
	taken  int64 // bytes that came out
	shut   bool  // nothing more is put
	broken error // why nothing passes any more
}

// put makes the first piece of data set out, if there is room for it. Else again
// is when there may be; if it is zero, when something is taken.
func (w *streamWay) put(now time.Time, data []byte) (n int, again time.Time) {
	w.link = w.owner.link
	size := int(min(w.link.segment(w.remote.Addr()), int64(len(data))))
	if w.bytes+size > maxUnderway {
		return 0, time.Time{}
	}
	// A stream is not to fill a queue as long as that of datagrams: what is on its
	// way keeps its time, though the link changes.
	whole := int64(size) + tcp.headerLength(w.remote.Addr())
	w.link.Queue = int(max(cmp.Or(int64(w.link.Queue), min(w.link.Bandwidth/80, maxUnderway)), whole))
	left, ok := w.transmit(now, whole)
	if !ok {
		return 0, w.busy.Add(w.link.transmission(whole) - w.link.transmission(int64(w.link.Queue)))
	}
	data = slices.Clone(data[:size])
	see := func(fate Fate) { w.see(now, w.remote, data, fate) }
	see(Sent)
	lot := w.link.draw(diceFor(w.link.Seed, w.flow.hash, w.flow.sent))
	at := left.Add(lot.delay)
	if lot.reordered {
		see(Reordered)
	}
	repeated := diceFor(^w.link.Seed, w.flow.hash, w.flow.sent)
	for late := firstRepeated; lot.lost && w.link.Loss < 1 && late <= lastRepeated; late *= 2 {
		see(Lost)
		at = at.Add(late)
		lot.lost = repeated.chance() < w.link.Loss
	}
	w.flow.sent++
	w.enter(portion{at: at, all: data, rest: data})
	return size, time.Time{}
}

// end makes the end of the stream set out.
func (w *streamWay) end(now time.Time, err error) {
	if !w.shut {
		w.shut = true
		w.enter(portion{at: now, end: err})
	}
}

func (w *streamWay) enter(p portion) {
	if p.at.Before(w.latest) {
		p.at = w.latest
	}
	w.latest = p.at
	w.bytes += len(p.rest)
	w.pieces = append(w.pieces, p)
	wake(w.ready)
}

// breakOff lets nothing pass any more.
func (w *streamWay) breakOff(err error) {
	w.broken = cmp.Or(w.broken, err)
	wake(w.ready)
	wake(w.room)
}

// take takes what has come out, as much as buffer holds. If that is nothing,
// again is when something comes out, if that is known.
func (w *streamWay) take(now time.Time, buffer []byte) (n int, again time.Time, err error) {
	link := &w.owner.link
	switch {
	case w.broken != nil:
		return 0, time.Time{}, w.broken
	case link.Reset > 0 && w.taken >= link.Reset:
		return 0, time.Time{}, errReset
	case link.Loss >= 1 || link.Stall > 0 && w.taken >= link.Stall:
		return 0, time.Time{}, nil
	}
	room := int64(len(buffer))
	for _, most := range []int64{link.Reset - w.taken, link.Stall - w.taken, int64(link.Slice)} {
		if most > 0 {
			room = min(room, most)
		}
	}
	for len(w.pieces) > 0 && int64(n) < room {
		p := &w.pieces[0]
		if p.at.After(now) {
			again = p.at
			break
		} else if p.end != nil {
			err = p.end
			break
		}
		m := copy(buffer[n:room], p.rest)
		n += m
		if p.rest = p.rest[m:]; len(p.rest) == 0 {
			w.see(now, w.remote, p.all, Delivered)
			w.pieces = w.pieces[1:]
		}
	}
	if n == 0 {
		return 0, again, err
	}
	w.taken += int64(n)
	w.bytes -= n
	wake(w.room)
	return n, time.Time{}, nil
}

// errReset is what take returns where the link resets the stream.
var errReset error = syscall.ECONNRESET

// An impairedStream is a stream behind a link.
type impairedStream struct {
	impairedSocket
	base    net.Conn
	writing chan struct{} // one slot; holding it is the right to write

	// The owner's mutex guards what follows.
	out, in streamWay
	started bool // the pumps run
}

func (i *Impaired) impairStream(base net.Conn, remoteName any) *impairedStream {
	s := &impairedStream{
		impairedSocket: i.newSocket(base.LocalAddr(), base.RemoteAddr()),
		base:           base,
		writing:        make(chan struct{}, 1),
	}
	name := i.nameOf("", s.local)
	s.out, s.in = s.newStreamWay(sending, name, remoteName), s.newStreamWay(receiving, name, remoteName)
	return s
}

func (s *impairedSocket) newStreamWay(d direction, name string, remoteName any) streamWay {
	return streamWay{
		way:    s.newWay(d, name),
		remote: endpoint.Of(s.remote),
		flow:   flow{hash: hash(tcp, d, name, remoteName)},
		room:   make(chan struct{}, 1),
	}
}

// NetConn returns the connection beneath.
func (s *impairedStream) NetConn() net.Conn { return s.base }

// HandshakeContext does the handshake of the connection beneath, if it has one.
func (s *impairedStream) HandshakeContext(ctx context.Context) error {
	if h, ok := s.base.(interface {
		HandshakeContext(ctx context.Context) error
	}); ok {
		return h.HandshakeContext(ctx)
	}
	return nil
}

// start makes the pumps run, which must not be before a handshake.
func (s *impairedStream) start() {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	if !s.started && !isClosed(s.gone) {
		s.started = true
		s.pumps.Go(s.receive)
		s.pumps.Go(s.send)
	}
}

func (s *impairedStream) Write(data []byte) (int, error) {
	s.start()
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-s.gone:
		return 0, s.fail("write", nil, net.ErrClosed)
	case <-s.writeDeadline.Passed():
		return 0, s.fail("write", nil, os.ErrDeadlineExceeded)
	}
	n, err := s.put(&s.out, &s.writeDeadline, data)
	if err != nil {
		return n, s.fail("write", nil, err)
	}
	return n, nil
}

// put puts data into a way, and waits for room.
func (s *impairedStream) put(w *streamWay, d *deadline.Deadline, data []byte) (n int, err error) {
	stopped := s.await(s.gone, d, w.room, func(now time.Time) (again time.Time, done bool) {
		switch {
		case w.broken != nil:
			err = w.broken
		case w.shut:
			err = syscall.EPIPE
		}
		for err == nil && n < len(data) {
			var m int
			if m, again = w.put(now, data[n:]); m == 0 {
				return again, false
			}
			n += m
		}
		return again, true
	})
	return n, cmp.Or(stopped, err)
}

// send sends what has come out, until the end of the stream.
func (s *impairedStream) send() {
	defer close(s.sent)
	buffer := make([]byte, chunk)
	for {
		n, err := s.take(&s.out, nil, &s.never, buffer)
		if err == nil {
			_, err = s.base.Write(buffer[:n])
		} else if err == io.EOF {
			err = s.base.(closeWriter).CloseWrite()
		}
		if err != nil || n == 0 {
			s.breakOff(&s.out, err)
			return
		}
	}
}

type closeWriter interface{ CloseWrite() error }

// CloseWrite ends what this end sends, behind what was written.
func (s *impairedStream) CloseWrite() error {
	if _, ok := s.base.(closeWriter); !ok {
		return s.fail("close", nil, errors.ErrUnsupported)
	}
	s.start()
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	if isClosed(s.gone) {
		return s.fail("close", nil, net.ErrClosed)
	}
	s.out.end(time.Now(), io.EOF)
	return nil
}

func (s *impairedStream) Read(buffer []byte) (int, error) {
	s.start()
	n, err := s.take(&s.in, s.gone, &s.readDeadline, buffer)
	if err != nil {
		return 0, s.fail("read", nil, err)
	}
	return n, nil
}

// take waits for what comes out of a way.
func (s *impairedStream) take(w *streamWay, gone <-chan struct{}, d *deadline.Deadline, buffer []byte) (n int, err error) {
	stopped := s.await(gone, d, w.ready, func(now time.Time) (again time.Time, done bool) {
		n, again, err = w.take(now, buffer)
		if err == errReset {
			s.out.breakOff(err)
			s.in.breakOff(err)
		}
		return again, n > 0 || err != nil || len(buffer) == 0
	})
	if err == errReset {
		s.abort()
	}
	return n, cmp.Or(stopped, err)
}

// receive receives until the end of the base; after Close only to discard.
func (s *impairedStream) receive() {
	buffer := make([]byte, chunk)
	for {
		n, err := s.base.Read(buffer)
		s.put(&s.in, &s.never, buffer[:n])
		if err != nil {
			s.owner.mu.Lock()
			s.in.end(time.Now(), err)
			s.owner.mu.Unlock()
			return
		}
	}
}

func (s *impairedStream) Close() error {
	ended := s.base.SetReadDeadline(time.Time{}) != nil
	unread := false
	begin := func(now time.Time) (hurry bool) {
		unread = s.in.hasUnread(now)
		s.out.end(now, net.ErrClosed)
		if ended || unread {
			s.out.breakOff(net.ErrClosed)
		}
		if !s.started {
			close(s.sent)
		}
		return unread
	}
	return s.close(&s.out.way, begin, func(sent bool) error {
		switch {
		case ended:
			return nil
		case sent && !unread:
			return s.base.Close()
		}
		s.breakOff(&s.out, os.ErrDeadlineExceeded)
		s.abort()
		return nil
	})
}

// hasUnread reports whether there is something to read now.
func (w *streamWay) hasUnread(now time.Time) bool {
	return len(w.pieces) > 0 && w.pieces[0].end == nil && !w.pieces[0].at.After(now)
}

func (s *impairedStream) breakOff(w *streamWay, err error) {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	w.breakOff(err)
}

// abort closes the base so that the other end gets a reset.
func (s *impairedStream) abort() {
	if base, ok := s.base.(interface{ SetLinger(seconds int) error }); ok {
		base.SetLinger(0)
	}
	s.base.Close()
}

// An impairedListener accepts streams behind a link.
type impairedListener struct {
	owner *Impaired
	base  net.Listener
}

func (l *impairedListener) Accept() (net.Conn, error) {
	conn, err := l.base.Accept()
	if err != nil {
		return nil, err
	}
	return l.owner.impairStream(conn, nil), nil
}

func (l *impairedListener) Addr() net.Addr { return l.base.Addr() }
func (l *impairedListener) Close() error   { return l.base.Close() }
