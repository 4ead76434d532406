package page

import "sync"

// A Cache is a sync.Pool that keeps a few things through garbage collections. A
// program that makes garbage fast collects it a hundred times a second, and would
// make anew each time what a sync.Pool has lost: with payloads of their own 64
// connections echo a quarter more so.
type Cache[T any] struct {
	New  func() *T // makes one
	Keep int       // how many

	pool sync.Pool

	mu   sync.Mutex // guards what follows; nobody waits for it
	kept []*T
}

// Get returns what was put, or what New makes.
func (c *Cache[T]) Get() *T {
	if c.mu.TryLock() {
		if last := len(c.kept) - 1; last >= 0 {
			t := c.kept[last]
			c.kept = c.kept[:last]
			c.mu.Unlock()
			return t
		}
		c.mu.Unlock()
	}
	if t, ok := c.pool.Get().(*T); ok {
		return t
	}
	return c.New()
}

// Put gives t back. Nobody may use it any more.
func (c *Cache[T]) Put(t *T) {
	if c.mu.TryLock() {
		if len(c.kept) < c.Keep {
			c.kept = append(c.kept, t)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
	c.pool.Put(t)
}
