package secure

import (
	"errors"
	"sync/atomic"
)

// Why a datagram was dropped. The Err of a [Refusal] is one of these, or
// [ErrUnknownKey], [ErrOwnKey] or [ErrNotExpected].
var (
	ErrFirstUse     = errors.New("secure: the key is known by first use only, which does not count for datagrams: compare its fingerprint, then delete first-use from its line and start again, or Add it")
	ErrMalformed    = errors.New("secure: the datagram is not one of this protocol")
	ErrOtherGroup   = errors.New("secure: the datagram is of another group")
	ErrBadSignature = errors.New("secure: the signature of the datagram is wrong")
	ErrBadSeal      = errors.New("secure: the datagram is not sealed with the key of this group")
	ErrReplayed     = errors.New("secure: the datagram came before, or is too old")
	ErrStale        = errors.New("secure: the challenge or the answer is of another time or of another socket")
	ErrTooMany      = errors.New("secure: too many signatures to verify, or too much to hold")
	ErrAddressTaken = errors.New("secure: the address belongs to the key of somebody else, who was heard there just now")
)

// Stats counts what happened to the datagrams of a [Network] since it was made.
type Stats struct {
	Signed     uint64 // datagrams that were signed, each for one destination or many
	Delivered  uint64 // payloads that a reader got, or can get
	Held       uint64 // payloads that had to wait until their sender answered a challenge
	Challenged uint64 // challenges that were sent
	Answered   uint64 // challenges that were answered
	Confirmed  uint64 // answers that proved who is at an address

	// Datagrams that were dropped.
	Malformed    uint64 // not of this protocol, or from an address that nobody can have
	OtherGroup   uint64 // of another group
	OwnKey       uint64 // with the key of this end: its own ones, come back
	NotExpected  uint64 // of somebody else than the connection was dialled for
	UnknownKey   uint64 // with a key that is not known
	FirstUse     uint64 // with a key that is known by first use only
	AddressTaken uint64 // from an address that belongs to somebody else
	Replayed     uint64 // come before, or too old
	Stale        uint64 // challenges and answers that are none of now
	TooMany      uint64 // over a limit: signatures to verify, payloads to hold
	BadSignature uint64 // not signed by the key that they bear
	BadSeal      uint64 // not sealed with the key of the group, or not sealed, or sealed
}

// An outcome is what became of a datagram.
type outcome int

const (
	signed outcome = iota
	delivered
	held
	challenged
	answered
	confirmed

	malformed // from here on: dropped
	otherGroup
	ownKey
	notExpected
	unknownKey
	onlyLearnt
	addressTaken
	replayed
	stale
	tooMany
	badSignature
	badSeal
	outcomes
)

// drops are the errors of the outcomes from malformed on.
var drops = [...]error{
	ErrMalformed, ErrOtherGroup, ErrOwnKey, ErrNotExpected, ErrUnknownKey, ErrFirstUse,
	ErrAddressTaken, ErrReplayed, ErrStale, ErrTooMany, ErrBadSignature, ErrBadSeal,
}

type counters [outcomes]atomic.Uint64

// Stats returns what has happened to the datagrams of this network so far.
func (n *Network) Stats() Stats {
	count := func(o outcome) uint64 { return n.stats[o].Load() }
	return Stats{
		Signed:       count(signed),
		Delivered:    count(delivered),
		Held:         count(held),
		Challenged:   count(challenged),
		Answered:     count(answered),
		Confirmed:    count(confirmed),
		Malformed:    count(malformed),
		OtherGroup:   count(otherGroup),
		OwnKey:       count(ownKey),
		NotExpected:  count(notExpected),
		UnknownKey:   count(unknownKey),
		FirstUse:     count(onlyLearnt),
		AddressTaken: count(addressTaken),
		Replayed:     count(replayed),
		Stale:        count(stale),
		TooMany:      count(tooMany),
		BadSignature: count(badSignature),
		BadSeal:      count(badSeal),
	}
}
