// Package sockets lets programs on different machines exchange messages: over
// UDP ([Peer], [AsyncPeer]) and over TCP ([Connection], [Client], [Server]).
//
// This page is a set of course notes. It follows the slides "Communication
// Mechanisms for Distributed Systems", whose code is in Python, from the first
// socket to the TCP chat, in their order and in their words. Folder examples
// has one program for each attempt on the slides, and every type below has an
// example beside it that runs.
//
// The pieces of code here are short. Where they do not look at an error it is
// to keep them so: a program looks at every one.
//
// # What a socket is
//
// A process is a running program. A socket is a process's end of a path
// through the network: the process puts bytes in, they come out of a socket of
// another process, on the same machine or on the other side of the world.
//
// Each end of the path is an endpoint: an IP address and a port, written
// 137.204.0.1:8080. The IP address tells the machine; a machine has one per
// network interface, and 127.0.0.1, by which it reaches itself. The port, a
// number from 1 to 65535, tells the socket on that machine. Ports below 1024
// are those of well-known protocols. Here an endpoint is an [Address]:
//
//	address, err := sockets.ResolveAddress(ctx, "localhost:8080")
//	fmt.Println(address.Addr(), address.Port())
//
// prints
//
//	127.0.0.1 8080
//
// To bind a socket is to tie it to an endpoint of its machine, so that the
// system knows where to deliver what arrives. In an endpoint to bind to, the IP
// address 0.0.0.0 means every address of this machine, and port 0 means any port
// that is free.
//
// Local is what belongs to this end, remote what belongs to the other one. The
// client is the end that begins, the server the end that waits for it.
//
// A socket is full-duplex: it may send and receive at the same time. It carries
// bytes, and does not care what they mean. Text becomes bytes, and bytes become
// text, where the program says so:
//
//	data := []byte("Hello, world") // as encode() in Python: UTF-8
//	data = append(data, 33)        // 33 is "!"
//	fmt.Println(string(data))      // as decode()
//
// prints
//
//	Hello, world!
//
// There are two types of sockets:
//
//	              datagram socket             stream socket
//	carries       packets of bytes            a sequence of bytes
//	over          UDP                         TCP
//	talks to      any number of others        one other
//	needs first   nothing                     a connection
//	what is sent  may get lost, may overtake  arrives, in order
//	here          Peer, AsyncPeer             Connection, Client, Server
//
// # Datagram sockets
//
// A datagram is a packet of bytes that travels on its own. It arrives whole or
// not at all. There is no connection, and no difference between client and
// server: each datagram is sent to the endpoint that the sender names.
//
// [NewPeer] creates a datagram socket and binds it:
//
//	peer, err := sockets.NewPeer("8080", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer peer.Close()
//	fmt.Println("Bound to:", peer.LocalAddress())
//
// prints
//
//	Bound to: [::]:8080
//
// Here [::] is the 0.0.0.0 of IPv6: the socket serves both kinds of addresses.
// To get a free port pass "0", and ask [Peer.LocalAddress] which one it is.
//
// [Peer.Send] is sendto, [Peer.Receive] is recvfrom. One program sends:
//
//	recipient, err := sockets.ResolveAddress(ctx, "localhost:8080")
//	err = peer.Send([]byte("Hello, world!"), recipient)
//
// and the other one, once it receives,
//
//	payload, sender, err := peer.Receive(ctx)
//	fmt.Printf("Received: %q from %v\n", payload, sender)
//
// prints
//
//	Received: "Hello, world!" from 127.0.0.1:8081
//
// The payload is what a datagram carries: the bytes, without sender and
// recipient. It belongs to the program. Over IPv4 it has at most 65,507 bytes;
// for more, Send answers [ErrMessageTooBig]. Receive has room for the longest:
// nothing is cut.
//
// A Peer is more than its socket: it also knows the endpoints that it talks to.
// It is told of some when it is made, and learns the sender of each datagram
// that it receives. [Peer.SendAll] sends to them all:
//
//	alice, err := sockets.NewPeer("8080", nil)
//	bob, err := sockets.NewPeer("8081", []string{"localhost:8080"})
//
//	bob.SendAll([]byte("Hello Alice!")) // Bob was told of Alice
//	alice.Receive(ctx)                  // from here on Alice knows Bob
//	alice.SendAll([]byte("Hello Bob, how are you?"))
//
// So the first participant of a chat cannot begin it: nobody told it of the
// others. A peer that is named twice, as localhost and as 127.0.0.1, is one
// peer, and a Peer never counts itself.
//
// Many datagrams for one endpoint go by [Peer.SendRun]. It is Send for each of
// them, in order. On Linux those of equal length leave in one system call.
//
// No error of Send means that the datagram has left, not that it arrived.
// Datagrams may get lost, delayed, duplicated, and overtaken by later ones, and
// no program is told. Nothing in this package mends that: program
// examples/udpstreamer shows it.
//
// What the chats of the slides send is a [Message]: a sender, a text and a time.
// [NewMessage] makes one, [Message.Bytes] is its payload, [ParseMessage] reads
// it back. It prints as
//
//	[2024-02-03T12:15:00] Alice:
//		Hello, World!
//
// Text from a stranger may hold anything, also commands for a terminal: print
// it through [Printable].
//
// A Peer that is bound to the address of a multicast group joins the group, and
// receives what is sent there.
//
// # Callbacks
//
// A call that blocks returns only when it has something to return. Receive
// blocks until a datagram arrives, and reading the keyboard blocks until
// someone presses Enter. A program that does both in turn can do neither while
// it waits for the other: that is attempt 1, examples/udpchatwrong.
//
// The way out is to do both at once. A goroutine is a function that runs beside
// the others: Go's thread, started by putting the word go before a call. A
// callback is a function that a program hands over so that it is called later.
// An [AsyncPeer] is a Peer that receives on a goroutine of its own, and calls
// the callback with each datagram:
//
//	peer, err := sockets.NewAsyncPeer("8080", nil, func(payload []byte, sender sockets.Address) {
//		fmt.Println(sockets.Printable(payload))
//	})
//
// That is attempt 2, examples/udpchat: the main function is free to read the
// keyboard.
//
// A callback that mentions the peer cannot be written in the call that makes
// the peer. It comes afterwards, with [AsyncPeer.SetCallback]; until then
// nothing is received:
//
//	peer, err := sockets.NewAsyncPeer("8080", nil, nil)
//	peer.SetCallback(func(payload []byte, sender sockets.Address) {
//		peer.Send(payload, sender) // an echo
//	})
//
// The callback of one peer never runs twice at once. But it runs at the same
// time as the main function: what both use needs a [sync.Mutex] or a channel.
// While a callback runs, the system keeps what arrives, as far as it has room:
// a slow callback loses datagrams.
//
// # Saying goodbye
//
// Without a connection nobody notices who leaves. So who leaves a chat says so,
// in a message whose text is [ExitMessage]:
//
//	peer.SendAll(sockets.NewMessage(sockets.ExitMessage, "Bob").Bytes())
//	peer.Close()
//
// and who receives it forgets the sender:
//
//	if sockets.IsExit(payload) {
//		peer.Remove(sender)
//	}
//
// That is attempt 3, examples/udpchatgraceful. A peer does not forget anyone by
// itself: these three lines are the difference between attempts 2 and 3.
// [IsExit] looks at the whole text of the message, so that a sentence that
// merely ends with <LEAVES THE CHAT> is a sentence.
//
// Nothing proves who wrote a message: the name in it is what the sender claims,
// in the goodbye too. Package secure, in section Beyond the course, does.
//
// # Stream sockets
//
// A stream is a sequence of bytes that may go on without end. It is reliable
// and ordered: what one end writes the other end reads, without a gap, in the
// order written. A connection has two streams, one in each direction, between
// two ends and only two. It has to be made before anything can be sent, and the
// roles differ: the server listens and accepts, the client connects.
//
//	server                                   client
//
//	Listen("8080", callback)
//	callback: EventListen
//	                          <------------  Dial(ctx, "localhost:8080", nil)
//	callback: EventConnect
//	with a Connection                        returns a Client, which is a Connection
//
//	Send, Receive             <----------->  Send, Receive
//
//	Close                     <----------->  Close
//
// [Listen] is socket, bind and listen. Accepting is done by a goroutine of the
// server, which tells a callback of each connection:
//
//	server, err := sockets.Listen("8080", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
//		switch event {
//		case sockets.EventListen:
//			fmt.Println("Server listening on port", address.Port())
//		case sockets.EventConnect:
//			fmt.Println("Open ingoing connection from:", address)
//			connection.SetCallback(onMessage) // that of section Events
//		}
//	})
//
// prints at once
//
//	Server listening on port 8080
//
// [Dial] is socket and connect. It blocks until the connection is made, or is
// known to fail. The error tells why:
//
//	client, err := sockets.Dial(ctx, "137.204.0.1:8080", nil)
//	switch {
//	case errors.Is(err, syscall.ECONNREFUSED):
//		fmt.Println("The machine answers, but no program accepts connections there")
//	case errors.Is(err, os.ErrDeadlineExceeded):
//		fmt.Println("Nothing answers")
//	}
//
// A [Connection] carries messages, not bare bytes: the section after the next
// tells how. Who wants the bare stream takes package [net], as the slides take
// the module socket, and as examples/tcpecho does:
//
//	conn, err := net.Dial("tcp", "localhost:8080")
//	conn.Write([]byte("My very important payload")) // as sendall
//	conn.(*net.TCPConn).CloseWrite()                // as shutdown(SHUT_WR)
//
// # The golden rule
//
// Always be aware of how many bytes are sent or received at a time. A stream
// may be endless, and a stranger may make it so: a program that reads until the
// end has no bound on its memory.
//
// From a bare stream, read into a buffer of a fixed size. A read returns what
// has arrived: at least one byte, at most the buffer, wherever the sender made
// its cuts. Those that follow return the rest, and at the end comes [io.EOF]:
//
//	buffer := make([]byte, 4096)
//	for {
//		n, err := conn.Read(buffer)
//		fmt.Printf("%s", buffer[:n])
//		if err != nil {
//			break // io.EOF: the remote is over with the data
//		}
//	}
//
// A Connection obeys the rule by itself: a message has at most
// [Config.MaxMessage] bytes, 1 MiB if nothing else is said. The length that the
// other end announces is a claim, and memory is taken as bytes arrive, not as
// they are announced. A length over the limit ends the connection with an error
// that also tries to say how it came about. This is a web browser's:
//
//	sockets: message too big: 1195725856 bytes are announced, MaxMessage is 1048576 (the length spells "GET ": is the other end an HTTP client?)
//
// Whatever else strangers can make grow has a bound too: the peers that a Peer
// learns ([Config.MaxPeers]), the connections of a server
// ([Config.MaxConnections], and for each address [Config.MaxConnectionsPerIP]),
// and the bytes that wait for a slow reader
// ([Config.MaxQueue]).
//
// # Messages over a stream
//
// A stream has no borders: two messages may arrive in one read, and one message
// in three. So each is preceded by its length. The prefix and the message are a
// frame:
//
//	00 00 00 1d   54 68 65 20 75 73 65 72 20 70 72 ... 52 49 47 48 54
//	-----------   ---------------------------------------------------
//	   prefix                         message
//	29, as 4 bytes,           29 bytes, here the text
//	 big-endian            The user pressed UP and RIGHT
//
// Big-endian means that the most significant byte comes first. The length
// counts bytes.
//
// [Connection.Send] writes a frame, [Connection.Receive] reads one:
//
//	client.Send([]byte("The user pressed UP and RIGHT"))
//	client.Send([]byte("The user released RIGHT, and pressed LEFT"))
//
// arrive at the other end, where
//
//	for range 2 {
//		message, err := connection.Receive(ctx)
//		fmt.Printf("%s\n", message)
//	}
//
// prints, however the network cut the stream,
//
//	The user pressed UP and RIGHT
//	The user released RIGHT, and pressed LEFT
//
// An empty message is a message too. Many goroutines may send at once: their
// messages never mix.
//
// A [Framer] does the same over any stream, such as a file or a [net.Conn]. To
// read all messages up to the end:
//
//	framer := sockets.NewFramer(conn, 4)
//	for message, err := range framer.Messages() {
//		if err != nil {
//			log.Fatal(err)
//		}
//		fmt.Printf("%s\n", message)
//	}
//
// The slides use a prefix of 4 bytes, and so does this package. The course's
// Python lab uses 2: to talk to it, set [Config.Prefix] to 2.
//
// # Events
//
// A Connection receives in one of two ways: the program calls Receive, or gives
// a callback, as it does for an AsyncPeer. A stream has more to tell than
// messages, so this callback is told events:
//
//	func onMessage(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
//		switch event {
//		case sockets.EventMessage:
//			fmt.Println(sockets.Printable(payload))
//		case sockets.EventClose:
//			fmt.Println("Connection with peer", connection.RemoteAddress(), "closed")
//		case sockets.EventError:
//			fmt.Println(err)
//		}
//	}
//
// These are all the events:
//
//	who         event         when
//	Connection  EventMessage  a message arrived
//	            EventError    something broke: EventClose follows
//	            EventClose    it is over, whoever ended it: exactly once, last
//	Server      EventListen   it accepts from now on: first
//	            EventConnect  it accepted a connection
//	            EventError    something went wrong: it goes on if it can
//	            EventStop     it accepts no more: last
//
// This is the contract of the callbacks, [ConnectionCallback] and
// [ServerCallback], and as far as it concerns datagrams also [MessageCallback]:
//
//   - One connection, server or peer calls its callback once at a time. Those of
//     two connections may run at the same time.
//   - The messages of a connection come in the order sent.
//   - An end that someone asked for, Close here or an orderly end there, is not
//     an error.
//   - A callback may call every method of what it is told about, also Close. It
//     must not wait for Done, nor call [Server.Shutdown]: it would wait for
//     itself.
//   - A slow callback slows down the sender over TCP, and loses datagrams over
//     UDP. In a server's callback, Close of a connection holds up accepting: call
//     it in a goroutine, go connection.Close().
//   - A callback may be given later, with SetCallback, once. Until then nothing is
//     read, so that not even the end is noticed: a server gives each connection a
//     callback, calls Receive, or closes it. A connection that was accepted gets its own in the server's callback,
//     and from then on the two may run at the same time.
//   - A panic in a callback ends the program, as any panic does.
//
// Less formally: one thing at a time, messages in order, the end last. Be quick.
//
// Quick means above all not to wait for the other end. Here both ends answer
// each message in the callback:
//
//	func onMessage(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
//		if event == sockets.EventMessage {
//			connection.Send(payload) // waits as long as there is no room
//		}
//	}
//
// A callback runs on the goroutine that reads: while it is in Send, this end
// does not read. The systems keep what is sent and not read, up to a limit. Once
// there are more messages under way than fit, both ends wait, each for the other
// one to read:
//
//	    Alice                                                Bob
//	+------------+                                     +------------+
//	|  callback  |                                     |  callback  |
//	|            |                                     |            |
//	|  Send  ----+--->  [ full: Bob does not read ]    |            |
//	|  waits     |                                     |            |
//	|            |    [ full: Alice does not read ]  <-+----  Send  |
//	|            |                                     |     waits  |
//	+------------+                                     +------------+
//
// It is the deadlock of echo attempt 1, examples/tcpechowrong, whose client
// reads nothing before it has sent everything. After [Config.SendTimeout]
// without one byte taken, the connection ends with an error that asks the right
// question:
//
//	sockets: the other end took nothing for 1m0s: does it read, or do both ends send from their callbacks? ...
//
// The way out is that of attempt 2: never stop reading to send. Let another
// goroutine send, or call [SendAll], which queues the message and does not wait:
//
//	sockets.SendAll(payload, connection)
//
// SendAll is also how one message goes to many connections. Each has a queue of
// its own, so that one that does not read does not delay the others. When its
// queue is full, it is closed with [ErrSlow]: a stream has no gaps, so who cannot
// keep up is disconnected, never skipped.
//
// Behind the callbacks are goroutines. These are all that this package starts:
//
//   - An AsyncPeer with a callback has one, which receives. It ends with Close,
//     and [AsyncPeer.Done] tells when.
//   - A Connection with a callback has one, which receives; after a silence,
//     another in its place. It ends with the connection, and [Connection.Done]
//     tells when.
//   - A Connection to which SendAll sends, or Send in a burst, has one as long as
//     something is gathered to be written. Close waits for it.
//   - A Connection that cannot send any more, because a write failed, has one for
//     as long as something may still be received: CloseTimeout at most.
//   - A Server with a callback has one, which accepts. It ends with Close, and
//     [Server.Done] tells when. Where connections begin with a handshake, each
//     handshake has one while it lasts, and Done waits for these too.
//   - Shutdown has one for each connection that it closes, and one for the stop
//     event. It waits for them.
//   - A timeout or a context that ends runs one for a moment.
//
// A Peer has none, nor has a Connection without a callback to receive: Receive
// runs where it is called.
//
// A payload is the callback's own: it may keep it and change it. Short ones lie
// side by side in pieces of 4 KiB, so who keeps one of 10 bytes keeps up to 4 KiB
// from being freed. With [Config.LendPayloads] nothing is copied: the payload is
// good until the callback returns, and then its memory serves again, for any
// connection or peer of the program.
//
// A Peer takes many datagrams at once where the system can, and gives them out
// one by one. What it took and did not give out when Close is called is lost, as
// is what the system still held.
//
// # Half-close and closing
//
// The two streams of a connection end one by one. [Connection.CloseWrite], the
// slides' shutdown(SHUT_WR), ends the stream from here to there: the other end
// reads what was sent, and then io.EOF. The stream from there to here goes on:
//
//	client.Send([]byte("2"))
//	client.Send([]byte("3"))
//	client.CloseWrite() // no more numbers: what is their sum?
//	sum, err := client.Receive(ctx)
//
// A server that receives up to io.EOF can still send the sum. With a callback
// that is not so: the end of the other end is then the end of the connection.
// What was sent before leaves, and EventClose comes.
//
// [Connection.Close] says goodbye. It lets the Sends under way finish, ends this
// end's stream, then waits for the end of the other one. What still arrives it
// throws away: a socket that is closed while something in it is unread does not
// say goodbye but breaks the connection, with a reset, and what it had sent before
// may be lost on the other side. So when Close of an open connection returns nil,
// a peer that reads gets everything that Send accepted, and the program may exit.
//
// The other end may never answer: after [Config.CloseTimeout] Close gives up and
// returns an error that is [os.ErrDeadlineExceeded]. [Connection.CloseNow] does
// not wait at all. Closing twice is not an error, and does nothing.
//
// Why a connection ended is [Connection.Err]: nil as long as it is open, then
// [net.ErrClosed] if this end closed it, [io.EOF] if the other end ended first,
// or what broke.
//
// [Server.Close] stops accepting; the connections live on. [Server.Shutdown]
// also closes them, side by side, and returns when the last callback has.
//
// # Timeouts
//
// A call that waits for someone else takes a [context.Context] that says how
// long. [context.Background] is the one without a limit: None in Python. This
// one has a limit:
//
//	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
//	defer cancel()
//	message, err := connection.Receive(ctx)
//	if errors.Is(err, context.DeadlineExceeded) {
//		fmt.Println("No message in 5 seconds")
//	}
//
// A Receive that is cut short loses nothing. If half a message was there, the
// next Receive gets the whole.
//
// Send takes no context: a message that is cut off in its middle spoils the
// stream, so that a limit on sending is one on the connection. Such limits are in
// a [Config], and so are those of what no call waits for:
//
//	field             limits                                       if zero
//	DialTimeout       connecting, and looking up a name            10 s
//	HandshakeTimeout  agreeing on keys, where the network does so  5 s
//	FrameTimeout      a message that has begun to arrive           30 s
//	SendTimeout       waiting for the other end to take one byte   60 s
//	IdleTimeout       waiting for a message to begin               none
//	CloseTimeout      the goodbye of Close                         3 s
//
// A negative value means none. A Config has the same constructors as the package,
// as methods:
//
//	config := sockets.Config{SendTimeout: 5 * time.Second}
//	client, err := config.Dial(ctx, "localhost:8080", nil)
//
// # Addresses
//
// An address goes in as text and comes out as a value. The text may be:
//
//	localhost:8080   137.204.0.1:8080   [::1]:8080   a host and a port
//	8080   :8080                                     a port, of this machine
//
// The value, [Address], can be compared with == and be the key of a map. The
// slides' pair is address.Addr(), the IP address, and address.Port().
//
// localhost is a name. Names are looked up once, where the text is read: by
// [ResolveAddress], by NewPeer for itself and its peers, by Dial and by Listen.
// A name may stand for several addresses, of IPv4 and of IPv6. ResolveAddress and
// NewPeer take the first of IPv4, Dial tries them all.
//
// 0.0.0.0 and [::] mean every address of this machine. That is a place to bind
// to, not to send to: where they are given as a destination, they mean this
// machine. What a socket that is bound to them can be reached by, from other
// machines, is in [LocalIPs].
//
// A server sees the client's end of each connection, whose port the client's
// system chose. It is not a port on which the client accepts.
//
// # Errors
//
// Go has no exceptions. A call that can fail returns an error beside its
// result, which is nil if all went well:
//
//	client, err := sockets.Dial(ctx, "localhost:8080", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// An error prints as a sentence. To tell errors apart, do not compare sentences:
// ask [errors.Is].
//
//	if errors.Is(err, ...)    then
//	net.ErrClosed             this end was closed before
//	io.EOF                    the other end ended, after a whole message
//	io.ErrUnexpectedEOF       the other end ended, in the middle of one
//	context.DeadlineExceeded  the context given to Receive timed out
//	context.Canceled          the context given to Receive or Dial was cancelled
//	os.ErrDeadlineExceeded    a timeout: of Dial, also of its context, or one in the
//	                          Config, whose field the sentence names
//	syscall.ECONNREFUSED      Dial: no program accepts connections there
//	syscall.EADDRINUSE        NewPeer, Listen: another program has the port
//	ErrMessageTooBig          the message is longer than the limit
//	ErrCallbackSet            Receive, where a callback receives
//	ErrSlow                   SendAll, or Send over package reliable: the other end
//	                          does not keep up
//	ErrTooManyConnections     a server's EventError: it turned a connection away
//	ErrPeerUnreachable        a peer is gone, where the network can tell
//
// A name that nobody knows is an error of type *[net.DNSError]:
//
//	var unknown *net.DNSError
//	if errors.As(err, &unknown) {
//		fmt.Println("There is no host of this name:", unknown.Name)
//	}
//
// The errors of Dial and of handshakes are printable, whatever the other end says
// there of itself.
//
// The errors of [Peer.SendAll] and [SendAll] are joined, one for each peer that
// failed; errors.Is finds each of them.
//
// An AsyncPeer receives where nobody waits for an error. What it learns about one
// peer goes to [Config.PeerError], and why it receives no more to
// [Config.Logger].
//
// A mistake of the program itself panics: a second SetCallback, a prefix of 3
// bytes.
//
// # From Python to Go
//
//	Python                                    Go
//
//	datagram sockets
//	socket(AF_INET, SOCK_DGRAM), bind         peer, err := sockets.NewPeer("8080", nil)
//	bind(('0.0.0.0', 0))                      sockets.NewPeer("0", nil)
//	getsockname()                             peer.LocalAddress()
//	sendto(data, recipient)                   err := peer.Send(data, recipient)
//	recvfrom(1024)                            payload, sender, err := peer.Receive(ctx)
//	close()                                   peer.Close()
//	Peer(port, peers)                         sockets.NewPeer(":8080", peers)
//	peer.send_all(text)                       peer.SendAll([]byte(text))
//	peer.peers                                peer.Peers(), peer.Add(a), peer.Remove(a)
//	AsyncPeer(port, peers, callback)          sockets.NewAsyncPeer(":8080", peers, callback)
//
//	stream sockets
//	socket(AF_INET, SOCK_STREAM), connect     client, err := sockets.Dial(ctx, "host:8080", nil)
//	socket(AF_INET, SOCK_STREAM), bind,
//	listen(5)                                 server, err := sockets.Listen("8080", callback)
//	                                          (how many wait to be accepted: the system's limit)
//	accept()                                  EventConnect, in callback
//	len(message).to_bytes(4, 'big'),
//	sendall(prefix + message)                 err := connection.Send(message)
//	recv(4), int.from_bytes, recv(length)     message, err := connection.Receive(ctx)
//	recv(n) == b''                            err == io.EOF
//	shutdown(SHUT_WR)                         connection.CloseWrite()
//	shutdown(SHUT_RD)                         nothing: it tells the other end nothing
//	close()                                   connection.Close()
//	Client(address, callback)                 sockets.Dial(ctx, address, callback)
//	Server(port, callback)                    sockets.Listen(":8080", callback)
//	connection.callback = f                   connection.SetCallback(f)
//	connection.remote_address                 connection.RemoteAddress()
//	case 'message':                           case sockets.EventMessage:
//
//	bare streams: package net
//	connect(address)                          conn, err := net.Dial("tcp", "host:8080")
//	bind, listen(1)                           listener, err := net.Listen("tcp", ":8080")
//	accept()                                  conn, err := listener.Accept()
//	sendall(data)                             n, err := conn.Write(data)
//	recv(1024)                                n, err := conn.Read(buffer)
//	n.to_bytes(4, 'big')                      binary.BigEndian.AppendUint32(nil, n)
//	int.from_bytes(data, 'big')               binary.BigEndian.Uint32(data)
//
//	timeouts
//	settimeout(5)                             ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
//	                                          for Dial and Receive; for Send, a Config:
//	                                          Config{SendTimeout: 5 * time.Second}
//	settimeout(None)                          context.Background()
//	socket.setdefaulttimeout(5)               a Config of your own, used for every socket
//
//	errors
//	try: ... except ...                       if err != nil { ... }
//	ConnectionRefusedError                    errors.Is(err, syscall.ECONNREFUSED)
//	TimeoutError, of connect                  errors.Is(err, os.ErrDeadlineExceeded)
//	TimeoutError, of recv                     errors.Is(err, context.DeadlineExceeded)
//	OSError, after close()                    errors.Is(err, net.ErrClosed)
//	socket.gaierror                           errors.As(err, &unknown), a *net.DNSError
//	assert port in range(0, 65536)            the error of ResolveAddress
//	EOFError, KeyboardInterrupt               the end of console.Lines()
//
//	the rest
//	text.encode()                             []byte(text)
//	data.decode()                             string(data)
//	b'Hello' + bytes([33])                    append([]byte("Hello"), 33)
//	len(text.encode())                        len(text): Go counts bytes
//	threading.Thread(target=f).start()        go f()
//	lambda message, _: print(message)         func(payload []byte, _ sockets.Address) { ... }
//	with socket(...) as s:                    defer peer.Close()
//	input('> ')                               line, err := console.Input("> ")
//	while True: content = input()             for content := range console.Lines() { ... }
//	sys.argv[1], sys.argv[2:]                 os.Args[1], os.Args[2:]
//	address('localhost:8080')                 sockets.ResolveAddress(ctx, "localhost:8080")
//	local_ips()                               sockets.LocalIPs()
//	message(text, sender)                     sockets.NewMessage(text, sender)
//	message.endswith(EXIT_MESSAGE)            sockets.IsExit(payload)
//
//	programs
//	python -m snippets -l 2 -e 1              go run ./examples/udpchatwrong
//	python -m snippets -l 2 -e 2              go run ./examples/udpchat
//	python -m snippets -l 2 -e 3              go run ./examples/udpstreamer
//	python -m snippets -l 2 -e 4              go run ./examples/udpchatgraceful
//	python -m snippets -l 3 -e 1              go run ./examples/tcpechowrong
//	python -m snippets -l 3 -e 2              go run ./examples/tcpecho
//	python -m snippets -l 3 -e 3              go run ./examples/tcpchat
//	python rand.py                            go run ./examples/rand
//	the exercise                              go run ./examples/tcpgroupchat
//
// There is nothing for SHUT_RD because TCP has nothing for it. The end of a
// stream is something that travels to the other end; that nobody will read is
// not. An end that wants no more closes, and an end that wants to say so says it
// in a message.
//
// Package console, [github.com/seed287501ae/sockets/console], is the keyboard
// and the screen of the chats.
//
// # Berkeley sockets in Go
//
// The socket calls of Unix are older than Go and Python, and both have them
// beneath. In Go they are in package net, which this package stands on:
//
//	Unix                      package net                   here
//	socket, bind              net.ListenPacket              NewPeer
//	sendto, recvfrom          WriteTo, ReadFrom             Peer.Send, Peer.Receive
//	socket, bind, listen      net.Listen                    Listen
//	accept                    Accept                        EventConnect
//	socket, connect           net.Dial                      Dial
//	send, recv                Write, Read                   Connection.Send, Receive
//	shutdown                  CloseWrite, CloseRead         CloseWrite, nothing
//	close                     Close                         Close, CloseNow
//	getsockname, getpeername  LocalAddr, RemoteAddr         LocalAddress, RemoteAddress
//	getaddrinfo               net.Resolver                  ResolveAddress
//	setsockopt                methods such as SetNoDelay    those of Connection.NetConn
//	select, poll              nothing: goroutines           nothing: goroutines
//
// What package net does with a socket that the slides do by hand, or do not tell:
//
//   - To the system, every socket is non-blocking. A goroutine that has to wait
//     is put aside, and the runtime asks the system for all of them at once which
//     may go on (with epoll on Linux, kqueue on macOS and the BSDs, completion
//     ports on Windows). So a goroutine that waits for a socket holds no thread,
//     and a Go program needs no select.
//   - A call that a signal interrupts (EINTR) is repeated.
//   - A write to a connection that is gone is an error. It does not end the
//     program by the signal SIGPIPE.
//   - Sockets are not inherited by programs that the program starts.
//   - SO_REUSEADDR is set for stream sockets that listen, on Unix: a server can be
//     started again at once. On Windows it is not set: there it would let a
//     program take a port that another one uses.
//   - SO_BROADCAST, the right to broadcast, is set for datagram sockets, but on
//     Windows for those of IPv4 only. There, bind to an IPv4 address to broadcast.
//   - The backlog of listen is the largest that the system allows: on Linux
//     /proc/sys/net/core/somaxconn. A program cannot choose it.
//   - A socket that is bound to no address, or to 0.0.0.0, is one of IPv6 that
//     serves IPv4 too. Where that cannot be (OpenBSD, DragonFly BSD, a machine
//     without IPv6) it is one of IPv4.
//   - TCP_NODELAY is set: a small write leaves at once, and does not wait for more.
//     This package writes a prefix and its message together.
//   - TCP keep-alive is on. When nothing has arrived for 15 seconds, the system
//     asks the other end every 15 seconds whether it is still there, and after 9
//     questions without an answer the connection is over. (Some systems have
//     figures of their own.)
//   - Dial tries the addresses of a name one after the other. If they are of IPv4
//     and of IPv6, it tries the two kinds side by side, the second one 300 ms later,
//     and takes what connects first.
//   - On Windows, a datagram that nobody took does not make the next receive fail.
//
// # Where the slides simplify
//
//   - "The upper bound is 64 KiB, i.e. 2^16 - 1 bytes." A datagram carries 65,507
//     bytes over IPv4: the 65,535 include the headers, 20 bytes of IPv4 and 8 of UDP.
//   - "sock.recv(length): read the exact amount of bytes." recv(n) may return
//     fewer: it waits for some data, not for all. One needs a loop, in Go
//     [io.ReadFull], or a Connection.
//   - "length = len(message)." For text, Python counts characters. The length must
//     count bytes: "ciao à tutti" has 12 characters and 13 bytes. In Go, len of
//     a string counts bytes.
//   - "shutdown(SHUT_RD): signal to the remote." It tells the other end nothing.
//   - "Refused connections will receive a ConnectionRefusedError." When the backlog
//     is full, Linux does not refuse: it ignores who connects, who tries again and
//     at last times out.
//   - "listen(1): only one connection at a time." The backlog counts connections
//     that wait to be accepted. Any number may be open.
//   - "Listening on port {address[0]}." address[0] is the IP address, the port is
//     address[1].
//   - The slides do not set the right to broadcast, nor SO_REUSEADDR, and they
//     choose the backlog. In Go the first two are set already, and the third
//     cannot be chosen: see the section before.
//
// # Promises
//
// A socket is open to strangers. This is what the package promises whatever they
// send:
//
//   - Of what one end of a stream sends, the other gets whole messages, in order,
//     without a gap and none twice, from the first one on: all of them, or up to
//     where the connection ended. If nobody asked for that end, an error says why.
//   - No input from another end can make the program panic, make its memory grow
//     beyond the limits of [Config], or stop the service to others.
//   - Every method may be called from many goroutines at once, but those of a
//     Framer, which one goroutine reads and one writes.
//   - [SendAll] and [Peer.SendAll] reach the others whichever one fails.
//   - Bytes are carried unchanged. To show them is safe by [Printable].
//   - Plain UDP and TCP promise nothing about who is speaking. With the layer
//     [github.com/seed287501ae/sockets/secure], only keys that are known are heard;
//     what comes from them is unaltered, and not a recording.
//
// SECURITY.md in the repository tells how far each goes and what none of them
// covers, and lists everything that a stranger can make grow, with its bound.
//
// # Beyond the course
//
// Everything above goes to the network through one interface of three methods,
// [Network]. [System] is the one of the operating system, which is used if
// nothing else is said. Another one may stand in its place, in [Config.Network]:
// a network that exists in a test only, or a layer, which is a Network that wraps
// another one and adds something, as protocols do that are stacked on each
// other. A Peer or a Connection does not notice what is beneath it.
//
// Package [github.com/seed287501ae/sockets/simnet] is a network in memory whose
// links lose, duplicate, reorder and delay, for tests in which an hour takes a
// moment; its Impair does the same to a real network. The layer
// [github.com/seed287501ae/sockets/reliable] makes datagrams arrive exactly once
// and in order over either:
//
//	cfg := sockets.Config{Network: reliable.Over(sockets.System)}
//	peer, err := cfg.NewPeer("8080", nil)
//
// And the layer [github.com/seed287501ae/sockets/secure] answers what the slides
// leave open: who is speaking. Each participant has a pair of keys, and a list of
// the keys of those that it knows:
//
//	identity, err := secure.OpenIdentity("alice.key", "alice")
//	known, err := secure.LoadKnownPeers("alice.known")
//	cfg := sockets.Config{Network: secure.Over(sockets.System, identity, known)}
//	server, err := cfg.Listen("8080", callback)
package sockets
