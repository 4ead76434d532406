package sockets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/latch"
	"github.com/seed287501ae/sockets/internal/outbox"
	"github.com/seed287501ae/sockets/internal/page"
	"github.com/seed287501ae/sockets/internal/slab"
	"github.com/seed287501ae/sockets/internal/system"
	"github.com/seed287501ae/sockets/internal/wire"
)

var (
	// ErrCallbackSet is the error of Receive where a callback receives instead.
	ErrCallbackSet = errors.New("sockets: a callback is set: it receives, Receive cannot")

	// ErrSlow is the error of another end that does not keep up: why SendAll ended
	// a connection, or why Peer.SendAll, or Send over a layer, did not send to a peer.
	ErrSlow = errors.New("sockets: the other end is too slow: its queue (Config.MaxQueue, or a layer's window) is full")

	errHalfClosed = fmt.Errorf("CloseWrite was called: %w", net.ErrClosed)
)

const keepAtMost = 128 << 10 // bytes of memory that is kept to be lent again

// A Connection exchanges messages with one other end over a stream: each
// arrives whole, once, and in the order sent. Messages are received either by a
// callback ([NewConnection], [Connection.SetCallback]) or by
// [Connection.Receive].
//
// Every method may be called from many goroutines, and from the callback.
type Connection struct {
	conn   net.Conn
	ends   *endpoint.Ends                  // of a conn that may forget them, or nil
	half   interface{ CloseWrite() error } // conn, or nil if it has no CloseWrite
	cfg    *Config
	framer *Framer
	wire   *wire.Wire
	own    slab.Slab // of who receives: payloads that are not lent

	reading latch.Token    // the right to read from conn
	out     *outbox.Outbox // the right to write to conn

	called  latch.Latch // a callback receives
	closing latch.Latch // no message is wanted any more
	flushed latch.Latch // nothing is sent any more, and conn is half-closed
	ended   latch.Latch // conn is closed
	done    latch.Latch // the callback has been told, if there is one

	halfErr error        // of CloseWrite; read it once flushed is closed
	pending atomic.Int32 // what has to happen before done: flushed, ended, callbacks, a server's greeting
	onDone  func()       // nil, or called before done is closed

	mu  sync.Mutex // guards what follows
	err error      // why it ended
	eof bool       // Receive saw the other end's end
}

// NewConnection returns a connection over conn, which is its own from now on.
// With a callback it starts to receive; without one, nothing is read until
// [Connection.Receive] or [Connection.SetCallback].
//
// A conn with a handshake has done it before. One without CloseWrite, or within
// a wrapper that hides it, cannot be half-closed: Close then does not wait for
// the other end.
func NewConnection(conn net.Conn, callback ConnectionCallback) *Connection {
	return new(Config).NewConnection(conn, callback)
}

// NewConnection is the function [NewConnection] with this configuration.
func (cfg *Config) NewConnection(conn net.Conn, callback ConnectionCallback) *Connection {
	full := cfg.withDefaults()
	return newConnection(conn, &full, callback)
}

func newConnection(conn net.Conn, cfg *Config, callback ConnectionCallback) *Connection {
	c := &Connection{
		conn: conn,
		ends: endpoint.Keep(conn),
		cfg:  cfg,
		wire: &wire.Wire{Conn: conn, Idle: cfg.IdleTimeout, Frame: cfg.FrameTimeout, Send: cfg.SendTimeout},
	}
	c.half, _ = conn.(interface{ CloseWrite() error })
	c.framer = NewFramer(c.wire, cfg.Prefix)
	c.framer.MaxMessage = cfg.MaxMessage
	c.wire.Begun = c.framer.begun
	c.out = outbox.New(cfg.MaxQueue, c.wire.WriteVector, c.wire.TryWrite, c.fail, c.halfClose)
	c.pending.Store(2)
	if callback != nil {
		c.SetCallback(callback)
	}
	return c
}

// LocalAddress returns this end's address.
func (c *Connection) LocalAddress() Address { return c.ends.Local(c.conn) }

// RemoteAddress returns the other end's address.
func (c *Connection) RemoteAddress() Address { return c.ends.Remote(c.conn) }

// NetConn returns what is beneath. Reading, writing or closing it corrupts the
// connection.
func (c *Connection) NetConn() net.Conn { return c.conn }

