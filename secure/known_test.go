package secure_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seed287501ae/sockets/secure"
)

func knownPeer(name string, seed byte) secure.KnownPeer {
	return secure.KnownPeer{Name: name, Key: secure.NewIdentityFromSeed(name, seed).PublicKey()}
}

// know is the known peers that these are.
func know(t testing.TB, peers ...secure.KnownPeer) *secure.KnownPeers {
	t.Helper()
	known, err := secure.NewKnownPeers(peers...)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "alice", "Zoë", "名前", "a-b", "a#", "O'Brien", "👩‍🔬"[:4], strings.Repeat("é", 32)} {
		if err := secure.CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for name, problem := range map[string]string{
		"":                      "it is empty",
		strings.Repeat("a", 65): "65 bytes",
		strings.Repeat("é", 33): "66 bytes",
		"\xff":                  "not UTF-8",
		"al\xc3":                "not UTF-8",
		"a b":                   "no spaces",
		"a\u00a0b":              "cannot be seen",
		"a\nb":                  "cannot be seen",
		"a\x00":                 "cannot be seen",
		"\x1b[2J":               "cannot be seen",
		"a\u202eb":              "cannot be seen",
		"a\u200bb":              "cannot be seen",
		"a:b":                   "none of",
		"a@b":                   "none of",
		"[a":                    "none of",
		"a]":                    "none of",
		"a,b":                   "none of",
		"#a":                    "does not begin with",
		"-a":                    "does not begin with",
	} {
		err := secure.CheckName(name)
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("CheckName(%q) = %v, want an error that says %s", name, err, problem)
		}
	}
}

func TestKnownPeersAreOneKeyANameAndOneNameAKey(t *testing.T) {
	alice, bob := knownPeer("alice", 1), knownPeer("bob", 2)
	known := know(t, bob, alice, bob)
	if diff := cmp.Diff([]secure.KnownPeer{alice, bob}, known.All()); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
	if err := known.Add(knownPeer("alice", 3)); !errors.Is(err, secure.ErrKeyChanged) {
		t.Errorf("Add of another key for alice = %v, want %v", err, secure.ErrKeyChanged)
	}
	if err := known.Add(knownPeer("carol", 1)); err == nil || !strings.Contains(err.Error(), "is that of alice") {
		t.Errorf("Add of another name for the key of alice = %v", err)
	}
	if err := known.Add(knownPeer("a b", 4)); err == nil {
		t.Error("Add of a bad name = nil")
	}
	if got, ok := known.ByName("alice"); !ok || got != alice {
		t.Errorf("ByName = %v, %v", got, ok)
	}
	if got, ok := known.ByKey(bob.Key); !ok || got != bob {
		t.Errorf("ByKey = %v, %v", got, ok)
	}
	if _, ok := known.ByName("carol"); ok || len(known.All()) != 2 {
		t.Errorf("who was refused is known: %v", known.All())
	}
	if _, err := secure.NewKnownPeers(alice, knownPeer("alice", 3)); !errors.Is(err, secure.ErrKeyChanged) {
		t.Errorf("NewKnownPeers of a contradiction = %v, want %v", err, secure.ErrKeyChanged)
	}
}

func TestAddIsInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	known, err := secure.LoadKnownPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := knownPeer("alice", 1), knownPeer("bob", 2)
	for _, peer := range []secure.KnownPeer{alice, alice, bob} {
		if err := known.Add(peer); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if want := fmt.Sprintf("%v\n%v\n", alice, bob); err != nil || string(data) != want {
		t.Errorf("the file is %q, %v, want %q", data, err, want)
	}
	if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, want 0600", info.Mode())
	}
	again, err := secure.LoadKnownPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(known.All(), again.All()); diff != "" {
		t.Errorf("known after loading it again (-want +got):\n%s", diff)
	}
}

func TestAddMindsAFileWithoutAFinalNewline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	alice, bob := knownPeer("alice", 1), knownPeer("bob", 2)
	if err := os.WriteFile(path, []byte("# friends\r\n\r\n"+alice.String()+"  comment"), 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := secure.LoadKnownPeers(path)
	if err == nil {
		err = known.Add(bob)
	}
	if err != nil {
		t.Fatal(err)
	}
	if again, err := secure.LoadKnownPeers(path); err != nil || !slices.Equal(again.All(), []secure.KnownPeer{alice, bob}) {
		t.Errorf("LoadKnownPeers = %v, %v", again.All(), err)
	}
}

func TestAddThatCannotSavePinsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no such folder", "known_peers")
	known, err := secure.LoadKnownPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := known.Add(knownPeer("alice", 1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Add = %v, want %v", err, os.ErrNotExist)
	}
	if peers := known.All(); len(peers) > 0 {
		t.Errorf("known: %v", peers)
	}
}

func TestAddFromManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	known, err := secure.LoadKnownPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	const seeds = 8
	var group sync.WaitGroup
	for i := range 4 * seeds {
		group.Go(func() {
			if err := known.Add(knownPeer(fmt.Sprint("peer", i%seeds), byte(i%seeds))); err != nil {
				t.Error(err)
			}
			known.ByName("peer0")
		})
	}
	group.Wait()
	if again, err := secure.LoadKnownPeers(path); err != nil || len(again.All()) != seeds {
		t.Errorf("LoadKnownPeers: %d peers, %v, want %d", len(again.All()), err, seeds)
	}
}

var badKnownPeers = []struct{ text, problem string }{
	{"alice\n", "known_peers:1: secure: no key"},
	{"# who\nalice ssh-ed25519\n", "known_peers:2: secure: the key is missing"},
	{goldenKey, `known_peers:1: secure: "AAAA`},
	{"a@b " + goldenKey, `known_peers:1: secure: "a@b" cannot be a name`},
	{"alice " + goldenKey + "\nbob " + goldenKey, "known_peers:2: secure: the key " + goldenFingerprint + " is that of alice"},
	{knownPeer("alice", 1).String() + "\n\n" + knownPeer("alice", 2).String(), "known_peers:3: secure: the name belongs to another key"},
	{"\n" + strings.Repeat("#", 4097), "known_peers:2: secure: the line is longer than 4096 bytes"},
	{strings.Repeat(strings.Repeat("#", 4095)+"\n", 4097), "the file is longer than 16 MiB"},
}

func TestLoadKnownPeersTellsFileAndLine(t *testing.T) {
	for _, test := range badKnownPeers {
		_, err := secure.ReadKnownPeers(strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%.100q: %v, want an error that says %s", test.text, err, test.problem)
		}
	}
	longest := strings.Repeat("#", 4096) + "\n"
	if _, err := secure.ReadKnownPeers(strings.NewReader(longest + longest)); err != nil {
		t.Errorf("lines of 4,096 bytes: %v", err)
	}
	if _, err := secure.LoadKnownPeers(t.TempDir()); err == nil {
		t.Error("LoadKnownPeers of a folder = nil")
	}
}

func FuzzKnownPeers(f *testing.F) {
	f.Add("# who\r\nalice " + goldenKey + " comment\n\n")
	for _, test := range badKnownPeers {
		if len(test.text) < 10_000 {
			f.Add(test.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		known, err := secure.ReadKnownPeers(strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "known_peers:") {
				t.Errorf("an error that does not say where: %v", err)
			}
			return
		}
		var again strings.Builder
		for _, peer := range known.All() {
			if err := secure.CheckName(peer.Name); err != nil {
				t.Error(err)
			}
			fmt.Fprintln(&again, peer)
		}
		reread, err := secure.ReadKnownPeers(strings.NewReader(again.String()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(known.All(), reread.All()); diff != "" {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}
