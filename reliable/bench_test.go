package reliable_test

import (
	"sync"
	"testing"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/reliable"
)

// BenchmarkLoopback sends 100-byte messages one way over real sockets, to a
// callback. An operation is a message that arrives.
func BenchmarkLoopback(b *testing.B) {
	for _, network := range []struct {
		name string
		over sockets.Network
	}{{"plain", nil}, {"reliable", reliable.Over(nil)}} {
		b.Run(network.name, func(b *testing.B) {
			cfg := &sockets.Config{Network: network.over, LendPayloads: true}
			near, err := cfg.NewPeer("127.0.0.1:0", nil)
			if err != nil {
				b.Fatal(err)
			}
			defer near.Close()
			arrived, done := 0, make(chan struct{})
			far, err := cfg.NewAsyncPeer("127.0.0.1:0", nil, func([]byte, sockets.Address) {
				if arrived++; arrived == b.N {
					close(done)
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			defer far.Close()
			to := far.LocalAddress()
			var sending sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			sending.Go(func() {
				payload := make([]byte, 100)
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := near.Send(payload, to); err != nil {
						b.Error(err)
						return
					}
				}
			})
			<-done
			b.StopTimer()
			sending.Wait()
		})
	}
}
