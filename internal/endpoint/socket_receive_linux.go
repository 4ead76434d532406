//go:build linux && !plain

package endpoint

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	incomingMessages = 16
	incomingBytes    = 1 << 16 // in one
)

// receive returns the next datagram. If careful, one that was received before
// also waits for what the deadline and Close of the socket have to say.
func (k *kernel) receive(careful bool) (payload []byte, sender netip.AddrPort, again bool, err error) {
	if careful || k.in == nil || k.in.isEmpty() {
		if err := k.raw.Read(k.read); err != nil {
			if op, ok := err.(*net.OpError); ok {
				op.Op = "read"
			}
			if k.in != nil && errors.Is(err, net.ErrClosed) {
				k.in.rest, k.in.opened = nil, k.in.received
				k.release()
			}
			return nil, netip.AddrPort{}, false, err
		}
		if k.errno != 0 {
			return nil, netip.AddrPort{}, false, &net.OpError{Op: "read", Net: "udp", Source: k.udp.LocalAddr(), Err: os.NewSyscallError("recvmmsg", k.errno)}
		}
	}
	payload, sender, again = k.in.next()
	return payload, sender, again, nil
}

// release gives back the memory of what receive returned last, unless more is in
// it.
func (k *kernel) release() {
	if k.in != nil && k.in.isEmpty() {
		incomings.Put(k.in)
		k.in = nil
	}
}

// readFrom reports whether a datagram, or an error, is here.
func (k *kernel) readFrom(fd uintptr) bool {
	if k.in == nil {
		k.in = incomings.Get().(*incoming)
	}
	k.errno = 0
	if k.in.isEmpty() {
		k.errno = k.in.fill(fd)
	}
	if k.errno == unix.EAGAIN {
		k.release()
		return false
	}
	return true
}

// An incoming is what one system call receives.
type incoming struct {
	messages [incomingMessages]message
	names    [incomingMessages]name
	controls [incomingMessages]control
	buffers  [incomingMessages]unix.Iovec
	senders  [incomingMessages]netip.AddrPort
	received int // messages
	opened   int // of them

	// Of the message that was opened last.
	rest    []byte
	segment int // bytes of each datagram in it, 0 if it is one
}

// A control is what a socket tells beside a datagram.
type control struct {
	unix.Cmsghdr
	_ [112]byte
}

var incomings = sync.Pool{New: func() any {
	in := new(incoming)
	memory := make([]byte, incomingMessages*incomingBytes)
	for i := range in.messages {
		in.buffers[i].Base = &memory[i*incomingBytes]
		in.buffers[i].SetLen(incomingBytes)
		m := &in.messages[i]
		m.Name = &in.names[i][0]
		m.Iov = &in.buffers[i]
		m.SetIovlen(1)
		m.Control = (*byte)(unsafe.Pointer(&in.controls[i]))
	}
	return in
}}

func (in *incoming) isEmpty() bool { return len(in.rest) == 0 && in.opened == in.received }

// fill receives messages. The caller has taken all that were there.
func (in *incoming) fill(fd uintptr) syscall.Errno {
	for i := range in.messages {
		in.messages[i].Namelen = uint32(len(in.names[i]))
		in.messages[i].SetControllen(int(unsafe.Sizeof(in.controls[i])))
	}
	in.received, in.opened = 0, 0
	n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.messages)), incomingMessages, unix.MSG_DONTWAIT, 0, 0)
	if errno == 0 {
		in.received = int(n)
	}
	for i := range in.received {
		in.senders[i] = in.names[i].address(fd)
	}
	return errno
}

// next returns the next datagram, its sender, and whether that was the sender of
// the one before too.
func (in *incoming) next() (payload []byte, sender netip.AddrPort, again bool) {
	again = len(in.rest) > 0
	if !again {
		again = in.opened > 0 && in.senders[in.opened] == in.senders[in.opened-1]
		m := &in.messages[in.opened]
		in.rest = unsafe.Slice(in.buffers[in.opened].Base, m.n)
		in.segment = in.controls[in.opened].segment(int(m.Controllen))
		in.opened++
	}
	n := len(in.rest)
	if in.segment > 0 {
		n = min(n, in.segment)
	}
	payload = in.rest[:n:n]
	in.rest = in.rest[n:]
	return payload, in.senders[in.opened-1], again
}

// segment returns the length of the datagrams that a message with this control is
// cut into, 0 if it is one.
func (c *control) segment(length int) int {
	rest := unsafe.Slice((*byte)(unsafe.Pointer(c)), length)
	for len(rest) >= unix.SizeofCmsghdr {
		header, data, after, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO {
			return int(binary.NativeEndian.Uint32(data))
		}
		rest = after
	}
	return 0
}
