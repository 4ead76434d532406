package console_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/seed287501ae/sockets/console"
	"golang.org/x/sys/unix"
)

func init() {
	// busychat prints messages while it reports the lines typed.
	programs["busychat"] = func() {
		for range 4 {
			go func() {
				for range 500 {
					console.Println("a message")
				}
			}()
		}
		for line := range console.Lines() {
			report("line %q", line)
		}
	}

	// progress shows what its control pipe says, or does it.
	programs["progress"] = func() {
		for control := bufio.NewScanner(os.NewFile(3, "control")); control.Scan(); {
			switch control.Text() {
			case "print":
				console.Println("a message")
			case "input":
				go console.Input("> ")
			case "fatal":
				console.Fatal(errors.New("no luck"))
			default:
				console.Progress(control.Text())
			}
		}
	}

	// chat prints what its control pipe says, and reports the lines typed. After
	// the line pause it waits until it is told to resume.
	programs["chat"] = func() {
		resumed := make(chan struct{})
		go func() {
			for control := bufio.NewScanner(os.NewFile(3, "control")); control.Scan(); {
				switch control.Text() {
				case "fatal":
					console.Fatal(errors.New("no luck"))
				case "resume":
					resumed <- struct{}{}
				default:
					console.Println(control.Text())
				}
			}
		}()
		prompt := os.Getenv("CONSOLE_TEST_PROMPT")
		before := terminalMode(os.Stdin)
		for {
			line, err := console.Input(prompt)
			if diff := cmp.Diff(before, terminalMode(os.Stdin)); diff != "" {
				report("Input returned with the terminal changed (-before +after):\n%s", diff)
			}
			if err != nil {
				report("end %v", err)
				break
			}
			report("line %q", line)
			if line == "pause" {
				<-resumed
			}
		}
		console.Println("goodbye")
	}
}

// A teletype is a process on a pseudo-terminal: its stdin is the keyboard, its
// stdout what the screen was sent.
type teletype struct {
	*process
	control        *os.File
	keyboard, line *os.File // the two ends of the pseudo-terminal
	before         unix.Termios
	width          int
}

// onTerminal runs chat on a pseudo-terminal of 40 columns.
func onTerminal(t *testing.T, prompt string) *teletype {
	t.Helper()
	tt := newTeletype(t, "chat", prompt)
	tt.Stdout = tt.line
	tt.beginChat()
	tt.until("the terminal is raw", tt.raw)
	return tt
}

func newTeletype(t *testing.T, name, prompt string) *teletype {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	number, err := unix.IoctlGetUint32(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tt := &teletype{process: command(t, name), keyboard: keyboard, line: line, before: terminalMode(line)}
	tt.resize(40)
	tt.stdin = keyboard
	tt.Env = append(tt.Env, "CONSOLE_TEST_PROMPT="+prompt)
	tt.Stdin = line
	tt.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return tt
}

func (tt *teletype) beginChat() {
	theirs, ours, err := os.Pipe()
	if err != nil {
		tt.t.Fatal(err)
	}
	tt.control = ours
	tt.ExtraFiles = []*os.File{theirs}
	drawn := make(chan struct{})
	go func() {
		io.Copy(tt.stdout, tt.keyboard) // until the last user of line has closed it
		close(drawn)
	}()
	tt.t.Cleanup(func() {
		ours.Close()
		tt.line.Close()
		<-drawn
	})
	tt.begin()
	theirs.Close()
}

func terminalMode(f *os.File) unix.Termios {
	mode, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		panic(err)
	}
	return *mode
}

func (tt *teletype) raw() bool { return terminalMode(tt.line).Lflag&unix.ICANON == 0 }

