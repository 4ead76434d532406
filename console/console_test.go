package console_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/seed287501ae/sockets/console"
)

// programs are the mains that the tests run, each as a process of its own. What
// they read they report on standard error.
var programs = map[string]func(){
	"lines": func() {
		for line := range console.Lines() {
			report("line %q", line)
		}
		_, err := console.Input("never printed")
		report("end %v", err)
	},
	"prompts": func() {
		name, err := console.Input("Enter your username to start the chat:\n")
		report("%q %v", name, err)
		text, err := console.Input("> ")
		report("%q %v", text, err)
	},
	"some": func() {
		for line := range console.Lines() {
			report("line %q", line)
			break
		}
		line, err := console.Input("")
		report("%q %v", line, err)
	},
	"copy": func() {
		for line := range console.Lines() {
			os.Stdout.WriteString(line)
			report("%d bytes, valid %v", len(line), utf8.ValidString(line))
		}
	},
	"print": func() {
		console.Progress("not on a terminal")
		console.Println("a", 1, "\x1b[31mred\x07")
		console.Println("two\nlines")
		console.Printf("%d%%", 99)
		console.Printf("%d%%\n", 100)
		console.Println()
	},
	"printers": func() {
		var printers sync.WaitGroup
		for i := range 16 {
			printers.Go(func() {
				for range 4 {
					console.Println(strings.Repeat(string(rune('a'+i)), 100_000))
				}
			})
		}
		printers.Wait()
	},
	"busy": func() {
		console.Input("")
		report("busy")
		for !console.InterruptWaits() {
			time.Sleep(time.Millisecond)
		}
		line, err := console.Input("never printed")
		report("%q %v", line, err)
	},
	"stuck": func() {
		console.Input("")
		report("stuck")
		select {}
	},
	"usage": func() { console.Usage("port \"x\x1b\" is not a number", "usage: chat PORT\n       chat help") },
	"fatal": func() { console.Fatal(errors.New("no luck\x1b[2J")) },
}

func report(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

func TestMain(m *testing.M) {
	if name := os.Getenv("CONSOLE_TEST_PROGRAM"); name != "" {
		programs[name]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An output holds what a process has written so far.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// A process is a program that runs.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdin          io.WriteCloser
	stdout, stderr *output
	ended          chan struct{}
}

func command(t *testing.T, name string) *process {
	p := &process{Cmd: exec.Command(os.Args[0]), t: t, stdout: new(output), stderr: new(output), ended: make(chan struct{})}
	p.Env = append(os.Environ(), "CONSOLE_TEST_PROGRAM="+name, "TERM=xterm",
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else each process sleeps for a second
	p.Stdout, p.Stderr = p.stdout, p.stderr
	return p
}

// start runs the program name with pipes for all three.
func start(t *testing.T, name string) *process {
	p := command(t, name)
	stdin, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	p.begin()
	return p
}

func (p *process) begin() {
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		p.Process.Kill()
		<-p.ended
	})
}

func (p *process) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// until polls for a condition.
func (p *process) until(what string, condition func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("in vain waited until %s; standard output %q, error %q", what, end(p.stdout), end(p.stderr))
		}
	}
}

// end is the last part of an output, as much as one wants to read of it.
func end(o *output) string {
	text := o.String()
	return text[max(0, len(text)-2000):]
}

// reports waits until all that the process has reported is want.
func (p *process) reports(want ...string) {
	p.t.Helper()
	all := strings.Join(want, "\n") + "\n"
	p.until(fmt.Sprintf("it reports %q", all), func() bool { return p.stderr.String() == all })
}

// exits waits until the process has ended with status code.
func (p *process) exits(code int) {
	p.t.Helper()
	p.until("it ends", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	if got := p.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit status = %d, want %d; standard error %q", got, code, end(p.stderr))
	}
}

