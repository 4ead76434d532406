package sockets_test

import (
	"context"
	"errors"
	"net"
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
