package simnet

import "weak"

// Pending returns how many things are going to happen.
func (n *Network) Pending() int {
	now := n.lock()
	defer n.unlock(now)
	return len(n.agenda.events)
}

// Streams returns how many streams the host has that have not ended.
func (h *Host) Streams() int {
	now := h.network.lock()
	defer h.network.unlock(now)
	return len(h.streams)
}

// Partitions returns how many partitions there are.
func (n *Network) Partitions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.partitions)
}

// Collected returns a function that reports whether nothing refers to a stream or
// listener any more.
func Collected(closer any) func() bool {
	if l, ok := closer.(*listener); ok {
		w := weak.Make(l)
		return func() bool { return w.Value() == nil }
	}
	w := weak.Make(closer.(*stream))
	return func() bool { return w.Value() == nil }
}