// SetCallback starts to receive: from now on callback is told every event, one
// at a time. It may be called once, also after the connection ended: the
// callback is told so. A second call, or a nil callback, panics.
func (c *Connection) SetCallback(callback ConnectionCallback) {
	if callback == nil || !c.called.Close() {
		panic("sockets: Connection.SetCallback: once, and not nil")
	}
	c.pending.Add(1)
	if c.reading.Try() {
		c.reading.Give()
	} else {
		c.wire.Wake() // a Receive, which is to stop
	}
	go c.deliver(callback)
}

// Send sends payload as one message. It returns once the kernel or the
// connection has a copy: the payload may be reused, and a later failure is
// [Connection.Err]. Messages that are sent one right after another, or from a
// callback while more have arrived, are gathered and leave together: 256 KiB of
// them at most, and within a millisecond. It waits as long as the other end does
// not keep up: at most [Config.SendTimeout] without one byte taken, which ends
// the connection. Messages of concurrent Sends never interleave.
//
// A payload over the limit gives [ErrMessageTooBig]; the connection is as good
// as before. After [Connection.Close] or [Connection.CloseWrite] the error is
// [net.ErrClosed], after the end of the other end [io.EOF], and after a fault
// that fault.
func (c *Connection) Send(payload []byte) error {
	if err := c.framer.checkLength(len(payload)); err != nil {
		return err
	}
	var head head
	refused, ok := c.out.Send(head.put(c.framer.prefix, len(payload)), payload)
	if ok {
		return nil
	}
	return overError(cmp.Or(refused, c.Err()))
}

// SendAll sends one message to many connections, and never waits: each has a
// queue of [Config.MaxQueue] bytes, which a goroutine of the connection empties.
// A connection whose queue is full is closed with [ErrSlow]: a stream never has
// a hole, so who cannot keep up is disconnected, never skipped.
//
// The payload may be reused at once. The error joins one for each connection
// that did not take the message.
func SendAll(payload []byte, to ...*Connection) error {
	var frames [maxPrefix + 1][]byte // by the width of their prefix
	var errs []error
	for _, c := range to {
		err := c.framer.checkLength(len(payload))
		if err == nil {
			frame := &frames[c.framer.prefix]
			if *frame == nil {
				var head head
				*frame = outbox.Frame(head.put(c.framer.prefix, len(payload)), payload)
			}
			if refused, ok := c.out.Enqueue(*frame, ErrSlow); refused != nil {
				err = overError(refused)
			} else if !ok {
				c.abort(ErrSlow)
				err = ErrSlow
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sockets: to %v: %w", c.RemoteAddress(), err))
		}
	}
	return errors.Join(errs...)
}

// Receive returns the next message, which belongs to the caller. It waits until
// ctx ends; a message that has arrived in part by then is not lost: the next
// Receive goes on.
//
// The error is [io.EOF] when the other end has ended, after which Send goes on
// until Close; [net.ErrClosed] after Close here; [ErrCallbackSet] where a
// callback receives; ctx's own; or the fault that ended the connection.
func (c *Connection) Receive(ctx context.Context) ([]byte, error) {
	var stopped error
	stop := func() error {
		switch {
		case c.closing.IsClosed():
			stopped = net.ErrClosed
		case c.called.IsClosed():
			stopped = ErrCallbackSet
		default:
			stopped = ctx.Err()
		}
		return stopped
	}
	took := c.reading.Try()
	for !took && stop() == nil {
		select {
		case <-c.reading.Free():
		case <-ctx.Done():
		case <-c.called.Wait():
		case <-c.closing.Wait():
		}
		took = c.reading.Try()
	}
	if took {
		defer c.reading.Give()
	}
	if err := stop(); err != nil {
		return nil, err
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, c.wire.Wake)()
	}
	message, inPlace, err := c.next([]byte{}, stop)
	if inPlace {
		message = c.own.Clone(message)
	}
	if err == nil {
		return message, nil
	}
	switch {
	case err == stopped:
		return nil, err
	case err == io.EOF && !c.ended.IsClosed():
		c.mu.Lock()
		c.eof = true
		c.mu.Unlock()
		return nil, io.EOF
	}
	c.endReceiving(err)
	return nil, c.Err()
}

// CloseWrite ends this end's stream, as the slides' shutdown(SHUT_WR): it
// refuses new Sends, lets earlier ones finish, and tells the other end that no
// more will come. Receiving goes on.
func (c *Connection) CloseWrite() error {
	if c.half == nil {
		return fmt.Errorf("sockets: CloseWrite of a %T: %w", c.conn, errors.ErrUnsupported)
	}
	if reason := c.out.Refuse(errHalfClosed); reason != errHalfClosed {
		return overError(reason)
	}
	c.out.Settle()
	<-c.flushed.Wait()
	return cmp.Or(c.out.Err(), c.halfErr)
}

