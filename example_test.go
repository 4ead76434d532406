package sockets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing/iotest"
	"time"

	"github.com/seed287501ae/sockets"
)

// Alice and Bob of the slides, without their keyboards.
func Example() {
	ctx := context.Background()
	alice, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	bob, err := sockets.NewPeer("127.0.0.1:0", []string{alice.LocalAddress().String()})
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()

	bob.SendAll([]byte("Hello Alice!"))
	payload, _, _ := alice.Receive(ctx) // from here on Alice knows Bob
	fmt.Println("Bob says:", string(payload))

	alice.SendAll([]byte("Hello Bob, how are you?"))
	payload, _, _ = bob.Receive(ctx)
	fmt.Println("Alice says:", string(payload))

	// Output:
	// Bob says: Hello Alice!
	// Alice says: Hello Bob, how are you?
}

// Sockets carry bytes: what encode and decode are in Python are conversions in
// Go.
func Example_encodeAndDecode() {
	data := []byte("Hello, world")
	data = append(data, 33) // byte 33 is '!'
	fmt.Println(string(data))

	text := "ciao à tutti" // 12 characters
	fmt.Println(len(text), "bytes")

	// Output:
	// Hello, world!
	// 13 bytes
}

// The slides' stream of bare bytes: one end sends and says that no more will
// come, the other one receives up to there, into a buffer of a fixed size.
func Example_byteStream() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	sock, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer sock.Close()
	sock.Write([]byte("My very important payload")) // as sendall
	sock.(*net.TCPConn).CloseWrite()                // as shutdown(SHUT_WR)

	clientSock, err := server.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer clientSock.Close()
	buffer := make([]byte, 4096)
	for total := 0; ; {
		n, err := clientSock.Read(buffer) // as recv: 1 to 4096 bytes
		total += n
		if err == io.EOF {
			fmt.Println("The remote is over with the data:", total, "bytes")
			break
		}
		if err != nil {
			log.Fatal(err)
		}
	}

	// Output:
	// The remote is over with the data: 25 bytes
}

// A stranger may send anything. Here it is what a web browser sends: its first
// four bytes would announce a message of more than a gigabyte.
func Example_goldenRule() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	browser, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer browser.Close()
	browser.Write([]byte("GET / HTTP/1.1\r\n\r\n"))

	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	connection := sockets.NewConnection(conn, nil)
	_, err = connection.Receive(context.Background())
	fmt.Println(errors.Is(err, sockets.ErrMessageTooBig))
	fmt.Println(err)

	// Output:
	// true
	// sockets: message too big: 1195725856 bytes are announced, MaxMessage is 1048576 (the length spells "GET ": is the other end an HTTP client?)
}

