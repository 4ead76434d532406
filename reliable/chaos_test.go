package reliable_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/reliable"
	"github.com/seed287501ae/sockets/simnet"
)

// Two ends talk, while links change for the worse, are cut, hold back what is on
// its way, and hosts crash.
func TestChaos(t *testing.T) {
	for seed := range uint64(full(40, 8)) {
		synctest.Test(t, func(t *testing.T) { chaos(t, seed, seed%2 == 1) })
	}
}

// A talker is an end of the chaos, through all the lives of its host.
type talker struct {
	conn *reliable.Conn
	life int

	mu   sync.Mutex // guards what follows
	log  []string   // of this life: what was accepted, and "told"
	read []string   // in all lives
}

func (k *talker) note(log *[]string, entry string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*log = append(*log, entry)
}

func (k *talker) write(t *testing.T, dice *rand.Rand, to net.Addr, stop <-chan struct{}) {
	c, life := k.conn, k.life
	for n := 0; ; n++ {
		text := fmt.Sprintf("%d %d ", life, n)
		message := text + strings.Repeat("x", dice.IntN(50))
		if dice.IntN(50) == 0 {
			message += strings.Repeat("x", dice.IntN(65_000))
		}
		switch _, err := c.WriteTo([]byte(message), to); {
		case err == nil:
			k.note(&k.log, text)
		case errors.Is(err, sockets.ErrPeerUnreachable):
			k.note(&k.log, "told")
		case !errors.Is(err, net.ErrClosed):
			t.Error(err)
		default:
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(1 + time.Duration(dice.Int64N(int64(300*time.Millisecond)))):
		}
	}
}

func (k *talker) receive(t *testing.T, dice *rand.Rand, patient bool) {
	c := k.conn
	b := make([]byte, 1<<16)
	for {
		switch n, _, err := c.ReadFrom(b); {
		case err == nil:
			text, _, _ := strings.Cut(string(b[:n]), "x")
			k.note(&k.read, text)
		case errors.Is(err, sockets.ErrPeerUnreachable):
			k.note(&k.log, "told")
		case !errors.Is(err, net.ErrClosed):
			t.Error(err)
		default:
			return
		}
		if patient && dice.IntN(100) == 0 {
			time.Sleep(time.Duration(dice.Int64N(int64(20 * time.Second))))
		}
	}
}

func chaos(t *testing.T, seed uint64, crashes bool) {
	dice := rand.New(rand.NewPCG(seed, 1))
	network := simnet.New(seed)
	hosts := [2]*simnet.Host{network.Host(), network.Host()}
	var talkers [2]talker
	stop := make(chan struct{})
	var running, writing sync.WaitGroup
	start := func(i int) {
		k := &talkers[i]
		k.conn = bind(t, (&reliable.Config{Window: 1}).Over(hosts[i]), ":1")
		k.life++
		k.mu.Lock()
		k.log = nil
		k.mu.Unlock()
		to := net.UDPAddrFromAddrPort(hosts[1-i].AddrPort(1))
		seed := dice.Uint64()
		writing.Go(func() { k.write(t, rand.New(rand.NewPCG(seed, 2)), to, stop) })
		running.Go(func() { k.receive(t, rand.New(rand.NewPCG(seed, 3)), !crashes) })
	}
	start(0)
	start(1)
	upTo := func(d time.Duration) time.Duration { return time.Duration(dice.Int64N(int64(d))) }
	for range 25 {
		time.Sleep(upTo(8 * time.Second))
		i := dice.IntN(2)
		switch dice.IntN(8) {
		case 0:
			network.Cut(hosts[i], hosts[1-i])
		case 1:
			network.Partition(hosts[:1])
		case 2, 3:
			network.Heal()
		case 4:
			network.Hold(hosts[i], hosts[1-i])
		case 5:
			network.Release(hosts[i], hosts[1-i])
		case 6:
			network.SetLinks(simnet.Link{Loss: dice.Float64() * 0.6, Duplicate: dice.Float64() * 0.5, Reorder: dice.Float64() * 0.5,
				Delay: upTo(time.Second / 2), Jitter: upTo(4 * time.Second), Late: upTo(12 * time.Second)})
		case 7:
			if crashes {
				hosts[i].Crash()
				talkers[i].conn.Close()
				hosts[i].Restart()
				start(i)
			} else {
				time.Sleep(40 * time.Second)
			}
		}
	}
	network.Heal()
	for i := range hosts {
		network.Release(hosts[i], hosts[1-i])
	}
	network.SetLinks(slow)
	time.Sleep(time.Minute)
	close(stop)
	writing.Wait()
	time.Sleep(5 * time.Minute) // what is unread is read
	talkers[0].conn.Close()
	talkers[1].conn.Close()
	running.Wait()
	for i := range talkers {
		talkers[i].check(t, fmt.Sprint("seed ", seed, ", from ", i), talkers[1-i].read, crashes)
	}
}

// check checks what the other end has read: each message once, in order. What
// is missing came before the sender was told; nobody can tell a crashed one.
func (k *talker) check(t *testing.T, what string, read []string, crashes bool) {
	arrived := make(map[string]bool)
	lastLife, last := 0, -1
	for _, text := range read {
		var life, n int
		fmt.Sscan(text, &life, &n)
		if life < lastLife || life == lastLife && n <= last {
			t.Errorf("%s: %q comes after %d %d", what, text, lastLife, last)
		}
		lastLife, last = life, n
		arrived[text] = true
	}
	told := false
	for i := len(k.log) - 1; i >= 0; i-- {
		switch text := k.log[i]; {
		case text == "told":
			told = true
		case !arrived[text] && !told && !crashes:
			t.Errorf("%s: %q is lost, and nobody is told", what, text)
		}
	}
	if final := k.log[len(k.log)-1]; !arrived[final] {
		t.Errorf("%s: the last entry, %q, has not arrived", what, final)
	}
}
