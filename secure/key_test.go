package secure_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed287501ae/sockets/secure"
)

// The key of the seed 00 01 02 … 1f, as OpenSSH shows it.
const (
	goldenKey         = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
	goldenFingerprint = "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"
)

func parseKey(t testing.TB, s string) secure.PublicKey {
	t.Helper()
	key, err := secure.ParsePublicKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPublicKeyIsSpeltAsInOpenSSH(t *testing.T) {
	for _, text := range []string{goldenKey, goldenKey + " alice@laptop", "\t" + goldenKey + "\n"} {
		key := parseKey(t, text)
		if got := key.String(); got != goldenKey {
			t.Errorf("String = %q, want %q", got, goldenKey)
		}
		if got := key.Fingerprint(); got != goldenFingerprint {
			t.Errorf("Fingerprint = %q, want %q", got, goldenFingerprint)
		}
	}
}

func TestFingerprintIsThatOfSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("there is no ssh-keygen to compare with")
	}
	for seed := range byte(5) {
		id := secure.NewIdentityFromSeed("alice", seed)
		path := filepath.Join(t.TempDir(), "key.pub")
		if err := os.WriteFile(path, []byte(id.PublicKey().String()+" alice\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(keygen, "-l", "-E", "sha256", "-f", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if fields := strings.Fields(string(out)); len(fields) < 2 || fields[1] != id.PublicKey().Fingerprint() {
			t.Errorf("Fingerprint = %s, ssh-keygen says %s", id.PublicKey().Fingerprint(), out)
		}
	}
}

var badKeys = []struct{ text, problem string }{
	{"", "no key"},
	{"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ", `"ssh-rsa" is not a kind`},
	{"ssh-ed25519", "the key is missing"},
	{goldenKey[:len(goldenKey)-4], "it was cut, or changed"},
	{goldenKey + "AAAA", "it was cut, or changed"},
	{strings.Replace(goldenKey, "AAAAC3", "AAAAB3", 1), "it was cut, or changed"},
	{strings.Replace(goldenKey, "/", "_", 1), "it was cut, or changed"},
	{strings.Replace(goldenKey, "7/z", "7\x00z", 1), "it was cut, or changed"},
	{"ssh-ed25519 " + strings.Repeat("A", 1<<16), "it was cut, or changed"},
}

func TestParsePublicKeyRefuses(t *testing.T) {
	for _, test := range badKeys {
		key, err := secure.ParsePublicKey(test.text)
		if err == nil || !strings.Contains(err.Error(), test.problem) || len(err.Error()) > 200 {
			t.Errorf("ParsePublicKey(%.80q) = %v, %.300v, want an error that says %s", test.text, key, err, test.problem)
		}
	}
}
