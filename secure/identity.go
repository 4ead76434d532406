package secure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// An Identity is who one is: a name, and an Ed25519 key pair that proves it. It
// does not change, and may be used from many goroutines.
type Identity struct {
	name    string
	public  PublicKey
	private func() ed25519.PrivateKey // of a function, no verb of package fmt prints more than its address
}

// NewIdentity makes a key pair for name, in memory. For the names there are, see
// [CheckName].
func NewIdentity(name string) (*Identity, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("secure: %w", err)
	}
	return newIdentity(name, private), nil
}

func newIdentity(name string, private ed25519.PrivateKey) *Identity {
	return &Identity{name, PublicKey(private.Public().(ed25519.PublicKey)), func() ed25519.PrivateKey { return private }}
}

// OpenIdentity loads the identity in a file, and where there is no file makes
// one for name. It is an error if the file holds an identity of another name.
func OpenIdentity(path, name string) (*Identity, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	id, err := LoadIdentity(path)
	if errors.Is(err, fs.ErrNotExist) {
		if id, err = NewIdentity(name); err == nil {
			err = id.Save(path)
		}
		if errors.Is(err, fs.ErrExist) { // another program was faster
			id, err = LoadIdentity(path)
		}
	}
	if err != nil {
		return nil, err
	}
	if id.name != name {
		return nil, fmt.Errorf("secure: identity %s: it is that of %s, not of %s: use this name, or another file", path, id.name, name)
	}
	return id, nil
}

const (
	maxIdentityFile = 64 << 10 // bytes
	hasModes        = runtime.GOOS != "windows"
)

// LoadIdentity reads the file that [Identity.Save] wrote. On Unix it refuses one
// that others than its owner may read.
func LoadIdentity(path string) (*Identity, error) {
	id, err := loadIdentity(path)
	if err != nil {
		return nil, fmt.Errorf("secure: identity %s: %w", path, err)
	}
	return id, nil
}

func loadIdentity(path string) (*Identity, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if hasModes && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others can read the private key (its mode is %#o): chmod 600 %s", info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxIdentityFile+1))
	if err != nil {
		return nil, err
	}
	return parseIdentity(data)
}

func parseIdentity(data []byte) (*Identity, error) {
	if len(data) > maxIdentityFile {
		return nil, fmt.Errorf("it is longer than %d KiB: it is no identity", maxIdentityFile>>10)
	}
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	self, err := parseKnownPeer(strings.TrimSpace(string(line)))
	if err != nil {
		return nil, fmt.Errorf("its first line is not NAME %s AAAA…: %w", keyType, err)
	}
	block, rest := pem.Decode(rest)
	if block == nil || block.Type != "PRIVATE KEY" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("its first line is not followed by one PRIVATE KEY and nothing else: restore it from a copy, or make a new identity in another file")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("its private key cannot be read: restore it from a copy, or make a new identity in another file: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("its private key is a %T: want one of Ed25519", key)
	}
	id := newIdentity(self.Name, private)
	if id.public != self.Key {
		return nil, fmt.Errorf("its first line tells the key %s, but the private key belongs to %s: restore it from a copy", self.Key.Fingerprint(), id.public.Fingerprint())
	}
	return id, nil
}

// Save writes the identity to a new file that only its owner may read; on Windows
// those who may read its folder. A file that exists is not touched: the error is
// then [fs.ErrExist]. The file is whole, or not there, whatever happens meanwhile;
// but a crash can leave a part where the file system has no hard links. It begins
// with the line that [Identity.String] returns; PKCS #8 in PEM follows.
func (id *Identity) Save(path string) error {
	if err := id.save(path); err != nil {
		return fmt.Errorf("secure: identity %s: cannot be saved: %w", path, err)
	}
	return nil
}

func (id *Identity) save(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(id.private())
	if err != nil {
		return err
	}
	text := append([]byte(id.String()+"\n"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := fill(file, text); err != nil {
		return err
	}
	err = link(file.Name(), path) // unlike Rename, it never replaces a file
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = create(path, text)
	}
	if err == nil {
		syncFolder(folder)
	}
	return err
}

var link = os.Link

// create makes a file with this text, or none.
func create(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := fill(file, text); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// fill writes text, sees that it is on disk, and closes the file.
func fill(file *os.File, text []byte) error {
	_, err := file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncFolder makes the names in a folder survive a crash, where a system can.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		folder.Sync()
		folder.Close()
	}
}

// Name returns the name.
func (id *Identity) Name() string { return id.name }

// PublicKey returns the public half of the key pair.
func (id *Identity) PublicKey() PublicKey { return id.public }

// String returns the line for others' files of known peers: NAME ssh-ed25519
// AAAA…. It holds nothing secret.
func (id *Identity) String() string { return id.self().String() }

// GoString returns the same as String.
func (id *Identity) GoString() string { return id.String() }

func (id *Identity) self() KnownPeer { return KnownPeer{Name: id.name, Key: id.public} }
