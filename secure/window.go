package secure

const (
	windowBlocks = 128
	windowSize   = (windowBlocks - 1) * 64 // numbers
)

// A window tells numbers that come for the first time from those that came
// before, as RFC 6479 does: exactly among the last 8,128, and what is older
// counts as come before. The zero window has seen nothing but 0.
type window struct {
	top  uint64 // the largest number that came
	seen [windowBlocks]uint64
}

// begin makes the window one that has seen every number below first, which is
// not 0.
func (w *window) begin(first uint64) {
	w.top = first - 1
	for i := range w.seen {
		w.seen[i] = ^uint64(0)
	}
	*w.block(w.top) = 2<<(w.top%64) - 1
}

// isNew reports whether a number comes for the first time.
func (w *window) isNew(number uint64) bool {
	if number > w.top {
		return true
	}
	return w.top-number < windowSize && number > 0 && *w.block(number)>>(number%64)&1 == 0
}

// add says that a number, which is new, has come.
func (w *window) add(number uint64) {
	if number > w.top {
		for i := range min(number/64-w.top/64, windowBlocks) {
			*w.block(number - 64*i) = 0
		}
		w.top = number
	}
	*w.block(number) |= 1 << (number % 64)
}

func (w *window) block(number uint64) *uint64 { return &w.seen[number/64%windowBlocks] }
