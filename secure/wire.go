package secure

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Sizes in bytes. WIRE.md draws them.
const (
	headerSize    = 2 + 8 + ed25519.PublicKeySize + 8 + 8
	signatureSize = ed25519.SignatureSize
	overhead      = headerSize + signatureSize // of a datagram beside its payload
	sealSize      = 16                         // of a sealed one in addition
)

const (
	wireMagic   = 0xf5 // no text in UTF-8 has this byte
	wireVersion = 1
)

// A kind is what a datagram is.
type kind byte

const (
	kindData kind = 1 + iota
	kindSealed
	kindChallenge
	kindAnswer
)

// A header is what every datagram begins with.
type header struct {
	kind kind

	// mark is the group of data, the age of a challenge's sender in milliseconds,
	// or the first number of an answer.
	mark uint64

	key     PublicKey // of who signs
	session uint64    // of who signs data and answers, or is challenged
	number  uint64    // of data; the nonce of a challenge and its answer
}

func (h *header) append(b []byte) []byte {
	b = append(b, wireMagic, wireVersion<<4|byte(h.kind))
	b = binary.BigEndian.AppendUint64(b, h.mark)
	b = append(b, h.key[:]...)
	b = binary.BigEndian.AppendUint64(b, h.session)
	return binary.BigEndian.AppendUint64(b, h.number)
}

// parseHeader reads the header of a datagram. It reports whether the datagram
// has the form of one.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < overhead || b[0] != wireMagic || b[1]>>4 != wireVersion {
		return header{}, false
	}
	h = header{
		kind:    kind(b[1] & 15),
		mark:    binary.BigEndian.Uint64(b[2:]),
		key:     PublicKey(b[10:42]),
		session: binary.BigEndian.Uint64(b[42:]),
		number:  binary.BigEndian.Uint64(b[50:]),
	}
	switch h.kind {
	case kindData:
		ok = h.number > 0
	case kindSealed:
		ok = h.number > 0 && len(b) >= overhead+sealSize
	case kindChallenge:
		ok = len(b) == overhead
	case kindAnswer:
		ok = len(b) == overhead && h.mark > 0
	}
	return h, ok
}

var signing = &ed25519.Options{Context: "sockets/secure datagram 1"}

// sign appends the signature of b, and of what is signed but not sent.
func (id *Identity) sign(b, unsent []byte) ([]byte, error) {
	signature, err := id.private().Sign(nil, append(b, unsent...), signing)
	if err != nil {
		return nil, fmt.Errorf("secure: %w", err)
	}
	return append(b, signature...), nil
}

// isSigned reports whether the signature at the end of b is that of key.
func isSigned(key *PublicKey, b, unsent []byte) bool {
	text, signature := b[:len(b)-signatureSize], b[len(b)-signatureSize:]
	if len(unsent) > 0 {
		text = append(append(make([]byte, 0, len(text)+len(unsent)), text...), unsent...)
	}
	return ed25519.VerifyWithOptions(key[:], text, signature, signing) == nil
}

// unsentOf is what the signatures of a challenge and of an answer cover beside
// the datagram: to whom it goes, and the group.
func unsentOf(addressee *PublicKey, group uint64) []byte {
	return binary.BigEndian.AppendUint64(addressee[:len(addressee):len(addressee)], group)
}

// groupOf returns what the datagrams of a group bear.
func groupOf(name string) uint64 {
	sum := sha256.Sum256([]byte("sockets/secure group\x00" + name))
	return binary.BigEndian.Uint64(sum[:])
}

// newSeal returns the cipher of one session. It panics if this program is not
// allowed to use it, which only GODEBUG can forbid.
func newSeal(groupKey []byte, group uint64, key *PublicKey, session uint64) cipher.AEAD {
	info := binary.BigEndian.AppendUint64([]byte("sockets/secure sealed 1"), group)
	info = binary.BigEndian.AppendUint64(append(info, key[:]...), session)
	secret := must(hkdf.Key(sha256.New, groupKey, nil, string(info), 32))
	return must(cipher.NewGCM(must(aes.NewCipher(secret))))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic("secure: " + err.Error())
	}
	return value
}

func sealNonce(number uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), number)
}
