package interop_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	patience = 30 * time.Second // for one line
	gopher   = "Gòpher"         // the user of a Go example
	pythia   = "Pythía"         // the user of a twin
	goodbye  = "<LEAVES THE CHAT>"
)

var texts = []string{
	"Hello",
	"Perché no? ciao à tutti",
	"日本語, Ελληνικά, עברית, 👩‍🔬🎉, e\u0301",
	strings.Repeat("però ", 1_300) + "?", // macOS sends no datagram over 9,216 bytes
}

func TestTwinUnderstandsItself(t *testing.T) {
	py := python(t)

	t.Run("udpchat", func(t *testing.T) {
		a := startTwin(t, py, "udpchat", "0")
		b := startTwin(t, py, "udpchat", "0", a.bound())
		b.bound()
		for _, text := range texts {
			b.say(text)
			a.hears(event{Event: "message", Sender: pythia, Text: text})
			a.say(text)
			b.hears(event{Event: "message", Sender: pythia, Text: text})
		}
		a.do(order{"do": "send", "hex": ""})
		b.hears(event{Event: "payload"})
		b.do(order{"do": "leave", "sender": pythia})
		a.hears(event{Event: "leave", Sender: pythia, Text: goodbye})
		a.ends()
		b.ends()
	})

	for _, prefix := range []string{"2", "4"} {
		t.Run("tcpchat -prefix "+prefix, func(t *testing.T) {
			server := startTwin(t, py, "tcpchat", "-prefix", prefix, "server", "0")
			address := server.bound()
			for range 2 {
				client := startTwin(t, py, "tcpchat", "-prefix", prefix, "client", address)
				client.hears(event{Event: "connect"})
				server.hears(event{Event: "connect"})
				for _, text := range texts {
					client.say(text)
					server.hears(event{Event: "message", Sender: pythia, Text: text})
				}
				client.do(order{"do": "send", "hex": "", "slowly": true})
				server.hears(event{Event: "payload"})
				server.do(order{"do": "say", "sender": pythia, "text": texts[2], "slowly": true})
				client.hears(event{Event: "message", Sender: pythia, Text: texts[2]})
				client.do(order{"do": "close"})
				client.hears(event{Event: "end"})
				server.hears(event{Event: "end"})
			}
		})
	}
}

