package reliable

import (
	"bytes"
	"encoding/binary"
)

// Sizes in bytes. WIRE.md draws them.
const (
	maxDatagram = 1200
	headerSize  = 4 + 8 + 8
	chunkHead   = 1 + 2
	cookieSize  = 8 + 16
	dataHead    = 8 + 8
	ackHead     = 8 + 8 + 2
	byeSize     = 8
	rangeSize   = 2 + 2

	// maxSegment leaves room for an ACK with one range in the same datagram.
	maxSegment = maxDatagram - headerSize - (chunkHead + dataHead) - (chunkHead + ackHead + rangeSize)

	maxRanges = (maxDatagram - headerSize - chunkHead - ackHead) / rangeSize
)

var magic = []byte("REL\x01") // the last byte is the version

// A kind is the first byte of a chunk, and its bit in a set of kinds.
type kind byte

const (
	hello kind = 1 + iota
	cookie
	echo
	welcome
	data
	ack
	bye
	gone
)

// A fault is why a datagram is ignored.
type fault int

const (
	none fault = iota
	foreign
	malformed
)

func setOf(kinds ...kind) (set uint) {
	for _, k := range kinds {
		set |= 1 << k
	}
	return set
}

// Tags are the two associations that a datagram names: the one that is to
// receive it, at its destination, and the one that sent it. Zero is none.
type tags struct{ to, from uint64 }

// An acknowledgement is the body of an ACK.
type acknowledgement struct {
	next         uint64 // the first segment that is missing
	transmission uint64 // the largest transmission number that arrived; 0 for none
	window       int    // how many segments from next on are welcome
	ranges       []span // what arrived beyond next: ascending, with gaps between
}

// A span is the segments from first up to, but not with, end.
type span struct{ first, end uint64 }

func appendHeader(b []byte, t tags) []byte {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, t.to)
	return binary.BigEndian.AppendUint64(b, t.from)
}

// appendChunk appends a chunk whose body is the parts, one after the other.
func appendChunk(b []byte, k kind, parts ...[]byte) []byte {
	b = append(b, byte(k), 0, 0)
	body := len(b)
	for _, part := range parts {
		b = append(b, part...)
	}
	binary.BigEndian.PutUint16(b[body-2:], uint16(len(b)-body))
	return b
}

func appendData(b []byte, number, transmission uint64, payload []byte) []byte {
	var head [dataHead]byte
	binary.BigEndian.PutUint64(head[:], number)
	binary.BigEndian.PutUint64(head[8:], transmission)
	return appendChunk(b, data, head[:], payload)
}

func appendAck(b []byte, a acknowledgement) []byte {
	b = append(b, byte(ack))
	b = binary.BigEndian.AppendUint16(b, uint16(ackHead+rangeSize*len(a.ranges)))
	b = binary.BigEndian.AppendUint64(b, a.next)
	b = binary.BigEndian.AppendUint64(b, a.transmission)
	b = binary.BigEndian.AppendUint16(b, uint16(a.window))
	for _, r := range a.ranges {
		b = binary.BigEndian.AppendUint16(b, uint16(r.first-a.next))
		b = binary.BigEndian.AppendUint16(b, uint16(r.end-r.first))
	}
	return b
}

func appendBye(b []byte, unread uint64) []byte {
	return appendChunk(b, bye, binary.BigEndian.AppendUint64(nil, unread))
}

// parse cuts a datagram into its tags and its chunks, and tells the kinds of
// these. Every chunk is known, whole,
// the only one of its kind, and of a size that this may have.
func parse(b []byte) (t tags, chunks []byte, kinds uint, f fault) {
	if !bytes.HasPrefix(b, magic) {
		return tags{}, nil, 0, foreign
	}
	if len(b) < headerSize || len(b) > maxDatagram {
		return tags{}, nil, 0, malformed
	}
	t = tags{binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:])}
	chunks = b[headerSize:]
	for rest := chunks; len(rest) > 0; {
		if len(rest) < chunkHead || len(rest)-chunkHead < int(binary.BigEndian.Uint16(rest[1:])) {
			return tags{}, nil, 0, malformed
		}
		var k kind
		var body []byte
		if k, body, rest = cut(rest); !sizeFits(k, len(body)) || kinds&setOf(k) != 0 {
			return tags{}, nil, 0, malformed
		}
		kinds |= setOf(k)
	}
	if kinds == 0 || !tagsFit(kinds, t) || kinds == setOf(hello) && !bytes.Equal(chunks[chunkHead:], make([]byte, cookieSize)) {
		return tags{}, nil, 0, malformed
	}
	return t, chunks, kinds, none
}

// tagsFit reports whether the tags that are zero are those that are not known
// yet. The steps of the handshake are alone.
func tagsFit(kinds uint, t tags) bool {
	switch {
	case kinds == setOf(hello) || kinds == setOf(echo):
		return t.to == 0 && t.from != 0
	case kinds == setOf(cookie):
		return t.to != 0 && t.from == 0
	}
	return kinds&setOf(hello, cookie, echo) == 0 && t.to != 0 && t.from != 0
}

func sizeFits(k kind, size int) bool {
	switch k {
	case hello, cookie, echo:
		return size == cookieSize
	case welcome, gone:
		return size == 0
	case bye:
		return size == byeSize
	case data:
		return size > dataHead && size <= dataHead+maxSegment
	case ack:
		return size >= ackHead && (size-ackHead)%rangeSize == 0
	}
	return false
}

// cut returns the first of the chunks that parse found, and the rest.
func cut(chunks []byte) (k kind, body, rest []byte) {
	end := chunkHead + int(binary.BigEndian.Uint16(chunks[1:]))
	return kind(chunks[0]), chunks[chunkHead:end], chunks[end:]
}

func parseData(body []byte) (number, transmission uint64, payload []byte) {
	return binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:]), body[dataHead:]
}

// parseAck appends the ranges to ranges. It reports whether they ascend, with
// gaps between.
func parseAck(body []byte, ranges []span) (a acknowledgement, ok bool) {
	a.next = binary.BigEndian.Uint64(body)
	a.transmission = binary.BigEndian.Uint64(body[8:])
	a.window = int(binary.BigEndian.Uint16(body[16:]))
	end := a.next
	for body = body[ackHead:]; len(body) > 0; body = body[rangeSize:] {
		first := a.next + uint64(binary.BigEndian.Uint16(body))
		size := uint64(binary.BigEndian.Uint16(body[2:]))
		if first <= end || size == 0 {
			return a, false
		}
		end = first + size
		ranges = append(ranges, span{first, end})
	}
	a.ranges = ranges
	return a, true
}
