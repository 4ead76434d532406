package sockets_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A schedule is a program of calls that several goroutines make at once, in
// virtual time, on objects that know each other. Whatever it is, the contract of
// events is kept.

// TestSchedules runs random schedules of connections and servers. In the
// environment SCHEDULES is how many, and SCHEDULE the one to repeat so often.
func TestSchedules(t *testing.T) { randomSchedules(t, runStreams) }

// TestPeerSchedules is TestSchedules for peers.
func TestPeerSchedules(t *testing.T) { randomSchedules(t, runPeers) }

func FuzzSchedule(f *testing.F)     { fuzzSchedules(f, runStreams) }
func FuzzPeerSchedule(f *testing.F) { fuzzSchedules(f, runPeers) }

func randomSchedules(t *testing.T, run func(*testing.T, *program)) {
	count := environment(t, "SCHEDULES", 3000)
	seed := environment(t, "SCHEDULE", rand.Uint64())
	_, repeated := os.LookupEnv("SCHEDULE")
	t.Logf("schedules from SCHEDULE=%d", seed)
	for i := range count {
		if !repeated && i > 0 {
			seed++
		}
		perform(t, fmt.Sprintf("SCHEDULE=%d", seed), randomProgram(seed), run)
		if t.Failed() {
			return
		}
	}
}

func fuzzSchedules(f *testing.F, run func(*testing.T, *program)) {
	for seed := range uint64(16) {
		f.Add(randomProgram(seed))
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		perform(t, "this input", bytes[:min(len(bytes), longestProgram)], run)
	})
}

// longestProgram is how many bytes of what the fuzzer makes up are a program: of
// three for each call, fewer than make so many errors that a peer gives up.
const longestProgram = 240

func environment(t *testing.T, name string, value uint64) uint64 {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		var err error
		if value, err = strconv.ParseUint(text, 0, 64); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return value
}

func randomProgram(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	bytes := make([]byte, 8+r.IntN(64))
	for i := range bytes {
		bytes[i] = byte(r.Uint32())
	}
	return bytes
}

// perform runs one schedule in a bubble. A failure says how to repeat it.
func perform(t *testing.T, origin string, bytes []byte, run func(*testing.T, *program)) {
	defer func() {
		if failure := recover(); failure != nil {
			panic(fmt.Sprintf("%s: %v", origin, failure))
		}
	}()
	hangs := time.AfterFunc(time.Minute, func() { panic(origin + ": virtual time stands still\n" + stacks()) })
	defer hangs.Stop()
	synctest.Test(t, func(t *testing.T) {
		p := &program{t: t, origin: origin, bytes: bytes}
		run(t, p)
		synctest.Wait()
		if t.Failed() {
			t.Logf("%s repeats it, maybe not at once:\n%s", origin, strings.Join(p.story, "\n"))
		}
	})
}

// A program is the bytes of a schedule, and the goroutines that they are for.
type program struct {
	t      *testing.T
	origin string
	bytes  []byte
	actors [4][]func() // what each goroutine calls, in this order
	story  []string
}

// next takes a number below n from the program; it is 0 once nothing is left.
func (p *program) next(n int) int {
	if len(p.bytes) == 0 {
		return 0
	}
	b := int(p.bytes[0])
	p.bytes = p.bytes[1:]
	return b % n
}

// plan makes a call the next one of an actor.
func (p *program) plan(actor int, call func(), format string, args ...any) {
	p.actors[actor] = append(p.actors[actor], call)
	p.tell("actor %d: "+format, append([]any{actor}, args...)...)
}

func (p *program) tell(format string, args ...any) {
	p.story = append(p.story, fmt.Sprintf(format, args...))
}

// play runs the actors, and returns a channel that is closed when all have ended.
func (p *program) play() <-chan struct{} {
	return together(func(group *sync.WaitGroup) {
		for _, calls := range p.actors {
			group.Go(func() {
				for _, call := range calls {
					call()
				}
			})
		}
	})
}

