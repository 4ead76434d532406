// Badnetwork is a relay that loses, delays, repeats and reorders what passes. It
// stands between any two programs, whatever they are written in.
//
//	go run ./examples/badnetwork [-udp | -tcp] LISTEN TARGET [TARGET ...] [FAULTS]
//
// What a client sends to LISTEN goes to TARGET, and what TARGET answers goes
// back to that client. Each way, everything meets the faults once. Without -tcp,
// it is datagrams that pass.
//
// LISTEN is a port, which then is one of this machine only (127.0.0.1), so that
// no stranger has his traffic relayed; 0.0.0.0:9000 serves the whole network.
// Port 0 is any free one. A second TARGET is served at the next port, and so on:
// to a client, each target has an address of its own.
//
// # Faults
//
// FAULTS are written with commas or spaces between them, in any order:
//
//	loss=0.3      probability that a datagram gets lost; 30% is the same
//	dup=0.05      probability that it arrives twice
//	reorder=0.1   probability that it arrives late; late=100ms says by how much
//	delay=50ms    how long everything takes, at least
//	jitter=20ms   how much longer it may take, at random
//	rate=10M      bits per second; queue=64k are the bytes that may wait
//	mtu=1500      bytes of the longest datagram, with headers of 28 bytes
//	slice=1       bytes of a stream that travel together
//	stall=10k     bytes after which a stream stands still
//	reset=10k     bytes after which it is reset
//	seed=7        another one gives other dice; the same one the same dice
//	none          a perfect network, as without FAULTS
//
// A line that is typed while it runs is new FAULTS, in the place of the old ones.
// An empty line shows those in force, and Ctrl+D (on Windows Ctrl+Z, then Enter)
// or Ctrl+C ends it with a summary.
//
// # What to type: a chat
//
// In a first terminal, then name it Alice:
//
//	go run ./examples/udpchatgraceful 8080
//
// In a second one, the network between the two:
//
//	go run ./examples/badnetwork 9000 localhost:8080 loss=0.3,dup=0.2,reorder=0.2,delay=50ms
//
// In a third one, then name it Bob. He takes the relay for Alice:
//
//	go run ./examples/udpchatgraceful 8081 localhost:9000
//
// Bob begins. His message goes to 127.0.0.1:9000, and the relay sends it on from
// a socket that it makes for him alone. Alice takes the address of that socket
// for Bob's, and answers there; so the relay knows that the answer is for Bob, and
// to him it comes from 127.0.0.1:9000. Neither knows the other's real address.
// (With a third participant, let each pair have a relay, or all of them name
// relays only: who knows a friend by two addresses sends everything twice.)
//
// # What to watch for
//
// Messages are missing, some come twice, and an answer may overtake what was
// said before it. The relay tells of each what it did, and nobody else does:
// both chats believe that all is well. Leave Alice: when her goodbye is lost, Bob
// keeps sending to her. Then type none, and all is well again; or put two
// udpchatreliable in the place of the chats, which repair it themselves.
//
// With udpstreamer the faults can be counted: give it the address of the relay,
// and the relay that of udpstreamer receive.
//
// # What to type: a stream
//
//	go run ./examples/tcpecho server 8080
//	go run ./examples/badnetwork -tcp 9000 localhost:8080 slice=1,delay=20ms
//	go run ./examples/tcpecho client localhost:9000
//
// TCP repairs what it can: loss and reorder only make bytes come late, and dup
// does nothing. But it does not keep together what was sent together, and it may
// stall or break.
//
// # What is wrong with it
//
// A relay is seen: the programs get its address in the place of the other one's.
// It forgets a client that has been silent for 10 minutes, and serves 256 at once
// on each port. It makes no TCP connection bad that has not been made yet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
	"github.com/seed287501ae/sockets/simnet"
)

const (
	usage      = "usage: badnetwork [-udp | -tcp] LISTEN TARGET [TARGET ...] [FAULTS]"
	maxClients = 256 // of each target
	forgotten  = 10 * time.Minute
	maxLines   = 20 // a second, on what was done to whom
)

var network = simnet.Impair(nil, simnet.Link{}) // between this relay and the targets

