package secure

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkUnknownKey drops a datagram of a key that is not known, among a
// thousand that are.
func BenchmarkUnknownKey(b *testing.B) {
	w := newWorld(b)
	for i := range 1000 {
		w.known.put(KnownPeer{Name: fmt.Sprint(i), Key: PublicKey{byte(i), byte(i >> 8)}})
	}
	g := w.ends[bobAt]
	datagram := signedAs(identityOf("eve"), header{kind: kindData, mark: g.signer.group, key: identityOf("eve").public, number: 1})
	b.ReportAllocs()
	for b.Loop() {
		if _, o := g.screen(malloryAt, datagram); o != unknownKey {
			b.Fatal(o)
		}
	}
}

// BenchmarkVerify receives a datagram on a route that is confirmed.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	w.send(aliceAt, bobAt, "")
	g, s := w.ends[bobAt], w.ends[aliceAt].signer
	datagram := w.sign(aliceAt, bobAt, "Hello, World!")
	number := s.number
	session := g.session(s.identity.public, s.session)
	b.ReportAllocs()
	for b.Loop() {
		*session.window.block(number) = 0
		if _, _, o := g.receive(w.now, aliceAt, datagram); o != delivered {
			b.Fatal(o)
		}
		g.ready = g.ready[:0]
	}
}

// BenchmarkSign signs a datagram for so many destinations.
func BenchmarkSign(b *testing.B) {
	for _, destinations := range []int{1, 64} {
		b.Run(fmt.Sprint(destinations), func(b *testing.B) {
			w := newWorld(b)
			s := w.ends[aliceAt].signer
			now, payload := time.Now(), []byte("Hello, World!")
			b.ReportAllocs()
			for b.Loop() {
				for i := range destinations {
					if _, isNew, err := s.datagram(now, payload, netip.AddrPortFrom(bobAt.Addr(), uint16(i))); err != nil || isNew != (i == 0) {
						b.Fatal(isNew, err)
					}
				}
			}
		})
	}
}
