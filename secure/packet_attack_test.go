package secure

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A scripted socket reads what its script says, and remembers its deadline.
type scripted struct {
	net.PacketConn
	script []func(b []byte) (int, net.Addr, error)
	set    func(t time.Time)
}

func (s *scripted) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	step := s.script[0]
	s.script = s.script[1:]
	return step(b)
}

func (s *scripted) SetReadDeadline(t time.Time) error {
	if s.set != nil {
		s.set(t)
	}
	return nil
}

// A deadline that passes while a datagram arrives does not make its bytes wait
// for a read that has other bytes in their place.
func TestDatagramIsNotOverwrittenByTheNext(t *testing.T) {
	w := newWorld(t)
	base := new(scripted)
	c := newPacketConn(base, w.ends[bobAt].network)
	c.gate = w.ends[bobAt].gate
	alice := net.UDPAddrFromAddrPort(aliceAt)
	w.send(aliceAt, bobAt, "hello")
	held := []parcel{{[]byte("held 1"), aliceAt}, {[]byte("held 2"), aliceAt}}
	for _, test := range []struct {
		name string
		wait []parcel // to be read
		want []string
	}{
		{"nothing waits", nil, []string{"signed"}},
		{"others wait", held, []string{"held 1", "held 2", "signed"}},
	} {
		c.gate.ready = append([]parcel(nil), test.wait...)
		late := func(b []byte) (int, net.Addr, error) {
			c.SetReadDeadline(time.Now()) // by another goroutine
			return 0, nil, os.ErrDeadlineExceeded
		}
		data := func(b []byte) (int, net.Addr, error) {
			c.SetReadDeadline(time.Now())
			return copy(b, w.sign(aliceAt, bobAt, "signed")), alice, nil
		}
		garbage := func(b []byte) (int, net.Addr, error) {
			for i := range 200 {
				b[i] = 'X'
			}
			c.SetReadDeadline(time.Time{})
			return 200, net.UDPAddrFromAddrPort(malloryAt), nil
		}
		base.script = append(base.script[:0], data, garbage, late)
		var got []string
		c.SetReadDeadline(time.Now())
		for {
			b := make([]byte, 500)
			n, _, err := c.ReadFrom(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b[:n]))
		}
		if len(got) != len(test.want) {
			t.Fatalf("%s: read %q, want %q", test.name, got, test.want)
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: read %q, want %q", test.name, got, test.want)
			}
		}
	}
}

// Of two deadlines that are set at once, the socket beneath has the one that this
// one goes by.
func TestDeadlinesSetAtOnceAgree(t *testing.T) {
	for _, past := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var deadline time.Time
			first, goOn := true, make(chan struct{})
			base := &scripted{set: func(at time.Time) {
				if first {
					first = false
					<-goOn
				}
				deadline = at
			}}
			w := newWorld(t)
			c := newPacketConn(base, w.ends[bobAt].network)
			deadlines := []time.Time{{}, time.Now()}
			if past {
				deadlines[0], deadlines[1] = deadlines[1], deadlines[0]
			}
			var setting sync.WaitGroup
			for _, at := range deadlines {
				setting.Go(func() { c.SetReadDeadline(at) })
				synctest.Wait()
			}
			close(goOn)
			setting.Wait()
			if !c.readBy.Equal(deadline) {
				t.Errorf("reading ends at %v here, at %v beneath", c.readBy, deadline)
			}
		})
	}
}
