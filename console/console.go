// Package console is the keyboard and the screen of a chat: lines in, safe
// lines out.
//
// In a chat, messages arrive while someone is typing. A program that prints
// them with [fmt.Println] puts each into the middle of the half-typed line. With
// this package a message appears above that line, which stays as it was:
//
//	name, err := console.Input("Enter your username to start the chat:\n")
//	if err != nil {
//		return
//	}
//	peer.SetCallback(func(payload []byte, sender sockets.Address) {
//		console.Println(string(payload))
//	})
//	for line := range console.Lines() {
//		peer.SendAll(sockets.NewMessage(line, name).Bytes())
//	}
//
// Whatever is printed passes through [sockets.Printable], because a stranger may
// have written it. All functions may be called from many goroutines: those that
// print never mix their lines, those that read take turns.
//
// # On a terminal
//
// When standard input and standard output are both a terminal, it is in raw mode
// while Input waits, and only then: the program is told of every key, and draws
// the line itself. The arrows move in the line and bring back earlier ones. Of a
// line, 4,096 characters fit; the bell rings for more. Several lines pasted at
// once are several lines typed. Ctrl+Z does not suspend the program.
//
// The terminal is as before when Input returns, when Fatal or Usage ends the
// program, and when SIGTERM or SIGHUP does. It is not when the program ends in
// another way while a goroutine waits in Input, as by [os.Exit] or a panic: the
// command reset mends it.
//
// # In a pipe
//
// When one of the two is not a terminal (or the terminal is a dumb one), this is
// a plain program of lines, for scripts and tests. A line ends with LF, CRLF or
// the input. One longer than 1 MiB is cut into pieces, so that none needs
// unbounded memory, and none is lost.
//
// # The end
//
// The input ends with Ctrl+D (on Windows Ctrl+Z), Ctrl+C, the end of the pipe or
// SIGINT, which the console takes over from the first Input on. A SIGINT that
// comes while nobody waits in Input is for the next one. When one is still
// waiting to be noticed, another ends the program at once, with status 130.
//
// The console has one goroutine for signals, which lives as long as the program,
// and one for each read of standard input. Nothing can call such a read back:
// when a signal ends the input, it stays behind, once, until the program ends.
package console

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode/utf8"

	"github.com/seed287501ae/sockets"
	"golang.org/x/term"
)

const (
	maxPiped = 1 << 20 // bytes of a line
	maxTyped = 4096    // characters of a line: what term.Terminal holds

	erase = "\r\x1b[K" // the row of the cursor
)

var (
	reading = make(chan struct{}, 1) // holding it is the right to read: guards the four below
	input   stdio
	lines   *bufio.Scanner // in a pipe, else nil
	keys    *term.Terminal // on a terminal, else nil
	ended   error          // not nil once the input has ended

	printing = make(chan struct{}, 1) // holding it is the right to print: guards the two below
	typing   bool                     // keys owns the screen
	progress string                   // what Progress shows

	mu     sync.Mutex  // guards cooked
	cooked *term.State // what the terminal was like, while it is raw

	interrupted = make(chan struct{}, 1) // holds the SIGINT that no Input has noticed yet
)

// Input prints prompt as it is and returns the next line, without its end. At
// the end of the input it returns [io.EOF], and does so ever after.
func Input(prompt string) (string, error) {
	reading <- struct{}{}
	defer func() { <-reading }()
	if lines == nil && keys == nil {
		open()
	}
	if ended != nil {
		return "", ended
	}
	select {
	case <-interrupted:
		ended = io.EOF
		return "", ended
	default:
	}
	read := readPiped
	if keys != nil {
		read = readTyped
	}
	line, err := read(prompt)
	if ended = cmp.Or(ended, err); ended != nil {
		return "", ended
	}
	return line, nil
}

// Lines returns the lines typed from now on, until the end of the input.
func Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			line, err := Input("")
			if err != nil || !yield(line) {
				return
			}
		}
	}
}

