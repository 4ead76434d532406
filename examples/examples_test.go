// Package examples_test drives every scenario as real processes.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

const (
	patience   = 30 * time.Second // for what must happen
	impatience = 300 * time.Millisecond
	typing     = "Type your message and press Enter to send it. Messages from other peers will be displayed below."
	username   = "Enter your username to start the chat:"
)

var (
	programs = []string{"udpchatwrong", "udpchat", "udpstreamer", "udpchatgraceful", "tcpechowrong", "tcpecho", "rand",
		"tcpchat", "tcpgroupchat", "badnetwork", "udpchatreliable", "udpchatsecure"}
	binaries string // the folder of the built programs
)

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if binaries, err = os.MkdirTemp("", "examples"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(binaries)
	args := []string{"-o", binaries}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
		os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	}
	if output, err := goBuild(".", append(args, "./...")...); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, output)
	}
	return m.Run(), nil
}

// TestResultIsOfTheseSources opens what the programs are built of: go test knows
// what a test opens, and shows a cached result when none of that has changed.
func TestResultIsOfTheseSources(t *testing.T) {
	for _, pattern := range []string{"*/*.go", "../*.go", "../console/*.go", "../internal/*/*.go", "../simnet/*.go", "../reliable/*.go", "../secure/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
		}
	}
}

func goBuild(dir string, args ...string) (output []byte, err error) {
	cmd := exec.Command("go", append([]string{"build"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOPROXY=off", "GOFLAGS=")
	return cmd.CombinedOutput()
}

// A process is a running program. What it prints, on both outputs, is read line
// by line.
type process struct {
	t       *testing.T
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	arrived chan struct{} // one slot: lines has more
	ended   chan struct{} // closed when the process is over and all is read
	port    string        // of "Bound to:"

	mu    sync.Mutex // guards lines
	lines []string
	next  int // expect goes on here
}

// start runs a program until the end of the test at most.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	return startIn(t, "", program, args...)
}

// startIn is start in a folder.
func startIn(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	p := &process{
		t:       t,
		name:    strings.Join(append([]string{program}, args...), " "),
		cmd:     exec.Command(filepath.Join(binaries, program), args...),
		arrived: make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	p.cmd.Dir = dir
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(stdout) })
	reading.Go(func() { p.read(stderr) })
	go func() {
		reading.Wait()
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() || p.count("WARNING: DATA RACE") > 0 {
			t.Errorf("%s:\n\t%s", p.name, strings.Join(p.lines, "\n\t"))
		}
	})
	return p
}

func (p *process) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.lines = append(p.lines, line[:min(len(line), 1000)])
		p.mu.Unlock()
		select {
		case p.arrived <- struct{}{}:
		default:
		}
	}
}

// find returns the first line with text behind those that were expected before.
func (p *process) find(text string) (line string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, line := range p.lines[p.next:] {
		if strings.Contains(line, text) {
			p.next += i + 1
			return line, true
		}
	}
	return "", false
}

// expect waits for a line with text.
func (p *process) expect(text string) (line string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		line, ok := p.find(text)
		if ok {
			return line
		}
		select {
		case <-p.arrived:
		case <-p.ended:
			if line, ok := p.find(text); ok {
				return line
			}
			p.t.Fatalf("%s ended, and never printed %q", p.name, text)
		case <-deadline:
			p.t.Fatalf("%s did not print %q within %v", p.name, text, patience)
		}
	}
}

// shows waits for a line with text anywhere.
func (p *process) shows(text string) (line string) {
	p.t.Helper()
	p.mu.Lock()
	p.next = 0
	p.mu.Unlock()
	return p.expect(text)
}

// count returns how many lines there are with text.
func (p *process) count(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// expectOnce checks that a message was shown once. It makes sense when no more
// can come.
func (p *process) expectOnce(text string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.lines {
		if line == "\t"+text {
			n++
		}
	}
	if n != 1 {
		p.t.Errorf("%s showed %q %d times, want once", p.name, text, n)
	}
}

func (p *process) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("%s does not read %q: %v", p.name, line, err)
	}
}

// signal sends a signal, or skips the test where there are none.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if runtime.GOOS == "windows" {
		p.t.Skip("no signals on Windows")
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// leave closes standard input, as Ctrl+D, and expects a polite end.
func (p *process) leave() {
	p.t.Helper()
	p.stdin.Close()
	p.exits(0)
}

// exits expects the end of the process, with this status.
func (p *process) exits(status int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %v", p.name, patience)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("%s: exit status %d (%v), want %d", p.name, got, p.cmd.ProcessState, status)
	}
}

// bind starts a program that says what it is bound to.
func bind(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := start(t, program, args...)
	_, p.port, _ = net.SplitHostPort(strings.TrimPrefix(p.expect("Bound to: "), "Bound to: "))
	return p
}

// open starts a chat, up to the username.
func open(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := bind(t, program, args...)
	p.expect("Local IP addresses: [")
	return p
}

// named gives the username.
func (p *process) named(name string) *process {
	p.t.Helper()
	p.expect(username)
	p.say(name)
	p.expect(typing)
	return p
}

// join starts a chat and gives the username.
func join(t *testing.T, program, name string, args ...string) *process {
	t.Helper()
	return open(t, program, args...).named(name)
}

// freePort is a port that nobody uses, and that the kernel does not choose.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + mathrand.IntN(10000))
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			continue
		}
		listener.Close()
		conn, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			continue
		}
		conn.Close()
		return port
	}
	t.Fatal("no free port")
	return ""
}

