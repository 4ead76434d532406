//go:build !race

package sockets_test

import (
	"errors"
	"testing"

	"github.com/seed287501ae/sockets"
)

// The race detector makes pools forget what they hold.
func TestPeerCostsNoMemoryPerDatagram(t *testing.T) {
	const length = 64
	payloads := numbers(length)
	for _, lend := range []bool{true, false} {
		arrived, told := 0, make(chan struct{})
		cfg := sockets.Config{LendPayloads: lend}
		receiver, err := cfg.NewAsyncPeer("127.0.0.1:0", nil, func([]byte, sockets.Address) {
			if arrived++; arrived%length == 0 {
				told <- struct{}{}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer receiver.Close()
		sender := loopbackPeer(t, "127.0.0.1:0", receiver.LocalAddress().String())
		for name, send := range map[string]func() error{
			"SendRun": func() error { return sender.SendRun(payloads, receiver.LocalAddress()) },
			"SendAll": func() (err error) {
				for _, payload := range payloads {
					err = errors.Join(err, sender.SendAll(payload))
				}
				return err
			},
		} {
			allocs := testing.AllocsPerRun(50, func() {
				if err := send(); err != nil {
					t.Fatal(err)
				}
				<-told
			})
			if most := map[bool]float64{true: 0, false: 0.1 * length}[lend]; allocs > most {
				t.Errorf("LendPayloads %v: %d datagrams by %s cost %v allocations, want %v", lend, length, name, allocs, most)
			}
		}
	}
}
