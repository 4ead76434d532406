package secure

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// examples are those of WIRE.md, in its order: alice sends to bob. Their keys
// are made of the seeds aa…aa and bb…bb.
func examples() (names []string, datagrams [][]byte) {
	alice := newIdentity("alice", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0xaa}, 32)))
	bob := newIdentity("bob", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0xbb}, 32)))
	const session, nonce = 0x1111111111111111, 0x2222222222222222
	group := groupOf("friends")
	open := &signer{identity: alice, group: group, session: session}
	sealed := &signer{identity: alice, group: group, session: session, seal: newSeal(bytes.Repeat([]byte{0xcc}, 32), group, &alice.public, session)}
	data, _, _ := open.datagram(time.Now(), []byte("ciao"), bobAt)
	secret, _, _ := sealed.datagram(time.Now(), []byte("ciao"), bobAt)
	challenge := (&gate{identity: bob, signer: open}).handshake(&header{kindChallenge, 1000, bob.public, session, nonce}, &alice.public)
	answer := (&gate{identity: alice, signer: open}).handshake(&header{kindAnswer, 1, alice.public, session, nonce}, &bob.public)
	return []string{"Data", "Sealed data", "Challenge", "Answer"}, [][]byte{data, secret, challenge, answer}
}

func TestWireFormatIsThatOfItsPage(t *testing.T) {
	names, datagrams := examples()
	page, err := os.ReadFile("WIRE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "## Examples")
	blocks := strings.Split(text, "```")
	if len(blocks) != 2*len(names)+1 {
		t.Fatalf("WIRE.md has %d examples, want %d", len(blocks)/2, len(names))
	}
	for i, name := range names {
		title, block := strings.TrimSpace(blocks[2*i]), strings.TrimPrefix(blocks[2*i+1], "text")
		want, err := hex.DecodeString(strings.Join(strings.Fields(block), ""))
		if err != nil || !bytes.Equal(datagrams[i], want) || !strings.Contains("\n"+title, "\n"+name) {
			t.Errorf("%s:\n%x, in WIRE.md, under %q:\n%x %v", name, datagrams[i], title, want, err)
		}
	}
}

// These too are in WIRE.md and in the package comment.
func TestSizes(t *testing.T) {
	if headerSize != 58 || overhead != 122 || sealSize != 16 {
		t.Errorf("a header of %d bytes, %d around a payload, %d for a seal: want 58, 122, 16", headerSize, overhead, sealSize)
	}
	_, datagrams := examples()
	for i, size := range []int{126, 142, 122, 122} {
		if len(datagrams[i]) != size {
			t.Errorf("example %d has %d bytes, want %d", i, len(datagrams[i]), size)
		}
	}
}

// No two datagrams are sealed alike, not even with one number and one group key.
func TestEverySealIsAnother(t *testing.T) {
	const text = "the same text, which is long enough"
	w := newWorld(t)
	sealed := make(map[string]int)
	for i, step := range []struct {
		start, group string // of alice's new socket, if she binds one
		from         netip.AddrPort
	}{
		{"alice", "", aliceAt},
		{"", "", aliceAt}, // another number
		{"", "", aliceAt},
		{"alice", "", aliceAt}, // another session
		{"alice", "other", aliceAt},
		{"carol", "", carolAt}, // another key
	} {
		if step.start != "" {
			w.start(step.start, step.from, Config{Group: step.group, GroupKey: make([]byte, 32)})
		}
		payload := string(w.sign(step.from, bobAt, text)[headerSize:][:len(text)])
		if before, ok := sealed[payload]; ok {
			t.Errorf("datagram %d is sealed as datagram %d is", i, before)
		}
		sealed[payload] = i
	}
}

// hasForm says of a datagram what WIRE.md does.
func hasForm(b []byte) bool {
	if len(b) < 122 || b[0] != 0xf5 {
		return false
	}
	mark, number := binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[50:])
	switch b[1] {
	case 0x11:
		return number > 0
	case 0x12:
		return number > 0 && len(b) >= 138
	case 0x13:
		return len(b) == 122
	case 0x14:
		return len(b) == 122 && mark > 0
	}
	return false
}

