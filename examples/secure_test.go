package examples_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
)

// A home is a folder of keys and lists.
type home struct {
	t   *testing.T
	dir string
}

func newHome(t *testing.T) home { return home{t, t.TempDir()} }

func (h home) start(program string, args ...string) *process {
	h.t.Helper()
	return startIn(h.t, h.dir, program, args...)
}

// write makes a file that only its owner may read.
func (h home) write(name, content string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h home) read(name string) string {
	h.t.Helper()
	content, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(content)
}

func (h home) identity(name string) *secure.Identity {
	h.t.Helper()
	identity, err := secure.LoadIdentity(filepath.Join(h.dir, name+".key"))
	if err != nil {
		h.t.Fatal(err)
	}
	return identity
}

func (h home) fingerprint(name string) string {
	h.t.Helper()
	return h.identity(name).PublicKey().Fingerprint()
}

// introduce makes name known to others, who may be in another home.
func (h home) introduce(name string, there home, others ...string) {
	h.t.Helper()
	p := h.start("udpchatsecure", "-pub", name)
	line := p.expect(name+" ssh-ed25519 ") + "\n"
	p.exits(0)
	for _, other := range others {
		list, _ := os.ReadFile(filepath.Join(there.dir, other+".known"))
		there.write(other+".known", string(list)+line)
	}
}

// chat starts udpchatsecure.
func (h home) chat(name string, args ...string) *process {
	h.t.Helper()
	p := h.start("udpchatsecure", append([]string{name}, args...)...)
	_, p.port, _ = net.SplitHostPort(strings.TrimPrefix(p.expect("Bound to: "), "Bound to: "))
	p.expect("Local IP addresses: [")
	p.expect("You are " + name + ", " + h.fingerprint(name))
	p.expect("You know ")
	p.expect(typing)
	return p
}

// newStrangerAt is a stranger at the port of somebody else, who is gone.
func newStrangerAt(t *testing.T, port string) *stranger {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &stranger{t, conn, port}
}

// receiveRaw returns the next datagram.
func (s *stranger) receiveRaw() []byte {
	s.t.Helper()
	buffer := make([]byte, 1<<16)
	s.conn.SetReadDeadline(time.Now().Add(patience))
	n, _, err := s.conn.ReadFrom(buffer)
	if err != nil {
		s.t.Fatal(err)
	}
	return buffer[:n]
}

// showsWhile waits for a line with text, and does something again and again
// meanwhile: lines about what is dropped come once a second at most.
func (p *process) showsWhile(again func(), text string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); p.count(text) == 0; time.Sleep(impatience) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s did not print %q within %v", p.name, text, patience)
		}
		again()
	}
}

func TestUDPChatSecureTakesNamesFromKeys(t *testing.T) {
	t.Parallel()
	here, elsewhere := newHome(t), newHome(t)
	here.introduce("alice", here, "bob", "carol")
	here.introduce("bob", here, "alice")
	here.introduce("carol", here, "alice")
	alice := here.chat("alice")
	alice.shows("You know bob, " + here.fingerprint("bob"))
	alice.expect("You know carol, " + here.fingerprint("carol"))
	alice.expect("In another terminal: go run ./examples/udpchatsecure bob 0 localhost:" + alice.port)
	bob := here.chat("bob", "0", "localhost:"+alice.port)
	bob.say("Hello Alice!")
	alice.expect("] bob:")
	alice.expect("\tHello Alice!")
	alice.say("Ciao Bob, così è più bello \U0001f600")
	bob.expect("] alice:")
	bob.expect("\tCiao Bob, così è più bello \U0001f600")

	elsewhere.write("bob.key", strings.Replace(here.read("carol.key"), "carol ", "bob ", 1))
	elsewhere.write("bob.known", here.read("carol.known"))
	carol := elsewhere.chat("bob", "0", "localhost:"+alice.port)
	carol.say("Lend me 100 euros")
	alice.expect(`] carol (calls itself "bob"):`)
	alice.expect("\tLend me 100 euros")
	carol.leave()
	alice.expect(`] carol (calls itself "bob"):`)
	alice.expect("\t" + sockets.ExitMessage)
	alice.say("Are you there, Bob?")
	bob.expect("\tAre you there, Bob?")
	for _, p := range []*process{alice, bob} {
		if p.count("Dropped ") != 0 {
			t.Errorf("%s drops what is signed", p.name)
		}
	}
}

func TestUDPChatSecureForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*process){
		"Ctrl+D": func(p *process) { p.stdin.Close() },
		"Ctrl+C": func(p *process) { p.signal(os.Interrupt) },
	} {
		t.Run(name, func(t *testing.T) {
			here, witness := newHome(t), newStranger(t)
			here.introduce("alice", here, "bob")
			here.introduce("bob", here, "alice")
			alice := here.chat("alice", "0", "127.0.0.1:"+witness.port)
			bob := here.chat("bob", "0", "localhost:"+alice.port)
			bob.say("Hello")
			alice.expect("\tHello")
			end(bob)
			bob.exits(0)
			alice.expect("] bob:")
			alice.expect("\t" + sockets.ExitMessage)
			stranger := newStrangerAt(t, bob.port)
			alice.say("Is there anybody?")
			witness.receiveRaw()
			stranger.expectNoMore()
		})
	}
}

// Who says little and leaves at once, as a script does, is heard all the same.
func TestUDPChatSecureHearsFirstAndLastWords(t *testing.T) {
	t.Parallel()
	here := newHome(t)
	here.introduce("alice", here, "bob")
	here.introduce("bob", here, "alice")
	alice := here.chat("alice")
	bob := here.start("udpchatsecure", "bob", "0", "localhost:"+alice.port)
	bob.say("Hello")
	bob.leave()
	alice.expect("\tHello")
	alice.expect("\t" + sockets.ExitMessage)
}

func TestUDPChatSecureDropsForgeries(t *testing.T) {
	t.Parallel()
	here, elsewhere, witness := newHome(t), newHome(t), newStranger(t)
	here.introduce("alice", here, "bob")
	here.introduce("bob", here, "alice")
	here.introduce("alice", elsewhere, "bob")
	alice := here.chat("alice")
	bob := here.chat("bob", "0", "localhost:"+alice.port, "localhost:"+witness.port)
	bob.say("My word")
	alice.expect("\tMy word")

	recorded := string(witness.receiveRaw())
	dropped := "with the key of bob: "
	alice.showsWhile(func() { witness.send(recorded, alice.port) }, dropped+secure.ErrReplayed.Error())
	bob.say("Another word") // fresh
	alice.expect("\tAnother word")
	bob.cmd.Process.Kill()
	<-bob.ended

	stranger := newStrangerAt(t, bob.port)
	plain := func() {
		stranger.send(sockets.NewMessage("Lend me 100 euros", "bob").String(), alice.port)
		stranger.send(sockets.NewMessage(sockets.ExitMessage, "bob").String(), alice.port)
	}
	alice.showsWhile(plain, "the last from 127.0.0.1:"+bob.port+" with no key: "+secure.ErrMalformed.Error())
	forged := []byte(recorded)
	forged[50]++ // its number, which then is one to come
	alice.showsWhile(func() { stranger.send(string(forged), alice.port) }, dropped+secure.ErrBadSignature.Error())
	impostor := elsewhere.chat("bob", "0", "localhost:"+alice.port)
	lend := func() { impostor.say("Lend me 100 euros") }
	alice.showsWhile(lend, "with the key "+elsewhere.fingerprint("bob")+": "+secure.ErrUnknownKey.Error())
	impostor.leave()

	alice.say("Still there?")
	stranger.receiveRaw() // nothing has removed Bob
	alice.leave()
	if alice.count("Lend") != 0 || alice.count(sockets.ExitMessage) != 0 {
		t.Error("a forgery is shown")
	}
	alice.expectOnce("My word")
}