func (tt *teletype) resize(width int) {
	tt.t.Helper()
	tt.width = width
	size := unix.Winsize{Row: 24, Col: uint16(width)}
	if err := unix.IoctlSetWinsize(int(tt.keyboard.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		tt.t.Fatal(err)
	}
}

// arrives makes the program print text.
func (tt *teletype) arrives(text string) {
	tt.t.Helper()
	if _, err := io.WriteString(tt.control, text+"\n"); err != nil {
		tt.t.Fatal(err)
	}
}

// shows waits until the screen is want, with the cursor (█) at its place.
func (tt *teletype) shows(want ...string) {
	tt.t.Helper()
	tt.until(fmt.Sprintf("the screen shows %q", want), func() bool { return slices.Equal(tt.screen(), want) })
}

// leftAsFound checks that the program has put back the mode of the terminal.
func (tt *teletype) leftAsFound() {
	tt.t.Helper()
	if diff := cmp.Diff(tt.before, terminalMode(tt.line)); diff != "" {
		tt.t.Errorf("mode of the terminal (-before +after):\n%s", diff)
	}
}

// screen draws what was sent, as a terminal does.
func (tt *teletype) screen() []string {
	var x, y int
	rows := [][]rune{nil}
	put := func(r rune) {
		for len(rows[y]) <= x {
			rows[y] = append(rows[y], ' ')
		}
		rows[y][x] = r
		x++
	}
	for rest := []byte(tt.stdout.String()); len(rest) > 0; {
		if after, ok := bytes.CutPrefix(rest, []byte("\x1b[")); ok {
			end := bytes.IndexFunc(after, func(r rune) bool { return r >= '@' && r <= '~' })
			if end < 0 {
				break
			}
			n := 1
			fmt.Sscan(string(after[:end]), &n)
			switch after[end] {
			case 'A':
				y = max(0, y-n)
			case 'B':
				y = min(len(rows)-1, y+n)
			case 'C':
				x = min(tt.width-1, x+n)
			case 'D':
				x = max(0, min(x, tt.width-1)-n)
			case 'K':
				rows[y] = rows[y][:min(x, len(rows[y]))]
			default:
				tt.t.Fatalf("unknown escape sequence %q", rest)
			}
			rest = after[end+1:]
			continue
		}
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case r == '\r':
			x = 0
		case r == '\n':
			if y++; y == len(rows) {
				rows = append(rows, nil)
			}
		case r == '\a':
		case r == '\x1b':
			tt.t.Fatal("an escape that is not of ours")
		default:
			wide := r >= 0x1f300
			if x+1 > tt.width || wide && x+2 > tt.width {
				x = 0
				if y++; y == len(rows) {
					rows = append(rows, nil)
				}
			}
			put(r)
			if wide {
				put(-1)
			}
		}
	}
	if x == len(rows[y]) {
		rows[y] = append(rows[y], '█')
	} else if x < len(rows[y]) {
		rows[y] = slices.Insert(rows[y], x, '█')
	}
	var texts []string
	for _, row := range rows {
		row = slices.DeleteFunc(row, func(r rune) bool { return r == -1 })
		texts = append(texts, strings.TrimRight(string(row), " "))
	}
	return texts
}

func TestHalfTypedLineSurvivesWhatArrives(t *testing.T) {
	tt := onTerminal(t, "> ")
	tt.write("hel")
	tt.shows("> hel█")
	tt.arrives("a message")
	tt.shows("a message", "> hel█")
	tt.arrives("another\x1b[2J")
	tt.shows("a message", `another\u{1b}[2J`, "> hel█")
	tt.write("lo\r")
	tt.reports(`line "hello"`)
	tt.shows("a message", `another\u{1b}[2J`, "> hello", "> █")
}

func TestHalfTypedLineSurvivesInMidEdit(t *testing.T) {
	tt := onTerminal(t, "")
	tt.write("aXc\x1b[D\x7f")
	tt.shows("a█c")
	tt.arrives("a message")
	tt.shows("a message", "a█c")
	tt.write("b\r")
	tt.reports(`line "abc"`)
}

func TestHalfTypedLineSurvivesOverSeveralRows(t *testing.T) {
	tt := onTerminal(t, "> ")
	tt.resize(20)
	long := strings.Repeat("0123456789", 4)
	tt.write(long)
	tt.shows("> 012345678901234567", "89012345678901234567", "89█")
	tt.arrives("a message")
	tt.shows("a message", "> 012345678901234567", "89012345678901234567", "89█")
	tt.write("\r")
	tt.reports(fmt.Sprintf("line %q", long))
}

func TestHalfTypedLineSurvivesWithWideCharacters(t *testing.T) {
	tt := onTerminal(t, "> ")
	tt.write("😀😀è")
	tt.shows("> 😀😀è█")
	tt.arrives("👍 from Bob")
	tt.shows("👍 from Bob", "> 😀😀è█")
	tt.write("\r")
	tt.reports(`line "😀😀è"`)
}

func TestMessagesAndTypedLinesNeverMix(t *testing.T) {
	tt := newTeletype(t, "busychat", "")
	tt.Stdout = tt.line
	tt.beginChat()
	var lines []string
	for i := range 50 {
		line := fmt.Sprint("line ", i)
		lines = append(lines, fmt.Sprintf("line %q", line))
		tt.until("the terminal is raw", tt.raw)
		tt.write(line + "\r")
		tt.reports(lines...)
	}
	tt.until("all messages are there", func() bool { return strings.Count(tt.stdout.String(), "a message") == 4*500 })
	for i, row := range slices.DeleteFunc(tt.screen(), func(row string) bool { return row == "a message" || row == "█" }) {
		if want := fmt.Sprint("line ", i); row != want {
			t.Fatalf("a row of the screen is %q, want %q", row, want)
		}
	}
}

