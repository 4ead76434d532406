package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

// readError reads from c until an error, which it returns, and how long it took.
func readError(c net.Conn) (waited time.Duration, err error) {
	start := time.Now()
	for {
		if _, err := c.Read(make([]byte, 1000)); err != nil {
			return time.Since(start), err
		}
	}
}

func TestAStreamLosesAndRepeatsNothing(t *testing.T) {
	for name, link := range map[string]simnet.Link{
		"loss":        {Delay: 10 * time.Millisecond, Loss: 0.3},
		"duplication": {Delay: 10 * time.Millisecond, Duplicate: 0.5},
		"reordering":  {Delay: 10 * time.Millisecond, Reorder: 0.3},
		"jitter":      {Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond},
		"short queue": {Delay: 10 * time.Millisecond, Bandwidth: 1e7, Queue: 10_000},
		"slices":      {Delay: 10 * time.Millisecond, Slice: 200, Loss: 0.05},
		"everything":  {Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Bandwidth: 1e8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, link)
				payload := randomBytes(1 << 20)
				start := time.Now()
				send(t, p.dialled, payload)
				send(t, p.accepted, payload[:1<<18])
				done := make(chan bool)
				go func() {
					receive(t, p.dialled, payload[:1<<18])
					close(done)
				}()
				receive(t, p.accepted, payload)
				<-done
				t.Logf("%v, %+v", time.Since(start), p.network.Counters(p.a, p.b))
			})
		})
	}
}

// What is lost is sent again as soon as later segments arrive; what is merely
// late is not.
func TestAStreamSendsAgainWhatIsLost(t *testing.T) {
	for name, test := range map[string]struct {
		link simnet.Link
		took time.Duration // at most
		more int64         // segments than needed, and than were lost
	}{
		"loss":   {simnet.Link{Delay: 10 * time.Millisecond, Loss: 0.01}, time.Second, 20},
		"far":    {simnet.Link{Delay: time.Second}, time.Minute, 20},
		"jitter": {simnet.Link{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}, time.Second, 30},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, test.link)
				payload := randomBytes(1 << 20)
				start := time.Now()
				send(t, p.dialled, payload)
				receive(t, p.accepted, payload)
				if took := time.Since(start); took > test.took {
					t.Errorf("1 MiB took %v, want %v at most", took, test.took)
				}
				c := p.network.Counters(p.a, p.b)
				needed := int64(len(payload) / 1460) // and one each time that a window is full
				if more := c.Sent - c.Lost - needed; more > test.more {
					t.Errorf("%d segments were sent needlessly, want %d at most", more, test.more)
				}
			})
		})
	}
}

// A SYN that comes late, after all is over even, changes nothing.
func TestLateSYNs(t *testing.T) {
	for seed := range uint64(20) {
		virtually(t, func(t *testing.T) {
			n := simnet.New(seed)
			a, b := n.Host("alice"), n.Host("bob")
			n.SetLinks(simnet.Link{Duplicate: 1, Delay: 5 * time.Second, Jitter: 20 * time.Second})
			time.AfterFunc(500*time.Millisecond, func() { n.SetLink(a, b, simnet.Link{Delay: time.Second}) })
			time.AfterFunc(2500*time.Millisecond, func() { n.SetLink(b, a, simnet.Link{Delay: time.Second}) })
			l := listen(t, b, "bob:8080")
			dialled := dial(t, a, "bob:8080")
			accepted := accept(t, l)
			for i := range int(seed) {
				var there, back int
				fmt.Fprintln(dialled, i)
				fmt.Fscanln(accepted, &there)
				fmt.Fprintln(accepted, there)
				dialled.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := fmt.Fscanln(dialled, &back); back != i || err != nil {
					t.Fatalf("seed %d: %d comes back, %v, want %d", seed, back, err, i)
				}
			}
			dialled.Close()
			accepted.Close()
			l.(listener).SetDeadline(time.Now().Add(time.Hour))
			if c, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("seed %d: Accept = %v, %v, want os.ErrDeadlineExceeded", seed, c, err)
			}
			if streams := a.Streams() + b.Streams(); streams > 0 {
				t.Errorf("seed %d: there are %d streams, an hour later", seed, streams)
			}
		})
	}
}

func TestAPartitionStallsAStream(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: 10 * time.Millisecond})
		p.network.Partition([]*simnet.Host{p.a})
		payload := randomBytes(1 << 20)
		send(t, p.dialled, payload)
		p.accepted.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := p.accepted.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %d, %v, want 0, os.ErrDeadlineExceeded", n, err)
		}
		p.accepted.SetReadDeadline(time.Time{})
		p.network.Heal()
		receive(t, p.accepted, payload)
	})
}

