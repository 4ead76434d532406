package secure

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	reuseFor        = 100 * time.Millisecond // a signed datagram may be sent to others
	maxDestinations = 4096                   // of one signed datagram
	markEvery       = 100 * time.Millisecond
	maxMarks        = 128
)

var errExhausted = errors.New("secure: this socket has used up its numbers: bind a new one")

// A signer makes the datagrams of one socket. Its methods may be called from
// many goroutines.
type signer struct {
	identity *Identity
	group    uint64
	session  uint64
	seal     cipher.AEAD // nil: datagrams are open

	mu     sync.Mutex // guards what follows
	number uint64     // of the last datagram
	marks  []mark     // when some of the last ones were signed, oldest first
	last   []byte     // datagram, whose bytes never change
	text   []byte     // its payload
	signed time.Time  // when
	sentTo map[netip.AddrPort]bool
}

// A mark is when a number was used.
type mark struct {
	at     time.Time
	number uint64
}

// datagram returns what to send to one destination. It is the last datagram
// again, if that has the same payload and was not sent there yet.
func (s *signer) datagram(now time.Time, payload []byte, to netip.AddrPort) (b []byte, isNew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || now.Sub(s.signed) > reuseFor || s.sentTo[to] || len(s.sentTo) >= maxDestinations || !bytes.Equal(payload, s.text) {
		if err := s.signLocked(now, payload); err != nil {
			return nil, false, err
		}
		isNew = true
	}
	s.sentTo[to] = true
	return s.last, isNew, nil
}

func (s *signer) signLocked(now time.Time, payload []byte) error {
	if s.number == math.MaxUint64 {
		return errExhausted
	}
	h := header{kindData, s.group, s.identity.public, s.session, s.number + 1}
	size := overhead + len(payload)
	if s.seal != nil {
		h.kind = kindSealed
		size += sealSize
	}
	b := h.append(make([]byte, 0, size))
	if s.seal != nil {
		b = s.seal.Seal(b, sealNonce(h.number), payload, b)
	} else {
		b = append(b, payload...)
	}
	b, err := s.identity.sign(b, nil)
	if err != nil {
		return err
	}
	s.number++
	s.last, s.text, s.signed = b, append(s.text[:0], payload...), now
	s.sentTo = make(map[netip.AddrPort]bool)
	if len(s.marks) == 0 || now.Sub(s.marks[len(s.marks)-1].at) >= markEvery {
		if len(s.marks) == maxMarks {
			s.marks = slices.Delete(s.marks, 0, 1)
		}
		s.marks = append(s.marks, mark{now, s.number})
	}
	return nil
}

// firstSince returns a number that, with all after it, was used in the time that
// has passed since age ago, or will be. The number is the first such one, or one
// of the first.
func (s *signer) firstSince(now time.Time, age time.Duration) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.marks {
		if elapsed(m.at, now) <= age {
			return m.number
		}
	}
	return s.number + 1
}

// elapsed is the time from a moment to another, by the clock that says more:
// one of them stops while the machine sleeps, the other may be set.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}
