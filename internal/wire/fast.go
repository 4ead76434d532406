//go:build unix && !plain

package wire

import (
	"cmp"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets/internal/page"
)

// The fast paths speak to the kernel themselves, where a stream is its own: they
// try first, and make ready to wait only if they have to. So a connection that
// waits has no memory to read into, and ten thousand silent ones take less than
// half of what they took with a buffer each (go run . -only idle-10000 in bench).
// And who finds data, or room, at once sets no deadline, which takes 240 ns, half
// as much as the system call. The build tag plain leaves all of this out, so that
// the tests can do without.

const most = 1 << 30 // bytes for which every system takes a read or a write

// A fastReader is what a Wire keeps to read a TCP connection.
type fastReader struct {
	raw  syscall.RawConn
	try  func(fd uintptr) (done bool)
	p    []byte       // where to read into; nil: the room of into
	into *page.Buffer // released while there is nothing to read
	n    int
	err  error
}

// Read returns Stop's error as soon as there is one. Only time spent in Read
// counts: what passes between two calls is the program's.
func (w *Wire) Read(p []byte) (int, error) {
	tcp, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return w.read(p)
	}
	n, err := w.readTCP(tcp, p)
	w.in.p = nil
	return n, err
}

// Fill reads into b, once there is something to read: until then it is released.
func (w *Wire) Fill(b *page.Buffer) error {
	tcp, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return b.Fill(w)
	}
	w.in.into = b
	n, err := w.readTCP(tcp, nil)
	b.Added(n)
	return err
}

// readTCP reads into p, or else into the room of w.in.into.
func (w *Wire) readTCP(tcp *net.TCPConn, p []byte) (n int, err error) {
	if w.in.raw == nil {
		if w.in.raw, err = tcp.SyscallConn(); err != nil {
			return 0, err
		}
		w.in.try = w.tryRead
	}
	w.in.p = p[:min(len(p), most)]
	w.begin()
	for {
		if err := w.Stop(); err != nil {
			return 0, err
		}
		w.in.n, w.in.err = 0, nil
		err := w.overdue(named(w.in.raw.Read(w.in.try), "read"))
		if err == nil {
			w.moved++
			return w.in.n, w.in.err
		} else if err != errAgain {
			return 0, err
		}
		if w.dated.Load() {
			w.forget()
		}
	}
}

func (w *Wire) tryRead(fd uintptr) (done bool) {
	for {
		p := w.in.p
		if p == nil {
			p = w.in.into.LargeRoom()
		}
		n, err := receive(fd, p)
		switch err {
		case nil:
			if w.in.n = n; n == 0 {
				w.in.err = io.EOF
			}
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			if w.in.p == nil {
				w.in.into.Release()
			}
			w.in.err = w.await()
			return w.in.err != nil
		default:
			w.in.err = w.failed(opError("read", w.Conn, err))
			return true
		}
	}
}

// A fastWriter is what a Wire keeps to write to a TCP connection.
type fastWriter struct {
	raw   syscall.RawConn
	try   func(fd uintptr) (done bool)
	rest  *net.Buffers
	n     int64 // bytes that were taken
	once  bool  // do not wait
	tried bool
	dated bool  // a wait has its deadline
	err   error // of the system
}

// TryWrite writes, and consumes, what it can without waiting.
func (w *Wire) TryWrite(vector *net.Buffers) (int64, error) {
	if tcp, ok := w.Conn.(*net.TCPConn); ok {
		return w.writeRaw(tcp, vector, true)
	}
	return 0, nil
}

// writeTCP writes vector, and consumes what was taken.
func (w *Wire) writeTCP(tcp *net.TCPConn, vector *net.Buffers) (int64, error) {
	if len(*vector) > 1 && !gathers {
		w.limitWrite()
		return vector.WriteTo(tcp)
	}
	return w.writeRaw(tcp, vector, false)
}

func (w *Wire) writeRaw(tcp *net.TCPConn, vector *net.Buffers, once bool) (n int64, err error) {
	if w.out.raw == nil {
		if w.out.raw, err = tcp.SyscallConn(); err != nil {
			return 0, err
		}
		w.out.try = w.tryWrite
	}
	w.out.rest, w.out.n, w.out.once, w.out.tried, w.out.dated, w.out.err = vector, 0, once, false, false, nil
	err = w.out.raw.Write(w.out.try)
	if err != nil && !w.out.tried { // maybe a deadline of an earlier write
		w.Conn.SetWriteDeadline(time.Time{})
		err = w.out.raw.Write(w.out.try)
	}
	w.out.rest = nil
	return w.out.n, cmp.Or(named(err, "write"), w.out.err)
}

func (w *Wire) tryWrite(fd uintptr) (done bool) {
	w.out.tried = true
	for len(*w.out.rest) > 0 {
		n, err := send(fd, *w.out.rest)
		switch err {
		case nil:
			w.out.n += int64(n)
			consume(w.out.rest, n)
			w.out.dated = false
		case syscall.EINTR:
		case syscall.EAGAIN:
			if !w.out.dated && !w.out.once {
				w.out.dated = true
				w.limitWrite()
			}
			return w.out.once
		default:
			w.out.err = opError("write", w.Conn, err)
			return true
		}
	}
	return true
}

// consume takes n bytes from the front of vector, and parts that are empty.
func consume(vector *net.Buffers, n int) {
	for len(*vector) > 0 && n >= len((*vector)[0]) {
		n -= len((*vector)[0])
		*vector = (*vector)[1:]
	}
	if n > 0 {
		(*vector)[0] = (*vector)[0][n:]
	}
}

// named is an error of a raw connection, by the name that it has elsewhere.
func named(err error, op string) error {
	if e, ok := err.(*net.OpError); ok {
		e.Op = op
	}
	return err
}

func opError(op string, conn net.Conn, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: conn.LocalAddr(), Addr: conn.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}
