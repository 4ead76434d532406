package secure

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// ErrTruncated is the error of a stream that ended without its goodbye. It wraps
// [io.ErrUnexpectedEOF].
var ErrTruncated = fmt.Errorf("secure: the stream was cut: the other end crashed, or somebody ended it in its name: %w", io.ErrUnexpectedEOF)

var errTooMuch = errors.New("the other end sent more than a handshake has")

const (
	maxHandshake = 32 << 10 // bytes read before a stream is accepted
	maxRest      = 64 << 10
)

// A raw is the connection beneath TLS. It mends what TLS makes of it: an end
// that nobody has signed is no end, and a write that runs out of time, for which
// TLS has no remedy, is finished by the next one.
//
// One goroutine may read while others write.
type raw struct {
	net.Conn
	handshake int // bytes that may be read yet, negative: any; of who reads

	writing chan struct{} // one slot, which guards what follows; holding it is the right to write to Conn
	rest    []byte        // of records whose time was over
}

func newRaw(conn net.Conn) *raw {
	return &raw{Conn: conn, handshake: maxHandshake, writing: make(chan struct{}, 1)}
}

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

// Write takes all of p or fails for good: what there is no time for waits for
// flush.
func (r *raw) Write(p []byte) (int, error) {
	r.writing <- struct{}{}
	defer func() { <-r.writing }()
	n, err := 0, r.flushHeld()
	if err == nil {
		n, err = r.Conn.Write(p)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || len(r.rest)+len(p)-n > maxRest {
		return n, err
	}
	r.rest = append(r.rest, p[n:]...)
	return len(p), nil
}

// flush writes what earlier writes had no time for.
func (r *raw) flush() error {
	r.writing <- struct{}{}
	defer func() { <-r.writing }()
	return r.flushHeld()
}

func (r *raw) flushHeld() error {
	if len(r.rest) == 0 {
		return nil
	}
	n, err := r.Conn.Write(r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = nil
	}
	return err
}

// SetWriteDeadline does nothing: the deadlines are those of the stream, and not
// those that TLS would like for its goodbye.
func (r *raw) SetWriteDeadline(time.Time) error { return nil }
