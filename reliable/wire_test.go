package reliable

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// examples are those of WIRE.md, in its order.
func examples() (names []string, datagrams [][]byte) {
	baked, _ := hex.DecodeString("00000000000003e8000102030405060708090a0b0c0d0e0f")
	const a, b = 0x1111111111111111, 0x2222222222222222
	for _, example := range []struct {
		name     string
		datagram []byte
	}{
		{"HELLO", appendChunk(appendHeader(nil, tags{0, a}), hello, make([]byte, cookieSize))},
		{"COOKIE", appendChunk(appendHeader(nil, tags{a, 0}), cookie, baked)},
		{"ECHO", appendChunk(appendHeader(nil, tags{0, a}), echo, baked)},
		{"WELCOME", appendChunk(appendHeader(nil, tags{a, b}), welcome)},
		{"DATA", appendData(appendHeader(nil, tags{b, a}), 0, 2, []byte("\x00\x04ciao"))},
		{"DATA and ACK", appendAck(appendData(appendHeader(nil, tags{a, b}), 5, 7, []byte{0, 0}),
			acknowledgement{2, 9, 100, []span{{3, 5}, {7, 8}}})},
		{"BYE", appendBye(appendHeader(nil, tags{b, a}), 3)},
		{"GONE", appendChunk(appendHeader(nil, tags{a, b}), gone)},
	} {
		names = append(names, example.name)
		datagrams = append(datagrams, example.datagram)
	}
	return names, datagrams
}

