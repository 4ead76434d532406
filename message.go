package sockets

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ExitMessage is the text of the message by which a participant leaves a chat.
const ExitMessage = "<LEAVES THE CHAT>"

const (
	isoLocal = "2006-01-02T15:04:05"
	isoZone  = "2006-01-02T15:04:05Z07:00"
	isoMicro = "2006-01-02T15:04:05.000000"
)

var errNotMessage = errors.New(`sockets: not a chat message: want "[TIME] SENDER:\n\tTEXT"`)

// A Message is what the participants of the slides' chats exchange: who wrote
// what, and when. Sender should be one line; Text may be of several.
type Message struct {
	Sender, Text string
	Timestamp    time.Time
}

// NewMessage returns a message of now, to the microsecond.
func NewMessage(text, sender string) Message {
	return Message{Sender: sender, Text: text, Timestamp: time.Now().Truncate(time.Microsecond)}
}

// String returns the message as the slides print and send it:
//
//	[2024-02-03T12:15:00] Alice:
//		Hello, World!
//
// The time is local, in ISO 8601 without a zone; microseconds appear only when
// they are not zero.
func (m Message) String() string {
	layout := isoLocal
	timestamp := m.Timestamp.Local().Truncate(time.Microsecond)
	if timestamp.Nanosecond() != 0 {
		layout = isoMicro
	}
	return "[" + timestamp.Format(layout) + "] " + m.Sender + ":\n\t" + m.Text
}

// Bytes returns [Message.String] in UTF-8: the payload of one datagram or of
// one frame.
func (m Message) Bytes() []byte { return []byte(m.String()) }

// ParseMessage is the inverse of [Message.Bytes]. A time without a zone is
// local; one with a zone, as "+02:00" or "Z", is converted to local time. The
// text may be of several lines, or empty.
func ParseMessage(payload []byte) (Message, error) {
	header, text, ok := bytes.Cut(payload, []byte(":\n\t"))
	stamp, sender, ok2 := bytes.Cut(header, []byte("] "))
	stamp, ok3 := bytes.CutPrefix(stamp, []byte("["))
	if !ok || !ok2 || !ok3 || len(stamp) > len("2024-02-03T12:15:00.123456789+01:00") {
		return Message{}, errNotMessage
	}
	timestamp, err := time.ParseInLocation(isoLocal, string(stamp), time.Local)
	if err != nil {
		if timestamp, err = time.Parse(isoZone, string(stamp)); err != nil {
			return Message{}, errNotMessage
		}
	}
	timestamp = timestamp.Local().Truncate(time.Microsecond)
	if year := timestamp.Year(); year < 1 || year > 9999 {
		return Message{}, errNotMessage
	}
	return Message{Sender: string(sender), Text: string(text), Timestamp: timestamp}, nil
}

// IsExit reports whether payload is a message that says goodbye: one whose
// whole text is [ExitMessage]. A sentence that merely mentions it is not.
func IsExit(payload []byte) bool {
	m, err := ParseMessage(payload)
	return err == nil && m.Text == ExitMessage
}

// Printable returns payload as text that is safe to show on a terminal,
// whatever a stranger sent. Letters, marks, digits, punctuation and symbols of
// every script pass. Of the rest:
//
//   - every line after the first starts with a tab, added where it is missing,
//     so that no text can look like the header of another message;
//   - what does not print (control characters, terminal escapes, changes of
//     direction) or is a letter that shows nothing is escaped, as \u{1b};
//   - a byte that is not UTF-8 becomes U+FFFD;
//   - combining marks and joiners beyond 8 in a row are dropped.
//
// Printable of its own result changes nothing.
func Printable(payload []byte) string {
	const maxMarks = 8
	var b strings.Builder
	b.Grow(len(payload))
	marks := 0
	newline := false
	for rest := payload; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		if newline && r != '\t' {
			b.WriteByte('\t')
		}
		newline = r == '\n'
		joiner := r == '\u200c' || r == '\u200d'
		if joiner || unicode.IsMark(r) {
			if marks++; marks <= maxMarks {
				b.WriteRune(r)
			}
			continue
		}
		marks = 0
		filler := unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == '\u2800'
		if unicode.IsPrint(r) && !filler || r == '\n' || r == '\t' {
			b.WriteRune(r)
		} else {
			b.WriteString(`\u{` + strconv.FormatInt(int64(r), 16) + `}`)
		}
	}
	if newline {
		b.WriteByte('\t')
	}
	return b.String()
}

// A shown error says in printable text what a layer may have had from strangers,
// such as the names in their certificates.
type shown struct{ error }

func (e shown) Error() string { return Printable([]byte(e.error.Error())) }
func (e shown) Unwrap() error { return e.error }