func TestEachMainBuildsAloneInAnotherModule(t *testing.T) {
	t.Parallel()
	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(path ...string) []byte {
		content, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	mod := regexp.MustCompile(`(?m)^module .*`).ReplaceAllLiteral(read(repository, "go.mod"), []byte("module example.com/student"))
	mod = fmt.Appendf(mod, "\nrequire github.com/seed287501ae/sockets v0.0.0\n\nreplace github.com/seed287501ae/sockets => %s\n", strconv.Quote(filepath.ToSlash(repository)))
	sources := map[string][]byte{"README": regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(read(repository, "README.md"))[1]}
	for _, program := range programs {
		sources[program] = read(program, "main.go")
	}
	for program, source := range sources {
		t.Run(program, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string][]byte{"go.mod": mod, "go.sum": read(repository, "go.sum"), "main.go": source} {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if output, err := goBuild(dir, "-o", t.TempDir(), "."); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

func TestWrongArgumentsGiveTheUsage(t *testing.T) {
	t.Parallel()
	calls := []string{
		"udpchatwrong abc",
		"udpchatwrong 65536",
		"udpchatwrong 0 localhost",
		"udpchat -1",
		"udpchat localhost:8080",
		"udpchat 0 localhost:http://",
		"udpchatgraceful 0 localhost:0",
		"udpchatgraceful 0 localhost:65536",
		"udpchatreliable abc",
		"udpchatreliable 0 localhost",
		"udpchatsecure",
		"udpchatsecure -pub",
		"udpchatsecure -pub alice 8080",
		"udpchatsecure -fast alice",
		"udpchatsecure alice:8080",
		"udpstreamer",
		"udpstreamer 3",
		"udpstreamer many localhost:8080",
		"udpstreamer -1 localhost:8080",
		"udpstreamer 3 localhost",
		"udpstreamer receive",
		"udpstreamer receive 65536",
		"udpstreamer receive 0 localhost:8080",
		"tcpechowrong",
		"tcpechowrong server",
		"tcpechowrong client localhost:8080 localhost:8081",
		"tcpecho sever 8080",
		"tcpecho server 65536",
		"rand 3",
		"tcpchat",
		"tcpchat server",
		"tcpchat server 65536",
		"tcpchat client localhost",
		"tcpchat client localhost:abc",
		"tcpchat server 0 localhost:8080",
		"tcpchat -prefix 3 server 0",
		"tcpchat -prefix many server 0",
		"tcpchat server -prefix 2 0",
		"tcpchat -secure",
		"tcpchat -secure= server 0",
		"tcpchat -secure alice:8080 server 0",
		"tcpchat client alice@localhost:8080",
		"tcpgroupchat abc",
		"tcpgroupchat 65536",
		"tcpgroupchat 0 localhost",
		"tcpgroupchat -prefix 0",
		"tcpgroupchat -fast",
	}
	for _, call := range calls {
		t.Run(call, func(t *testing.T) {
			words := strings.Fields(call)
			cmd := exec.Command(filepath.Join(binaries, words[0]), words[1:]...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			lines := strings.SplitAfter(stderr.String(), "\n")
			if code := cmd.ProcessState.ExitCode(); code != 2 || stdout.Len() > 0 || len(lines) < 3 ||
				!strings.HasPrefix(lines[1], "usage: "+words[0]) ||
				slices.ContainsFunc(lines[2:len(lines)-1], func(line string) bool { return !strings.HasPrefix(line, "       "+words[0]) }) {
				t.Errorf("exit status %d, standard output %q, standard error:\n%s\nwant 2, nothing, a line and the usage", code, &stdout, &stderr)
			}
		})
	}
}

func TestFailuresAreASentence(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tcp := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	udp := strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
	nobody := "127.0.0.1:" + freePort(t)
	calls := map[string]string{
		"udpchatwrong " + udp:           "in use",
		"udpchat " + udp:                "in use",
		"udpchatgraceful " + udp:        "in use",
		"udpstreamer receive " + udp:    "in use",
		"tcpechowrong server " + tcp:    "in use",
		"tcpecho server " + tcp:         "in use",
		"tcpchat server " + tcp:         "in use",
		"tcpgroupchat " + tcp:           "in use",
		"tcpechowrong client " + nobody: "refused",
		"tcpecho client " + nobody:      "refused",
		"tcpchat client " + nobody:      "refused",
	}
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		t.Run(call, func(t *testing.T) {
			words := strings.Fields(call)
			cmd := exec.Command(filepath.Join(binaries, words[0]), words[1:]...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != 1 || stdout.Len() > 0 ||
				strings.Count(stderr.String(), "\n") != 1 || runtime.GOOS != "windows" && !strings.Contains(stderr.String(), calls[call]) {
				t.Errorf("exit status %d, standard output %q, standard error:\n%s\nwant 1, nothing, a sentence with %q", code, &stdout, &stderr, calls[call])
			}
		})
	}
}

func TestUDPChatsGoBothWays(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"udpchat", "udpchatgraceful"} {
		t.Run(program, func(t *testing.T) {
			port := freePort(t)
			alice := join(t, program, "Alice", port)
			bob := join(t, program, "Bob", "0", "localhost:"+port)
			if alice.count("In another terminal") != 0 {
				t.Errorf("%s prints a command although a port was given", alice.name)
			}
			if bob.count("In another terminal: go run ./examples/"+program+" 0 localhost:"+bob.port) != 1 {
				t.Errorf("%s does not print the command for another terminal", bob.name)
			}
			bob.say("Hello Alice!")
			alice.expect("] Bob:")
			alice.expect("\tHello Alice!")
			alice.say("Ciao Bob, così è più bello \U0001f600")
			bob.expect("] Alice:")
			bob.expect("\tCiao Bob, così è più bello \U0001f600")
			carol := join(t, program, "Carol", "0", "127.0.0.1:"+alice.port, "localhost:"+bob.port)
			carol.say("To both")
			alice.expect("\tTo both")
			bob.expect("\tTo both")
			alice.say("")
			for _, p := range []*process{bob, carol} {
				p.expect("] Alice:")
				p.expect("\t")
			}
		})
	}
}

func TestUDPChatEscapesWhatStrangersSend(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"udpchatwrong", "udpchat", "udpchatgraceful"} {
		t.Run(program, func(t *testing.T) {
			p := open(t, program)
			stranger := newStranger(t)
			stranger.send("\x1b[2Jboo\n[2024-02-03T12:15:00] Alice:", p.port)
			p.expect(username)
			p.say("Bob")
			p.say("anything")
			p.shows(`\u{1b}[2Jboo`)
			p.expect("\t[2024-02-03T12:15:00] Alice:")
		})
	}
}

// A stranger is a UDP socket of the test itself.
type stranger struct {
	t    *testing.T
	conn net.PacketConn
	port string
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &stranger{t, conn, strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)}
}

func (s *stranger) send(payload, port string) {
	s.t.Helper()
	to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.conn.WriteTo([]byte(payload), to); err != nil {
		s.t.Fatal(err)
	}
}

// receive returns the text of the next message; "" if none comes in time.
func (s *stranger) receive(within time.Duration) string {
	s.t.Helper()
	buffer := make([]byte, 1<<16)
	s.conn.SetReadDeadline(time.Now().Add(within))
	n, _, err := s.conn.ReadFrom(buffer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := sockets.ParseMessage(buffer[:n])
	if err != nil {
		s.t.Fatalf("%q: %v", buffer[:n], err)
	}
	return m.Text
}

func (s *stranger) expect(text string) {
	s.t.Helper()
	if got := s.receive(patience); got != text {
		s.t.Fatalf("received %q, want %q", got, text)
	}
}

// expectNoMore checks that nothing arrived that is not received yet.
func (s *stranger) expectNoMore() {
	s.t.Helper()
	s.send(sockets.NewMessage("nothing before this", "me").String(), s.port)
	s.expect("nothing before this")
}

func TestUDPChatWrongBlocks(t *testing.T) {
	t.Parallel()
	alice := open(t, "udpchatwrong")
	alice.expect("In another terminal: go run ./examples/udpchatwrong 0 localhost:" + alice.port)
	alice.expect(username)
	alice.say("Alice")
	stranger := newStranger(t)
	bob := open(t, "udpchatwrong", "0", "localhost:"+alice.port, "localhost:"+stranger.port)
	bob.expect(username)
	bob.say("Bob")
	bob.say("Hello Alice!")
	bob.say("Are you there?")
	stranger.expect("Hello Alice!")
	if got := stranger.receive(impatience); got != "" {
		t.Errorf("received %q before Bob had received anything", got)
	}
	if alice.count("Hello Alice!") != 0 {
		t.Error("Alice shows a message while she should wait for the keyboard")
	}
	alice.say("Is there anybody?") // reaches nobody: she has not received yet
	alice.expect("> [")
	alice.expect("\tHello Alice!")
	alice.say("Hello Bob, how are you?")
	bob.expect("Hello Bob, how are you?")
	stranger.expect("Are you there?")
	if bob.count("Is there anybody?") != 0 {
		t.Error("a message to nobody arrived")
	}
	bob.signal(os.Interrupt) // he waits for a message
	select {
	case <-bob.ended:
	case <-time.After(patience):
		t.Error("Ctrl+C does not end a program that receives")
	}
}

func TestUDPChatLeavesWithoutGoodbye(t *testing.T) {
	t.Parallel()
	stranger := newStranger(t)
	alice := join(t, "udpchat", "Alice", "0", "localhost:"+stranger.port)
	alice.say("one")
	stranger.expect("one")
	stranger.send(sockets.NewMessage(sockets.ExitMessage, "Stranger").String(), alice.port)
	alice.expect("\t" + sockets.ExitMessage)
	alice.say("two")
	stranger.expect("two")
	alice.leave()
	stranger.expectNoMore()
}

func TestUDPChatGracefulSaysGoodbye(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*process){
		"Ctrl+D": func(p *process) { p.stdin.Close() },
		"Ctrl+C": func(p *process) { p.signal(os.Interrupt) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			stranger := newStranger(t)
			alice := join(t, "udpchatgraceful", "Alice")
			bob := join(t, "udpchatgraceful", "Bob", "0", "localhost:"+alice.port, "localhost:"+stranger.port)
			bob.say("Hello")
			alice.expect("\tHello")
			stranger.expect("Hello")
			end(bob)
			bob.exits(0)
			alice.expect("] Bob:")
			alice.expect("\t" + sockets.ExitMessage)
			stranger.expect(sockets.ExitMessage)
			stranger.expectNoMore()
		})
	}
}

func TestUDPChatGracefulForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	stranger, witness := newStranger(t), newStranger(t)
	say := func(text, port string) { stranger.send(sockets.NewMessage(text, "Stranger").String(), port) }
	alice := join(t, "udpchatgraceful", "Alice", "0", "127.0.0.1:"+stranger.port, "127.0.0.1:"+witness.port)
	alice.say("one")
	stranger.expect("one")
	say("Who types "+sockets.ExitMessage+" stays", alice.port)
	alice.expect("\tWho types")
	alice.say("two")
	stranger.expect("two")
	say(sockets.ExitMessage, alice.port)
	alice.expect("\t" + sockets.ExitMessage)
	alice.say("three")
	for _, text := range []string{"one", "two", "three"} {
		witness.expect(text)
	}
	say("I am back", alice.port)
	alice.expect("\tI am back")
	alice.say("four")
	stranger.expect("four")
}