func TestGoAndPythonChat(t *testing.T) {
	py := python(t)
	examples := build(t, "udpchat", "udpchatgraceful", "tcpchat")

	for _, example := range []string{"udpchat", "udpchatgraceful"} {
		t.Run(example+" is contacted", func(t *testing.T) {
			chat := startChat(t, examples, example, "0")
			twin := startTwin(t, py, "udpchat", "0", chat.bound())
			twin.bound()
			chat.logIn()
			for _, text := range texts {
				twin.say(text)
				chat.hears(pythia, text)
				chat.say(text)
				twin.hears(event{Event: "message", Sender: gopher, Text: text})
			}
			twin.do(order{"do": "leave", "sender": pythia})
			chat.hears(pythia, goodbye)
		})

		t.Run(example+" makes contact", func(t *testing.T) {
			twin := startTwin(t, py, "udpchat", "0")
			chat := startChat(t, examples, example, "0", twin.bound())
			chat.logIn()
			for _, text := range texts {
				chat.say(text)
				twin.hears(event{Event: "message", Sender: gopher, Text: text})
				twin.say(text)
				chat.hears(pythia, text)
			}
			twin.do(order{"do": "send", "hex": ""})
			twin.say("")
			chat.hears(pythia, "")
		})
	}

	t.Run("udpchatgraceful leaves", func(t *testing.T) {
		twin := startTwin(t, py, "udpchat", "0")
		chat := startChat(t, examples, "udpchatgraceful", "0", twin.bound())
		chat.logIn()
		chat.say("Hello")
		twin.hears(event{Event: "message", Sender: gopher, Text: "Hello"})
		chat.ends()
		twin.hears(event{Event: "leave", Sender: gopher, Text: goodbye})
	})

	t.Run("udpchatgraceful forgets who leaves", func(t *testing.T) {
		leaver := startTwin(t, py, "udpchat", "0")
		leaverAddress := leaver.bound()
		stayer := startTwin(t, py, "udpchat", "0")
		chat := startChat(t, examples, "udpchatgraceful", "0", leaverAddress, stayer.bound())
		chat.logIn()
		chat.say("to both")
		leaver.hears(event{Event: "message", Sender: gopher, Text: "to both"})
		stayer.hears(event{Event: "message", Sender: gopher, Text: "to both"})

		mention := "who " + goodbye
		leaver.say(mention)
		chat.hears(pythia, mention)
		chat.say("to both again")
		leaver.hears(event{Event: "message", Sender: gopher, Text: "to both again"})
		stayer.hears(event{Event: "message", Sender: gopher, Text: "to both again"})

		leaver.do(order{"do": "leave", "sender": pythia})
		chat.hears(pythia, goodbye)
		// When the stayer has the second of these, the first was sent to everyone
		// it is sent to. The leaver hears in order: if the probe is next, it was
		// not sent to the leaver.
		for _, text := range []string{"to one", "to one again"} {
			chat.say(text)
			stayer.hears(event{Event: "message", Sender: gopher, Text: text})
		}
		stayer.do(order{"do": "say", "sender": pythia, "text": "probe", "to": leaverAddress})
		leaver.hears(event{Event: "message", Sender: pythia, Text: "probe"})
	})

	for prefix, flags := range map[string][]string{"2": {"-prefix", "2"}, "4": nil} {
		t.Run("tcpchat server, prefix "+prefix, func(t *testing.T) {
			chat := startChat(t, examples, "tcpchat", append(flags, "server", "0")...)
			port, _, _ := strings.Cut(chat.skipTo("Server listening on port "), " ")
			chat.logIn()
			for i := range 2 {
				twin := startTwin(t, py, "tcpchat", "-prefix", prefix, "client", "127.0.0.1:"+port)
				twin.hears(event{Event: "connect"})
				peer := chat.skipTo("Open ingoing connection from: ")
				converse(chat, twin)
				if i == 0 {
					twin.ends()
					chat.expects("Connection with peer " + peer + " closed")
				} else {
					chat.ends()
					twin.hears(event{Event: "end"})
				}
			}
		})

		t.Run("tcpchat client, prefix "+prefix, func(t *testing.T) {
			twin := startTwin(t, py, "tcpchat", "-prefix", prefix, "server", "0")
			address := twin.bound()
			for i := range 2 {
				chat := startChat(t, examples, "tcpchat", append(flags, "client", address)...)
				twin.hears(event{Event: "connect"})
				peer := chat.skipTo("Connected to ")
				chat.logIn()
				converse(chat, twin)
				if i == 0 {
					chat.ends()
					twin.hears(event{Event: "end"})
				} else {
					twin.ends()
					chat.expects("Connection with peer " + peer + " closed")
					chat.ends()
				}
			}
		})
	}
}

// converse has all kinds of frames cross a connection, both ways.
func converse(chat *chat, twin *twin) {
	chat.t.Helper()
	for _, text := range append(texts, strings.Repeat("però ", 10_000)+"?") {
		twin.say(text)
		chat.hears(pythia, text)
		chat.say(text)
		twin.hears(event{Event: "message", Sender: gopher, Text: text})
	}
	twin.do(order{"do": "send", "hex": ""})
	twin.say("")
	chat.hears(pythia, "")
	twin.do(order{"do": "say", "sender": pythia, "text": texts[2], "slowly": true})
	chat.hears(pythia, texts[2])
	twin.do(order{"do": "send", "hex": "", "slowly": true})
	twin.do(order{"do": "send", "hex": hex.EncodeToString([]byte("no chat message"))})
	chat.expects("no chat message")
	chat.say("still there")
	twin.hears(event{Event: "message", Sender: gopher, Text: "still there"})
}

// python returns the command of Python 3, and skips the test where there is
// none.
func python(t *testing.T) string {
	t.Helper()
	noticeChanges(t, ".")
	for _, command := range []string{"python3", "python"} {
		if exec.Command(command, "-c", "import sys; sys.exit(sys.version_info < (3, 8))").Run() == nil {
			return command
		}
	}
	t.Skip("there is no python3 (3.8 or later) to run twin.py with")
	return ""
}

// build builds examples and returns the directory that holds the programs.
func build(t *testing.T, examples ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := range examples {
		examples[i] = "../../examples/" + examples[i]
	}
	sources := run(t, append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}"}, examples...)...)
	noticeChanges(t, strings.Split(strings.TrimSpace(sources), "\n")...)
	run(t, append([]string{"build", "-o", dir + string(filepath.Separator)}, examples...)...)
	return dir
}

// noticeChanges reads directories for go test, which otherwise shows a cached
// result: it knows what a test opens, not what the test's processes open.
func noticeChanges(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if _, err := os.ReadDir(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs the go command and returns its output.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", args[0], err, &stderr)
	}
	return string(out)
}

// A process is a program that reads and writes lines.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	lines  chan string // closed at the end of its output
	heard  []string    // the lines that the test took from there
}

