package simnet

import (
	"cmp"
	"slices"
)

const (
	streamBuffer = 64 << 10          // bytes that a stream keeps to be read, and to be sent
	windowStep   = streamBuffer / 16 // bytes by which the window opens at least: no tiny segments
)

// incoming is the half of a stream that receives. Offsets count the bytes of the
// stream; the SYN comes before them, at -1, and the FIN after them.
type incoming struct {
	next   int64   // what comes next; all before it has arrived
	unread []piece // in order
	size   int64   // of unread, in bytes
	ahead  []piece // by offset; something before it is missing
	ended  bool    // FIN came
	shut   bool    // here
	edge   int64   // offset up to which the other end may send
	owes   bool    // an acknowledgement
	echo   uint64  // the transmission to be acknowledged
}

// A piece is what one segment brought.
type piece struct {
	offset int64
	data   []byte // empty: FIN
	cut    bool   // a read ends here
}

func newIncoming() incoming { return incoming{next: -1} }

func (p *piece) end() int64 { return p.offset + int64(max(1, len(p.data))) }

// insert takes what a segment brought, whatever the order, and keeps what is new.
func (in *incoming) insert(p piece) {
	i, _ := slices.BinarySearchFunc(in.ahead, p.offset, func(q piece, offset int64) int {
		return cmp.Compare(q.offset, offset)
	})
	in.ahead = slices.Insert(in.ahead, i, p)
	taken := 0
	for ; taken < len(in.ahead) && in.ahead[taken].offset <= in.next; taken++ {
		p := in.ahead[taken]
		end := p.end()
		switch {
		case end <= in.next:
			continue
		case len(p.data) == 0:
			in.ended = true
		default:
			p.data = p.data[in.next-p.offset:]
			in.size += int64(len(p.data))
			in.unread = append(in.unread, p)
		}
		in.next = end
	}
	in.ahead = slices.Delete(in.ahead, 0, taken)
}

// take moves what has arrived into buffer.
func (in *incoming) take(buffer []byte) (n int) {
	for n < len(buffer) && len(in.unread) > 0 {
		p := &in.unread[0]
		copied := copy(buffer[n:], p.data)
		n += copied
		in.size -= int64(copied)
		if p.data = p.data[copied:]; len(p.data) > 0 {
			break
		}
		cut := p.cut
		*p = piece{}
		in.unread = in.unread[1:]
		if cut {
			break
		}
	}
	return n
}

// room returns the offset up to which there is room.
func (in *incoming) room() int64 { return max(in.next, 0) + streamBuffer - in.size }

// hasNews reports whether the other end should know that there is more room.
func (in *incoming) hasNews() bool { return in.room()-in.edge >= windowStep }

// offer returns up to where the other end may send.
func (in *incoming) offer() int64 {
	if in.hasNews() {
		in.edge = in.room()
	}
	return in.edge
}
