package page

import (
	"bytes"
	"io"
)

const little = 1 << 10 // bytes for which no page is kept

// A Buffer is what has been read from a stream, and not yet taken. The zero
// Buffer is empty. One goroutine uses it at a time.
type Buffer struct {
	page       []byte // nil: there is none
	taken, end int    // what lies between is unread
	kept       []byte // what little is unread, where there is no page
	most       int    // bytes of a page that are used; 0: all
	err        error  // that comes after what is unread
}

// Unread returns what has been read and not yet taken. It is good until Room.
func (b *Buffer) Unread() []byte {
	if b.page == nil {
		return b.kept
	}
	return b.page[b.taken:b.end]
}

// Take takes n bytes of what is unread.
func (b *Buffer) Take(n int) {
	if b.page == nil {
		b.kept = b.kept[n:]
	} else {
		b.taken += n
	}
}

// ReadAhead is how many bytes of a page are used from now on; 0 is all.
func (b *Buffer) ReadAhead(n int) { b.most = n }

// Room returns the memory behind what is unread: at least one byte, unless as
// much is unread as is to be read ahead.
func (b *Buffer) Room() []byte {
	if b.page == nil {
		b.use(Get()[:])
	}
	return b.room()
}

// LargeRoom is Room, and more of it, for who does not wait for something to put
// there.
func (b *Buffer) LargeRoom() []byte {
	if b.page == nil {
		b.use(largePages.Get()[:])
	}
	return b.room()
}

func (b *Buffer) use(page []byte) {
	b.page, b.end = page, copy(page, b.kept)
	b.kept = nil
}

func (b *Buffer) room() []byte {
	if b.taken > 0 {
		b.end = copy(b.page, b.page[b.taken:b.end])
		b.taken = 0
	}
	if b.most > 0 {
		return b.page[b.end:max(b.end, b.most)]
	}
	return b.page[b.end:]
}

// Added says that n bytes were read into Room.
func (b *Buffer) Added(n int) { b.end += n }

// Release gives the page back, unless more than a little in it is unread.
func (b *Buffer) Release() {
	if b.page == nil || b.end-b.taken > little {
		return
	}
	if b.taken < b.end {
		b.kept = bytes.Clone(b.Unread())
	}
	if len(b.page) == large {
		largePages.Put((*[large]byte)(b.page))
	} else {
		Put((*Page)(b.page))
	}
	b.page, b.taken, b.end = nil, 0, 0
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
