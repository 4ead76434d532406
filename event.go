package sockets

// An Event is what a callback is told about: a constant with the slides' name.
type Event string

const (
	EventMessage Event = "message" // a connection received a message
	EventClose   Event = "close"   // a connection is over: the last event, exactly once
	EventError   Event = "error"   // something failed; of a connection, its end follows
	EventListen  Event = "listen"  // a server accepts connections from now on: its first event
	EventConnect Event = "connect" // a server accepted a connection
	EventStop    Event = "stop"    // a server accepts no more: its last event
)

// A ConnectionCallback is told what happens to a connection, one event at a
// time: a payload with [EventMessage], an error with [EventError], neither with
// [EventClose]. The payload belongs to the callback, unless
// [Config.LendPayloads] is set.
type ConnectionCallback func(event Event, payload []byte, connection *Connection, err error)

// A ServerCallback is told what happens to a server, one event at a time. With
// [EventListen] and [EventStop] address is the server's own, with
// [EventConnect] it is that of the other end of connection, with [EventError]
// the one that the error concerns, if any.
type ServerCallback func(event Event, connection *Connection, address Address, err error)

// A MessageCallback is told each datagram that an [AsyncPeer] receives, one at
// a time. The payload belongs to the callback, unless [Config.LendPayloads] is
// set.
type MessageCallback func(payload []byte, sender Address)