// together returns a channel that is closed when what start adds to the group
// has ended.
func together(start func(group *sync.WaitGroup)) <-chan struct{} {
	var group sync.WaitGroup
	start(&group)
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	return done
}

// must waits, for a virtual minute at most.
func (p *program) must(what string, done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(time.Minute):
		panic(fmt.Sprintf("%s: %s: for ever\n%s\n%s", p.origin, what, strings.Join(p.story, "\n"), stacks()))
	}
}

func stacks() string {
	buffer := make([]byte, 1<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}

// A ledger is what was sent one way, and what of it arrived.
type ledger struct {
	t    *testing.T
	name string

	mu      sync.Mutex // guards what follows
	clock   int        // of the calls that send: it ticks where one begins or ends
	entries map[uint32]*entry
	latest  map[int]int // the clock when what a reader got was sent, at most
}

type entry struct {
	size         int
	begun, ended int // by the clock; 0: not yet
	fate         fate
	arrived      bool
	kept         []byte // what arrived, where it belongs to the reader
}

// A fate is what the call that sent a message returned.
type fate int

const (
	unknown  fate = iota // nothing yet, or an error that tells nothing
	accepted             // no error
	failed               // an error after which nothing can be sent
)

func newLedger(t *testing.T, name string) *ledger {
	return &ledger{t: t, name: name, entries: make(map[uint32]*entry), latest: make(map[int]int)}
}

const headSize = 4 // of a payload: the message's number

// letterOf returns the payload of a message.
func letterOf(number uint32, size int) []byte {
	payload := binary.BigEndian.AppendUint32(make([]byte, 0, headSize+size), number)
	for i := range size {
		payload = append(payload, byte(int(number)+i))
	}
	return payload
}

func (l *ledger) begin(number uint32, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	l.entries[number] = &entry{size: size, begun: l.clock}
}

func (l *ledger) end(number uint32, fate fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	e := l.entries[number]
	e.ended, e.fate = l.clock, fate
}

// arrive notes what a reader got: whole, once, and not after what was sent later.
// A payload that is owned stays as it is.
func (l *ledger) arrive(reader int, payload []byte, owned bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var e *entry
	var number uint32
	if len(payload) >= headSize {
		number = binary.BigEndian.Uint32(payload)
		e = l.entries[number]
	}
	switch {
	case e == nil || string(payload) != string(letterOf(number, e.size)):
		l.t.Errorf("%s: %d bytes arrive that were not sent so: %.20x", l.name, len(payload), payload)
		return
	case e.arrived:
		l.t.Errorf("%s: message %d arrives twice", l.name, number)
	case e.ended > 0 && e.ended < l.latest[reader]:
		l.t.Errorf("%s: message %d arrives after one that was sent later", l.name, number)
	}
	e.arrived = true
	if owned {
		e.kept = payload
	}
	l.latest[reader] = max(l.latest[reader], e.begun)
}

// check fails the test where something arrived after a message that did not,
// where something did not arrive if all had to, and where what arrived was not
// left alone.
func (l *ledger) check(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := 0
	for _, e := range l.entries {
		if e.arrived {
			last = max(last, e.begun)
		}
	}
	for number, e := range l.entries {
		if e.kept != nil && string(e.kept) != string(letterOf(number, e.size)) {
			l.t.Errorf("%s: message %d has changed since it arrived", l.name, number)
		}
		followed := e.ended > 0 && e.ended < last
		switch {
		case followed && e.fate == accepted && !e.arrived:
			l.t.Errorf("%s: a hole: message %d did not arrive, a later one did", l.name, number)
		case followed && e.fate == failed:
			l.t.Errorf("%s: message %d could not be sent, and a later one arrived", l.name, number)
		case all && e.fate == accepted && !e.arrived:
			l.t.Errorf("%s: message %d was accepted, and is lost", l.name, number)
		}
	}
}