func TestKeysAndListsThatAreWrongAreASentence(t *testing.T) {
	t.Parallel()
	good := newHome(t)
	good.introduce("bob", good, "alice")
	good.introduce("alice", good)
	key, list := good.read("alice.key"), good.read("alice.known")
	for name, test := range map[string]struct{ key, list, want string }{
		"no key":             {"\n", list, "identity alice.key: its first line is not NAME ssh-ed25519 AAAA…"},
		"half a key":         {key[:len(key)-40], list, "identity alice.key: its first line is not followed by one PRIVATE KEY"},
		"somebody else":      {good.read("bob.key"), list, "identity alice.key: it is that of bob, not of alice"},
		"garbage":            {key, list + "\nbob is my friend\n", "alice.known:3: "},
		"two keys of bob":    {key, list + strings.Replace(key[:strings.Index(key, "\n")], "alice", "bob", 1), "alice.known:2: "},
		"of PowerShell":      {key, "\xff\xfe" + strings.Join(strings.Split(list, ""), "\x00"), "alice.known:1: "},
		"others can read it": {key, list, "chmod 600 alice.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, call := range []string{"udpchatsecure alice", "tcpchat -secure alice server 0"} {
				h := newHome(t)
				h.write("alice.key", test.key)
				h.write("alice.known", test.list)
				if name == "others can read it" {
					if runtime.GOOS == "windows" {
						t.Skip("no such modes on Windows")
					}
					os.Chmod(filepath.Join(h.dir, "alice.key"), 0o644)
				}
				p := h.start(strings.Fields(call)[0], strings.Fields(call)[1:]...)
				p.expect(test.want)
				p.exits(1)
				if len(p.lines) != 1 {
					t.Errorf("%s: %q, want one line", call, p.lines)
				}
			}
		})
	}
}

func TestUDPChatSecureSaysHowToBegin(t *testing.T) {
	t.Parallel()
	here := newHome(t)
	alice := here.start("udpchatsecure", "alice")
	alice.exits(1)
	alice.expect("alice has a new key, in alice.key: " + here.fingerprint("alice"))
	alice.expect("alice knows nobody")
	const command = "\tgo run ./examples/udpchatsecure -pub bob >> alice.known"
	alice.expect(command)
	here.introduce("alice", here, "alice") // that is still nobody
	alice = here.start("udpchatsecure", "alice")
	alice.expect(command)
	here.introduce("bob", here, "alice")
	wrong := here.start("udpchatsecure", "alice", "0", "localhost")
	wrong.expect("usage: udpchatsecure [-pub] NAME [PORT [IP:PORT ...]]")
	wrong.exits(2)
	if alice = here.chat("alice"); alice.count("alice has a new key") != 0 || alice.count("You know ") != 1 {
		t.Error("alice has a new key, or knows another than bob")
	}
	alice.leave()
}

// startTCPChat starts a server of tcpchat in a home, and returns its port.
func (h home) startTCPChat(name string, args ...string) (server *process, port string) {
	h.t.Helper()
	const text = "Server started on port "
	server = h.start("tcpchat", append(args, "-secure", name, "server", "0")...)
	server.expect("You are " + name + ", SHA256:")
	port = strings.TrimPrefix(server.expect(text), text)
	server.expect(typing)
	server.shows("You are " + name + ", " + h.fingerprint(name))
	return server, port
}

func (h home) startTCPClient(name, address string, args ...string) *process {
	h.t.Helper()
	return h.start("tcpchat", append(args, "-secure", name, "client", address)...)
}

const isNew = " (a new key: compare this with "

func TestTCPChatSecureTrustsOnFirstUse(t *testing.T) {
	t.Parallel()
	here := newHome(t)
	alice, port := here.startTCPChat("alice", "-prefix", "2")
	address := "alice@127.0.0.1:" + port
	for _, first := range []bool{true, false} {
		bob := here.startTCPClient("bob", address, "-prefix", "2")
		met := bob.expect("Connected to 127.0.0.1:" + port + ", who is alice, " + here.fingerprint("alice"))
		bob.expect(typing)
		meets := alice.expect("Open ingoing connection from: ")
		if !strings.Contains(meets, ", who is bob, "+here.fingerprint("bob")) {
			t.Errorf("%q does not tell who that is", meets)
		}
		if strings.Contains(met, isNew+"alice") != first || strings.Contains(meets, isNew+"bob") != first {
			t.Errorf("%q, %q: want news if it is the first time: %v", met, meets, first)
		}
		bob.say("Hello Alice")
		alice.expect("] bob:")
		alice.expect("\tHello Alice")
		alice.say("Hello Bob")
		bob.expect("] alice:")
		bob.expect("\tHello Bob")

		carol := here.startTCPClient("carol", address, "-prefix", "2")
		carol.shows("] alice:")
		carol.expect("\tSomebody else is being served")
		carol.expect("Connection with peer ")
		carol.leave()
		bob.leave()
		alice.expect("Connection with peer ")
		alice.say("Next?")
		alice.expect("No peer connected, message is lost")
	}
	alice.signal(os.Interrupt)
	alice.exits(0)
	if list := here.read("alice.known"); list != here.identity("bob").String()+" first-use\n"+here.identity("carol").String()+" first-use\n" {
		t.Errorf("alice knows:\n%s", list)
	}
	again, _ := here.startTCPChat("alice")
	again.shows("You know bob, " + here.fingerprint("bob"))
}

