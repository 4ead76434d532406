package sockets

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"slices"

	"github.com/seed287501ae/sockets/internal/guess"
	"github.com/seed287501ae/sockets/internal/page"
)

// ErrMessageTooBig is the error of a message longer than its carrier allows: a
// datagram, a prefix or a limit. A message that is refused before it is sent
// leaves everything as good as before.
var ErrMessageTooBig = errors.New("sockets: message too big")

const (
	maxPrefix   = 8
	maxDefault  = 1 << 20   // bytes of a message, where no limit is set
	readAhead   = page.Size // bytes of a message that is read ahead whole, and that are allocated ahead of what arrived
	prefixAhead = 256       // bytes that are read ahead behind a longer message: the next one is to be read into its place
	copyAtMost  = 8 << 10   // a longer message is not copied behind its prefix
)

// A Framer cuts a stream into messages, each preceded by its length, as the
// slides do ("Connection-oriented message exchange"): 00 00 00 1d and 29
// bytes. However the stream is cut on its way, a message arrives whole.
//
// A Framer reads ahead: nothing else may read its stream. One goroutine may
// read while another writes.
type Framer struct {
	// MaxMessage bounds the bytes of one message, in both directions. If zero, it
	// is what the prefix can express, at most 1 MiB; if negative, what the prefix
	// can express.
	MaxMessage int

	rw     io.ReadWriter
	prefix int
	most   int // bytes that the prefix can express

	// Read state.
	ahead   page.Buffer
	inBody  bool   // the prefix was read, missing bytes of the body were not
	missing int    // how many
	partial []byte // the body so far, when an error came in its middle
	readErr error  // set once the stream is out of step

	out *writing // nil before the first WriteMessage
}

// A writing is the write state of a Framer.
type writing struct {
	joined []byte
	parts  [2][]byte
	vector net.Buffers // what is being written
	err    error       // set once the stream is out of step
}

// NewFramer returns a Framer over rw whose prefix is 1, 2, 4 or 8 bytes,
// big-endian; any other panics. The slides use 4.
func NewFramer(rw io.ReadWriter, prefix int) *Framer {
	checkPrefix(prefix)
	most := math.MaxInt - maxPrefix
	if prefix < 8 {
		most = int(min(uint64(most), 1<<(8*prefix)-1))
	}
	return &Framer{rw: rw, prefix: prefix, most: most}
}

func checkPrefix(prefix int) {
	if !slices.Contains([]int{1, 2, 4, 8}, prefix) {
		panic(fmt.Sprintf("sockets: a prefix of %d bytes: use 1, 2, 4 or 8", prefix))
	}
}

// WriteMessage writes the prefix and message, in one Write of rw; a long
// message follows its prefix without being copied, in one system call where rw
// is a TCP connection. It does not keep message.
//
// A message over the limit gives [ErrMessageTooBig] and writes nothing. After
// an error that left part of a message written, every call returns that error.
func (f *Framer) WriteMessage(message []byte) error {
	if f.out == nil {
		f.out = new(writing)
	}
	w := f.out
	if w.err != nil {
		return w.err
	}
	if err := f.checkLength(len(message)); err != nil {
		return err
	}
	var head head
	w.joined = append(w.joined[:0], head.put(f.prefix, len(message))...)
	var n int64
	var err error
	if len(message) > copyAtMost {
		w.parts = [2][]byte{w.joined, message}
		w.vector = w.parts[:]
		n, err = w.vector.WriteTo(f.rw)
		clear(w.parts[:])
	} else {
		var short int
		w.joined = append(w.joined, message...)
		short, err = f.rw.Write(w.joined)
		n = int64(short)
	}
	if err == nil && n < int64(f.prefix+len(message)) {
		err = io.ErrShortWrite
	}
	if err != nil && n > 0 {
		w.err = err
	}
	return err
}

// ReadMessage returns the next message, in memory that belongs to the caller.
//
// The error is [io.EOF] only if the stream ends between messages, and
// [io.ErrUnexpectedEOF] if it ends inside one. After a deadline has passed,
// also inside a message, the next call goes on where this one stopped. A
// message over the limit gives [ErrMessageTooBig], from then on always: the
// stream is out of step.
func (f *Framer) ReadMessage() ([]byte, error) {
	message, err := f.ReadAppend([]byte{})
	if err != nil {
		return nil, err
	}
	return message, nil
}

// ReadAppend appends the next message to dst and returns the result; the errors
// are those of [Framer.ReadMessage], and with them dst as it was. It allocates
// only if dst has no room, and then no more than 16 KiB or three times what has
// really arrived, whatever the prefix announces.
func (f *Framer) ReadAppend(dst []byte) ([]byte, error) {
	message, inPlace := f.take()
	if !inPlace {
		var err error
		if message, inPlace, err = f.next(dst); !inPlace {
			return message, err
		}
	}
	return append(dst, message...), nil
}

