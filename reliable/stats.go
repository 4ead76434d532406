package reliable

import "sync/atomic"

// Stats counts what happened at the sockets of a [Network] since it was made.
type Stats struct {
	Sent     uint64 // datagrams that the network beneath took
	Received uint64 // datagrams taken from it

	Retransmitted uint64 // segments sent again
	TimeOuts      uint64 // times that a retransmission time-out was over
	Duplicate     uint64 // segments that had come before

	Foreign   uint64 // datagrams of other protocols, or of another version
	Malformed uint64 // datagrams that this protocol cannot mean, and acknowledgements of what was never sent
	Stray     uint64 // datagrams for no association of ours: of an earlier life, replayed or forged
	Stale     uint64 // cookies that are old, already used or forged
	Refused   uint64 // newcomers for which there was no room
	Dropped   uint64 // datagrams not sent because too many waited
}

type counters struct {
	sent, received                            atomic.Uint64
	retransmitted, timeOuts, duplicate        atomic.Uint64
	foreign, malformed, stray, stale, refused atomic.Uint64
	dropped                                   atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Sent:          c.sent.Load(),
		Received:      c.received.Load(),
		Retransmitted: c.retransmitted.Load(),
		TimeOuts:      c.timeOuts.Load(),
		Duplicate:     c.duplicate.Load(),
		Foreign:       c.foreign.Load(),
		Malformed:     c.malformed.Load(),
		Stray:         c.stray.Load(),
		Stale:         c.stale.Load(),
		Refused:       c.refused.Load(),
		Dropped:       c.dropped.Load(),
	}
}