// A segment is sent again after 200 ms and a round trip, and twice as long each
// time, up to two minutes.
func TestAStreamGivesUp(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{})
		p.network.Cut(p.a, p.b)
		start := time.Now()
		var sent []time.Duration
		p.network.Observe(func(at time.Time, from, _ netip.AddrPort, payload []byte, fate simnet.Fate) {
			if fate == simnet.Sent && len(payload) > 0 {
				sent = append(sent, at.Sub(start))
			}
		})
		p.dialled.Write([]byte("hello"))
		took, err := readError(p.dialled)
		if want := 924600 * time.Millisecond; !errors.Is(err, syscall.ETIMEDOUT) || took != want {
			t.Errorf("Read = %v after %v, want ETIMEDOUT after %v", err, took, want)
		}
		want := []time.Duration{0}
		for timeout, at := 200*time.Millisecond, time.Duration(0); len(want) < 16; timeout = min(2*timeout, 2*time.Minute) {
			at += timeout
			want = append(want, at)
		}
		if !slices.Equal(sent, want) {
			t.Errorf("sent after\n%v, want\n%v", sent, want)
		}
		if _, err := p.dialled.Write([]byte("hello")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write = %v, want EPIPE", err)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	faults := map[string]struct {
		happens func(p *pair)
		err     error
		after   time.Duration // of dialled, idle
	}{
		"cut":                   {func(p *pair) { p.network.Cut(p.b, p.a) }, syscall.ETIMEDOUT, 150 * time.Second},
		"crash":                 {func(p *pair) { p.b.Crash() }, syscall.ETIMEDOUT, 150 * time.Second},
		"hold":                  {func(p *pair) { p.network.Hold(p.b, p.a) }, syscall.ETIMEDOUT, 150 * time.Second},
		"partition":             {func(p *pair) { p.network.Partition([]*simnet.Host{p.a}) }, syscall.ETIMEDOUT, 150 * time.Second},
		"total loss":            {func(p *pair) { p.network.SetLink(p.b, p.a, simnet.Link{Loss: 1}) }, syscall.ETIMEDOUT, 150 * time.Second},
		"total loss everywhere": {func(p *pair) { p.network.SetLinks(simnet.Link{Loss: 1}) }, syscall.ETIMEDOUT, 150 * time.Second},
		"later": {func(p *pair) {
			time.Sleep(time.Hour + 7*time.Second)
			p.network.Cut(p.b, p.a)
		}, syscall.ETIMEDOUT, time.Hour + 150*time.Second},
		"cut and mended": {func(p *pair) {
			p.network.Cut(p.a, p.b)
			time.AfterFunc(134*time.Second, p.network.Heal)
		}, os.ErrDeadlineExceeded, 24 * time.Hour},
		"lost reset": {func(p *pair) {
			p.network.Cut(p.b, p.a)
			p.accepted.SetLinger(0)
			p.accepted.Close()
			p.network.Heal()
		}, syscall.ECONNRESET, 15 * time.Second},
		"restart":    {func(p *pair) { p.b.Crash(); p.b.Restart() }, syscall.ECONNRESET, 15 * time.Second},
		"own crash":  {func(p *pair) { p.a.Crash() }, net.ErrClosed, 0},
		"no fault":   {func(p *pair) {}, os.ErrDeadlineExceeded, 24 * time.Hour},
		"half close": {func(p *pair) { p.dialled.CloseWrite() }, os.ErrDeadlineExceeded, 24 * time.Hour},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, simnet.Link{})
				p.dialled.SetReadDeadline(time.Now().Add(24 * time.Hour))
				done := make(chan bool)
				go func() {
					defer close(done)
					if after, err := readError(p.dialled); !errors.Is(err, fault.err) || after != fault.after {
						t.Errorf("Read = %v after %v, want %v after %v", err, after, fault.err, fault.after)
					}
				}()
				synctest.Wait()
				fault.happens(p)
				<-done
			})
		})
	}
}