func TestUDPStreamer(t *testing.T) {
	t.Parallel()
	alice := join(t, "udpchat", "Alice")
	bob := join(t, "udpchatgraceful", "Bob")
	streamer := start(t, "udpstreamer", "20", "localhost:"+alice.port, "127.0.0.1:"+bob.port)
	for i := range 20 {
		streamer.expect(fmt.Sprintf("Sent message %d", i))
		for _, p := range []*process{alice, bob} {
			p.expect("] Streamer:")
			p.expect(fmt.Sprintf("\tNumber %d", i))
		}
	}
	streamer.exits(0)
	none := start(t, "udpstreamer", "0", "localhost:"+alice.port)
	none.exits(0)
	if n := none.count(""); n != 0 {
		t.Errorf("%s printed %d lines", none.name, n)
	}
}

// number is a message of udpstreamer.
func number(n int) string { return sockets.NewMessage(fmt.Sprint("Number ", n), "Streamer").String() }

func TestUDPStreamerCounts(t *testing.T) {
	t.Parallel()
	numbers := func(numbers ...int) (payloads []string) {
		for _, n := range numbers {
			payloads = append(payloads, number(n))
		}
		return payloads
	}
	for name, test := range map[string]struct {
		sent []string
		want string
	}{
		"in order":           {numbers(0, 1, 2, 3), "received 4, lost 0, duplicated 0, out of order 0, other 0"},
		"some lost":          {numbers(1, 2, 5), "received 3, lost 3, duplicated 0, out of order 0, other 0"},
		"some again":         {numbers(0, 1, 1, 0, 0, 2), "received 3, lost 0, duplicated 3, out of order 0, other 0"},
		"some late":          {numbers(2, 0, 1, 3), "received 4, lost 0, duplicated 0, out of order 2, other 0"},
		"late and again":     {numbers(3, 1, 1), "received 2, lost 2, duplicated 1, out of order 1, other 0"},
		"just remembered":    {numbers(0, 1, 65536, 1), "received 3, lost 65534, duplicated 1, out of order 0, other 0"},
		"not remembered":     {numbers(0, 1, 65536, 0), "received 3, lost 65534, duplicated 0, out of order 0, other 1"},
		"forgotten by steps": {numbers(5, 6, 7, 65641, 65542), "received 5, lost 65637, duplicated 0, out of order 1, other 0"},
		"forgotten at once":  {numbers(5, 6, 7, 1<<17+100, 1<<17+6), "received 5, lost 131168, duplicated 0, out of order 1, other 0"},
		"no numbers": {[]string{"", "\x1b[2Jboo", "Number 0", strings.Replace(number(0), "Streamer", "Alice", 1),
			strings.Replace(number(0), "Number ", "", 1), number(-1), number(0) + "\n", number(281474976) + "710656"},
			"received 0, lost 0, duplicated 0, out of order 0, other 8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stranger, last := newStranger(t), newStranger(t)
			p := bind(t, "udpstreamer", "receive", "0")
			for _, payload := range test.sent {
				stranger.send(payload, p.port)
			}
			last.send("", p.port)
			p.expect("Receiving from 127.0.0.1:" + stranger.port)
			p.expect("Receiving from 127.0.0.1:" + last.port)
			p.leave()
			p.expect("127.0.0.1:" + stranger.port + ": " + test.want)
			p.expect("127.0.0.1:" + last.port + ": received 0, lost 0, duplicated 0, out of order 0, other 1")
			p.expect("Senders: 2, datagrams of further ones: 0")
			if lines := p.count(""); lines != 6 {
				t.Errorf("%d lines, want 6", lines)
			}
		})
	}
}

