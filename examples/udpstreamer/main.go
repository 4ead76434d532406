// Udpstreamer sends many numbered messages to the participants of a UDP chat,
// as fast as it can, so that one sees what UDP does with them. It can also
// receive them, and count.
//
//	go run ./examples/udpstreamer COUNT IP:PORT [IP:PORT ...]
//	go run ./examples/udpstreamer receive PORT
//
// # What to type
//
// In a first terminal (udpchatgraceful does as well):
//
//	go run ./examples/udpchat 8080
//
// In a second one:
//
//	go run ./examples/udpstreamer 100000 localhost:8080
//
// Then count what arrives: in the first terminal, instead of the chat,
//
//	go run ./examples/udpstreamer receive 8080
//
// until Ctrl+C, Ctrl+D (on Windows Ctrl+Z, then Enter) or SIGTERM. And put a bad
// network between the two, in a third terminal, and send through it:
//
//	go run ./examples/badnetwork -udp 9000 localhost:8080 loss=0.3,dup=0.05,reorder=0.1,delay=50ms
//	go run ./examples/udpstreamer 100 localhost:9000
//
// # What to watch for
//
// Here each message is "sent", without an error. There, numbers may be missing:
// the receiver was slower than the sender for a while. The comment of udpchat
// tells where they got lost, and how to lose more. Over a real network a few may
// also come in another order, or twice.
//
// The receiver counts for each address that sends: every run of the sender is
// another one. It tells the figures at the end, and on a terminal it shows those
// of the latest sender all the time. Of the numbers sent, so far,
//
//   - received are those that came, each counted once;
//   - lost are those that did not come, though a higher one did (so it cannot
//     know that the last ones got lost);
//   - duplicated counts how often one came that had come before;
//   - out of order are those received after a higher one (the definition of RFC
//     4737); until then they are lost.
//
// So received and lost make the highest number, plus 1 for number 0. Other counts
// what is no number of udpstreamer, and what is 65,536 or more below the highest
// number: what is older is not remembered. Nor are more than 64 senders, so that
// strangers cannot make the receiver use more than 4 MiB.
//
// A hundred messages fit in every buffer: of these only a bad network loses any.
//
// # What is wrong with it
//
// The sender never looks whether anyone keeps up, nor can it: UDP does not tell.
// And a receiver believes whatever address a datagram comes from.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

const usage = `usage: udpstreamer COUNT IP:PORT [IP:PORT ...]
       udpstreamer receive PORT`

func main() {
	if len(os.Args) > 1 && os.Args[1] == "receive" {
		receive(os.Args[2:])
		return
	}
	if len(os.Args) < 3 {
		console.Usage("how many messages, and to whom?", usage)
	}
	count, err := strconv.Atoi(os.Args[1])
	if err != nil || count < 0 {
		console.Usage(fmt.Sprintf("COUNT is %q: it must be a number, 0 or more", os.Args[1]), usage)
	}
	peer, err := sockets.NewPeer(":0", os.Args[2:])
	console.Check(err, usage)
	for i := range count {
		if err := peer.SendAll(sockets.NewMessage(fmt.Sprintf("Number %d", i), "Streamer").Bytes()); err != nil {
			fmt.Println(err)
		}
		fmt.Println("Sent message", i)
	}
}

const (
	maxStreams = 64
	window     = 1 << 16 // how many numbers of a stream are remembered
)

// A stream is what came from one sender.
type stream struct {
	sender                                  sockets.Address
	received, duplicated, outOfOrder, other uint64
	next                                    uint64       // the highest number that came, plus 1
	came                                    [window]bool // number n at n % window, of the last ones below next
}

var (
	streams []*stream
	latest  *stream // to which something came
	further uint64  // datagrams of senders that are too many
)

func receive(arguments []string) {
	if len(arguments) != 1 {
		console.Usage("receive at which port?", usage)
	}
	peer, err := sockets.NewPeer(":"+arguments[0], nil)
	console.Check(err, usage)
	ctx, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	console.Println("Bound to:", peer.LocalAddress())
	go func() {
		io.Copy(io.Discard, os.Stdin) // until Ctrl+D
		end()
	}()
	for ended := false; !ended; {
		ended = ctx.Err() != nil // the last time: what has arrived by now counts
		soon, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		payload, sender, err := peer.Receive(soon)
		for ; err == nil; payload, sender, err = peer.Receive(soon) {
			count(payload, sender)
		}
		if soon.Err() == nil {
			console.Fatal(err)
		}
		cancel()
		if latest != nil {
			console.Progress(latest.String())
		}
	}
	console.Progress("")
	for _, s := range streams {
		console.Println(s)
	}
	console.Printf("Senders: %d, datagrams of further ones: %d", len(streams), further)
}

// count counts one datagram.
func count(payload []byte, sender sockets.Address) {
	i := slices.IndexFunc(streams, func(s *stream) bool { return s.sender == sender })
	if i < 0 && len(streams) == maxStreams {
		further++
		return
	} else if i < 0 {
		i = len(streams)
		streams = append(streams, &stream{sender: sender})
		console.Println("Receiving from", sender)
	}
	s := streams[i]
	latest = s
	message, _ := sockets.ParseMessage(payload)
	digits, ok := strings.CutPrefix(message.Text, "Number ")
	n, err := strconv.ParseUint(digits, 10, 48)
	switch {
	case !ok || err != nil || message.Sender != "Streamer" || n+window < s.next:
		s.other++
		return
	case n >= s.next:
		for skipped := s.next; skipped < min(n, s.next+window); skipped++ {
			s.came[skipped%window] = false
		}
		s.next = n + 1
	case s.came[n%window]:
		s.duplicated++
		return
	default:
		s.outOfOrder++
	}
	s.came[n%window] = true
	s.received++
}

func (s *stream) String() string {
	return fmt.Sprintf("%v: received %d, lost %d, duplicated %d, out of order %d, other %d",
		s.sender, s.received, s.next-s.received, s.duplicated, s.outOfOrder, s.other)
}
