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
	"path/filepath"
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

	// FirstUse is set where a stream brought the key by first use, and nobody has
	// checked it: it counts for streams only.
	FirstUse bool
}

// String returns the peer's line in a file of known peers: NAME ssh-ed25519 AAAA…,
// and first-use behind it where FirstUse is set.
func (p KnownPeer) String() string {
	line := p.Name + " " + p.Key.String()
	if p.FirstUse {
		line += " " + firstUse
	}
	return line
}

const maxName = 64 // bytes

// CheckName reports what is wrong with the name of a peer. A name has 1 to 64
// bytes of UTF-8: characters that can be seen, but none of : @ [ ] and the
// comma, and neither #, nor -, nor an accent without its letter as the first one.
// Letters of different alphabets may still look alike, and é is another name as
// one character than as an e with its accent: compare fingerprints.
func CheckName(name string) error {
	problem := ""
	first, _ := utf8.DecodeRuneInString(name)
	switch {
	case name == "":
		problem = "it is empty"
	case len(name) > maxName:
		problem = fmt.Sprintf("it has %d bytes, and %d is the limit", len(name), maxName)
	case !utf8.ValidString(name):
		problem = "it is not UTF-8"
	case strings.ContainsFunc(name, isUnseen):
		problem = "a name has no spaces and no characters that cannot be seen"
	case strings.ContainsAny(name, ":@[],"):
		problem = "a name has none of : @ [ ] and the comma"
	case name[0] == '#' || name[0] == '-':
		problem = "a name does not begin with # or -"
	case unicode.Is(unicode.M, first):
		problem = "a name does not begin with an accent that has no letter"
	default:
		return nil
	}
	return fmt.Errorf("secure: %.80q cannot be a name: %s", name, problem)
}

func isUnseen(r rune) bool {
	const blank = '\u2800' // of Braille
	return r == ' ' || r == blank || !unicode.IsPrint(r) || unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
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
	firstUse     = "first-use" // in the comment of who was learnt so

	byteOrderMark = "\ufeff" // some editors begin a file by it
)

// LoadKnownPeers reads a file of known peers, one on a line:
//
//	NAME ssh-ed25519 AAAA… comment
//
// Empty lines, and those that begin with #, are skipped. If there is no such
// file, nobody is known, and [KnownPeers.Add] makes it. Who was learnt by first
// use has the comment first-use: no datagram of theirs is heard until somebody has
// compared the fingerprint and deleted that word, and the program starts again. A
// line that means nothing or contradicts another one is an error that tells which,
// and so is a line over 4,096 bytes or a file over 16 MiB. On Unix it refuses a file that
// others than its owner may write.
func LoadKnownPeers(path string) (*KnownPeers, error) {
	k, _, err := readKnownPeers(path)
	return k, err
}

// readKnownPeers also returns what is in the file.
func readKnownPeers(path string) (*KnownPeers, []byte, error) {
	k := newKnownPeers(path)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("secure: known peers: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && hasModes && info.Mode().Perm()&0o022 != 0 {
		err = fmt.Errorf("others can write to %s (its mode is %#o): chmod go-w %[1]s", path, info.Mode().Perm())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("secure: known peers: %w", err)
	}
	var text bytes.Buffer
	if err := k.read(io.TeeReader(file, &text)); err != nil {
		return nil, nil, err
	}
	return k, text.Bytes(), nil
}

// read adds what a file of known peers says.
func (k *KnownPeers) read(file io.Reader) error {
	limited := &io.LimitedReader{R: file, N: maxKnownFile + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxKnownLine+1)
	number := 1
	for ; lines.Scan(); number++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), byteOrderMark))
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
	name := line
	if i := strings.IndexFunc(line, unicode.IsSpace); i >= 0 {
		name = line[:i]
	}
	if err := CheckName(name); err != nil {
		return KnownPeer{}, err
	}
	key, err := ParsePublicKey(line[len(name):])
	return KnownPeer{name, key, strings.Contains(strings.ToLower(line[len(name):]), firstUse)}, err
}