func TestACrashLeavesNothing(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: time.Millisecond})
		waiting := dial(t, p.a, "bob:8080")
		accept(t, p.listener)
		before := p.network.Total().Sent
		done := make(chan error)
		p.network.Hold(p.b, p.a)
		for _, call := range []func() error{
			func() error { _, err := p.dialled.Read(make([]byte, 1)); return err },
			func() error { _, err := waiting.Write(make([]byte, 1<<20)); return err },
			func() error { _, err := p.a.DialContext(t.Context(), "tcp", "bob:8080"); return err },
			func() error { l := listen(t, p.a, ":1"); _, err := l.Accept(); return err },
		} {
			go func() { done <- call() }()
		}
		synctest.Wait()
		sent := p.network.Total().Sent
		if sent == before {
			t.Fatal("nothing is under way")
		}
		p.a.Crash()
		for range 4 {
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("a waiting call returns %v, want net.ErrClosed", err)
			}
		}
		if _, err := p.a.DialContext(t.Context(), "tcp", "bob:8080"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("DialContext = %v, want ENETDOWN", err)
		}
		if _, err := p.a.Listen(t.Context(), "tcp", ":1"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("Listen = %v, want ENETDOWN", err)
		}
		if got := p.network.Counters(p.a, p.b).Sent; got > sent {
			t.Errorf("the crashed host sent %d segments", got-sent)
		}
		p.a.Restart()
		p.network.Heal()
		p.accepted.Write([]byte("hello"))
		if _, err := readError(p.accepted); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other end reads %v, want ECONNRESET", err)
		}
		listen(t, p.a, ":1")
		dial(t, p.a, "bob:8080")
	})
}

func TestNobodyAnswersADial(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		part    bool
		timeout time.Duration
		err     error
		after   time.Duration
	}{
		"partition":        {"bob:8080", true, time.Hour, syscall.ETIMEDOUT, 127 * time.Second},
		"no such host":     {"10.9.9.9:8080", false, time.Hour, syscall.ETIMEDOUT, 127 * time.Second},
		"the context ends": {"bob:8080", true, time.Minute, context.DeadlineExceeded, time.Minute},
		"no network":       {"[2001:db8::1]:8080", false, time.Minute, syscall.ENETUNREACH, 0},
		"multicast":        {"224.0.0.1:8080", false, time.Minute, syscall.ENETUNREACH, 0},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				n := simnet.New(1)
				a, b := n.Host("alice"), n.Host("bob")
				l := listen(t, b, ":8080")
				if test.part {
					n.Partition([]*simnet.Host{a})
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				start := time.Now()
				_, err := a.DialContext(ctx, "tcp", test.address)
				if took := time.Since(start); !errors.Is(err, test.err) || took != test.after {
					t.Errorf("DialContext = %v after %v, want %v after %v", err, took, test.err, test.after)
				}
				var failure net.Error
				if timeout := test.after > 0; !errors.As(err, &failure) || failure.Timeout() != timeout {
					t.Errorf("%v is a time-out, %v, want %v", err, !timeout, timeout)
				}
				n.Heal()
				dial(t, a, "bob:8080")
				accept(t, l)
			})
		})
	}
}

func TestADialTriesAgain(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host("alice"), n.Host("bob")
		listen(t, b, ":8080")
		n.Cut(b, a)
		start := time.Now()
		time.AfterFunc(20*time.Second, n.Heal)
		dial(t, a, "bob:8080")
		if took := time.Since(start); took != 31*time.Second {
			t.Errorf("it took %v, want 31s: at 1, 3, 7, 15 and 31 seconds it tries again", took)
		}
	})
}

// What a stream carries arrives at the same times, whatever the scheduler does.
func TestStreamsAreDeterministic(t *testing.T) {
	scenario := func(t *testing.T) (seen []string) {
		virtually(t, func(t *testing.T) {
			p := newPair(t, 7, simnet.Link{Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.1, Duplicate: 0.1, Bandwidth: 1e7})
			start := time.Now()
			p.network.Observe(func(at time.Time, from, to netip.AddrPort, payload []byte, fate simnet.Fate) {
				seen = append(seen, fmt.Sprint(at.Sub(start), from, to, len(payload), fate))
			})
			payload := randomBytes(100_000)
			send(t, p.dialled, payload)
			receive(t, p.accepted, payload)
			send(t, p.accepted, payload)
			receive(t, p.dialled, payload)
			time.Sleep(time.Minute)
		})
		return seen
	}
	want := scenario(t)
	for range 20 {
		if got := scenario(t); !slices.Equal(got, want) {
			t.Fatalf("another run: %d things happened, want %d", len(got), len(want))
		}
	}
}

// A timer that is set over and over is one timer.
func TestABusyStreamHasFewTimers(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: time.Millisecond})
		for range 10_000 {
			p.dialled.Write([]byte("x"))
			p.accepted.Read(make([]byte, 1))
			time.Sleep(time.Second)
		}
		if pending := p.network.Pending(); pending > 50 {
			t.Errorf("%d things will happen", pending)
		}
	})
}

