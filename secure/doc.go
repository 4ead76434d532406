// Package secure makes sure who is speaking, and that nobody in between reads a
// stream or changes anything.
//
// Plain sockets believe what arrives: a name in a message is a claim, and so is
// the address of a datagram. Here everybody has a key pair, and knows the public
// keys of the others. It is a layer: a [sockets.Network] over another, so that a
// program changes in one place, and [sockets.Peer], [sockets.Connection] and
// [sockets.Server] work over it unchanged.
//
//	alice, err := secure.OpenIdentity("alice.key", "alice")
//	known, err := secure.LoadKnownPeers("known_peers")
//	cfg := &sockets.Config{Network: secure.Over(nil, alice, known)}
//	client, err := cfg.Dial(ctx, "bob@localhost:8080", nil)
//
// The other end must do the same.
//
// # Identities and known peers
//
// An [Identity] is a name and an Ed25519 key pair, in a file that nobody else
// may read (on Windows: give it a folder of your own). [Identity.String] is its
// public line,
//
//	alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4
//
// which others put into their file of [KnownPeers]. What counts is the key. The
// name is what the owner of that file calls it: each name has one key there, and
// each key one name. No authority is asked, and nothing expires.
//
// How do the lines get there? On paper, by mail, in a file that the teacher hands
// out: by any way that nobody tampers with. Or, for streams, by trust on first
// use (FirstUse in [Config]), as SSH does: a client that dials NAME@HOST:PORT
// believes that this is NAME's key if it knows none, and a server believes the
// name that a client gives itself. Whoever is there first gets the name; from
// then on nobody else does. Who wants to be sure compares the
// [PublicKey.Fingerprint] by telephone. It is the one that ssh-keygen -l shows.
// Such a line ends with first-use, until somebody has done that and deletes the
// word, and restarts the program.
//
// One's own key is never a peer: whoever has it proves to be oneself, and nobody
// else. Two machines with copies of one identity refuse each other.
//
// # What it promises
//
//	who speaks      a stream or a datagram is of the peer whose key signed it
//	                ([PeerOf], [Network.PeerAt])
//	unchanged       what arrives is what was sent, or an error, or nothing
//	fresh           what was recorded is not accepted again, also after a restart
//	complete        a stream ends in [io.EOF] only if the other end says so:
//	                who cuts it causes [ErrTruncated]
//	secret          streams always, with new keys for each, so that who steals an
//	                identity cannot read what was recorded; datagrams with a GroupKey
//	strangers       get no answer but a refusal or a challenge, and bounded memory and time
//
// # What it does not promise
//
//   - Anything about what known peers do. One whose machine is taken over speaks
//     for its owner until everyone deletes its line and restarts the program. A
//     known peer may flood the others, within the limits of the layers above.
//   - That a name on first use is right: see above. And that two names differ to
//     the eye: letters of different alphabets look alike, and so do é as one
//     character and as an e with its accent.
//   - That a server is the one that was meant, if it is dialled without NAME@: any
//     known peer in between can be it.
//   - Delivery. Who sits in between can drop everything.
//   - That nobody sees who talks to whom, when, and how much. A passive listener
//     sees addresses and sizes, of datagrams the public keys too. Who poses as a
//     server learns the name and the public key of a client that dials it; and
//     whoever connects learns those of the server, and whether it knows a name.
//   - Secrecy of datagrams from those who have the GroupKey, or ever get it.
//
// # Streams
//
// Streams are TLS 1.3, and only that, by package crypto/tls: both ends present a
// certificate that they sign themselves, and TLS proves that they have its key.
// Names, dates and authorities in it play no part, and no session is resumed.
// Then each end tells the other whether it accepts the key, in one byte, before
// any byte of the program. So a client does not take a connection for good that
// the server is about to refuse, and both get a [*RefusedError] that tells who
// refused whom, why, and what to do:
//
//	  0   welcome
//	  1   the key is not known                        ErrUnknownKey
//	  2   the name belongs to another key             ErrKeyChanged: somebody may pose as NAME
//	  3   it is somebody else than was expected       ErrNotExpected: NAME@HOST:PORT
//	  4   no more keys are learnt by first use        ErrTooManyLearnt
//	  5   the key could not be saved                  ErrNotSaved
//	  6   both ends have the same key                 ErrOwnKey
//	  7   a name that is none cannot be learnt        ErrBadName
//	255   welcome, once the key is saved: 0 or a reason follows when the other end has accepted
//
// A key is pinned on first use only after the other end has accepted, or is about
// to save this end's too, and a program sees none of its bytes before. Where one
// of two that learn each other cannot save, the other may have pinned already.
//
// Deadlines are temporary, as on TCP, once the handshake is over: one that passes
// in the first Read or Write of an accepted stream, which shakes hands, ends it. A
// write that times out may leave up to 16 KiB that are counted as written and are
// sent by the next Write or CloseWrite; a [sockets.Connection] waits for them, and
// SendTimeout counts for them too.
//
// For programs that know nothing of this package there is [TLS]: ordinary TLS,
// by a [tls.Config] of one's own.
//
// # Datagrams
//
// Each datagram of a [PacketConn] is signed with the key of who sends it, and
// bears that key, its group, the number of its session, which is one socket, and
// its own number there. That makes 122 bytes more, so that a payload has up to
// 65,385. [sockets.Peer.SendAll] signs once for all peers: it is the same
// datagram for each.
//
// What arrives is dropped without a word unless the key is one of Config.Known.
// That a stream brought it by first use is not enough, as anybody can be first,
// neither now nor after a restart: somebody has to delete the word first-use from
// its line and then to restart, or to call [KnownPeers.Add]. Nobody else is
// answered, nor learnt as a peer. [Network.PeerAt] tells whose datagram it was, by
// its address:
//
//	callback := func(payload []byte, sender sockets.Address) {
//		who, _ := network.PeerAt(sender)
//		fmt.Println(who.Name, "says", string(payload))
//	}
//
// In the callback, or until the next Receive of a [sockets.Peer], that is
// exact. An address belongs to the key that was last proved there, until that
// was silent for Config.Hold. A known key at another address is another peer,
// which has to be proved anew.
//
// A signature proves who wrote a datagram, not when. So each number is read once
// (the last 8,128 may come in any order, as RFC 6479 has it; older ones are
// dropped), and the first datagram of a session, or from an address, has to
// wait:
//
//	alice                                        bob
//
//	data 1, signed          ----------------->   the key of alice; but is it she, and now?
//	                        <-----------------   challenge: a nonce, signed
//	answer: the nonce, and
//	1 and later are fresh   ----------------->   data 1 is read
//	data 2, signed          ----------------->   data 2 is read
//
// A recording that is played to bob after he has restarted gets a challenge,
// too, and nobody who has not the key of alice can answer it. She herself does,
// if she still lives: her answer tells which numbers she has used since bob
// started, and only those are read. No state on disk is needed, and a clock of
// hers that goes wrong by less than a thousandth does no harm.
//
// With Config.GroupKey payloads are secret as well (AES-256-GCM, beneath the
// signature): 16 bytes more. Members of a group are then all who have that key.
//
// What it costs on a 2-core x86-64 VM: about 18 microseconds to sign for one
// peer, 26 for 64 together, and 42 to verify; a datagram of an unknown key is
// dropped after 40 nanoseconds.
//
// # What datagrams do not promise
//
//   - Who only sends is not heard: challenges are answered by whoever reads. Who
//     closes the socket right after the first datagrams is not heard either.
//   - That they arrive, and in which order: as ever, that is the task of package
//     reliable.
//   - For whom a datagram is. It is one for all: who can read what alice sends
//     to bob can pass it on to carol, and she reads it, once. Package reliable
//     does not help: who rules the network can lead all that goes to bob's
//     address to carol. Where that matters, name the addressee in the payload,
//     or dial NAME@HOST:PORT, or ask PeerAt before sending.
//   - That the address is where alice is. Who passes all datagrams on, challenge
//     and answer included, is a router like any other: it can delay and lose, but
//     neither change nor invent.
//   - That a datagram was sent just now: one that was held back is read later, as
//     long as its session lives.
//   - That all is read that alice sends while bob restarts. What she has signed
//     before, or within the time that a challenge took to reach her, is not.
//   - Two sockets with one identity hear each other not at all: what bears the own
//     key is taken for an echo.
//   - Several sockets of one group on one machine: a challenge is answered to an
//     address, and of those that share it one socket reads the answer.
//   - Secrecy once the group key is known: it opens what was recorded, too.
//   - A machine whose clocks stand still is not protected. If that of alice is
//     paused, as a virtual machine can be, and bob restarts meanwhile, what she
//     signed in the last 20 seconds of her own time before she is asked can be
//     read once more.
//   - That a program is heard which binds a socket for each message. Each
//     socket is a session, which has to be asked, and to read, before it is
//     heard.
//   - Anything to who reads a small part of what a socket sends: the window of
//     8,128 counts over all datagrams of a socket, to whomever they go. One
//     that is overtaken by 8,128 later ones, to anybody, is dropped.
//   - That a session or an address keeps its place: if a known peer has more
//     than eight sockets, or is heard from more than eight addresses, each one
//     that gave way is asked again when it sends the next time. Its datagrams
//     wait for that.
//   - That newcomers are heard at once in a flood. Whoever knows one public key
//     and forges more than 2,000 datagrams a second delays those who are not
//     confirmed, by about half a second at 10,000 a second and 3 seconds at
//     40,000. Those who are confirmed are not delayed.
//   - Against somebody who sees the datagrams of a peer and forges 1,000 a
//     second with that peer's address and session, or 1,000 challenges to it:
//     some of the peer's are lost then, or it is confirmed later.
//
// # The order of layers
//
// Secure goes beneath package reliable:
//
//	cfg := &sockets.Config{Network: reliable.Over(secure.Over(nil, identity, known))}
//
// Then acknowledgements, goodbyes and handshakes are signed as all the rest. In
// the other order a stranger who sees the datagrams can end a conversation, or
// acknowledge what never arrived: only the payloads are signed there. The price
// is a signature for each packet and each acknowledgement, and no longer one
// datagram for all, as each peer has its own stream of segments.
//
// There PeerAt is right only of a message that is read within Config.Hold of
// its arrival: afterwards the address may be somebody else's. So Hold must be
// longer than the Silence of package reliable, which is 30 seconds, and than a
// program leaves messages unread; a program that reads in a callback and
// returns soon need not care.
//
// # What a stranger can make grow
//
// Nothing without a bound. In a program:
//
//	keys learnt by first use             1,024 in a run (MaxLearnt)
//	file of known peers                  16 MiB
//
// For each stream, of which package sockets bounds the number (MaxConnections):
//
//	bytes read in a handshake            32 KiB
//	time for a handshake                 5 seconds (HandshakeTimeout of package sockets);
//	                                     10 for who dials
//	bytes of answers that TLS owes to    64 KiB
//	an end that does not take them
//
// For each datagram socket:
//
//	signatures verified from one IPv4 address or /64 of IPv6        1,000 a second
//	that is not confirmed
//	signatures verified from all such addresses together            2,000 a second
//	signatures verified in vain on one confirmed route              1,000 a second
//	challenges verified that name the socket's session              1,000 a second
//	answers verified that bring the right nonce                     1,000 a second
//	buckets that count them                                         1,024
//	addresses that are being challenged                             256; 8 for each known key
//	challenges to each of them, as long as something is held        4 a second
//	challenges where one key comes from more than 8 addresses       as many as signatures are verified
//	payloads held until the answer                                  4 MiB; 64 KiB for each address
//	sessions remembered for each known key                          8
//	addresses remembered for each session                           8
//	addresses held that no session has any longer                   120,000 (30 MiB), if Config.Hold is a minute
//	time for which the answer to a challenge is good                20 seconds at most
//	bytes sent to an address that is not confirmed                  no more than came from there
//	destinations remembered of the last datagram that was signed    4,096
//	calls of Config.Refused                                         1 a second
//
// Who is held gives way to newcomers, the least recent first; no answer is lost
// by that, as who challenges remembers nothing that the answer needs. A ninth
// session of a key takes the place of the one that has delivered nothing for
// the longest time, a ninth address of a session that of the one that was
// confirmed first. Nothing is lost or read twice by that: who gave way is asked
// again. The address stays the key's for Config.Hold all the same; only who
// answers challenges with a known key makes such.
//
// # How it works
//
// Each file has one idea:
//
//	key.go        a public key, as OpenSSH spells it
//	identity.go   a key pair and its file
//	known.go      who is known, and the file of that
//	network.go    the layer
//	tls.go        certificates without authorities; TLS of one's own
//	raw.go        what TLS lacks: signed ends, writes that survive deadlines
//	stream.go     a connection: handshake, reading, writing, goodbye
//	greeting.go   who is accepted, and how both ends agree
//	refusal.go    why not, and what to do
//
// and for datagrams, which WIRE.md draws:
//
//	wire.go         how a datagram looks
//	packet.go       the socket
//	packetsign.go   sending: one signature for all
//	datagram.go     receiving: what is checked, in the order of its cost
//	budget.go       how many signatures are verified
//	window.go       which numbers came before
//	session.go      who has answered a challenge
//	held.go         who has not yet
//	packetplace.go  whose an address is
//	dialed.go       one peer at a time
//	stats.go        what became of each
package secure