// Add pins a name to a key, in the file too, where it is on disk by then. Adding
// a peer again does nothing, but for one of first use without FirstUse: from then
// on it counts as checked, and there is a second line that says so. A name that has another key gives [ErrKeyChanged],
// and a key that has another name [ErrNotExpected]: to change what is pinned,
// edit the file, and restart the programs that use it.
//
// Several programs may add to one file. Each learns by its next Add who is new in
// the file, and forgets nobody until it ends. Of two that add at the same moment
// what contradicts itself, one fails, or both; for that moment both may be in the
// file, which then does not load, and stays so if the machine crashes. An Add that
// fails may leave a comment in the file.
func (k *KnownPeers) Add(peer KnownPeer) error {
	if err := CheckName(peer.Name); err != nil {
		return err
	}
	k.adding <- struct{}{}
	defer func() { <-k.adding }()
	if err := k.conflict(peer); err != nil {
		return err
	}
	if k.has(peer) {
		return nil
	}
	if k.path != "" {
		if err := k.save(peer); err != nil {
			return cmp.Or(k.conflict(peer), fmt.Errorf("secure: %s cannot be saved as a known peer: %w", peer.Name, err))
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
		return fmt.Errorf("%w: %s is that of %s, not of %s", ErrNotExpected, peer.Key.Fingerprint(), same.Name, peer.Name)
	}
	return nil
}

func (k *KnownPeers) put(peer KnownPeer) {
	if k.has(peer) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byKey[peer.Key] = peer
	k.byName[peer.Name] = peer
}

// has reports whether the key of a peer is known and, unless FirstUse is enough,
// checked.
func (k *KnownPeers) has(peer KnownPeer) bool {
	same, ok := k.ByKey(peer.Key)
	return ok && (peer.FirstUse || !same.FirstUse)
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

// save writes the line of a peer into the file. It never shortens the file, nor
// touches another line, and half a line does no harm: the line is a comment until
// it is on disk. Then its first byte makes it count, unless what others wrote at
// the same time contradicts it.
func (k *KnownPeers) save(peer KnownPeer) error {
	text, err := k.reread()
	if k.has(peer) || err != nil || k.conflict(peer) != nil {
		return cmp.Or(err, k.conflict(peer))
	}
	line := peer.String()
	draft := "\n#" + line[1:] + "\n"
	added := draft
	if len(text) == 0 || text[len(text)-1] == '\n' {
		added = draft[1:]
	}
	if len(text)+len(added) > maxKnownFile {
		return fmt.Errorf("%s would be longer than 16 MiB", k.path)
	}
	file, err := os.OpenFile(k.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := fill(file, []byte(added)); err != nil {
		return err
	}
	if len(text) == 0 {
		syncFolder(filepath.Dir(k.path))
	}
	if text, err = k.reread(); err != nil {
		return err
	}
	at := strings.LastIndex("\n"+string(text), draft)
	if at < 0 {
		return fmt.Errorf("somebody else changed %s meanwhile", k.path)
	}
	if err := k.overwrite(at, line[0]); err != nil {
		return err
	}
	if _, err = k.reread(); err != nil {
		return errors.Join(err, k.overwrite(at, '#'))
	}
	return nil
}

// reread learns who is new in the file, and returns what is there.
func (k *KnownPeers) reread() ([]byte, error) {
	there, text, err := readKnownPeers(k.path)
	if err != nil {
		return nil, err
	}
	for _, peer := range there.All() {
		if k.conflict(peer) == nil {
			k.put(peer)
		}
	}
	return text, nil
}

// overwrite replaces one byte of the file.
func (k *KnownPeers) overwrite(at int, by byte) error {
	file, err := os.OpenFile(k.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt([]byte{by}, int64(at))
	return errors.Join(err, file.Sync(), file.Close())
}
