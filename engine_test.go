package sockets_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
)

// Nobody sends from a callback: a goroutine of each end sends, and the
// callbacks only read. Neither end may stop the other.
func TestACallbackThatOnlyReadsNeverStopsTheOtherEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(event sockets.Event, _ []byte, _ *sockets.Connection, err error) {
			switch event {
			case sockets.EventMessage:
				time.Sleep(400 * time.Microsecond)
			case sockets.EventError:
				t.Errorf("error event after %v: %v", time.Now(), err)
			}
		}
		here, there := pipe()
		here.Write(framed("one", "two"))
		there.Write(framed("one", "two"))
		a, b := new(sockets.Config).NewConnection(here, slow), new(sockets.Config).NewConnection(there, slow)
		ends := []*sockets.Connection{a, b}
		done := make(chan error)
		for _, c := range ends {
			go func() {
				time.Sleep(100 * time.Microsecond)
				payload := make([]byte, 1000)
				for range 120 {
					if err := c.Send(payload); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range ends {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Minute)
		for _, c := range ends {
			c.CloseNow()
			<-c.Done()
		}
	})
}

// What is held while callbacks run leaves when all that has arrived is handled,
// not only when its time is over.
func TestWhatIsHeldLeavesWithTheLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := alone(sockets.Config{}, func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				c.Send(payload)
			}
		})
		stream := framed("one", "two", "three")
		takes(t, "the echo", 0, func() {
			other.Write(stream)
			echo := make([]byte, len(stream))
			if _, err := io.ReadFull(other, echo); err != nil || !bytes.Equal(echo, stream) {
				t.Errorf("the echo is %q, %v", echo, err)
			}
		})
		c.CloseNow()
		<-c.Done()
		other.Close()
	})
}

// tcpPair returns a connection over real TCP, and the bare other end.
func tcpPair(t *testing.T, cfg sockets.Config, callback sockets.ConnectionCallback) (*sockets.Connection, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	return cfg.NewConnection(here, callback), there.(*net.TCPConn)
}

// After a second of silence another goroutine receives.
func TestRealSilenceChangesNothing(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"message", "close", "closenow", "eof", "partial", "reset"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			c, there := tcpPair(t, sockets.Config{}, r.callback)
			there.Write(framed("one"))
			time.Sleep(1000*time.Millisecond + time.Duration(rand.IntN(2000))*time.Microsecond)
			want := []string{"message one"}
			switch what {
			case "message":
				there.Write(framed("two"))
				want = append(want, "message two")
				there.CloseWrite()
			case "close":
				there.CloseWrite()
				c.Close()
			case "closenow":
				c.CloseNow()
			case "eof":
				there.CloseWrite()
			case "partial":
				there.Write(framed("two")[:5])
				time.Sleep(1100 * time.Millisecond)
				there.Write(framed("two")[5:])
				want = append(want, "message two")
				time.Sleep(1100 * time.Millisecond)
				there.CloseWrite()
			case "reset":
				there.SetLinger(0)
				there.Close()
				want = append(want, "error")
			}
			<-c.Done()
			r.check(append(want, "close")...)
		})
	}
}

// However frames lie over what is read at a time, each arrives as it was, and what
// a callback keeps stays so.
func TestRealFramesCutAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var stream []byte
		var want [][]byte
		for range 200 {
			n := []int{0, 1, rnd.IntN(300), 16384 - 5 + rnd.IntN(10), rnd.IntN(70000)}[rnd.IntN(5)]
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			want = append(want, p)
			stream = append(binary.BigEndian.AppendUint32(stream, uint32(n)), p...)
		}
		for _, lend := range []bool{false, true} {
			var kept [][]byte
			var bad atomic.Int32
			i := 0
			c, there := tcpPair(t, sockets.Config{LendPayloads: lend}, func(event sockets.Event, p []byte, c *sockets.Connection, err error) {
				switch event {
				case sockets.EventMessage:
					if !bytes.Equal(p, want[i]) {
						bad.Add(1)
					}
					i++
					c.Send(p)
					if !lend {
						kept = append(kept, p)
					} else {
						clear(p)
					}
				case sockets.EventError:
					t.Error(err)
				}
			})
			var back []byte
			var w sync.WaitGroup
			w.Go(func() { back, _ = io.ReadAll(there) })
			for rest := stream; len(rest) > 0; {
				n := min(len(rest), 1+rnd.IntN(40000))
				there.Write(rest[:n])
				rest = rest[n:]
			}
			there.CloseWrite()
			<-c.Done()
			w.Wait()
			for j, p := range kept {
				if !bytes.Equal(p, want[j]) {
					t.Errorf("kept %d changed", j)
				}
			}
			if bad.Load() > 0 || i != len(want) || !bytes.Equal(back, stream) {
				t.Errorf("seed %d: %d bad, %d of %d, back %d of %d", seed, bad.Load(), i, len(want), len(back), len(stream))
			}
		}
	}
}