func TestSlices(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Slice: 3})
		p.dialled.Write([]byte("0123456789"))
		for _, want := range []string{"012", "345", "678", "9"} {
			got := make([]byte, 100)
			if n, err := p.accepted.Read(got); string(got[:n]) != want || err != nil {
				t.Errorf("Read = %q, %v, want %q", got[:n], err, want)
			}
		}
	})
}

// A link that stalls carries the end no more than anything else.
func TestStall(t *testing.T) {
	for _, text := range []string{"0123456789", "0123456"} {
		virtually(t, func(t *testing.T) {
			p := newPair(t, 1, simnet.Link{})
			p.network.SetLink(p.a, p.b, simnet.Link{Stall: 7})
			io.WriteString(p.dialled, text)
			time.Sleep(time.Hour)
			p.dialled.CloseWrite()
			p.accepted.SetReadDeadline(time.Now().Add(24 * time.Hour))
			got, err := io.ReadAll(p.accepted)
			if string(got) != "0123456" || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ReadAll = %q, %v, want 7 bytes, os.ErrDeadlineExceeded", got, err)
			}
			p.accepted.SetReadDeadline(time.Time{})
			start := time.Now()
			p.network.SetLinks(simnet.Link{})
			receive(t, p.accepted, []byte(text[7:]))
			if took := time.Since(start); took != 0 {
				t.Errorf("once the link does not stall, the rest takes %v", took)
			}
		})
	}
}

func TestReset(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: time.Millisecond})
		p.network.SetLink(p.a, p.b, simnet.Link{Delay: time.Millisecond, Reset: 7})
		p.dialled.Write([]byte("0123456789"))
		got, err := io.ReadAll(p.accepted)
		if string(got) != "0123456" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("ReadAll = %q, %v, want 7 bytes, ECONNRESET", got, err)
		}
		if _, err := readError(p.dialled); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the sender reads %v, want ECONNRESET", err)
		}
	})
}

// Streams that are closed, in whatever way, do not go on for ever.
func TestClosedStreamsFallSilent(t *testing.T) {
	for name, end := range map[string]func(p *pair){
		"both":        func(p *pair) { p.dialled.Close(); p.accepted.Close() },
		"read":        func(p *pair) { p.dialled.Close(); io.Copy(io.Discard, p.accepted); p.accepted.Close() },
		"one":         func(p *pair) { p.dialled.Close(); p.network.Cut(p.a, p.b) },
		"nobody":      func(p *pair) { p.network.Partition([]*simnet.Host{p.a}) },
		"full":        func(p *pair) { p.dialled.SetWriteDeadline(time.Now()); p.dialled.Close() },
		"unread":      func(p *pair) { p.accepted.Close() },
		"full, apart": func(p *pair) { p.dialled.Close(); p.network.Partition([]*simnet.Host{p.a}) },
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPair(t, 1, simnet.Link{Delay: time.Millisecond, Loss: 0.1})
				p.dialled.SetWriteDeadline(time.Now().Add(time.Minute))
				p.dialled.Write(make([]byte, 3*streamBuffer))
				end(p)
				time.Sleep(time.Hour)
				if pending, streams := p.network.Pending(), p.a.Streams()+p.b.Streams(); pending > 0 || streams > 0 {
					t.Errorf("an hour later there are %d streams, and %d things will happen", streams, pending)
				}
			})
		})
	}
}

// Nothing will happen any more where ends wait for each other: a bubble would be
// in deadlock.
func TestAStreamThatWaitsHasNoTimer(t *testing.T) {
	links := map[string]simnet.Link{
		"perfect": {},
		"lossy":   {Delay: 10 * time.Millisecond, Loss: 0.3},
		"slow":    {Delay: 10 * time.Millisecond, Bandwidth: 1e6, Queue: 5000},
		"stalls":  {Delay: 10 * time.Millisecond, Stall: 1000},
	}
	waits := map[string]func(p *pair){
		"nobody writes": func(p *pair) {},
		"half closed":   func(p *pair) { p.dialled.CloseWrite() },
		"both write": func(p *pair) {
			go p.dialled.Write(make([]byte, 1<<20))
			go p.accepted.Write(make([]byte, 1<<20))
		},
		"one writes": func(p *pair) {
			go p.dialled.Write(make([]byte, 1<<20))
			io.ReadFull(p.accepted, make([]byte, 1000))
		},
	}
	for on, link := range links {
		for name, wait := range waits {
			t.Run(on+"/"+name, func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					p := newPair(t, 1, link)
					wait(p)
					time.Sleep(time.Hour)
					if pending := p.network.Pending(); pending > 0 {
						t.Errorf("an hour later %d things will happen", pending)
					}
					p.dialled.Close()
					p.accepted.Close()
				})
			})
		}
	}
}