func main() {
	udp := flag.Bool("udp", false, "relay datagrams")
	tcp := flag.Bool("tcp", false, "relay streams")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	arguments := flag.Args()
	faults := slices.IndexFunc(arguments, func(a string) bool { return a == "none" || strings.Contains(a, "=") })
	if faults < 0 {
		faults = len(arguments)
	}
	link, err := simnet.ParseLink(strings.Join(arguments[faults:], " "))
	console.Check(err, usage)
	if faults < 2 {
		console.Usage("from which port, and to which address?", usage)
	}
	if *udp && *tcp {
		console.Usage("datagrams or streams?", usage)
	}
	network.SetLink(link)
	network.Observe(observe)
	protocol := "udp"
	if *tcp {
		protocol = "tcp"
	}
	var relays []*relay
	for i, target := range arguments[1:faults] {
		relays = append(relays, newRelay(protocol, arguments[0], i, target))
	}
	for _, r := range relays {
		if slices.ContainsFunc(relays, r.leadsTo) {
			console.Usage(fmt.Sprintf("target %v is the relay itself", r.target), usage)
		}
	}
	for _, r := range relays {
		serve := map[string]func(){"udp": r.serveUDP, "tcp": r.serveTCP}[protocol]
		serve()
		console.Println(r.listen, "leads to", r.target)
	}
	console.Println("Faults:", link)
	console.Println("Type other ones to change them, Enter to see them, Ctrl+D to end.")
	go report()
	for line := range console.Lines() {
		if link, err := simnet.ParseLink(line); err != nil {
			console.Println(err)
		} else if strings.TrimSpace(line) != "" {
			network.SetLink(link)
		}
		console.Println("Faults:", network.Link())
	}
	there, back := network.Counters()
	console.Println("To the targets:  ", summary(there))
	console.Println("From the targets:", summary(back))
}

// A relay leads its clients to one target.
type relay struct {
	protocol       string
	listen, target sockets.Address

	mu      sync.Mutex // guards clients
	clients map[sockets.Address]net.Conn
}

// newRelay reads the addresses of the i-th relay.
func newRelay(protocol, listen string, i int, target string) *relay {
	if _, err := strconv.Atoi(strings.TrimPrefix(listen, ":")); err == nil {
		listen = "127.0.0.1:" + strings.TrimPrefix(listen, ":")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	from, err := sockets.ResolveAddress(ctx, listen)
	console.Check(err, usage)
	to, err := sockets.ResolveAddress(ctx, target)
	console.Check(err, usage)
	port := int(from.Port())
	if port > 0 {
		port += i
	}
	if port > 65535 {
		console.Usage("there is no port above 65535 for "+target, usage)
	}
	if to.Port() == 0 {
		console.Usage(fmt.Sprintf("TARGET is %q: it needs a port, from 1 to 65535", target), usage)
	}
	return &relay{
		protocol: protocol,
		listen:   netip.AddrPortFrom(from.Addr(), uint16(port)),
		target:   to,
		clients:  make(map[sockets.Address]net.Conn),
	}
}

// leadsTo reports whether what is sent to the target comes to other.
func (r *relay) leadsTo(other *relay) bool {
	to, from := r.target.Addr(), other.listen.Addr()
	here := to.IsLoopback() || to.IsUnspecified()
	return r.target.Port() == other.listen.Port() && (to == from || here && (from.IsLoopback() || from.IsUnspecified()))
}

var clientOf sync.Map // the address of the client for which a connection to a target is

// connect makes the connection to the target that is for one client, or tells
// why there is none.
func (r *relay) connect(client sockets.Address) net.Conn {
	r.mu.Lock()
	full := len(r.clients) == maxClients
	if !full {
		r.clients[client] = nil // until there is one
	}
	r.mu.Unlock()
	if full {
		tell("too many clients", "%v -> %v: there are %d clients already", client, r.target, maxClients)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := network.DialContext(ctx, r.protocol, r.target.String())
	if err != nil {
		tell("not connected", "%v -> %v: %v", client, r.target, err)
		r.forget(client)
		return nil
	}
	clientOf.Store(netip.MustParseAddrPort(conn.LocalAddr().String()), client)
	r.mu.Lock()
	r.clients[client] = conn
	r.mu.Unlock()
	return conn
}

func (r *relay) forget(client sockets.Address) {
	r.mu.Lock()
	conn := r.clients[client]
	delete(r.clients, client)
	r.mu.Unlock()
	if conn != nil {
		clientOf.Delete(netip.MustParseAddrPort(conn.LocalAddr().String()))
		conn.Close()
	}
}

func (r *relay) serveUDP() {
	peer, err := sockets.NewPeer(r.listen.String(), nil)
	console.Check(err, usage)
	r.listen = peer.LocalAddress()
	go func() {
		for {
			payload, client, err := peer.Receive(context.Background())
			if err != nil {
				console.Fatal(err)
			}
			r.mu.Lock()
			conn := r.clients[client]
			r.mu.Unlock()
			if conn == nil {
				if conn = r.connect(client); conn == nil {
					continue
				}
				go r.answer(peer, client, conn)
			}
			conn.SetReadDeadline(time.Now().Add(forgotten))
			if _, err := conn.Write(payload); err != nil {
				tell("not sent", "%v -> %v: %v", client, r.target, err)
			}
		}
	}()
}

// answer brings a client what the target answers.
func (r *relay) answer(peer *sockets.Peer, client sockets.Address, conn net.Conn) {
	defer r.forget(client)
	buffer := make([]byte, 65535)
	for {
		n, err := conn.Read(buffer)
		switch {
		case err == nil:
			conn.SetReadDeadline(time.Now().Add(forgotten))
			err = peer.Send(buffer[:n], client)
		case !errors.Is(err, syscall.ECONNREFUSED): // that one may be there later
			return
		}
		if err != nil {
			tell("not received", "%v -> %v: %v", r.target, client, err)
		}
	}
}

func (r *relay) serveTCP() {
	listener, err := net.Listen("tcp", r.listen.String())
	console.Check(err, usage)
	r.listen = netip.MustParseAddrPort(listener.Addr().String())
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				console.Println(err)
				time.Sleep(time.Second) // such as too many open files
				continue
			}
			go r.carry(conn)
		}
	}()
}

