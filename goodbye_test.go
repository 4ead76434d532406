package sockets_test

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
)

// lastWords is a layer that has no CloseWrite, and says goodbye in Close.
type lastWords struct{ net.Conn }

func (l lastWords) NetConn() net.Conn { return l.Conn }

func (l lastWords) Close() error {
	l.Conn.Write(framed("goodbye"))
	return l.Conn.Close()
}

func TestCloseLetsALayerSayGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := pipe()
		c := sockets.NewConnection(lastWords{here}, nil)
		other := sockets.NewConnection(there, nil)
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		receive(t, other, "goodbye")
		other.CloseNow()
	})
}

// A system tells a reset once: here to the reader, just before Close.
func TestCloseTellsTheResetThatWasToldToTheReader(t *testing.T) {
	for name, callback := range map[string]sockets.ConnectionCallback{
		"a callback": func(sockets.Event, []byte, *sockets.Connection, error) {},
		"Receive":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, other := pipe()
				release := make(chan struct{})
				c := sockets.NewConnection(&hookedConn{memConn: here, read: func(p []byte) (int, error) {
					n, err := here.Read(p)
					<-release
					return n, err
				}}, callback)
				if callback == nil {
					go c.Receive(t.Context())
				}
				other.abort()
				synctest.Wait()
				time.AfterFunc(time.Millisecond, func() { close(release) })
				if err := c.Close(); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("Close = %v, want %v", err, syscall.ECONNRESET)
				}
				<-c.Done()
			})
		})
	}
}

// A read fails just after Close has begun, which is in charge then.
func TestAFailedReceiveDoesNotCutCloseShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		other.setCapacity(0)
		late, release := errors.New("late"), make(chan struct{})
		c := sockets.NewConnection(&hookedConn{memConn: here, read: func(p []byte) (int, error) {
			select {
			case <-release:
				return here.Read(p)
			case <-time.After(time.Millisecond):
				close(release)
				return 0, late
			}
		}}, nil)
		go c.Receive(t.Context())
		synctest.Wait()
		if err := sockets.SendAll([]byte("text"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		time.AfterFunc(time.Second, func() {
			other.setCapacity(memCapacity)
			other.CloseWrite()
		})
		if err := c.Close(); !errors.Is(err, late) {
			t.Errorf("Close = %v, want %v", err, late)
		}
		if n := other.unread(); n != len(framed("text")) {
			t.Errorf("%d bytes reached the other end before Close returned, want all %d", n, len(framed("text")))
		}
		other.Close()
	})
}

// What had ended before is not late, also where a layer's Write returns late.
func TestCloseOfWhatAFaultHasEndedIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		release := make(chan struct{})
		cfg := sockets.Config{CloseTimeout: time.Millisecond}
		c := cfg.NewConnection(&hookedConn{memConn: here, write: func(p []byte) (int, error) {
			<-release
			return here.Write(p)
		}}, nil)
		if err := sockets.SendAll([]byte("lost"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		other.abort()
		if _, err := c.Receive(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Receive = %v, want %v", err, syscall.ECONNRESET)
		}
		time.AfterFunc(time.Second, func() { close(release) })
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
	})
}

// After a failed write the connection lasts for as long as Close may take.
func TestCloseAfterAFailedWriteIsNotLate(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			here, other := pipe()
			here.failWrites(0, syscall.EPIPE)
			c := sockets.NewConnection(here, nil)
			if err := c.Send([]byte("lost")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("Send = %v, want %v", err, syscall.EPIPE)
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
			other.Close()
		})
	}
}

func TestCloseNowDoesNotExcuseACloseThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		release := make(chan struct{})
		c := (&sockets.Config{CloseTimeout: time.Millisecond}).NewConnection(&hookedConn{memConn: here, write: func(p []byte) (int, error) {
			<-release
			return here.Write(p)
		}}, nil)
		if err := sockets.SendAll([]byte("lost"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		time.AfterFunc(time.Microsecond, func() { c.CloseNow() })
		time.AfterFunc(time.Second, func() { close(release) })
		if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Close = %v, want %v", err, os.ErrDeadlineExceeded)
		}
		other.Close()
	})
}

func TestCloseWriteTellsThatAnEarlierMessageFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, other := pipe()
		release := make(chan struct{})
		broken := errors.New("broken")
		c := sockets.NewConnection(&hookedConn{memConn: here, write: func([]byte) (int, error) {
			<-release
			return 0, broken
		}}, nil)
		if err := sockets.SendAll([]byte("lost"), c); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		synctest.Wait()
		time.AfterFunc(time.Millisecond, func() { close(release) })
		if err := c.CloseWrite(); err != broken {
			t.Errorf("CloseWrite = %v, want %v", err, broken)
		}
		c.CloseNow()
		other.Close()
	})
}

func TestShutdownThatIsCutShortSaysSo(t *testing.T) {
	for name, callback := range map[string]sockets.ConnectionCallback{
		"with a callback":    func(sockets.Event, []byte, *sockets.Connection, error) {},
		"without a callback": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, sockets.Config{}, func(event sockets.Event, c *sockets.Connection, _ sockets.Address, _ error) {
					if event == sockets.EventConnect && callback != nil {
						c.SetCallback(callback)
					}
				})
				silent := s.dial()
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				takes(t, "Shutdown", time.Second, func() {
					if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
						t.Errorf("Shutdown = %v, want %v", err, context.DeadlineExceeded)
					}
				})
				silent.Close()
			})
		})
	}
}
