package sockets_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// A recorder is a ConnectionCallback that notes what it is told, and fails its
// test where that is against the contract.
type recorder struct {
	t       *testing.T
	then    func(event sockets.Event, payload []byte, c *sockets.Connection, err error) // may be nil
	running atomic.Bool

	mu     sync.Mutex // guards what follows
	events []string
	err    error
	closed bool
}

func newRecorder(t *testing.T) *recorder { return &recorder{t: t} }

func (r *recorder) callback(event sockets.Event, payload []byte, c *sockets.Connection, err error) {
	if !r.running.CompareAndSwap(false, true) {
		r.t.Errorf("%s while the callback runs", event)
	}
	defer r.running.Store(false)
	r.note(event, payload, c, err)
	if r.then != nil {
		r.then(event, payload, c, err)
	}
}

func (r *recorder) note(event sockets.Event, payload []byte, c *sockets.Connection, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.err != nil && event != sockets.EventClose {
		r.t.Errorf("%s after %v", event, r.events)
	}
	if c == nil {
		r.t.Errorf("%s without its connection", event)
	}
	if (event == sockets.EventError) != (err != nil) {
		r.t.Errorf("%s with error %v", event, err)
	}
	if event != sockets.EventMessage && payload != nil {
		r.t.Errorf("%s with payload %q", event, payload)
	}
	text := string(event)
	switch event {
	case sockets.EventMessage:
		text += " " + string(payload)
	case sockets.EventError:
		r.err = err
		if c.Err() == nil {
			r.t.Errorf("Err() = nil in the error event of %v", err)
		}
	case sockets.EventClose:
		r.closed = true
		if !c.Closed() {
			r.t.Error("Closed() = false in the close event")
		}
	default:
		r.t.Errorf("event %q of a connection", event)
	}
	r.events = append(r.events, text)
}

// told returns the events so far.
func (r *recorder) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.events...)
}

func (r *recorder) error() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *recorder) check(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), r.told()); diff != "" {
		r.t.Errorf("events: -want +got\n%s", diff)
	}
}

// alone returns a connection over one end of a pipe, and the bare other end.
func alone(cfg sockets.Config, callback sockets.ConnectionCallback) (*sockets.Connection, *memConn) {
	here, there := pipe()
	return cfg.NewConnection(here, callback), there
}

// couple returns two connections with each other.
func couple(cfg sockets.Config, a, b sockets.ConnectionCallback) (*sockets.Connection, *sockets.Connection) {
	here, there := pipe()
	return cfg.NewConnection(here, a), cfg.NewConnection(there, b)
}

// framed returns messages as they travel, with prefixes of 4 bytes.
func framed(messages ...string) []byte {
	var b []byte
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(m))), m...)
	}
	return b
}

// readAll reads a bare end until the other one has ended, and closes it.
func readAll(t *testing.T, conn *memConn) []byte {
	t.Helper()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("reading to the end: %v", err)
	}
	conn.Close()
	return got
}

// answer reads in the background until the other end has ended, as one that is
// told goodbye does.
func answer(conn *memConn) {
	go func() {
		io.Copy(io.Discard, conn)
		conn.Close()
	}()
}

// takes fails the test unless f takes exactly as long as want, in virtual time.
func takes(t *testing.T, what string, want time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if got := time.Since(start); got != want {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func receive(t *testing.T, c *sockets.Connection, want string) {
	t.Helper()
	if got, err := c.Receive(t.Context()); string(got) != want || err != nil {
		t.Errorf("Receive = %q, %v, want %q", got, err, want)
	}
}

func receiveError(t *testing.T, c *sockets.Connection, want error) {
	t.Helper()
	if got, err := c.Receive(t.Context()); got != nil || !errors.Is(err, want) {
		t.Errorf("Receive = %q, %v, want the error %v", got, err, want)
	}
}

func sendError(t *testing.T, c *sockets.Connection, want error) {
	t.Helper()
	if err := c.Send([]byte("too late")); !errors.Is(err, want) {
		t.Errorf("Send = %v, want %v", err, want)
	}
}

func send(t *testing.T, c *sockets.Connection, text string) {
	t.Helper()
	if err := c.Send([]byte(text)); err != nil {
		t.Errorf("Send(%.20q) = %v", text, err)
	}
}

// An ending is a cause why a connection ends.
type ending struct {
	name  string
	cfg   sockets.Config
	cause func(c *sockets.Connection, other *memConn)
	err   error // what Err is
	fault bool  // it is told of in an error event
}

var endings = []ending{
	{
		name: "Close here",
		cause: func(c *sockets.Connection, other *memConn) {
			answer(other)
			c.Close()
		},
		err: net.ErrClosed,
	}, {
		name:  "Close here, nobody answers",
		cause: func(c *sockets.Connection, other *memConn) { c.Close() },
		err:   net.ErrClosed,
	}, {
		name:  "CloseNow here",
		cause: func(c *sockets.Connection, other *memConn) { c.CloseNow() },
		err:   net.ErrClosed,
	}, {
		name:  "Close there",
		cause: func(c *sockets.Connection, other *memConn) { other.Close() },
		err:   io.EOF,
	}, {
		name:  "half-close there",
		cause: func(c *sockets.Connection, other *memConn) { other.CloseWrite() },
		err:   io.EOF,
	}, {
		name: "half-close here, then the end there",
		cause: func(c *sockets.Connection, other *memConn) {
			answer(other)
			c.CloseWrite()
		},
		err: io.EOF,
	}, {
		name:  "reset",
		cause: func(c *sockets.Connection, other *memConn) { other.abort() },
		err:   syscall.ECONNRESET,
		fault: true,
	}, {
		name: "an end inside a message",
		cause: func(c *sockets.Connection, other *memConn) {
			other.Write(framed("message")[:7])
			other.CloseWrite()
		},
		err:   io.ErrUnexpectedEOF,
		fault: true,
	}, {
		name: "an end inside a prefix",
		cause: func(c *sockets.Connection, other *memConn) {
			other.Write(framed("message")[:1])
			other.CloseWrite()
		},
		err:   io.ErrUnexpectedEOF,
		fault: true,
	}, {
		name:  "a message over the limit",
		cfg:   sockets.Config{MaxMessage: 10},
		cause: func(c *sockets.Connection, other *memConn) { other.Write(framed("01234567890")) },
		err:   sockets.ErrMessageTooBig,
		fault: true,
	}, {
		name:  "FrameTimeout",
		cause: func(c *sockets.Connection, other *memConn) { other.Write(framed("message")[:7]) },
		err:   os.ErrDeadlineExceeded,
		fault: true,
	}, {
		name:  "IdleTimeout",
		cfg:   sockets.Config{IdleTimeout: time.Minute},
		cause: func(c *sockets.Connection, other *memConn) {},
		err:   os.ErrDeadlineExceeded,
		fault: true,
	}, {
		name: "SendTimeout",
		cause: func(c *sockets.Connection, other *memConn) {
			go c.Send(make([]byte, memCapacity))
		},
		err:   os.ErrDeadlineExceeded,
		fault: true,
	}, {
		name: "ErrSlow",
		cfg:  sockets.Config{MaxQueue: memCapacity},
		cause: func(c *sockets.Connection, other *memConn) {
			sockets.SendAll(make([]byte, 2*memCapacity), c)
			sockets.SendAll([]byte("the last straw"), c)
		},
		err:   sockets.ErrSlow,
		fault: true,
	}, {
		name: "a write fault",
		cause: func(c *sockets.Connection, other *memConn) {
			other.peer.failWrites(3, syscall.EHOSTUNREACH)
			c.Send([]byte("message"))
		},
		err:   syscall.EHOSTUNREACH,
		fault: true,
	}, {
		name: "a write fault of SendAll",
		cause: func(c *sockets.Connection, other *memConn) {
			other.peer.failWrites(3, syscall.EHOSTUNREACH)
			sockets.SendAll([]byte("message"), c)
		},
		err:   syscall.EHOSTUNREACH,
		fault: true,
	},
}

func TestCloseComesOnceAndLast(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(t)
				c, other := alone(e.cfg, r.callback)
				other.Write(framed("one", "two"))
				synctest.Wait()
				if c.Err() != nil || c.Closed() {
					t.Errorf("Err() = %v, Closed() = %v of an open connection", c.Err(), c.Closed())
				}
				e.cause(c, other)
				e.checkEnd(t, c, r, "message one", "message two")
				other.Close()
			})
		})
	}
}

// checkEnd waits until c has ended, and compares what r was told.
func (e *ending) checkEnd(t *testing.T, c *sockets.Connection, r *recorder, before ...string) {
	t.Helper()
	<-c.Done()
	if err := c.Err(); !errors.Is(err, e.err) || !c.Closed() {
		t.Errorf("Err() = %v, Closed() = %v, want %v, true", err, c.Closed(), e.err)
	}
	if e.fault {
		before = append(before, "error")
		if err := r.error(); !errors.Is(err, e.err) || err != c.Err() {
			t.Errorf("the error event has %v, Err() is %v, want %v", err, c.Err(), e.err)
		}
	} else if c.Err() != e.err {
		t.Errorf("Err() = %v, want exactly %v", c.Err(), e.err)
	}
	time.Sleep(time.Hour)
	r.check(append(before, "close")...)
	if e.err == net.ErrClosed || e.err == io.EOF {
		if err := c.Send(nil); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Errorf("Send after the end = %v", err)
		}
	} else {
		sendError(t, c, e.err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close after the end = %v", err)
	}
	if err := c.CloseNow(); err != nil {
		t.Errorf("CloseNow after the end = %v", err)
	}
	if got := r.told(); len(got) != len(before)+1 {
		t.Errorf("Close after the end told %v", got)
	}
}

// "also when Close came before SetCallback", and every other cause.
func TestCloseIsToldToALateCallback(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(t)
				c, other := alone(e.cfg, nil)
				e.cause(c, other)
				synctest.Wait()
				c.SetCallback(r.callback)
				for !c.Closed() || len(r.told()) == 0 {
					time.Sleep(time.Second)
				}
				e.checkEnd(t, c, r)
				other.Close()
			})
		})
	}
}