// Who has closed waits a minute for the other end.
func TestAClosedStreamWaitsForTheOtherEnd(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: 10 * time.Millisecond})
		p.dialled.CloseWrite()
		time.Sleep(time.Hour)
		p.dialled.Close()
		time.Sleep(59 * time.Second)
		if streams := p.a.Streams(); streams != 1 {
			t.Errorf("after 59 seconds there are %d streams, want 1", streams)
		}
		time.Sleep(2 * time.Second)
		if streams := p.a.Streams(); streams != 0 {
			t.Errorf("after 61 seconds there are %d streams", streams)
		}
		time.Sleep(15 * time.Second)
		if _, err := p.accepted.Write([]byte("hello")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write to who is gone = %v, want EPIPE", err)
		}
	})
}

func TestACrashEndsAClosedStream(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPair(t, 1, simnet.Link{Delay: 10 * time.Millisecond})
		p.dialled.Close()
		time.Sleep(time.Second)
		p.a.Crash()
		p.a.Restart()
		io.WriteString(p.accepted, "hello")
		time.Sleep(time.Second)
		if _, err := p.accepted.Write([]byte("hello")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write to who has crashed = %v, want EPIPE", err)
		}
	})
}

// Neither alarms nor deadlines go off meanwhile.
func TestWhatIsClosedIsCollected(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(), n.Host("bob")
		var collected []func() bool
		func() {
			l, _ := b.Listen(t.Context(), "tcp", ":8080")
			dialled, _ := a.DialContext(t.Context(), "tcp", "bob:8080")
			accepted, _ := l.Accept()
			for _, c := range []net.Conn{dialled, accepted} {
				c.SetDeadline(time.Now().Add(time.Hour))
				io.WriteString(c, "hello")
			}
			for _, c := range []net.Conn{dialled, accepted} {
				io.ReadFull(c, make([]byte, 5))
			}
			l.(listener).SetDeadline(time.Now().Add(time.Hour))
			for _, c := range []io.Closer{dialled, accepted, l} {
				collected = append(collected, simnet.Collected(c))
				c.Close()
			}
		}()
		time.Sleep(time.Millisecond) // in which the runtime forgets timers that were stopped
		for i, is := range collected {
			for tries := 0; !is(); tries++ {
				if runtime.GC(); tries == 10 {
					t.Fatalf("number %d is still there", i)
				}
			}
		}
		runtime.KeepAlive(n)
	})
}

func TestADialFindsAHostThatComes(t *testing.T) {
	virtually(t, func(t *testing.T) {
		n := simnet.New(1)
		a := n.Host()
		time.AfterFunc(500*time.Millisecond, func() { listen(t, n.Host("10.0.0.9"), ":8080") })
		start := time.Now()
		dial(t, a, "10.0.0.9:8080")
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v, want 1s: then it tries again", took)
		}
	})
}

func TestDialErrorsAreThoseOfPackageNet(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	soon, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	h := simnet.New(1).Host()
	for _, test := range []struct {
		ctx              context.Context
		network, address string
		want             string
		is               error
	}{
		{t.Context(), "tcp", "", "dial tcp: missing address", nil},
		{t.Context(), "udp", "", "dial udp: missing address", nil},
		{t.Context(), "pigeon", "", "dial pigeon: unknown network pigeon", nil},
		{t.Context(), "tcp", "nobody:1", "dial tcp: lookup nobody: no such host", nil},
		{t.Context(), "udp", "nobody:1", "dial udp: lookup nobody: no such host", nil},
		{cancelled, "tcp", "10.0.0.9:1", "dial tcp: operation was canceled", context.Canceled},
		{cancelled, "udp", "10.0.0.9:1", "dial udp: operation was canceled", context.Canceled},
		{soon, "tcp", "10.0.0.9:1", "dial tcp 10.0.0.9:1: operation was canceled", context.Canceled},
	} {
		c, err := h.DialContext(test.ctx, test.network, test.address)
		if c != nil || err == nil || err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("DialContext(%q, %q) = %v, %v, want %s", test.network, test.address, c, err, test.want)
		}
	}
}