// Println prints as [fmt.Println] does, made safe by [sockets.Printable]. On a
// terminal the text appears above the line being typed.
func Println(a ...any) { show(fmt.Sprintln(a...)) }

// Printf is Println with a format. A newline is added where it is missing.
func Printf(format string, a ...any) { show(fmt.Sprintf(format, a...)) }

// Progress shows text, which is one line, in the last row of a terminal, in the
// place of what it showed before; what is printed appears above it. The text is
// made safe as by Println, and cut to what fits in the row.
//
// An empty text, Input, Fatal and Usage remove it. While Input waits, and where
// standard output is not a terminal, Progress does nothing.
func Progress(text string) {
	printing <- struct{}{}
	defer func() { <-printing }()
	if typing || !canDraw() {
		return
	}
	endProgress()
	shown := []rune(sockets.Printable([]byte(text)))
	width, _, _ := term.GetSize(int(os.Stdout.Fd()))
	progress = string(shown[:min(len(shown), max(width-len("^C "), 0))]) // the terminal echoes a Ctrl+C
	os.Stdout.WriteString(progress)
}

// Usage ends a program that was called in a wrong way: it prints what the
// problem is, and on the next line the usage as it is, on standard error, and
// exits with status 2.
func Usage(problem, usage string) { exit(2, sockets.Printable([]byte(problem))+"\n"+usage) }

// Fatal ends a program that cannot go on: it prints err on standard error and
// exits with status 1.
func Fatal(err error) { exit(1, sockets.Printable([]byte(fmt.Sprint(err)))) }

// Check does nothing if err is nil. Else it ends the program: with [Fatal] if it
// is the network that failed, with [Usage] if it is what was typed.
func Check(err error, usage string) {
	if errors.As(err, new(net.Error)) {
		Fatal(err)
	} else if err != nil {
		Usage(err.Error(), usage)
	}
}

// open finds out what standard input and output are.
func open() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt)
	if term.IsTerminal(int(os.Stdin.Fd())) && canDraw() {
		keys = term.NewTerminal(&input, "")
		keys.AutoCompleteCallback = refuseMore
		for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
			if !signal.Ignored(s) {
				signal.Notify(signals, s)
			}
		}
	} else {
		lines = bufio.NewScanner(&input)
		lines.Buffer(nil, maxPiped+1)
		lines.Split(splitLine)
	}
	go watch(signals)
}

// canDraw reports whether standard output is a terminal that obeys escape
// sequences.
func canDraw() bool {
	return term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb" && enableEscapes() == nil
}

func readPiped(prompt string) (string, error) {
	printing <- struct{}{}
	endProgress()
	os.Stdout.WriteString(prompt)
	<-printing
	if lines.Scan() {
		return lines.Text(), nil
	}
	return "", cmp.Or(lines.Err(), io.EOF)
}

// splitLine is bufio.ScanLines, but for a line that is too long: a piece of it,
// not ending inside a character, counts as a line.
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if len(data) > maxPiped && !bytes.Contains(data, []byte("\n")) {
		end := maxPiped
		for end > maxPiped-utf8.UTFMax && !utf8.RuneStart(data[end]) {
			end--
		}
		return end, data[:end], nil
	}
	return bufio.ScanLines(data, atEOF)
}

func readTyped(prompt string) (line string, err error) {
	above := prompt[:strings.LastIndex(prompt, "\n")+1]
	printing <- struct{}{}
	endProgress()
	os.Stdout.WriteString(above)
	mu.Lock()
	cooked, err = term.MakeRaw(int(os.Stdin.Fd()))
	mu.Unlock()
	typing = err == nil
	<-printing
	if err != nil {
		return "", err
	}
	defer func() {
		printing <- struct{}{}
		input.finishLine()
		mu.Lock()
		restoreLocked()
		mu.Unlock()
		typing = false
		<-printing
	}()
	keys.SetPrompt(prompt[len(above):])
	if line, err = keys.ReadLine(); err == term.ErrPasteIndicator {
		err = nil
	}
	return line, err
}