func ExampleAddress() {
	ctx := context.Background()
	a, err := sockets.ResolveAddress(ctx, "localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	b, err := sockets.ResolveAddress(ctx, "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("IP", a.Addr(), "port", a.Port())
	fmt.Println(a == b)

	names := map[sockets.Address]string{a: "Alice"}
	fmt.Println(names[b])

	// Output:
	// IP 127.0.0.1 port 8080
	// true
	// Alice
}

func ExampleResolveAddress() {
	for _, s := range []string{"localhost:8080", "127.0.0.1:8080", "8080", "localhost:65536"} {
		address, err := sockets.ResolveAddress(context.Background(), s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(address)
	}

	// Output:
	// 127.0.0.1:8080
	// 127.0.0.1:8080
	// 0.0.0.0:8080
	// sockets: address "localhost:65536": "65536" is not a port: ports are the numbers 0-65535
}

func ExampleLocalIPs() {
	ips, err := sockets.LocalIPs()
	if err != nil {
		log.Fatal(err)
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	fmt.Println(slices.Contains(ips, loopback))

	// Output:
	// true
}

func ExampleMessage() {
	message := sockets.Message{
		Sender:    "Alice",
		Text:      "Hello, World!",
		Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local),
	}
	fmt.Println(message)

	// Output:
	// [2024-02-03T12:15:00] Alice:
	// 	Hello, World!
}

func ExampleNewMessage() {
	message := sockets.NewMessage("Hello, World!", "Alice")
	fmt.Println(message.Sender, "says", message.Text)
	fmt.Println(time.Since(message.Timestamp) < time.Hour)

	// Output:
	// Alice says Hello, World!
	// true
}

func ExampleParseMessage() {
	payload := []byte("[2024-10-03T15:00:22.175104] Bob:\n\tHello Alice!")
	message, err := sockets.ParseMessage(payload)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(message.Sender)
	fmt.Println(message.Text)
	fmt.Println(message.Timestamp.Format(time.TimeOnly))

	// Output:
	// Bob
	// Hello Alice!
	// 15:00:22
}

func ExampleIsExit() {
	goodbye := sockets.NewMessage(sockets.ExitMessage, "Bob")
	fmt.Println(sockets.IsExit(goodbye.Bytes()))

	gossip := sockets.NewMessage("To leave, Bob wrote <LEAVES THE CHAT>", "Alice")
	fmt.Println(sockets.IsExit(gossip.Bytes()))

	// Output:
	// true
	// false
}

func ExamplePrintable() {
	payload := []byte("\x1b[2JHello\n[2024-02-03T12:15:00] Alice:\n\tI owe you 100 euros")
	fmt.Println(sockets.Printable(payload))

	// Output:
	// \u{1b}[2JHello
	// 	[2024-02-03T12:15:00] Alice:
	// 	I owe you 100 euros
}

func ExampleNewPeer() {
	peer, err := sockets.NewPeer("127.0.0.1:0", nil) // port 0: any that is free
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()
	fmt.Println("Bound to IP", peer.LocalAddress().Addr())
	fmt.Println("Bound to a port:", peer.LocalAddress().Port() > 0)

	// Output:
	// Bound to IP 127.0.0.1
	// Bound to a port: true
}

func ExamplePeer() {
	ctx := context.Background()
	alice, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	bob, err := sockets.NewPeer("127.0.0.1:0", []string{alice.LocalAddress().String()})
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()

	fmt.Println("Alice knows", len(alice.Peers()), "peers, Bob knows", len(bob.Peers()))
	bob.SendAll([]byte("Hello Alice!"))
	alice.Receive(ctx)
	fmt.Println("Alice knows Bob:", slices.Contains(alice.Peers(), bob.LocalAddress()))

	// Output:
	// Alice knows 0 peers, Bob knows 1
	// Alice knows Bob: true
}

// As sendto and recvfrom.
func ExamplePeer_Send() {
	sender, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	receiver, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()

	recipient := receiver.LocalAddress()
	if err := sender.Send([]byte("Hello, world!"), recipient); err != nil {
		log.Fatal(err)
	}
	payload, from, err := receiver.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Received: %q from the sender: %v\n", payload, from == sender.LocalAddress())

	err = sender.Send(make([]byte, 65508), recipient)
	fmt.Println(err)

	// Output:
	// Received: "Hello, world!" from the sender: true
	// sockets: message too big: 65508 bytes, a datagram carries 65507
}

func ExamplePeer_SendAll() {
	ctx := context.Background()
	var students []*sockets.Peer
	var addresses []string
	for range 3 {
		student, err := sockets.NewPeer("127.0.0.1:0", nil)
		if err != nil {
			log.Fatal(err)
		}
		defer student.Close()
		students = append(students, student)
		addresses = append(addresses, student.LocalAddress().String())
	}
	teacher, err := sockets.NewPeer("127.0.0.1:0", addresses)
	if err != nil {
		log.Fatal(err)
	}
	defer teacher.Close()

	teacher.SendAll([]byte("Good morning!"))
	for _, student := range students {
		payload, _, _ := student.Receive(ctx)
		fmt.Println(string(payload))
	}

	// Output:
	// Good morning!
	// Good morning!
	// Good morning!
}

// As settimeout: a context that ends.
func ExamplePeer_Receive_timeout() {
	peer, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, _, err = peer.Receive(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("No datagram in a millisecond")
	}

	// Output:
	// No datagram in a millisecond
}

func ExamplePeer_Remove() {
	ctx := context.Background()
	alice, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	bob, err := sockets.NewPeer("127.0.0.1:0", []string{alice.LocalAddress().String()})
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()

	bob.SendAll(sockets.NewMessage("Hello Alice!", "Bob").Bytes())
	bob.SendAll(sockets.NewMessage(sockets.ExitMessage, "Bob").Bytes())
	for range 2 {
		payload, sender, _ := alice.Receive(ctx)
		if sockets.IsExit(payload) {
			alice.Remove(sender)
		}
		fmt.Println("Alice knows", len(alice.Peers()), "peers")
	}

	// Output:
	// Alice knows 1 peers
	// Alice knows 0 peers
}

func ExamplePeer_Close() {
	peer, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	peer.Close()

	err = peer.Send([]byte("Hello, world!"), peer.LocalAddress())
	fmt.Println("Send:", errors.Is(err, net.ErrClosed))
	_, _, err = peer.Receive(context.Background())
	fmt.Println("Receive:", errors.Is(err, net.ErrClosed))

	// Output:
	// Send: true
	// Receive: true
}

func ExampleAsyncPeer() {
	received := make(chan string)
	alice, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, func(payload []byte, sender sockets.Address) {
		received <- string(payload)
	})
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	bob, err := sockets.NewPeer("127.0.0.1:0", []string{alice.LocalAddress().String()})
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()

	bob.SendAll([]byte("Hello Alice!"))
	fmt.Println(<-received)

	// Output:
	// Hello Alice!
}

// A callback that mentions the peer comes after it.
func ExampleAsyncPeer_SetCallback() {
	echo, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	echo.SetCallback(func(payload []byte, sender sockets.Address) {
		echo.Send(payload, sender)
	})
	peer, err := sockets.NewPeer("127.0.0.1:0", []string{echo.LocalAddress().String()})
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	peer.SendAll([]byte("Is there anybody?"))
	payload, _, _ := peer.Receive(context.Background())
	fmt.Println(string(payload))

	echo.Close()
	<-echo.Done() // no callback runs any more

	// Output:
	// Is there anybody?
}

func ExampleMessageCallback() {
	done := make(chan struct{})
	var callback sockets.MessageCallback = func(payload []byte, sender sockets.Address) {
		message, err := sockets.ParseMessage(payload)
		if err != nil {
			fmt.Println("not a chat message")
			return
		}
		fmt.Println(message.Sender, "says", message.Text)
		close(done)
	}
	alice, err := sockets.NewAsyncPeer("127.0.0.1:0", nil, callback)
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	bob, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()

	bob.Send(sockets.NewMessage("Hello Alice!", "Bob").Bytes(), alice.LocalAddress())
	<-done

	// Output:
	// Bob says Hello Alice!
}

// The slides' three messages: how they travel, and how they arrive.
func ExampleFramer() {
	var stream bytes.Buffer // stands for a connection
	framer := sockets.NewFramer(&stream, 4)
	for _, message := range []string{
		"The user pressed UP and RIGHT",
		"The user released RIGHT, and pressed LEFT",
		"The user released LEFT",
	} {
		framer.WriteMessage([]byte(message))
	}
	fmt.Printf("% x\n", stream.Bytes()[:4]) // 29, the length of the first one
	fmt.Printf("%q\n", stream.Bytes()[:33])

	for message, err := range framer.Messages() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("Use received message %q to do something\n", message)
	}

	// Output:
	// 00 00 00 1d
	// "\x00\x00\x00\x1dThe user pressed UP and RIGHT"
	// Use received message "The user pressed UP and RIGHT" to do something
	// Use received message "The user released RIGHT, and pressed LEFT" to do something
	// Use received message "The user released LEFT" to do something
}

