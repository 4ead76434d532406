package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

func TestConfigDefaults(t *testing.T) {
	config := new(sockets.Config)
	got := sockets.WithDefaults(config)
	if diff := cmp.Diff(sockets.Config{}, *config); diff != "" {
		t.Errorf("the defaults were written into the Config itself: -want +got\n%s", diff)
	}
	if got.Network != sockets.System {
		t.Errorf("Network = %v, want System", got.Network)
	}
	if got.Logger == nil || got.Logger.Enabled(t.Context(), slog.LevelError) {
		t.Errorf("Logger = %v, want a silent one", got.Logger)
	}
	got.Network, got.Logger = nil, nil
	want := sockets.Config{
		Prefix:           4,
		DialTimeout:      10 * time.Second,
		HandshakeTimeout: 5 * time.Second,
		FrameTimeout:     30 * time.Second,
		SendTimeout:      60 * time.Second,
		CloseTimeout:     3 * time.Second,
		MaxConnections:   1024,
		MaxQueue:         4 << 20,
		MaxPeers:         1024,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("withDefaults of the zero Config: -want +got\n%s", diff)
	}
}

// Whatever a stranger can make grow stands in a row of SECURITY.md, with its
// bound and the field that sets it.
func TestSecurityNamesFieldsAndTheirDefaults(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	bounds := make(map[string]string) // all that is said of a field
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for _, field := range regexp.MustCompile("`(?:sockets\\.Config\\.)?([A-Z]\\w+)`").FindAllStringSubmatch(cells[4], -1) {
			bounds[field[1]] += cells[3]
		}
	}
	defaults := reflect.ValueOf(sockets.WithDefaults(new(sockets.Config)))
	for _, test := range []struct {
		field string
		value any
		said  string
	}{
		{"HandshakeTimeout", 5 * time.Second, "5 s"},
		{"FrameTimeout", 30 * time.Second, "30 s"},
		{"SendTimeout", 60 * time.Second, "60 s"},
		{"CloseTimeout", 3 * time.Second, "3 s"},
		{"IdleTimeout", time.Duration(0), "time: none"},
		{"MaxMessage", 0, "1 MiB a message"},
		{"MaxConnections", 1024, "1,024"},
		{"MaxConnectionsPerIP", 0, "none"},
		{"MaxQueue", 4 << 20, "4 MiB a connection"},
		{"MaxPeers", 1024, "1,024"},
	} {
		if got := defaults.FieldByName(test.field).Interface(); got != test.value || !strings.Contains(bounds[test.field], test.said) {
			t.Errorf("the default of %s is %v, and SECURITY.md says:%s", test.field, got, bounds[test.field])
		}
	}
}

func TestConfigNegativeIsNone(t *testing.T) {
	got := sockets.WithDefaults(&sockets.Config{
		DialTimeout:         -1,
		HandshakeTimeout:    -time.Hour,
		FrameTimeout:        -1,
		SendTimeout:         -1,
		IdleTimeout:         -1,
		CloseTimeout:        -1,
		MaxConnections:      -1,
		MaxConnectionsPerIP: -1 << 31,
		MaxQueue:            -1,
		MaxPeers:            -1,
	})
	for field, value := range map[string]int64{
		"DialTimeout":         int64(got.DialTimeout),
		"HandshakeTimeout":    int64(got.HandshakeTimeout),
		"FrameTimeout":        int64(got.FrameTimeout),
		"SendTimeout":         int64(got.SendTimeout),
		"IdleTimeout":         int64(got.IdleTimeout),
		"CloseTimeout":        int64(got.CloseTimeout),
		"MaxConnections":      int64(got.MaxConnections),
		"MaxConnectionsPerIP": int64(got.MaxConnectionsPerIP),
		"MaxQueue":            int64(got.MaxQueue),
		"MaxPeers":            int64(got.MaxPeers),
	} {
		if value > 0 {
			t.Errorf("withDefaults of a negative %s = %d, want none", field, value)
		}
	}
}

func TestConfigKeepsWhatIsSet(t *testing.T) {
	config := sockets.Config{
		Network:             &directory{},
		Logger:              slog.Default(),
		Prefix:              2,
		MaxMessage:          1,
		DialTimeout:         2,
		HandshakeTimeout:    3,
		FrameTimeout:        4,
		SendTimeout:         5,
		IdleTimeout:         6,
		CloseTimeout:        7,
		MaxConnections:      8,
		MaxConnectionsPerIP: 9,
		MaxQueue:            10,
		MaxPeers:            11,
		LendPayloads:        true,
	}
	got := sockets.WithDefaults(&config)
	if got.Network != config.Network || got.Logger != config.Logger {
		t.Errorf("withDefaults: Network %v, Logger %v, want those that were set", got.Network, got.Logger)
	}
	got.Network, got.Logger = nil, nil
	config.Network, config.Logger = nil, nil
	if diff := cmp.Diff(config, got); diff != "" {
		t.Errorf("withDefaults of a full Config: -want +got\n%s", diff)
	}
}

func TestConfigPrefix(t *testing.T) {
	for _, prefix := range []int{1, 2, 4, 8} {
		if got := sockets.WithDefaults(&sockets.Config{Prefix: prefix}).Prefix; got != prefix {
			t.Errorf("Prefix = %d, want %d", got, prefix)
		}
	}
	for _, prefix := range []int{-4, -1, 3, 5, 6, 7, 9, 16, 1 << 20} {
		func() {
			defer func() {
				want := fmt.Sprintf("sockets: a prefix of %d bytes: use 1, 2, 4 or 8", prefix)
				if got := recover(); got != want {
					t.Errorf("with Prefix %d: panic(%v), want panic(%s)", prefix, got, want)
				}
			}()
			sockets.WithDefaults(&sockets.Config{Prefix: prefix})
		}()
	}
}

