// Package page lends memory to who reads and writes streams, for as long as
// there is something in it: a connection that is silent has none.
package page

const (
	Size  = 16 << 10 // bytes of a page
	large = 64 << 10 // bytes that are read at a time where they are there
)

// A Page is memory to be used for a while.
type Page [Size]byte

var (
	pages      = Cache[Page]{New: func() *Page { return new(Page) }, Keep: 64}
	largePages = Cache[[large]byte]{New: func() *[large]byte { return new([large]byte) }, Keep: 32}
)

// Get returns a page, with anything in it.
func Get() *Page { return pages.Get() }

// Put gives a page back. Nobody may use it any more.
func Put(p *Page) { pages.Put(p) }
