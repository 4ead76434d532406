// Package guess names who may have sent bytes that make no sense as a length.
package guess

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

var programs = []struct{ start, name string }{
	{"GET ", "an HTTP client"}, {"HEAD ", "an HTTP client"}, {"POST ", "an HTTP client"}, {"PUT ", "an HTTP client"},
	{"DELETE ", "an HTTP client"}, {"OPTIONS ", "an HTTP client"}, {"CONNECT ", "an HTTP client"},
	{"PATCH ", "an HTTP client"}, {"TRACE ", "an HTTP client"}, {"PRI * HTTP", "an HTTP client"},
	{"HTTP/", "an HTTP server"}, {"SSH-", "an SSH program"}, {"\x16\x03", "a TLS client"},
}

// Question asks who sent head, a stream's bytes from a prefix on that announces
// more than limit. It is empty where there is no idea.
func Question(head []byte, prefix int, limit uint64) string {
	length := head[:prefix]
	for _, program := range programs {
		n := min(len(head), len(program.start))
		if n > 1 && strings.HasPrefix(program.start, string(head[:n])) {
			return fmt.Sprintf(" (the length spells %q: is the other end %s?)", length, program.name)
		}
	}
	if isText(length) {
		return fmt.Sprintf(" (the length spells %q: does the other end send text without a prefix?)", length)
	}
	for _, width := range []int{1, 2, 4} {
		announced := uint64(0)
		for _, b := range length[:min(width, prefix)] {
			announced = announced<<8 | uint64(b)
		}
		if width < prefix && announced > 0 && announced <= limit && isText(head[width:]) {
			return fmt.Sprintf(" (it would fit a prefix of width %d: does the other end use one?)", width)
		}
	}
	return ""
}

// isText reports whether b could be text, be it cut inside a letter.
func isText(b []byte) bool {
	for len(b) > 0 && utf8.FullRune(b) {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
		b = b[size:]
	}
	return true
}