func TestUDPStreamerReceivesWhatItSends(t *testing.T) {
	t.Parallel()
	p := bind(t, "udpstreamer", "receive", "0")
	for _, count := range []string{"1000", "50"} {
		start(t, "udpstreamer", count, "localhost:"+p.port).exits(0)
		p.expect("Receiving from 127.0.0.1:")
		last := newStranger(t)
		for deadline := time.Now().Add(patience); ; { // the receive buffer may be full
			last.send("", p.port)
			if _, ok := p.find("Receiving from 127.0.0.1:" + last.port); ok {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing more is received")
			}
		}
	}
	p.leave()
	var received, lost int
	line := p.expect(", duplicated 0, out of order 0, other 0")
	fmt.Sscanf(line[strings.Index(line, "received"):], "received %d, lost %d", &received, &lost)
	if received == 0 || received+lost > 1000 {
		t.Errorf("of 1000 messages: %s", line)
	}
	p.expect(": received 50, lost 0, duplicated 0, out of order 0, other 0")
	p.expect("Senders: 4, datagrams of further ones: 0")
}

func TestUDPStreamerCountsSixtyFourSenders(t *testing.T) {
	t.Parallel()
	p := bind(t, "udpstreamer", "receive", "0")
	var strangers []*stranger
	for range 64 {
		s := newStranger(t)
		s.send(number(0), p.port)
		p.expect("Receiving from 127.0.0.1:" + s.port)
		strangers = append(strangers, s)
	}
	further := newStranger(t)
	further.send(number(0), p.port)
	further.send("", p.port)
	strangers[0].send(number(1), p.port)
	p.leave()
	p.expect("127.0.0.1:" + strangers[0].port + ": received 2")
	for _, s := range strangers[1:] {
		p.expect("127.0.0.1:" + s.port + ": received 1")
	}
	p.expect("Senders: 64, datagrams of further ones: 2")
}

func TestUDPStreamerEndsOnSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			p := bind(t, "udpstreamer", "receive", "0")
			p.signal(s)
			p.exits(0)
			p.expect("Senders: 0, datagrams of further ones: 0")
		})
	}
}

// startEcho starts an echo server, and returns its port.
func startEcho(t *testing.T, program string) (server *process, port string) {
	t.Helper()
	const text = "# echo server listening on port "
	server = start(t, program, "server", "0")
	return server, strings.TrimPrefix(server.expect(text), text)
}

