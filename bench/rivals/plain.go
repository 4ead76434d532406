package rivals

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

const longest = 1 << 20 // bytes of a message

// Three contestants have package net alone.
func init() {
	for _, p := range []plain{
		// As on the slides: the length is one Write, the message another, and both
		// are read where they are.
		{"naive", func(conn net.Conn) Link { return naive{conn} }},
		// What one would change first.
		{"onewrite", func(conn net.Conn) Link { return &oneWrite{Conn: conn, r: bufio.NewReader(conn)} }},
		// No framing: both ends know that a message has 64 KiB. It shows what the
		// stream carries.
		{"raw", func(conn net.Conn) Link { return &raw{conn, make([]byte, 64<<10)} }},
	} {
		register(Rival{Name: p.name, Serve: p.serve, Dial: p.dial})
	}
}

type plain struct {
	name string
	link func(net.Conn) Link
}

func (p plain) dial(ctx context.Context, address string, _ Kind) (Link, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return p.link(conn), nil
}

func (p plain) serve(l net.Listener, kind Kind, s *Stats) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go ServeLink(p.link(conn), kind, s)
	}
}

var errLength = errors.New("the length of a message is wrong")

type naive struct{ net.Conn }

func (n naive) Send(payload []byte) error {
	if _, err := n.Write(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))); err != nil {
		return err
	}
	_, err := n.Write(payload)
	return err
}

func (n naive) Receive() ([]byte, error) { return receive(n) }

type oneWrite struct {
	net.Conn
	r     *bufio.Reader
	frame []byte
}

func (o *oneWrite) Send(payload []byte) error {
	o.frame = binary.BigEndian.AppendUint32(o.frame[:0], uint32(len(payload)))
	o.frame = append(o.frame, payload...)
	_, err := o.Write(o.frame)
	return err
}

func (o *oneWrite) Receive() ([]byte, error) { return receive(o.r) }

func receive(r io.Reader) ([]byte, error) {
	prefix := make([]byte, 4)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(prefix)
	if length > longest {
		return nil, errLength
	}
	payload := make([]byte, length)
	_, err := io.ReadFull(r, payload)
	return payload, err
}

type raw struct {
	net.Conn
	buffer []byte
}

func (r *raw) Send(payload []byte) error {
	if len(payload) != len(r.buffer) {
		return errLength
	}
	_, err := r.Write(payload)
	return err
}

func (r *raw) Receive() ([]byte, error) {
	_, err := io.ReadFull(r, r.buffer)
	return r.buffer, err
}
