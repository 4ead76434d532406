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
	"sync/atomic"
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
		"\u0301a":               "does not begin with an accent",
		"a\u034f":               "cannot be seen",
		"a\ufe0f":               "cannot be seen",
		"a\U000e0100":           "cannot be seen",
		"\u115f":                "cannot be seen",
		"a\u3164":               "cannot be seen",
		"\u2800":                "cannot be seen",
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
	if err := known.Add(knownPeer("carol", 1)); !errors.Is(err, secure.ErrNotExpected) || !strings.Contains(err.Error(), "is that of alice, not of carol") {
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

func loadKnown(t *testing.T, path string) *secure.KnownPeers {
	t.Helper()
	known, err := secure.LoadKnownPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func TestAddSeesWhatOtherProgramsAdded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	here, there := loadKnown(t, path), loadKnown(t, path)
	alice, bob := knownPeer("alice", 1), knownPeer("bob", 2)
	if err := there.Add(alice); err != nil {
		t.Fatal(err)
	}
	if err := here.Add(knownPeer("alice", 3)); !errors.Is(err, secure.ErrKeyChanged) {
		t.Errorf("Add of another key for alice = %v, want %v", err, secure.ErrKeyChanged)
	}
	if err := here.Add(knownPeer("carol", 1)); !errors.Is(err, secure.ErrNotExpected) {
		t.Errorf("Add of another name for the key of alice = %v, want %v", err, secure.ErrNotExpected)
	}
	for _, known := range []*secure.KnownPeers{here, there} {
		for _, peer := range []secure.KnownPeer{alice, bob} {
			if err := known.Add(peer); err != nil {
				t.Errorf("Add(%v) = %v", peer.Name, err)
			}
		}
	}
	data, err := os.ReadFile(path)
	if want := fmt.Sprintf("%v\n%v\n", alice, bob); err != nil || string(data) != want {
		t.Errorf("the file is %q, %v, want %q", data, err, want)
	}
}

// Who is deleted by hand, or gets another key, is the old one until the program
// ends; and nothing is added that would contradict the file.
func TestAddForgetsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	known, alice := loadKnown(t, path), knownPeer("alice", 1)
	if err := known.Add(alice); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(knownPeer("alice", 2).String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := known.Add(knownPeer("bob", 3)); err != nil {
		t.Errorf("Add(bob) = %v", err)
	}
	if err := known.Add(knownPeer("carol", 2)); err == nil {
		t.Error("Add of a key that the file has for alice = nil")
	}
	if got, _ := known.ByName("alice"); got != alice {
		t.Errorf("alice is %v, want %v", got, alice)
	}
	if got, want := loadKnown(t, path).All(), []secure.KnownPeer{knownPeer("alice", 2), knownPeer("bob", 3)}; !slices.Equal(got, want) {
		t.Errorf("in the file: %v, want %v", got, want)
	}
}

// Several programs pin names at once, each with a key of its own.
func TestContradictionsAddedAtOnce(t *testing.T) {
	const programs, names = 4, 8
	path := filepath.Join(t.TempDir(), "known_peers")
	var added [names]atomic.Int32
	var group sync.WaitGroup
	for program := range byte(programs) {
		known := loadKnown(t, path)
		group.Go(func() {
			for i := range byte(names) {
				if known.Add(knownPeer(fmt.Sprint("peer", i), 1+program*names+i)) == nil {
					added[i].Add(1)
				}
			}
		})
	}
	group.Wait()
	known := loadKnown(t, path)
	for i := range added {
		_, ok := known.ByName(fmt.Sprint("peer", i))
		if n := added[i].Load(); n > 1 || ok != (n == 1) {
			t.Errorf("peer%d was added by %d programs, and is in the file: %v", i, n, ok)
		}
	}
}

// Who was learnt by first use is not checked, whichever program learnt it and
// however often that is loaded, until a line says so without the word.
func TestFirstUseIsNotedInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	here, there := loadKnown(t, path), loadKnown(t, path)
	alice, bob := knownPeer("alice", 1), knownPeer("bob", 2)
	if err := errors.Join(secure.Learn(there, alice), secure.Learn(there, alice), here.Add(bob)); err != nil {
		t.Fatal(err)
	}
	want := []secure.KnownPeer{{Name: "alice", Key: alice.Key, FirstUse: true}, bob}
	note := fmt.Sprintf("%v first-use\n%v\n", alice, bob)
	if got := readFile(t, path); got != note {
		t.Errorf("the file is %q, want %q", got, note)
	}
	loaded := loadKnown(t, path)
	copied, err := secure.NewKnownPeers(loaded.All()...)
	for who, known := range map[string]*secure.KnownPeers{"who sees": here, "who loads": loaded, "who copies": copied} {
		if got := known.All(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", who, got, err, want)
		}
	}
	if peer, ok := there.ByName("alice"); !ok || !peer.FirstUse {
		t.Errorf("who learnt: %v, %v", peer, ok)
	}
	want[0].FirstUse = false
	for range 2 {
		if err := here.Add(alice); err != nil || !slices.Equal(here.All(), want) {
			t.Errorf("Add = %v, and known are %v", err, here.All())
		}
	}
	if got, want := readFile(t, path), note+alice.String()+"\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	if err := secure.Learn(there, bob); err != nil || !slices.Equal(there.All(), want) {
		t.Errorf("what another program checked is not seen, or forgotten: %v, %v", err, there.All())
	}
}