// next returns the next message: in place, if it lies whole in what was read
// ahead, where it is good until the next call; else appended to dst.
func (f *Framer) next(dst []byte) (message []byte, inPlace bool, err error) {
	if err := f.readPrefix(); err != nil {
		return dst, false, err
	}
	if f.missing <= readAhead && f.partial == nil {
		f.ahead.ReadAhead(0)
		unread, err := f.peek(f.missing)
		if err != nil {
			return dst, false, inMessage(err)
		}
		message, f.inBody = unread[:f.missing:f.missing], false
		f.ahead.Take(f.missing)
		return message, true, nil
	}
	f.ahead.ReadAhead(prefixAhead)
	message, err = f.readLong(dst)
	return message, false, err
}

// readLong appends to dst a body that is longer than what is read ahead.
func (f *Framer) readLong(dst []byte) ([]byte, error) {
	body := append(dst, f.partial...)
	f.partial = nil
	for f.missing > 0 {
		if arrived := len(body) - len(dst); len(body) == cap(body) {
			body = slices.Grow(body, min(f.missing, max(readAhead, arrived)))
		}
		spare := body[len(body):cap(body)]
		n, err := f.ahead.Read(f.rw, spare[:min(len(spare), f.missing)])
		body = body[:len(body)+n]
		f.missing -= n
		if err != nil {
			f.partial = slices.Clone(body[len(dst):])
			return dst, inMessage(err)
		}
	}
	f.inBody = false
	return body, nil
}

// peek returns what is unread, once it has n bytes. With an error it has less.
func (f *Framer) peek(n int) (unread []byte, err error) {
	for unread = f.ahead.Unread(); len(unread) < n && err == nil; unread = f.ahead.Unread() {
		if rw, ok := f.rw.(interface{ Fill(*page.Buffer) error }); ok {
			err = rw.Fill(&f.ahead)
		} else {
			err = f.ahead.Fill(f.rw)
		}
	}
	if len(unread) >= n {
		err = nil
	}
	return unread, err
}

// take takes the next message from what has been read ahead, in place, if it is
// whole there and within the limit.
func (f *Framer) take() (message []byte, ok bool) {
	end, ok := f.whole()
	if !ok {
		return nil, false
	}
	message = f.ahead.Unread()[f.prefix:end:end]
	f.ahead.Take(end)
	return message, true
}

// whole returns where the next message ends in what has been read ahead.
func (f *Framer) whole() (end int, ok bool) {
	unread := f.ahead.Unread()
	if f.inBody || f.readErr != nil || len(unread) < f.prefix {
		return 0, false
	}
	n := length(unread[:f.prefix])
	return f.prefix + int(n), n <= uint64(len(unread)-f.prefix) && n <= uint64(f.limit())
}

// Messages returns an iterator over the messages to come. It ends where the
// stream does; another error is yielded once, last, with a nil message.
func (f *Framer) Messages() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			message, err := f.ReadMessage()
			if err == io.EOF || !yield(message, err) || err != nil {
				return
			}
		}
	}
}

// begun reports whether a message has begun to arrive.
func (f *Framer) begun() bool { return f.inBody || len(f.ahead.Unread()) > 0 }

// readPrefix reads up to the body of a message.
func (f *Framer) readPrefix() error {
	if f.inBody || f.readErr != nil {
		return f.readErr
	}
	unread, err := f.peek(f.prefix)
	if err != nil {
		if len(unread) > 0 {
			return inMessage(err)
		}
		return err
	}
	length := length(unread[:f.prefix])
	if length > uint64(f.limit()) {
		f.readErr = f.tooBig(length)
		return f.readErr
	}
	f.ahead.Take(f.prefix)
	f.inBody, f.missing = true, int(length)
	return nil
}

func (f *Framer) tooBig(length uint64) error {
	unread, limit := f.ahead.Unread(), f.limit()
	return fmt.Errorf("%w: %d bytes are announced, MaxMessage is %d%s", ErrMessageTooBig, length, limit,
		guess.Question(unread[:min(maxPrefix, len(unread))], f.prefix, uint64(limit)))
}

// length is what a prefix announces.
func length(prefix []byte) (n uint64) {
	if len(prefix) == 4 {
		return uint64(binary.BigEndian.Uint32(prefix))
	}
	for _, b := range prefix {
		n = n<<8 | uint64(b)
	}
	return n
}

func inMessage(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// limit is how many bytes a message may have.
func (f *Framer) limit() int {
	if f.MaxMessage < 0 {
		return f.most
	}
	return min(f.most, cmp.Or(f.MaxMessage, maxDefault))
}

func (f *Framer) checkLength(length int) error {
	if length > f.most {
		return fmt.Errorf("%w: %d bytes, a prefix of %d bytes tells no more than %d", ErrMessageTooBig, length, f.prefix, f.most)
	} else if limit := f.limit(); length > limit {
		return fmt.Errorf("%w: %d bytes, MaxMessage is %d", ErrMessageTooBig, length, limit)
	}
	return nil
}

// A head is room for a prefix, at its end.
type head [maxPrefix]byte

// put returns length in prefix bytes, big-endian.
func (h *head) put(prefix, length int) []byte {
	binary.BigEndian.PutUint64(h[:], uint64(length))
	return h[maxPrefix-prefix:]
}