func TestEcho(t *testing.T) {
	t.Parallel()
	sizes := map[string][]int{
		"tcpechowrong": {0, 1, 1024, 20000}, // small enough for the buffers of the kernel
		"tcpecho":      {0, 1, 1024, 3<<20 + 5},
	}
	for _, program := range slices.Sorted(maps.Keys(sizes)) {
		for _, size := range sizes[program] {
			t.Run(fmt.Sprint(program, size), func(t *testing.T) {
				server, port := startEcho(t, program)
				data := make([]byte, size)
				rand.Read(data)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				client := exec.CommandContext(ctx, filepath.Join(binaries, program), "client", "localhost:"+port)
				var stdout, stderr bytes.Buffer
				client.Stdin, client.Stdout, client.Stderr = bytes.NewReader(data), &stdout, &stderr
				if err := client.Run(); err != nil {
					t.Fatalf("client: %v\n%s", err, &stderr)
				}
				if !bytes.Equal(stdout.Bytes(), data) {
					t.Errorf("%d bytes came back, and not those %d that were sent", stdout.Len(), size)
				}
				if want := regexp.MustCompile(`^# connected to \S+:` + port + "\r?\n# connection closed\r?\n$"); !want.Match(stderr.Bytes()) {
					t.Errorf("standard error: %q", &stderr)
				}
				server.expect("# start echoing data from ")
				if size > 0 {
					server.expect("# echoed ")
				}
				server.expect("# connection closed")
				server.exits(0)
			})
		}
	}
}

func TestEchoWrongDeadlocksOnALongStream(t *testing.T) {
	t.Parallel()
	server, port := startEcho(t, "tcpechowrong")
	numbers := exec.CommandContext(t.Context(), filepath.Join(binaries, "rand"))
	client := exec.CommandContext(t.Context(), filepath.Join(binaries, "tcpechowrong"), "client", "localhost:"+port)
	stream, err := numbers.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var sent, received counter
	client.Stdin, client.Stdout = io.TeeReader(stream, &sent), &received
	for _, cmd := range []*exec.Cmd{numbers, client} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	server.expect("# echoed 1024 bytes: ")
	const standstill = time.Second
	deadline := time.Now().Add(patience)
	for last := int64(-1); last != sent.Load(); {
		last = sent.Load()
		if time.Now().After(deadline) || last > 1<<30 {
			t.Fatalf("no deadlock after %d bytes", last)
		}
		time.Sleep(standstill)
	}
	if n := received.Load(); n != 0 {
		t.Errorf("the client wrote %d bytes before the end of its input", n)
	}
	if sent.Load() < 100_000 {
		t.Errorf("a deadlock after %d bytes: want a long stream", sent.Load())
	}
	client.Process.Kill()
	numbers.Process.Kill()
	client.Wait()
	numbers.Wait()
}

// A counter counts what is written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

func TestEchoTellsAWrongEcho(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := start(t, "tcpecho", "client", listener.Addr().String())
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client.say("Hello")
	conn.Write([]byte("Hallo\n"))
	client.expect("Wrong echoed data:")
	client.expect(`     local: "Hello\n"`)
	client.expect(`    remote: "Hallo\n"`)
	client.exits(1)
}

func TestRandEndsQuietlyOnAClosedPipe(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "rand"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for range 1000 {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if _, err := strconv.ParseInt(lines.Text(), 10, 32); err != nil {
			t.Fatal(err)
		}
	}
	stdout.Close()
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v, standard error %q", err, &stderr)
	}
}

// startTCPChat starts a server of tcpchat, and returns its port.
func startTCPChat(t *testing.T, name string, flags ...string) (server *process, port string) {
	t.Helper()
	const text = "Server started on port "
	server = start(t, "tcpchat", append(flags, "server", "0")...)
	port = strings.TrimPrefix(server.expect(text), text)
	return server.named(name), port
}

func startTCPClient(t *testing.T, name, port string, flags ...string) *process {
	t.Helper()
	client := start(t, "tcpchat", append(flags, "client", "localhost:"+port)...)
	client.expect("Connected to ")
	return client.named(name)
}

func TestTCPChatGoesBothWays(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"-prefix", "1"}, {"-prefix=2"}, {"-prefix", "8"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			alice, port := startTCPChat(t, "Alice", flags...)
			alice.shows("Server listening on port " + port + " at ")
			alice.say("Is there anybody?")
			alice.expect("No peer connected, message is lost")
			bob := startTCPClient(t, "Bob", port, flags...)
			alice.expect("Open ingoing connection from: ")
			alice.say("Hello Bob")
			bob.expect("] Alice:")
			bob.expect("\tHello Bob")
			bob.say("")
			bob.expect("Empty message, not sent")
			bob.say("Ciao Alice, perché no? \U0001f600")
			alice.expect("] Bob:")
			alice.expect("\tCiao Alice, perché no? \U0001f600")
			bob.leave()
			alice.expect("Connection with peer ")
			alice.leave()
			if alice.count("Stop listening for new connections") != 1 {
				t.Error("the server does not say that it stops")
			}
		})
	}
}

func TestTCPChatIsOneToOne(t *testing.T) {
	t.Parallel()
	alice, port := startTCPChat(t, "Alice")
	bob := startTCPClient(t, "Bob", port)
	alice.expect("Open ingoing connection from: ")
	carol := startTCPClient(t, "Carol", port)
	carol.shows("] Server:")
	carol.expect("\tSomebody else is being served")
	carol.expect("Connection with peer ")
	carol.say("Anybody?")
	carol.expect("No peer connected, message is lost")
	carol.leave()
	bob.say("Still here")
	alice.expect("\tStill here")
	alice.say("I see")
	bob.expect("\tI see")
	if alice.count("Open ingoing connection from: ") != 1 || alice.count("closed") != 0 {
		t.Error("the server's user noticed the second client")
	}
	bob.leave()
	alice.expect("closed")
	alice.say("Next?")
	alice.expect("No peer connected, message is lost")
	dave := startTCPClient(t, "Dave", port)
	alice.expect("Open ingoing connection from: ")
	dave.say("My turn")
	alice.expect("\tMy turn")
}

