package simnet

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Network is a simulated network: hosts, and a link from each to each other.
// All links are perfect until [Network.SetLinks] or [Network.SetLink] says
// otherwise. The way from a host to itself is one too, which only SetLink changes.
//
// In a bubble of package [testing/synctest] its time is the bubble's, and the
// Network must be made in the bubble that uses it. Elsewhere its time is real.
// Its methods may be called from many goroutines. It needs no closing: an idle
// Network has neither goroutines nor timers.
//
// A change, such as a cut, comes after all that arrives at the same moment.
type Network struct {
	seed uint64

	mu     sync.Mutex // guards what follows, and all that hosts and sockets have
	agenda agenda
	hosts  []*Host
	free   netip.Addr // no address from here on has been given to a host without one
	byIP   map[netip.Addr]*Host
	byName map[string]*Host
	link   Link // of those lanes that have none of their own
	lanes  map[[2]*Host]*lane
	total  Counters // of all lanes
	flows  map[flowKey]*flow

	partitions []map[*Host]int // the side of each host

	witness witness
}

// New returns a network without hosts, whose dice are loaded with seed: the same
// seed gives the same faults.
func New(seed uint64) *Network {
	n := &Network{
		seed:   seed,
		free:   netip.AddrFrom4([4]byte{10, 0, 0, 1}),
		byIP:   make(map[netip.Addr]*Host),
		byName: make(map[string]*Host),
		lanes:  make(map[[2]*Host]*lane),
		flows:  make(map[flowKey]*flow),
	}
	n.agenda = agenda{run: n.run, start: time.Now()}
	return n
}

// Host adds a host with these IP addresses and names. One without an IP address
// gets the next free one, from 10.0.0.1 on. It panics where another host has the
// address or name already, and where no host can have it.
func (n *Network) Host(addressesAndNames ...string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{
		network:   n,
		number:    len(n.hosts),
		up:        true,
		packets:   make(map[uint16][]*packetConn),
		listeners: make(map[uint16][]*listener),
		streams:   make(map[ends]*stream),
	}
	for _, s := range addressesAndNames {
		name := strings.ToLower(s)
		ip, err := netip.ParseAddr(s)
		ip = ip.Unmap()
		switch {
		case n.byIP[ip] != nil || n.byName[name] != nil:
			panic(fmt.Sprintf("simnet: Host(%q): this host exists already: keep what Host returned the first time", s))
		case err == nil && isHost(ip):
			n.ownLocked(h, ip)
		case err != nil && isName(name):
			n.byName[name] = h
		default:
			panic(fmt.Sprintf("simnet: Host(%q): it is neither a name nor an address that a host can have", s))
		}
	}
	if len(h.ips) == 0 {
		for n.byIP[n.free] != nil {
			n.free = n.free.Next()
		}
		n.ownLocked(h, n.free)
	}
	n.hosts = append(n.hosts, h)
	return h
}

func (n *Network) ownLocked(h *Host, ip netip.Addr) {
	n.byIP[ip] = h
	h.ips = append(h.ips, ip)
}

func isName(s string) bool {
	return s != "" && s != "localhost" && !strings.ContainsAny(s, ":/% ")
}