func TestFirstUseIsAWordOfTheComment(t *testing.T) {
	alice := knownPeer("alice", 1)
	for text, firstUse := range map[string]bool{
		alice.String():                                        false,
		alice.String() + " first use":                         false,
		alice.String() + "\tfirst-use\r\n":                    true,
		alice.String() + " alice@laptop first-use":            true,
		alice.String() + " first-use alice@laptop":            true,
		alice.String() + " (First-Use, not yet compared)":     true,
		alice.String() + " first-use\n" + alice.String():      false,
		alice.String() + "\n" + alice.String() + " first-use": false,
		knownPeer("first-use", 1).String():                    false,
	} {
		known, err := secure.ReadKnownPeers(strings.NewReader(text))
		if peer, ok := known.ByKey(alice.Key); err != nil || !ok || peer.FirstUse != firstUse {
			t.Errorf("%q: %v, %v, want first use %v", text, err, peer, firstUse)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a program left that crashed, or had no more room, is a comment.
func TestAddGoesOnAfterHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	alice, bob := knownPeer("alice", 1), knownPeer("bob", 2)
	half := alice.String() + "\n#" + bob.String()[1:30]
	if err := os.WriteFile(path, []byte(half), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loadKnown(t, path).Add(bob); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(path)
	if want := half + "\n" + bob.String() + "\n"; err != nil || string(data) != want {
		t.Errorf("the file is %q, %v, want %q", data, err, want)
	}
}

func TestKnownPeersThatOthersCanWriteAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := filepath.Join(t.TempDir(), "known_peers")
	known := loadKnown(t, path)
	if err := known.Add(knownPeer("alice", 1)); err != nil {
		t.Fatal(err)
	}
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o644: true, 0o664: false, 0o602: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := secure.LoadKnownPeers(path)
		if (err == nil) != fine || !fine && !strings.Contains(err.Error(), "chmod go-w "+path) {
			t.Errorf("with mode %v: %v", mode, err)
		}
		if err := known.Add(knownPeer("alice", 1)); err != nil {
			t.Errorf("Add again with mode %v = %v", mode, err)
		}
		if err := known.Add(knownPeer("bob", 2)); !fine && err == nil {
			t.Errorf("Add with mode %v = nil", mode)
		}
		os.Remove(path)
		known = loadKnown(t, path)
		if err := known.Add(knownPeer("alice", 1)); err != nil {
			t.Fatal(err)
		}
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

// A line that fits to the byte is added, and one more would make a file that does
// not load.
func TestAddKeepsTheFileWithinItsLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	alice := knownPeer("alice", 1)
	comment := strings.Repeat("#", 4095) + "\n"
	full := strings.Repeat(comment, 16<<20/len(comment))
	full = full[len(alice.String())+1:]
	if err := os.WriteFile(path, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	known := loadKnown(t, path)
	if err := known.Add(alice); err != nil {
		t.Fatal(err)
	}
	if err := known.Add(knownPeer("bob", 2)); err == nil || !strings.Contains(err.Error(), "would be longer than 16 MiB") {
		t.Errorf("Add = %v", err)
	}
	if got, want := loadKnown(t, path).All(), []secure.KnownPeer{alice}; !slices.Equal(got, want) {
		t.Errorf("in the file: %v, want %v", got, want)
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
	{"alice " + goldenKey + "\nbob " + goldenKey, "known_peers:2: secure: the key is that of somebody else than was expected: " + goldenFingerprint + " is that of alice, not of bob"},
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
	for _, text := range []string{"\ufeffalice " + goldenKey, "alice\t" + goldenKey, "  alice  " + goldenKey + "\r\n", "\ufeff# who\nalice " + goldenKey} {
		if known, err := secure.ReadKnownPeers(strings.NewReader(text)); err != nil || len(known.All()) != 1 {
			t.Errorf("%q: %v", text, err)
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
