// Package reliable makes datagrams arrive: exactly once, and in the order in
// which they were sent.
//
// UDP promises nothing: a datagram may get lost, come twice, or be overtaken by
// a later one. TCP mends that, but for streams between two ends, and needs a
// connection first. This package mends it for datagrams, one socket to many
// peers, by the means that a lecture on TCP explains. It is a layer: a
// [sockets.Network] over another, so that a program changes in one place.
//
//	cfg := &sockets.Config{Network: reliable.Over(nil)}
//	peer, err := cfg.NewPeer("8080", []string{"localhost:8081"})
//
// Whoever this peer talks to must do the same: plain UDP does not understand the
// protocol, and is ignored.
//
// # What it promises
//
// Every message of up to 65,507 bytes that is sent to a live peer arrives
// exactly once. What one peer sends to another arrives in the order sent. If
// that cannot be kept, because the peer acknowledged nothing for 30 seconds
// ([Config] has Silence), because it has restarted or has closed its socket, the
// sender is told, with [sockets.ErrPeerUnreachable]: when it next receives, and
// by its next send to that peer. The send after that one begins anew.
//
// Sending waits while too much is on its way to that peer (Window in [Config]).
// That is backpressure: who sends faster than the other end reads, or than the
// network carries, is slowed down. A peer that has taken nothing for 60 seconds
// (SendTimeout), because its program does not read, is not waited for: the error
// is [sockets.ErrSlow] and [os.ErrDeadlineExceeded]. What was sent before waits on,
// as long as the peer is alive. [sockets.Peer.SendAll] does not wait at all, so
// that one slow peer does not hold up the others: its error is [sockets.ErrSlow].
//
// [Conn.Close] says goodbye: it waits until what was sent has arrived. Who sends
// to a peer that does so is told that nobody will read it.
//
// # What it does not promise
//
//   - That a message was read. Acknowledged means that it is in the other
//     process, as with TCP; that process may end before it reads it.
//   - Whether a message arrived when the peer is reported as unreachable. Nobody
//     can know: it may have arrived, and its acknowledgement got lost. Who sends
//     it again may cause the other end to act twice.
//   - A conversation where a round trip takes more than 10 seconds: the handshake
//     does not wait that long.
//   - Any order between the messages of two senders, or to two receivers.
//   - Multicast: the socket of a group is that of the network beneath.
//   - Secrecy. Who can read the datagrams of a peer can forge them; who cannot
//     would have to guess 128 random bits, or 64 during a handshake.
//
// # How it works
//
// Each file has one idea:
//
//	handshake.go     two ends agree to talk, and prove their addresses
//	association.go   what they know of each other, until one says goodbye or gives up
//	sender.go        segments, until they are acknowledged
//	receiver.go      the segments in order again, and their acknowledgements
//	reordering.go    how many overtakers make a loss
//	rtt.go           how long to wait for an acknowledgement
//	congestion.go    how much may be on its way
//	cookie.go        proof of an address, without memory
//	graves.go        which cookies are too old
//	wire.go          how all this looks in a datagram; WIRE.md is the page on it
//	inbox.go         what is to be read from one peer
//	peer.go          who is known, and who gives way
//	engine.go        all of it together, without a socket and without a clock
//	conn.go          the socket, and the clock
//
// The handshake takes two round trips before the first message leaves:
//
//	who begins                                who answers
//
//	HELLO, I am 17        ----------------->
//	                      <-----------------  COOKIE, bring it back
//	ECHO, here it is      ----------------->  it was baked for 17 at this address:
//	                      <-----------------  WELCOME 17, I am 42
//	17 to 42: DATA 0      ----------------->
//	                      <-----------------  42 to 17: ACK, 1 is next
//
// Nothing is remembered about who only says HELLO: its address may be a lie.
// 17 and 42 are random, and new for each association. Every datagram bears both,
// so that one from before a restart is not taken for a new one. If both ends
// begin at once, the two handshakes give one association.
//
// The messages to a peer form a stream, cut into segments of up to 1,136 bytes
// that are numbered 0, 1, 2 and so on. The receiver acknowledges every second
// one at once and others within 25 milliseconds: which segment it misses first
// (cumulative), and what it has beyond (selective).
//
//	DATA 0   ----------------->
//	DATA 1   --------x
//	DATA 2   ----------------->
//	         <-----------------  ACK, 1 is missing, 2 is here
//	DATA 3   ----------------->
//	DATA 4   ----------------->
//	         <-----------------  ACK, 1 is missing, 2 to 4 are here
//	DATA 1   ----------------->  (three overtook it)
//
// A segment is sent again when three later ones overtook it, more for a while
// where the network proves to reorder, or when nothing was heard of the first
// that is missing for the retransmission time-out. That is computed from the
// round trips as RFC 6298 says, is from 200 milliseconds to 5 seconds long, and
// doubles, twice at most, as long as nothing comes back; it is 1 second before
// the first round trip.
// Each transmission has a number, which the receiver tells: it is always known
// which one was answered.
//
// The congestion window is as that of TCP NewReno, in segments: 10 at first,
// never below 2; it doubles each round trip until something gets lost, shrinks to
// 0.7 of itself once for all losses of a round trip, and grows by 1,460 bytes a
// round trip from then on, as that of a TCP connection over Ethernet does. When
// a window holds messages back, small ones travel together; otherwise each
// leaves at once.
//
// A socket has two goroutines: one receives, the other waits for the time of
// what is to be done next. Close ends both.
//
// # Testing with it
//
// A simulated network loses messages whenever a test wants it to, and in virtual
// time ([testing/synctest]) half a minute of silence costs nothing. What does a
// program do when its peer is cut off?
//
//	func TestCutOff(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			network := simnet.New(1)
//			alice, bob := network.Host(), network.Host()
//			cfg := &sockets.Config{Network: reliable.Over(alice)}
//			peer, _ := cfg.NewPeer("8080", nil)
//			defer peer.Close()
//			network.Partition([]*simnet.Host{alice})
//			peer.Send([]byte("Hello?"), bob.AddrPort(8080))
//			_, who, err := peer.Receive(t.Context())
//			t.Log(who, err) // after 30 virtual seconds
//		})
//	}
package reliable
