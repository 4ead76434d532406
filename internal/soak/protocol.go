package main

import (
	"time"

	"github.com/seed287501ae/sockets"
)

// The parent and a participant exchange lines of JSON: a birth and then orders on
// the participant's standard input, reports on its standard output. The end of
// its input ends a participant.

// A birth is what a participant is told before anything else.
type birth struct {
	Life     string          // its name, and which of its lives, as p7.3
	Seed     uint64          // of its choices
	Address  sockets.Address // for its datagrams, if that is free; port 0: any
	Period   time.Duration   // between two messages to the group
	Every    time.Duration   // between two reports
	Identity string          // the file of its key; empty: no layer secure
}

// An order is the group as it is now, and what to do.
type order struct {
	Peers   []sockets.Address // sockets for datagrams
	Servers []string          // as Dial wants them
	Quiet   bool              // send one message more, and again only if it may not have arrived
	Leave   bool              // close everything, and end
}

// A report is how a participant is.
type report struct {
	Peer, Server sockets.Address // where it is bound

	Goroutines, Descriptors int
	Heap                    uint64 // bytes in use after a garbage collection
	Peers, Connections      int    // that it knows, and that its server has

	Heard    map[string]uint64 // the number of the last message of each life
	Last     uint64            // the number of its own last message
	Unsure   bool              // that one may not have reached everybody
	Messages int               // received from the group
	Streamed int               // received over connections

	Overheard []byte // a datagram that passed here
	Broken    string // the promise that was broken, if one was
}

// Limits that a participant sets and the parent checks.
const (
	maxConnections = 24
	maxStrangers   = 64
)
