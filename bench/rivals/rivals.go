// Package rivals holds the contestants of the comparison: servers and clients
// that do the same with different libraries, each in its fastest documented way
// of sending one message per call.
package rivals

import (
	"context"
	"fmt"
	"net"
)

// A Kind is what the server does with a message.
type Kind string

const (
	Echo     Kind = "echo"     // sends it back
	PingPong Kind = "pingpong" // the same, one message at a time over one connection
	Idle     Kind = "idle"     // the same, one message per connection, and then silence
	Stream   Kind = "stream"   // counts and verifies it
	Group    Kind = "group"    // the first of a connection is its joining, sent back; later ones go to all who joined
)

// A Load is what the client does.
type Load struct {
	Kind        Kind
	Connections int
	Window      int // messages per connection that may be under way
	Size        int // bytes of a message
}

// A Rival is one contestant. What a function needs from it, it has:
// contestants that cannot carry a kind of load have an error for it.
type Rival struct {
	Name string

	// Serve serves l until it is closed.
	Serve func(l net.Listener, kind Kind, s *Stats) error

	// Listens is set where Serve listens itself, at the address of l, which has
	// been closed.
	Listens bool

	// Dial connects a client.
	Dial func(ctx context.Context, address string, kind Kind) (Link, error)

	// Load does a load until ctx ends; then it returns nil, and all that it sent
	// has left. If nil, [Exchange] does, with Dial.
	Load func(ctx context.Context, address string, load Load, s *Stats) error
}

var all = make(map[string]Rival)

// register is called by the file of each contestant.
func register(r Rival) { all[r.Name] = r }

// Named returns the contestant of that name.
func Named(name string) (Rival, error) {
	r, ok := all[name]
	if !ok {
		return r, fmt.Errorf("there is no contestant %q", name)
	}
	if r.Load == nil {
		r.Load = func(ctx context.Context, address string, load Load, s *Stats) error {
			return Exchange(ctx, r.Dial, address, load, s)
		}
	}
	return r, nil
}
