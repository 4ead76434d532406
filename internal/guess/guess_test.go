package guess_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed287501ae/sockets/internal/guess"
)

const mebibyte = 1 << 20

// questions are what streams begin with that are not framed as expected, and a
// part of the question that they raise: none if it is empty.
var questions = []struct {
	head   string
	prefix int
	limit  uint64
	want   string
}{
	{"GET / HT", 4, mebibyte, `the length spells "GET ": is the other end an HTTP client?`},
	{"HEAD / H", 4, mebibyte, `the length spells "HEAD": is the other end an HTTP client?`},
	{"POST / H", 4, mebibyte, `the length spells "POST": is the other end an HTTP client?`},
	{"PUT / HT", 4, mebibyte, `the length spells "PUT ": is the other end an HTTP client?`},
	{"DELETE /", 4, mebibyte, `the length spells "DELE": is the other end an HTTP client?`},
	{"OPTIONS ", 4, mebibyte, `the length spells "OPTI": is the other end an HTTP client?`},
	{"CONNECT ", 4, mebibyte, `the length spells "CONN": is the other end an HTTP client?`},
	{"TRACE / ", 4, mebibyte, `the length spells "TRAC": is the other end an HTTP client?`},
	{"PATCH / ", 4, mebibyte, `the length spells "PATC": is the other end an HTTP client?`},
	{"PRI * HT", 4, mebibyte, `the length spells "PRI ": is the other end an HTTP client?`},
	{"HTTP/1.1", 4, mebibyte, `the length spells "HTTP": is the other end an HTTP server?`},
	{"SSH-2.0-", 4, mebibyte, `the length spells "SSH-": is the other end an SSH program?`},
	{"\x16\x03\x01\x02\x00\x01\x00\x01", 4, mebibyte, `the length spells "\x16\x03\x01\x02": is the other end a TLS client?`},

	{"GET / HT", 8, mebibyte, `the length spells "GET / HT": is the other end an HTTP client?`},
	{"PRI * HT", 8, mebibyte, `the length spells "PRI * HT": is the other end an HTTP client?`},
	{"GET / HT", 2, 1000, `the length spells "GE": is the other end an HTTP client?`},
	{"GET / HT", 1, 10, `the length spells "G": is the other end an HTTP client?`},
	{"GE", 2, 1000, `is the other end an HTTP client?`},
	{"\x16\x03\x01\x02", 2, 1000, `is the other end a TLS client?`},

	{"GETTING ", 4, mebibyte, `the length spells "GETT": does the other end send text without a prefix?`},
	{"get / ht", 4, mebibyte, `does the other end send text without a prefix?`},
	{"Hello, w", 4, mebibyte, `the length spells "Hell": does the other end send text without a prefix?`},
	{"G", 1, 10, `the length spells "G": does the other end send text without a prefix?`},
	{"\r\n\r\n", 4, mebibyte, `does the other end send text without a prefix?`},
	{"perché\n", 4, mebibyte, `the length spells "perc": does the other end send text without a prefix?`},
	{"così\n", 4, mebibyte, "the length spells \"cos\\xc3\": does the other end send text without a prefix?"},

	{"\x00\x05Hello", 4, mebibyte, "it would fit a prefix of width 2: does the other end use one?"},
	{"\x05Hello w", 4, mebibyte, "it would fit a prefix of width 1: does the other end use one?"},
	{"\x05Hello w", 2, 1000, "it would fit a prefix of width 1: does the other end use one?"},
	{"\x00\x00\x00\x04text", 8, mebibyte, "it would fit a prefix of width 4: does the other end use one?"},
	{"\x00\x04text\n", 8, mebibyte, "it would fit a prefix of width 2: does the other end use one?"},
	{"\x05Hello w", 8, mebibyte, "it would fit a prefix of width 1: does the other end use one?"},

	{"\xff\xff\xff\xff", 4, mebibyte, ""},
	{"\xff\xff\xff\xff\xff\xff\xff\xff", 8, mebibyte, ""},
	{"\x80\x00\x00\x00\x00\x00\x00\x00", 8, mebibyte, ""},
	{"\x00\x20\x00\x00\x00\x00\x00\x00", 4, mebibyte, ""},
	{"\x00\x05\x80\x81\x82\x83\x84\x85", 4, mebibyte, ""},
	{"\x00\x20some te", 2, 10, ""},
	{"\x80some te", 2, 10, ""},
	{"\x01\x05some t", 4, 100, ""},
	{"\xff", 1, 10, ""},
	{"\x00\xff", 2, 10, ""},
	{"\x7f\x1b\x00\x01", 4, mebibyte, ""},
}

func TestQuestion(t *testing.T) {
	for _, test := range questions {
		got := guess.Question([]byte(test.head), test.prefix, test.limit)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("Question(%q, %d, %d) = %q, want %q in it", test.head, test.prefix, test.limit, got, test.want)
		}
		checkQuestion(t, test.head, test.prefix, got)
	}
}

// checkQuestion wants a question to be nothing, or one that may stand at the
// end of an error, whatever a stranger sent.
func checkQuestion(t *testing.T, head string, prefix int, got string) {
	t.Helper()
	if got == "" {
		return
	}
	if !strings.HasPrefix(got, " (") || !strings.HasSuffix(got, "?)") || !utf8.ValidString(got) || len(got) > 120 {
		t.Errorf("Question(%q, %d) = %q", head, prefix, got)
	}
	for _, r := range got {
		if r < ' ' || r == 0x7f {
			t.Errorf("Question(%q, %d) = %q, with a control character", head, prefix, got)
		}
	}
}

// Whatever has arrived by then, from the prefix alone to 8 bytes.
func TestQuestionOfShortHeads(t *testing.T) {
	for _, prefix := range []int{1, 2, 4, 8} {
		for size := prefix; size <= 8; size++ {
			for _, test := range questions {
				head := test.head
				for len(head) < size {
					head += "\x00"
				}
				for _, limit := range []uint64{0, 1, 255, mebibyte, 1<<64 - 1} {
					exact := []byte(head)[:size:size]
					checkQuestion(t, head[:size], prefix, guess.Question(exact, prefix, limit))
				}
			}
		}
	}
}

func FuzzQuestion(f *testing.F) {
	for _, test := range questions {
		f.Add([]byte(test.head), test.prefix, test.limit)
	}
	f.Fuzz(func(t *testing.T, head []byte, width int, limit uint64) {
		prefix := 1 << (width & 3)
		if len(head) < prefix {
			return
		}
		size := min(len(head), 8)
		head = head[:size:size]
		before := string(head)
		checkQuestion(t, before, prefix, guess.Question(head, prefix, limit))
		if string(head) != before {
			t.Errorf("Question changed %q into %q", before, head)
		}
	})
}
