// Package wire reads and writes a stream under time-outs.
package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	piece = 16 << 10 // bytes that are written at a time where the system does not do it
	busy  = 100      // reads within Rest, after which there is none any more: a timer costs more than what a rest saves
)

// A Wire is a stream whose reader can be woken, and whose time-outs count what
// it promises them to count. One goroutine may read while another writes. A
// time-out that is not positive is none.
type Wire struct {
	Conn net.Conn

	Idle  time.Duration // how long the reader may wait for a message to begin
	Frame time.Duration // and for one that has begun to be whole
	Send  time.Duration // how long the writer may wait for a byte to be taken
	Rest  time.Duration // after how long a reader that waits for a message to begin gets ErrRest, at most twice that

	Begun func() bool  // whether a message has begun to arrive
	Stop  func() error // not nil when the reader is to stop; of the goroutine that reads

	dated atomic.Bool           // Conn may have a read deadline
	fault atomic.Pointer[error] // of Conn, that Read returned

	// Read state.
	spent   time.Duration // reading a message, or waiting for it to begin
	inFrame bool          // the time was spent on a message that has begun
	limit   time.Duration // of this Read
	since   time.Time     // when the wait under way began, or zero
	moved   int           // reads since the deadline of a rest was set
	resting bool          // it is set
	in      fastReader

	// Write state.
	out fastWriter
}

// Wake makes who reads ask Stop whether to stop. It may be called at any time.
func (w *Wire) Wake() {
	w.dated.Store(true)
	w.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Next begins to count the time of another message.
func (w *Wire) Next() { w.spent = 0 }

// read is Read of any stream.
func (w *Wire) read(p []byte) (int, error) {
	w.begin()
	for {
		if err := w.await(); err != nil {
			return 0, err
		}
		n, err := w.Conn.Read(p)
		if n > 0 {
			w.moved++
		}
		switch err = w.overdue(err); {
		case n > 0 && errors.Is(err, os.ErrDeadlineExceeded):
			return n, nil
		case err != errAgain:
			return n, err
		}
	}
}

// ErrRest is the error of a Read that has waited long for a message to begin,
// with no limit. It comes once; then not before something was read.
var ErrRest = errors.New("wire: nothing to read for long")

var errAgain = fmt.Errorf("wire: read again: %w", os.ErrDeadlineExceeded)

// begin finds the time that there is to read.
func (w *Wire) begin() {
	w.since = time.Time{}
	inFrame := w.Begun()
	if w.limit = w.Idle; inFrame {
		w.limit = w.Frame
	}
	if inFrame != w.inFrame {
		w.inFrame, w.spent = inFrame, 0
	}
}

// await makes ready to wait: a deadline, where there is a limit. It returns
// Stop's error.
func (w *Wire) await() error {
	switch {
	case w.limit > 0:
		if w.since.IsZero() {
			w.since = time.Now()
			w.resting = false
			w.dated.Store(true)
			w.Conn.SetReadDeadline(w.since.Add(w.limit - w.spent))
		}
	case w.dated.Load():
		w.resting = false
		w.forget()
	}
	// The deadline of a rest stays while something is read, and is looked after when
	// it passes: not with each wait.
	if w.Rest > 0 && w.limit <= 0 && !w.inFrame && w.moved > 0 && !w.resting {
		w.moved, w.resting = 0, true
		w.Conn.SetReadDeadline(time.Now().Add(w.Rest))
	}
	return w.Stop()
}

// forget clears a deadline. Stop is to be asked afterwards.
func (w *Wire) forget() {
	w.dated.Store(false)
	w.Conn.SetReadDeadline(time.Time{})
}

// overdue returns the error of Read where that of Conn is err: errAgain, if it
// is a deadline that tells nothing. The wait is over.
func (w *Wire) overdue(err error) error {
	if !w.since.IsZero() {
		w.spent += time.Since(w.since)
		w.since = time.Time{}
	}
	switch {
	case err == nil || err == io.EOF:
		return err
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return w.failed(err)
	case w.limit <= 0 || w.spent < w.limit:
		w.dated.Store(true)
		rest := w.resting && w.moved == 0
		if w.resting && w.moved > busy {
			w.Rest = 0
		}
		if w.resting = false; rest {
			w.forget()
			return ErrRest
		}
		return errAgain
	case w.inFrame:
		return fmt.Errorf("sockets: a message did not arrive whole within %v (Config.FrameTimeout): "+
			"is the other end slow, or its prefix of another width? %w", w.limit, err)
	}
	return fmt.Errorf("sockets: no message within %v (Config.IdleTimeout): "+
		"has the other end gone, or nothing to say? %w", w.limit, err)
}

// failed keeps a fault of Conn: systems tell it once, and then an end.
func (w *Wire) failed(err error) error {
	w.fault.Store(&err)
	return err
}

// Fault returns the fault of Conn that Read has returned, or nil. It may be
// called at any time.
func (w *Wire) Fault() error {
	if err := w.fault.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *Wire) Write(p []byte) (int, error) {
	n, err := w.WriteVector(&net.Buffers{p})
	return int(n), err
}

// WriteVector writes and consumes vector: in one system call where it can. Else
// in pieces, each with the time-out of its own, because not every stream that
// was cut short says how much it took. Of a Conn that takes more than it has sent,
// and tells how much by Unsent, it also waits until that is nothing.
func (w *Wire) WriteVector(vector *net.Buffers) (n int64, err error) {
	tcp, system := w.Conn.(*net.TCPConn)
	unsent := w.unsent()
	for (len(*vector) > 0 || unsent > 0) && err == nil {
		var m int64
		if system {
			m, err = w.writeTCP(tcp, vector)
		} else {
			w.limitWrite()
			m, err = writePiece(w.Conn, vector)
		}
		n += m
		before := unsent
		unsent = w.unsent()
		switch sent := m + before - unsent; {
		case sent > 0 && errors.Is(err, os.ErrDeadlineExceeded):
			err = nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = fmt.Errorf("sockets: the other end took nothing for %v: "+
				"does it read, or do both ends send from their callbacks? (Config.SendTimeout) %w", w.Send, err)
		}
	}
	return n, err
}

// limitWrite gives the wait for the next byte to be taken its time.
func (w *Wire) limitWrite() {
	if w.Send > 0 {
		w.Conn.SetWriteDeadline(time.Now().Add(w.Send))
	}
}

func (w *Wire) unsent() int64 {
	if _, system := w.Conn.(*net.TCPConn); system {
		return 0
	}
	if conn, ok := w.Conn.(interface{ Unsent() int }); ok {
		return int64(conn.Unsent())
	}
	return 0
}

func writePiece(conn net.Conn, vector *net.Buffers) (int64, error) {
	if len(*vector) == 0 {
		_, err := conn.Write(nil) // sends what is unsent
		return 0, err
	}
	first := (*vector)[0]
	part := first[:min(len(first), piece)]
	n, err := conn.Write(part)
	if (*vector)[0] = first[n:]; n == len(first) {
		*vector = (*vector)[1:]
	}
	if n < len(part) && err == nil {
		err = io.ErrShortWrite
	}
	return int64(n), err
}
