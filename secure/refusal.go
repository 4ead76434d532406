package secure

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// The reasons of refusing the other end of a stream. A [*RefusedError] wraps one
// of them.
var (
	ErrUnknownKey    = errors.New("secure: the key is not known")
	ErrKeyChanged    = errors.New("secure: the name belongs to another key")
	ErrNotExpected   = errors.New("secure: the key is that of somebody else than was expected")
	ErrTooManyLearnt = errors.New("secure: no more keys are learnt by first use")
	ErrNotSaved      = errors.New("secure: the key could not be saved")
	ErrOwnKey        = errors.New("secure: both ends have the same key")
	ErrBadName       = errors.New("secure: a name that is none cannot be learnt")
)

// The bytes by which the ends of a stream tell each other their verdict. Those
// between are the reasons of a refusal.
const (
	welcome  byte = 0
	learning byte = 255 // welcome, once it is saved: another byte follows
)

// reasons are the refusals by their byte, less 1.
var reasons = []error{ErrUnknownKey, ErrKeyChanged, ErrNotExpected, ErrTooManyLearnt, ErrNotSaved, ErrOwnKey, ErrBadName}

func statusOf(reason error) byte {
	for i, r := range reasons {
		if errors.Is(reason, r) {
			return byte(i + 1)
		}
	}
	return welcome
}

func reasonOf(status byte) error {
	if accepts(status) {
		return nil
	}
	if i := int(status) - 1; i < len(reasons) {
		return reasons[i]
	}
	return fmt.Errorf("secure: a reason that is not known here (status %d)", status)
}

// A RefusedError is why two ends of a stream do not talk to each other. Both get
// one, with the same reason.
type RefusedError struct {
	There  bool      // the other end refused this one; else this end refused the other
	Peer   KnownPeer // the other end: its key, and the name that is known for it, else the one that it claims
	Reason error     // wraps ErrUnknownKey, ErrKeyChanged and so on, unless it is news to this version

	also   error  // why the other end refused too
	advice string // what to do
}

// Unwrap returns the reason, and where both ends refused that of the other one.
func (e *RefusedError) Unwrap() []error {
	if e.also == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.also}
}

// Error tells who was refused, why, and what to do.
func (e *RefusedError) Error() string {
	who, what := cmp.Or(e.Peer.Name, "a name that is none"), "is refused"
	if e.There {
		what = "refuses this one"
	}
	text := fmt.Sprintf("secure: the other end (%s with the key %s) %s: %s", who, e.Peer.Key.Fingerprint(), what, bare(e.Reason))
	if e.advice != "" {
		text += ": " + e.advice
	}
	if e.also != nil {
		text += fmt.Sprintf(" (and it refuses this one: %s)", bare(e.also))
	}
	return text
}

func bare(reason error) string { return strings.TrimPrefix(reason.Error(), "secure: ") }

const (
	adviceOwnKey   = "each participant needs an identity of its own, on each machine"
	adviceBadName  = "its owner needs a name as CheckName has it"
	adviceNameless = "say whom you expect there, NAME@HOST:PORT, to learn the key by first use"
)

// advice says what to do about a refusal of other by this end.
func (v *streams) advice(other KnownPeer, server bool, expected string, reason error) string {
	place := v.cfg.Known.place()
	name := cmp.Or(expected, other.Name, "NAME")
	switch {
	case errors.Is(reason, ErrOwnKey):
		return adviceOwnKey
	case errors.Is(reason, ErrBadName):
		return adviceBadName
	case errors.Is(reason, ErrNotSaved):
		return "see to " + place
	case errors.Is(reason, ErrNotExpected) && expected == "":
		return "its owner needs to keep to one name"
	case errors.Is(reason, ErrNotExpected):
		return expected + " was expected: somebody may pose as " + expected + ", or the address is that of another"
	case errors.Is(reason, ErrKeyChanged):
		owner, _ := v.owner(name)
		if owner.Key == v.cfg.Identity.public {
			return "that name is this end's own: who uses it needs another one"
		}
		return fmt.Sprintf("%s has the key %s in %s: somebody may pose as %[1]s. Ask %[1]s by another way, and if the key is new, replace that line by: %[4]v",
			name, owner.Key.Fingerprint(), place, KnownPeer{Name: name, Key: other.Key})
	case v.cfg.FirstUse && !server && expected == "":
		return adviceNameless
	}
	return fmt.Sprintf("compare the fingerprint with its owner by another way, and if it is right add to %s the line: %v", place, KnownPeer{Name: name, Key: other.Key})
}

// adviceThere says what to do about a refusal of this end by the other.
func (v *streams) adviceThere(reason error) string {
	switch {
	case errors.Is(reason, ErrNotExpected):
		return fmt.Sprintf("it looks for somebody else than %s at this address", v.cfg.Identity.name)
	case errors.Is(reason, ErrOwnKey):
		return adviceOwnKey
	}
	return fmt.Sprintf("to be known there, ask its owner to have this line, and no other of that name: %v", v.cfg.Identity)
}

// place says where the peers are kept.
func (k *KnownPeers) place() string { return cmp.Or(k.path, "the known peers of this program") }
