package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

// A mate is a peer in a schedule, and what was done to it.
type mate struct {
	*sockets.AsyncPeer
	world   *mates
	name    string
	address sockets.Address
	box     *mailbox
	sent    []*ledger // what this one sends to each

	calledAt atomic.Int64  // when SetCallback was called
	closedAt atomic.Int64  // when Close was called
	lent     bool          // the payload of its callback is not its own
	removed  atomic.Bool   // Remove was called
	deaf     atomic.Bool   // its socket fails
	heard    []atomic.Bool // whom a callback or Receive had a message of

	running atomic.Bool // the callback
	replies int         // of the callback
}

// mates are the peers of a schedule, on a network that loses nothing.
type mates struct {
	t       *testing.T
	p       *program
	office  *office
	all     []*mate
	numbers atomic.Uint32
}

// runPeers runs a schedule of peers.
func runPeers(t *testing.T, p *program) {
	w := &mates{t: t, p: p, office: newOffice()}
	for i := range 2 + p.next(2) {
		w.bind(i)
	}
	for _, m := range w.all {
		for _, other := range w.all {
			m.sent = append(m.sent, newLedger(t, "from "+m.name+" to "+other.name))
		}
		m.heard = make([]atomic.Bool, len(w.all))
		if p.next(2) == 0 {
			m.setCallback(p.next(8))
		}
	}
	w.plan()
	acted := p.play()
	select {
	case <-acted:
	case <-time.After(10 * time.Second):
	}
	w.finale(acted)
}

func (w *mates) bind(i int) {
	cfg := sockets.Config{Network: w.office, LendPayloads: w.p.next(2) == 0}
	port := 8081 + i
	var known []string
	if w.p.next(2) == 0 {
		known = append(known, fmt.Sprintf("127.0.0.1:%d", 8081+(i+1)%2))
	}
	peer, err := cfg.NewAsyncPeer(fmt.Sprint(port), known, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.all = append(w.all, &mate{
		AsyncPeer: peer,
		world:     w,
		name:      string(rune('A' + i)),
		address:   netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)),
		box:       w.office.last(),
		lent:      cfg.LendPayloads,
	})
	w.p.tell("peer %c knows %v", 'A'+i, known)
}

// plan gives the calls of the program to the actors.
func (w *mates) plan() {
	for len(w.p.bytes) > 0 {
		actor, code, arg := w.p.next(4), w.p.next(32), w.p.next(256)
		m, to, n := w.all[arg%len(w.all)], arg/3%len(w.all), arg%16
		switch {
		case code < 6:
			w.p.plan(actor, func() { m.send(to, n*n) }, "%s.Send to %d, %d", m.name, to, n*n)
		case code < 10:
			w.p.plan(actor, func() { m.sendAll(n) }, "%s.SendAll %d", m.name, n)
		case code < 14:
			w.p.plan(actor, func() { m.receive(actor, n-3) }, "%s.Receive %d", m.name, n-3)
		case code < 16:
			w.p.plan(actor, func() { m.Add(w.all[to].address) }, "%s.Add %d", m.name, to)
		case code < 18:
			w.p.plan(actor, func() { m.remove(to) }, "%s.Remove %d", m.name, to)
		case code < 21:
			w.p.plan(actor, func() { m.setCallback(n) }, "%s.SetCallback %d", m.name, n)
		case code < 23:
			w.p.plan(actor, m.look, "%s.Peers", m.name)
		case code < 26:
			w.p.plan(actor, func() { time.Sleep(time.Duration(n) * time.Millisecond) }, "sleep %d", n)
		case code < 28:
			w.p.plan(actor, func() {
				for range n {
					runtime.Gosched()
				}
			}, "yield %d", n)
		case code < 29:
			w.p.plan(actor, func() { m.box.arrive(letter{err: syscall.ECONNREFUSED}) }, "%s has an error", m.name)
		case code < 30:
			w.p.plan(actor, m.deafen, "%s is deaf", m.name)
		default:
			w.p.plan(actor, m.close, "%s.Close", m.name)
		}
	}
}

func (m *mate) checkSent(call string, err error, late bool) {
	if late && err == nil || err != nil && (m.closedAt.Load() == 0 || !errors.Is(err, net.ErrClosed)) {
		m.world.t.Errorf("%s: %s = %v, after Close: %v", m.name, call, err, late)
	}
}

func (m *mate) send(to, size int) {
	number, late := m.world.numbers.Add(1), isPast(&m.closedAt)
	payload := letterOf(number, size)
	m.sent[to].begin(number, size)
	err := m.Send(payload, m.world.all[to].address)
	clear(payload)
	fate := failed
	if err == nil {
		fate = accepted
	}
	m.sent[to].end(number, fate)
	m.checkSent("Send", err, late)
}

func (m *mate) sendAll(size int) {
	number, late := m.world.numbers.Add(1), isPast(&m.closedAt)
	payload := letterOf(number, size)
	known := m.Peers()
	for _, l := range m.sent {
		l.begin(number, size)
	}
	err := m.SendAll(payload)
	clear(payload)
	for to, l := range m.sent {
		fate := unknown
		if err == nil && !m.removed.Load() && slices.Contains(known, m.world.all[to].address) {
			fate = accepted
		}
		l.end(number, fate)
	}
	m.checkSent("SendAll", err, late && len(known) > 0 && !m.removed.Load())
}