func isHost(ip netip.Addr) bool {
	return !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsMulticast() && ip != broadcast && ip.Zone() == ""
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// SetLinks makes every link between two hosts like this one, hosts to come
// included, for packets sent from now on.
func (n *Network) SetLinks(link Link) {
	now := n.lock()
	defer n.unlock(now)
	link = link.bounded()
	n.link = link
	for hosts, l := range n.lanes {
		if hosts[0] != hosts[1] {
			l.link = link
		}
	}
	n.changedLocked(now)
}

// SetLink makes the link from one host to another like this one, for packets
// sent from now on. The other direction is a link of its own.
func (n *Network) SetLink(from, to *Host, link Link) {
	now := n.lock()
	defer n.unlock(now)
	n.laneLocked(from, to).link = link.bounded()
	n.changedLocked(now)
}

// Cut lets nothing pass from one host to the other any more: what is sent is
// lost, and what is on its way too, if it would arrive before [Network.Mend]. The
// other direction stays as it is.
func (n *Network) Cut(from, to *Host) { n.setCut(from, to, true) }

// Mend undoes [Network.Cut].
func (n *Network) Mend(from, to *Host) { n.setCut(from, to, false) }

func (n *Network) setCut(from, to *Host, cut bool) {
	now := n.lock()
	defer n.unlock(now)
	n.laneLocked(from, to).cut = cut
	n.changedLocked(now)
}

// Partition cuts every link between hosts of different groups, in both
// directions. The hosts that are in none of the groups form one more:
// Partition([]*Host{h}) parts h from all the others. It leaves earlier cuts and
// partitions as they are.
func (n *Network) Partition(groups ...[]*Host) {
	now := n.lock()
	defer n.unlock(now)
	side := make(map[*Host]int)
	for i, hosts := range groups {
		for _, h := range hosts {
			side[h] = i + 1
		}
	}
	if slices.ContainsFunc(n.partitions, func(earlier map[*Host]int) bool { return maps.Equal(earlier, side) }) {
		return
	}
	n.partitions = append(n.partitions, side)
	n.changedLocked(now)
}

// Hold keeps what is sent from one host to the other from now on, until
// [Network.Release] sends it all on its way, in order, by the link as it is then.
// There is no bound to how much is kept.
func (n *Network) Hold(from, to *Host) {
	now := n.lock()
	defer n.unlock(now)
	n.laneLocked(from, to).hold = true
	n.changedLocked(now)
}

// Release undoes [Network.Hold].
func (n *Network) Release(from, to *Host) {
	now := n.lock()
	defer n.unlock(now)
	n.releaseLocked(now, n.laneLocked(from, to))
}

// Heal undoes every cut, partition and hold.
func (n *Network) Heal() {
	now := n.lock()
	defer n.unlock(now)
	n.partitions = nil
	var lanes []*lane
	for _, l := range n.lanes {
		l.cut = false
		if l.hold {
			lanes = append(lanes, l)
		}
	}
	slices.SortFunc(lanes, func(a, b *lane) int {
		return slices.Compare([]int{a.from.number, a.to.number}, []int{b.from.number, b.to.number})
	})
	for _, l := range lanes {
		n.releaseLocked(now, l)
	}
}

func (n *Network) releaseLocked(now time.Time, l *lane) {
	held := l.held
	l.hold, l.held = false, nil
	for _, p := range held {
		n.passLocked(now, l, p)
	}
}

// changedLocked lets streams go on that the network stopped, and worry if it stops
// them.
func (n *Network) changedLocked(now time.Time) {
	for _, h := range n.hosts {
		for _, s := range h.streams {
			n.atLocked(now, order{s.flow, 0, 4}, s.flushLocked)
		}
	}
}

// lock is held by whoever changes or reads the network; what was due by now has
// happened when it returns.
func (n *Network) lock() (now time.Time) {
	n.mu.Lock()
	now = time.Now()
	n.catchUpLocked(now)
	return now
}

// unlock ends what lock began: it arms the timer, unlocks, and tells the
// observer, if nobody is telling it already.
func (n *Network) unlock(now time.Time) {
	n.catchUpLocked(now)
	n.agenda.arm(now)
	n.witness.unlock(&n.mu)
}

// run is what the agenda's timer does.
func (n *Network) run() {
	now := n.lock()
	n.agenda.armed = time.Time{}
	n.unlock(now)
}

func (n *Network) catchUpLocked(now time.Time) {
	for {
		at, happen, ok := n.agenda.next(now)
		if !ok {
			return
		}
		happen(at)
	}
}

// atLocked makes happen run at a time to come, with the network locked.
func (n *Network) atLocked(at time.Time, o order, happen func(now time.Time)) {
	n.agenda.add(at, o, happen)
}

// A protocol tells the packets of datagrams from those of streams.
type protocol byte

const (
	udp protocol = iota
	tcp
)

// headerLength is that of IP and of the protocol, in bytes.
func (p protocol) headerLength(ip netip.Addr) int64 {
	length := int64(20)
	if ip.Is6() {
		length = 40
	}
	if p == tcp {
		return length + 20
	}
	return length + 8
}

// A flow is the packets from one endpoint to another by one protocol.
type flow struct {
	lane *lane
	hash uint64
	sent uint64 // packets
}

type flowKey struct {
	protocol protocol
	from, to netip.AddrPort
	receiver *Host // a group has many
}

func (n *Network) flowLocked(from *Host, p *packet) *flow {
	k := flowKey{p.protocol, p.from, p.to, p.receiver}
	f := n.flows[k]
	if f == nil {
		f = &flow{
			lane: n.laneLocked(from, p.receiver),
			hash: hash(p.protocol, p.from, p.to, p.receiver.Addr()),
		}
		n.flows[k] = f
	}
	return f
}

func hash(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, parts...)
	return h.Sum64()
}