func TestTCPChatNoticesEveryEnd(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*process){
		"Ctrl+D":  func(p *process) { p.stdin.Close() },
		"Ctrl+C":  func(p *process) { p.signal(os.Interrupt) },
		"kill -9": func(p *process) { p.cmd.Process.Kill() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			alice, port := startTCPChat(t, "Alice")
			bob := startTCPClient(t, "Bob", port)
			end(bob)
			alice.expect("Connection with peer ")
			if name != "kill -9" {
				bob.exits(0)
			}
			carol := startTCPClient(t, "Carol", port)
			carol.say("Hello")
			alice.expect("\tHello")
			end(alice)
			if name != "kill -9" {
				alice.exits(0)
				if alice.count("Stop listening for new connections") != 1 {
					t.Error("the server does not say that it stops")
				}
			}
			carol.expect("Connection with peer ")
			carol.say("Alice?")
			carol.expect("No peer connected, message is lost")
			carol.leave()
		})
	}
}

func TestTCPChatDeliversTheLastWords(t *testing.T) {
	t.Parallel()
	alice, port := startTCPChat(t, "Alice")
	bob := startTCPClient(t, "Bob", port)
	for i := range 1000 {
		bob.say(fmt.Sprint("word ", i))
	}
	bob.leave()
	alice.expect("\tword 999")
	alice.expect("Connection with peer ")
}

func TestGroupChatReachesEveryoneOnce(t *testing.T) {
	t.Parallel()
	alicePort, bobPort := freePort(t), freePort(t)
	tests := map[string]struct{ alice, bob, carol []string }{ // who is named at launch
		"one names the other": {nil, []string{"localhost:" + alicePort}, []string{"localhost:" + alicePort, "localhost:" + bobPort}},
		"each other":          {[]string{"localhost:" + bobPort}, []string{"localhost:" + alicePort}, []string{"localhost:" + alicePort, "localhost:" + bobPort}},
		"oneself":             {[]string{"localhost:" + alicePort}, []string{"127.0.0.1:" + bobPort, "localhost:" + alicePort}, []string{"localhost:" + alicePort, "localhost:" + bobPort}},
		"one twice": {[]string{"127.0.0.1:" + bobPort, "localhost:" + bobPort}, []string{"[::1]:" + alicePort, "localhost:" + alicePort, "127.0.0.1:" + alicePort},
			[]string{"localhost:" + alicePort, "[::1]:" + alicePort, "[::1]:" + bobPort, "localhost:" + bobPort}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			alice := join(t, "tcpgroupchat", "Alice", append([]string{alicePort}, test.alice...)...)
			bob := join(t, "tcpgroupchat", "Bob", append([]string{bobPort}, test.bob...)...)
			alice.expect("Bob (")
			carol := join(t, "tcpgroupchat", "Carol", append([]string{"0"}, test.carol...)...)
			for _, p := range []*process{alice, bob} {
				p.expect("Carol (")
			}
			all := []*process{alice, bob, carol}
			for i := range 100 {
				for j, p := range all {
					p.say(fmt.Sprintf("message %d of %d", i, j))
				}
			}
			for j := range all {
				for k, p := range all {
					if j != k {
						p.shows(fmt.Sprintf("\tmessage 99 of %d", j))
					}
				}
			}
			for k, p := range all {
				p.leave()
				for _, other := range all[k+1:] {
					other.shows([]string{"Alice", "Bob", "Carol"}[k] + " (")
					other.expect(") left the chat")
				}
				for j := range all {
					for i := range 100 {
						if j != k {
							p.expectOnce(fmt.Sprintf("message %d of %d", i, j))
						}
					}
				}
			}
			if n := carol.count(") left the chat"); n != 2 {
				t.Errorf("Carol is told %d times that somebody left, want 2", n)
			}
		})
	}
}

func TestGroupChatAloneLosesMessages(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	alice := join(t, "tcpgroupchat", "Alice", port, "localhost:"+port)
	alice.say("Is there anybody?")
	alice.expect("No peer connected, message is lost")
	alice.say("")
	alice.expect("Empty message, not sent")
	alice.leave()
	if alice.count("joined") != 0 || alice.count("Is there anybody?") != 0 {
		t.Error("Alice met herself")
	}
}

func TestGroupChatPrintsTheCommandForAnotherTerminal(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"-prefix", "2"}} {
		alice := join(t, "tcpgroupchat", "Alice", flags...)
		const text = "In another terminal: go run "
		command := strings.Fields(strings.TrimPrefix(alice.shows(text), text))
		bob := join(t, filepath.Base(command[0]), "Bob", command[1:]...)
		bob.say("Hello")
		alice.expect("\tHello")
	}
}

func TestGroupChatGoesOnWithoutThoseWhoLeave(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*process){
		"Ctrl+D":  func(p *process) { p.stdin.Close() },
		"Ctrl+C":  func(p *process) { p.signal(os.Interrupt) },
		"kill -9": func(p *process) { p.cmd.Process.Kill() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bobPort := freePort(t)
			alice := join(t, "tcpgroupchat", "Alice", "0", "localhost:"+bobPort) // not there yet
			alice.shows("Trying again and again: ")
			bob := join(t, "tcpgroupchat", "Bob", bobPort)
			alice.expect("Bob (127.0.0.1:" + bobPort + ") joined the chat")
			carol := join(t, "tcpgroupchat", "Carol", "0", "localhost:"+alice.port, "localhost:"+bobPort)
			alice.expect("Carol (127.0.0.1:" + carol.port + ") joined the chat")
			alice.say("Hello both")
			bob.expect("\tHello both")
			carol.expect("\tHello both")

			end(bob)
			if name != "kill -9" {
				bob.exits(0)
			}
			alice.expect("Bob (127.0.0.1:" + bobPort + ") left the chat")
			carol.expect("Bob (127.0.0.1:" + bobPort + ") left the chat")
			alice.say("Carol?")
			carol.expect("\tCarol?")

			<-bob.ended
			bob = join(t, "tcpgroupchat", "Bob again", bobPort)
			alice.expect("Bob again (127.0.0.1:" + bobPort + ") joined the chat")
			carol.expect("Bob again (127.0.0.1:" + bobPort + ") joined the chat")
			alice.say("Hello both of you")
			bob.expect("\tHello both of you")
			carol.expect("\tHello both of you")
		})
	}
}

