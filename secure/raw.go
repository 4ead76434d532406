package secure

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// ErrTruncated is the error of a stream that ended without its goodbye. It wraps
// [io.ErrUnexpectedEOF].
var ErrTruncated = fmt.Errorf("secure: the stream was cut: the other end crashed, or somebody ended it in its name: %w", io.ErrUnexpectedEOF)

var (
	errTooMuch  = errors.New("the other end sent more than a handshake has")
	errNotTaken = errors.New("secure: the other end wants answers, and does not take them")
)

const (
	maxHandshake = 32 << 10 // bytes read before a stream is accepted
	maxRest      = 64 << 10 // bytes
)

// A raw is the connection beneath TLS. It mends what TLS makes of it: an end
// that nobody has signed is no end; a write that runs out of time, for which TLS
// has no remedy, is finished by the next one; and who reads does not wait for
// room, though TLS may have to answer what is read.
//
// One goroutine may read while others write.
type raw struct {
	net.Conn
	handshake int  // bytes that may be read yet, negative: any; of who reads
	accepted  bool // writes wait for flush; of who shakes hands

	mu     sync.Mutex // guards what follows
	rest   []byte     // what waits for flush
	unsent int        // what the last flush left of it
}

func newRaw(conn net.Conn) *raw { return &raw{Conn: conn, handshake: maxHandshake} }

func (r *raw) Read(p []byte) (int, error) {
	if r.handshake == 0 {
		return 0, errTooMuch
	}
	if r.handshake > 0 {
		p = p[:min(len(p), r.handshake)]
	}
	n, err := r.Conn.Read(p)
	if r.handshake > 0 {
		r.handshake -= n
	}
	switch {
	case err != io.EOF:
		return n, err
	case n > 0:
		return n, nil // the end is found again
	}
	return 0, ErrTruncated
}

// Write is a write to the connection during the handshake. Later, flush does
// that: Write never waits.
func (r *raw) Write(p []byte) (int, error) {
	if !r.accepted {
		return r.Conn.Write(p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rest)+len(p) > maxRest {
		return 0, errNotTaken
	}
	r.rest = append(r.rest, p...)
	return len(p), nil
}

// flush writes what there is. One goroutine at a time may call it.
func (r *raw) flush() error {
	r.mu.Lock()
	rest := r.rest
	r.mu.Unlock()
	if len(rest) == 0 {
		return nil
	}
	n, err := r.Conn.Write(rest)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsent = len(rest) - n
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = rest[:0]
	}
	return err
}

// SetWriteDeadline does nothing: the deadlines are those of the stream, and not
// those that TLS would like for its goodbye.
func (r *raw) SetWriteDeadline(time.Time) error { return nil }