// refuseMore is called for each key that is not a command.
func refuseMore(line string, _ int, _ rune) (string, int, bool) {
	if utf8.RuneCountInString(line) >= maxTyped {
		os.Stdout.WriteString("\a")
	}
	return "", 0, false
}

// A stdio is standard input, which a SIGINT ends, and standard output, which
// knows whether its last line is open.
type stdio struct {
	rest    []byte // read, but not yet asked for
	midLine atomic.Bool
}

func (s *stdio) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		resize()
		data := make([]byte, 4096)
		arrived := make(chan error, 1)
		go func() {
			n, err := os.Stdin.Read(data)
			data = data[:n]
			arrived <- err
		}()
		select {
		case err := <-arrived:
			if err != nil {
				return 0, err
			}
		case <-interrupted:
			ended = io.EOF
			return 0, ended
		}
		if s.rest = data; keys != nil {
			s.rest = cleanKeys(data)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// escapes matches the keys that are more than one character. The submatch is
// empty but for those that term.Terminal knows: arrows, Home, End, Delete, the
// two ends of a paste.
var escapes = regexp.MustCompile(`(\x1b\[(?:[A-DFH]|3~|1;3[CD]|20[01]~))|\x1b(?:\[[0-?]*[ -/]*[@-~]?|O.|[^[O\x1b])?`)

// otherKeys are those that term.Terminal ignores, and should not: a tab, or
// pasted words stick together, and NUL, which is what Linux makes of a Ctrl+D
// that came while the terminal was not raw.
var otherKeys = strings.NewReplacer("\t", " ", "\x00", "\x04")

// cleanKeys leaves out what makes term.Terminal deaf to all keys until a letter
// comes, such as Escape.
func cleanKeys(data []byte) []byte {
	return []byte(otherKeys.Replace(escapes.ReplaceAllString(string(data), "$1")))
}

func (s *stdio) Write(p []byte) (int, error) {
	if len(p) > 0 {
		s.midLine.Store(p[len(p)-1] != '\n')
	}
	return os.Stdout.Write(p)
}

// finishLine ends the line on the screen, if it is open.
func (s *stdio) finishLine() {
	if s.midLine.Swap(false) {
		os.Stdout.WriteString("\r\n")
	}
}

// resize tells keys how large the window is now.
func resize() {
	if keys == nil {
		return
	}
	if width, height, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 0 {
		keys.SetSize(width, height)
	}
}

func show(text string) {
	printing <- struct{}{}
	defer func() { <-printing }()
	text = sockets.Printable([]byte(strings.TrimSuffix(text, "\n"))) + "\n" // up to six times as long: of one at a time
	if !typing {
		if progress != "" {
			text = erase + text + progress
		}
		os.Stdout.WriteString(text)
		return
	}
	resize()
	// A term.Terminal takes each character for one column. It goes back too little
	// over wider ones, and would leave a part of the line.
	keys.Write([]byte(erase + text))
}

// endProgress removes what Progress shows. The caller holds printing.
func endProgress() {
	if progress != "" {
		os.Stdout.WriteString(erase)
		progress = ""
	}
}

// watch receives the signals. It takes no right to print: that may be held by
// someone who waits for a reader of standard output.
func watch(signals <-chan os.Signal) {
	for s := range signals {
		if s == os.Interrupt {
			select {
			case interrupted <- struct{}{}:
				continue
			default:
			}
		}
		mu.Lock() // for ever: the terminal must not become raw again
		restoreLocked()
		if s == os.Interrupt {
			os.Exit(130)
		}
		signal.Reset(s)
		if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(s) == nil {
			select {}
		}
		os.Exit(1)
	}
}

// exit keeps the locks that it takes: nobody prints or types any more.
func exit(code int, text string) {
	printing <- struct{}{}
	mu.Lock()
	restoreLocked()
	input.finishLine()
	endProgress()
	fmt.Fprintln(os.Stderr, text)
	os.Exit(code)
}

func restoreLocked() {
	if cooked != nil {
		term.Restore(int(os.Stdin.Fd()), cooked)
		cooked = nil
	}
}