// A closedNetwork refuses everything with err, and notes what it was asked for.
type closedNetwork struct {
	err   error
	asked []string
}

func (n *closedNetwork) note(network, address string) error {
	n.asked = append(n.asked, network+" "+address)
	return n.err
}

func (n *closedNetwork) Listen(_ context.Context, network, address string) (net.Listener, error) {
	return nil, n.note(network, address)
}

func (n *closedNetwork) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	return nil, n.note(network, address)
}

func (n *closedNetwork) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	return nil, n.note(network, address)
}

func (n *closedNetwork) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	return nil, n.note("name", host)
}

// binders are the constructors that bind a socket. Each says whether it
// returned anything.
var binders = map[string]func(cfg *sockets.Config, address string) (something bool, err error){
	"Listen": func(cfg *sockets.Config, address string) (bool, error) {
		s, err := cfg.Listen(address, func(sockets.Event, *sockets.Connection, sockets.Address, error) {})
		return s != nil, err
	},
	"NewPeer": func(cfg *sockets.Config, address string) (bool, error) {
		p, err := cfg.NewPeer(address, nil)
		return p != nil, err
	},
	"NewAsyncPeer": func(cfg *sockets.Config, address string) (bool, error) {
		p, err := cfg.NewAsyncPeer(address, nil, func([]byte, sockets.Address) {})
		return p != nil, err
	},
}

func TestBindErrorsSayWhatToDo(t *testing.T) {
	const rights, taken = "ports below 1024 may need the rights of an administrator", "another program uses this port"
	for _, test := range []struct {
		address string
		errno   syscall.Errno
		advice  string
	}{
		{"80", syscall.EACCES, rights},
		{":80", syscall.EACCES, rights},
		{"127.0.0.1:1", syscall.EACCES, rights},
		{"[::1]:1023", syscall.EACCES, rights},
		{"1024", syscall.EACCES, ""},
		{"8080", syscall.EACCES, ""},
		{"0", syscall.EACCES, ""},
		{"80", syscall.EADDRINUSE, taken},
		{"8080", syscall.EADDRINUSE, taken},
		{"8080", syscall.EADDRNOTAVAIL, ""},
	} {
		for name, bind := range binders {
			cause := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", test.errno)}
			something, err := bind(&sockets.Config{Network: &closedNetwork{err: cause}}, test.address)
			if something || err == nil {
				t.Errorf("%s(%q): %v, want nil and an error", name, test.address, err)
				continue
			}
			if !errors.Is(err, test.errno) || !errors.Is(err, error(cause)) {
				t.Errorf("%s(%q): %v, which is neither %v nor %v", name, test.address, err, test.errno, cause)
			}
			if !strings.Contains(err.Error(), cause.Error()) {
				t.Errorf("%s(%q): %v, want an error that contains %v", name, test.address, err, cause)
			}
			for _, advice := range []string{rights, taken} {
				if got, want := strings.HasPrefix(err.Error(), "sockets: "+advice), test.advice == advice; got != want {
					t.Errorf("%s(%q) with %v: %v, says %q: %v, want %v", name, test.address, test.errno, err, advice, got, want)
				}
			}
		}
	}
}

func TestBindSaysThatAPortIsTaken(t *testing.T) {
	first, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := sockets.NewPeer(first.LocalAddress().String(), nil)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "another program uses this port") {
		t.Errorf("NewPeer(%v) = %v, %v, want EADDRINUSE explained", first.LocalAddress(), second, err)
	}
}

func TestBadAddressesNeverReachTheNetwork(t *testing.T) {
	for _, test := range unresolvable {
		network := &closedNetwork{err: errors.New("reached")}
		cfg := &sockets.Config{Network: network}
		for name, bind := range binders {
			if something, err := bind(cfg, test.text); something || err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s(%q): %v, want an error that says %s", name, test.text, err, test.problem)
			}
		}
		if client, err := cfg.Dial(t.Context(), test.text, nil); client != nil || err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("Dial(%q): %v, want an error that says %s", test.text, err, test.problem)
		}
		if len(network.asked) > 0 {
			t.Errorf("with %q the Network was asked for %q", test.text, network.asked)
		}
	}
}

// Names are the Network's business: Listen and Dial hand them on.
func TestListenAndDialHandTheAddressOn(t *testing.T) {
	for text, want := range map[string]string{
		"8080":                     "tcp :8080",
		":8080":                    "tcp :8080",
		" host:8080 ":              "tcp host:8080",
		"localhost:8080":           "tcp localhost:8080",
		"::1":                      "tcp [::1]:0",
		"[::1]:8080":               "tcp [::1]:8080",
		"[fe80::1%eth0]:8080":      "tcp [fe80::1%eth0]:8080",
		"università:8080":          "tcp università:8080",
		"localhost":                "tcp localhost:0",
		"":                         "tcp :0",
		"[2001:db8:0:0:0:0:0:1]:1": "tcp [2001:db8:0:0:0:0:0:1]:1",
	} {
		network := &closedNetwork{err: errors.New("closed")}
		cfg := &sockets.Config{Network: network}
		if _, err := cfg.Listen(text, nil); !errors.Is(err, network.err) {
			t.Errorf("Listen(%q): %v, want %v", text, err, network.err)
		}
		if !strings.HasSuffix(want, ":0") && !strings.HasPrefix(want, "tcp :") {
			if _, err := cfg.Dial(t.Context(), text, nil); !errors.Is(err, network.err) {
				t.Errorf("Dial(%q): %v, want %v", text, err, network.err)
			}
		}
		for _, asked := range network.asked {
			if asked != want {
				t.Errorf("with %q the Network was asked for %q, want %q", text, asked, want)
			}
		}
	}
}
