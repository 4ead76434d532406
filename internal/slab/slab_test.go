package slab_test

import (
	"bytes"
	"testing"

	"github.com/seed287501ae/sockets/internal/slab"
)

func TestCopiesAreTheirOwn(t *testing.T) {
	var s slab.Slab
	var copies [][]byte
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i)}, i)
		c := s.Clone(p)
		if !bytes.Equal(c, p) || c == nil || cap(c) != len(c) {
			t.Fatalf("Clone of %d bytes: %d bytes with room for %d, nil: %v", i, len(c), cap(c), c == nil)
		}
		clear(p)
		copies = append(copies, c)
	}
	for i, c := range copies {
		if !bytes.Equal(c, bytes.Repeat([]byte{byte(i)}, i)) {
			t.Fatalf("copy %d has changed", i)
		}
		_ = append(c, "more"...)
	}
	for i, c := range copies {
		if !bytes.Equal(c, bytes.Repeat([]byte{byte(i)}, i)) {
			t.Fatalf("copy %d has changed when one before it grew", i)
		}
	}
}

func TestSmallCopiesShareAllocations(t *testing.T) {
	var s slab.Slab
	p := make([]byte, 128)
	if got := testing.AllocsPerRun(3200, func() { s.Clone(p) }); got > 0 { // rounded down
		t.Errorf("%v allocations for each copy of 128 bytes, want 1/32", got)
	}
}

func TestTheFirstSlabIsSmall(t *testing.T) {
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			new(slab.Slab).Clone([]byte("hello"))
		}
	}).AllocedBytesPerOp()
	if allocated > 512 {
		t.Errorf("the first copy of 5 bytes takes %d bytes", allocated)
	}
}

func BenchmarkClone(b *testing.B) {
	var s slab.Slab
	p := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		s.Clone(p)
	}
}
