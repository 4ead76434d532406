package page_test

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/seed287501ae/sockets/internal/page"
)

func fill(t *testing.T, b *page.Buffer, r io.Reader, want string) {
	t.Helper()
	if err := b.Fill(r); err != nil || string(b.Unread()) != want {
		t.Fatalf("Fill: %v, and %q is unread, want %q", err, b.Unread(), want)
	}
}

func TestABufferReadsAhead(t *testing.T) {
	var b page.Buffer
	if b.Unread() != nil {
		t.Error("the zero Buffer is not empty")
	}
	fill(t, &b, strings.NewReader("one"), "one")
	b.Take(2)
	fill(t, &b, strings.NewReader("two"), "etwo")
	b.Release()
	fill(t, &b, strings.NewReader(" three"), "etwo three")
	b.Take(10)
	b.Release()
	if b.Unread() != nil {
		t.Error("an empty Buffer was not released")
	}
}

func TestABufferIsAPage(t *testing.T) {
	var b page.Buffer
	r := iotest.OneByteReader(strings.NewReader(strings.Repeat("x", page.Size+1)))
	b.Room()
	for len(b.Unread()) < page.Size {
		if err := b.Fill(r); err != nil {
			t.Fatal(err)
		}
	}
	if room := b.Room(); len(room) != 0 {
		t.Errorf("there is room for %d bytes more", len(room))
	}
	b.Take(1)
	if room := b.Room(); len(room) != 1 {
		t.Errorf("there is room for %d bytes, want 1", len(room))
	}
}

func TestReadGivesWhatIsUnreadFirst(t *testing.T) {
	var b page.Buffer
	fill(t, &b, strings.NewReader("one"), "one")
	r := strings.NewReader("two")
	for _, want := range []string{"on", "e", "tw", "o"} {
		p := make([]byte, 2)
		if n, err := b.Read(r, p); err != nil || string(p[:n]) != want {
			t.Errorf("Read = %q, %v, want %q", p[:n], err, want)
		}
	}
}

func TestAnErrorComesAfterItsBytes(t *testing.T) {
	var b page.Buffer
	broken := errors.New("broken")
	r := iotest.DataErrReader(io.MultiReader(strings.NewReader("one"), iotest.ErrReader(broken)))
	fill(t, &b, r, "one")
	if err := b.Fill(strings.NewReader("never")); err != broken || string(b.Unread()) != "one" {
		t.Errorf("Fill = %v, and %q is unread", err, b.Unread())
	}
	fill(t, &b, strings.NewReader("two"), "onetwo")
	b.Take(6)
	r = iotest.DataErrReader(strings.NewReader("end"))
	p := make([]byte, 3)
	if n, err := b.Read(r, p); n != 3 || err != nil {
		t.Errorf("Read = %d, %v, want 3", n, err)
	}
	if n, err := b.Read(r, p); n != 0 || err != io.EOF {
		t.Errorf("Read = %d, %v, want %v", n, err, io.EOF)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestReadingNothingForEverEnds(t *testing.T) {
	var b page.Buffer
	if err := b.Fill(nothing{}); err != io.ErrNoProgress {
		t.Errorf("Fill = %v, want %v", err, io.ErrNoProgress)
	}
	if _, err := b.Read(nothing{}, make([]byte, 1)); err != io.ErrNoProgress {
		t.Errorf("Read = %v, want %v", err, io.ErrNoProgress)
	}
}

func TestACacheKeepsAFewThroughCollections(t *testing.T) {
	made := 0
	c := page.Cache[[64]byte]{New: func() *[64]byte { made++; return new([64]byte) }, Keep: 3}
	for range 20 {
		var out []*[64]byte
		for range 3 {
			out = append(out, c.Get())
		}
		for i, p := range out {
			if slices.Contains(out[:i], p) {
				t.Fatal("two have the same")
			}
			c.Put(p)
		}
		runtime.GC()
	}
	if made != 3 {
		t.Errorf("made %d, want the 3 that are kept", made)
	}
}

func TestACacheGivesNothingTwice(t *testing.T) {
	c := page.Cache[atomic.Bool]{New: func() *atomic.Bool { return new(atomic.Bool) }, Keep: 2}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 1000 {
				taken := [2]*atomic.Bool{c.Get(), c.Get()}
				for _, p := range taken {
					if p.Swap(true) {
						t.Error("somebody else has it")
					}
				}
				for _, p := range taken {
					p.Store(false)
					c.Put(p)
				}
			}
		})
	}
	group.Wait()
}

func TestACacheKeepsAsManyAsItShould(t *testing.T) {
	made := 0
	cache := page.Cache[[64]byte]{New: func() *[64]byte { made++; return new([64]byte) }, Keep: 3}
	for range 10 {
		cache.Put(new([64]byte))
	}
	runtime.GC()
	runtime.GC() // a sync.Pool keeps nothing through two
	made = 0
	for range 10 {
		cache.Get()
	}
	if made != 7 {
		t.Errorf("%d of 10 were made anew, want 7", made)
	}
}
