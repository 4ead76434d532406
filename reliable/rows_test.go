package reliable_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/simnet"
)

var underRace bool // the race detector watches, and takes ten times as long

// full is n, or less of it in a short run and under the race detector.
func full(n, less int) int {
	if testing.Short() || underRace {
		return less
	}
	return n
}

// A flow is one direction of numbered messages between two hosts.
type flow struct {
	from, to *reliable.Conn
	addr     net.Addr
	size     int
}

func newFlow(t *testing.T, from, to *simnet.Host, port uint16, size int) *flow {
	address := fmt.Sprint(":", port)
	return &flow{
		from: bind(t, reliable.Over(from), address),
		to:   bind(t, reliable.Over(to), address),
		addr: net.UDPAddrFromAddrPort(to.AddrPort(port)),
		size: size,
	}
}

// send sends the messages from 0 up to n.
func (f *flow) send(t *testing.T, n int) {
	b := make([]byte, f.size)
	for i := range n {
		binary.BigEndian.PutUint32(b, uint32(i))
		if _, err := f.from.WriteTo(b, f.addr); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("message %d: %v", i, err)
			}
			return
		}
	}
}

// receive reads the messages from first up to end, and checks each.
func (f *flow) receive(t *testing.T, first, end int) {
	t.Helper()
	b := make([]byte, f.size+1)
	for i := first; i < end; i++ {
		n, _, err := f.to.ReadFrom(b)
		if err != nil || n != f.size || binary.BigEndian.Uint32(b) != uint32(i) {
			t.Fatalf("message %d: %d bytes, number %d, %v", i, n, binary.BigEndian.Uint32(b), err)
		}
	}
}

func TestMillionMessagesThroughEveryFault(t *testing.T) {
	n := full(1_000_000, 50_000)
	start := time.Now()
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(simnet.Seed(t))
		network.SetLinks(simnet.Link{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
		f := newFlow(t, network.Host(), network.Host(), 8080, 32)
		go f.send(t, n)
		f.receive(t, 0, n/2)
		var memory runtime.MemStats
		runtime.GC()
		if runtime.ReadMemStats(&memory); memory.HeapAlloc > 32<<20 {
			t.Errorf("%d MiB in use", memory.HeapAlloc>>20)
		}
		f.receive(t, n/2, n)
		f.to.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := f.to.ReadFrom(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("one message more: %v", err)
		}
	})
	t.Logf("%d messages in %v", n, time.Since(start))
}

func TestHalfOfEverythingIsLost(t *testing.T) {
	for seed := range uint64(full(20, 3)) {
		synctest.Test(t, func(t *testing.T) {
			network := simnet.New(seed)
			network.SetLinks(simnet.Link{Loss: 0.5, Delay: 20 * time.Millisecond})
			f := newFlow(t, network.Host(), network.Host(), 8080, 100)
			const n = 2000
			go f.send(t, n)
			start := time.Now()
			f.receive(t, 0, n)
			if rate := n / time.Since(start).Seconds(); rate < 20 {
				t.Errorf("seed %d: %.1f messages per second, want 20", seed, rate)
			}
		})
	}
}

// Messages that come now and then find nobody dead either.
func TestNobodyIsDeclaredDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(simnet.Seed(t))
		network.SetLinks(simnet.Link{Loss: 0.5, Delay: 20 * time.Millisecond})
		f := newFlow(t, network.Host(), network.Host(), 8080, 100)
		n := full(2000, 500)
		b := make([]byte, f.size)
		var writing sync.WaitGroup
		defer writing.Wait()
		writing.Go(func() {
			for i := range n {
				binary.BigEndian.PutUint32(b, uint32(i))
				if _, err := f.from.WriteTo(b, f.addr); err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				time.Sleep(time.Second)
			}
		})
		f.receive(t, 0, n)
	})
}

// link is 10 Mbit/s, with a round trip of 20 milliseconds.
func link(loss float64) simnet.Link {
	return simnet.Link{Bandwidth: 10_000_000, Delay: 10 * time.Millisecond, Loss: loss}
}

func TestUseOfTheLink(t *testing.T) {
	for _, test := range []struct {
		link simnet.Link
		want float64 // of 10 Mbit/s
	}{
		{link(0), 0.9},
		{link(0.001), 0.85},
		{link(0.01), 0.6},
		{simnet.Link{Bandwidth: 10_000_000, Delay: 10 * time.Millisecond, Reorder: 0.1}, 0.85},
		{simnet.Link{Bandwidth: 10_000_000, Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond}, 0.85},
	} {
		for seed := range uint64(full(3, 1)) {
			synctest.Test(t, func(t *testing.T) {
				network := simnet.New(seed)
				network.SetLinks(test.link)
				f := newFlow(t, network.Host(), network.Host(), 8080, 10_000)
				start := time.Now()
				go f.send(t, 1000)
				f.receive(t, 0, 1000)
				if use := 80e6 / time.Since(start).Seconds() / 10e6; use < test.want {
					t.Errorf("%+v, seed %d: %.3f of the link, want %.2f", test.link, seed, use, test.want)
				}
			})
		}
	}
}