// Receive, where there is no callback, ends for the same reasons.
func TestReceiveReturnsWhyItEnded(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, other := alone(e.cfg, nil)
				defer other.Close()
				other.Write(framed("one"))
				receive(t, c, "one")
				go func() {
					time.Sleep(time.Second)
					e.cause(c, other)
				}()
				receiveError(t, c, e.err)
				receiveError(t, c, e.err)
				if e.err != io.EOF {
					<-c.Done()
					receiveError(t, c, e.err)
				} else if c.Closed() {
					t.Errorf("Err() = %v, want nil: an end there does not end this end", c.Err())
				}
				time.Sleep(time.Second)
				c.Close()
				if err := c.Err(); !errors.Is(err, e.err) {
					t.Errorf("Err() = %v, want %v", err, e.err)
				}
				<-c.Done()
			})
		})
	}
}

// While a write fault is being told, what the other end sent is still received.
func TestAWriteFaultLosesNoInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, nil)
		other.Write(framed("one", "two"))
		other.peer.failWrites(0, syscall.EPIPE)
		sendError(t, c, syscall.EPIPE)
		c.SetCallback(r.callback)
		<-c.Done()
		r.check("message one", "message two", "error", "close")
		other.Close()
	})
}

// A stream that was closed here may read as one that ended there: it is no end.
func TestAnEndAfterAFaultIsTheFault(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			here, other := pipe()
			conn := &hookedConn{memConn: here, read: func(p []byte) (int, error) {
				n, err := here.Read(p)
				if errors.Is(err, net.ErrClosed) {
					err = io.EOF
				}
				return n, err
			}}
			cfg := sockets.Config{SendTimeout: time.Second}
			c := cfg.NewConnection(conn, nil)
			if late {
				go c.Send(make([]byte, 2*memCapacity))
				receiveError(t, c, os.ErrDeadlineExceeded)
				receiveError(t, c, os.ErrDeadlineExceeded)
			} else {
				r := newRecorder(t)
				c.SetCallback(r.callback)
				c.Send(make([]byte, 2*memCapacity))
				<-c.Done()
				r.check("error", "close")
			}
			if err := c.Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Err() = %v, want %v", err, os.ErrDeadlineExceeded)
			}
			other.Close()
		})
	}
}

// Who notices the end second does not hide why it came.
func TestSendTellsTheFirstFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		r := newRecorder(t)
		c := sockets.NewConnection(&hookedConn{memConn: here, close: func() error {
			err := here.Close()
			time.Sleep(time.Second)
			return err
		}}, r.callback)
		sendError := func() {
			if err := c.Send(make([]byte, 2*memCapacity)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Send = %v, want %v", err, os.ErrDeadlineExceeded)
			}
		}
		sendError()
		sendError()
		<-c.Done()
		sendError()
		r.check("error", "close")
		other.Close()
	})
}

// A write that fails without progress leaves no hole either: nothing is written
// after it.
func TestNothingIsWrittenAfterAWriteFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.setCapacity(1)
		go c.Send([]byte("first"))
		synctest.Wait()
		send(t, c, "gathered")
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() { errs <- c.Send(make([]byte, 10_000)) }()
		}
		synctest.Wait()
		other.peer.failWrites(0, syscall.ENOBUFS)
		synctest.Wait()
		other.peer.failWrites(0, nil)
		other.setCapacity(memCapacity)
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, syscall.ENOBUFS) {
				t.Errorf("Send after a failed one = %v, want %v", err, syscall.ENOBUFS)
			}
		}
		c.CloseNow()
		if got := readAll(t, other); len(got) > 1 {
			t.Errorf("%q was written after a fault", got)
		}
	})
}

// The same where the first fault has no progress at all: a wire that says no
// once, and then takes everything.
func TestAStreamNeverHasAHole(t *testing.T) {
	for name, first := range map[string]func(c *sockets.Connection) error{
		"Send":    func(c *sockets.Connection) error { return c.Send([]byte("lost")) },
		"SendAll": func(c *sockets.Connection) error { return sockets.SendAll([]byte("lost"), c) },
	} {
		for _, fault := range []error{syscall.ENOBUFS, os.ErrDeadlineExceeded} {
			t.Run(fmt.Sprint(name, " ", fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					here, other := pipe()
					failing := make(chan struct{})
					failed := false
					c := sockets.NewConnection(&hookedConn{memConn: here, write: func(p []byte) (int, error) {
						if !failed {
							failed = true
							<-failing
							return 0, fault
						}
						return here.Write(p)
					}}, nil)
					go first(c)
					synctest.Wait()
					for range 5 {
						go c.Send([]byte("next"))
					}
					synctest.Wait()
					close(failing)
					synctest.Wait()
					c.CloseNow()
					if got := readAll(t, other); len(got) > 0 {
						t.Errorf("after a message was lost, %q arrived", got)
					}
				})
			})
		}
	}
}

func TestCloseInsideEveryCallback(t *testing.T) {
	closes := map[string]func(c *sockets.Connection) error{
		"Close":      (*sockets.Connection).Close,
		"CloseNow":   (*sockets.Connection).CloseNow,
		"CloseWrite": (*sockets.Connection).CloseWrite,
	}
	for name, end := range closes {
		for _, event := range []sockets.Event{sockets.EventMessage, sockets.EventError, sockets.EventClose} {
			t.Run(fmt.Sprint(name, " in ", event), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRecorder(t)
					r.then = func(e sockets.Event, _ []byte, c *sockets.Connection, _ error) {
						if e != event {
							return
						}
						for range 2 {
							if err := end(c); err != nil && (name != "CloseWrite" || event == sockets.EventMessage) {
								t.Errorf("%s inside %s = %v", name, event, err)
							}
						}
					}
					c, other := alone(sockets.Config{}, r.callback)
					answer(other)
					other.Write(framed("one"))
					want := []string{"message one", "close"}
					if event == sockets.EventError {
						synctest.Wait()
						other.abort()
						want = []string{"message one", "error", "close"}
					}
					if event == sockets.EventClose {
						synctest.Wait()
						other.CloseWrite()
					}
					<-c.Done()
					r.check(want...)
				})
			})
		}
	}
}

func TestEveryMethodMayBeCalledInACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		r.then = func(event sockets.Event, _ []byte, c *sockets.Connection, _ error) {
			c.LocalAddress()
			c.RemoteAddress()
			c.NetConn()
			c.Err()
			c.Closed()
			receiveError(t, c, sockets.ErrCallbackSet)
			if event == sockets.EventMessage {
				send(t, c, "answer")
				if err := sockets.SendAll([]byte("to all"), c); err != nil {
					t.Errorf("SendAll inside a callback = %v", err)
				}
			}
			select {
			case <-c.Done():
				t.Errorf("Done is closed while the callback of %s runs", event)
			default:
			}
		}
		c, other := alone(sockets.Config{}, r.callback)
		other.Write(framed("one"))
		synctest.Wait()
		other.CloseWrite()
		if got, want := readAll(t, other), framed("answer", "to all"); !bytes.Equal(got, want) {
			t.Errorf("arrived: %q, want %q", got, want)
		}
		<-c.Done()
		r.check("message one", "close")
	})
}

func TestACallbackNeverRunsTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		r.then = func(sockets.Event, []byte, *sockets.Connection, error) { time.Sleep(time.Second) }
		c, other := alone(sockets.Config{}, r.callback)
		other.Write(framed("one", "two", "three"))
		takes(t, "telling five events of 1s each", 5*time.Second, func() {
			synctest.Wait()
			other.abort()
			<-c.Done()
		})
		r.check("message one", "message two", "message three", "error", "close")
	})
}

func TestCallbacksOfTwoConnectionsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				time.Sleep(time.Second)
			}
		}
		a, other := alone(sockets.Config{}, slow)
		b, another := alone(sockets.Config{}, slow)
		takes(t, "two callbacks of 1s", time.Second, func() {
			for _, conn := range []*memConn{other, another} {
				conn.Write(framed("one"))
				conn.CloseWrite()
			}
			<-a.Done()
			<-b.Done()
		})
	})
}

func TestMessagesComeInTheOrderSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		a, b := couple(sockets.Config{}, nil, r.callback)
		var want []string
		for i := range 1000 {
			text := strings.Repeat("x", i%50) + fmt.Sprint(i)
			want = append(want, "message "+text)
			send(t, a, text)
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		<-b.Done()
		r.check(append(want, "close")...)
	})
}

func TestAMessageWaitsForALateCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, nil)
		other.Write(framed("one", "two"))
		other.CloseWrite()
		time.Sleep(time.Hour)
		if got, want := other.peer.unread(), len(framed("one", "two")); got != want {
			t.Errorf("without a callback %d of %d bytes were read", want-got, want)
		}
		c.SetCallback(r.callback)
		<-c.Done()
		r.check("message one", "message two", "close")
	})
}

func TestSetCallbackTwicePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mustPanic := func(what string, f func()) {
			t.Helper()
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "sockets: ") || !strings.Contains(text, "SetCallback") {
					t.Errorf("%s: panic(%q), want a sentence", what, text)
				}
			}()
			f()
		}
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, nil)
		mustPanic("nil", func() { c.SetCallback(nil) })
		c.SetCallback(r.callback)
		mustPanic("again", func() { c.SetCallback(newRecorder(t).callback) })
		mustPanic("nil again", func() { c.SetCallback(nil) })
		other.Write(framed("one"))
		synctest.Wait()
		answer(other)
		c.Close()
		mustPanic("after Close", func() { c.SetCallback(newRecorder(t).callback) })
		<-c.Done()
		r.check("message one", "close")
	})
}

func TestReceiveWithoutACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := couple(sockets.Config{}, nil, nil)
		for _, text := range []string{"one", "", "three", strings.Repeat("long", 10000)} {
			send(t, a, text)
			receive(t, b, text)
			send(t, b, text)
			receive(t, a, text)
		}
		go b.Close()
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		<-a.Done()
		<-b.Done()
	})
}

// Receive is cut short after every byte of two messages, and goes on.
func TestReceiveCutShortLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{FrameTimeout: time.Hour}, nil)
		stream := framed("hello", "", "world")
		ends := map[int]string{4 + 5: "hello", 4 + 5 + 4: "", len(stream): "world"}
		for i := range stream {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			takes(t, "Receive", time.Second, func() {
				if got, err := c.Receive(ctx); got != nil || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Receive after %d bytes = %q, %v, want %v", i, got, err, context.DeadlineExceeded)
				}
			})
			cancel()
			other.Write(stream[i : i+1])
			if want, ok := ends[i+1]; ok {
				receive(t, c, want)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel(errors.New("enough"))
		}()
		if _, err := c.Receive(ctx); err != context.Canceled {
			t.Errorf("Receive = %v, want %v", err, context.Canceled)
		}
		if _, err := c.Receive(ctx); err != context.Canceled {
			t.Errorf("Receive with an ended context = %v, want %v", err, context.Canceled)
		}
		other.Write(framed("last"))
		receive(t, c, "last")
		answer(other)
		c.Close()
	})
}

// A message cut short in a large body is no different.
func TestReceiveCutShortInALargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		message := bytes.Repeat([]byte("0123456789"), 10000)
		go other.Write(framed(string(message))[:70000])
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := c.Receive(ctx); got != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive = %d bytes, %v, want %v", len(got), err, context.DeadlineExceeded)
		}
		go other.Write(framed(string(message))[70000:])
		if got, err := c.Receive(t.Context()); !bytes.Equal(got, message) || err != nil {
			t.Errorf("Receive = %d bytes, %v, want %d", len(got), err, len(message))
		}
		answer(other)
		c.Close()
	})
}

// The end of a context whose Receive has returned may have its effect late: it
// concerns nobody any more.
func TestALateEndOfAContextDisturbsNobody(t *testing.T) {
	const delay = time.Second
	for name, story := range map[string]func(t *testing.T, c *sockets.Connection, other *memConn){
		"Receive": func(t *testing.T, c *sockets.Connection, other *memConn) {
			go func() {
				time.Sleep(2 * delay)
				other.Write(framed("two"))
			}()
			receive(t, c, "two")
		},
		"Receive inside a message": func(t *testing.T, c *sockets.Connection, other *memConn) {
			other.Write(framed("two")[:5])
			go func() {
				time.Sleep(2 * delay)
				other.Write(framed("two")[5:])
			}()
			receive(t, c, "two")
		},
		"a callback": func(t *testing.T, c *sockets.Connection, other *memConn) {
			r := newRecorder(t)
			c.SetCallback(r.callback)
			time.Sleep(2 * delay)
			other.Write(framed("two"))
			synctest.Wait()
			r.check("message two")
		},
		"Close": func(t *testing.T, c *sockets.Connection, other *memConn) {
			go func() {
				time.Sleep(2 * delay)
				other.Close()
			}()
			takes(t, "Close", 2*delay, func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		},
	} {
		for _, timeout := range []time.Duration{0, -1, time.Hour} {
			t.Run(name+" "+timeout.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					here, other := pipe()
					ctx, cancel := context.WithCancel(t.Context())
					var late atomic.Bool
					cfg := sockets.Config{IdleTimeout: timeout, FrameTimeout: timeout}
					c := cfg.NewConnection(&hookedConn{memConn: here, setReadDeadline: func(at time.Time) error {
						if ctx.Err() != nil && late.CompareAndSwap(false, true) {
							time.Sleep(delay)
						}
						return here.SetReadDeadline(at)
					}}, nil)
					go func() {
						time.Sleep(time.Millisecond)
						cancel()
						synctest.Wait()
						other.Write(framed("one"))
					}()
					if got, err := c.Receive(ctx); string(got) != "one" || err != nil || !late.Load() {
						t.Errorf("Receive = %q, %v, its end is late: %v", got, err, late.Load())
					}
					story(t, c, other)
					answer(other)
					c.Close()
					<-c.Done()
				})
			})
		}
	}
}

// A fault that is told once, as the kernel tells a reset, is not lost to a
// context that ends in the same moment.
func TestReceiveDoesNotLoseAFaultToItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		ctx, cancel := context.WithCancel(t.Context())
		c := sockets.NewConnection(&hookedConn{memConn: here, read: func(p []byte) (int, error) {
			n, err := here.Read(p)
			if errors.Is(err, syscall.ECONNRESET) {
				cancel()
			}
			return n, err
		}}, nil)
		other.abort()
		if _, err := c.Receive(ctx); !errors.Is(err, syscall.ECONNRESET) && err != context.Canceled {
			t.Errorf("Receive = %v, want %v", err, syscall.ECONNRESET)
		}
		receiveError(t, c, syscall.ECONNRESET)
		if err := c.Err(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Err() = %v, want %v", err, syscall.ECONNRESET)
		}
		c.CloseNow()
	})
}

// A Receive whose context ends just before Close takes nothing from the goodbye.
func TestReceiveCutShortLeavesTheGoodbyeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		message := strings.Repeat("x", 2*memCapacity)
		go send(t, c, message)
		synctest.Wait()
		base, cancel := context.WithCancel(t.Context())
		var once sync.Once
		done := make(chan error, 1)
		ctx := &peekedContext{base, func() {
			if base.Err() != nil {
				once.Do(func() {
					go func() { done <- c.Close() }()
					time.Sleep(time.Millisecond)
				})
			}
		}}
		go func() {
			time.Sleep(time.Millisecond)
			cancel()
		}()
		if _, err := c.Receive(ctx); err != context.Canceled && err != net.ErrClosed {
			t.Errorf("Receive = %v, want %v or %v", err, context.Canceled, net.ErrClosed)
		}
		if got := readAll(t, other); !bytes.Equal(got, framed(message)) {
			t.Errorf("%d bytes arrived, want %d", len(got), 4+len(message))
		}
		if err := <-done; err != nil {
			t.Errorf("Close = %v", err)
		}
		if c.Err() != net.ErrClosed {
			t.Errorf("Err() = %v, want %v", c.Err(), net.ErrClosed)
		}
	})
}

// Data that comes together with an expired deadline is data.
func TestDataWithADeadlineErrorIsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		here, other := pipe()
		c := sockets.NewConnection(&hookedConn{memConn: here, read: func(p []byte) (int, error) {
			n, err := here.Read(p)
			if n > 0 {
				err = os.ErrDeadlineExceeded
			}
			return n, err
		}}, r.callback)
		other.Write(framed("one")[:2])
		synctest.Wait()
		other.Write(framed("one")[2:6])
		synctest.Wait()
		other.Write(framed("one")[6:])
		synctest.Wait()
		answer(other)
		c.Close()
		<-c.Done()
		r.check("message one", "close")
	})
}

func TestReceiveAfterSetCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, nil)
		ended, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var blocked sync.WaitGroup
		for range 3 {
			blocked.Go(func() { receiveError(t, c, sockets.ErrCallbackSet) })
		}
		synctest.Wait()
		takes(t, "ending the blocked Receives", 0, func() {
			c.SetCallback(r.callback)
			blocked.Wait()
		})
		takes(t, "Receive after SetCallback", 0, func() {
			if _, err := c.Receive(ended); err != sockets.ErrCallbackSet {
				t.Errorf("Receive = %v, want %v", err, sockets.ErrCallbackSet)
			}
		})
		other.Write(framed("one"))
		synctest.Wait()
		receiveError(t, c, sockets.ErrCallbackSet)
		answer(other)
		c.Close()
		<-c.Done()
		r.check("message one", "close")
	})
}

// The same when Receive meets SetCallback on its way, and nothing comes.
func TestReceiveThatMeetsSetCallbackReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, nil)
		var once sync.Once
		bound := time.AfterFunc(time.Hour, func() { other.Write(framed("late")) })
		takes(t, "Receive", time.Millisecond, func() {
			if _, err := c.Receive(&peekedContext{t.Context(), func() {
				once.Do(func() {
					c.SetCallback(r.callback)
					time.Sleep(time.Millisecond)
				})
			}}); err != sockets.ErrCallbackSet {
				t.Errorf("Receive = %v, want %v", err, sockets.ErrCallbackSet)
			}
		})
		bound.Stop()
		answer(other)
		c.Close()
		<-c.Done()
		r.check("close")
	})
}

// A peekedContext runs peek when somebody looks whether it has ended.
type peekedContext struct {
	context.Context
	peek func()
}

func (c *peekedContext) Err() error {
	c.peek()
	return c.Context.Err()
}

// Receive that began before SetCallback takes no message from the callback
// after it.
func TestReceiveStealsNothingFromACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		r.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				time.Sleep(time.Second)
			}
		}
		c, other := alone(sockets.Config{}, nil)
		var once sync.Once
		got, err := c.Receive(&peekedContext{t.Context(), func() {
			once.Do(func() {
				c.SetCallback(r.callback)
				other.Write(framed("one", "two", "three"))
				time.Sleep(time.Second / 2)
			})
		}})
		if err != sockets.ErrCallbackSet {
			t.Errorf("Receive = %q, %v, want %v", got, err, sockets.ErrCallbackSet)
		}
		time.Sleep(time.Minute)
		answer(other)
		c.Close()
		<-c.Done()
		r.check("message one", "message two", "message three", "close")
	})
}

func TestConcurrentReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const receivers, messages = 8, 800
		a, b := couple(sockets.Config{}, nil, nil)
		var mu sync.Mutex
		seen := make(map[string]int)
		var group sync.WaitGroup
		for range receivers {
			group.Go(func() {
				last := -1
				for {
					got, err := b.Receive(t.Context())
					if err == io.EOF {
						return
					}
					if err != nil {
						t.Errorf("Receive = %v", err)
						return
					}
					var i int
					fmt.Sscan(string(got), &i)
					if i <= last {
						t.Errorf("one goroutine received %d after %d", i, last)
					}
					last = i
					mu.Lock()
					seen[string(got)]++
					mu.Unlock()
				}
			})
		}
		for i := range messages {
			send(t, a, fmt.Sprint(i))
		}
		a.CloseWrite()
		group.Wait()
		for i := range messages {
			if n := seen[fmt.Sprint(i)]; n != 1 {
				t.Errorf("message %d was received %d times", i, n)
			}
		}
		go b.Close()
		a.Close()
	})
}

// A waiting Receive leaves when its own context ends, also while another reads.
func TestReceiveLeavesTheQueueOfReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		go receive(t, c, "one")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		takes(t, "Receive", time.Second, func() {
			if _, err := c.Receive(ctx); err != context.DeadlineExceeded {
				t.Errorf("Receive = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		other.Write(framed("one"))
		synctest.Wait()
		answer(other)
		c.Close()
	})
}

func TestHalfCloseHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		send(t, c, "last words")
		for range 2 {
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite = %v", err)
			}
		}
		sendError(t, c, net.ErrClosed)
		if err := sockets.SendAll([]byte("x"), c); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SendAll = %v, want %v", err, net.ErrClosed)
		}
		if got, err := io.ReadAll(other); !bytes.Equal(got, framed("last words")) || err != nil {
			t.Errorf("arrived: %q, %v", got, err)
		}
		if c.Err() != nil {
			t.Errorf("Err() = %v after CloseWrite, want nil", c.Err())
		}
		other.Write(framed("an answer"))
		receive(t, c, "an answer")
		other.Close()
		receiveError(t, c, io.EOF)
		takes(t, "Close", 0, func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
		if err := c.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite after Close = %v", err)
		}
	})
}

func TestCloseWriteLetsEarlierSendsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.setCapacity(1)
		var group sync.WaitGroup
		var returned atomic.Int32
		for range 5 {
			group.Go(func() { send(t, c, "waits") })
		}
		if err := sockets.SendAll([]byte("waits"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		synctest.Wait()
		for range 2 {
			group.Go(func() {
				if err := c.CloseWrite(); err != nil {
					t.Errorf("CloseWrite = %v", err)
				}
				returned.Add(1)
			})
		}
		synctest.Wait()
		if returned.Load() != 0 {
			t.Error("CloseWrite returned before what was sent had left")
		}
		sendError(t, c, net.ErrClosed)
		want := bytes.Repeat(framed("waits"), 6)
		if got, err := io.ReadAll(other); !bytes.Equal(got, want) || err != nil {
			t.Errorf("arrived: %q, %v, want %q", got, err, want)
		}
		group.Wait()
		other.Close()
		c.Close()
	})
}

func TestCloseWriteAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		c.CloseNow()
		if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite after CloseNow = %v, want %v", err, net.ErrClosed)
		}
		other.Close()
		c, other = alone(sockets.Config{}, nil)
		other.peer.failWrites(0, syscall.EPIPE)
		sendError(t, c, syscall.EPIPE)
		if err := c.CloseWrite(); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("CloseWrite after a fault = %v, want %v", err, syscall.EPIPE)
		}
		c.CloseNow()
	})
}

func TestHalfCloseThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.Write(framed("a question"))
		other.CloseWrite()
		receive(t, c, "a question")
		for range 3 {
			receiveError(t, c, io.EOF)
			send(t, c, "an answer")
		}
		if c.Err() != nil || c.Closed() {
			t.Errorf("Err() = %v, Closed() = %v, want nil, false", c.Err(), c.Closed())
		}
		takes(t, "Close", 0, func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
		if c.Err() != io.EOF {
			t.Errorf("Err() = %v, want io.EOF: the other end ended first", c.Err())
		}
		if got, want := readAll(t, other), bytes.Repeat(framed("an answer"), 3); !bytes.Equal(got, want) {
			t.Errorf("arrived: %q, want %q", got, want)
		}
		sendError(t, c, net.ErrClosed)
		receiveError(t, c, net.ErrClosed)
	})
}

// With a callback the end there ends this end too, after the last message is
// handled and what Send accepted is flushed.
func TestHalfCloseThereWithACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		r.then = func(event sockets.Event, payload []byte, c *sockets.Connection, err error) {
			if event == sockets.EventMessage {
				time.Sleep(time.Second)
				send(t, c, "echo "+string(payload))
			}
		}
		c, other := alone(sockets.Config{}, r.callback)
		other.setCapacity(10)
		other.peer.setCapacity(10)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() { send(t, c, "meanwhile") })
		}
		if err := sockets.SendAll([]byte("to all"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		synctest.Wait()
		group.Go(func() {
			other.Write(framed("one", "two"))
			other.CloseWrite()
		})
		time.Sleep(10 * time.Second)
		got := string(readAll(t, other))
		for text, times := range map[string]int{"meanwhile": 5, "to all": 1, "echo one": 1, "echo two": 1} {
			if n := strings.Count(got, string(framed(text))); n != times {
				t.Errorf("%q arrived %d times, want %d", text, n, times)
			}
		}
		group.Wait()
		<-c.Done()
		sendError(t, c, io.EOF)
		if c.Err() != io.EOF {
			t.Errorf("Err() = %v, want io.EOF", c.Err())
		}
		r.check("message one", "message two", "close")
	})
}

// Close while the flush after the end there goes on.
func TestCloseDuringTheFlushAfterTheEndThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, r.callback)
		other.setCapacity(1)
		go send(t, c, "waits")
		synctest.Wait()
		other.CloseWrite()
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			readAll(t, other)
		}()
		takes(t, "Close", time.Second, func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
		<-c.Done()
		if c.Err() != io.EOF {
			t.Errorf("Err() = %v, want io.EOF: the other end ended first", c.Err())
		}
		r.check("close")
	})
}

// CloseNow ends a flush to an end that does not read.
func TestCloseNowEndsTheFlushAfterTheEndThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, r.callback)
		go c.Send(make([]byte, 2*memCapacity))
		synctest.Wait()
		other.CloseWrite()
		synctest.Wait()
		r.check()
		takes(t, "CloseNow", 0, func() {
			c.CloseNow()
			<-c.Done()
		})
		r.check("close")
		other.Close()
	})
}

func TestSixteenSendersNeverInterleave(t *testing.T) {
	for name, send := range map[string]func(c *sockets.Connection, payload []byte) error{
		"Send": (*sockets.Connection).Send,
		"SendAll": func(c *sockets.Connection, payload []byte) error {
			return sockets.SendAll(payload, c)
		},
		"both": func(c *sockets.Connection, payload []byte) error {
			if payload[len(payload)-1]%2 == 0 {
				return c.Send(payload)
			}
			return sockets.SendAll(payload, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const senders, messages = 16, 1000
				a, b := couple(sockets.Config{MaxQueue: -1}, nil, nil)
				b.NetConn().(*memConn).setCapacity(4 << 10)
				var group sync.WaitGroup
				for id := range senders {
					group.Go(func() {
						payload := make([]byte, 0, 16<<10)
						for i := range messages {
							size := 5 + (i*37+id)%200
							if i%100 == 0 {
								size = cap(payload)
							}
							payload = payload[:size]
							for j := range payload {
								payload[j] = byte(id)
							}
							binary.BigEndian.PutUint32(payload, uint32(i))
							if err := send(a, payload); err != nil {
								t.Errorf("sender %d, message %d: %v", id, i, err)
								return
							}
						}
					})
				}
				go func() {
					group.Wait()
					a.Close()
				}()
				var next [senders]uint32
				for {
					got, err := b.Receive(t.Context())
					if err != nil {
						if err != io.EOF {
							t.Errorf("Receive = %v", err)
						}
						break
					}
					i, id := binary.BigEndian.Uint32(got), got[len(got)-1]
					if id >= senders || bytes.Count(got[4:], []byte{id}) != len(got)-4 || i != next[id] {
						t.Fatalf("message %d of sender %d is mixed up, or not next after %d", i, id, next[id])
					}
					next[id]++
				}
				for id, n := range next {
					if n != messages {
						t.Errorf("%d messages of sender %d, want %d", n, id, messages)
					}
				}
				b.Close()
			})
		})
	}
}

func TestCloseDeliversWhatSendAccepted(t *testing.T) {
	for _, unread := range []int{0, 1, 10_000, memCapacity} {
		t.Run(fmt.Sprint(unread, " unread"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, other := alone(sockets.Config{CloseTimeout: time.Minute}, nil)
				other.Write(make([]byte, unread))
				var talking sync.WaitGroup
				talking.Go(func() {
					for {
						if _, err := other.Write(make([]byte, 100)); err != nil {
							return
						}
						time.Sleep(time.Millisecond)
					}
				})
				message := strings.Repeat("0123456789abcdef", 1<<16)
				go send(t, c, message)
				for range 3 {
					if err := sockets.SendAll([]byte("to all"), c); err != nil {
						t.Errorf("SendAll = %v", err)
					}
				}
				synctest.Wait()
				done := make(chan error)
				go func() { done <- c.Close() }()
				var got []byte
				for p := make([]byte, 1000); ; time.Sleep(time.Millisecond) {
					n, err := other.Read(p)
					got = append(got, p[:n]...)
					if err != nil {
						if err != io.EOF {
							t.Errorf("the goodbye ends with %v", err)
						}
						break
					}
				}
				other.CloseWrite()
				if err := <-done; err != nil {
					t.Errorf("Close = %v", err)
				}
				talking.Wait()
				if want := framed(message, "to all", "to all", "to all"); len(got) != len(want) || !bytes.Contains(got, framed(message)) {
					t.Errorf("%d bytes arrived, want %d", len(got), len(want))
				}
				other.Close()
			})
		})
	}
}

