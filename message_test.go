package sockets_test

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// messageTexts are messages and what the slides' programs make of them. The
// times are such that no time zone skips or repeats them.
var messageTexts = []struct {
	name    string
	message sockets.Message
	text    string
}{
	{
		"the slide",
		sockets.Message{Sender: "Alice", Text: "Hello, World!", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] Alice:\n\tHello, World!",
	}, {
		"microseconds",
		sockets.Message{Sender: "Bob", Text: "Hi", Timestamp: time.Date(2024, 10, 3, 15, 0, 22, 175104e3, time.Local)},
		"[2024-10-03T15:00:22.175104] Bob:\n\tHi",
	}, {
		"a tenth of a second",
		sockets.Message{Sender: "Bob", Text: "Hi", Timestamp: time.Date(2024, 10, 3, 15, 0, 22, 100e6, time.Local)},
		"[2024-10-03T15:00:22.100000] Bob:\n\tHi",
	}, {
		"one microsecond",
		sockets.Message{Sender: "Bob", Text: "Hi", Timestamp: time.Date(2024, 10, 3, 15, 0, 22, 1000, time.Local)},
		"[2024-10-03T15:00:22.000001] Bob:\n\tHi",
	}, {
		"several lines",
		sockets.Message{Sender: "Bob", Text: "one\ntwo\n\n\tthree\n", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] Bob:\n\tone\ntwo\n\n\tthree\n",
	}, {
		"empty text",
		sockets.Message{Sender: "Bob", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] Bob:\n\t",
	}, {
		"empty sender",
		sockets.Message{Text: "Hi", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] :\n\tHi",
	}, {
		"a sender with a colon",
		sockets.Message{Sender: "Bob: the second:", Text: "a: b", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] Bob: the second::\n\ta: b",
	}, {
		"a sender with brackets",
		sockets.Message{Sender: "[x] Bob] ", Text: "[y] z", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] [x] Bob] :\n\t[y] z",
	}, {
		"a text like a message",
		sockets.Message{Sender: "Bob", Text: "[2024-02-03T12:15:00] Alice:\n\tHi", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] Bob:\n\t[2024-02-03T12:15:00] Alice:\n\tHi",
	}, {
		"beyond ASCII",
		sockets.Message{Sender: "Zoë", Text: "ciao à tutti 👋", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] Zoë:\n\tciao à tutti 👋",
	}, {
		"bytes that are no text",
		sockets.Message{Sender: "\xff", Text: "\x00\xfe\x1b[2J", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)},
		"[2024-02-03T12:15:00] \xff:\n\t\x00\xfe\x1b[2J",
	},
}

func TestMessageStringIsThatOfTheSlides(t *testing.T) {
	for _, test := range messageTexts {
		if got := test.message.String(); got != test.text {
			t.Errorf("%s: String() = %q, want %q", test.name, got, test.text)
		}
		if got := test.message.Bytes(); string(got) != test.text {
			t.Errorf("%s: Bytes() = %q, want %q", test.name, got, test.text)
		}
	}
}

func TestMessageStringDropsLessThanAMicrosecond(t *testing.T) {
	for _, nanoseconds := range []int{1, 999} {
		m := sockets.Message{Sender: "Bob", Text: "Hi", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, nanoseconds, time.Local)}
		if got, want := m.String(), "[2024-02-03T12:15:00] Bob:\n\tHi"; got != want {
			t.Errorf("String() of a time with %d ns = %q, want %q", nanoseconds, got, want)
		}
	}
}

func TestParseMessageReadsBack(t *testing.T) {
	for _, test := range messageTexts {
		got, err := sockets.ParseMessage([]byte(test.text))
		if err != nil {
			t.Errorf("%s: ParseMessage(%q): %v", test.name, test.text, err)
			continue
		}
		if diff := cmp.Diff(test.message, got); diff != "" {
			t.Errorf("%s: ParseMessage(%q): -want +got\n%s", test.name, test.text, diff)
		}
		if got.Timestamp.Location() != time.Local {
			t.Errorf("%s: the time is in zone %v, want local time", test.name, got.Timestamp.Location())
		}
	}
}

