package simnet

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
