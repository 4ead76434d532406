package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// What strangers do to a server over streams, and what comes of it. What a
// Framer alone makes of such input is in framing_test.go, whose tables return
// here.

// A hostileStream is what one stranger does, and the exact outcome.
type hostileStream struct {
	name   string
	cfg    sockets.Config
	pieces []string             // what it writes
	every  time.Duration        // the time after each piece; if zero, a millisecond
	end    func(*memConn) error // what it does then; if nil, nothing for two minutes

	told  []string      // the messages that its callback is told
	err   error         // that of its error event; if nil, there is none
	says  string        // a regular expression for it
	after time.Duration // how long the connection lasts, if not zero
}

var (
	ends   = (*memConn).CloseWrite
	leaves = (*memConn).Close
	resets = (*memConn).abort
)

var hostileStreams = []hostileStream{
	{name: "one-byte writes", pieces: strings.Split(string(framed("hello", "", "world")), ""), told: []string{"hello", "", "world"}},
	{name: "frames glued together", pieces: []string{string(framed("hello", "", "world"))}, told: []string{"hello", "", "world"}},
	{name: "10,000 empty frames", pieces: []string{strings.Repeat("\x00", 40_000)}, told: make([]string, 10_000)},
	{name: "a frame in a frame", pieces: []string{string(framed(string(framed("hello"))))}, told: []string{"\x00\x00\x00\x05hello"}},
	{name: "a message at the limit", cfg: sockets.Config{MaxMessage: 5}, pieces: []string{string(framed("hello"))}, told: []string{"hello"}},
	{
		name: "a message over the limit", cfg: sockets.Config{MaxMessage: 5}, pieces: []string{string(framed("hello!", "lost"))},
		err: sockets.ErrMessageTooBig, says: "6 bytes are announced, MaxMessage is 5$",
	}, {
		name: "too big after what was good", cfg: sockets.Config{MaxMessage: 5}, pieces: []string{string(framed("hello", "", "hello!", "lost"))},
		told: []string{"hello", ""}, err: sockets.ErrMessageTooBig,
	}, {
		name: "too big in the last byte of the prefix", pieces: []string{"\x00", "\x10", "\x00", "\x01"},
		err: sockets.ErrMessageTooBig, says: "1048577 bytes are announced, MaxMessage is 1048576$", after: 3 * time.Millisecond,
	}, {
		name: "too big, and its end", pieces: []string{"\xff\xff\xff\xff"}, end: ends, err: sockets.ErrMessageTooBig,
	}, {
		name: "prefix 1, over the limit", cfg: sockets.Config{Prefix: 1, MaxMessage: 254}, pieces: []string{"\xff"},
		err: sockets.ErrMessageTooBig, says: "255 bytes are announced, MaxMessage is 254$",
	}, {
		name: "prefix 2, over the limit", cfg: sockets.Config{Prefix: 2, MaxMessage: 1000}, pieces: []string{"\xff\xff"},
		err: sockets.ErrMessageTooBig, says: "65535 bytes are announced, MaxMessage is 1000$",
	},

	{name: "prefix 1, a promised body that never comes", cfg: sockets.Config{Prefix: 1}, pieces: []string{"\xff"}, err: os.ErrDeadlineExceeded, says: "did not arrive whole.*30s", after: 30 * time.Second},
	{name: "prefix 2, a promised body that never comes", cfg: sockets.Config{Prefix: 2}, pieces: []string{"\xff\xff"}, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{name: "prefix 4, a promised body that never comes", pieces: []string{"\x00\x10\x00\x00"}, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{name: "prefix 8, a promised body that never comes", cfg: sockets.Config{Prefix: 8}, pieces: []string{"\x00\x00\x00\x00\x00\x10\x00\x00"}, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{name: "a promised body of which all but a byte comes", pieces: []string{"\x00\x00\x80\x00" + strings.Repeat("x", 1<<15-1)}, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{name: "a promised body that ends", pieces: []string{"\x00\x10\x00\x00"}, end: ends, err: io.ErrUnexpectedEOF},

	{name: "says nothing", told: nil},
	{name: "says nothing, under IdleTimeout", cfg: sockets.Config{IdleTimeout: time.Minute}, err: os.ErrDeadlineExceeded, says: "no message.*1m0s", after: time.Minute},
	{
		name: "says nothing after a message, under IdleTimeout", cfg: sockets.Config{IdleTimeout: time.Minute},
		pieces: []string{string(framed("hello"))}, told: []string{"hello"}, err: os.ErrDeadlineExceeded, after: time.Minute,
	}, {
		name: "an empty message every 59 s, under IdleTimeout", cfg: sockets.Config{IdleTimeout: time.Minute},
		pieces: slices.Repeat([]string{"\x00\x00\x00\x00"}, 4), every: 59 * time.Second, end: ends, told: make([]string, 4), after: 4 * 59 * time.Second,
	},
	{name: "slow loris in the prefix", pieces: []string{"\x00", "\x00", "\x00"}, every: 29 * time.Second, err: os.ErrDeadlineExceeded, says: "30s", after: 30 * time.Second},
	{name: "slow loris in the body", pieces: strings.Split("\x00\x00\x00\x05hello", ""), every: 29 * time.Second, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{
		name: "slow loris after a message", pieces: append([]string{string(framed("hello"))}, "\x00", "\x00", "\x00", "\x05", "h"),
		every: 29 * time.Second, told: []string{"hello"}, err: os.ErrDeadlineExceeded, after: 59 * time.Second,
	},
	{name: "slow, in time", pieces: strings.Split(string(framed("hello")), ""), every: 3700 * time.Millisecond, told: []string{"hello"}},
	{name: "slow loris under FrameTimeout of a second", cfg: sockets.Config{FrameTimeout: time.Second}, pieces: strings.Split(string(framed("hello")), ""), every: 999 * time.Millisecond, err: os.ErrDeadlineExceeded, after: time.Second},
	{name: "slow loris without FrameTimeout", cfg: sockets.Config{FrameTimeout: -1}, pieces: strings.Split(string(framed("hello")), ""), every: 29 * time.Second, told: []string{"hello"}},

	{name: "prefix 8 where 4 is meant", pieces: []string{"\x00\x00\x00\x00\x00\x00\x00\x05hello"}, told: []string{"", "hello"}},
	{name: "prefix 8 where 2 is meant", cfg: sockets.Config{Prefix: 2}, pieces: []string{"\x00\x00\x00\x00\x00\x00\x00\x05hello"}, told: []string{"", "", "", "hello"}},
	{name: "prefix 4 where 2 is meant", cfg: sockets.Config{Prefix: 2}, pieces: []string{"\x00\x00\x00\x05hello"}, told: []string{"", "hello"}},
	{name: "prefix 4 where 1 is meant", cfg: sockets.Config{Prefix: 1}, pieces: []string{"\x00\x00\x00\x05hello"}, told: []string{"", "", "", "hello"}},
	{name: "prefix 2 where 1 is meant", cfg: sockets.Config{Prefix: 1}, pieces: []string{"\x00\x05hello"}, told: []string{"", "hello"}},
	{name: "prefix 1 where 2 is meant", cfg: sockets.Config{Prefix: 2}, pieces: []string{"\x05hello"}, end: ends, err: io.ErrUnexpectedEOF},
	{name: "prefix 1 where 2 is meant, with a limit", cfg: sockets.Config{Prefix: 2, MaxMessage: 1000}, pieces: []string{"\x05hello"}, err: sockets.ErrMessageTooBig, says: "prefix of width 1"},
	{name: "little-endian", pieces: []string{"\x05\x00\x00\x00hello"}, err: sockets.ErrMessageTooBig, says: "83886080 bytes are announced, MaxMessage is 1048576$"},
	{name: "little-endian, prefix 2", cfg: sockets.Config{Prefix: 2}, pieces: []string{"\x05\x00hello"}, end: ends, err: io.ErrUnexpectedEOF},

	{name: "an SMTP client", pieces: []string{"EHLO example.org\r\n"}, err: sockets.ErrMessageTooBig, says: `"EHLO".*text without a prefix\?`},
	{name: "an SMTP server", pieces: []string{"220 mail.example.org ESMTP\r\n"}, err: sockets.ErrMessageTooBig, says: `"220 ".*text without a prefix\?`},
	{name: "Redis", pieces: []string{"*1\r\n$4\r\nPING\r\n"}, err: sockets.ErrMessageTooBig, says: `"\*1\\r\\n".*text without a prefix\?`},
	{name: "Redis, inline", pieces: []string{"PING\r\n"}, err: sockets.ErrMessageTooBig, says: `"PING".*text without a prefix\?`},
	{name: "FTP", pieces: []string{"USER anonymous\r\n"}, err: sockets.ErrMessageTooBig, says: `text without a prefix\?`},
	{name: "BitTorrent", pieces: []string{"\x13BitTorrent protocol"}, err: sockets.ErrMessageTooBig, says: `prefix of width 1: does the other end use one\?`},
	{name: "DNS", pieces: []string{"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"}, err: sockets.ErrMessageTooBig, says: "MaxMessage is 1048576$"},
	{name: "RDP", pieces: []string{"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x0b\x00\x00\x00"}, err: sockets.ErrMessageTooBig, says: "MaxMessage is 1048576$"},
	{name: "MQTT", pieces: []string{"\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07student"}, err: sockets.ErrMessageTooBig, says: "MaxMessage is 1048576$"},
	{name: "Telnet", pieces: []string{"\xff\xfb\x1f\xff\xfb\x20"}, err: sockets.ErrMessageTooBig, says: "MaxMessage is 1048576$"},
	{name: "PostgreSQL", pieces: []string{"\x00\x00\x00\x08\x04\xd2\x16\x2f"}, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{name: "SMB, which leaves", pieces: []string{"\x00\x00\x00\x85\xffSMBr"}, end: leaves, err: io.ErrUnexpectedEOF},
	{name: "SOCKS", pieces: []string{"\x05\x01\x00"}, err: os.ErrDeadlineExceeded, after: 30 * time.Second},
	{name: "UTF-16", pieces: []string{"h\x00e\x00l\x00l\x00o\x00"}, err: sockets.ErrMessageTooBig, says: "MaxMessage is 1048576$"},
}

// cutStreams are a stream cut at every byte, and its ends there.
func cutStreams() (rows []hostileStream) {
	for _, prefix := range prefixes {
		stream := string(glued(prefix, []byte("hello"), nil))
		for at := 1; at < len(stream); at++ {
			rows = append(rows, hostileStream{
				name: fmt.Sprintf("prefix %d, cut at byte %d", prefix, at), cfg: sockets.Config{Prefix: prefix},
				pieces: []string{stream[:at], stream[at:]}, told: []string{"hello", ""},
			})
		}
	}
	stream := string(framed("hello"))
	for at := range len(stream) + 1 {
		row := hostileStream{pieces: []string{stream[:at]}}
		if at == len(stream) {
			row.told = []string{"hello"}
		}
		for how, end := range map[string]func(*memConn) error{"end": ends, "close": leaves, "reset": resets} {
			row := row
			row.name, row.end = fmt.Sprintf("%s at byte %d of %d", how, at, len(stream)), end
			if how == "reset" {
				row.err = syscall.ECONNRESET
			} else if at > 0 && at < len(stream) {
				row.err = io.ErrUnexpectedEOF
			}
			rows = append(rows, row)
		}
		row.name = fmt.Sprintf("silence from byte %d of %d", at, len(stream))
		if at > 0 && at < len(stream) {
			row.err, row.after = os.ErrDeadlineExceeded, 30*time.Second
		}
		rows = append(rows, row)
	}
	return rows
}

// foreignStreams are those of framing_test.go: lengths that no one sends, and
// other protocols.
func foreignStreams() (rows []hostileStream) {
	for _, l := range hostileLengths {
		for _, maxMessage := range []int{0, -1} {
			prefix := len(l.prefix)
			row := hostileStream{
				name: fmt.Sprintf("%x, MaxMessage %d", l.prefix, maxMessage), cfg: sockets.Config{Prefix: prefix, MaxMessage: maxMessage},
				pieces: []string{l.prefix + "\x01body"}, end: ends, err: io.ErrUnexpectedEOF,
			}
			if limit := documentedLimit(prefix, maxMessage); l.length > limit {
				row.err, row.says = sockets.ErrMessageTooBig, fmt.Sprintf("%d bytes are announced, MaxMessage is %d$", l.length, limit)
			}
			rows = append(rows, row)
		}
	}
	for _, f := range foreign {
		rows = append(rows, hostileStream{
			name: f.name, cfg: sockets.Config{Prefix: f.prefix, MaxMessage: f.maxMessage}, pieces: []string{f.stream},
			err: sockets.ErrMessageTooBig, says: f.question,
		})
	}
	return rows
}

// A hostileServer is a server under attack, and an honest client of it, whose
// messages come back.
type hostileServer struct {
	*memServer
	events *serverRecorder
	told   []*recorder // those of the connections, in the order of connect
	bare   *memConn
	honest *sockets.Framer
}

func underAttack(t *testing.T, cfg sockets.Config, prepare ...func(*memListener)) *hostileServer {
	t.Helper()
	s := &hostileServer{events: newServerRecorder(t)}
	s.events.then = chat(func(*sockets.Connection) sockets.ConnectionCallback {
		r := newRecorder(t)
		if s.told = append(s.told, r); len(s.told) == 1 {
			r.then = func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
				if event == sockets.EventMessage {
					send(t, c, string(payload))
				}
			}
		}
		return r.callback
	})
	s.memServer = serve(t, cfg, s.events.callback, prepare...)
	s.bare = s.dialFrom("192.0.2.1")
	s.honest = sockets.NewFramer(s.bare, max(cfg.Prefix, 1))
	if cfg.Prefix == 0 {
		s.honest = sockets.NewFramer(s.bare, 4)
	}
	s.talk()
	return s
}

// talk is what the honest client does, whatever happens to others. It takes no
// time.
func (s *hostileServer) talk() {
	s.t.Helper()
	takes(s.t, "an honest message and its echo", 0, func() {
		s.bare.SetReadDeadline(time.Now().Add(time.Minute))
		if err := s.honest.WriteMessage([]byte("hi")); err != nil {
			s.t.Fatalf("the honest client is cut off: %v", err)
		}
		if got, err := s.honest.ReadMessage(); string(got) != "hi" || err != nil {
			s.t.Fatalf("the honest client is told %q, %v, want %q", got, err, "hi")
		}
	})
}

// pass lets time pass while the honest client talks.
func (s *hostileServer) pass(d time.Duration) {
	s.t.Helper()
	for d > 0 {
		step := min(d, 10*time.Second)
		time.Sleep(step)
		synctest.Wait()
		s.talk()
		d -= step
	}
}

func TestHostileStreams(t *testing.T) {
	for _, row := range slices.Concat(hostileStreams, cutStreams(), foreignStreams()) {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { row.check(t, underAttack(t, row.cfg)) })
		})
	}
}

func (row *hostileStream) check(t *testing.T, s *hostileServer) {
	start := time.Now()
	stranger := s.dialFrom("192.0.2.66")
	synctest.Wait()
	c, r := s.events.connections()[1], s.told[1]
	var lasted time.Duration
	go func() {
		<-c.Done()
		lasted = time.Since(start)
	}()
	for _, piece := range row.pieces {
		stranger.Write([]byte(piece)) // fails once the server has ended it
		s.pass(max(row.every, time.Millisecond))
	}
	if row.end != nil {
		row.end(stranger)
	} else {
		s.pass(2 * time.Minute)
	}
	synctest.Wait()
	s.talk()

	var want []string
	for _, message := range row.told {
		want = append(want, "message "+message)
	}
	left := []*sockets.Connection{s.events.connections()[0]}
	switch {
	case row.err != nil:
		want = append(want, "error", "close")
		if err := r.error(); !errors.Is(err, row.err) || err != c.Err() || !regexp.MustCompile(row.says).MatchString(err.Error()) {
			t.Errorf("the error is %v, want %v that says %s", err, row.err, row.says)
		} else if shown := sockets.Printable([]byte(err.Error())); shown != err.Error() {
			t.Errorf("the error is not safe to print: %q", err)
		}
	case row.end != nil:
		want = append(want, "close")
		if err := c.Err(); err != io.EOF {
			t.Errorf("Err() = %v, want %v", err, io.EOF)
		}
	default:
		left = append(left, c)
		if err := c.Err(); err != nil {
			t.Errorf("Err() = %v, want nil", err)
		}
	}
	r.check(want...)
	if row.after != 0 && lasted != row.after {
		t.Errorf("the connection lasted %v, want %v", lasted, row.after)
	}
	s.events.check("listen", "connect", "connect")
	if got := s.Connections(); len(got) != len(left) || !slices.Contains(got, left[0]) {
		t.Errorf("%d connections are open, want %d, the honest one among them", len(got), len(left))
	}
	if len(left) == 1 && turnedAway(stranger) == nil {
		t.Error("the stranger's stream is open")
	}
	s.end(stranger, s.bare)
}

// A hostileCrowd is what many strangers do at once to a server that has an
// honest client, and how many of them are connected afterwards.
type hostileCrowd struct {
	name     string
	cfg      sockets.Config
	crowd    int
	wrap     func(*memConn) net.Conn // of what is accepted, if not nil
	each     func(*memConn)          // what each does; if nil, nothing
	accepted int                     // those that there is a connect event of
	away     int                     // those whose stream the server ended within ten seconds
	refused  bool                    // there are error events, but few
	err      error                   // that all of them are, if not nil
	says     string                  // and what they say
}

var hostileCrowds = []hostileCrowd{
	{name: "silent, up to the limit", crowd: 1023, accepted: 1023},
	{name: "silent, one over the limit", crowd: 1024, accepted: 1023, away: 1, refused: true, err: sockets.ErrTooManyConnections, says: `1024 .*Config\.MaxConnections\b`},
	{name: "silent, many over the limit", crowd: 1500, accepted: 1023, away: 477, refused: true, err: sockets.ErrTooManyConnections, says: `Config\.MaxConnections\b`},
	{name: "silent, without a limit", cfg: sockets.Config{MaxConnections: -1}, crowd: 1500, accepted: 1500},
	{name: "silent, from one address", cfg: sockets.Config{MaxConnectionsPerIP: 10}, crowd: 300, accepted: 10, away: 290, refused: true, err: sockets.ErrTooManyConnections, says: `10 .*192\.0\.2\.66.*Config\.MaxConnectionsPerIP`},
	{name: "in handshakes that do not end", crowd: 100, wrap: endlessHandshake, away: 100, refused: true, err: context.DeadlineExceeded, says: `handshake with 192\.0\.2\.66:`},
	{name: "in handshakes that do not end, over the limit", cfg: sockets.Config{MaxConnections: 11}, crowd: 100, wrap: endlessHandshake, away: 100, refused: true},
	{name: "a port scan that resets", crowd: 1000, each: func(conn *memConn) { conn.abort() }, accepted: 1000},
	{name: "a port scan that closes", crowd: 1000, each: func(conn *memConn) { conn.Close() }, accepted: 1000},
	{name: "a port scan whose addresses are gone", crowd: 1000, wrap: nowhere, each: func(conn *memConn) { conn.abort() }, accepted: 1000},
	{name: "requests of HTTP", crowd: 1000, each: func(conn *memConn) { conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, accepted: 1000, away: 1000},
	{name: "promises of 1 MiB", crowd: 1000, each: func(conn *memConn) { conn.Write([]byte("\x00\x10\x00\x00")) }, accepted: 1000},
	{name: "promises of 1 MiB, 10,000 bytes of it", crowd: 1000, each: func(conn *memConn) { conn.Write(append([]byte("\x00\x10\x00\x00"), make([]byte, 10_000)...)) }, accepted: 1000},
}

// endlessHandshake is one that strangers from 192.0.2.66 never end.
func endlessHandshake(conn *memConn) net.Conn {
	return &shyConn{conn, func(ctx context.Context) error {
		if conn.remote.IP.String() == "192.0.2.66" {
			<-ctx.Done()
		}
		return ctx.Err()
	}}
}

// An addresslessConn is one that a system accepted after it was reset.
type addresslessConn struct{ *memConn }

func (addresslessConn) RemoteAddr() net.Addr { return nil }

func nowhere(conn *memConn) net.Conn {
	if conn.remote.IP.String() == "192.0.2.66" {
		return addresslessConn{conn}
	}
	return conn
}

func TestHostileCrowds(t *testing.T) {
	for _, row := range hostileCrowds {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, row.check)
		})
	}
}