func TestParseMessageConvertsZones(t *testing.T) {
	for stamp, want := range map[string]time.Time{
		"2024-02-03T12:15:00Z":             time.Date(2024, 2, 3, 12, 15, 0, 0, time.UTC),
		"2024-02-03T12:15:00+00:00":        time.Date(2024, 2, 3, 12, 15, 0, 0, time.UTC),
		"2024-02-03T12:15:00+02:00":        time.Date(2024, 2, 3, 10, 15, 0, 0, time.UTC),
		"2024-02-03T12:15:00-09:30":        time.Date(2024, 2, 3, 21, 45, 0, 0, time.UTC),
		"2024-02-03T12:15:00.175104+02:00": time.Date(2024, 2, 3, 10, 15, 0, 175104e3, time.UTC),
		"2024-02-03T12:15:00.1751049Z":     time.Date(2024, 2, 3, 12, 15, 0, 175104e3, time.UTC),
	} {
		got, err := sockets.ParseMessage([]byte("[" + stamp + "] Alice:\n\tHi"))
		if err != nil || !got.Timestamp.Equal(want) {
			t.Errorf("ParseMessage of %s = %v, %v, want %v", stamp, got.Timestamp.UTC(), err, want)
		}
		if got.Timestamp.Location() != time.Local {
			t.Errorf("ParseMessage of %s is in zone %v, want local time", stamp, got.Timestamp.Location())
		}
	}
}

// notMessages are payloads that ParseMessage refuses.
var notMessages = []string{
	"",
	"\x00",
	"Hello, World!",
	"<LEAVES THE CHAT>",
	":\n\t",
	"[]:\n\t",
	"[] :\n\t",
	"[] Alice:\n\tHi",
	"] Alice:\n\tHi",
	"[now] Alice:\n\tHi",
	"2024-02-03T12:15:00 Alice:\n\tHi",
	"2024-02-03T12:15:00] Alice:\n\tHi",
	"[2024-02-03T12:15:00 Alice:\n\tHi",
	"[2024-02-03T12:15:00:\n\tHi",
	"[2024-02-03T12:15:00]:\n\tHi",
	"[2024-02-03T12:15:00]Alice:\n\tHi",
	"[2024-02-03T12:15:00] Alice\n\tHi",
	"[2024-02-03T12:15:00] Alice: Hi",
	"[2024-02-03T12:15:00] Alice:\nHi",
	"[2024-02-03T12:15:00] Alice:\r\n\tHi",
	" [2024-02-03T12:15:00] Alice:\n\tHi",
	"\ufeff[2024-02-03T12:15:00] Alice:\n\tHi",
	"[[2024-02-03T12:15:00] Alice:\n\tHi",
	"[ 2024-02-03T12:15:00] Alice:\n\tHi",
	"[2024-02-03 12:15:00] Alice:\n\tHi",
	"[2024-02-03T12:15] Alice:\n\tHi",
	"[2024-02-30T12:15:00] Alice:\n\tHi",
	"[2024-02-03T24:00:00] Alice:\n\tHi",
	"[2024-02-03T12:15:60] Alice:\n\tHi",
	"[-2024-02-03T12:15:00] Alice:\n\tHi",
	"[12024-02-03T12:15:00] Alice:\n\tHi",
	"[2024-02-03T12:15:00CET] Alice:\n\tHi",
	"[2024-02-03T12:15:00+99:99] Alice:\n\tHi",
	"[2024-02-03T12:15:00\x00] Alice:\n\tHi",
	"[9999-12-31T23:59:59-23:59] Alice:\n\tHi",
	"[2024-02-03T12:15:00.0000000000000000000000000000000000001] Alice:\n\tHi",
}

