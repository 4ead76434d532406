package reliable

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

const cookieAge = 10 * time.Second

// A jar bakes cookies and knows its own again, without remembering any. Who
// brings a cookie back receives at the address that it was baked for: nothing
// has to be stored for an address that is only claimed.
type jar struct {
	secret [32]byte
	opened time.Time
}

func newJar(now time.Time) *jar {
	j := &jar{opened: now}
	rand.Read(j.secret[:])
	return j
}

// bake returns a cookie for the association tag at address: when it was baked,
// and a code that only this jar can compute.
func (j *jar) bake(now time.Time, address netip.AddrPort, tag uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cookieSize), uint64(now.Sub(j.opened)))
	return append(b, j.code(b, address, tag)...)
}

// check returns when this jar baked the cookie for this tag at this address, if
// it did, and not long ago.
func (j *jar) check(now time.Time, cookie []byte, address netip.AddrPort, tag uint64) (baked time.Time, ok bool) {
	if !hmac.Equal(cookie[8:], j.code(cookie[:8], address, tag)) {
		return time.Time{}, false
	}
	baked = j.opened.Add(time.Duration(binary.BigEndian.Uint64(cookie)))
	return baked, now.Sub(baked) <= cookieAge
}

func (j *jar) code(baked []byte, address netip.AddrPort, tag uint64) []byte {
	text := append(make([]byte, 0, 64), baked...)
	text = binary.BigEndian.AppendUint64(text, tag)
	text = binary.BigEndian.AppendUint16(text, address.Port())
	text = append(text, address.Addr().String()...)
	mac := hmac.New(sha256.New, j.secret[:])
	mac.Write(text)
	return mac.Sum(nil)[:cookieSize-8]
}