func (row *hostileCrowd) check(t *testing.T) {
	const most = 80 << 20 // bytes that all of them may cost
	s := underAttack(t, row.cfg, func(l *memListener) { l.wrap = row.wrap })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var strangers []*memConn
	for i := range row.crowd {
		stranger := s.dialFrom("192.0.2.66")
		strangers = append(strangers, stranger)
		if row.each != nil {
			row.each(stranger)
		}
		if i%100 == 0 {
			s.talk()
		}
	}
	synctest.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if cost := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse); cost > most {
		t.Errorf("the crowd costs %d bytes, want at most %d", cost, most)
	}
	s.pass(10 * time.Second)

	if got := s.events.count(sockets.EventConnect) - 1; got != row.accepted {
		t.Errorf("%d of %d are accepted, want %d", got, row.crowd, row.accepted)
	}
	away := 0
	for _, stranger := range strangers {
		if !stranger.isClosed() && turnedAway(stranger) != nil {
			away++
		}
	}
	if away != row.away {
		t.Errorf("%d of %d are sent away, want %d", away, row.crowd, row.away)
	}
	if got := s.events.count(sockets.EventError); (got > 0) != row.refused || got > 20 {
		t.Errorf("%d error events, want a few: %v", got, row.refused)
	}
	for _, err := range s.events.errs {
		if row.err != nil && !errors.Is(err, row.err) || !regexp.MustCompile(row.says).MatchString(err.Error()) {
			t.Errorf("the error is %v, want %v that says %s", err, row.err, row.says)
		}
	}
	for _, stranger := range strangers {
		stranger.Close()
	}
	synctest.Wait()
	if got := len(s.Connections()); got != 1 {
		t.Errorf("%d connections are open when the crowd has gone, want the honest one", got)
	}
	newcomer := s.dialFrom("192.0.2.2")
	synctest.Wait()
	if turnedAway(newcomer) != nil {
		t.Error("a newcomer is turned away when the crowd has gone")
	}
	s.talk()
	s.end(newcomer, s.bare)
}