// FuzzParseHeader checks that exactly what has the form of a datagram is
// understood, and as what would be written. Decoding takes nanoseconds, and the
// fuzzer thousands of them: so each input is also tried as every kind, at the
// lengths that matter.
func FuzzParseHeader(f *testing.F) {
	_, datagrams := examples()
	for _, b := range datagrams {
		f.Add(b)
		f.Add(b[:overhead])
	}
	f.Add([]byte{})
	f.Add(make([]byte, 200))
	f.Add([]byte("[2024-02-03T12:15:00] Alice:\n\tHello, World!"))
	check := func(t *testing.T, b []byte) {
		h, ok := parseHeader(b)
		if ok != hasForm(b) || ok && !bytes.Equal(h.append(nil), b[:headerSize]) {
			t.Errorf("%x is understood: %v, as %+v", b, ok, h)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check(t, b)
		long := make([]byte, 139)
		copy(long, b)
		long[0] = wireMagic
		for kind := range byte(6) {
			long[1] = wireVersion<<4 | kind
			for _, size := range []int{2, 58, 121, 122, 123, 137, 138, 139} {
				check(t, long[:size])
			}
		}
	})
}

// FuzzReceive gives bob what alice, whom he has confirmed, has signed, but with
// contents that the fuzzer makes up; changed by it after the signature, if it
// says so; from her address or another. Each piece begins with 20 bytes.
func FuzzReceive(f *testing.F) {
	_, datagrams := examples()
	var all []byte
	for _, b := range datagrams {
		all = append(all, b[:20]...)
	}
	f.Add(all)
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20))
	f.Add(bytes.Repeat([]byte{3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 3))
	f.Fuzz(func(t *testing.T, input []byte) {
		w := newWorld(t)
		bob, alice := w.ends[bobAt], w.ends[aliceAt]
		bob.confirm(w.now, bob.newSession(&header{mark: 1, key: alice.identity.public, session: alice.signer.session}), aliceAt)
		read := map[string]bool{}
		for ; len(input) >= 20; input = input[20:] {
			h := header{
				kind:    kind(input[0] % 5),
				mark:    bob.signer.group,
				key:     alice.identity.public,
				session: alice.signer.session + uint64(input[1]%3),
				number:  binary.BigEndian.Uint64(input[2:]),
			}
			var unsent []byte
			if h.kind >= kindChallenge {
				h.mark = uint64(input[10])
				unsent = unsentOf(&bob.identity.public, bob.signer.group)
				if h.kind == kindChallenge {
					h.session = bob.signer.session
				}
			}
			b := h.append(nil)
			if h.kind < kindChallenge {
				b = append(b, input[11:20]...)
			}
			b, err := alice.identity.sign(b, unsent)
			if err != nil {
				t.Fatal(err)
			}
			changed := input[12]%4 == 1
			if changed {
				b[int(input[13])%len(b)] ^= input[14] | 1
			}
			from := netip.AddrPortFrom(aliceAt.Addr(), aliceAt.Port()+uint16(input[15]%4))
			w.now = w.now.Add(time.Duration(input[16]) * time.Millisecond * 100)
			_, reply, o := bob.receive(w.now, from, bytes.Clone(b))
			if len(reply) > len(b) || changed && (o < malformed || reply != nil) {
				t.Fatalf("%x, changed: %v: outcome %d, reply %x", b, changed, o, reply)
			}
			for _, p := range bob.ready {
				id := string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.session), h.number))
				if o == delivered && read[id] {
					t.Fatalf("number %d is read twice", h.number)
				}
				read[id] = true
				if p.from != from {
					t.Fatalf("a payload from %v is read as one from %v", from, p.from)
				}
			}
			bob.ready = bob.ready[:0]
			if len(bob.lobby.paths) > maxWaitingPerKey || bob.lobby.bytes > maxWaitingPerKey*maxHeldPerRoute || len(bob.routes) > maxSessions*maxRoutes {
				t.Fatalf("%d paths wait with %d bytes, there are %d routes", len(bob.lobby.paths), bob.lobby.bytes, len(bob.routes))
			}
		}
	})
}