func TestParseMessageRefusesWhatIsNone(t *testing.T) {
	for _, payload := range notMessages {
		got, err := sockets.ParseMessage([]byte(payload))
		if err == nil {
			t.Errorf("ParseMessage(%q) = %+v, want an error", payload, got)
			continue
		}
		if got != (sockets.Message{}) {
			t.Errorf("ParseMessage(%q) = %+v beside its error, want the zero Message", payload, got)
		}
		if !strings.HasPrefix(err.Error(), "sockets: ") {
			t.Errorf("ParseMessage(%q): %v, want an error that begins with sockets:", payload, err)
		}
	}
}

func TestParseMessageCopies(t *testing.T) {
	payload := []byte("[2024-02-03T12:15:00] Alice:\n\tHi")
	m, err := sockets.ParseMessage(payload)
	clear(payload)
	if err != nil || m.Sender != "Alice" || m.Text != "Hi" {
		t.Errorf("after the payload was reused: %+v, %v", m, err)
	}
}

// What a stranger sends costs no more than a few times its size.
func TestParseMessageIsBounded(t *testing.T) {
	const size = 1 << 20
	for name, payload := range map[string]string{
		"brackets":      strings.Repeat("[", size),
		"ends of times": strings.Repeat("] ", size/2),
		"separators":    strings.Repeat(":\n\t", size/3),
		"digits":        "[2024-02-03T12:15:00." + strings.Repeat("1", size) + "] Alice:\n\tHi",
		"a long time":   "[" + strings.Repeat("2024-02-03T12:15:00", size/19) + "] Alice:\n\tHi",
		"a long sender": "[2024-02-03T12:15:00] " + strings.Repeat("A", size) + ":\n\tHi",
		"a long text":   "[2024-02-03T12:15:00] Alice:\n\t" + strings.Repeat("A", size),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := sockets.ParseMessage([]byte(payload))
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4*size {
			t.Errorf("%s: ParseMessage of %d bytes allocates %d", name, len(payload), used)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestNewMessageIsOfNow(t *testing.T) {
	before := time.Now().Truncate(time.Microsecond)
	m := sockets.NewMessage("Hello, World!", "Alice")
	after := time.Now()
	if m.Text != "Hello, World!" || m.Sender != "Alice" {
		t.Errorf("NewMessage = %+v", m)
	}
	if m.Timestamp.Before(before) || m.Timestamp.After(after) {
		t.Errorf("NewMessage is of %v, want between %v and %v", m.Timestamp, before, after)
	}
	if m.Timestamp != m.Timestamp.Truncate(time.Microsecond).Round(0) {
		t.Errorf("NewMessage is of %v, want whole microseconds and no monotonic clock", m.Timestamp)
	}
	again, err := sockets.ParseMessage(m.Bytes())
	if err != nil || again.String() != m.String() {
		t.Errorf("ParseMessage(%q) = %q, %v", m, again, err)
	}
}

// The zone of a process is fixed when it starts, so the test runs itself once
// more, in the zone of the course.
func TestMessageTimeIsLocal(t *testing.T) {
	const zone = "Europe/Rome"
	if os.Getenv("TZ") != zone {
		if runtime.GOOS == "windows" {
			t.Skip("Windows does not take the zone from the environment")
		}
		itself, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		again := exec.Command(itself, "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), "TZ="+zone, "GORACE=atexit_sleep_ms=0")
		out, err := again.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("in %s: %v\n%s", zone, err, out)
		}
		return
	}

	for stamp, want := range map[string]string{
		"2024-02-03T12:15:00":       "2024-02-03T12:15:00",
		"2024-02-03T12:15:00Z":      "2024-02-03T13:15:00",
		"2024-08-03T12:15:00.5Z":    "2024-08-03T14:15:00.500000",
		"2024-02-03T12:15:00+02:00": "2024-02-03T11:15:00",
		"2024-02-03T00:15:00+02:00": "2024-02-02T23:15:00",
		"2024-10-27T00:30:00Z":      "2024-10-27T02:30:00",
		"2024-10-27T01:30:00Z":      "2024-10-27T02:30:00",
		"2024-10-27T02:30:00":       "2024-10-27T02:30:00",
		"2024-03-31T01:30:00Z":      "2024-03-31T03:30:00",
	} {
		m, err := sockets.ParseMessage([]byte("[" + stamp + "] Alice:\n\tHi"))
		if err != nil {
			t.Errorf("ParseMessage of %s: %v", stamp, err)
			continue
		}
		if got, want := m.String(), "["+want+"] Alice:\n\tHi"; got != want {
			t.Errorf("ParseMessage of %s, String = %q, want %q", stamp, got, want)
		}
	}
	m := sockets.Message{Sender: "Alice", Text: "Hi", Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.FixedZone("", 9*3600))}
	if got, want := m.String(), "[2024-02-03T04:15:00] Alice:\n\tHi"; got != want {
		t.Errorf("String of a time in another zone = %q, want %q", got, want)
	}
}

func TestIsExitWantsTheWholeText(t *testing.T) {
	for payload, want := range map[string]bool{
		string(sockets.NewMessage(sockets.ExitMessage, "Alice").Bytes()): true,
		"[2024-02-03T12:15:00] Alice:\n\t<LEAVES THE CHAT>":              true,
		"[2024-02-03T12:15:00.175104] Alice:\n\t<LEAVES THE CHAT>":       true,
		"[2024-02-03T12:15:00+02:00] Alice: B:\n\t<LEAVES THE CHAT>":     true,
		"[2024-02-03T12:15:00] :\n\t<LEAVES THE CHAT>":                   true,

		"[2024-02-03T12:15:00] Alice:\n\tShe <LEAVES THE CHAT>":                             false,
		"[2024-02-03T12:15:00] Alice:\n\tto end it, send <LEAVES THE CHAT>":                 false,
		"[2024-02-03T12:15:00] Alice:\n\t<LEAVES THE CHAT> is the word":                     false,
		"[2024-02-03T12:15:00] Alice:\n\t <LEAVES THE CHAT>":                                false,
		"[2024-02-03T12:15:00] Alice:\n\t<LEAVES THE CHAT>\n":                               false,
		"[2024-02-03T12:15:00] Alice:\n\t<leaves the chat>":                                 false,
		"[2024-02-03T12:15:00] Alice:\n\tBye\n\t<LEAVES THE CHAT>":                          false,
		"[2024-02-03T12:15:00] Alice:\n\t[2024-02-03T12:15:00] Alice:\n\t<LEAVES THE CHAT>": false,
		"[2024-02-03T12:15:00] Alice:\n\tBob:\n\t<LEAVES THE CHAT>":                         false,
		"[2024-02-03T12:15:00] <LEAVES THE CHAT>:\n\tHi":                                    false,
		"[2024-02-03T12:15:00] Alice:\n\t":                                                  false,
		"[yesterday] Alice:\n\t<LEAVES THE CHAT>":                                           false,
		"<LEAVES THE CHAT>": false,
		"":                  false,
		"[2024-02-03T12:15:00] Alice:\n\t\x1b<LEAVES THE CHAT>":                                      false,
		"[2024-02-03T12:15:00] Alice:\n\t<LEAVES THE CHAT>" + strings.Repeat("\x00", 2000):           false,
		"[2024-02-03T12:15:00] " + strings.Repeat("<LEAVES THE CHAT>", 100) + " <LEAVES THE CHAT>\n": false,
	} {
		if got := sockets.IsExit([]byte(payload)); got != want {
			t.Errorf("IsExit(%q) = %v, want %v", payload, got, want)
		}
	}
}

const (
	maxMarks  = 8 // combining marks and joiners that Printable leaves in a row
	maxGrowth = 6 // times as many bytes as there were, at most
)

var printables = []struct{ name, payload, want string }{
	{"nothing", "", ""},
	{"ASCII", " !09AZaz~\t[]{}\\", " !09AZaz~\t[]{}\\"},
	{"a message", "[2024-02-03T12:15:00] Alice:\n\tHello, World!", "[2024-02-03T12:15:00] Alice:\n\tHello, World!"},

	{"CSI: colour", "\x1b[31mred\x1b[0m", `\u{1b}[31mred\u{1b}[0m`},
	{"CSI: clear the screen", "\x1b[2J\x1b[H", `\u{1b}[2J\u{1b}[H`},
	{"CSI: one line up", "\x1b[1A", `\u{1b}[1A`},
	{"CSI: ask the terminal to type", "\x1b[6n\x1b[c", `\u{1b}[6n\u{1b}[c`},
	{"OSC 52: write the clipboard", "\x1b]52;c;cm0gLXJm\x07", `\u{1b}]52;c;cm0gLXJm\u{7}`},
	{"OSC 8: a link", "\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", `\u{1b}]8;;http://evil\u{1b}\text\u{1b}]8;;\u{1b}\`},
	{"DCS", "\x1bP$q\"p\x1b\\", `\u{1b}P$q"p\u{1b}\`},
	{"C1 in UTF-8: CSI, OSC, DCS, ST", "\u009b2J\u009d52;\u0090\u009c", `\u{9b}2J\u{9d}52;\u{90}\u{9c}`},
	{"C1 as bare bytes", "\x9b2J\x9d52;\x90\x9c", "\ufffd2J\ufffd52;\ufffd\ufffd"},
	{"C0", "\x00\x01\a\b\v\f\x0e\x0f\x1f\x7f", `\u{0}\u{1}\u{7}\u{8}\u{b}\u{c}\u{e}\u{f}\u{1f}\u{7f}`},

	{"lone CR", "Hi\r[2024-02-03T12:15:00] Alice:", `Hi\u{d}[2024-02-03T12:15:00] Alice:`},
	{"CR LF", "one\r\ntwo", "one\\u{d}\n\ttwo"},
	{"NEL", "one\u0085two", `one\u{85}two`},
	{"line and paragraph separator", "one\u2028two\u2029three", `one\u{2028}two\u{2029}three`},

	{"bidi overrides", "\u202egnp.exe\u202c\u202d", `\u{202e}gnp.exe\u{202c}\u{202d}`},
	{"bidi embeddings", "\u202a\u202b", `\u{202a}\u{202b}`},
	{"bidi isolates", "\u2066a\u2067b\u2068c\u2069", `\u{2066}a\u{2067}b\u{2068}c\u{2069}`},
	{"bidi marks", "\u200e\u200f\u061c", `\u{200e}\u{200f}\u{61c}`},
	{"invisible", "a\u200bb\u2060c\u00add\ufeffe\u180ef", `a\u{200b}b\u{2060}c\u{ad}d\u{feff}e\u{180e}f`},
	{"tags", "\U000e0001\U000e0041\U000e007f", `\u{e0001}\u{e0041}\u{e007f}`},
	{"private use", "\ue000\U000f0000\U0010fffd", `\u{e000}\u{f0000}\u{10fffd}`},
	{"not a character", "\ufffe\uffff\U0010ffff\u0378", `\u{fffe}\u{ffff}\u{10ffff}\u{378}`},

	{"not UTF-8", "a\xff\xc3(\xfe", "a\ufffd\ufffd(\ufffd"},
	{"cut UTF-8", "\xe2\x82", "\ufffd\ufffd"},
	{"overlong ESC", "\xc0\x9b[2J\xe0\x80\x9b[2J", "\ufffd\ufffd[2J\ufffd\ufffd\ufffd[2J"},
	{"surrogates", "\xed\xa0\x80\xed\xb0\x80", strings.Repeat("\ufffd", 6)},
	{"beyond Unicode", "\xf4\x90\x80\x80", strings.Repeat("\ufffd", 4)},

	{
		"a forged second message",
		"[2024-02-03T12:15:00] Mallory:\n\tHi\n[2024-02-03T12:16:00] Alice:\n\tSend money",
		"[2024-02-03T12:15:00] Mallory:\n\tHi\n\t[2024-02-03T12:16:00] Alice:\n\tSend money",
	},
	{"a forged message behind a mark", "Hi\n\u0301[2024-02-03T12:16:00] Alice:", "Hi\n\t\u0301[2024-02-03T12:16:00] Alice:"},
	{"a forged message behind a joiner", "Hi\n\u200d[2024-02-03T12:16:00] Alice:", "Hi\n\t\u200d[2024-02-03T12:16:00] Alice:"},
	{"lines", "one\ntwo\n\tthree\n\t\tfour", "one\n\ttwo\n\tthree\n\t\tfour"},
	{"empty lines", "one\n\n\ntwo", "one\n\t\n\t\n\ttwo"},
	{"a newline at the end", "one\n", "one\n\t"},
	{"a newline at the start", "\none", "\n\tone"},
	{"an escape at the start of a line", "one\n\x1b[1A", "one\n\t\\u{1b}[1A"},
	{"bytes at the start of a line", "one\n\xff", "one\n\t\ufffd"},

	{"a few marks", "e\u0301 a\u0308\u0323", "e\u0301 a\u0308\u0323"},
	{"as many marks as may be", "e" + strings.Repeat("\u0301", 8) + "!", "e" + strings.Repeat("\u0301", 8) + "!"},
	{"a tower of marks", "e" + strings.Repeat("\u0301", 100) + "!", "e" + strings.Repeat("\u0301", 8) + "!"},
	{"a tower of several marks", "e" + strings.Repeat("\u0301\u0489\u200d\u0e48", 100) + "!", "e" + strings.Repeat("\u0301\u0489\u200d\u0e48", 2) + "!"},
	{"two towers", strings.Repeat("\u0301", 9) + "a" + strings.Repeat("\u0301", 9), strings.Repeat("\u0301", 8) + "a" + strings.Repeat("\u0301", 8)},
	{"only joiners", strings.Repeat("\u200d\u200c", 50), strings.Repeat("\u200d\u200c", 4)},

	{"a family", "👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"},
	{"many families", strings.Repeat("👨‍👩‍👧‍👦", 20), strings.Repeat("👨‍👩‍👧‍👦", 20)},
	{"a skin tone and a profession", "👩🏽‍🚀", "👩🏽‍🚀"},
	{"a heart with U+FE0F", "❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"},
	{"a keycap and a flag", "1\ufe0f\u20e3🇮🇹🏳\ufe0f\u200d🌈", "1\ufe0f\u20e3🇮🇹🏳\ufe0f\u200d🌈"},
	{"many scripts", "שלום مرحبا नमस्ते สวัสดี 你好 こんにちは 안녕 Привет", "שלום مرحبا नमस्ते สวัสดี 你好 こんにちは 안녕 Привет"},
	{"Persian with its joiner", "می\u200cخواهم", "می\u200cخواهم"},

	{"what looks escaped", `\u{1b}[2J \u{`, `\u{1b}[2J \u{`},
}

func TestPrintable(t *testing.T) {
	for _, test := range printables {
		got := sockets.Printable([]byte(test.payload))
		if got != test.want {
			t.Errorf("%s: Printable(%q) = %q, want %q", test.name, test.payload, got, test.want)
		}
		checkPrintable(t, test.payload, got)
	}
}

func TestPrintableLeavesItsPayloadAlone(t *testing.T) {
	payload := []byte("a\x1b\nb\xff")
	before := bytes.Clone(payload)
	if sockets.Printable(payload); !bytes.Equal(payload, before) {
		t.Errorf("Printable changed its payload from %q to %q", before, payload)
	}
}

// What must come of each code point is written down here a second time. A
// letter behind each that passes keeps marks apart. As code points come out
// unchanged, or as ASCII that is unchanged itself, it also shows that Printable
// is idempotent.
func TestPrintableOfAllOfUnicode(t *testing.T) {
	const block = 1 << 16
	for first := rune(0); first <= unicode.MaxRune; first += block {
		var payload, want []byte
		for r := first; r < first+block; r++ {
			switch {
			case !utf8.ValidRune(r):
				payload = append(payload, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0xbf, 0x80|byte(r)&0xbf)
				want = append(want, "\ufffd\ufffd\ufffd"...)
			case r == '\n':
				payload = append(payload, "\n"...)
				want = append(want, "\n\t"...)
			case r == '\t', mayPass(r):
				payload = append(utf8.AppendRune(payload, r), 'a')
				want = append(utf8.AppendRune(want, r), 'a')
			default:
				payload = utf8.AppendRune(payload, r)
				want = append(want, `\u{`...)
				want = strconv.AppendInt(want, int64(r), 16)
				want = append(want, '}')
			}
		}
		got := sockets.Printable(payload)
		if got != string(want) {
			at := 0
			for at < len(got) && at < len(want) && got[at] == want[at] {
				at++
			}
			at = max(0, at-10)
			t.Fatalf("from U+%04X: got … %.40q, want … %.40q", first, got[at:], want[at:])
		}
	}
}

func mayPass(r rune) bool {
	if r < 0x7f {
		return r >= ' '
	}
	switch r {
	case '\u200c', '\u200d':
		return true
	case '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800', '\u034f', '\u17b4', '\u17b5': // they show nothing
		return unicode.IsMark(r)
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

// checkPrintable fails t unless got is what Printable may give for payload.
func checkPrintable(t *testing.T, payload, got string) {
	t.Helper()
	if !utf8.ValidString(got) {
		t.Errorf("Printable(%.200q) = %.200q is not UTF-8", payload, got)
	}
	marks := 0
	previous := ' '
	for _, r := range got {
		if previous == '\n' && r != '\t' {
			t.Errorf("Printable(%.200q) = %.200q has a line without a tab", payload, got)
		}
		previous = r
		if r != '\n' && r != '\t' && !mayPass(r) {
			t.Errorf("Printable(%.200q) = %.200q lets U+%04X pass", payload, got, r)
		}
		if !unicode.IsMark(r) && r != '\u200c' && r != '\u200d' {
			marks = 0
		} else if marks++; marks > maxMarks {
			t.Errorf("Printable(%.200q) = %.200q has more than %d marks in a row", payload, got, maxMarks)
		}
	}
	if previous == '\n' {
		t.Errorf("Printable(%.200q) = %.200q ends with a line without a tab", payload, got)
	}
	if len(got) > maxGrowth*len(payload) {
		t.Errorf("Printable(%.200q): %d bytes became %d", payload, len(payload), len(got))
	}
	if again := sockets.Printable([]byte(got)); again != got {
		t.Errorf("Printable(%.200q) = %.200q, and of that %.200q", payload, got, again)
	}
}

func FuzzPrintable(f *testing.F) {
	for _, test := range printables {
		f.Add([]byte(test.payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		checkPrintable(t, string(payload), sockets.Printable(payload))
	})
}

func FuzzParseMessage(f *testing.F) {
	for _, test := range messageTexts {
		f.Add([]byte(test.text))
	}
	for _, payload := range notMessages {
		f.Add([]byte(payload))
	}
	for _, stamp := range []string{"2024-02-03T12:15:00Z", "2024-02-03T12:15:00.5+02:00", "0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"} {
		f.Add([]byte("[" + stamp + "] Alice:\n\t<LEAVES THE CHAT>"))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		exit := sockets.IsExit(payload)
		m, err := sockets.ParseMessage(payload)
		if err != nil {
			if m != (sockets.Message{}) || exit {
				t.Errorf("ParseMessage(%q) = %+v, %v, IsExit %v", payload, m, err, exit)
			}
			return
		}
		if exit != (m.Text == sockets.ExitMessage) {
			t.Errorf("IsExit(%q) = %v, of text %q", payload, exit, m.Text)
		}
		if !bytes.HasSuffix(payload, []byte(m.Sender+":\n\t"+m.Text)) {
			t.Errorf("ParseMessage(%q) = %+v", payload, m)
		}
		// Two instants in the hour that a clock repeats are written alike: the text
		// comes back, the instant need not.
		again, err := sockets.ParseMessage(m.Bytes())
		if err != nil {
			t.Fatalf("ParseMessage(%q).String() = %q, which does not parse: %v", payload, m, err)
		}
		if again.Sender != m.Sender || again.Text != m.Text || again.String() != m.String() {
			t.Errorf("ParseMessage(%q) = %q, and of that %q", payload, m, again)
		}
	})
}
