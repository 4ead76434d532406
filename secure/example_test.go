package secure_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/secure"
	"github.com/seed287501ae/sockets/simnet"
)

// identity is one for an example.
func identity(name string) *secure.Identity {
	id, err := secure.NewIdentity(name)
	if err != nil {
		log.Fatal(err)
	}
	return id
}

// knows is the known peers of an example.
func knows(ids ...*secure.Identity) *secure.KnownPeers {
	known, err := secure.NewKnownPeers()
	for _, id := range ids {
		err = errors.Join(err, known.Add(secure.KnownPeer{Name: id.Name(), Key: id.PublicKey()}))
	}
	if err != nil {
		log.Fatal(err)
	}
	return known
}

// greeter is a server that tells everyone whom it takes them for.
func greeter(network sockets.Network) *sockets.Server {
	cfg := &sockets.Config{Network: network}
	server, err := cfg.Listen("8080", func(event sockets.Event, connection *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			peer, _ := secure.PeerOf(connection)
			connection.Send([]byte("Hello, " + peer.Name + "!"))
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	return server
}

func ExampleOver() {
	network := simnet.New(1)
	alice, bob := identity("alice"), identity("bob")
	server := greeter(secure.Over(network.Host("server"), bob, knows(alice)))
	defer server.Close()

	cfg := &sockets.Config{Network: secure.Over(network.Host("laptop"), alice, knows(bob))}
	client, err := cfg.Dial(context.Background(), "server:8080", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseNow()
	message, err := client.Receive(context.Background())
	fmt.Println(string(message), err)
	// Output: Hello, alice! <nil>
}

// Whom a connection is with is a matter of its key.
func ExamplePeerOf() {
	network := simnet.New(1)
	alice, bob := identity("alice"), identity("bob")
	server := greeter(secure.Over(network.Host("server"), bob, knows(alice)))
	defer server.Close()

	robert := secure.KnownPeer{Name: "robert", Key: bob.PublicKey()} // as alice calls him
	known, err := secure.NewKnownPeers(robert)
	if err != nil {
		log.Fatal(err)
	}
	cfg := &sockets.Config{Network: secure.Over(network.Host("laptop"), alice, known)}
	client, err := cfg.Dial(context.Background(), "server:8080", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseNow()
	peer, ok := secure.PeerOf(client)
	fmt.Println(peer.Name, ok)
	// Output: robert true
}

// The first time, alice believes that the key is bob's. Then somebody else is at
// that address.
func ExampleConfig_firstUse() {
	network := simnet.New(1)
	host := network.Host("server")
	known := knows()
	layer := &secure.Config{Identity: identity("alice"), Known: known, FirstUse: true}
	cfg := &sockets.Config{Network: layer.Over(network.Host("laptop"))}

	for _, name := range []string{"bob", "mallory"} {
		whoever := &secure.Config{Identity: identity(name), FirstUse: true}
		server := greeter(whoever.Over(host))
		client, err := cfg.Dial(context.Background(), "bob@server:8080", nil)
		if err == nil {
			fmt.Println("connected; known:", len(known.All()))
			client.CloseNow()
		} else {
			fmt.Println("somebody may pose as bob:", errors.Is(err, secure.ErrKeyChanged))
		}
		server.Close()
	}
	// Output:
	// connected; known: 1
	// somebody may pose as bob: true
}

// Both ends learn why they do not talk to each other.
func ExampleRefusedError() {
	network := simnet.New(1)
	mallory, bob := identity("mallory"), identity("bob")
	told := make(chan error, 1)
	cfg := &sockets.Config{Network: secure.Over(network.Host("server"), bob, nil)}
	server, err := cfg.Listen("8080", func(event sockets.Event, _ *sockets.Connection, _ sockets.Address, err error) {
		if event == sockets.EventError {
			told <- err
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	cfg = &sockets.Config{Network: secure.Over(network.Host("laptop"), mallory, knows(bob))}
	_, err = cfg.Dial(context.Background(), "server:8080", nil)
	for _, err := range []error{err, <-told} {
		var refused *secure.RefusedError
		if errors.As(err, &refused) {
			fmt.Println(refused.There, refused.Peer.Name, refused.Reason)
		}
	}
	// Output:
	// true bob secure: the key is not known
	// false mallory secure: the key is not known
}

func ExampleOpenIdentity() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "alice.key")

	id, err := secure.OpenIdentity(path, "alice") // makes the file
	if err != nil {
		log.Fatal(err)
	}
	again, err := secure.OpenIdentity(path, "alice") // loads it
	fmt.Println(id.Name(), again.PublicKey() == id.PublicKey(), err)
	// Output: alice true <nil>
}

func ExampleLoadKnownPeers() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "known_peers")
	text := `# my friends
alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 of the course
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}
	known, err := secure.LoadKnownPeers(path)
	if err != nil {
		log.Fatal(err)
	}
	alice, _ := known.ByName("alice")
	fmt.Println(alice.Key.Fingerprint())

	err = known.Add(secure.KnownPeer{Name: "alice", Key: identity("mallory").PublicKey()})
	fmt.Println(errors.Is(err, secure.ErrKeyChanged))
	// Output:
	// SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg
	// true
}

func ExampleParsePublicKey() {
	key, err := secure.ParsePublicKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 alice@laptop")
	fmt.Println(key, err)
	_, err = secure.ParsePublicKey("ssh-rsa AAAAB3NzaC1yc2E")
	fmt.Println(err)
	// Output:
	// ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 <nil>
	// secure: "ssh-rsa" is not a kind of key that is known here: want ssh-ed25519 AAAA…
}

func ExampleCheckName() {
	fmt.Println(secure.CheckName("alice"))
	fmt.Println(secure.CheckName("alice@laptop"))
	// Output:
	// <nil>
	// secure: "alice@laptop" cannot be a name: a name has none of : @ [ ] and the comma
}

// Certificates from an authority: here, from a test server of package httptest.
func ExampleTLS() {
	authority := httptest.NewTLSServer(nil)
	defer authority.Close()
	trusting := authority.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trusting.ServerName = "example.com"

	network := simnet.New(1)
	server := &sockets.Config{Network: secure.TLS(network.Host("server"), authority.TLS)}
	s, err := server.Listen("8443", func(event sockets.Event, connection *sockets.Connection, _ sockets.Address, _ error) {
		if event == sockets.EventConnect {
			connection.Send([]byte("Hello, whoever you are!"))
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	cfg := &sockets.Config{Network: secure.TLS(network.Host("laptop"), trusting)}
	client, err := cfg.Dial(context.Background(), "server:8443", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseNow()
	message, err := client.Receive(context.Background())
	fmt.Println(string(message), err)
	// Output: Hello, whoever you are! <nil>
}