// Close says goodbye: it refuses new Sends, lets earlier ones finish, ends this
// end's stream, discards what still arrives until the other end ends its own,
// and closes. So what Send accepted reaches a peer that reads, and the program
// may exit right after. No message event starts after Close was called.
//
// It takes at most [Config.CloseTimeout]; then it closes all the same, and
// returns an error that is [os.ErrDeadlineExceeded]. Closing again does nothing,
// nor does closing what a fault has ended: [Connection.Err] is that fault.
func (c *Connection) Close() error {
	first := c.closing.Close()
	open := c.blame(net.ErrClosed)
	var late atomic.Bool
	if first && c.cfg.CloseTimeout > 0 {
		timer := time.AfterFunc(c.cfg.CloseTimeout, func() {
			late.Store(open || c.Err() == io.EOF)
			c.abort(net.ErrClosed)
		})
		defer timer.Stop()
	}
	c.wire.Wake()
	c.out.Settle()
	err := c.drain()
	<-c.flushed.Wait()
	c.conn.Close() // before what is beneath it: a layer may say goodbye here
	c.abort(net.ErrClosed)
	switch err = cmp.Or(c.out.Err(), err, c.wire.Fault()); {
	case late.Load():
		err = fmt.Errorf("the other end did not end within %v (Config.CloseTimeout): does it read? %w", c.cfg.CloseTimeout, os.ErrDeadlineExceeded)
	case err == nil, !first, !open, errors.Is(err, net.ErrClosed):
		return nil
	}
	return fmt.Errorf("sockets: close %v: %w", c.RemoteAddress(), err)
}

// CloseNow closes at once: nothing more is sent or received, and the other end
// may see a reset.
func (c *Connection) CloseNow() error {
	c.closing.Close()
	c.abort(net.ErrClosed)
	return nil
}

// Closed reports whether the connection has ended or is closing.
func (c *Connection) Closed() bool { return c.Err() != nil }

// Err returns nil as long as the connection is open. Afterwards it is why it
// ended: [net.ErrClosed] if this end closed it, [io.EOF] if the other end ended
// first, else the fault.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done returns a channel that is closed when the connection is over and its
// callback has been told. Waiting for it in that callback waits for ever.
func (c *Connection) Done() <-chan struct{} { return c.done.Wait() }

// deliver tells callback every event. It is the receiving goroutine.
func (c *Connection) deliver(callback ConnectionCallback) {
	stop := func() error {
		if c.closing.IsClosed() {
			return net.ErrClosed
		}
		return nil
	}
	c.reading.Take() // a Receive may have it
	c.reading.Give()
	if _, system := c.conn.(*net.TCPConn); system {
		c.wire.Rest = time.Second
	}
	lent := []byte{}
	for {
		payload, inPlace, err := c.arrived(lent, stop)
		if err == wire.ErrRest {
			go c.deliver(callback) // whose stack is small, and which has nothing to lend
			return
		}
		if err != nil && !c.closing.IsClosed() {
			c.endReceiving(err)
		}
		if err != nil || c.closing.IsClosed() {
			break
		}
		switch {
		case inPlace && !c.cfg.LendPayloads:
			payload = c.own.Clone(payload)
		case !inPlace && c.cfg.LendPayloads && cap(payload) <= keepAtMost:
			lent = payload[:0]
		}
		callback(EventMessage, payload, c, nil)
	}
	c.tellEnd(callback)
}

// endReceiving ends the connection after what was sent, if the other end ended
// in order, else at once. Where Close came first, Close ends it.
func (c *Connection) endReceiving(err error) {
	if err == io.EOF {
		c.end(io.EOF)
		select {
		case <-c.flushed.Wait():
		case <-c.ended.Wait():
		}
	}
	if c.blame(err); c.Err() != net.ErrClosed {
		c.abort(err)
	}
}

func (c *Connection) tellEnd(callback ConnectionCallback) {
	<-c.ended.Wait()
	if reason := c.Err(); reason != io.EOF && reason != net.ErrClosed {
		callback(EventError, nil, c, reason)
	}
	callback(EventClose, nil, c, nil)
	c.release()
}

