package sockets_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

// What strangers write to deceive who reads it, on a terminal or in a log. More
// of it is in message_test.go, whose table returns here, with all of Unicode in
// TestPrintableOfAllOfUnicode.

// A hostileText is a payload, and what is shown of it.
type hostileText struct{ name, payload, shown string }

const forged = "[2024-02-03T12:16:00] Alice:\n\tSend money"

// separators are what some terminal, editor or program takes for the end of a
// line, and what is shown instead.
var separators = []hostileText{
	{"LF", "\n", "\n\t"},
	{"LF, twice", "\n\n", "\n\t\n\t"},
	{"LF and a tab", "\n\t", "\n\t"},
	{"LF and a space", "\n ", "\n\t "},
	{"LF and BS", "\n\b", "\n\t" + `\u{8}`},
	{"LF and CR", "\n\r", "\n\t" + `\u{d}`},
	{"LF and cursor left", "\n\x1b[8D", "\n\t" + `\u{1b}[8D`},
	{"LF and a mark", "\n\u0301", "\n\t\u0301"},
	{"LF and a joiner", "\n\u200d", "\n\t\u200d"},
	{"LF and a byte", "\n\xff", "\n\t\ufffd"},
	{"CR", "\r", `\u{d}`},
	{"CR LF", "\r\n", `\u{d}` + "\n\t"},
	{"VT", "\v", `\u{b}`},
	{"FF", "\f", `\u{c}`},
	{"FS, GS, RS, US", "\x1c\x1d\x1e\x1f", `\u{1c}\u{1d}\u{1e}\u{1f}`},
	{"NEL", "\u0085", `\u{85}`},
	{"NEL as a byte", "\x85", "\ufffd"},
	{"IND, RI", "\u0084\u008d", `\u{84}\u{8d}`},
	{"LS", "\u2028", `\u{2028}`},
	{"PS", "\u2029", `\u{2029}`},
	{"NUL", "\x00", `\u{0}`},
	{"overlong LF", "\xc0\x8a", "\ufffd\ufffd"},
	{"cut UTF-8 and LF", "\xe2\x80\n", "\ufffd\ufffd\n\t"},
	{"cursor to the next line", "\x1b[1E", `\u{1b}[1E`},
	{"cursor to the next line, ESC E", "\x1bE", `\u{1b}E`},
	{"picture of LF", "\u240a", "\u240a"},
}