// Close of two ends at once, each with more to say than the stream holds.
func TestTwoEndsCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := couple(sockets.Config{}, nil, nil)
		var group sync.WaitGroup
		for _, c := range []*sockets.Connection{a, b} {
			group.Go(func() { send(t, c, strings.Repeat("x", 3*memCapacity)) })
			synctest.Wait()
			group.Go(func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		}
		takes(t, "the goodbyes", 0, group.Wait)
	})
}

func TestCloseAgainstOneThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ timeout, want time.Duration }{{0, 3 * time.Second}, {time.Minute, time.Minute}} {
			r := newRecorder(t)
			c, other := alone(sockets.Config{CloseTimeout: test.timeout}, r.callback)
			sent := make(chan error)
			go func() { sent <- c.Send(make([]byte, 2*memCapacity)) }()
			synctest.Wait()
			takes(t, "Close", test.want, func() {
				if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "sockets: ") {
					t.Errorf("Close = %v, want %v", err, os.ErrDeadlineExceeded)
				}
			})
			if err := <-sent; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send = %v, want %v", err, net.ErrClosed)
			}
			<-c.Done()
			r.check("close")
			if c.Err() != net.ErrClosed {
				t.Errorf("Err() = %v, want %v", c.Err(), net.ErrClosed)
			}
			if !other.peer.isClosed() {
				t.Error("after the time-out the stream is open")
			}
			other.Close()
		}
	})
}

// The other end reads everything, but never ends.
func TestCloseAgainstOneThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		send(t, c, "one")
		takes(t, "Close", 3*time.Second, func() {
			if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Close = %v, want %v", err, os.ErrDeadlineExceeded)
			}
		})
		if got := readAll(t, other); !bytes.Equal(got, framed("one")) {
			t.Errorf("arrived: %q", got)
		}
	})
}

func TestCloseWithoutATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{CloseTimeout: -1}, nil)
		send(t, c, "one")
		go func() {
			time.Sleep(time.Hour)
			readAll(t, other)
		}()
		takes(t, "Close", time.Hour, func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	})
}

func TestCloseAgainstOneThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes(t, "both", 0, func() {
			c, other := alone(sockets.Config{}, nil)
			other.Close()
			if err := c.Close(); err != nil {
				t.Errorf("Close after the end there = %v", err)
			}
			<-c.Done()

			c, other = alone(sockets.Config{}, nil)
			other.abort()
			if err := c.Close(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("Close after a reset = %v, want %v", err, syscall.ECONNRESET)
			}
			<-c.Done()
		})
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, r.callback)
		go func() {
			time.Sleep(time.Second)
			other.abort()
		}()
		takes(t, "Close", time.Second, func() {
			if err := c.Close(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("Close before a reset = %v, want %v", err, syscall.ECONNRESET)
			}
		})
		<-c.Done()
		r.check("close")
	})
}

// What SendAll accepted did not arrive: only Close can tell.
func TestCloseTellsThatTheGoodbyeFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.setCapacity(1)
		if err := sockets.SendAll([]byte("lost"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			other.peer.failWrites(0, syscall.EHOSTUNREACH)
			other.CloseWrite()
		}()
		takes(t, "Close", time.Second, func() {
			if err := c.Close(); !errors.Is(err, syscall.EHOSTUNREACH) {
				t.Errorf("Close = %v, want %v", err, syscall.EHOSTUNREACH)
			}
		})
		other.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{SendTimeout: time.Second, CloseTimeout: -1}, nil)
		go c.Send(make([]byte, 2*memCapacity))
		synctest.Wait()
		if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Close = %v, want %v", err, os.ErrDeadlineExceeded)
		}
		other.Close()
	})
}

func TestCloseRefusesNewSendsAndLetsEarlierOnesFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.setCapacity(1)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() { send(t, c, "waits") })
		}
		synctest.Wait()
		group.Go(func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
		synctest.Wait()
		takes(t, "refusing", 0, func() {
			sendError(t, c, net.ErrClosed)
			if err := sockets.SendAll([]byte("x"), c); !errors.Is(err, net.ErrClosed) {
				t.Errorf("SendAll = %v, want %v", err, net.ErrClosed)
			}
			receiveError(t, c, net.ErrClosed)
		})
		if got, want := readAll(t, other), bytes.Repeat(framed("waits"), 5); !bytes.Equal(got, want) {
			t.Errorf("arrived: %q, want %q", got, want)
		}
		group.Wait()
	})
}

func TestCloseFromSeveralGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, r.callback)
		send(t, c, "one")
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				takes(t, "Close", time.Second, func() {
					if err := c.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				})
				if !other.peer.isClosed() {
					t.Error("Close returned while the stream is open")
				}
			})
		}
		time.Sleep(time.Second)
		readAll(t, other)
		group.Wait()
		<-c.Done()
		r.check("close")
	})
}

// The one of several that was first has nothing to complain of when another
// closed the stream before it.
func TestCloseThatComesLastIsNoFault(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			c, other := alone(sockets.Config{}, nil)
			answer(other)
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					if err := c.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				})
			}
			group.Wait()
		})
	}
}

// "Closing again does nothing": one of several tells of a goodbye that failed.
func TestCloseTellsOfItsTimeoutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		errs := make(chan error, 5)
		for range cap(errs) {
			go func() { errs <- c.Close() }()
		}
		told := 0
		for range cap(errs) {
			if err := <-errs; errors.Is(err, os.ErrDeadlineExceeded) {
				told++
			} else if err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if told != 1 {
			t.Errorf("%d of %d tell of the time-out, want 1", told, cap(errs))
		}
		other.Close()
	})
}

// CloseNow does not wait for Close, and ends it.
func TestCloseNowDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{CloseTimeout: -1}, nil)
		go c.Send(make([]byte, 2*memCapacity))
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			c.Close()
			close(done)
		}()
		synctest.Wait()
		c.CloseNow()
		<-done
		<-c.Done()
		other.Close()
	})
}

func TestCloseNowIsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.Write(framed("unread"))
		sent := make(chan error)
		go func() { sent <- c.Send(make([]byte, 2*memCapacity)) }()
		received := make(chan error)
		go func() {
			c.Receive(t.Context())
			_, err := c.Receive(t.Context())
			received <- err
		}()
		synctest.Wait()
		other.Write(framed("unread"))
		takes(t, "CloseNow", 0, func() {
			if err := c.CloseNow(); err != nil {
				t.Errorf("CloseNow = %v", err)
			}
			if err := <-sent; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send = %v, want %v", err, net.ErrClosed)
			}
			<-received
			<-c.Done()
		})
		if c.Err() != net.ErrClosed {
			t.Errorf("Err() = %v, want %v", c.Err(), net.ErrClosed)
		}
		other.Close()
	})
}

// A half-close that hangs, as that of a layer may whose wire is full, holds up
// neither Close beyond its time nor CloseNow.
func TestCloseIsBoundedWhateverHangs(t *testing.T) {
	stuck := func() (*sockets.Connection, *memConn) {
		here, other := pipe()
		conn := &hookedConn{memConn: here, closeWrite: func() error {
			here.link.Lock()
			defer here.link.Unlock()
			for !here.closed {
				here.link.changed.Wait()
			}
			return net.ErrClosed
		}}
		return sockets.NewConnection(conn, nil), other
	}
	synctest.Test(t, func(t *testing.T) {
		c, other := stuck()
		bound := time.AfterFunc(time.Hour, func() { other.peer.Close() })
		takes(t, "Close", 3*time.Second, func() { c.Close() })
		bound.Stop()
		other.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		c, other := stuck()
		bound := time.AfterFunc(time.Hour, func() { other.peer.Close() })
		takes(t, "CloseNow", 0, func() { c.CloseNow() })
		bound.Stop()
		other.Close()
	})
}

// Nor does the goodbye of a layer.
func TestCloseNowDoesNotWaitForALayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		c := sockets.NewConnection(&politeConn{here}, nil)
		send(t, c, "unread")
		bound := time.AfterFunc(time.Hour, func() { other.Close() })
		takes(t, "CloseNow", 0, func() { c.CloseNow() })
		bound.Stop()
		other.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		c := sockets.NewConnection(&politeConn{here}, nil)
		send(t, c, "read")
		go func() {
			time.Sleep(time.Second)
			if got := readAll(t, other); !bytes.Equal(got, framed("read")) {
				t.Errorf("arrived: %q", got)
			}
		}()
		takes(t, "Close", time.Second, func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	})
}

func TestNoMessageEventStartsAfterClose(t *testing.T) {
	for name, end := range map[string]func(c *sockets.Connection) error{
		"Close":    (*sockets.Connection).Close,
		"CloseNow": (*sockets.Connection).CloseNow,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(t)
				release := make(chan struct{})
				r.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
					if event == sockets.EventMessage {
						<-release
					}
				}
				c, other := alone(sockets.Config{}, r.callback)
				other.Write(framed("one", "two", "three"))
				synctest.Wait()
				answer(other)
				takes(t, "closing while a callback runs", 0, func() {
					if err := end(c); err != nil {
						t.Errorf("%s = %v", name, err)
					}
				})
				time.Sleep(time.Hour)
				r.check("message one")
				close(release)
				<-c.Done()
				r.check("message one", "close")
			})
		})
	}
}

func TestNoMessageEventStartsAfterCloseUnderAFlood(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder(t)
			c, other := alone(sockets.Config{}, r.callback)
			go func() {
				for {
					if _, err := other.Write(framed("flood")); err != nil {
						return
					}
				}
			}()
			for len(r.told()) < 100 {
				runtime.Gosched()
			}
			go func() {
				io.Copy(io.Discard, other)
				other.CloseWrite()
			}()
			c.Close()
			told := len(r.told())
			<-c.Done()
			if got := r.told()[told:]; len(got) > 2 {
				t.Errorf("after Close: %v", got)
			}
			other.Close()
		})
	}
}

