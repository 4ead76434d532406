package sockets_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed287501ae/sockets"
)

// What strangers do to a peer with datagrams, and what comes of it. Nothing here
// leaves the process: an office carries the letters.

const (
	honest   = "192.0.2.1:1" // the peer that everyone was told of
	stranger = "192.0.2.66:9"
)

// A hostileDatagram is what arrives at a peer, and the exact outcome. All that
// arrives is told; the peer's program forgets who leaves, as udpchatgraceful
// does.
type hostileDatagram struct {
	name    string
	letters []letter
	peers   []string // those that are known afterwards
}

func from(sender string, texts ...string) (letters []letter) {
	for _, text := range texts {
		letters = append(letters, letter{text: text, from: clothed(netip.MustParseAddrPort(sender))})
	}
	return letters
}

// said is a chat message.
func said(name, text string) string { return "[2024-02-03T12:15:00] " + name + ":\n\t" + text }

var hostileDatagrams = []hostileDatagram{
	{"0 bytes", from(stranger, ""), []string{honest, stranger}},
	{"1 byte", from(stranger, "\x00"), []string{honest, stranger}},
	{"1,024 bytes", from(stranger, noise(1024)), []string{honest, stranger}},
	{"1,025 bytes", from(stranger, noise(1025)), []string{honest, stranger}},
	{"1,200 bytes", from(stranger, noise(1200)), []string{honest, stranger}},
	{"65,507 bytes", from(stranger, noise(65507)), []string{honest, stranger}},
	{"65,508 bytes", from("[2001:db8::9]:9", noise(65508)), []string{honest, "[2001:db8::9]:9"}},
	{"65,527 bytes", from("[2001:db8::9]:9", noise(65527)), []string{honest, "[2001:db8::9]:9"}},
	{"1,000 empty ones", from(stranger, make([]string, 1000)...), []string{honest, stranger}},
	{"a long one and a short one", from(stranger, noise(65507), "hi", ""), []string{honest, stranger}},
	{"a frame of TCP", from(stranger, "\x00\x00\x00\x05hello"), []string{honest, stranger}},
	{"HTTP", from(stranger, "GET / HTTP/1.1\r\n\r\n"), []string{honest, stranger}},
	{"a query of DNS", from(stranger, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\xff\x00\x01"), []string{honest, stranger}},
	{"echo, chargen, discovery", slices.Concat(from("192.0.2.66:7", "hi"), from("192.0.2.66:19", "hi"), from("192.0.2.66:1900", "M-SEARCH * HTTP/1.1\r\n\r\n")), []string{honest, "192.0.2.66:7", "192.0.2.66:19", "192.0.2.66:1900"}},
	{"terminal escapes", from(stranger, "\x1b[2J\x1b]52;c;cm0gLXJm\x07"), []string{honest, stranger}},

	{"from port 0", from("192.0.2.66:0", "hi"), []string{honest}},
	{"from port 0, IPv6", from("[2001:db8::9]:0", "hi"), []string{honest}},
	{"from port 65535", from("192.0.2.66:65535", "hi"), []string{honest, "192.0.2.66:65535"}},
	{"from the broadcast address", from("255.255.255.255:9", "hi"), []string{honest}},
	{"from the mapped broadcast address", []letter{{"hi", &net.UDPAddr{IP: net.ParseIP("::ffff:255.255.255.255"), Port: 9}, nil}}, []string{honest}},
	{"from the broadcast address in four bytes", []letter{{"hi", &net.UDPAddr{IP: net.IP{255, 255, 255, 255}, Port: 9}, nil}}, []string{honest}},
	{"from multicast", from("224.0.0.1:9", "hi"), []string{honest}},
	{"from the last multicast address", from("239.255.255.255:9", "hi"), []string{honest}},
	{"from multicast in four bytes", []letter{{"hi", &net.UDPAddr{IP: net.IP{224, 0, 0, 251}, Port: 5353}, nil}}, []string{honest}},
	{"from multicast of IPv6", from("[ff02::1]:9", "hi"), []string{honest}},
	{"from multicast of IPv6 with a zone", from("[ff02::1%eth0]:9", "hi"), []string{honest}},
	{"from 0.0.0.0", from("0.0.0.0:9", "hi"), []string{honest}},
	{"from 0.0.0.0 in four bytes", []letter{{"hi", &net.UDPAddr{IP: net.IP{0, 0, 0, 0}, Port: 9}, nil}}, []string{honest}},
	{"from ::", from("[::]:9", "hi"), []string{honest}},
	{"from 0.0.0.0, port 0", from("0.0.0.0:0", "hi"), []string{honest}},
	{"from mapped IPv6", from("[::ffff:192.0.2.66]:9", "hi"), []string{honest, stranger}},
	{"from IPv4, mapped and not", []letter{{"hi", &net.UDPAddr{IP: net.IP{192, 0, 2, 66}, Port: 9}, nil}, from("[::ffff:192.0.2.66]:9", "hi")[0]}, []string{honest, stranger}},
	{"from its own address", from("192.0.2.2:8080", "hi"), []string{honest}},
	{"from its own address, mapped", from("[::ffff:192.0.2.2]:8080", "hi"), []string{honest}},
	{"from its own address of IPv6", from("[2001:db8::2]:8080", "hi"), []string{honest}},
	{"from its own address with a zone", from("[fe80::2%eth0]:8080", "hi"), []string{honest}},
	{"from its own port of loopback", from("127.0.0.1:8080", "hi"), []string{honest}},
	{"from its own port of all of loopback", from("127.66.66.66:8080", "hi"), []string{honest}},
	{"from its own port of loopback of IPv6", from("[::1]:8080", "hi"), []string{honest}},
	{"from its own port of another machine", from("192.0.2.3:8080", "hi"), []string{honest, "192.0.2.3:8080"}},
	{"from another port of its machine", from("192.0.2.2:8081", "hi"), []string{honest, "192.0.2.2:8081"}},
	{"from no address", []letter{{"hi", nil, nil}}, []string{honest}},
	{"from no IP address", []letter{{"hi", &net.UDPAddr{Port: 9}, nil}}, []string{honest}},
	{"from half an IP address", []letter{{"hi", &net.UDPAddr{IP: net.IP{192, 0}, Port: 9}, nil}}, []string{honest}},
	{"from a nil *UDPAddr", []letter{{"hi", (*net.UDPAddr)(nil), nil}}, []string{honest}},
	{"from a name", []letter{{"hi", textAddr("mallory:9"), nil}}, []string{honest}},
	{"from a file", []letter{{"hi", &net.UnixAddr{Name: "/mallory", Net: "unixgram"}, nil}}, []string{honest}},

	{"a stranger leaves", from(stranger, said("Mallory", sockets.ExitMessage)), []string{honest}},
	{"a stranger comes and leaves", from(stranger, said("Mallory", "hi"), said("Mallory", sockets.ExitMessage)), []string{honest}},
	{"a stranger leaves a thousand times", from(stranger, slices.Repeat([]string{said("Mallory", sockets.ExitMessage)}, 1000)...), []string{honest}},
	{"a leave in another's name", from(stranger, said("Alice", sockets.ExitMessage)), []string{honest}},
	{"a leave in another's name, from the port beside", from("192.0.2.1:2", said("Alice", sockets.ExitMessage)), []string{honest}},
	{"a leave from a forged address, of which UDP cannot tell", from(honest, said("Alice", sockets.ExitMessage)), nil},
	{"a leave from a forged address, before another word", from(honest, said("Alice", sockets.ExitMessage), said("Alice", "still here")), []string{honest}},
	{"a late leave, after another word", from(stranger, said("Bob", "hi"), said("Bob", "bye"), said("Bob", sockets.ExitMessage), said("Bob", "hi again")), []string{honest, stranger}},
	{"an old leave", from(stranger, "[1999-12-31T23:59:59] Bob:\n\t"+sockets.ExitMessage), []string{honest}},
	{"a leave from its own address", from("127.0.0.1:8080", said("Alice", sockets.ExitMessage)), []string{honest}},
	{"a leave from port 0", from("192.0.2.1:0", said("Alice", sockets.ExitMessage)), []string{honest}},
	{"a leave from no address", []letter{{said("Alice", sockets.ExitMessage), nil, nil}}, []string{honest}},
	{"how to leave", from(honest, said("Alice", "how do I quit? type <LEAVES THE CHAT>")), []string{honest}},
	{"a leave and more", from(honest, said("Alice", "<LEAVES THE CHAT> is what to type")), []string{honest}},
	{"a leave in small letters", from(honest, said("Alice", "<leaves the chat>")), []string{honest}},
	{"a leave in letters that look alike", from(honest, said("Alice", "<LEAVES ТHE CHAT>")), []string{honest}},
	{"a leave with a space before", from(honest, said("Alice", " <LEAVES THE CHAT>")), []string{honest}},
	{"a leave with a space behind", from(honest, said("Alice", "<LEAVES THE CHAT> ")), []string{honest}},
	{"a leave with a newline behind", from(honest, said("Alice", "<LEAVES THE CHAT>\n")), []string{honest}},
	{"a leave with CR LF behind", from(honest, said("Alice", "<LEAVES THE CHAT>\r\n")), []string{honest}},
	{"a leave with NUL behind", from(honest, said("Alice", "<LEAVES THE CHAT>\x00")), []string{honest}},
	{"a leave on the second line", from(honest, said("Alice", "bye\n\t<LEAVES THE CHAT>")), []string{honest}},
	{"a leave twice", from(honest, said("Alice", "<LEAVES THE CHAT><LEAVES THE CHAT>")), []string{honest}},
	{"a leave quoted", from(honest, said("Alice", said("Bob", sockets.ExitMessage))), []string{honest}},
	{"a leave that is no message", from(honest, sockets.ExitMessage), []string{honest}},
	{"a leave without its time", from(honest, "[] Alice:\n\t"+sockets.ExitMessage), []string{honest}},
	{"a leave for a name", from(honest, said(sockets.ExitMessage, "hi")), []string{honest}},
	{"a leave behind a colon in a name", from(honest, said("Alice:\n\thi", sockets.ExitMessage)), []string{honest}},
	{"a leave behind an escape", from(honest, said("Alice", "\x1b"+sockets.ExitMessage)), []string{honest}},
	{"a leave cut short", from(honest, said("Alice", "<LEAVES THE CHAT")), []string{honest}},

	{"an error of each kind", receivingErrors(1), []string{honest}},
	{"errors, as many as pass", receivingErrors(21), []string{honest}},
	{"errors between datagrams", slices.Concat(receivingErrors(10), from(stranger, "hi"), receivingErrors(10), from(stranger, "hi"), receivingErrors(10)), []string{honest, stranger}},
}

// receivingErrors are what a socket may be told when it receives: each kind so
// many times.
func receivingErrors(times int) (letters []letter) {
	for range times {
		for _, errno := range systemErrors {
			letters = append(letters, letter{err: errno})
		}
	}
	return letters
}

func TestHostileDatagrams(t *testing.T) {
	for _, row := range hostileDatagrams {
		t.Run(row.name, func(t *testing.T) { synctest.Test(t, row.check) })
	}
}

func (row *hostileDatagram) check(t *testing.T) {
	o := newOffice()
	var want, told []string
	for _, l := range row.letters {
		if l.err == nil {
			want = append(want, l.text)
		}
	}
	var p *sockets.AsyncPeer
	p, box := o.async(t, sockets.Config{}, nil, honest)
	p.SetCallback(func(payload []byte, sender sockets.Address) {
		told = append(told, string(payload))
		if sockets.IsExit(payload) {
			p.Remove(sender)
		}
	})
	box.arrive(row.letters...)
	time.Sleep(time.Minute)
	synctest.Wait()
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("the callback was told: -want +got\n%.1000s", diff)
	}
	peers := slices.SortedFunc(slices.Values(parseAll(row.peers)), sockets.Address.Compare)
	wantPeers(t, p.Peer, texts(peers)...)
	wantParcels(t, box) // nobody is answered

	box.from(honest, "hello")
	synctest.Wait()
	if len(told) == 0 || told[len(told)-1] != "hello" {
		t.Error("what the honest peer says afterwards is not told")
	}
	if err := p.SendAll([]byte("hello")); err != nil {
		t.Errorf("SendAll = %v", err)
	}
	if got := box.parcels(); !slices.Contains(got, parcel{"hello", honest}) || len(got) != len(p.Peers()) {
		t.Errorf("afterwards %d were sent to, want %v among %d", len(got), honest, len(p.Peers()))
	}
	p.Close()
	<-p.Done()
}

func parseAll(all []string) (addresses []sockets.Address) {
	for _, text := range all {
		addresses = append(addresses, netip.MustParseAddrPort(text))
	}
	return addresses
}

// Whatever the system says of one peer, and wherever that one stands, the others
// get the message, and the error names who did not.
func TestHostileSendErrors(t *testing.T) {
	three := []string{"192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3"}
	for _, errno := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.ENOBUFS, syscall.ENETUNREACH, syscall.EMSGSIZE, syscall.ECONNREFUSED,
	} {
		for place, failing := range map[string]string{"first": three[0], "middle": three[1], "last": three[2]} {
			t.Run(fmt.Sprintf("%v from the %s", error(errno), place), func(t *testing.T) {
				p, box := newOffice().peer(t, sockets.Config{}, "8080", three...)
				box.refuseTo(failing, errno)
				var want []parcel
				for _, peer := range three {
					if peer != failing {
						want = append(want, parcel{"hello", peer})
					}
				}
				for range 3 {
					err := p.SendAll([]byte("hello"))
					wantParcels(t, box, want...)
					if !errors.Is(err, errno) || errors.Is(err, sockets.ErrMessageTooBig) != (errno == syscall.EMSGSIZE) {
						t.Errorf("SendAll = %v, want %v", err, error(errno))
					}
					for _, peer := range three {
						if named := strings.Contains(err.Error(), "to "+peer+":"); named != (peer == failing) {
							t.Errorf("SendAll = %v, want it to name %s alone", err, failing)
						}
					}
				}
				if err := p.Send([]byte("hello"), netip.MustParseAddrPort(failing)); !errors.Is(err, errno) || !strings.Contains(err.Error(), failing) {
					t.Errorf("Send = %v, want %v and %s", err, error(errno), failing)
				}
				wantPeers(t, p, three...)
				box.refuseTo(failing, nil)
				if err := p.SendAll([]byte("hello")); err != nil || len(box.parcels()) != 3 {
					t.Errorf("SendAll when the error has passed = %v", err)
				}
			})
		}
	}
}