// However the stream is cut, a message arrives whole; here each read of the
// stream gives one byte.
func ExampleFramer_ReadMessage() {
	stream := iotest.OneByteReader(strings.NewReader("\x00\x00\x00\x05Hello\x00\x00\x00\x05Hel"))
	framer := sockets.NewFramer(struct {
		io.Reader
		io.Writer
	}{stream, nil}, 4)

	message, err := framer.ReadMessage()
	fmt.Printf("%q %v\n", message, err)
	message, err = framer.ReadMessage()
	fmt.Printf("%q %v\n", message, err)

	// Output:
	// "Hello" <nil>
	// "" unexpected EOF
}

// What a server and its connection tell, and in which order.
func ExampleEvent() {
	over := make(chan struct{})
	onMessage := func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
		fmt.Printf("connection: %s %q\n", event, payload)
		if event == sockets.EventClose {
			close(over)
		}
	}
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		fmt.Println("server:", event)
		if event == sockets.EventConnect {
			connection.SetCallback(onMessage)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	client, err := sockets.Dial(context.Background(), server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Send([]byte("Hello"))
	client.Send([]byte("Goodbye"))
	client.Close()
	<-over
	server.Close()
	<-server.Done()

	// Output:
	// server: listen
	// server: connect
	// connection: message "Hello"
	// connection: message "Goodbye"
	// connection: close ""
	// server: stop
}

// The callback of the slides' chat.
func ExampleConnectionCallback() {
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			connection.Send([]byte("Hello"))
			go connection.Close()
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	var onMessageReceived sockets.ConnectionCallback = func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
		switch event {
		case sockets.EventMessage:
			fmt.Println(string(payload))
		case sockets.EventClose:
			fmt.Println("Connection with peer closed:", connection.Err())
		case sockets.EventError:
			fmt.Println(err)
		}
	}
	client, err := sockets.Dial(context.Background(), server.LocalAddress().String(), onMessageReceived)
	if err != nil {
		log.Fatal(err)
	}
	<-client.Done()
	server.Shutdown(context.Background())

	// Output:
	// Hello
	// Connection with peer closed: EOF
}

