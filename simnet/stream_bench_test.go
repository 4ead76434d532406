package simnet_test

import (
	"io"
	"testing"
	"time"

	"github.com/seed287501ae/sockets/simnet"
)

// BenchmarkStreams moves 64 KiB at a time, in real time.
func BenchmarkStreams(b *testing.B) {
	for name, link := range map[string]simnet.Link{
		"perfect": {},
		"delay":   {Delay: 100 * time.Microsecond},
		"loss":    {Loss: 0.01},
	} {
		b.Run(name, func(b *testing.B) {
			p := newPair(b, 1, link)
			done := make(chan bool)
			go func() {
				defer close(done)
				io.Copy(io.Discard, p.accepted)
			}()
			payload := make([]byte, 64<<10)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.dialled.Write(payload); err != nil {
					b.Fatal(err)
				}
			}
			p.dialled.CloseWrite()
			<-done
		})
	}
}