// Sizes that a program may be made to send.
func TestHostileSizes(t *testing.T) {
	for size, want := range map[int]error{
		0: nil, 1: nil, 1024: nil, 1025: nil, 1200: nil, 65507: nil,
		65508: sockets.ErrMessageTooBig, 65527: sockets.ErrMessageTooBig, 1 << 20: sockets.ErrMessageTooBig,
	} {
		p, box := newOffice().peer(t, sockets.Config{}, "8080", honest)
		payload := noise(size)
		one, all := p.Send([]byte(payload), netip.MustParseAddrPort(honest)), p.SendAll([]byte(payload))
		if !errors.Is(one, want) || !errors.Is(all, want) {
			t.Errorf("Send and SendAll of %d bytes = %v, %v, want %v", size, one, all, want)
		}
		if want == nil {
			wantParcels(t, box, parcel{payload, honest}, parcel{payload, honest})
		}
		if err := p.SendAll([]byte("hello")); err != nil {
			t.Errorf("SendAll after %d bytes = %v", size, err)
		}
		wantParcels(t, box, parcel{"hello", honest})
	}
}

// Two peers that know each other, on which garbage falls, say nothing of their
// own accord. Where their programs answer, each answer is the program's.
func TestHostilePeersDoNotLoop(t *testing.T) {
	for _, most := range []int64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			o := newOffice()
			var asked atomic.Int64
			pair := func(address, other string) (*sockets.AsyncPeer, *mailbox) {
				p, err := (&sockets.Config{Network: o}).NewAsyncPeer(address, []string{other}, nil)
				if err != nil {
					t.Fatal(err)
				}
				box := o.last()
				p.SetCallback(func(payload []byte, sender sockets.Address) {
					if asked.Add(1) <= most {
						if err := p.Send(payload, sender); err != nil {
							t.Error(err)
						}
					}
				})
				return p, box
			}
			alice, boxA := pair("192.0.2.1:8080", "192.0.2.2:8080")
			bob, boxB := pair("192.0.2.2:8080", "192.0.2.1:8080")
			for _, text := range []string{"", "\x00", noise(1200), sockets.ExitMessage, said("Alice", sockets.ExitMessage), "GET / HTTP/1.1\r\n\r\n"} {
				boxA.from("192.0.2.2:8080", text)
				boxB.from("192.0.2.1:8080", text)
				boxA.from("192.0.2.1:8080", text)
			}
			time.Sleep(time.Hour)
			if sent := len(boxA.parcels()) + len(boxB.parcels()); sent != int(most) {
				t.Errorf("%d datagrams were sent for %d answers", sent, most)
			}
			for _, p := range []*sockets.AsyncPeer{alice, bob} {
				p.Close()
				<-p.Done()
			}
		})
	}
}

