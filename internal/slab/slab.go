// Package slab makes many small copies with few allocations.
package slab

const (
	most  = 4 << 10  // bytes of a slab
	least = 256      // of the first one
	small = most / 4 // a longer copy has memory of its own
)

// A Slab is memory from which copies are cut one after another. The zero Slab
// is ready for use, by one goroutine at a time.
type Slab struct {
	free []byte
	size int // of the slab that free is the rest of
}

// Clone returns a copy of p, never nil, which belongs to the caller: its memory
// is not used again, and appending to it allocates. Who keeps a short copy keeps
// at most 4 KiB alive.
func (s *Slab) Clone(p []byte) []byte {
	n := len(p)
	if n > small {
		return append(make([]byte, 0, n), p...)
	}
	if n > len(s.free) || s.free == nil {
		s.size = min(max(2*s.size, least, n), most)
		s.free = make([]byte, s.size)
	}
	c := s.free[:n:n]
	s.free = s.free[n:]
	copy(c, p)
	return c
}
