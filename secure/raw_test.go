package secure_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/seed287501ae/sockets/secure"
)

// A sluggish connection takes 3 bytes of each write.
type sluggish struct {
	net.Conn
	taken bytes.Buffer
}

func (s *sluggish) Write(p []byte) (int, error) {
	n, _ := s.taken.Write(p[:min(3, len(p))])
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func TestRawLosesNothingToDeadlines(t *testing.T) {
	conn := &sluggish{}
	raw, flush := secure.NewRaw(conn)
	if n, err := raw.Write([]byte("hi")); n != 2 || err != nil || conn.taken.String() != "hi" {
		t.Errorf("Write in the handshake = %d, %v, taken: %q", n, err, conn.taken.String())
	}
	secure.Accept(raw)
	for _, record := range []string{"first record, ", "second record"} {
		if n, err := raw.Write([]byte(record)); n != len(record) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	if got := conn.taken.String(); got != "hi" {
		t.Errorf("taken by Write: %q", got)
	}
	late := 0
	for err := flush(); err != nil; err = flush() {
		if late++; !errors.Is(err, os.ErrDeadlineExceeded) || late > 100 {
			t.Fatalf("flush = %v", err)
		}
	}
	if got := conn.taken.String(); got != "hifirst record, second record" {
		t.Errorf("taken: %q", got)
	}
}

// Who makes this end answer, and takes no answers, gets a bounded part of its
// memory.
func TestRawHoldsLittle(t *testing.T) {
	raw, _ := secure.NewRaw(&sluggish{})
	secure.Accept(raw)
	held := 0
	for held < 1<<20 {
		n, err := raw.Write(make([]byte, 1000))
		if err != nil {
			break
		}
		held += n
	}
	if held > 70_000 {
		t.Errorf("%d bytes are held", held)
	}
}