func (p *process) printed(want string) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.stdout.String()); diff != "" {
		p.t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

func TestLinesOfAPipe(t *testing.T) {
	for _, test := range []struct {
		input string
		want  []string
	}{
		{"", []string{"end EOF"}},
		{"one\ntwo\n", []string{`line "one"`, `line "two"`, "end EOF"}},
		{"one\r\n\r\ntwo\r\n", []string{`line "one"`, `line ""`, `line "two"`, "end EOF"}},
		{"one\nlast", []string{`line "one"`, `line "last"`, "end EOF"}},
		{"a\tb \xff\n", []string{`line "a\tb \xff"`, "end EOF"}},
	} {
		t.Run(fmt.Sprintf("%q", test.input), func(t *testing.T) {
			p := start(t, "lines")
			p.write(test.input)
			p.stdin.Close()
			p.exits(0)
			p.reports(test.want...)
			p.printed("")
		})
	}
}

func TestALineOfAPipeArrivesBeforeItsEnd(t *testing.T) {
	p := start(t, "lines")
	p.write("one\ntw")
	p.reports(`line "one"`)
	p.write("o\n")
	p.reports(`line "one"`, `line "two"`)
}

func TestPromptsArePrintedAsTheyAre(t *testing.T) {
	p := start(t, "prompts")
	p.until("it asks", func() bool { return p.stdout.String() == "Enter your username to start the chat:\n" })
	p.write("Alice\n")
	p.until("it asks", func() bool { return p.stdout.String() == "Enter your username to start the chat:\n> " })
	p.write("hello\n")
	p.exits(0)
	p.reports(`"Alice" <nil>`, `"hello" <nil>`)
}

func TestInputGoesOnWhereLinesStopped(t *testing.T) {
	p := start(t, "some")
	p.write("one\ntwo\n")
	p.exits(0)
	p.reports(`line "one"`, `"two" <nil>`)
}

func TestLongLineIsCutBetweenCharacters(t *testing.T) {
	const mebibyte = 1 << 20
	long := "a" + strings.Repeat("€", mebibyte/3*2+100)
	p := start(t, "copy")
	p.write(long + "\n" + strings.Repeat("b", mebibyte) + "\nend")
	p.stdin.Close()
	p.exits(0)
	p.reports("1048576 bytes, valid true", "1048575 bytes, valid true", fmt.Sprint(len(long)-2*mebibyte+1, " bytes, valid true"),
		"1048576 bytes, valid true", "3 bytes, valid true")
	if p.stdout.String() != long+strings.Repeat("b", mebibyte)+"end" {
		t.Error("the pieces are not the line")
	}
}

func TestWhatIsPrintedIsSafe(t *testing.T) {
	p := start(t, "print")
	p.exits(0)
	p.printed("a 1 \\u{1b}[31mred\\u{7}\ntwo\n\tlines\n99%\n100%\n\n")
}

func TestPrintersNeverMixTheirLines(t *testing.T) {
	p := start(t, "printers")
	p.exits(0)
	lines := strings.SplitAfter(p.stdout.String(), "\n")
	if len(lines) != 16*4+1 {
		t.Errorf("%d lines, want %d", len(lines)-1, 16*4)
	}
	for _, line := range lines[:len(lines)-1] {
		if line != strings.Repeat(line[:1], 100_000)+"\n" {
			t.Fatal("a line is mixed with another")
		}
	}
}

func TestInterruptEndsInput(t *testing.T) {
	needsSignals(t)
	p := start(t, "lines")
	p.write("one\nhalf")
	p.reports(`line "one"`)
	p.signal(os.Interrupt)
	p.exits(0)
	p.reports(`line "one"`, "end EOF")
}

func TestInterruptIsRemembered(t *testing.T) {
	needsSignals(t)
	p := start(t, "busy")
	p.write("one\ntwo\n")
	p.reports("busy")
	p.signal(os.Interrupt)
	p.exits(0)
	p.reports("busy", `"" EOF`)
	p.printed("")
}

func TestSecondInterruptEndsTheProcess(t *testing.T) {
	needsSignals(t)
	p := start(t, "stuck")
	p.write("one\n")
	p.reports("stuck")
	p.until("it ends", func() bool {
		p.Process.Signal(os.Interrupt)
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	p.exits(130)
}

func needsSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows sends no SIGINT to another process")
	}
}

func TestUsageSaysWhatIsWrongAndExits2(t *testing.T) {
	p := start(t, "usage")
	p.exits(2)
	p.reports(`port "x\u{1b}" is not a number`, "usage: chat PORT", "       chat help")
	p.printed("")
}

func TestFatalSaysWhyAndExits1(t *testing.T) {
	p := start(t, "fatal")
	p.exits(1)
	p.reports(`no luck\u{1b}[2J`)
	p.printed("")
}