func TestPromptOfWholeLines(t *testing.T) {
	tt := onTerminal(t, "One line\nEnter your username to start the chat:\n")
	tt.shows("One line", "Enter your username to start the chat:", "█")
	tt.write("Al")
	tt.arrives("a message")
	tt.shows("One line", "Enter your username to start the chat:", "a message", "Al█")
	tt.write("ice\r")
	tt.reports(`line "Alice"`)
}

func TestKeysThatEndTheInput(t *testing.T) {
	for _, test := range []struct {
		name, prompt, typed, key string
		want                     []string
	}{
		{"Ctrl+C", "> ", "", "\x03", []string{">", "goodbye", "█"}},
		{"Ctrl+C in a half-typed line", "> ", "hal", "\x03", []string{"> hal", "goodbye", "█"}},
		{"Ctrl+D", "> ", "", "\x04", []string{">", "goodbye", "█"}},
		{"Ctrl+D without a prompt", "", "", "\x04", []string{"goodbye", "█"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tt := onTerminal(t, test.prompt)
			tt.write(test.typed)
			tt.shows(test.prompt + test.typed + "█")
			tt.write(test.key)
			tt.exits(0)
			tt.reports("end EOF")
			tt.shows(test.want...)
			tt.leftAsFound()
		})
	}
}

func TestInterruptFromOutsideEndsTheInput(t *testing.T) {
	tt := onTerminal(t, "> ")
	tt.write("hal")
	tt.shows("> hal█")
	tt.signal(os.Interrupt)
	tt.exits(0)
	tt.reports("end EOF")
	tt.shows("> hal", "goodbye", "█")
	tt.leftAsFound()
}

func TestSignalThatEndsTheProgramRestoresTheTerminal(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			tt := onTerminal(t, "> ")
			tt.signal(s)
			tt.exits(-1)
			if status := tt.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != s {
				t.Errorf("the program ended with %v, want signal: %v", tt.ProcessState, s)
			}
			tt.leftAsFound()
		})
	}
}

func TestFatalRestoresTheTerminal(t *testing.T) {
	tt := onTerminal(t, "> ")
	tt.write("hal")
	tt.shows("> hal█")
	tt.arrives("fatal")
	tt.exits(1)
	tt.reports("no luck")
	tt.shows("> hal", "█")
	tt.leftAsFound()
}

func TestProgressStaysBelowWhatIsPrinted(t *testing.T) {
	tt := showingProgress(t)
	tt.arrives("print")
	tt.shows("a message", "50%█")
	tt.arrives("9\x1b[2J")
	tt.shows("a message", `9\u{1b}[2J█`)
	tt.arrives(strings.Repeat("0123456789", 5))
	tt.shows("a message", "0123456789012345678901234567890123456█")
	tt.arrives("8")
	tt.shows("a message", "8█")
	tt.arrives("")
	tt.shows("a message", "█")
	tt.arrives("print")
	tt.shows("a message", "a message", "█")
	tt.leftAsFound()
}

func TestInputRemovesProgress(t *testing.T) {
	piped := showingProgress(t, func(tt *teletype) { tt.Stdin, tt.SysProcAttr = nil, nil })
	piped.arrives("input")
	piped.shows("> █")

	tt := showingProgress(t)
	tt.arrives("input")
	tt.shows("> █")
	tt.arrives("60%")
	tt.arrives("print")
	tt.shows("a message", "> █")
	if strings.Contains(tt.stdout.String(), "60%") {
		t.Error("Progress is shown while Input waits")
	}
}

func TestFatalRemovesProgress(t *testing.T) {
	tt := showingProgress(t)
	tt.arrives("fatal")
	tt.exits(1)
	tt.reports("no luck")
	tt.shows("█")
}

func TestDumbTerminalShowsNoProgress(t *testing.T) {
	tt := newTeletype(t, "progress", "")
	tt.Stdout = tt.line
	tt.Env = append(tt.Env, "TERM=dumb")
	tt.beginChat()
	tt.arrives("50%")
	tt.arrives("print")
	tt.until("the message is there", func() bool { return tt.stdout.String() == "a message\r\n" })
}

func showingProgress(t *testing.T, changes ...func(*teletype)) *teletype {
	t.Helper()
	tt := newTeletype(t, "progress", "")
	tt.Stdout = tt.line
	for _, change := range changes {
		change(tt)
	}
	tt.beginChat()
	tt.arrives("50%")
	tt.shows("50%█")
	return tt
}

