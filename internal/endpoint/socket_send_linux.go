//go:build linux && !plain

package endpoint

import (
	"net/netip"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	outgoingMessages = 64
	outgoingPayloads = 256       // in all messages
	runSegments      = 64        // in one: every kernel that has segments takes as many
	outgoingSoon     = 128 << 10 // bytes of all messages, which leave in a tenth of a millisecond
)

// sendAll sends payload to the first of peers, and returns to how many.
func (k *kernel) sendAll(payload []byte, peers []netip.AddrPort) (sent int) {
	if len(peers) == 1 {
		return 0
	}
	out := outgoings.Get().(*outgoing)
	defer out.release()
	out.put(payload)
	for i, peer := range peers[:min(len(peers), outgoingMessages)] {
		if !out.names[i].set(k.family, peer) {
			break
		}
		out.add(&out.names[i], out.payloads[:1])
	}
	sent, _ = out.send(k.raw)
	return sent
}

// sendRun sends the first of payloads to a peer, and returns how many.
func (k *kernel) sendRun(payloads [][]byte, peer netip.AddrPort) (sent int) {
	out := outgoings.Get().(*outgoing)
	defer out.release()
	if len(payloads) == 1 || !out.names[0].set(k.family, peer) {
		return 0
	}
	first, longest := payloads[0], int(k.longest.Load())
	for len(payloads) > 0 && out.added < outgoingMessages && out.filled < outgoingPayloads {
		n := run(payloads[:min(len(payloads), outgoingPayloads-out.filled, runSegments)], longest)
		begin := out.filled
		for _, payload := range payloads[:n] {
			out.put(payload)
		}
		out.add(&out.names[0], out.payloads[begin:out.filled])
		payloads = payloads[n:]
	}
	messages, errno := out.send(k.raw)
	for i := range out.messages[:messages] {
		sent += int(out.messages[i].Iovlen)
	}
	if messages > 0 || out.messages[0].Iovlen == 1 {
		return sent
	}
	// Was it because they are a run? Then the first one can leave alone.
	if _, err := k.udp.WriteToUDPAddrPort(first, peer); err != nil {
		return 0
	}
	switch errno {
	case unix.EMSGSIZE, unix.EINVAL: // longer than the path takes in one piece
		k.longest.Store(int32(len(first) - 1))
	case unix.EIO, unix.ENOPROTOOPT, unix.EOPNOTSUPP: // there are no runs
		k.longest.Store(0)
	}
	return 1
}

// run returns how many of payloads, one at least, can be the segments of one
// message: all are as long as the first, but for the last, which may be shorter.
func run(payloads [][]byte, longest int) int {
	size := len(payloads[0])
	if size > longest {
		return 1
	}
	total := size
	for i, payload := range payloads[1:] {
		total += len(payload)
		switch {
		case len(payload) == 0 || len(payload) > size || total > maxDatagram:
			return i + 1
		case len(payload) < size:
			return i + 2
		}
	}
	return len(payloads)
}

// An outgoing is what one system call sends.
type outgoing struct {
	messages [outgoingMessages]message
	names    [outgoingMessages]name
	segments [outgoingMessages]segment
	payloads [outgoingPayloads]unix.Iovec
	added    int // messages
	filled   int // payloads
	size     int // bytes of all messages

	write func(fd uintptr) bool
	sent  int
	errno syscall.Errno
}

// A segment tells the kernel how long the datagrams of a message are.
type segment struct {
	unix.Cmsghdr
	size uint16
	_    [6]byte
}

var outgoings = sync.Pool{New: func() any {
	out := new(outgoing)
	out.write = out.writeTo
	for i := range out.segments {
		s := &out.segments[i]
		s.Level, s.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		s.SetLen(unix.CmsgLen(int(unsafe.Sizeof(s.size))))
	}
	return out
}}

// put appends a payload.
func (out *outgoing) put(payload []byte) {
	v := &out.payloads[out.filled]
	v.Base = unsafe.SliceData(payload)
	v.SetLen(len(payload))
	out.filled++
}

// add appends a message.
func (out *outgoing) add(to *name, payloads []unix.Iovec) {
	m, s := &out.messages[out.added], &out.segments[out.added]
	m.Name, m.Namelen = &to[0], uint32(len(to))
	m.Iov = &payloads[0]
	m.SetIovlen(len(payloads))
	m.Control = nil
	m.SetControllen(0)
	if len(payloads) > 1 {
		s.size = uint16(payloads[0].Len)
		m.Control = (*byte)(unsafe.Pointer(s))
		m.SetControllen(unix.CmsgSpace(int(unsafe.Sizeof(s.size))))
	}
	out.added++
	for i := range payloads {
		out.size += int(payloads[i].Len)
	}
}

// send returns how many messages were sent, and the error of the first.
func (out *outgoing) send(raw syscall.RawConn) (sent int, errno syscall.Errno) {
	out.sent, out.errno = 0, 0
	if out.added > 0 {
		raw.Write(out.write)
	}
	return out.sent, out.errno
}

// writeTo does not tell the scheduler of a call that is over soon, as in package
// wire: one eighth more messages.
func (out *outgoing) writeTo(fd uintptr) bool {
	var n uintptr
	var errno syscall.Errno
	if out.size <= outgoingSoon {
		n, _, errno = syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&out.messages)), uintptr(out.added), unix.MSG_DONTWAIT, 0, 0)
	} else {
		n, _, errno = syscall.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&out.messages)), uintptr(out.added), unix.MSG_DONTWAIT, 0, 0)
	}
	if out.errno = errno; errno == 0 {
		out.sent = int(n)
	}
	return errno != unix.EAGAIN
}

func (out *outgoing) release() {
	clear(out.payloads[:out.filled])
	out.added, out.filled, out.size = 0, 0, 0
	outgoings.Put(out)
}