// The server's callback of the slides' chat.
func ExampleServerCallback() {
	ctx := context.Background()
	var onNewConnection sockets.ServerCallback = func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		switch event {
		case sockets.EventListen:
			fmt.Println("Server listening at", address.Addr())
		case sockets.EventConnect:
			fmt.Println("Open ingoing connection from:", address.Addr())
			go connection.Close()
		case sockets.EventStop:
			fmt.Println("Stop listening for new connections")
		case sockets.EventError:
			fmt.Println(err)
		}
	}
	server, err := sockets.Listen("127.0.0.1:0", onNewConnection)
	if err != nil {
		log.Fatal(err)
	}
	client, err := sockets.Dial(ctx, server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Receive(ctx) // nothing comes: the server closes
	fmt.Println("Client:", err)
	client.Close()
	server.Shutdown(ctx)

	// Output:
	// Server listening at 127.0.0.1
	// Open ingoing connection from: 127.0.0.1
	// Client: EOF
	// Stop listening for new connections
}

// The slides' listen and accept, one after the other: each accepted connection
// is one event.
func ExampleListen() {
	ctx := context.Background()
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect { // as client_sock, client_address = sock.accept()
			connection.Send([]byte("Welcome"))
			go connection.Close()
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		client, err := sockets.Dial(ctx, server.LocalAddress().String(), nil)
		if err != nil {
			log.Fatal(err)
		}
		message, err := client.Receive(ctx)
		fmt.Println(string(message), err)
		client.Close()
	}
	server.Shutdown(ctx)

	// Output:
	// Welcome <nil>
	// Welcome <nil>
	// Welcome <nil>
}

