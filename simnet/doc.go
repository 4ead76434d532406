// Package simnet is an unreliable network on demand, for tests. It exists in
// memory: hosts, and between them links that lose, duplicate, reorder and delay
// what they carry, as often as one asks for. Programs that use sockets run on it
// unchanged. What goes wrong goes wrong again when the test is repeated, and an
// hour of waiting takes a moment.
//
// # Hosts
//
// A [Network] has hosts. A [Host] is a machine: it has IP addresses, and names if
// one likes. What a program calls to bind, listen and dial, it has as methods:
// [Host.ListenPacket], [Host.Listen] and [Host.DialContext]. That makes each host
// a Network of package sockets, to be put into a Config:
//
//	n := simnet.New(1)
//	alice := sockets.Config{Network: n.Host("alice")}
//	bob := sockets.Config{Network: n.Host("bob")}
//
//	receiver, err := bob.NewPeer("8080", nil)
//	sender, err := alice.NewPeer("8080", []string{"bob:8080"})
//	err = sender.SendAll([]byte("Hello Bob!"))
//	payload, from, err := receiver.Receive(ctx)
//	fmt.Printf("%q from %v\n", payload, from)
//
// prints
//
//	"Hello Bob!" from 10.0.0.1:8080
//
// Hosts without an address of their own get 10.0.0.1, 10.0.0.2 and so on. Both
// peers have port 8080, which two programs on one machine could not.
//
// Code that knows package net only runs there too: ListenPacket returns a
// [net.PacketConn], Listen a [net.Listener], and DialContext a [net.Conn]. They
// do what those of a kernel do, down to the text of errors.
//
// # Links
//
// From each host to each other goes a link. It is one direction: the way back is
// a link of its own. A [Link] describes what it does to packets. A packet is a
// datagram or a piece of a stream.
//
//	n.SetLinks(simnet.Link{                    // every link
//		Delay:  50 * time.Millisecond,
//		Jitter: 20 * time.Millisecond,
//		Loss:   0.1,
//	})
//	n.SetLink(alice, bob, simnet.Link{Loss: 1}) // one direction of one way
//
// Links may change at any moment, for what is sent from then on. Loss, Duplicate
// and Reorder are probabilities. With the zero Link nothing is lost, and all
// arrives at once and in order. Where every second packet gets lost,
//
//	n := simnet.New(179)
//	n.SetLinks(simnet.Link{Loss: 0.5})
//
// and the sender sends
//
//	for _, text := range strings.Fields("to be or not to be") {
//		err = sender.SendAll([]byte(text))
//	}
//
// the receiver gets
//
//	to
//	be
//	not
//
// The example of [Link] is the whole program.
//
// # Virtual time
//
// A program that waits for an answer for a second, and tries again for an hour,
// makes for a slow test. Package [testing/synctest] has the remedy, a bubble: a
// function that runs with a clock of its own. When all goroutines in the bubble
// wait, for each other or for a time to come, the clock jumps to the next moment
// at which something happens. That is virtual time.
//
// Here is a protocol of one's own. It sends until the answer comes:
//
//	func deliver(conn net.Conn, payload []byte) (tries int, err error) {
//		for tries = 1; tries <= 5000; tries++ {
//			if _, err = conn.Write(payload); err != nil {
//				return tries, err
//			}
//			conn.SetReadDeadline(time.Now().Add(time.Second))
//			if _, err = conn.Read(make([]byte, 1)); err == nil {
//				return tries, nil
//			}
//		}
//		return tries, err
//	}
//
// and a test of it, over links that lose every second packet:
//
//	func TestDeliver(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			n := simnet.New(simnet.Seed(t))
//			n.SetLinks(simnet.Link{Loss: 0.5, Delay: 50 * time.Millisecond})
//			alice, bob := n.Host("alice"), n.Host("bob")
//
//			receiver, err := bob.ListenPacket(t.Context(), "udp", ":8080")
//			if err != nil {
//				t.Fatal(err)
//			}
//			defer receiver.Close()
//			go acknowledge(receiver)
//
//			conn, err := alice.DialContext(t.Context(), "udp", "bob:8080")
//			if err != nil {
//				t.Fatal(err)
//			}
//			defer conn.Close()
//			if tries, err := deliver(conn, []byte("Hello")); err != nil {
//				t.Errorf("after %d tries: %v", tries, err)
//			}
//		})
//	}
//
// The Network must be made in the bubble that uses it. Nothing in it keeps the
// clock from jumping, and it needs no closing; goroutines that receive must have
// ended when the bubble does, as everywhere.
//
// Outside a bubble the same test takes real time: a Delay of a second is a
// second. That is the way to look at a program at work.
//
// # Partitions and crashes
//
// A network may fall apart, and come together again. Add this to the test, and
// Alice is alone for an hour:
//
//	n.Partition([]*simnet.Host{alice})
//	time.AfterFunc(time.Hour, n.Heal)
//	if tries, err := deliver(conn, []byte("Hello")); tries < 3600 {
//		t.Errorf("%d tries: %v", tries, err)
//	}
//
// The hour passes in some milliseconds. [Network.Partition] parts groups of hosts
// from each other, [Network.Cut] stops one direction of one way, [Network.Hold]
// keeps what is sent until [Network.Release], and [Network.Heal] undoes them all.
//
// [Host.Crash] takes a host down: its sockets vanish, and nobody is told, as when
// somebody trips over the cable. [Host.Restart] brings it up again.
//
// # Seeds
//
// Chance is drawn as if by dice, and [New] is told how the dice are loaded: by a
// number, the seed. What befalls a packet is a function of
//
//   - the seed of the network and that of the link,
//   - where it comes from and where it goes to, and by which protocol,
//   - how many packets went that way before it,
//
// and of nothing else: not of the scheduler, of the speed of the machine, or of
// other hosts. So the same seed gives the same faults, and a test either always
// fails or never does. [Seed] gives a test another seed in each run, and tells it
// to the log of the test:
//
//	simnet: to repeat this run: SIMNET_SEED=13891176665706064842
//
// and with this variable in its environment the test meets the same faults again.
//
// What the program itself does by chance the seed cannot repeat: which of two
// goroutines sends first at the same moment, for example. That decides who has
// which number on a way that they share, and who finds the last place in a queue.
// And it decides who gets which port where several bind port 0 or dial at the same
// moment, and with the port other faults. So let them bind ports that they name, or
// dial from one goroutine.
//
// # Looking on
//
// [Network.Counters] and [Network.Total] count what became of packets.
// [Network.Observe] tells of each of them, as it happens:
//
//	start := time.Now()
//	n.Observe(func(at time.Time, from, to netip.AddrPort, payload []byte, fate simnet.Fate) {
//		fmt.Println(at.Sub(start), from, to, fate)
//	})
//
// prints lines such as
//
//	0s 10.0.0.1:8080 10.0.0.2:8080 sent
//	50ms 10.0.0.1:8080 10.0.0.2:8080 delivered
//
// # What it is like, and what not
//
// Datagrams have at most 65,507 bytes, find a port closed, and overflow the
// buffer of who reads too slowly; a socket that was dialled is told that the port
// is closed. There are IPv4, IPv6 and sockets for both, port 0 for any free one,
// loopback in each host, groups to join for multicast, and broadcast to
// 255.255.255.255. Streams have what a program can see of TCP: see
// [Host.DialContext].
//
// Every host reaches every other one directly. There are no routers, no subnets,
// and no fragments: a datagram longer than the MTU is dropped. Bandwidth is that
// of a link, which no third host shares. Ports have numbers, and no names. A
// packet costs no time but that of its link.
//
// # On real sockets
//
// [Impair] puts a Link between a program and any other Network, the operating
// system's for example. [ParseLink] reads a Link as people write it:
// loss=0.3,delay=50ms.
package simnet
