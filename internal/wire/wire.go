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

const piece = 16 << 10 // bytes that are written at a time where the system does not do it

// A Wire is a stream whose reader can be woken, and whose time-outs count what
// it promises them to count. One goroutine may read while another writes. A
// time-out that is not positive is none.
type Wire struct {
	Conn net.Conn

	Idle  time.Duration // how long the reader may wait for a message to begin
	Frame time.Duration // and for one that has begun to be whole
	Send  time.Duration // how long the writer may wait for a byte to be taken

	Begun func() bool  // whether a message has begun to arrive
	Stop  func() error // not nil when the reader is to stop; of the goroutine that reads

	dated atomic.Bool // Conn may have a read deadline

	// Read state.
	spent   time.Duration // reading a message, or waiting for it to begin
	inFrame bool          // the time was spent on a message that has begun
}

// Wake makes who reads ask Stop whether to stop. It may be called at any time.
func (w *Wire) Wake() {
	w.dated.Store(true)
	w.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Next begins to count the time of another message.
func (w *Wire) Next() { w.spent = 0 }

// Read returns Stop's error as soon as there is one. Only time spent in Read
// counts: what passes between two calls is the program's.
func (w *Wire) Read(p []byte) (int, error) {
	limit, inFrame := w.Idle, w.Begun()
	if inFrame {
		limit = w.Frame
	}
	if inFrame != w.inFrame {
		w.inFrame, w.spent = inFrame, 0
	}
	for {
		start := time.Now()
		if limit > 0 {
			w.dated.Store(true)
			w.Conn.SetReadDeadline(start.Add(limit - w.spent))
		} else if w.dated.Swap(false) {
			w.Conn.SetReadDeadline(time.Time{})
		}
		if err := w.Stop(); err != nil {
			return 0, err
		}
		n, err := w.Conn.Read(p)
		w.spent += time.Since(start)
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case n > 0:
			return n, nil
		case limit <= 0 || w.spent < limit:
			w.dated.Store(true)
		case inFrame:
			return 0, fmt.Errorf("sockets: a message did not arrive whole within %v (Config.FrameTimeout): "+
				"is the other end slow, or its prefix of another width? %w", limit, err)
		default:
			return 0, fmt.Errorf("sockets: no message within %v (Config.IdleTimeout): "+
				"has the other end gone, or nothing to say? %w", limit, err)
		}
	}
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
	_, system := w.Conn.(*net.TCPConn)
	unsent := w.unsent()
	for (len(*vector) > 0 || unsent > 0) && err == nil {
		if w.Send > 0 {
			w.Conn.SetWriteDeadline(time.Now().Add(w.Send))
		}
		var m int64
		if system {
			m, err = vector.WriteTo(w.Conn)
		} else {
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

func (w *Wire) unsent() int64 {
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