// A server whose connections have no callback: the program receives.
func ExampleServer() {
	ctx := context.Background()
	accepted := make(chan *sockets.Connection, 1)
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			accepted <- connection
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := sockets.Dial(ctx, server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Send([]byte("Hello"))

	connection := <-accepted
	message, err := connection.Receive(ctx)
	fmt.Println(string(message), err)
	fmt.Println(len(server.Connections()), "connection")

	server.Close() // accepts no more
	connection.Send([]byte("Still here"))
	message, err = client.Receive(ctx)
	fmt.Println(string(message), err)

	client.CloseWrite()
	server.Shutdown(ctx) // closes the connection too
	client.Close()

	// Output:
	// Hello <nil>
	// 1 connection
	// Still here <nil>
}

// The slides' connect, and why it may fail.
func ExampleDial() {
	connect := func(ctx context.Context, address sockets.Address) *sockets.Client {
		client, err := sockets.Dial(ctx, address.String(), nil)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			fmt.Println("The server is reachable but not willing to accept the connection")
		case errors.Is(err, os.ErrDeadlineExceeded):
			fmt.Println("The server is not reachable")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("Connected")
		}
		return client
	}

	server, err := sockets.Listen("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()
	client := connect(ctx, server.LocalAddress())
	defer client.CloseNow()

	connect(ctx, client.LocalAddress()) // at a client's port nobody accepts

	hurry, cancel := context.WithTimeout(ctx, 0) // so little that nothing can answer
	defer cancel()
	connect(hurry, server.LocalAddress())

	// Output:
	// Connected
	// The server is reachable but not willing to accept the connection
	// The server is not reachable
}

func ExampleClient() {
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			connection.SetCallback(func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
				if event == sockets.EventMessage {
					connection.Send(bytes.ToUpper(payload))
				}
			})
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	client, err := sockets.Dial(context.Background(), server.LocalAddress().String(), func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
		if event == sockets.EventMessage {
			fmt.Println(string(payload))
			connection.Close() // also from a callback
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	client.Send([]byte("Hello, server"))
	<-client.Done()
	server.Shutdown(context.Background())

	// Output:
	// HELLO, SERVER
}

// A connection may be made over any that package net has.
func ExampleConnection() {
	ctx := context.Background()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	here, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	there, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	alice := sockets.NewConnection(here, nil)
	bob := sockets.NewConnection(there, nil)

	alice.Send([]byte("The user pressed UP and RIGHT"))
	alice.Send([]byte("")) // an empty message is a message
	alice.Send([]byte("The user released LEFT"))
	alice.CloseWrite() // no more data to send
	for {
		message, err := bob.Receive(ctx)
		if err == io.EOF {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", message)
	}
	bob.Close()
	alice.Close()

	// Output:
	// "The user pressed UP and RIGHT"
	// ""
	// "The user released LEFT"
}

// As settimeout. A Receive that is cut short in the middle of a message loses
// nothing: the next one goes on.
func ExampleConnection_Receive() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	sock, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer sock.Close()
	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	connection := sockets.NewConnection(conn, nil)
	defer connection.CloseNow()

	sock.Write([]byte("\x00\x00\x00\x05Hel"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = connection.Receive(ctx)
	fmt.Println(err)

	sock.Write([]byte("lo"))
	message, err := connection.Receive(context.Background())
	fmt.Println(string(message), err)

	// Output:
	// context deadline exceeded
	// Hello <nil>
}

// The slides' shutdown(SHUT_WR): the client has said everything, and still gets
// the answer.
func ExampleConnection_CloseWrite() {
	ctx := context.Background()
	sumUp := func(connection *sockets.Connection) {
		defer connection.Close()
		sum := 0
		message, err := connection.Receive(ctx)
		for ; err == nil; message, err = connection.Receive(ctx) {
			var n int
			fmt.Sscan(string(message), &n)
			sum += n
		}
		if err == io.EOF {
			connection.Send(fmt.Append(nil, sum))
		}
	}
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			go sumUp(connection)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	client, err := sockets.Dial(ctx, server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Send([]byte("2"))
	client.Send([]byte("3"))
	client.CloseWrite() // no more numbers
	sum, err := client.Receive(ctx)
	fmt.Println("2 + 3 =", string(sum), err)
	client.Close()
	server.Shutdown(ctx)

	// Output:
	// 2 + 3 = 5 <nil>
}

// What a connection says when it is used after it was closed.
func ExampleConnection_Close() {
	ctx := context.Background()
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			go connection.Close()
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := sockets.Dial(ctx, server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Close:", client.Close())

	fmt.Println("Send:", errors.Is(client.Send([]byte("Hello")), net.ErrClosed))
	_, err = client.Receive(ctx)
	fmt.Println("Receive:", errors.Is(err, net.ErrClosed))
	fmt.Println("Err:", errors.Is(client.Err(), net.ErrClosed))
	fmt.Println("Close again:", client.Close())
	server.Shutdown(ctx)

	// Output:
	// Close: <nil>
	// Send: true
	// Receive: true
	// Err: true
	// Close again: <nil>
}

// One message to every connection of a server.
func ExampleSendAll() {
	ctx := context.Background()
	joined := make(chan struct{})
	server, err := sockets.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			joined <- struct{}{}
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	var clients []*sockets.Client
	for range 3 {
		client, err := sockets.Dial(ctx, server.LocalAddress().String(), nil)
		if err != nil {
			log.Fatal(err)
		}
		<-joined
		clients = append(clients, client)
	}

	sockets.SendAll([]byte("Hello, all"), server.Connections()...)
	for _, client := range clients {
		message, err := client.Receive(ctx)
		fmt.Println(string(message), err)
		client.CloseWrite()
	}
	server.Shutdown(ctx)
	for _, client := range clients {
		client.Close()
	}

	// Output:
	// Hello, all <nil>
	// Hello, all <nil>
	// Hello, all <nil>
}

// Both ends speak with a prefix of 2 bytes, as the course's Python lab does, and
// allow messages of at most 5 bytes.
func ExampleConfig() {
	ctx := context.Background()
	config := sockets.Config{Prefix: 2, MaxMessage: 5}
	server, err := config.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, address sockets.Address, err error) {
		if event == sockets.EventConnect {
			connection.Send([]byte("Hello"))
			go connection.Close()
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := config.Dial(ctx, server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	message, err := client.Receive(ctx)
	fmt.Println(string(message), err)
	fmt.Println(client.Send([]byte("Hello, server")))
	client.Close()
	server.Shutdown(ctx)

	// Output:
	// Hello <nil>
	// sockets: message too big: 13 bytes, MaxMessage is 5
}

// A watchedNetwork tells what is asked of the network that it wraps.
type watchedNetwork struct{ base sockets.Network }

func (n watchedNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	fmt.Println("listen", network)
	return n.base.Listen(ctx, network, address)
}

func (n watchedNetwork) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	fmt.Println("bind", network)
	return n.base.ListenPacket(ctx, network, address)
}

func (n watchedNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fmt.Println("connect", network)
	return n.base.DialContext(ctx, network, address)
}

// A Network that wraps another one, System, and is put beneath everything that a
// Config makes.
func ExampleNetwork() {
	config := sockets.Config{Network: watchedNetwork{sockets.System}}

	peer, err := config.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()
	server, err := config.Listen("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client, err := config.Dial(context.Background(), server.LocalAddress().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseNow()

	// Output:
	// bind udp
	// listen tcp
	// connect tcp
}
