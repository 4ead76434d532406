package examples_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startBadNetwork starts a relay at a free port for each of the targets, and
// returns where it listens.
func startBadNetwork(t *testing.T, protocol, faults string, targets ...string) (relay *process, listen []string) {
	t.Helper()
	relay = start(t, "badnetwork", append(append([]string{protocol, "0"}, targets...), faults)...)
	for _, target := range targets {
		address, _, _ := strings.Cut(relay.expect(" leads to "+target), " ")
		if !strings.HasPrefix(address, "127.0.0.1:") {
			t.Errorf("the relay listens on %s, and should on this machine only", address)
		}
		listen = append(listen, address)
	}
	relay.expect("Faults: " + faults)
	relay.expect("Ctrl+D to end")
	return relay, listen
}

// listenUDP returns a socket of the test, and its address.
func listenUDP(t *testing.T) (conn net.PacketConn, address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, conn.LocalAddr().String()
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

func TestBadNetworkLosesDatagrams(t *testing.T) {
	t.Parallel()
	patterns := make(map[string]int) // how often each was seen
	target, address := listenUDP(t)
	for _, seed := range []string{"1", "1", "2"} {
		relay, listen := startBadNetwork(t, "-udp", "loss=0.5,seed="+seed, address)
		client := dial(t, "udp", listen[0])
		pattern := ""
		for i := range 20 { // of which the relay tells each
			client.Write(fmt.Append(nil, "number ", i))
			buffer := make([]byte, 100)
			for deadline := time.Now().Add(patience); ; {
				target.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				if n, _, err := target.ReadFrom(buffer); err == nil {
					if want := fmt.Sprint("number ", i); string(buffer[:n]) != want {
						t.Fatalf("%q arrives, want %q", buffer[:n], want)
					}
					pattern += "x"
					break
				}
				if relay.count(" bytes") > strings.Count(pattern, ".") {
					pattern += "."
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("number %d is neither lost nor there", i)
				}
			}
		}
		lost := strings.Count(pattern, ".")
		relay.shows(fmt.Sprintf("%v -> %s: lost, %d bytes", client.LocalAddr(), address, len("number 0")))
		if lost < 3 || lost > 17 {
			t.Errorf("lost of loss=0.5: %s", pattern)
		}
		patterns[pattern]++
		relay.leave()
		summary := relay.shows("To the targets:   20 sent, ")
		if !strings.Contains(summary, fmt.Sprintf(", %d lost, 0 duplicated", lost)) {
			t.Errorf("%s, and %d were lost", summary, lost)
		}
		relay.expect("From the targets: 0 sent")
	}
	if len(patterns) != 2 {
		t.Errorf("seeds 1, 1 and 2 give %v", patterns)
	}
}

func TestBadNetworkBringsAnswersBack(t *testing.T) {
	t.Parallel()
	var addresses []string
	for i := range 2 {
		target, address := listenUDP(t)
		addresses = append(addresses, address)
		go func() {
			buffer := make([]byte, 100)
			for {
				n, from, err := target.ReadFrom(buffer)
				if err != nil {
					return
				}
				target.WriteTo(fmt.Append(buffer[:n], " from target ", i), from)
			}
		}()
	}
	relay, listen := startBadNetwork(t, "-udp", "delay=1ms", addresses...)
	for i, address := range listen {
		for j := range 3 {
			client := dial(t, "udp", address)
			fmt.Fprint(client, "client ", j)
			buffer := make([]byte, 100)
			n, err := client.Read(buffer)
			if want := fmt.Sprintf("client %d from target %d", j, i); err != nil || string(buffer[:n]) != want {
				t.Errorf("received %q, %v, want %q", buffer[:n], err, want)
			}
		}
	}
	relay.leave()
	relay.shows("To the targets:   6 sent, 6 delivered")
	relay.expect("From the targets: 6 sent, 6 delivered")
}

func TestBadNetworkTakesNewFaults(t *testing.T) {
	t.Parallel()
	target, address := listenUDP(t)
	relay, listen := startBadNetwork(t, "-udp", "loss=1", address)
	client := dial(t, "udp", listen[0])
	fmt.Fprint(client, "lost")
	relay.expect(": lost, 4 bytes")
	relay.say("")
	relay.expect("Faults: loss=1")
	relay.say("losss=1")
	relay.expect(`there is no "losss"`)
	relay.expect("Faults: loss=1")
	relay.say("dup=1 delay=1ms")
	relay.expect("Faults: dup=1,delay=1ms")
	fmt.Fprint(client, "twice")
	relay.expect(": duplicated, 5 bytes")
	target.SetReadDeadline(time.Now().Add(patience))
	for range 2 {
		buffer := make([]byte, 100)
		if n, _, err := target.ReadFrom(buffer); err != nil || string(buffer[:n]) != "twice" {
			t.Errorf("received %q, %v, want twice", buffer[:n], err)
		}
	}
	relay.say("none")
	relay.expect("Faults: none")
	relay.leave()
}

func TestBadNetworkDoesNotFloodTheScreen(t *testing.T) {
	t.Parallel()
	_, address := listenUDP(t)
	relay, listen := startBadNetwork(t, "-udp", "loss=1", address)
	client := dial(t, "udp", listen[0])
	for range 200 {
		fmt.Fprint(client, "lost")
		time.Sleep(time.Millisecond / 10)
	}
	relay.expect(" more in this second: lost")
	if n := relay.count("lost, 4 bytes"); n > 100 {
		t.Errorf("%d lines", n)
	}
}

func TestChatThroughABadNetwork(t *testing.T) {
	t.Parallel()
	alice := join(t, "udpchatgraceful", "Alice")
	relay, listen := startBadNetwork(t, "-udp", "dup=1", "127.0.0.1:"+alice.port)
	bob := join(t, "udpchatgraceful", "Bob", "0", listen[0])
	bob.say("Hello Alice!")
	alice.expect("Hello Alice!")
	alice.expect("Hello Alice!")
	alice.say("Why do you say everything twice?")
	bob.expect("Why do you say everything twice?")
	bob.expect("Why do you say everything twice?")
	relay.say("none")
	relay.expect("Faults: none")
	alice.leave()
	bob.expect("<LEAVES THE CHAT>")
	bob.expectOnce("<LEAVES THE CHAT>")
	bob.say("Are you there?")
	bob.leave()
	relay.leave()
	relay.shows("To the targets:   1 sent")
}

// throughBadNetwork gives data to an echo client whose server is behind a relay.
func throughBadNetwork(t *testing.T, faults string, data []byte) (server *process) {
	t.Helper()
	server, port := startEcho(t, "tcpecho")
	relay, listen := startBadNetwork(t, "-tcp", faults, "127.0.0.1:"+port)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := exec.CommandContext(ctx, filepath.Join(binaries, "tcpecho"), "client", listen[0])
	var stdout, stderr bytes.Buffer
	client.Stdin, client.Stdout, client.Stderr = bytes.NewReader(data), &stdout, &stderr
	if err := client.Run(); err != nil {
		t.Errorf("client: %v\n%s", err, &stderr)
	}
	if !bytes.Equal(stdout.Bytes(), data) {
		t.Errorf("%d bytes came back, and not those %d that were sent", stdout.Len(), len(data))
	}
	server.exits(0)
	relay.expect(": connected")
	relay.expect(": closed")
	relay.leave()
	return server
}

func TestBadNetworkCarriesStreams(t *testing.T) {
	t.Parallel()
	data := make([]byte, 1<<20+5)
	rand.Read(data)
	throughBadNetwork(t, "none", data)
	throughBadNetwork(t, "loss=0.001,jitter=1ms,rate=100M,seed=1", data[:100_000])
	server := throughBadNetwork(t, "rate=400k,slice=1", data[:100])
	if n := server.count("# echoed "); n < 20 {
		t.Errorf("100 slices of 1 byte came in %d", n)
	}
}

func TestTCPChatsThroughABadNetwork(t *testing.T) {
	t.Parallel()
	const faults = "loss=0.1,delay=5ms,jitter=5ms,slice=3,seed=1"
	alice, port := startTCPChat(t, "Alice")
	relay, listen := startBadNetwork(t, "-tcp", faults, "127.0.0.1:"+port)
	bob := startTCPClient(t, "Bob", listen[0][strings.LastIndex(listen[0], ":")+1:])
	alice.expect("Open ingoing connection from: ")
	bob.say("Ciao Alice, perché no? \U0001f600")
	alice.expect("\tCiao Alice, perché no? \U0001f600")
	alice.say("A message in slices of 3 bytes is a message.")
	bob.expect("\tA message in slices of 3 bytes is a message.")
	bob.leave()
	alice.expect("Connection with peer ")
	alice.leave()
	relay.leave()

	first := join(t, "tcpgroupchat", "Carol")
	relay, listen = startBadNetwork(t, "-tcp", faults, "127.0.0.1:"+first.port)
	second := join(t, "tcpgroupchat", "Dave", "0", listen[0])
	first.expect("Dave (")
	for i := range 20 {
		first.say(fmt.Sprint("from Carol ", i))
		second.say(fmt.Sprint("from Dave ", i))
	}
	for i := range 20 {
		first.expect(fmt.Sprint("\tfrom Dave ", i))
		second.expect(fmt.Sprint("\tfrom Carol ", i))
	}
	second.leave()
	first.expect(") left the chat")
	first.leave()
	relay.leave()
}

func TestBadNetworkResetsStreams(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	relay, listen := startBadNetwork(t, "-tcp", "reset=10", listener.Addr().String())
	client := dial(t, "tcp", listen[0])
	target, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	target.SetReadDeadline(time.Now().Add(patience))
	fmt.Fprint(client, "0123456789abcdef")
	text, err := io.ReadAll(target)
	if string(text) != "0123456789" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target receives %q, %v, want 10 bytes and a reset", text, err)
	}
	if _, err := io.ReadAll(client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client receives %v, want a reset", err)
	}
	relay.expect(": connection reset by peer")
}

func TestBadNetworkTellsThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	nobody := "127.0.0.1:" + freePort(t)
	relay, listen := startBadNetwork(t, "-tcp", "none", nobody)
	if client, err := net.Dial("tcp", listen[0]); err == nil { // the reset may come at once
		defer client.Close()
		client.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(client); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client receives %v, want a reset", err)
		}
	}
	relay.expect("refused")
	relay.leave()
}

func TestBadNetworkWrongArguments(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	for _, call := range []string{
		"",
		port,
		port + " loss=0.3",
		"loss=0.3 " + port + " localhost:1",
		port + " localhost",
		port + " localhost:0",
		port + " localhost:65536",
		port + " localhost:1 loss=3",
		port + " localhost:1 loss=0.3 loss=0.3",
		port + " localhost:1 loss=0.3 localhost:2",
		port + " localhost:" + port,
		port + " localhost:" + port + " localhost:1",
		"0.0.0.0:" + port + " " + port,
		"65535 localhost:1 localhost:2",
		"localhost:http:// localhost:1",
		"-udp -tcp " + port + " localhost:1",
		"-quic " + port + " localhost:1",
	} {
		cmd := exec.Command(filepath.Join(binaries, "badnetwork"), strings.Fields(call)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		lines := strings.Split(stderr.String(), "\n")
		if code := cmd.ProcessState.ExitCode(); code != 2 || stdout.Len() > 0 || len(lines) != 3 || !strings.HasPrefix(lines[1], "usage: badnetwork ") {
			t.Errorf("badnetwork %s: exit status %d, standard output %q, standard error:\n%s\nwant 2, nothing, a line and the usage", call, code, &stdout, &stderr)
		}
	}
}

func TestBadNetworkFailsInASentence(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(newStranger(t).conn.LocalAddr().String())
	relay := start(t, "badnetwork", port, "127.0.0.1:9")
	relay.expect("another program uses this port")
	relay.exits(1)
}
