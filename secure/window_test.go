package secure

import (
	"encoding/binary"
	"math"
	"testing"
)

// A slowWindow is the same by a map of all that came.
type slowWindow struct {
	top, floor uint64 // all up to floor came
	came       map[uint64]bool
}

func (w *slowWindow) isNew(number uint64) bool {
	return number > w.top || number > w.floor && w.top-number < windowSize && !w.came[number]
}

func (w *slowWindow) add(number uint64) {
	w.came[number] = true
	w.top = max(w.top, number)
}

func TestWindowHasItsEdges(t *testing.T) {
	for _, test := range []struct {
		came, number uint64
		isNew        bool
	}{
		{0, 0, false},
		{0, 1, true},
		{1, 1, false},
		{1, 0, false},
		{windowSize, 1, true},
		{windowSize + 1, 1, false},
		{windowSize + 1, 2, true},
		{100_000, 100_000 - windowSize, false},
		{100_000, 100_000 - windowSize + 1, true},
		{math.MaxUint64, math.MaxUint64, false},
		{math.MaxUint64, math.MaxUint64 - 1, true},
		{math.MaxUint64, math.MaxUint64 - windowSize, false},
		{math.MaxUint64 - 1, math.MaxUint64, true},
	} {
		var w window
		if test.came > 0 {
			w.add(test.came)
		}
		if got := w.isNew(test.number); got != test.isNew {
			t.Errorf("after %d, isNew(%d) = %v, want %v", test.came, test.number, got, test.isNew)
		}
	}
}

// A jump leaves nothing of what came before it, however long it is.
func TestWindowForgetsWhenItJumps(t *testing.T) {
	for _, jump := range []uint64{windowSize, windowSize + 64, 20_000, 1 << 40} {
		var w window
		w.begin(100_000)
		w.add(100_000 + jump)
		for back := uint64(1); back < windowSize; back++ {
			if !w.isNew(100_000 + jump - back) {
				t.Fatalf("after a jump of %d, the number %d before it seems to have come", jump, back)
			}
		}
	}
}

func TestWindowSize(t *testing.T) {
	if windowSize != 8128 {
		t.Errorf("the window has %d numbers; the package comment says 8,128", windowSize)
	}
}

func TestWindowThatBeginsLate(t *testing.T) {
	for _, first := range []uint64{1, 2, 63, 64, 65, 8127, 8128, 8192, 1_000_000, math.MaxUint64 - 10} {
		var w window
		w.begin(first)
		for back := range min(first, windowSize+200) {
			if number := first - 1 - back; w.isNew(number) {
				t.Fatalf("a window that begins with %d takes %d", first, number)
			}
		}
		for i := range uint64(10) {
			number := first + 9 - i
			if !w.isNew(number) {
				t.Fatalf("a window that begins with %d refuses %d", first, number)
			}
			w.add(number)
			if w.isNew(number) {
				t.Fatalf("a window that begins with %d takes %d twice", first, number)
			}
		}
	}
}

// FuzzWindow compares the window with the slow one. Each two bytes are a step
// from the number before, and one bit says how long a step.
func FuzzWindow(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 0, 1, 0, 0, 255, 255, 128, 0, 127, 255})
	f.Add(uint64(5000), []byte{0, 8, 0, 2, 0, 2, 255, 3, 5, 5})
	f.Add(uint64(math.MaxUint64-70), []byte{0, 64, 0, 64, 0, 64})
	f.Fuzz(func(t *testing.T, first uint64, steps []byte) {
		fast, slow := window{}, slowWindow{came: make(map[uint64]bool)}
		first = max(first, 1)
		fast.begin(first)
		slow.top, slow.floor = first-1, first-1
		number := first
		for ; len(steps) >= 2; steps = steps[2:] {
			step := int64(int16(binary.BigEndian.Uint16(steps)))
			if step&1 != 0 {
				step /= 256
			}
			number += uint64(step)
			isNew := slow.isNew(number)
			if got := fast.isNew(number); got != isNew {
				t.Fatalf("isNew(%d) = %v, want %v; the largest is %d", number, got, isNew, slow.top)
			}
			if isNew {
				fast.add(number)
				slow.add(number)
			}
		}
	})
}