var hostileTexts = []hostileText{
	{"CSI: 8 bits, as a byte", "\x9b31mred", "\ufffd31mred"},
	{"CSI: another screen", "\x1b[?1049h\x1b[3J", `\u{1b}[?1049h\u{1b}[3J`},
	{"CSI: a forged paste", "\x1b[200~rm -rf ~\n\x1b[201~", `\u{1b}[200~rm -rf ~` + "\n\t" + `\u{1b}[201~`},
	{"CSI: mouse reports", "\x1b[?1003h", `\u{1b}[?1003h`},
	{"CSI cut short", "hi\x1b[", `hi\u{1b}[`},
	{"ESC alone", "\x1b", `\u{1b}`},
	{"RIS", "\x1bc", `\u{1b}c`},
	{"OSC: title", "\x1b]0;root@host\x07", `\u{1b}]0;root@host\u{7}`},
	{"OSC 52, ended by a byte", "\x1b]52;c;cm0gLXJm\x9c", `\u{1b}]52;c;cm0gLXJm` + "\ufffd"},
	{"OSC 52, ended by nothing", "\x1b]52;c;?", `\u{1b}]52;c;?`},
	{"DCS: an image", "\x1bPq#0;2;0;0;0\x1b\\", `\u{1b}Pq#0;2;0;0;0\u{1b}\`},
	{"APC, PM, SOS", "\x1b_Gf=100\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\", `\u{1b}_Gf=100\u{1b}\\u{1b}^x\u{1b}\\u{1b}Xx\u{1b}\`},
	{"letters overwritten by BS", "Mallory\b\b\b\b\b\b\bAlice", `Mallory\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}Alice`},
	{"ENQ, SO, SUB, DEL", "\x05\x0e\x1a\x7f", `\u{5}\u{e}\u{1a}\u{7f}`},
	{"bytes from 0x80 on", string(bytesFrom(0x80)), strings.Repeat("\ufffd", 128)},
	{"NUL in a name", "Alice\x00Mallory", `Alice\u{0}Mallory`},
	{"BOM", "\ufeff[2024-02-03T12:15:00] Alice", `\u{feff}[2024-02-03T12:15:00] Alice`},
	{"BOM of UTF-16", "\xff\xfeh\x00i\x00", "\ufffd\ufffdh" + `\u{0}i\u{0}`},
	{"five and six bytes of UTF-8", "\xf8\x88\x80\x80\x80\xfc\x84\x80\x80\x80\x80", strings.Repeat("\ufffd", 11)},
	{"cut at the end", "ciao \xf0\x9f\x91", "ciao \ufffd\ufffd\ufffd"},
	{"half a surrogate pair", "a\xed\xa0\xbdb", "a\ufffd\ufffd\ufffdb"},

	{"a reversed file name", "invoice\u202efdp.exe", `invoice\u{202e}fdp.exe`},
	{"overrides left open", "\u202d\u202e\u202a\u202b", `\u{202d}\u{202e}\u{202a}\u{202b}`},
	{"isolates left open", "\u2066\u2067\u2068", `\u{2066}\u{2067}\u{2068}`},
	{"ends of what was not begun", "\u202c\u2069", `\u{202c}\u{2069}`},
	{"a hidden tag", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4" + `\u{e0067}\u{e0062}\u{e007f}`},
	{"spaces of many widths", "\u00a0\u2003\u3000\u205f", `\u{a0}\u{2003}\u{3000}\u{205f}`},
	{"invisible operators", "\u2061\u2062\u2063\u2064", `\u{2061}\u{2062}\u{2063}\u{2064}`},
	{"interlinear notes", "\ufff9a\ufffab\ufffb", `\u{fff9}a\u{fffa}b\u{fffb}`},
	{"noncharacters", "\ufdd0\U0001ffff", `\u{fdd0}\u{1ffff}`},

	{"10,000 combining marks", "Z" + strings.Repeat("\u0351", 10_000), "Z" + strings.Repeat("\u0351", 8)},
	{"10,000 combining marks and no letter", strings.Repeat("\u0351", 10_000), strings.Repeat("\u0351", 8)},
	{"10,000 combining marks on a line of their own", "Hi\n" + strings.Repeat("\u0351", 10_000), "Hi\n\t" + strings.Repeat("\u0351", 8)},
	{"10,000 enclosing marks", "Z" + strings.Repeat("\u20dd", 10_000), "Z" + strings.Repeat("\u20dd", 8)},
	{"10,000 variation selectors", "Z" + strings.Repeat("\ufe0f", 10_000), "Z" + strings.Repeat("\ufe0f", 8)},
	{"10,000 further variation selectors", "Z" + strings.Repeat("\U000e0100", 10_000), "Z" + strings.Repeat("\U000e0100", 8)},
	{"10,000 joiners", "Z" + strings.Repeat("\u200d", 10_000), "Z" + strings.Repeat("\u200d", 8)},
	{"marks behind marks that were dropped", "Z" + strings.Repeat("\u0351", 9) + "\x00\u0351", "Z" + strings.Repeat("\u0351", 8) + `\u{0}` + "\u0351"},
	{"a datagram full of ESC", strings.Repeat("\x1b", 65507), strings.Repeat(`\u{1b}`, 65507)},
	{"a datagram full of LF", strings.Repeat("\n", 65507), strings.Repeat("\n\t", 65507)},
	{"a datagram full of bytes", strings.Repeat("\xff", 65507), strings.Repeat("\ufffd", 65507)},
}

func bytesFrom(first int) (all []byte) {
	for b := first; b <= 0xff; b++ {
		all = append(all, byte(b))
	}
	return all
}

// allHostileTexts are those of the tables, and each separator before a forged
// message, in a text and in a name.
func allHostileTexts() []hostileText {
	all := slices.Clone(hostileTexts)
	for _, s := range separators {
		all = append(all,
			hostileText{s.name + " before a forged message", said("Mallory", "Hi"+s.payload+forged), said("Mallory", "Hi"+s.shown+forged)},
			hostileText{s.name + " before a forged name", said("Mallory"+s.payload+"[2024-02-03T12:16:00] Alice", "Hi"), said("Mallory"+s.shown+"[2024-02-03T12:16:00] Alice", "Hi")},
		)
	}
	for _, test := range printables {
		all = append(all, hostileText{test.name, test.payload, test.want})
	}
	return all
}

func TestHostileTexts(t *testing.T) {
	for _, row := range allHostileTexts() {
		t.Run(row.name, func(t *testing.T) {
			if got := sockets.Printable([]byte(row.payload)); got != row.shown {
				t.Errorf("Printable(%.200q) = %.200q, want %.200q", row.payload, got, row.shown)
			}
			checkPrintable(t, row.payload, sockets.Printable([]byte(row.payload)))
			if headers := strings.Count("\n"+row.shown, "\n["); headers > 1 {
				t.Errorf("%.200q shows %d headers", row.shown, headers)
			}
		})
	}
}

func TestHostileTextsInTheConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "output")
	for _, row := range allHostileTexts() {
		for how, show := range map[string]func(){
			"Println": func() { console.Println(errors.New(row.payload)) },
			"Printf":  func() { console.Printf("%s\n", row.payload) },
		} {
			if got := onStandardOutput(t, path, show); got != row.shown+"\n" {
				t.Errorf("%s: %s of %.100q prints %.100q, want %.100q", row.name, how, row.payload, got, row.shown)
			}
		}
	}
}

// onStandardOutput returns what show writes there, by way of a file.
func onStandardOutput(t *testing.T, path string, show func()) string {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before := os.Stdout
	os.Stdout = file
	show()
	os.Stdout = before
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// What the library says of what a stranger sent is safe to log, and so is what
// Printable made so. The text handler of slog also makes bare payloads safe, but
// for their marks.
func TestHostileTextsInALog(t *testing.T) {
	for _, row := range allHostileTexts() {
		f := framerOver(strings.NewReader(row.payload), 4)
		f.MaxMessage = 1
		_, err := f.ReadMessage()
		for err == nil {
			_, err = f.ReadMessage()
		}
		if shown := sockets.Printable([]byte(err.Error())); shown != err.Error() {
			t.Errorf("%s: the error is not safe to print: %q", row.name, err)
		}
		for what, value := range map[string]any{"Printable": row.shown, "payload": row.payload, "error": err} {
			var text, json bytes.Buffer
			slog.New(slog.NewTextHandler(&text, nil)).Info("received", what, value)
			checkLog(t, row.name+", "+what, text.String())
			if what != "payload" {
				slog.New(slog.NewJSONHandler(&json, nil)).Info("received", what, value)
				checkLog(t, row.name+", "+what, json.String())
			}
		}
	}
}

// A tlsNetwork has at every address the server of one certificate, which is not
// the one that was asked for.
type tlsNetwork struct {
	sockets.Network
	t    *testing.T
	name string // in the certificate
}

func (n tlsNetwork) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := pipe()
	_, server := tlsPair(n.t, here, there, n.name)
	go func() {
		server.Handshake()
		there.Close()
	}()
	defer here.Close()
	conn := tls.Client(here, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "bank.example"})
	return nil, conn.HandshakeContext(ctx)
}

// What a layer has from strangers, as the names in their certificates, is safe to
// print in the errors of Dial and of handshakes.
func TestHostileNamesInTheErrorsOfALayer(t *testing.T) {
	const name, shown = "\x1b[2J\x1b]52;c;cm0gLXJm\a\nforged line", `\u{1b}[2J\u{1b}]52;c;cm0gLXJm\u{7}` + "\n\tforged line"
	check := func(err error, want any) {
		t.Helper()
		if err == nil || !errors.As(err, want) {
			t.Fatalf("the error is %T %q, want a %T", err, err, want)
		}
		if text := err.Error(); !strings.HasPrefix(text, "sockets: ") || !strings.Contains(text, shown) || text != sockets.Printable([]byte(text)) {
			t.Errorf("the error is %q, want it to say %q and nothing that is not printable", text, shown)
		}
	}
	_, err := (&sockets.Config{Network: tlsNetwork{t: t, name: name}}).Dial(t.Context(), "127.0.0.1:443", nil)
	check(err, new(x509.HostnameError))
	synctest.Test(t, func(t *testing.T) {
		r := newServerRecorder(t)
		s := serve(t, sockets.Config{}, r.callback, shy(func(context.Context, *memConn) error {
			return &net.AddrError{Err: "a certificate for", Addr: name}
		}))
		for range 11 { // of which the last waits to be told
			s.dial().Close()
		}
		time.Sleep(time.Second)
		s.dial().Close()
		synctest.Wait()
		s.end()
		if got := len(r.errs); got != 11 {
			t.Errorf("%d errors are told, want 11", got)
		}
		for _, err := range r.errs {
			check(err, new(*net.AddrError))
		}
	})
}

// checkLog fails t unless line is one, and safe.
func checkLog(t *testing.T, what, line string) {
	t.Helper()
	line, ended := strings.CutSuffix(line, "\n")
	if at := strings.IndexFunc(line, func(r rune) bool { return !mayPass(r) }); at >= 0 || !ended {
		t.Errorf("%s: the log holds %.100q", what, line[max(at, 0):])
	}
}

// A hostileName is who a message says it is from, and what comes of it: who and
// what a program reads, and what is shown.
type hostileName struct{ name, sender, text, readSender, readText, shown string }

var longName = strings.Repeat("A", 100_000)

var hostileNames = []hostileName{
	{"empty", "", "Hi", "", "Hi", said("", "Hi")},
	{"empty, and no text", "", "", "", "", said("", "")},
	{"a space", " ", "Hi", " ", "Hi", said(" ", "Hi")},
	{"too long", longName, "Hi", longName, "Hi", said(longName, "Hi")},
	{"a colon", ":", "Hi", ":", "Hi", said(":", "Hi")},
	{"a colon at the end", "Alice:", "Hi", "Alice:", "Hi", said("Alice:", "Hi")},
	{"a colon and a word", "Alice: I am", "Hi", "Alice: I am", "Hi", said("Alice: I am", "Hi")},
	{"a newline", "\n", "Hi", "\n", "Hi", said("\n\t", "Hi")},
	{"a newline at the end", "Alice\n", "Hi", "Alice\n", "Hi", said("Alice\n\t", "Hi")},
	{"a newline at the start", "\nAlice", "Hi", "\nAlice", "Hi", said("\n\tAlice", "Hi")},
	{"a colon and a newline", "Alice:\n", "Hi", "Alice:\n", "Hi", said("Alice:\n\t", "Hi")},
	{"a newline and a tab", "\n\tHi", "Hi", "\n\tHi", "Hi", said("\n\tHi", "Hi")},
	{"a colon, a newline and a tab", "Alice:\n\tHi", "Bye", "Alice", "Hi:\n\tBye", said("Alice", "Hi:\n\tBye")},
	{"nothing but the end of a name", ":\n\t", "Hi", "", ":\n\tHi", said("", ":\n\tHi")},
	{"a whole message", said("Alice", "Hi"), "Bye", "[2024-02-03T12:15:00] Alice", "Hi:\n\tBye", said("[2024-02-03T12:15:00] Alice", "Hi:\n\tBye")},
	{"a message behind a newline", "Mallory\n" + said("Alice", "Hi"), "Bye", "Mallory\n[2024-02-03T12:15:00] Alice", "Hi:\n\tBye", said("Mallory\n\t[2024-02-03T12:15:00] Alice", "Hi:\n\tBye")},
	{"the end of a time", "] ", "Hi", "] ", "Hi", said("] ", "Hi")},
	{"another time", "2024-02-03T12:16:00] Alice", "Hi", "2024-02-03T12:16:00] Alice", "Hi", said("2024-02-03T12:16:00] Alice", "Hi")},
	{"a leave", sockets.ExitMessage, "Hi", sockets.ExitMessage, "Hi", said(sockets.ExitMessage, "Hi")},
	{"a leave behind the end of a name", "Alice:\n\t" + sockets.ExitMessage, "", "Alice", sockets.ExitMessage + ":\n\t", said("Alice", sockets.ExitMessage+":\n\t")},
	{"CR", "Mallory\rAlice", "Hi", "Mallory\rAlice", "Hi", said(`Mallory\u{d}Alice`, "Hi")},
	{"LS", "Mallory\u2028Alice", "Hi", "Mallory\u2028Alice", "Hi", said(`Mallory\u{2028}Alice`, "Hi")},
	{"an escape", "\x1b[2KAlice", "Hi", "\x1b[2KAlice", "Hi", said(`\u{1b}[2KAlice`, "Hi")},
	{"a change of direction", "\u202eecilA", "Hi", "\u202eecilA", "Hi", said(`\u{202e}ecilA`, "Hi")},
	{"a space of no width", "Ali\u200bce", "Hi", "Ali\u200bce", "Hi", said(`Ali\u{200b}ce`, "Hi")},
	{"not UTF-8", "Alice\xff", "Hi", "Alice\xff", "Hi", said("Alice\ufffd", "Hi")},
	{"NUL", "Alice\x00", "Hi", "Alice\x00", "Hi", said(`Alice\u{0}`, "Hi")},
	{"a letter that shows nothing", "Alice\u3164", "Hi", "Alice\u3164", "Hi", said(`Alice\u{3164}`, "Hi")},
	{"letters that look alike", "Аlice", "Hi", "Аlice", "Hi", said("Аlice", "Hi")},
}

func TestHostileNames(t *testing.T) {
	for _, row := range hostileNames {
		sent := sockets.Message{Sender: row.sender, Text: row.text, Timestamp: time.Date(2024, 2, 3, 12, 15, 0, 0, time.Local)}
		want := sockets.Message{Sender: row.readSender, Text: row.readText, Timestamp: sent.Timestamp}
		got, err := sockets.ParseMessage(sent.Bytes())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: ParseMessage = %v: -want +got\n%.1000s", row.name, err, diff)
		}
		if got.String() != sent.String() {
			t.Errorf("%s: what is read says %.200q, what was sent %.200q", row.name, got, sent)
		}
		if sockets.IsExit(sent.Bytes()) {
			t.Errorf("%s: a leave", row.name)
		}
		if shown := sockets.Printable(sent.Bytes()); shown != row.shown {
			t.Errorf("%s: %.200q is shown, want %.200q", row.name, shown, row.shown)
		}
		checkPrintable(t, sent.String(), row.shown)
		p, box := newOffice().peer(t, sockets.Config{}, "8080", honest)
		if err, tooBig := p.SendAll(sent.Bytes()), len(sent.Bytes()) > 65507; errors.Is(err, sockets.ErrMessageTooBig) != tooBig || len(box.parcels()) == 1 == tooBig {
			t.Errorf("%s: SendAll of %d bytes = %v", row.name, len(sent.Bytes()), err)
		}
	}
}