// "The right to read is a token that the receiver gives up while a callback
// runs, so Close can drain from inside one."
func TestCloseDrainsFromInsideACallback(t *testing.T) {
	for _, lend := range []bool{false, true} {
		t.Run(fmt.Sprint("LendPayloads ", lend), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(t)
				r.then = func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
					if event != sockets.EventMessage {
						return
					}
					send(t, c, "goodbye")
					if err := c.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
					if string(payload) != "one" {
						t.Errorf("after Close the payload is %q, want one", payload)
					}
				}
				c, other := alone(sockets.Config{LendPayloads: lend}, r.callback)
				wrote := make(chan error)
				go func() {
					_, err := other.Write(append(framed("one"), bytes.Repeat([]byte{0xff}, 1<<20)...))
					other.CloseWrite()
					wrote <- err
				}()
				if err := <-wrote; err != nil {
					t.Errorf("the other end's Write = %v", err)
				}
				if got := readAll(t, other); !bytes.Equal(got, framed("goodbye")) {
					t.Errorf("arrived: %q", got)
				}
				<-c.Done()
				r.check("message one", "close")
			})
		})
	}
}

// Close while Receive holds the right to read, also in the middle of a message.
func TestCloseEndsReceive(t *testing.T) {
	for _, arrived := range []int{0, 2, 6} {
		synctest.Test(t, func(t *testing.T) {
			c, other := alone(sockets.Config{}, nil)
			other.Write(framed("message")[:arrived])
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() { receiveError(t, c, net.ErrClosed) })
			}
			synctest.Wait()
			answer(other)
			takes(t, "Close", 0, func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
				group.Wait()
			})
			receiveError(t, c, net.ErrClosed)
		})
	}
}

func TestCloseOfAStreamThatCannotBeHalfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		here, other := pipe()
		other.setCapacity(1)
		c := sockets.NewConnection(wholeConn{here}, r.callback)
		if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CloseWrite = %v, want %v", err, errors.ErrUnsupported)
		}
		go send(t, c, "waits")
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			if got := readAll(t, other); !bytes.Equal(got, framed("waits")) {
				t.Errorf("arrived: %q", got)
			}
		}()
		takes(t, "Close", time.Second, func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
		<-c.Done()
		r.check("close")
	})
}

func TestFrameTimeoutCountsOnlyWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		r.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				time.Sleep(time.Hour)
			}
		}
		c, other := alone(sockets.Config{}, r.callback)
		two := framed("two")
		other.Write(append(framed("one"), two[:3]...))
		time.Sleep(time.Hour + 20*time.Second)
		other.Write(two[3:6])
		time.Sleep(9 * time.Second)
		other.Write(two[6:])
		time.Sleep(2 * time.Hour)
		r.check("message one", "message two")
		other.Write(framed("three")[:3])
		begun := time.Now()
		<-c.Done()
		if got := time.Since(begun); got != 30*time.Second {
			t.Errorf("the message that never became whole ended the connection after %v, want 30s", got)
		}
		if err := r.error(); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "sockets: ") {
			t.Errorf("the error is %v", err)
		}
		r.check("message one", "message two", "error", "close")
		other.Close()
	})
}

// A byte now and then does not prolong it.
func TestFrameTimeoutIsOfTheWholeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, r.callback)
		takes(t, "a slow message", 30*time.Second, func() {
			for _, b := range framed(strings.Repeat("x", 100))[:29] {
				other.Write([]byte{b})
				time.Sleep(time.Second)
			}
			<-c.Done()
		})
		r.check("error", "close")
		other.Close()
	})
}

// Each message has a time of its own, also when none begins between two.
func TestFrameTimeoutIsOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{}, r.callback)
		stream := framed("one", "two", "three", "four", "five", "six")
		for ; len(stream) > 10; stream = stream[10:] {
			other.Write(stream[:10])
			time.Sleep(20 * time.Second)
		}
		other.Write(stream)
		synctest.Wait()
		r.check("message one", "message two", "message three", "message four", "message five", "message six")
		answer(other)
		c.Close()
		<-c.Done()
	})
}

// Nor does cutting Receive short.
func TestFrameTimeoutGoesOnFromReceiveToReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.Write(framed("message")[:6])
		for i := range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
			if _, err := c.Receive(ctx); err != context.DeadlineExceeded {
				t.Errorf("Receive %d = %v, want %v", i, err, context.DeadlineExceeded)
			}
			cancel()
			time.Sleep(time.Hour)
		}
		takes(t, "the third Receive", 6*time.Second, func() { receiveError(t, c, os.ErrDeadlineExceeded) })
		<-c.Done()
		other.Close()
	})
}

func TestFrameTimeoutNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{FrameTimeout: -1}, nil)
		other.Write(framed("message")[:6])
		go func() {
			time.Sleep(24 * time.Hour)
			other.Write(framed("message")[6:])
		}()
		receive(t, c, "message")
		answer(other)
		c.Close()
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		c, other := alone(sockets.Config{IdleTimeout: 10 * time.Second}, r.callback)
		for i := range 5 {
			time.Sleep(9 * time.Second)
			other.Write(framed(fmt.Sprint(i))[:3])
			time.Sleep(20 * time.Second)
			other.Write(framed(fmt.Sprint(i))[3:])
		}
		for range 5 {
			time.Sleep(9 * time.Second)
			other.Write(framed("whole"))
		}
		takes(t, "an idle time", 10*time.Second, func() { <-c.Done() })
		if got := r.told(); len(got) != 5+5+2 {
			t.Errorf("events: %v", got)
		}
		if err := r.error(); !strings.HasPrefix(err.Error(), "sockets: ") {
			t.Errorf("the error is %v", err)
		}
		other.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		for _, none := range []time.Duration{0, -1} {
			r := newRecorder(t)
			c, other := alone(sockets.Config{IdleTimeout: none}, r.callback)
			time.Sleep(1000 * time.Hour)
			other.Write(framed("at last"))
			answer(other)
			synctest.Wait()
			c.Close()
			<-c.Done()
			r.check("message at last", "close")
		}
	})
}

func TestSendTimeout(t *testing.T) {
	for name, send := range map[string]func(c *sockets.Connection, payload []byte) error{
		"Send":    (*sockets.Connection).Send,
		"SendAll": func(c *sockets.Connection, payload []byte) error { return sockets.SendAll(payload, c) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(t)
				c, other := alone(sockets.Config{SendTimeout: 10 * time.Second}, r.callback)
				other.setCapacity(100)
				send(c, make([]byte, 100-4))
				begun := time.Now()
				go send(c, make([]byte, 100-4))
				for range 20 {
					time.Sleep(9 * time.Second)
					other.Read(make([]byte, 1))
				}
				last := time.Now()
				<-c.Done()
				if got := time.Since(last); got < 10*time.Second || got > 20*time.Second {
					t.Errorf("SendTimeout of 10s ended the connection after %v", got)
				}
				if time.Since(begun) < 3*time.Minute {
					t.Error("a slow but steady reader was cut off")
				}
				r.check("error", "close")
				err := r.error()
				if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "sockets: ") || !strings.Contains(err.Error(), "callbacks?") {
					t.Errorf("the error is %v", err)
				}
				sendError(t, c, os.ErrDeadlineExceeded)
				other.Close()
			})
		})
	}
}

func TestSendTimeoutOfOneThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		send(t, c, strings.Repeat("x", memCapacity-4))
		takes(t, "Send", time.Minute, func() { send(t, c, "gathered"); <-c.Done() })
		sendError(t, c, os.ErrDeadlineExceeded)
		other.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		send(t, c, strings.Repeat("x", memCapacity-4))
		takes(t, "Send", time.Minute, func() {
			if err := c.Send(make([]byte, 10_000)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Send = %v, want %v", err, os.ErrDeadlineExceeded)
			}
		})
		other.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{SendTimeout: -1}, nil)
		go func() {
			time.Sleep(1000 * time.Hour)
			answer(other)
		}()
		send(t, c, strings.Repeat("x", 2*memCapacity))
		c.Close()
	})
}

// "Two ends that send from their callbacks without ever reading can block each
// other", and are told so.
func TestTwoEndsThatSendFromTheirCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make([]byte, memCapacity)
		chatty := func() *recorder {
			r := newRecorder(t)
			r.then = func(event sockets.Event, _ []byte, c *sockets.Connection, _ error) {
				if event == sockets.EventMessage {
					for c.Send(answer) == nil {
					}
				}
			}
			return r
		}
		ra, rb := chatty(), chatty()
		a, b := couple(sockets.Config{}, nil, nil)
		send(t, a, "hello")
		send(t, b, "hello")
		a.SetCallback(ra.callback)
		b.SetCallback(rb.callback)
		<-a.Done()
		<-b.Done()
		ra.check("message hello", "error", "close")
		rb.check("message hello", "error", "close")
		timeouts := 0
		for _, r := range []*recorder{ra, rb} {
			if err := r.error(); errors.Is(err, os.ErrDeadlineExceeded) && strings.Contains(err.Error(), "do both ends send from their callbacks?") {
				timeouts++
			}
		}
		if timeouts == 0 {
			t.Errorf("the errors are %v and %v, want the one of SendTimeout", ra.error(), rb.error())
		}
	})
}

func TestASlowCallbackSlowsTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRecorder(t)
		r.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				<-release
			}
		}
		a, b := couple(sockets.Config{SendTimeout: -1}, nil, r.callback)
		sent := 0
		go func() {
			for range 100 {
				send(t, a, strings.Repeat("x", 10000))
				sent++
			}
			a.Close()
		}()
		synctest.Wait()
		if sent < 5 || sent > 20 {
			t.Errorf("%d messages were sent to a callback that does not return, want about 7", sent)
		}
		close(release)
		<-b.Done()
		if got := len(r.told()); got != 101 {
			t.Errorf("%d events, want 100 messages and close", got)
		}
	})
}

