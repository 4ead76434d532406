// Package page lends memory to who reads and writes streams, for as long as
// there is something in it: a connection that is silent has none.
package page

import (
	"io"
	"sync"
)

// Size is the bytes of a page.
const Size = 16 << 10

// A Page is memory to be used for a while.
type Page [Size]byte

var pool = sync.Pool{New: func() any { return new(Page) }}

// Get returns a page, with anything in it.
func Get() *Page { return pool.Get().(*Page) }

// Put gives a page back. Nobody may use it any more.
func Put(p *Page) { pool.Put(p) }

// A Buffer is what has been read from a stream, and not yet taken. The zero
// Buffer is empty. One goroutine uses it at a time.
type Buffer struct {
	page       *Page // nil: there is none
	taken, end int   // what lies between is unread
	short      int   // bytes of the page that are not to be used
	err        error // that comes after it
}

// Unread returns what has been read and not yet taken. It is good until Room.
func (b *Buffer) Unread() []byte {
	if b.page == nil {
		return nil
	}
	return b.page[b.taken:b.end]
}

// Take takes n bytes of what is unread.
func (b *Buffer) Take(n int) { b.taken += n }

// ReadAhead is how many bytes are to be read at a time, at most a page, from now
// on. It is a page at first.
func (b *Buffer) ReadAhead(n int) { b.short = Size - n }

// Room returns the memory behind what is unread, as long as possible: at least
// one byte, unless that many are unread.
func (b *Buffer) Room() []byte {
	if b.page == nil {
		b.page = Get()
	}
	if b.taken > 0 {
		b.end = copy(b.page[:], b.page[b.taken:b.end])
		b.taken = 0
	}
	return b.page[b.end:max(b.end, Size-b.short)]
}

// Added says that n bytes were read into Room.
func (b *Buffer) Added(n int) { b.end += n }

// Release gives the page back if nothing in it is unread.
func (b *Buffer) Release() {
	if b.page != nil && b.taken == b.end {
		Put(b.page)
		b.page, b.taken, b.end = nil, 0, 0
	}
}

// Fill adds what one read of r gives. It returns an error, or has added at least
// one byte; an error that came with bytes is the next one's.
func (b *Buffer) Fill(r io.Reader) error {
	n, err := b.read(r, b.Room())
	b.Added(n)
	return err
}

// Read reads into p: what is unread, else from r, and at least one byte unless it
// returns an error.
func (b *Buffer) Read(r io.Reader, p []byte) (int, error) {
	if n := copy(p, b.Unread()); n > 0 {
		b.Take(n)
		return n, nil
	}
	b.Release()
	return b.read(r, p)
}

func (b *Buffer) read(r io.Reader, p []byte) (n int, err error) {
	if err, b.err = b.err, nil; err != nil {
		return 0, err
	}
	const most = 100 // reads of nothing in a row
	for range most {
		if n, err = r.Read(p); n > 0 {
			b.err = err
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}
