package simnet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets/internal/packettest"
	"github.com/seed287501ae/sockets/simnet"
)

// What the kernel's sockets pass in internal/packettest, these pass too.
func TestPacketConnsAreLikeThoseOfTheKernel(t *testing.T) {
	between := func(a, b string, link simnet.Link) packettest.Place {
		n := simnet.New(simnet.Seed(t))
		n.SetLinks(link)
		return packettest.Place{A: n.Host(a), B: n.Host(b), IPA: a, IPB: b}
	}
	for _, test := range []struct {
		name  string
		place func() packettest.Place
	}{
		{"IPv4", func() packettest.Place { return between("10.0.0.1", "10.0.0.2", simnet.Link{}) }},
		{"IPv6", func() packettest.Place { return between("fd00::1", "fd00::2", simnet.Link{}) }},
		{"far away", func() packettest.Place {
			return between("10.0.0.1", "10.0.0.2", simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond, Bandwidth: 1e9})
		}},
		{"loopback", func() packettest.Place {
			h := simnet.New(simnet.Seed(t)).Host()
			return packettest.Place{A: h, B: h, IPA: "127.0.0.1", IPB: "127.0.0.1"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
				synctest.Test(t, func(t *testing.T) { check(t, test.place()) })
			})
		})
	}
	t.Run("real time", func(t *testing.T) {
		packettest.Run(t, func(t *testing.T, check func(*testing.T, packettest.Place)) {
			check(t, between("10.0.0.1", "10.0.0.2", simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond}))
		})
	})
}
