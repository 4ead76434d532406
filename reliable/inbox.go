package reliable

import (
	"bytes"
	"encoding/binary"
)

// An inbox is what arrived in order from one peer and was not read yet: a
// stream of messages, each preceded by its length in two bytes.
type inbox struct {
	stream   bytes.Buffer
	messages int  // whole ones in stream
	whole    int  // their bytes
	shut     bool // nobody reads any more: what comes is dropped
}

// add appends to the stream.
func (in *inbox) add(payload []byte) {
	if in.shut {
		return
	}
	in.stream.Write(payload)
	for rest := in.stream.Bytes()[in.whole:]; len(rest) >= 2; in.messages++ {
		size := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) < size {
			break
		}
		rest = rest[size:]
		in.whole += size
	}
}

// take removes the first whole message, of which there is one, and copies it
// into p as far as it has room.
func (in *inbox) take(p []byte) int {
	size := int(binary.BigEndian.Uint16(in.stream.Next(2)))
	in.messages--
	in.whole -= 2 + size
	return copy(p, in.stream.Next(size))
}

// cutOff drops the message whose end will not come.
func (in *inbox) cutOff() { in.stream.Truncate(in.whole) }

// shutDown drops everything, now and later.
func (in *inbox) shutDown() { *in = inbox{shut: true} }
