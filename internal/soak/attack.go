package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed287501ae/sockets"
)

// The targets of strangers.
type targets struct {
	attacks atomic.Int64

	mu      sync.Mutex // guards what follows
	peers   []sockets.Address
	servers []sockets.Address
	heard   [][]byte // datagrams of the group
}

const heardAtMost = 512 // datagrams

func (t *targets) set(peers, servers []sockets.Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers, t.servers = peers, servers
}

// overhear notes a datagram, to be sent again by a stranger.
func (t *targets) overhear(payload []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(payload) == 0 {
		return
	}
	if t.heard = append(t.heard, payload); len(t.heard) > heardAtMost {
		t.heard = t.heard[1:]
	}
}

// attack lets strangers act until ctx ends, and returns what waits for them.
func (t *targets) attack(ctx context.Context, seed uint64) *sync.WaitGroup {
	attacks := new(sync.WaitGroup)
	for i, attack := range []func(context.Context, *rand.Rand){t.scan, t.babble, t.crowd, t.throw} {
		rng := rand.New(rand.NewPCG(seed, uint64(i+1)))
		attacks.Go(func() {
			for pause(ctx, time.Duration(rng.Int64N(int64(200*time.Millisecond)))) {
				attack(ctx, rng)
				t.attacks.Add(1)
			}
		})
	}
	return attacks
}

// connect connects to somebody's server; nil where that is not possible.
func (t *targets) connect(rng *rand.Rand) *net.TCPConn {
	address := t.choose(rng, &t.servers)
	if !address.IsValid() {
		return nil
	}
	conn, err := net.DialTimeout("tcp", address.String(), time.Second)
	if err != nil {
		return nil
	}
	return conn.(*net.TCPConn)
}

func (t *targets) choose(rng *rand.Rand, from *[]sockets.Address) sockets.Address {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(*from) == 0 {
		return sockets.Address{}
	}
	return (*from)[rng.IntN(len(*from))]
}

// scan connects and resets.
func (t *targets) scan(_ context.Context, rng *rand.Rand) {
	if conn := t.connect(rng); conn != nil {
		conn.SetLinger(0)
		conn.Close()
	}
}

// babble says what nobody understands over a connection: another protocol,
// rubbish in a good frame, a body that never comes, chance.
func (t *targets) babble(ctx context.Context, rng *rand.Rand) {
	conn := t.connect(rng)
	if conn == nil {
		return
	}
	noise := chance(rng, rng.IntN(4096))
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(noise)))
	says := [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), []byte("SSH-2.0-OpenSSH_9.9\r\n"), {0x16, 3, 1, 2, 0, 1},
		noise, append(frame, noise...), append(frame, noise[:len(noise)/2]...), {0xff, 0xff, 0xff, 0xff}, {0},
	}
	conn.Write(says[rng.IntN(len(says))])
	pause(ctx, time.Duration(rng.Int64N(int64(500*time.Millisecond))))
	conn.Close()
}

// crowd holds more connections than a server allows.
func (t *targets) crowd(ctx context.Context, rng *rand.Rand) {
	if !pause(ctx, time.Duration(rng.Int64N(int64(2*time.Second)))) {
		return
	}
	address := t.choose(rng, &t.servers)
	for range maxConnections + 8 {
		conn, err := net.DialTimeout("tcp", address.String(), time.Second)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	pause(ctx, 500*time.Millisecond)
}

// throw sends datagrams to everybody: rubbish, old ones of the group, and such
// with a wrong bit.
func (t *targets) throw(_ context.Context, rng *rand.Rand) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer conn.Close()
	t.mu.Lock()
	peers := t.peers
	payload := chance(rng, []int{0, 1, 20, 122, 1024, 1472, 65507}[rng.IntN(7)])
	if n := len(t.heard); n > 0 && rng.IntN(4) > 0 {
		payload = bytes.Clone(t.heard[rng.IntN(n)])
		if rng.IntN(2) == 0 {
			payload[rng.IntN(len(payload))] ^= 1 << rng.IntN(8)
		}
	}
	t.mu.Unlock()
	for _, peer := range peers {
		if peer.Port() != 0 {
			conn.WriteTo(payload, net.UDPAddrFromAddrPort(peer))
		}
	}
}

func chance(rng *rand.Rand, size int) []byte {
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	return noise
}
