package secure

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A KnownPeer is a name, and the key that alone proves it.
type KnownPeer struct {
	Name string
	Key  PublicKey
}

// String returns the peer's line in a file of known peers: NAME ssh-ed25519 AAAA….
func (p KnownPeer) String() string { return p.Name + " " + p.Key.String() }

const maxName = 64 // bytes

// CheckName reports what is wrong with the name of a peer. A name has 1 to 64
// bytes of UTF-8: characters that can be seen, but none of : @ [ ] and the
// comma, and neither # nor - as the first one.
func CheckName(name string) error {
	problem := ""
	switch {
	case name == "":
		problem = "it is empty"
	case len(name) > maxName:
		problem = fmt.Sprintf("it has %d bytes, and %d is the limit", len(name), maxName)
	case !utf8.ValidString(name):
		problem = "it is not UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }):
		problem = "a name has no spaces and no characters that cannot be seen"
	case strings.ContainsAny(name, ":@[],"):
		problem = "a name has none of : @ [ ] and the comma"
	case name[0] == '#' || name[0] == '-':
		problem = "a name does not begin with # or -"
	default:
		return nil
	}
	return fmt.Errorf("secure: %.80q cannot be a name: %s", name, problem)
}

// KnownPeers are names and keys: one key for each name, one name for each key.
// Their methods may be called from many goroutines.
type KnownPeers struct {
	path   string        // "": in memory only
	adding chan struct{} // one slot; holding it is the right to add

	mu     sync.RWMutex // guards what follows
	byKey  map[PublicKey]KnownPeer
	byName map[string]KnownPeer
}

// NewKnownPeers returns peers that are known as long as the program runs. The
// error is that of [KnownPeers.Add].
func NewKnownPeers(peers ...KnownPeer) (*KnownPeers, error) {
	k := newKnownPeers("")
	for _, peer := range peers {
		if err := k.Add(peer); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func newKnownPeers(path string) *KnownPeers {
	return &KnownPeers{
		path:   path,
		adding: make(chan struct{}, 1),
		byKey:  make(map[PublicKey]KnownPeer),
		byName: make(map[string]KnownPeer),
	}
}

const (
	maxKnownFile = 16 << 20 // bytes
	maxKnownLine = 4096
)

// LoadKnownPeers reads a file of known peers, one on a line:
//
//	NAME ssh-ed25519 AAAA… comment
//
// Empty lines, and those that begin with #, are skipped. If there is no such
// file, nobody is known, and [KnownPeers.Add] makes it. A line that means
// nothing or contradicts another one is an error that tells which, and so is a
// line over 4,096 bytes or a file over 16 MiB.
func LoadKnownPeers(path string) (*KnownPeers, error) {
	k := newKnownPeers(path)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secure: known peers: %w", err)
	}
	defer file.Close()
	if err := k.read(file); err != nil {
		return nil, err
	}
	return k, nil
}

// read adds what a file of known peers says.
func (k *KnownPeers) read(file io.Reader) error {
	limited := &io.LimitedReader{R: file, N: maxKnownFile + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxKnownLine+1)
	number := 1
	for ; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		peer, err := parseKnownPeer(line)
		if err == nil {
			err = k.conflict(peer)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", k.path, number, err)
		}
		k.put(peer)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%s:%d: secure: the line is longer than %d bytes", k.path, number, maxKnownLine)
	case err != nil:
		return fmt.Errorf("%s:%d: secure: %w", k.path, number, err)
	case limited.N == 0:
		return fmt.Errorf("%s:%d: secure: the file is longer than 16 MiB", k.path, number)
	}
	return nil
}

func parseKnownPeer(line string) (KnownPeer, error) {
	name, rest, _ := strings.Cut(line, " ")
	if err := CheckName(name); err != nil {
		return KnownPeer{}, err
	}
	key, err := ParsePublicKey(rest)
	return KnownPeer{name, key}, err
}

// Add pins a name to a key, in the file too, which is on disk by then. Adding a
// peer again does nothing. A name that has another key gives [ErrKeyChanged],
// and a key that has another name an error that tells that name: to change what
// is pinned, edit the file.
//
// What another program added to the file meanwhile is not seen.
func (k *KnownPeers) Add(peer KnownPeer) error {
	if err := CheckName(peer.Name); err != nil {
		return err
	}
	k.adding <- struct{}{}
	defer func() { <-k.adding }()
	if err := k.conflict(peer); err != nil {
		return err
	}
	if _, ok := k.ByKey(peer.Key); ok {
		return nil
	}
	if k.path != "" {
		if err := appendLine(k.path, peer.String()); err != nil {
			return fmt.Errorf("secure: %s cannot be saved as a known peer: %w", peer.Name, err)
		}
	}
	k.put(peer)
	return nil
}

// conflict tells why peer cannot be known beside those that are.
func (k *KnownPeers) conflict(peer KnownPeer) error {
	if same, ok := k.ByName(peer.Name); ok && same.Key != peer.Key {
		return fmt.Errorf("%w: %s has the key %s, not %s", ErrKeyChanged, peer.Name, same.Key.Fingerprint(), peer.Key.Fingerprint())
	}
	if same, ok := k.ByKey(peer.Key); ok && same.Name != peer.Name {
		return fmt.Errorf("secure: the key %s is that of %s: it cannot also be that of %s", peer.Key.Fingerprint(), same.Name, peer.Name)
	}
	return nil
}

func (k *KnownPeers) put(peer KnownPeer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byKey[peer.Key] = peer
	k.byName[peer.Name] = peer
}

// ByKey returns the peer that has this key.
func (k *KnownPeers) ByKey(key PublicKey) (KnownPeer, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	peer, ok := k.byKey[key]
	return peer, ok
}

// ByName returns the peer that has this name.
func (k *KnownPeers) ByName(name string) (KnownPeer, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	peer, ok := k.byName[name]
	return peer, ok
}

// All returns the known peers, sorted by name.
func (k *KnownPeers) All() []KnownPeer {
	k.mu.RLock()
	defer k.mu.RUnlock()
	peers := make([]KnownPeer, 0, len(k.byName))
	for _, peer := range k.byName {
		peers = append(peers, peer)
	}
	slices.SortFunc(peers, func(a, b KnownPeer) int { return cmp.Compare(a.Name, b.Name) })
	return peers
}

// appendLine adds a line to a file, which is made if there is none: all of it,
// or after an error nothing.
func appendLine(path, line string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	var text bytes.Buffer
	if size > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			text.WriteByte('\n')
		}
	}
	text.WriteString(line + "\n")
	if size+int64(text.Len()) > maxKnownFile {
		return fmt.Errorf("%s would be longer than 16 MiB", path)
	}
	if _, err = file.Write(text.Bytes()); err == nil {
		err = file.Sync()
	}
	if err != nil {
		file.Truncate(size)
	}
	return err
}