// carry carries both streams of a client's connection until both have ended. If
// one breaks, so does the other.
func (r *relay) carry(conn net.Conn) {
	defer conn.Close()
	client := netip.MustParseAddrPort(conn.RemoteAddr().String())
	target := r.connect(client)
	if target == nil {
		reset(conn)
		return
	}
	defer r.forget(client)
	tell("connected", "%v -> %v: connected", client, r.target)
	ended := make(chan error)
	go func() { ended <- stream(target, conn) }()
	go func() { ended <- stream(conn, target) }()
	err := <-ended
	if err == nil {
		err = <-ended
	} else {
		reset(conn)
		reset(target)
		<-ended
	}
	if err != nil {
		reset(conn)
		tell("broken", "%v -> %v: %v", client, r.target, err)
		return
	}
	tell("closed", "%v -> %v: closed", client, r.target)
}

func stream(to, from net.Conn) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.(interface{ CloseWrite() error }).CloseWrite()
}

// reset closes a connection without a goodbye.
func reset(conn net.Conn) {
	if impaired, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = impaired.NetConn()
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

var (
	lines = make(chan string, maxLines)

	mu   sync.Mutex             // guards the two below
	told int                    // lines in this second
	more = make(map[string]int) // what was not told, by what it was
)

// tell has a line printed, but no more of them than one can read: of the others
// it is counted what they were. It never waits.
func tell(what, format string, a ...any) {
	mu.Lock()
	defer mu.Unlock()
	if told < maxLines {
		select {
		case lines <- fmt.Sprintf(format, a...):
			told++
			return
		default:
		}
	}
	more[what]++
}

// report prints what is told.
func report() {
	second := time.Tick(time.Second)
	for {
		select {
		case line := <-lines:
			console.Println(line)
		case <-second:
			mu.Lock()
			rest := more
			told, more = 0, make(map[string]int)
			mu.Unlock()
			for _, what := range slices.Sorted(maps.Keys(rest)) {
				console.Printf("... and %d more in this second: %s", rest[what], what)
			}
		}
	}
}

// observe is told what happens to each datagram, and to each piece of a stream.
func observe(_ time.Time, from, to sockets.Address, payload []byte, fate simnet.Fate) {
	if fate == simnet.Sent || fate == simnet.Delivered {
		return
	}
	if client, ok := clientOf.Load(from); ok {
		from = client.(sockets.Address)
	} else if client, ok := clientOf.Load(to); ok {
		to = client.(sockets.Address)
	}
	tell(string(fate), "%v -> %v: %s, %d bytes", from, to, fate, len(payload))
}

func summary(c simnet.Counters) string {
	return fmt.Sprintf("%d sent, %d delivered, %d lost, %d duplicated, %d reordered, %d dropped, %d too big, %d refused, %d overflowed",
		c.Sent, c.Delivered, c.Lost, c.Duplicated, c.Reordered, c.Dropped, c.TooBig, c.Refused, c.Overflowed)
}