func TestWireFormatIsThatOfItsPage(t *testing.T) {
	page, err := os.ReadFile("WIRE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "## Examples")
	blocks := strings.Split(text, "```")
	names, datagrams := examples()
	if len(blocks) != 2*len(names)+1 {
		t.Fatalf("WIRE.md has %d examples, want %d", len(blocks)/2, len(names))
	}
	for i, name := range names {
		title, block := strings.TrimSpace(blocks[2*i]), strings.TrimPrefix(blocks[2*i+1], "text")
		want, err := hex.DecodeString(strings.Join(strings.Fields(block), ""))
		if err != nil || !bytes.Equal(datagrams[i], want) || !strings.Contains(title, "\n"+name) && !strings.HasPrefix(title, name) {
			t.Errorf("%s:\n%x, in WIRE.md, under %q:\n%x %v", name, datagrams[i], title, want, err)
		}
	}
}

// These too are in WIRE.md.
func TestSizes(t *testing.T) {
	if maxDatagram != 1200 || maxSegment != 1136 || initialWindow != 10 {
		t.Error("WIRE.md says 1,200 and 1,136 bytes, and 10 segments")
	}
	full := appendData(appendHeader(nil, tags{}), 0, 1, make([]byte, maxSegment))
	full = appendAck(full, acknowledgement{ranges: make([]span, 1)})
	if len(full) != maxDatagram {
		t.Errorf("a full segment and an ACK with a range make %d bytes, want %d", len(full), maxDatagram)
	}
	if n := len(appendAck(appendHeader(nil, tags{}), acknowledgement{ranges: make([]span, maxRanges)})); n > maxDatagram {
		t.Errorf("an ACK of %d bytes", n)
	}
}

func TestParse(t *testing.T) {
	_, datagrams := examples()
	b := datagrams[5]
	got, chunks, kinds, fault := parse(b)
	if fault != none || got != (tags{0x1111111111111111, 0x2222222222222222}) || kinds != setOf(data, ack) {
		t.Fatalf("parse = %x, kinds %b, fault %d", got, kinds, fault)
	}
	_, body, chunks := cut(chunks)
	number, transmission, payload := parseData(body)
	if number != 5 || transmission != 7 || !bytes.Equal(payload, []byte{0, 0}) {
		t.Errorf("DATA %d, %d, %x", number, transmission, payload)
	}
	_, body, _ = cut(chunks)
	a, ok := parseAck(body, nil)
	want := acknowledgement{2, 9, 100, []span{{3, 5}, {7, 8}}}
	if diff := cmp.Diff(want, a, cmp.AllowUnexported(acknowledgement{}, span{})); diff != "" || !ok {
		t.Errorf("ACK, ok %v: %s", ok, diff)
	}
}

func TestParseRefuses(t *testing.T) {
	names, datagrams := examples()
	for i, b := range datagrams {
		for n := range b {
			if names[i] == "DATA and ACK" && n == 41 {
				continue // the DATA alone
			}
			want := malformed
			if n < len(magic) {
				want = foreign
			}
			if _, _, _, fault := parse(b[:n]); fault != want {
				t.Errorf("%s cut to %d bytes: fault %d, want %d", names[i], n, fault, want)
			}
		}
		if _, _, _, fault := parse(append(slices.Clone(b), 0)); fault != malformed {
			t.Errorf("%s and one byte more: fault %d", names[i], fault)
		}
	}
	head := appendHeader(nil, tags{1, 2})
	greeter := appendHeader(nil, tags{0, 2})
	hellos := appendChunk(slices.Clone(greeter), hello, make([]byte, cookieSize))
	for name, b := range map[string][]byte{
		"no chunk":            head,
		"chunk 0":             appendChunk(slices.Clone(head), 0),
		"chunk 9":             appendChunk(slices.Clone(head), gone+1),
		"chunk 255":           appendChunk(slices.Clone(head), 255),
		"DATA of nothing":     appendData(slices.Clone(head), 0, 1, nil),
		"long DATA":           appendData(slices.Clone(head), 0, 1, make([]byte, maxSegment+1)),
		"short HELLO":         appendChunk(slices.Clone(greeter), hello, make([]byte, cookieSize-1)),
		"two HELLOs":          appendChunk(slices.Clone(hellos), hello, make([]byte, cookieSize)),
		"HELLO with BYE":      appendBye(appendChunk(slices.Clone(head), hello, make([]byte, cookieSize)), 0),
		"long BYE":            appendChunk(slices.Clone(head), bye, make([]byte, byeSize+1)),
		"two DATA":            appendData(appendData(slices.Clone(head), 0, 1, []byte{0}), 0, 1, []byte{0}),
		"two ACKs":            appendAck(appendAck(slices.Clone(head), acknowledgement{}), acknowledgement{}),
		"HELLO to somebody":   appendChunk(appendHeader(nil, tags{1, 2}), hello, make([]byte, cookieSize)),
		"HELLO of nobody":     appendChunk(appendHeader(nil, tags{0, 0}), hello, make([]byte, cookieSize)),
		"HELLO that talks":    appendChunk(slices.Clone(greeter), hello, bytes.Repeat([]byte{1}, cookieSize)),
		"ECHO to somebody":    appendChunk(slices.Clone(head), echo, make([]byte, cookieSize)),
		"COOKIE of somebody":  appendChunk(slices.Clone(head), cookie, make([]byte, cookieSize)),
		"COOKIE to nobody":    appendChunk(appendHeader(nil, tags{0, 0}), cookie, make([]byte, cookieSize)),
		"DATA to nobody":      appendData(slices.Clone(greeter), 0, 1, []byte{0}),
		"DATA of nobody":      appendData(appendHeader(nil, tags{1, 0}), 0, 1, []byte{0}),
		"1,201 bytes":         appendAck(appendData(slices.Clone(head), 0, 1, make([]byte, maxSegment-3)), acknowledgement{ranges: make([]span, 2)}),
		"short ACK":           appendChunk(slices.Clone(head), ack, make([]byte, ackHead-1)),
		"ACK of half a range": appendChunk(slices.Clone(head), ack, make([]byte, ackHead+2)),
	} {
		if _, _, _, fault := parse(b); fault != malformed {
			t.Errorf("%s: fault %d, want %d", name, fault, malformed)
		}
	}
	for name, b := range map[string]string{"nothing": "", "chat": "[2024-02-03T12:15:00] Alice:\n\tHello", "version 2": "REL\x02" + string(make([]byte, 19))} {
		if _, _, _, fault := parse([]byte(b)); fault != foreign {
			t.Errorf("%s: fault %d, want %d", name, fault, foreign)
		}
	}
}

func TestParseAckRefusesRangesWithoutGaps(t *testing.T) {
	for _, ranges := range [][]span{
		{{10, 12}},           // the first missing one is not missing
		{{12, 12}},           // nothing
		{{12, 14}, {14, 15}}, // no gap
		{{14, 16}, {12, 13}}, // descending
		{{12, 14}, {13, 15}}, // overlapping
	} {
		chunk := appendAck(nil, acknowledgement{next: 10, ranges: ranges})
		_, body, _ := cut(chunk)
		if a, ok := parseAck(body, nil); ok {
			t.Errorf("%v is taken, as %v", ranges, a.ranges)
		}
	}
}