func TestTCPChatSecureRefusesImpostors(t *testing.T) {
	t.Parallel()
	here, elsewhere := newHome(t), newHome(t)
	alice, port := here.startTCPChat("alice")
	address := "alice@127.0.0.1:" + port
	bob := here.startTCPClient("bob", address)
	bob.expect(typing)
	bob.leave()
	alice.expect("closed")

	for _, test := range []struct {
		client  *process
		texts   []string // of the client
		atAlice []string
	}{
		{elsewhere.startTCPClient("bob", address),
			[]string{"dial " + address, "refuses this one: the name belongs to another key", "to have this line, and no other of that name: bob ssh-ed25519"},
			[]string{"is refused: the name belongs to another key: bob has the key " + here.fingerprint("bob") + " in alice.known: somebody may pose as bob"}},
		{here.startTCPClient("dave", "127.0.0.1:"+port),
			[]string{"is refused: the key is not known: say whom you expect there, NAME@HOST:PORT"},
			[]string{"refuses this one: the key is not known"}},
		{here.startTCPClient("bob", "carol@127.0.0.1:"+port),
			[]string{"is refused: the key is that of somebody else than was expected: carol was expected"},
			[]string{"refuses this one: the key is that of somebody else"}},
		{here.startTCPClient("alice", address), []string{"both ends have the same key"}, []string{"both ends have the same key"}},
	} {
		test.client.exits(1)
		for _, text := range test.texts {
			test.client.shows(text)
		}
		for _, text := range test.atAlice {
			alice.shows(text)
		}
		if n := test.client.count("usage: "); n != 0 {
			t.Errorf("%s: %q", test.client.name, test.client.lines)
		}
	}
	if n := alice.count("Open ingoing connection"); n != 1 {
		t.Errorf("%d connections, want that of Bob only", n)
	}

	impostor, port := elsewhere.startTCPChat("alice")
	address = "alice@127.0.0.1:" + port
	bob = here.startTCPClient("bob", address)
	bob.expect("is refused: the name belongs to another key: alice has the key " + here.fingerprint("alice") + " in bob.known: somebody may pose as alice")
	bob.exits(1)
	impostor.expect("refuses this one: the name belongs to another key")
	if impostor.count("Open ingoing") != 0 {
		t.Error("the impostor is connected")
	}
}

func TestTCPChatSecureShowsWhoseKeyItIs(t *testing.T) {
	t.Parallel()
	here := newHome(t)
	alice, port := here.startTCPChat("alice")
	identity, err := secure.NewIdentity("bob")
	if err != nil {
		t.Fatal(err)
	}
	layer := secure.Config{Identity: identity, FirstUse: true}
	cfg := sockets.Config{Network: layer.Over(nil)}
	bob, err := cfg.Dial(t.Context(), "alice@127.0.0.1:"+port, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bob.CloseNow()
	for _, test := range []struct{ payload, sender, text string }{
		{sockets.NewMessage("one", "bob").String(), "] bob:", "\tone"},
		{sockets.NewMessage("two", "alice").String(), `] bob (calls itself "alice"):`, "\ttwo"},
		{sockets.NewMessage("three", "alice:\n[2024").String(), `] bob (calls itself "alice:\n[2024"):`, "\tthree"},
		{"no message", "] bob:", "\tno message"},
	} {
		if err := bob.Send([]byte(test.payload)); err != nil {
			t.Fatal(err)
		}
		alice.expect(test.sender)
		alice.expect(test.text)
	}
}

func TestTCPChatSecureAndPlainDoNotMix(t *testing.T) {
	t.Parallel()
	here := newHome(t)
	alice, port := here.startTCPChat("alice")
	plain := startTCPClient(t, "Bob", port)
	plain.say("Hello Alice")
	alice.expect("does not speak TLS")
	plain.expect("Connection with peer ")
	server, port := startTCPChat(t, "Alice")
	bob := here.startTCPClient("bob", "alice@127.0.0.1:"+port)
	server.expect("is the other end a TLS client?")
	bob.expect("hung up during the handshake")
	<-bob.ended
	if alice.count("Open ingoing") != 0 || alice.count("\tHello") != 0 || bob.count("Connected") != 0 {
		t.Error("they are connected")
	}
}
