package simnet_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host("alice"), n.Host("bob")
		n.SetLinks(simnet.Link{Delay: 20 * time.Millisecond, Loss: 0.1})
		cfgA, cfgB := sockets.Config{Network: a}, sockets.Config{Network: b}
		pa, err := cfgA.NewPeer("8080", nil)
		if err != nil {
			t.Fatal(err)
		}
		pb, err := cfgB.NewPeer("8080", []string{"alice:8080"})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			pb.SendAll([]byte("hi"))
		}
		time.Sleep(time.Second)
		c := n.Counters(b, a)
		t.Log(c)
		for range c.Delivered {
			p, from, err := pa.Receive(t.Context())
			if err != nil || string(p) != "hi" {
				t.Fatal(p, from, err)
			}
		}
		pa.Close()
		pb.Close()
	})
}

func BenchmarkDatagrams(b *testing.B) {
	n := simnet.New(1)
	h, g := n.Host("alice"), n.Host("bob")
	c, _ := h.ListenPacket(b.Context(), "udp", ":1")
	d, _ := g.ListenPacket(b.Context(), "udp", ":1")
	to := net.UDPAddrFromAddrPort(g.AddrPort(1))
	buf := make([]byte, 100)
	for b.Loop() {
		c.WriteTo(buf, to)
		d.ReadFrom(buf)
	}
}

func BenchmarkVirtual(b *testing.B) {
	n := simnet.New(1)
	h, g := n.Host("alice"), n.Host("bob")
	n.SetLinks(simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond})
	c, _ := h.ListenPacket(b.Context(), "udp", ":1")
	d, _ := g.ListenPacket(b.Context(), "udp", ":1")
	to := net.UDPAddrFromAddrPort(g.AddrPort(1))
	buf := make([]byte, 100)
	for b.Loop() {
		for range 100 {
			c.WriteTo(buf, to)
		}
		for range 100 {
			d.ReadFrom(buf)
		}
	}
	b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "dgrams/s")
}
