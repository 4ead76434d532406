package secure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A PublicKey is the public half of an Ed25519 key pair. It may be compared, and
// be the key of a map.
type PublicKey [ed25519.PublicKeySize]byte

const keyType = "ssh-ed25519"

// blobPrefix is what precedes a key in the binary form of RFC 8709.
var blobPrefix = []byte("\x00\x00\x00\x0b" + keyType + "\x00\x00\x00\x20")

// ParsePublicKey reads a key as OpenSSH spells it: "ssh-ed25519 AAAA…". A
// comment behind it is ignored.
func ParsePublicKey(s string) (PublicKey, error) {
	var key PublicKey
	fields := strings.Fields(s)
	switch {
	case len(fields) == 0:
		return key, errors.New("secure: no key: want ssh-ed25519 AAAA…")
	case fields[0] != keyType:
		return key, fmt.Errorf("secure: %.32q is not a kind of key that is known here: want %s AAAA…", fields[0], keyType)
	case len(fields) == 1:
		return key, fmt.Errorf("secure: the key is missing: want %s AAAA…", keyType)
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	raw, ok := bytes.CutPrefix(blob, blobPrefix)
	if err != nil || !ok || len(raw) != len(key) {
		return key, fmt.Errorf("secure: %.80q is not an Ed25519 key: it was cut, or changed", fields[1])
	}
	return PublicKey(raw), nil
}

// String returns the key as OpenSSH spells it, which [ParsePublicKey] reads.
func (k PublicKey) String() string {
	return keyType + " " + base64.StdEncoding.EncodeToString(k.blob())
}

// Fingerprint returns what people compare: "SHA256:" and 43 characters, as
// ssh-keygen -l shows it.
func (k PublicKey) Fingerprint() string {
	sum := sha256.Sum256(k.blob())
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

func (k PublicKey) blob() []byte { return append(bytes.Clone(blobPrefix), k[:]...) }
