package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// A letter is a numbered message of one life of a participant. Its epoch
// changes when its sender was told that something may have been lost.
type letter struct {
	life          string
	epoch, number uint64
}

// bytes returns the letter with size bytes behind it.
func (l letter) bytes(size int) []byte {
	payload := fmt.Appendf(nil, "soak %s %d %d ", l.life, l.epoch, l.number)
	return append(payload, bytes.Repeat([]byte{'x'}, size)...)
}

// parseLetter reports whether payload is a letter, and not a stranger's.
func parseLetter(payload []byte) (l letter, ok bool) {
	fields := bytes.SplitN(payload, []byte{' '}, 5)
	if len(fields) != 5 || string(fields[0]) != "soak" || len(bytes.Trim(fields[4], "x")) > 0 {
		return letter{}, false
	}
	epoch, err := strconv.ParseUint(string(fields[2]), 10, 64)
	number, err2 := strconv.ParseUint(string(fields[3]), 10, 64)
	return letter{string(fields[1]), epoch, number}, err == nil && err2 == nil
}

// A sequence is the letters of one life that came so far: each once, in order,
// and without a hole but where the epoch changes. It may begin anywhere.
type sequence struct {
	begun bool
	last  letter
}

// add returns which promise is broken if l comes now, or "".
func (s *sequence) add(l letter) string {
	last, begun := s.last, s.begun
	s.last, s.begun = l, true
	switch {
	case !begun || l.number == last.number+1 && l.epoch >= last.epoch:
		return ""
	case l.number <= last.number:
		return fmt.Sprintf("message %d of %s came after %d: twice, or out of order", l.number, l.life, last.number)
	case l.epoch <= last.epoch:
		return fmt.Sprintf("messages %d to %d of %s are missing, and it was not told", last.number+1, l.number-1, l.life)
	}
	return ""
}