func TestGroupChatIsNotHeldUpByOneThatStopsReading(t *testing.T) {
	t.Parallel()
	alice := join(t, "tcpgroupchat", "Alice")
	bob := join(t, "tcpgroupchat", "Bob", "0", "localhost:"+alice.port)
	carol := join(t, "tcpgroupchat", "Carol", "0", "localhost:"+alice.port, "localhost:"+bob.port)
	alice.shows("Bob (")
	alice.shows("Carol (")
	stop, resume := syscall.Signal(19), syscall.Signal(18)
	if runtime.GOOS != "linux" {
		stop, resume = 17, 19
	}
	bob.signal(stop)
	long := strings.Repeat(".", 50_000)
	for i := range 1000 {
		if alice.count(") left the chat") > 0 {
			break
		}
		alice.say(fmt.Sprint("line ", i, long))
		carol.expect(fmt.Sprintf("\tline %d.", i))
	}
	alice.shows("too slow")
	alice.expect("Bob (127.0.0.1:" + bob.port + ") left the chat")
	bob.signal(resume)
	alice.expect("Bob (127.0.0.1:" + bob.port + ") joined the chat")
	alice.say("Bob?")
	carol.expect("\tBob?")
	bob.expect("\tBob?")
	if n := carol.count("left the chat"); n != 0 {
		t.Errorf("Carol is told %d times that somebody left", n)
	}
}

func TestGroupChatWelcomesPlainPrograms(t *testing.T) {
	t.Parallel()
	server, serverPort := startTCPChat(t, "Server")
	alice := join(t, "tcpgroupchat", "Alice", "0", "localhost:"+serverPort)
	client := startTCPClient(t, "Client", alice.port)
	for _, p := range []*process{server, client} { // which say nothing
		p.expect("] Alice:")
		p.expect("\t<JOINS THE CHAT AT " + alice.port + " AS ")
	}
	alice.say("Hello both")
	for _, p := range []*process{server, client} {
		p.expect("\tHello both")
	}
	server.say("I am the server")
	alice.expect("\tI am the server")
	client.say("I am the client")
	alice.expect("\tI am the client")
	client.leave()
	alice.expect("left the chat")
	alice.say("Hello one")
	server.expect("\tHello one")
}

// A twin is a participant of a TCP group chat that the test plays by hand.
type twin struct {
	*sockets.Connection
	t *testing.T
}

func (w *twin) say(text string) {
	w.t.Helper()
	if err := w.Send(sockets.NewMessage(text, "Twin").Bytes()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *twin) receive() (text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	payload, err := w.Receive(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := sockets.ParseMessage(payload)
	if err != nil {
		w.t.Fatalf("%q: %v", payload, err)
	}
	return m.Text
}

func (w *twin) expect(text string) {
	w.t.Helper()
	if got := w.receive(); got != text {
		w.t.Fatalf("received %q, want %q", got, text)
	}
}

// expectJoin expects the line by which the participant at port says who it is.
func (w *twin) expectJoin(port string) (id string) {
	w.t.Helper()
	got := w.receive()
	join := regexp.MustCompile(`^<JOINS THE CHAT AT ` + port + ` AS (\S+)>$`).FindStringSubmatch(got)
	if join == nil {
		w.t.Fatalf("received %q, want a line that joins", got)
	}
	return join[1]
}

func (w *twin) expectEnd() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if payload, err := w.Receive(ctx); err != io.EOF {
		w.t.Fatalf("received %q, %v, want the end", payload, err)
	}
}

func TestGroupChatReachesSilentOnesOnTheSamePort(t *testing.T) {
	t.Parallel()
	port, accept := listenTwin(t)
	other, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("this system has one loopback address: ", err)
	}
	t.Cleanup(func() { other.Close() })
	alice := open(t, "tcpgroupchat", "0", "127.0.0.1:"+port, "127.0.0.2:"+port)
	alice.say("Alice")
	first, second := accept(), acceptTwin(t, other)
	first.expectJoin(alice.port)
	second.expectJoin(alice.port)
	alice.shows("127.0.0.1:" + port + " joined the chat") // they are silent
	alice.shows("127.0.0.2:" + port + " joined the chat")
	thief := dialTwin(t, alice.port)
	thief.say("<JOINS THE CHAT AT " + port + " AS thief>")
	thief.expectJoin(alice.port)
	alice.shows("Twin (")
	another := dialTwin(t, alice.port)
	another.say("<JOINS THE CHAT AT 1 AS 127.0.0.2:" + port + ">")
	another.expectJoin(alice.port)
	alice.shows("AS 127.0.0.2:" + port) // that is no identifier
	alice.say("Hello")
	second.expect("Hello")
}

func TestGroupChatKeepsNoLongName(t *testing.T) {
	t.Parallel()
	alice := join(t, "tcpgroupchat", "Alice")
	plain := dialTwin(t, alice.port)
	long := strings.Repeat("é", 20_000)
	if err := plain.Send(sockets.NewMessage("Hello", long).Bytes()); err != nil {
		t.Fatal(err)
	}
	alice.expect("\tHello")
	plain.expectJoin(alice.port)
	plain.Close()
	for _, text := range []string{" joined the chat", " left the chat"} {
		if line := alice.shows(text); !strings.HasPrefix(line, long[:2*64]+" (") {
			t.Errorf("%.300s", line)
		}
	}
}