func TestSeveralLinesPasted(t *testing.T) {
	for _, test := range []struct{ name, keys string }{
		{"as keys", "one\rtwo\tand\rthree\r"},
		{"in brackets", "\x1b[200~one\rtwo\tand\rthree\r\x1b[201~"},
		{"with LF", "one\ntwo\tand\nthree\n"},
		{"with CRLF", "one\r\ntwo\tand\r\nthree\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tt := onTerminal(t, "> ")
			tt.write(test.keys + "\x04")
			tt.reports(`line "one"`, `line "two and"`, `line "three"`, "end EOF")
		})
	}
}

func TestManyLinesPasted(t *testing.T) {
	tt := onTerminal(t, "")
	var keys, want []string
	for i := range 400 {
		line := fmt.Sprintf("line %03d: è una prova %s", i, strings.Repeat("x", 30))
		keys = append(keys, line+"\r")
		want = append(want, fmt.Sprintf("line %q", line))
	}
	tt.write(strings.Join(keys, ""))
	tt.reports(want...)
}

func TestKeysBetweenTwoInputsAreForTheNext(t *testing.T) {
	for _, test := range []struct {
		name, between, echo, after string
		want                       []string
	}{
		{"a line", "ahead\r", "ahead\r\n", "", []string{`line "ahead"`}},
		{"half a line", "hal", "hal", "f\r", []string{`line "half"`}},
		{"a line and Ctrl+D", "ahead\r\x04", "ahead\r\n", "", []string{`line "ahead"`, "end EOF"}},
		{"Ctrl+C", "\x03", "^C", "", []string{"end EOF"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tt := onTerminal(t, "")
			tt.write("pause\r")
			tt.reports(`line "pause"`)
			tt.write(test.between)
			tt.until("the terminal echoes", func() bool { return tt.stdout.String() == "pause\r\n"+test.echo })
			tt.arrives("resume")
			tt.write(test.after)
			tt.reports(append([]string{`line "pause"`}, test.want...)...)
		})
	}
}

func TestKeysWithoutMeaningAreIgnored(t *testing.T) {
	for _, key := range []string{"\x1b", "\x1b\r", "\x1bx", "\x1bOP", "\x1b[15~", "\x1b[1;5C"} {
		t.Run(fmt.Sprintf("%q", key), func(t *testing.T) {
			tt := onTerminal(t, "> ")
			tt.write("12")
			tt.shows("> 12█")
			before := tt.stdout.String()
			tt.resize(50) // noticed, and the line drawn anew, once the key was read
			tt.write(key)
			tt.until("the key was read", func() bool { return tt.stdout.String() != before })
			tt.shows("> 12█")
			tt.write("34\r")
			tt.reports(`line "1234"`)
		})
	}
}

func TestTypedLineIsBounded(t *testing.T) {
	tt := onTerminal(t, "")
	tt.write(strings.Repeat("x", 4090))
	tt.until("the line is drawn", func() bool { return strings.Count(tt.stdout.String(), "x") == 4090 })
	tt.write("yyyyyyz")
	tt.until("the bell rings", func() bool { return strings.Count(tt.stdout.String(), "\a") == 1 })
	tt.write("\r")
	tt.reports(fmt.Sprintf("line %q", strings.Repeat("x", 4090)+"yyyyyy"))
}

func TestTerminalForOneOfTheTwoIsPlain(t *testing.T) {
	tt := newTeletype(t, "chat", "> ")
	tt.beginChat()
	tt.isPlain()
}

func TestDumbTerminalIsPlain(t *testing.T) {
	tt := newTeletype(t, "chat", "> ")
	tt.Stdout = tt.line
	tt.Env = append(tt.Env, "TERM=dumb")
	tt.beginChat()
	tt.isPlain()
}

func (tt *teletype) isPlain() {
	tt.t.Helper()
	tt.until("it asks", func() bool { return strings.HasPrefix(tt.stdout.String(), "> ") })
	if tt.raw() {
		tt.t.Error("the terminal is raw")
	}
	tt.write("hello\n")
	tt.reports(`line "hello"`)
	tt.write("\x04")
	tt.exits(0)
	tt.reports(`line "hello"`, "end EOF")
}

func TestHangupStaysIgnoredWhereItWas(t *testing.T) {
	tt := newTeletype(t, "chat", "")
	tt.Stdout = tt.line
	tt.Path, tt.Args = "/bin/sh", []string{"sh", "-c", `trap '' HUP; exec "$0"`, tt.Path}
	tt.beginChat()
	tt.until("the terminal is raw", tt.raw)
	tt.signal(syscall.SIGHUP)
	tt.write("hello\r")
	tt.reports(`line "hello"`)
	tt.write("\x04")
	tt.exits(0)
	tt.leftAsFound()
}