// receive waits for some milliseconds, or without an end where that is negative.
func (m *mate) receive(actor, wait int) {
	ctx, cancel := context.WithCancel(context.Background())
	if wait >= 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(wait)*time.Millisecond)
	}
	defer cancel()
	late, called := isPast(&m.closedAt), isPast(&m.calledAt)
	payload, sender, err := m.Receive(ctx)
	if stopped := !late && isPast(&m.closedAt) || !called && isPast(&m.calledAt); stopped && !m.deaf.Load() {
		m.world.t.Errorf("%s: Receive returns %.20x, %v, some time after Close or SetCallback", m.name, payload, err)
	}
	switch {
	case late && err == nil:
		m.world.t.Errorf("%s: Receive succeeds after Close", m.name)
	case err == nil:
		m.arrive(actor, payload, true, sender)
	case payload != nil || sender.IsValid():
		m.world.t.Errorf("%s: Receive: %.20x from %v with %v", m.name, payload, sender, err)
	case err == sockets.ErrCallbackSet && m.calledAt.Load() != 0, ctx.Err() != nil && err == ctx.Err():
	case err == net.ErrClosed && m.closedAt.Load() != 0, m.deaf.Load():
	default:
		m.world.t.Errorf("%s: Receive: %v, which nothing explains", m.name, err)
	}
}

func (m *mate) arrive(reader int, payload []byte, owned bool, sender sockets.Address) {
	for i, other := range m.world.all {
		if other.address == sender {
			other.sent[slices.Index(m.world.all, m)].arrive(reader, payload, owned)
			m.heard[i].Store(true)
			return
		}
	}
	m.world.t.Errorf("%s: a message from %v", m.name, sender)
}

func (m *mate) remove(other int) {
	m.removed.Store(true)
	m.Remove(m.world.all[other].address)
}

func (m *mate) setCallback(manner int) {
	if !m.calledAt.CompareAndSwap(0, time.Now().UnixNano()) {
		return
	}
	m.SetCallback(func(payload []byte, sender sockets.Address) {
		if !m.running.CompareAndSwap(false, true) {
			m.world.t.Errorf("%s: a message while the callback runs", m.name)
		}
		defer m.running.Store(false)
		if isPast(&m.closedAt) {
			m.world.t.Errorf("%s: a message after Close", m.name)
		}
		m.arrive(readerIsCallback, payload, !m.lent, sender)
		m.habit(manner%8, sender)
	})
}

// habit is what a callback does with a message.
func (m *mate) habit(which int, sender sockets.Address) {
	if m.replies++; m.replies > 5 {
		return
	}
	switch which {
	case 1:
		m.send(slices.IndexFunc(m.world.all, func(other *mate) bool { return other.address == sender }), 10)
	case 2:
		m.sendAll(10)
	case 3:
		m.receive(readerIsCallback, -1)
	case 4:
		time.Sleep(3 * time.Millisecond)
	case 5:
		m.removed.Store(true)
		m.Remove(sender)
	case 6:
		m.Add(sender)
	case 7:
		if m.replies == 3 {
			m.close()
		}
	}
}

// look holds the known peers to what they must be.
func (m *mate) look() {
	known := m.Peers()
	if !slices.IsSortedFunc(known, sockets.Address.Compare) || len(slices.Compact(slices.Clone(known))) != len(known) {
		m.world.t.Errorf("%s: Peers() = %v, want them sorted, each once", m.name, known)
	}
	if slices.Contains(known, m.address) {
		m.world.t.Errorf("%s: Peers() = %v: it knows itself", m.name, known)
	}
}

// deafen makes the socket fail for ever where it receives.
func (m *mate) deafen() {
	m.deaf.Store(true)
	m.box.failForEver(syscall.ENOBUFS)
}

func (m *mate) close() {
	m.closedAt.CompareAndSwap(0, time.Now().UnixNano())
	if err := m.Close(); err != nil {
		m.world.t.Errorf("%s: Close = %v", m.name, err)
	}
}

// finale ends everything, and holds what happened against the contract.
func (w *mates) finale(acted <-chan struct{}) {
	time.Sleep(time.Second)
	for i, m := range w.all {
		m.look()
		live := m.calledAt.Load() != 0 && m.closedAt.Load() == 0 && !m.deaf.Load()
		for _, other := range w.all {
			other.sent[i].check(live)
		}
		for j := range w.all {
			if j != i && m.heard[j].Load() && !m.removed.Load() && !slices.Contains(m.Peers(), w.all[j].address) {
				w.t.Errorf("%s: heard %s, and does not know it", m.name, w.all[j].name)
			}
		}
	}
	w.p.must("Close", together(func(group *sync.WaitGroup) {
		for _, m := range w.all {
			group.Go(m.close)
		}
	}))
	w.p.must("the actors", acted)
	for _, m := range w.all {
		w.p.must(m.name+" is done", m.Done())
	}
	if n := w.office.open(); n > 0 {
		w.t.Errorf("%d sockets are still open", n)
	}
}
