package local

import (
	"bytes"
	"errors"
	"io"

	"github.com/libp2p/go-msgio"

	"github.com/seed287501ae/sockets"
)

const framerPrefix = 4

var errContent = errors.New("a message is not the one that was sent")

// memory is a stream that holds what is written until it is read.
type memory struct {
	held       []byte
	begin, end int
}

func (m *memory) Write(p []byte) (int, error) {
	n := copy(m.held[m.end:], p)
	m.end += n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (m *memory) Read(p []byte) (int, error) {
	n := copy(p, m.held[m.begin:m.end])
	m.begin += n
	if m.begin == m.end {
		m.begin, m.end = 0, 0
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// framed writes messages of one size into memory, at least four of them and at
// least 64 KiB, and reads them back. Every message is compared in the first round.
func framed(size int, open func(m *memory) (write func([]byte) error, read func() ([]byte, error))) setup {
	return func() (step, func(), error) {
		count := max(4, 64<<10/(size+framerPrefix))
		m := &memory{held: make([]byte, count*(size+framerPrefix))}
		message := pattern(size)
		write, read := open(m)
		compare := true
		return timed(func() (int64, error) {
			for range count {
				if err := write(message); err != nil {
					return 0, err
				}
			}
			for range count {
				back, err := read()
				if err != nil {
					return 0, err
				}
				if compare && !bytes.Equal(back, message) {
					return 0, errContent
				}
			}
			compare = false
			return int64(count), nil
		}), func() {}, nil
	}
}

func framedByOurs(m *memory) (func([]byte) error, func() ([]byte, error)) {
	framer := sockets.NewFramer(m, framerPrefix)
	var message []byte
	return framer.WriteMessage, func() (_ []byte, err error) {
		message, err = framer.ReadAppend(message[:0])
		return message, err
	}
}

func framedByMsgio(m *memory) (func([]byte) error, func() ([]byte, error)) {
	writer, reader := msgio.NewWriter(m), msgio.NewReader(m)
	var message []byte
	return writer.WriteMsg, func() (_ []byte, err error) {
		if message != nil {
			reader.ReleaseMsg(message)
		}
		message, err = reader.ReadMsg()
		return message, err
	}
}

// framedByCopy moves the same bytes and frames nothing.
func framedByCopy(m *memory) (func([]byte) error, func() ([]byte, error)) {
	var message []byte
	write := func(p []byte) error {
		if len(message) != len(p) {
			message = make([]byte, len(p))
		}
		_, err := m.Write(p)
		return err
	}
	return write, func() ([]byte, error) {
		_, err := m.Read(message)
		return message, err
	}
}

func framers(size int) []contestant {
	return []contestant{
		{"ours", framed(size, framedByOurs)},
		{"msgio", framed(size, framedByMsgio)},
		{"memcpy", framed(size, framedByCopy)},
	}
}