// What a machine that is short of files tells the server, over and over. A real
// one is in TestRealEMFILEIsSurvived.
func TestHostileAcceptErrors(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET} {
		synctest.Test(t, func(t *testing.T) {
			s := underAttack(t, sockets.Config{})
			const times = 100
			for range times {
				s.listener.arrive(memArrival{err: &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", errno)}})
			}
			newcomer := s.dialFrom("192.0.2.2")
			s.pass(2 * time.Minute)
			want := slices.Concat([]string{"listen", "connect"}, slices.Repeat([]string{"error"}, times), []string{"connect"})
			if diff := cmp.Diff(want, s.events.told()); diff != "" {
				t.Errorf("%v: events: -want +got\n%s", error(errno), diff)
			}
			for _, err := range s.events.errs {
				if !errors.Is(err, errno) {
					t.Errorf("the error is %v, want %v", err, error(errno))
				}
			}
			s.end(newcomer, s.bare)
		})
	}
}

// Real resets, wherever a stream is.
func TestRealHostileResets(t *testing.T) {
	for _, row := range []struct {
		name, wrote string
		told        []string
	}{
		{"before a message", "", nil},
		{"in a prefix", "\x00\x00", nil},
		{"between prefix and body", "\x00\x00\x00\x05", nil},
		{"in a body", "\x00\x00\x00\x05hel", nil},
		{"after a message", "\x00\x00\x00\x05hello", []string{"message hello"}},
		{"in the prefix after a message", "\x00\x00\x00\x05hello\x00", []string{"message hello"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			told, arrived := make(chan *sockets.Connection, 1), make(chan struct{}, 1)
			r := newRecorder(t)
			r.then = func(event sockets.Event, _ []byte, _ *sockets.Connection, _ error) {
				if event == sockets.EventMessage {
					arrived <- struct{}{}
				}
			}
			s := loopback(t, sockets.Config{}, chat(func(c *sockets.Connection) sockets.ConnectionCallback {
				told <- c
				return r.callback
			}))
			conn, err := net.Dial("tcp", s.LocalAddress().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, row.wrote); err != nil {
				t.Fatal(err)
			}
			c := <-told
			for range row.told {
				<-arrived
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
			<-c.Done()
			r.check(append(row.told, "error", "close")...)
			if err := r.error(); runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the error is %v, want %v", err, syscall.ECONNRESET)
			}
			shutdown(t, s)
		})
	}
}

// Real strangers connect, and reset, close or make a request, a thousand times in
// the accept loop. A real client is answered after each.
func TestRealHostileAcceptLoop(t *testing.T) {
	s := loopback(t, sockets.Config{}, chat(func(*sockets.Connection) sockets.ConnectionCallback {
		return func(event sockets.Event, payload []byte, c *sockets.Connection, _ error) {
			if event == sockets.EventMessage {
				send(t, c, string(payload))
			}
		}
	}))
	client, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		conn, err := net.Dial("tcp", s.LocalAddress().String())
		if err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 0:
			conn.(*net.TCPConn).SetLinger(0)
		case 1:
			conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			conn.(*net.TCPConn).SetLinger(0)
		case 2:
			conn.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
		}
		conn.Close()
		send(t, client.Connection, "hi")
		receive(t, client.Connection, "hi")
	}
	last, err := sockets.Dial(t.Context(), s.LocalAddress().String(), nil) // accepted after all of them
	if err != nil {
		t.Fatal(err)
	}
	send(t, last.Connection, "hi")
	receive(t, last.Connection, "hi")
	if err := last.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(s.Connections()) > 1 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if got := len(s.Connections()); got != 1 {
		t.Errorf("%d connections are open when the strangers have gone, want that of the client", got)
	}
	if err := client.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	shutdown(t, s)
}