func TestTwoFlowsShareALink(t *testing.T) {
	for seed := range uint64(full(3, 1)) {
		for _, later := range []time.Duration{0, 5 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				network := simnet.New(seed)
				network.SetLinks(link(0.001))
				from, to := network.Host(), network.Host()
				var received [2]int
				flows := [2]*flow{newFlow(t, from, to, 1, 1000), newFlow(t, from, to, 2, 1000)}
				var reading sync.WaitGroup
				for i, f := range flows {
					if i == 1 {
						time.Sleep(later)
					}
					go f.send(t, 1<<30)
					end := time.Now().Add(30*time.Second + time.Duration(1-i)*later)
					f.to.SetReadDeadline(end)
					reading.Go(func() {
						b := make([]byte, f.size)
						for {
							if _, _, err := f.to.ReadFrom(b); err != nil {
								return
							}
							if time.Until(end) < 30*time.Second {
								received[i]++
							}
						}
					})
				}
				reading.Wait()
				for _, f := range flows {
					f.from.Close()
				}
				sum := received[0] + received[1]
				if least := min(received[0], received[1]); least < sum/3 || sum < 30*10_000_000/8*85/100/flows[0].size {
					t.Errorf("seed %d, %v later: %v messages", seed, later, received)
				}
			})
		}
	}
}

// Eight peers send numbered messages to all the others, while links lose three
// of ten datagrams, five partitions come and go, and the last peer's host
// crashes and restarts.
func TestEightPeersThroughPartitionsAndACrash(t *testing.T) {
	const peers, crashing = 8, 7
	rounds := full(600, 450)
	synctest.Test(t, func(t *testing.T) {
		seed := simnet.Seed(t)
		network := simnet.New(seed)
		network.SetLinks(simnet.Link{Loss: 0.3, Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
		hosts := make([]*simnet.Host, peers)
		conns := make([]*reliable.Conn, peers)
		logs := make([]*diary, peers)
		for i := range hosts {
			hosts[i] = network.Host()
			conns[i] = bind(t, reliable.Over(hosts[i]), ":1")
			logs[i] = newDiary(conns[i])
		}
		var writing sync.WaitGroup
		write := func(from int, c *reliable.Conn, life string) {
			for n := range rounds {
				for to := range peers {
					if to == from {
						continue
					}
					_, err := c.WriteTo(fmt.Append(nil, life, " ", n), net.UDPAddrFromAddrPort(hosts[to].AddrPort(1)))
					if err != nil && from != crashing && !(to == crashing && errors.Is(err, sockets.ErrPeerUnreachable)) {
						t.Errorf("from %d to %d: %v", from, to, err)
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		for i, c := range conns {
			writing.Go(func() { write(i, c, "first") })
		}
		dice := rand.New(rand.NewPCG(seed, 0))
		for range 5 {
			time.Sleep(3 * time.Second)
			part := slices.Clone(hosts)
			dice.Shuffle(peers, func(i, j int) { part[i], part[j] = part[j], part[i] })
			network.Partition(part[:1+dice.IntN(peers-1)])
			time.Sleep(3 * time.Second)
			network.Heal()
		}
		hosts[crashing].Crash()
		time.Sleep(5 * time.Second)
		conns[crashing].Close()
		hosts[crashing].Restart()
		again := bind(t, reliable.Over(hosts[crashing]), ":1")
		second := newDiary(again)
		writing.Go(func() { write(crashing, again, "second") })
		writing.Wait()
		time.Sleep(time.Minute)
		for _, c := range append(conns, again) {
			c.Close()
		}

		numbered := func(life string) (all []string) {
			for n := range rounds {
				all = append(all, fmt.Sprint(life, " ", n))
			}
			return all
		}
		for to, d := range append(logs, second) {
			<-d.done
			for from := range peers {
				got := d.read[hosts[from].AddrPort(1).String()]
				switch {
				case from == to || from == crashing && to > crashing:
				case to >= crashing:
					inOrder(t, got, "first", fmt.Sprint(from, " to ", to))
				case from == crashing:
					first := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, "first") })
					inOrder(t, first, "first", "the first life's")
					if !slices.Equal(got[len(first):], numbered("second")) {
						t.Errorf("%d has %d messages of the second life, want all %d", to, len(got)-len(first), rounds)
					}
				case !slices.Equal(got, numbered("first")):
					t.Errorf("%d has %d messages of %d, want all %d", to, len(got), from, rounds)
				}
			}
			if to < crashing && !slices.Equal(d.unreachable, []string{hosts[crashing].AddrPort(1).String()}) {
				t.Errorf("%d is told that %v are unreachable, want the crashed one", to, d.unreachable)
			}
		}
	})
}

// inOrder checks that messages are numbered in ascending order.
func inOrder(t *testing.T, messages []string, life, what string) {
	t.Helper()
	last := -1
	for _, message := range messages {
		var n int
		if _, err := fmt.Sscanf(message, life+" %d", &n); err != nil || n <= last {
			t.Errorf("%s messages: %q after %d", what, message, last)
		}
		last = n
	}
}

// A diary is what was read from a socket.
type diary struct {
	read        map[string][]string // by sender
	unreachable []string
	done        chan struct{} // closed with the socket
}

func newDiary(c *reliable.Conn) *diary {
	d := &diary{read: make(map[string][]string), done: make(chan struct{})}
	go func() {
		defer close(d.done)
		b := make([]byte, 100)
		for {
			n, addr, err := c.ReadFrom(b)
			switch {
			case errors.Is(err, sockets.ErrPeerUnreachable):
				d.unreachable = append(d.unreachable, endpoint.Of(addr).String())
			case err != nil:
				return
			default:
				d.read[addr.String()] = append(d.read[addr.String()], string(b[:n]))
			}
		}
	}()
	return d
}
