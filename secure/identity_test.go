package secure_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed287501ae/sockets/secure"
)

func TestIdentitySurvivesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alice.key")
	id, err := secure.OpenIdentity(path, "alice")
	if err != nil {
		t.Fatal(err)
	}
	again, err := secure.OpenIdentity(path, "alice")
	if err != nil || again.PublicKey() != id.PublicKey() || again.Name() != "alice" {
		t.Fatalf("OpenIdentity again = %v, %v, want %v", again, err, id)
	}
	if _, err := secure.OpenIdentity(path, "bob"); err == nil || !strings.Contains(err.Error(), "that of alice, not of bob") {
		t.Errorf("OpenIdentity as bob = %v", err)
	}
	if _, err := secure.OpenIdentity(filepath.Join(t.TempDir(), "x"), "a b"); err == nil {
		t.Error("OpenIdentity of a bad name = nil")
	}
	if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, want 0600", info.Mode())
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestSaveNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alice.key")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secure.NewIdentityFromSeed("alice", 1).Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Save = %v, want %v", err, fs.ErrExist)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Errorf("the file is now %q", data)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestSaveWhereThereAreNoLinks(t *testing.T) {
	t.Cleanup(secure.WithoutLinks())
	path := filepath.Join(t.TempDir(), "alice.key")
	id, err := secure.OpenIdentity(path, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := secure.LoadIdentity(path); err != nil || again.PublicKey() != id.PublicKey() {
		t.Errorf("LoadIdentity = %v, %v, want %v", again, err, id)
	}
	if err := secure.NewIdentityFromSeed("bob", 2).Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Save over it = %v, want %v", err, fs.ErrExist)
	}
	if again, err := secure.LoadIdentity(path); err != nil || again.Name() != "alice" {
		t.Errorf("LoadIdentity = %v, %v, want the first", again, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestIdentityThatOthersCanReadIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := filepath.Join(t.TempDir(), "alice.key")
	if err := secure.NewIdentityFromSeed("alice", 1).Save(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secure.LoadIdentity(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("with mode %v: %v", mode, err)
		}
	}
}

func TestOpenSSLReadsTheKey(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to compare with")
	}
	id := secure.NewIdentityFromSeed("alice", 1)
	path := filepath.Join(t.TempDir(), "alice.key")
	if err := id.Save(path); err != nil {
		t.Fatal(err)
	}
	der, err := exec.Command(openssl, "pkey", "-in", path, "-pubout", "-outform", "DER").Output()
	key := id.PublicKey()
	if err != nil || !bytes.HasSuffix(der, key[:]) {
		t.Errorf("openssl pkey = %x, %v, want a key that ends in %x", der, err, key)
	}
}

func TestNoVerbPrintsThePrivateKey(t *testing.T) {
	id := secure.NewIdentityFromSeed("alice", 'k')
	secret := bytes.Repeat([]byte{'k'}, 32)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%c", "%U", "%t", "%e", "%p"} {
		for _, value := range []any{id, *id, &id, []*secure.Identity{id}, struct{ ID *secure.Identity }{id}, secure.Config{Identity: id}} {
			text := strings.ToLower(fmt.Sprintf(verb, value))
			for _, leak := range []string{string(secret[:8]), hex.EncodeToString(secret[:8]), "107 107 107", "0x6b, 0x6b", "1101011 1101011", "153 153 153", "u+006b u+006b", "k k k k"} {
				if strings.Contains(text, leak) {
					t.Errorf("%s of a %T shows the private key: %s", verb, value, text)
				}
			}
		}
	}
	if got, want := fmt.Sprintf("%v %#v", id, id), id.String()+" "+id.String(); got != want {
		t.Errorf("printed: %s, want %s", got, want)
	}
}

// identityFile is the file of an identity.
func identityFile(t testing.TB, id *secure.Identity) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := id.Save(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func badIdentities(t testing.TB) map[string]string {
	alice := identityFile(t, secure.NewIdentityFromSeed("alice", 1))
	bob := identityFile(t, secure.NewIdentityFromSeed("bob", 2))
	line, key, _ := strings.Cut(alice, "\n")
	other, _, _ := strings.Cut(bob, "\n")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	foreign := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return map[string]string{
		"":                        "first line is not NAME",
		key:                       "first line is not NAME",
		line:                      "not followed by one PRIVATE KEY",
		line + "\n":               "not followed by one PRIVATE KEY",
		alice[:len(alice)-10]:     "not followed by one PRIVATE KEY",
		alice + "x":               "not followed by one PRIVATE KEY",
		alice + key:               "not followed by one PRIVATE KEY",
		other + "\n" + key:        "the private key belongs to",
		line + "\n" + foreign:     "is a *ecdsa.PrivateKey",
		alice + spaces(64<<10):    "longer than 64 KiB",
		"al:ice" + alice[5:]:      "cannot be a name",
		line + "\n" + wrong(key):  "private key cannot be read",
		line + "\n" + headed(key): "not followed by one PRIVATE KEY",
		line + "\n" + strings.ReplaceAll(key, "PRIVATE", "PUBLIC"): "not followed by one PRIVATE KEY",
	}
}

func spaces(n int) string { return strings.Repeat(" ", n) }

func wrong(key string) string { return strings.Replace(key, "\nM", "\nN", 1) }

func headed(key string) string {
	return strings.Replace(key, "-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1)
}

func TestLoadIdentityRefuses(t *testing.T) {
	for text, problem := range badIdentities(t) {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := secure.LoadIdentity(path)
		if err == nil || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.200q: %v, want an error that says %s", text, err, problem)
		}
	}
	if _, err := secure.LoadIdentity(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadIdentity of no file = %v, want %v", err, fs.ErrNotExist)
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte(identityFile(f, secure.NewIdentityFromSeed("alice", 1))))
	for text := range badIdentities(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		id, err := secure.ParseIdentity(data)
		if err != nil {
			return
		}
		if err := secure.CheckName(id.Name()); err != nil {
			t.Error(err)
		}
		if !bytes.Contains(data, []byte(id.PublicKey().String()[len("ssh-ed25519 "):])) {
			t.Errorf("%v is not what the file says", id)
		}
	})
}