// A flood is a socket at which forged sources arrive, and after each thousand a
// word of an honest peer, in turn. TestMillionForgedSourcesCostLittle has no
// honest ones.
type flood struct {
	forger
	honest []string
}

func (f *flood) ReadFrom(p []byte) (int, net.Addr, error) {
	if f.left%1000 == 0 && f.left > 0 {
		sender := f.honest[f.left/1000%len(f.honest)]
		f.left--
		return copy(p, sender), clothed(netip.MustParseAddrPort(sender)), nil
	}
	return f.forger.ReadFrom(p)
}

func TestHostileMillionSourcesDrownNobody(t *testing.T) {
	const sources, learnt, limit = 1_000_000, "192.0.2.2:2", 30 * time.Second
	o := newOffice()
	o.wrap = func(b *mailbox) net.PacketConn {
		return &flood{forger{mailbox: b, left: sources}, []string{learnt, honest}}
	}
	p, box := o.async(t, sockets.Config{LendPayloads: true}, nil, honest)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	heard := make(map[string]int)
	start := time.Now()
	p.SetCallback(func(payload []byte, _ sockets.Address) { heard[string(payload)]++ })
	select {
	case <-p.Done():
	case <-time.After(limit):
		t.Fatalf("%d forged sources take more than %v", sources, limit)
	}
	t.Logf("%d forged sources in %v", sources, time.Since(start))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d forged sources grow the heap by %d bytes", sources, grown)
	}
	want := map[string]int{honest: sources / 2000, learnt: sources / 2000, "forged": sources - sources/1000}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("heard: -want +got\n%s", diff)
	}
	if peers := texts(p.Peers()); !slices.Contains(peers, honest) || !slices.Contains(peers, learnt) || len(peers) != 1024+1 {
		t.Errorf("%d peers are known, want %d, the honest ones among them", len(peers), 1024+1)
	}
	wantParcels(t, box)
}