func start(t *testing.T, command string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(command, args...), lines: make(chan string)}
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for r := bufio.NewReader(stdout); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				p.lines <- strings.TrimRight(line, "\r\n")
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		for range p.lines {
		}
		p.cmd.Wait()
	})
	return p
}

// write types a line.
func (p *process) write(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.fatalf("typing %.80q: %v", line, err)
	}
}

// next returns the next line of output that is not empty: an empty message may
// show as an empty line.
func (p *process) next() string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.fatalf("the program ended")
			}
			p.heard = append(p.heard, line)
			if line != "" {
				return line
			}
		case <-deadline:
			p.fatalf("no line came for %v", patience)
		}
	}
}

// expects takes the next line, which must be the one given.
func (p *process) expects(want string) {
	p.t.Helper()
	if got := p.next(); got != want {
		p.fatalf("the next line is %.80q, want %.80q", got, want)
	}
}

// skipTo takes lines up to the one that starts with prefix, and returns what
// follows the prefix.
func (p *process) skipTo(prefix string) string {
	p.t.Helper()
	for {
		if rest, ok := strings.CutPrefix(p.next(), prefix); ok {
			return rest
		}
	}
}

// ends ends the program's input; it must exit with status 0.
func (p *process) ends() {
	p.t.Helper()
	p.stdin.Close()
	deadline := time.After(patience)
	for open := true; open; {
		select {
		case _, open = <-p.lines:
		case <-deadline:
			p.fatalf("still running %v after the end of its input", patience)
		}
	}
	if err := p.cmd.Wait(); err != nil {
		p.fatalf("at the end: %v", err)
	}
}

func (p *process) fatalf(format string, args ...any) {
	p.t.Helper()
	var said strings.Builder
	for _, line := range p.heard {
		fmt.Fprintf(&said, "\t%.200s\n", line)
	}
	if state := p.cmd.ProcessState; state != nil {
		fmt.Fprintf(&said, "\t%s\n%s", state, p.stderr.Bytes())
	}
	p.t.Fatalf("%s: %s; it had printed:\n%s", filepath.Base(p.cmd.Path), fmt.Sprintf(format, args...), &said)
}

// A chat is a Go example.
type chat struct{ *process }

func startChat(t *testing.T, examples, name string, args ...string) *chat {
	t.Helper()
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return &chat{start(t, filepath.Join(examples, name), args...)}
}

// bound returns where a UDP chat listens.
func (c *chat) bound() string {
	c.t.Helper()
	address := c.skipTo("Bound to: ")
	return "127.0.0.1" + address[strings.LastIndex(address, ":"):]
}

func (c *chat) logIn() {
	c.t.Helper()
	c.write(gopher)
	c.skipTo("Type your message and press Enter to send it. Messages from other peers will be displayed below.")
}

func (c *chat) say(text string) {
	c.t.Helper()
	c.write(text)
}

var header = regexp.MustCompile(`^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\] (.*):$`)

// hears takes the next message shown, which must be the one given.
func (c *chat) hears(sender, text string) {
	c.t.Helper()
	line := c.next()
	if parts := header.FindStringSubmatch(line); parts == nil || parts[2] != sender {
		c.fatalf("the next line is %.80q, want the header of a message from %s", line, sender)
	}
	c.expects("\t" + text)
}

// A twin is a running twin.py, whose docstring says what it does.
type twin struct{ *process }

type order map[string]any

// An event is what a twin tells. The test does not compare the fields that it
// cannot know.
type event struct {
	Event, Sender, Text, Hex, Reason string
	Port                             int
}

func startTwin(t *testing.T, python string, args ...string) *twin {
	t.Helper()
	return &twin{start(t, python, append([]string{"twin.py"}, args...)...)}
}

func (w *twin) next() event {
	w.t.Helper()
	var e event
	if line := w.process.next(); json.Unmarshal([]byte(line), &e) != nil {
		w.fatalf("no event: %s", line)
	}
	return e
}

// bound returns where the twin listens.
func (w *twin) bound() string {
	w.t.Helper()
	return "127.0.0.1:" + strconv.Itoa(w.next().Port)
}

func (w *twin) do(o order) {
	w.t.Helper()
	line, err := json.Marshal(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(string(line))
}

func (w *twin) say(text string) {
	w.t.Helper()
	w.do(order{"do": "say", "sender": pythia, "text": text})
}

// hears takes the next event, which must be the one given.
func (w *twin) hears(want event) {
	w.t.Helper()
	if got := w.next(); got != want {
		w.fatalf("the next event is %.200s, want %.200s", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
}
