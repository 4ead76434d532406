package secure

import (
	"cmp"
	"time"

	"github.com/seed287501ae/sockets"
)

// A Config makes networks that differ from those of [Over]. In every field zero
// means the default given here. It is read when [Config.Over] is called.
type Config struct {
	// Identity is who this end is. It must be set.
	Identity *Identity

	// Known are the peers that are accepted. If nil, nobody is known.
	Known *KnownPeers

	// FirstUse accepts and pins keys of streams that are not known, as long as they
	// contradict nothing that is: a client pins the key of the server that it
	// names, NAME@HOST:PORT, and a server that of a client by the name that the
	// client gives itself. Datagrams with such a key are dropped, [ErrFirstUse]. If
	// false, only known keys are accepted.
	//
	// One stranger with many keys can take whatever names are free at a server, and
	// all of MaxLearnt: newcomers are refused then until the program restarts, and
	// whose name is taken until somebody deletes that line.
	FirstUse bool

	// MaxLearnt bounds the keys that servers of this network pin by first use. If
	// zero, 1,024; if negative, none is pinned.
	MaxLearnt int

	// Group names who belongs together: datagrams of other groups are dropped.
	Group string

	// GroupKey makes datagrams secret to those who do not have it. It has 32 bytes;
	// any other number panics. If nil, datagrams are signed, and can be read by
	// anybody.
	GroupKey []byte

	// Hold is how long an address of datagrams belongs to the key that was last
	// proved there, after the last datagram from it. It should be longer than a
	// program leaves messages unread that package reliable brings. If zero, 1
	// minute; a negative one panics.
	Hold time.Duration

	// Refused is told of datagrams that were dropped, at most once a second, on the
	// goroutine that receives. It must not read from the socket that tells it, and
	// be quick: reading waits for it. If nil, nobody is told.
	Refused func(Refusal)
}

// A Refusal tells of datagrams that were dropped.
type Refusal struct {
	Address sockets.Address // where the last of them came from, as it says
	Key     PublicKey       // whose it claims to be; zero if it does not say
	Err     error           // why it was dropped
	Count   int             // how many were since the last Refusal, this one counted
}

const groupKeySize = 32

func (cfg *Config) withDefaults() Config {
	c := *cfg
	switch {
	case c.Identity == nil:
		panic("secure: Config.Identity is nil: make one by OpenIdentity or NewIdentity")
	case c.GroupKey != nil && len(c.GroupKey) != groupKeySize:
		panic("secure: Config.GroupKey needs 32 bytes of chance, not a password")
	case c.Hold < 0:
		panic("secure: Config.Hold is negative")
	}
	if c.Known == nil {
		c.Known = newKnownPeers("")
	}
	c.GroupKey = append([]byte(nil), c.GroupKey...)
	c.MaxLearnt = cmp.Or(c.MaxLearnt, 1024)
	c.Hold = cmp.Or(c.Hold, time.Minute)
	return c
}