func dialTwin(t *testing.T, port string) *twin {
	t.Helper()
	client, err := sockets.Dial(t.Context(), "127.0.0.1:"+port, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CloseNow() })
	return &twin{client.Connection, t}
}

// listenTwin returns a port and a function that accepts.
func listenTwin(t *testing.T) (port string, accept func() *twin) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), func() *twin {
		t.Helper()
		return acceptTwin(t, listener)
	}
}

func acceptTwin(t *testing.T, listener net.Listener) *twin {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := sockets.NewConnection(conn, nil)
	t.Cleanup(func() { c.CloseNow() })
	return &twin{c, t}
}

func TestGroupChatShowsAPlainFirstMessage(t *testing.T) {
	t.Parallel()
	alice := join(t, "tcpgroupchat", "Alice")
	plain := dialTwin(t, alice.port)
	plain.say("My first words")
	alice.expect("Twin (127.0.0.1:")
	alice.expect("\tMy first words")
	plain.expectJoin(alice.port)
	plain.say("<JOINS THE CHAT AT 1 AS anyone>") // too late: just a message
	alice.expect("\t<JOINS THE CHAT AT 1 AS anyone>")
	alice.say("Hello")
	plain.expect("Hello")
	plain.Send(nil)
	plain.say("After an empty message")
	alice.expect("\tAfter an empty message")
	plain.Close()
	alice.expect("left the chat")
}

func TestGroupChatKeepsTheConnectionOfTheSmallerIdentifier(t *testing.T) {
	t.Parallel()
	const smallest, greatest = "!", "~"
	join := func(t *testing.T) (alice *process, dialled, accepted *twin, port string) {
		port, accept := listenTwin(t)
		alice = open(t, "tcpgroupchat", "0", "localhost:"+port)
		alice.expect(username)
		alice.say("Alice")
		accepted = accept()
		accepted.expectJoin(alice.port)
		return alice, dialTwin(t, alice.port), accepted, port
	}
	text := func(port, id string) string { return fmt.Sprintf("<JOINS THE CHAT AT %s AS %s>", port, id) }

	t.Run("the twin's", func(t *testing.T) {
		alice, dialled, accepted, port := join(t)
		accepted.say(text(port, smallest))
		alice.expect("Twin (127.0.0.1:" + port + ") joined the chat")
		alice.say("one")
		accepted.expect("one")
		dialled.say(text(port, smallest))
		dialled.expectJoin(alice.port)
		alice.say("two")
		dialled.expect("two")
		accepted.say("still read")
		alice.expect("\tstill read")
		accepted.CloseWrite()
		accepted.expectEnd()
		alice.say("three")
		dialled.expect("three")
		if alice.count("joined the chat") != 1 || alice.count("left the chat") != 0 {
			t.Error("one participant with two connections is not one participant")
		}
		dialled.Close()
		alice.expect("left the chat")
	})
	t.Run("the other", func(t *testing.T) {
		alice, dialled, accepted, port := join(t)
		dialled.say(text(port, greatest))
		dialled.expectJoin(alice.port)
		alice.expect("Twin (127.0.0.1:" + port + ") joined the chat")
		alice.say("one")
		dialled.expect("one")
		accepted.say(text(port, greatest))
		dialled.expectEnd() // only half of it
		alice.say("two")
		accepted.expect("two")
		dialled.say("still read")
		alice.expect("\tstill read")
		dialled.Close()
		alice.say("three")
		accepted.expect("three")
		if alice.count("joined the chat") != 1 || alice.count("left the chat") != 0 {
			t.Error("one participant with two connections is not one participant")
		}
		accepted.Close()
		alice.expect("left the chat")
	})
	t.Run("the older of two", func(t *testing.T) {
		alice, dialled, _, port := join(t)
		dialled.say(text(port, smallest))
		dialled.expectJoin(alice.port)
		second := dialTwin(t, alice.port)
		second.say(text(port, smallest))
		second.expectJoin(alice.port)
		alice.say("one")
		dialled.expect("one")
		dialled.CloseWrite()
		dialled.expectEnd()
		alice.say("two")
		second.expect("two")
	})
}

// One that was dialled and does not answer yet, such as a participant that is
// asked for its username, is not written to twice when it turns out to be one
// that is in contact already.
func TestGroupChatDoesNotReachASilentOneTwice(t *testing.T) {
	t.Parallel()
	port, accept := listenTwin(t)
	alice := join(t, "tcpgroupchat", "Alice", "0", "localhost:"+port)
	silent := accept()
	silent.expectJoin(alice.port)
	alice.shows("127.0.0.1:" + port + " joined the chat")
	alice.say("one")
	silent.expect("one")
	other := dialTwin(t, alice.port)
	other.say("<JOINS THE CHAT AT " + port + " AS ~>")
	other.expectJoin(alice.port)
	alice.say("two")
	other.expect("two")
	silent.say("<JOINS THE CHAT AT " + port + " AS ~>")
	other.expectEnd()
	alice.say("three")
	silent.expect("three")
}

func TestGroupChatNamesASilentOneThatSpeaks(t *testing.T) {
	t.Parallel()
	for text, name := range map[string]string{"<JOINS THE CHAT AT 1234 AS ~>": "Twin (127.0.0.1:1234)", "Hello": "Twin (127.0.0.1:"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			port, accept := listenTwin(t)
			alice := join(t, "tcpgroupchat", "Alice", "0", "localhost:"+port)
			silent := accept()
			alice.shows("127.0.0.1:" + port + " joined the chat")
			silent.say(text)
			alice.expect(name)
			silent.Close()
			alice.expect(name)
			if n := alice.count("left the chat"); n != 1 {
				t.Errorf("Alice is told %d times that somebody left, want once", n)
			}
		})
	}
}