// "What it accepted leaves within a millisecond, also when the callback that
// sent it does not return."
func TestWhatACallbackSendsLeavesWithinAMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRecorder(t)
		r.then = func(event sockets.Event, _ []byte, c *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				send(t, c, "an answer")
				sockets.SendAll([]byte("to all"), c)
				<-release
			}
		}
		a, b := couple(sockets.Config{}, nil, r.callback)
		send(t, a, "a question")
		takes(t, "the answers", time.Millisecond, func() {
			receive(t, a, "an answer")
			receive(t, a, "to all")
		})
		close(release)
		a.Close()
		<-b.Done()
	})
}

func TestSendKeepsNoPayload(t *testing.T) {
	for name, send := range map[string]func(c *sockets.Connection, payload []byte) error{
		"Send":    (*sockets.Connection).Send,
		"SendAll": func(c *sockets.Connection, payload []byte) error { return sockets.SendAll(payload, c) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := couple(sockets.Config{}, nil, nil)
				b.NetConn().(*memConn).setCapacity(100)
				go func() {
					payload := make([]byte, 20000)
					for i := range 100 {
						for j := range payload {
							payload[j] = byte(i)
						}
						if err := send(a, payload[:1+i*200]); err != nil {
							t.Errorf("sending %d: %v", i, err)
						}
					}
					clear(payload)
					a.Close()
				}()
				for i := range 100 {
					got, err := b.Receive(t.Context())
					if err != nil || len(got) != 1+i*200 || bytes.Count(got, []byte{byte(i)}) != len(got) {
						t.Fatalf("Receive %d = %d bytes, %v, or not those that were sent", i, len(got), err)
					}
				}
				b.Close()
			})
		})
	}
}

func TestAMessageTooBigLeavesTheConnectionAsGoodAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			cfg   sockets.Config
			limit int
		}{
			{sockets.Config{}, 1 << 20},
			{sockets.Config{Prefix: 1}, 255},
			{sockets.Config{Prefix: 2}, 65535},
			{sockets.Config{Prefix: 4}, 1 << 20},
			{sockets.Config{Prefix: 8}, 1 << 20},
			{sockets.Config{MaxMessage: 10}, 10},
			{sockets.Config{Prefix: 1, MaxMessage: 1000}, 255},
			{sockets.Config{Prefix: 1, MaxMessage: -1}, 255},
			{sockets.Config{MaxMessage: 2 << 20}, 2 << 20},
		} {
			a, b := couple(test.cfg, nil, nil)
			tooBig := make([]byte, test.limit+1)
			if err := a.Send(tooBig); !errors.Is(err, sockets.ErrMessageTooBig) {
				t.Errorf("with %+v: Send(%d bytes) = %v, want %v", test.cfg, len(tooBig), err, sockets.ErrMessageTooBig)
			}
			if err := sockets.SendAll(tooBig, a); !errors.Is(err, sockets.ErrMessageTooBig) {
				t.Errorf("with %+v: SendAll(%d bytes) = %v, want %v", test.cfg, len(tooBig), err, sockets.ErrMessageTooBig)
			}
			go func() {
				if err := a.Send(tooBig[1:]); err != nil {
					t.Errorf("with %+v: Send(%d bytes) = %v", test.cfg, test.limit, err)
				}
				if err := sockets.SendAll(tooBig[1:], a); err != nil {
					t.Errorf("with %+v: SendAll(%d bytes) = %v", test.cfg, test.limit, err)
				}
				a.Close()
			}()
			for range 2 {
				if got, err := b.Receive(t.Context()); len(got) != test.limit || err != nil {
					t.Errorf("with %+v: Receive = %d bytes, %v, want %d", test.cfg, len(got), err, test.limit)
				}
			}
			b.Close()
		}
	})
}

func TestPrefixOnTheWire(t *testing.T) {
	for prefix, want := range map[int]string{
		0: "\x00\x00\x00\x05hello",
		1: "\x05hello",
		2: "\x00\x05hello",
		4: "\x00\x00\x00\x05hello",
		8: "\x00\x00\x00\x00\x00\x00\x00\x05hello",
	} {
		synctest.Test(t, func(t *testing.T) {
			c, other := alone(sockets.Config{Prefix: prefix}, nil)
			send(t, c, "hello")
			if err := sockets.SendAll([]byte("hello"), c); err != nil {
				t.Errorf("SendAll = %v", err)
			}
			other.Write([]byte(want))
			receive(t, c, "hello")
			other.CloseWrite()
			c.Close()
			if got := readAll(t, other); string(got) != want+want {
				t.Errorf("with prefix %d: %q was sent, want %q", prefix, got, want+want)
			}
		})
	}
}

func TestAnEmptyMessageIsAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		a, b := couple(sockets.Config{}, nil, r.callback)
		send(t, a, "")
		if err := a.Send(nil); err != nil {
			t.Errorf("Send(nil) = %v", err)
		}
		if err := sockets.SendAll(nil, a); err != nil {
			t.Errorf("SendAll(nil) = %v", err)
		}
		send(t, a, "more")
		a.Close()
		<-b.Done()
		r.check("message ", "message ", "message ", "message more", "close")
	})
}

func TestAPayloadBelongsToTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept [][]byte
		a, b := couple(sockets.Config{}, nil, func(event sockets.Event, payload []byte, _ *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				kept = append(kept, payload)
				_ = append(payload, "scribble"...)
			}
		})
		for i := range 100 {
			send(t, a, strings.Repeat(fmt.Sprint(i%10), i))
		}
		a.Close()
		<-b.Done()
		for i, payload := range kept {
			if want := strings.Repeat(fmt.Sprint(i%10), i); string(payload) != want {
				t.Errorf("payload %d became %q", i, payload)
			}
		}
	})
}

func TestLentPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := make(map[uintptr]bool)
		i := 0
		a, b := couple(sockets.Config{LendPayloads: true}, nil, func(event sockets.Event, payload []byte, _ *sockets.Connection, _ error) {
			if event != sockets.EventMessage {
				return
			}
			if want := strings.Repeat(fmt.Sprint(i%10), 1+i*10); string(payload) != want {
				t.Errorf("payload %d is %.20q, want %.20q", i, payload, want)
			}
			places[uintptr(unsafe.Pointer(&payload[0]))>>14] = true
			clear(payload[:cap(payload)])
			i++
		})
		for i := range 1000 {
			send(t, a, strings.Repeat(fmt.Sprint(i%10), 1+i*10))
		}
		a.Close()
		<-b.Done()
		if i != 1000 || len(places) > 200 {
			t.Errorf("%d messages in %d places of 16 KiB; want 1000, in few", i, len(places))
		}
	})
}

func TestNoLargePayloadIsLentAgain(t *testing.T) {
	for first, again := range map[int]bool{1 << 20: false, 100 << 10: true} {
		synctest.Test(t, func(t *testing.T) {
			var told [][]byte
			a, b := couple(sockets.Config{LendPayloads: true}, nil, func(event sockets.Event, payload []byte, _ *sockets.Connection, _ error) {
				if event == sockets.EventMessage {
					told = append(told, payload)
				}
			})
			send(t, a, strings.Repeat("x", first))
			send(t, a, strings.Repeat("y", 100<<10))
			a.Close()
			<-b.Done()
			if got := unsafe.SliceData(told[0]) == unsafe.SliceData(told[1]); got != again {
				t.Errorf("the memory of %d bytes is lent again: %v, want %v", first, got, again)
			}
		})
	}
}

func TestAddressesOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mapped := netip.MustParseAddrPort("[::ffff:10.0.0.1]:1234")
		here, there := newPipe(mapped, netip.MustParseAddrPort("[fe80::1%eth0]:80"))
		c := sockets.NewConnection(here, nil)
		if got, want := c.LocalAddress(), netip.MustParseAddrPort("10.0.0.1:1234"); got != want {
			t.Errorf("LocalAddress() = %v, want %v", got, want)
		}
		if got, want := c.RemoteAddress(), netip.MustParseAddrPort("[fe80::1%eth0]:80"); got != want {
			t.Errorf("RemoteAddress() = %v, want %v", got, want)
		}
		if c.NetConn() != net.Conn(here) {
			t.Errorf("NetConn() = %v, want what it was made of", c.NetConn())
		}
		c.CloseNow()
		if got, want := c.LocalAddress(), netip.MustParseAddrPort("10.0.0.1:1234"); got != want {
			t.Errorf("LocalAddress() after the end = %v, want %v", got, want)
		}
		there.Close()
	})
}

func TestDoneWithoutACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		sent := make(chan struct{})
		go func() {
			c.Send(make([]byte, 2*memCapacity))
			close(sent)
		}()
		synctest.Wait()
		select {
		case <-c.Done():
			t.Error("Done is closed while the connection is open")
		default:
		}
		c.CloseNow()
		<-c.Done()
		<-sent
		other.Close()
	})
}

// One that stopped reading delays nobody, and is closed when its queue is full.
func TestSendAllNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, messages, size = 5, 200, 1000
		cfg := sockets.Config{MaxQueue: 50 * (size + 4 + 24)}
		rs := newRecorder(t)
		slow, stopped := alone(cfg, rs.callback)
		all := []*sockets.Connection{slow}
		received := make([]int, readers)
		var group sync.WaitGroup
		var ends []*sockets.Connection
		for i := range readers {
			a, b := couple(cfg, nil, nil)
			all = append(all, a)
			ends = append(ends, a, b)
			group.Go(func() {
				for {
					got, err := b.Receive(t.Context())
					if err != nil {
						return
					}
					if want := fmt.Sprint(received[i]); !strings.HasPrefix(string(got), want) {
						t.Errorf("reader %d: %.10q, want %q", i, got, want)
					}
					received[i]++
				}
			})
		}
		accepted := 0
		takes(t, "SendAll", 0, func() {
			for m := range messages {
				payload := make([]byte, size)
				copy(payload, fmt.Sprint(m))
				err := sockets.SendAll(payload, all...)
				synctest.Wait()
				switch {
				case err == nil:
					accepted++
				case !slow.Closed() || !errors.Is(err, sockets.ErrSlow):
					t.Errorf("SendAll %d = %v, want %v", m, err, sockets.ErrSlow)
				case !strings.Contains(err.Error(), slow.RemoteAddress().String()):
					t.Errorf("SendAll = %v, which does not name %v", err, slow.RemoteAddress())
				}
			}
			<-slow.Done()
		})
		if least, most := memCapacity/(size+4)+48, memCapacity/(size+4)+51; accepted < least || accepted > most {
			t.Errorf("the one that stopped was closed after %d messages, want between %d and %d", accepted, least, most)
		}
		rs.check("error", "close")
		if slow.Err() != sockets.ErrSlow || rs.error() != sockets.ErrSlow {
			t.Errorf("Err() = %v, the error event has %v, want %v", slow.Err(), rs.error(), sockets.ErrSlow)
		}
		for i := range received {
			if received[i] != messages {
				t.Errorf("reader %d has %d messages, want %d", i, received[i], messages)
			}
		}
		stopped.Close()
		for _, c := range ends {
			go c.Close()
		}
		group.Wait()
	})
}

func TestSendAllTriesEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed, other := alone(sockets.Config{}, nil)
		other.Close()
		closed.Close()
		small, another := alone(sockets.Config{MaxMessage: 3}, nil)
		broken, yetAnother := alone(sockets.Config{}, nil)
		yetAnother.peer.failWrites(0, syscall.EPIPE)
		sendError(t, broken, syscall.EPIPE)
		good, end := couple(sockets.Config{}, nil, nil)
		err := sockets.SendAll([]byte("hello"), closed, small, broken, good)
		for _, want := range []error{net.ErrClosed, sockets.ErrMessageTooBig, syscall.EPIPE} {
			if !errors.Is(err, want) {
				t.Errorf("SendAll = %v, want it to be %v", err, want)
			}
		}
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok || len(joined.Unwrap()) != 3 {
			t.Errorf("SendAll = %v, want one error for each of three", err)
		}
		receive(t, end, "hello")
		if small.Closed() {
			t.Error("a message over the limit closed the connection")
		}
		if err := sockets.SendAll([]byte("nobody")); err != nil {
			t.Errorf("SendAll to nobody = %v", err)
		}
		answer(another)
		small.Close()
		broken.CloseNow()
		yetAnother.Close()
		go end.Close()
		good.Close()
	})
}

func TestSendAllWithSeveralPrefixes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*sockets.Connection
		others := make(map[*memConn]int)
		for _, prefix := range []int{1, 2, 4, 8, 4, 1} {
			c, other := alone(sockets.Config{Prefix: prefix}, nil)
			all = append(all, c)
			others[other] = prefix
		}
		if err := sockets.SendAll([]byte("hello"), all...); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		for _, c := range all {
			go c.Close()
		}
		for other, prefix := range others {
			want := string(make([]byte, prefix-1)) + "\x05hello"
			if got := readAll(t, other); string(got) != want {
				t.Errorf("with prefix %d: %q, want %q", prefix, got, want)
			}
		}
	})
}

// What one goroutine sends stays in order, by Send or by SendAll.
func TestSendAndSendAllKeepTheirOrder(t *testing.T) {
	for _, capacity := range []int{10, memCapacity} {
		synctest.Test(t, func(t *testing.T) {
			a, b := couple(sockets.Config{}, nil, nil)
			b.NetConn().(*memConn).setCapacity(capacity)
			order := rand.New(rand.NewPCG(1, 2))
			go func() {
				for i := range 1000 {
					if order.IntN(2) == 0 {
						send(t, a, fmt.Sprint(i))
					} else if err := sockets.SendAll([]byte(fmt.Sprint(i)), a); err != nil {
						t.Errorf("SendAll = %v", err)
					}
				}
				a.Close()
			}()
			for i := range 1000 {
				receive(t, b, fmt.Sprint(i))
			}
			receiveError(t, b, io.EOF)
			b.Close()
		})
	}
}

// What SendAll queued is part of what Close delivers.
func TestCloseDeliversWhatSendAllQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, nil)
		other.setCapacity(1)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			if err := sockets.SendAll([]byte(want[i]), c); err != nil {
				t.Errorf("SendAll = %v", err)
			}
		}
		go c.Close()
		if got := readAll(t, other); !bytes.Equal(got, framed(want...)) {
			t.Errorf("arrived: %q", got)
		}
	})
}

// A dialNetwork answers Dial as its function says.
type dialNetwork struct {
	*memNetwork
	dial  func(ctx context.Context) (net.Conn, error)
	asked []string
}

func (n *dialNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.asked = append(n.asked, network+" "+address)
	return n.dial(ctx)
}

func TestDialTellsWhyNobodyWasReached(t *testing.T) {
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
	fail := func(err error) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	}
	unknown := &net.DNSError{Err: "no such host", Name: "host", IsNotFound: true}
	for _, test := range []struct {
		name string
		dial func(context.Context) (net.Conn, error)
		is   error
		text string
	}{
		{"refused", fail(os.NewSyscallError("connect", syscall.ECONNREFUSED)), syscall.ECONNREFUSED, "no program accepts connections there"},
		{"the network's time-out", fail(os.NewSyscallError("connect", syscall.ETIMEDOUT)), os.ErrDeadlineExceeded, "no answer in time"},
		{"our time-out", hang, os.ErrDeadlineExceeded, "no answer in time"},
		{"unknown host", fail(unknown), unknown, "there is no host of this name"},
		{"the name server does not answer", fail(&net.DNSError{Err: "i/o timeout", Name: "host", IsTimeout: true}), os.ErrDeadlineExceeded, "no answer in time"},
		{"unreachable", fail(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), syscall.EHOSTUNREACH, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &dialNetwork{dial: test.dial}
				cfg := sockets.Config{Network: network}
				c, err := cfg.Dial(t.Context(), "host:8080", nil)
				if c != nil || !errors.Is(err, test.is) {
					t.Fatalf("Dial = %v, %v, want %v", c, err, test.is)
				}
				if !strings.HasPrefix(err.Error(), "sockets: dial host:8080: ") || !strings.Contains(err.Error(), test.text) {
					t.Errorf("Dial = %v, want it to say %q", err, test.text)
				}
				var dns *net.DNSError
				if want := strings.Contains(test.name, "host") || strings.Contains(test.name, "name"); errors.As(err, &dns) != want {
					t.Errorf("Dial = %v, a DNSError: want %v", err, want)
				}
			})
		})
	}
}

func TestDialTimeout(t *testing.T) {
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ timeout, want time.Duration }{{0, 10 * time.Second}, {time.Hour, time.Hour}} {
			cfg := sockets.Config{Network: &dialNetwork{dial: hang}, DialTimeout: test.timeout}
			takes(t, "Dial", test.want, func() {
				if _, err := cfg.Dial(t.Context(), "host:1", nil); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Dial = %v, want %v", err, os.ErrDeadlineExceeded)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			takes(t, "Dial", time.Second, func() {
				if _, err := cfg.Dial(ctx, "host:1", nil); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Dial = %v, want %v and %v", err, context.DeadlineExceeded, os.ErrDeadlineExceeded)
				}
			})
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(24*time.Hour, cancel)
		cfg := sockets.Config{Network: &dialNetwork{dial: hang}, DialTimeout: -1}
		takes(t, "Dial", 24*time.Hour, func() {
			if _, err := cfg.Dial(ctx, "host:1", nil); !errors.Is(err, context.Canceled) {
				t.Errorf("Dial = %v, want %v", err, context.Canceled)
			}
		})
	})
}

func TestDialHandsTheAddressToTheNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"8080":             "tcp :8080",
		":8080":            "tcp :8080",
		" localhost:8080 ": "tcp localhost:8080",
		"[::1]:8080":       "tcp [::1]:8080",
		"0.0.0.0:8080":     "tcp 0.0.0.0:8080",
	} {
		network := &dialNetwork{dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }}
		cfg := sockets.Config{Network: network}
		cfg.Dial(t.Context(), text, nil)
		if diff := cmp.Diff([]string{want}, network.asked); diff != "" {
			t.Errorf("Dial(%q) asked the Network: -want +got\n%s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"":                "port",
		"0":               "port",
		"localhost":       "port",
		"localhost:0":     "port",
		"localhost:65536": "0-65535",
		"localhost:-1":    "0-65535",
		"localhost:http":  "0-65535",
		"99999":           "0-65535",
		"a:b:c":           "HOST:PORT",
	} {
		network := &dialNetwork{dial: func(context.Context) (net.Conn, error) { return nil, nil }}
		cfg := sockets.Config{Network: network}
		c, err := cfg.Dial(t.Context(), text, nil)
		if c != nil || err == nil || !strings.HasPrefix(err.Error(), "sockets: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Dial(%q) = %v, %v, want an error that says %s", text, c, err, want)
		}
		if len(network.asked) > 0 {
			t.Errorf("Dial(%q) asked the Network for %q", text, network.asked)
		}
	}
}

func TestDialWithAWrongPrefixDialsNobody(t *testing.T) {
	network := &dialNetwork{dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }}
	defer func() {
		if recover() == nil || len(network.asked) > 0 {
			t.Errorf("with a prefix of 3 Dial asked for %v, want a panic", network.asked)
		}
	}()
	cfg := sockets.Config{Network: network, Prefix: 3}
	cfg.Dial(t.Context(), "localhost:8080", nil)
}

func TestAClientIsAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		network := &dialNetwork{dial: func(context.Context) (net.Conn, error) { return here, nil }}
		r := newRecorder(t)
		cfg := sockets.Config{Network: network}
		client, err := cfg.Dial(t.Context(), "localhost:8080", r.callback)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if client.Err() != nil {
			t.Errorf("Err() = %v after the time of dialling", client.Err())
		}
		other.Write(framed("one"))
		synctest.Wait()
		if err := sockets.SendAll([]byte("two"), client.Connection); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		answer(other)
		client.Close()
		<-client.Done()
		r.check("message one", "close")
	})
}