// arrived is next, for the callback. Before it waits for what has not arrived,
// what the callback sent leaves.
func (c *Connection) arrived(dst []byte, stop func() error) (message []byte, inPlace bool, err error) {
	if message, ok := c.framer.take(); ok {
		c.wire.Next()
		return message, true, nil
	}
	c.out.Release()
	c.reading.Take()
	message, inPlace, err = c.next(dst, stop)
	c.reading.Give()
	_, more := c.framer.whole()
	c.out.Hold(more)
	return message, inPlace, err
}

// next reads one message, as Framer.next. The caller holds reading, and gives it
// up when stop returns an error.
func (c *Connection) next(dst []byte, stop func() error) (message []byte, inPlace bool, err error) {
	c.wire.Stop = stop
	message, inPlace, err = c.framer.next(dst)
	if err == nil {
		c.wire.Next()
	}
	return message, inPlace, err
}

// drain discards what arrives until the other end ends, or the connection. A
// payload that is lent stays as it is.
func (c *Connection) drain() error {
	for !c.reading.Try() {
		select {
		case <-c.reading.Free():
		case <-c.ended.Wait():
			return nil
		}
	}
	defer c.reading.Give()
	if c.half == nil {
		return nil
	}
	scratch := page.Get()
	defer page.Put(scratch)
	for {
		_, err := c.conn.Read(scratch[:])
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.conn.SetReadDeadline(time.Time{})
		case err != nil:
			return err
		}
	}
}

// halfClose is called once: Sends are refused, and none is under way.
func (c *Connection) halfClose() {
	if c.half != nil {
		c.halfErr = c.half.CloseWrite()
	}
	c.flushed.Close()
	c.release()
}

// end makes err the reason why the connection ends, and reports whether there
// was none before. Sends are refused; what has arrived may still be received.
func (c *Connection) end(err error) (first bool) {
	first = c.blame(err)
	c.out.Settle()
	return first
}

// abort ends the connection at once.
func (c *Connection) abort(err error) {
	c.blame(err)
	closeNow(c.conn)
	if c.ended.Close() {
		c.release()
	}
	c.out.Settle()
}

// closeNow closes conn; what is beneath it first, or a layer's goodbye could
// wait for room.
func closeNow(conn net.Conn) {
	if layer, ok := conn.(interface{ NetConn() net.Conn }); ok {
		layer.NetConn().Close()
	}
	conn.Close()
}

func (c *Connection) blame(err error) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.Refuse(err) == ErrSlow {
		err = ErrSlow // SendAll came first, and is about to say so
	}
	if c.err != nil {
		return false
	}
	if c.err = err; c.eof && err == net.ErrClosed {
		c.err = io.EOF
	}
	return true
}

// fail ends the connection, of which a write failed. What the other end sent
// before may still be received, for a while.
func (c *Connection) fail(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.abort(err)
	} else if c.end(err) && c.cfg.CloseTimeout > 0 {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), c.cfg.CloseTimeout)
			defer cancel()
			wait(ctx, c.ended.Wait())
			c.abort(err)
		}()
	}
}

// release tells that one of what is pending has happened.
func (c *Connection) release() {
	if c.pending.Add(-1) > 0 {
		return
	}
	if c.onDone != nil {
		c.onDone()
	}
	c.done.Close()
}

func overError(reason error) error {
	return fmt.Errorf("sockets: nothing more can be sent: %w", reason)
}

// A Client is a connection made by connecting to a server.
type Client struct{ *Connection }

// Dial connects to the server at address, as "localhost:8080", within
// [Config.DialTimeout] and as long as ctx lasts. The error tells in words
// whether nobody accepts there ([syscall.ECONNREFUSED]), nothing answers
// ([os.ErrDeadlineExceeded]) or the host is unknown ([*net.DNSError]).
//
// With a callback the client starts to receive, maybe before Dial returns: the
// callback gets the connection as its argument.
func Dial(ctx context.Context, address string, callback ConnectionCallback) (*Client, error) {
	return new(Config).Dial(ctx, address, callback)
}

// Dial is the function [Dial] with this configuration.
func (cfg *Config) Dial(ctx context.Context, address string, callback ConnectionCallback) (*Client, error) {
	full := cfg.withDefaults()
	target, port, err := endpoint.HostPort(address)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		return nil, fmt.Errorf("sockets: dial %q: a destination needs a port, from 1 to 65535", address)
	}
	ctx, cancel, overdue := within(ctx, full.DialTimeout)
	defer cancel()
	conn, err := full.Network.DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, shown{system.ExplainDial(overdue(err, "DialTimeout"), address)}
	}
	return &Client{newConnection(conn, &full, callback)}, nil
}
