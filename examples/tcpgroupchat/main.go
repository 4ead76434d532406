// One solution of the exercise: try it yourself first.
//
// Tcpgroupchat is a group chat over TCP: every participant is server and client
// at once, and writes to all those that it named or that contacted it.
//
//	go run ./examples/tcpgroupchat [-prefix 1|2|4|8] [PORT [IP:PORT ...]]
//
// # What to type
//
// In a first terminal, then give it a name, say Alice:
//
//	go run ./examples/tcpgroupchat 8080
//
// In a second terminal, then name it Bob (without a port, a free one is taken):
//
//	go run ./examples/tcpgroupchat 8081 localhost:8080
//
// Make them chat. A third one names both:
//
//	go run ./examples/tcpgroupchat 8082 localhost:8080 localhost:8081
//
// Then let them come and go: with Ctrl+D, with Ctrl+C, with kill -9. Name someone
// who is not there yet, someone twice, yourself. Let two name each other. Stop one
// (kill -STOP) while the others chat, and let it go on (kill -CONT).
//
// # What to watch for
//
// A message reaches everyone with whom its sender is in contact, once, and those
// who stay are told who left. Who was named at launch is dialled until it is
// there, at intervals that grow to 5 seconds, and again after it left: it may
// come back, and need not name anyone. Who was not named, and left, is forgotten.
// One that stops reading does not hold up the others: it is disconnected when
// 4 MiB wait for it.
//
// The program tcpchat is welcome too, as client or as server. It shows the line
// by which a participant says who it is, but never says it. What makes it a
// participant is its first message, or to be silent for 2 seconds.
//
// # How it works
//
// An accepted connection comes from an ephemeral port, so its address does not
// tell whose it is. Hence the first message of each side is <JOINS THE CHAT AT
// PORT AS ID>: where it listens, and a random identifier. The one who dialled
// says it first. Who finds its own identifier there has dialled itself.
//
// Two who name each other get two connections. The one dialled by the smaller
// identifier stays, else the older one. A message is sent over one connection to
// each participant, the best that takes it: so it never arrives twice. Only the
// one who dialled the connection that stays ends the others, by a half-close, and
// only when the other side has answered there: by then that side has it too. Both
// sides read the others to their end: so no message is lost on the way, and there
// is no moment without a connection for the next one.
//
// # What is still wrong with it
//
//   - Everyone is who they say they are: nobody checks. Who claims the identifier
//     of another gets messages meant for that one, and so does who claims, on the
//     same machine, the port of another that says nothing.
//   - A plain program has no identifier: what it sends over two connections is
//     shown twice. A participant that takes more than 2 seconds to say who it is
//     on a second connection, to another address of its machine, may get a message
//     twice.
//   - While two connections become one, messages may overtake each other.
//   - Nobody is told of third ones: who names nobody, and is not named, is alone.
//   - When a cable is cut, it takes minutes before anybody notices.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/console"
)

const (
	usage    = "usage: tcpgroupchat [-prefix 1|2|4|8] [PORT [IP:PORT ...]]"
	patience = 2 * time.Second        // for an answer
	shortest = 100 * time.Millisecond // pause before dialling again
	longest  = 5 * time.Second

	longestName = 64 // letters, where a name is kept
)

var (
	config   = sockets.Config{DialTimeout: patience}
	me       = fmt.Sprintf("%016x", rand.Uint64()) // this participant's identifier
	joins    = regexp.MustCompile(`^<JOINS THE CHAT AT ([0-9]{1,5}) AS ([^\s>:]{1,64})>$`)
	joinText string
	username string

	mu    sync.Mutex // guards links and what is in them
	links []*link    // with everyone in contact, the best one with each first
)

// A link is a connection with another participant.
type link struct {
	*sockets.Connection
	dialled bool   // by this participant
	met     func() // called when it is known who is at the other end
	spoke   bool   // the other end said something
	id      string // of who is there
	listens string // the address where they do; of a plain program, its own
	name    string
}

func main() {
	flag.IntVar(&config.Prefix, "prefix", 4, "bytes of the length before each message")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	if !slices.Contains([]int{1, 2, 4, 8}, config.Prefix) {
		console.Usage("the prefix must be 1, 2, 4 or 8 bytes", usage)
	}
	port, peers := "0", []string(nil) // 0: any free port
	if flag.NArg() > 0 {
		port, peers = flag.Arg(0), flag.Args()[1:]
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, peer := range peers {
		address, err := sockets.ResolveAddress(ctx, peer)
		if err == nil && address.Port() == 0 {
			err = fmt.Errorf("%q: the port is missing", peer)
		}
		console.Check(err, usage)
	}
	server, err := config.Listen(":"+port, nil)
	console.Check(err, usage)

	ips, _ := sockets.LocalIPs() // only to show them
	console.Println("Bound to:", server.LocalAddress())
	console.Println("Local IP addresses:", ips)
	if port == "0" {
		command := append([]string{"go run ./examples/tcpgroupchat"}, os.Args[1:len(os.Args)-flag.NArg()]...) // with the same flags
		console.Printf("In another terminal: %s 0 localhost:%d", strings.Join(command, " "), server.LocalAddress().Port())
	}
	if username, err = console.Input("Enter your username to start the chat:\n"); err != nil {
		return
	}
	joinText = fmt.Sprintf("<JOINS THE CHAT AT %d AS %s>", server.LocalAddress().Port(), me)
	var serving, trying sync.WaitGroup
	server.SetCallback(func(event sockets.Event, connection *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			serving.Go(func() { serve(ctx, &link{Connection: connection, met: func() {}}) })
		case sockets.EventError:
			console.Println(err)
		}
	})
	trying.Add(len(peers))
	for _, peer := range peers {
		serving.Go(func() { contact(ctx, peer, sync.OnceFunc(trying.Done)) })
	}
	trying.Wait()
	console.Println("Type your message and press Enter to send it. Messages from other peers will be displayed below.")
	for content := range console.Lines() {
		if content == "" {
			console.Println("Empty message, not sent")
		} else if problem := sendAll(content); problem != "" {
			console.Println(problem)
		}
	}
	cancel()
	server.Close()
	<-server.Done()
	serving.Wait()
}

// sendAll sends to everyone in contact, over the best link that takes it. It
// returns why nobody gets it, if so.
func sendAll(text string) (problem string) {
	payload := sockets.NewMessage(text, username).Bytes()
	reached := map[string]bool{} // identifiers, and where these listen
	problem = "No peer connected, message is lost"
	mu.Lock()
	defer mu.Unlock()
	for _, l := range links {
		if reached[l.id] {
			continue
		} else if err := sockets.SendAll(payload, l.Connection); err != nil {
			problem = err.Error()
		} else {
			reached[l.id], reached[l.listens] = true, true
		}
	}
	if len(reached) > 0 {
		return ""
	}
	return problem
}

// contact dials address until someone answers, and again when that one is gone.
// It calls tried when it is known what became of the first attempt.
func contact(ctx context.Context, address string, tried func()) {
	for pause := shortest; ctx.Err() == nil; pause = min(2*pause, longest) {
		began := time.Now()
		if client, err := config.Dial(ctx, address, nil); err == nil {
			l := &link{Connection: client.Connection, dialled: true, met: tried}
			serve(ctx, l)
			if l.id == me {
				return
			}
			for other := lookUp(l.id); other != nil; other = lookUp(l.id) {
				<-other.Done()
			}
		} else if pause == shortest {
			console.Println("Trying again and again:", err)
		}
		tried()
		if time.Since(began) > longest {
			pause = shortest
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
		}
	}
}

// serve is the life of l.
func serve(ctx context.Context, l *link) {
	if l.dialled {
		l.join()
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	payload, err := l.Receive(soon)
	cancel()
	if err == context.DeadlineExceeded {
		l.meet(sockets.Message{}, false)
		payload, err = l.Receive(ctx)
	}
	for ; err == nil; payload, err = l.Receive(ctx) {
		message, _ := sockets.ParseMessage(payload)
		if !l.spoke && l.meet(message, true) {
			continue
		}
		console.Println(string(payload))
	}
	mu.Lock()
	remove(l)
	gone := l.id != me && l.id != "" && find(l.id) == nil
	mu.Unlock()
	if ctx.Err() == nil && err != io.EOF && err != net.ErrClosed {
		console.Println(err)
	}
	if ctx.Err() == nil && gone {
		console.Println(l.name, "left the chat")
	}
	l.Close()
}

// join says who this participant is: the first message on every connection.
func (l *link) join() {
	sockets.SendAll(sockets.NewMessage(joinText, username).Bytes(), l.Connection)
}

// meet learns who is at the other end from its first message, or from none in
// time. It reports whether the message says just that.
func (l *link) meet(message sockets.Message, spoke bool) bool {
	join := joins.FindStringSubmatch(message.Text)
	mu.Lock()
	before := l.name
	l.identify(spoke, message.Sender, join)
	remove(l)
	newcomer := l.name != before && l.id != me && find(l.id) == nil
	if l.id != me {
		links = append(links, l)
		slices.SortStableFunc(links, func(a, b *link) int { return cmp.Compare(a.rank(), b.rank()) })
	}
	if before == "" && !l.dialled {
		l.join()
	}
	if l.id == me {
		go l.Close()
	}
	for _, other := range links {
		if best := find(l.id); other.id == l.id && other != best && best.dialled && best.spoke && other.spoke {
			go other.CloseWrite() // the other end may still send
		}
	}
	mu.Unlock()
	if newcomer {
		console.Println(l.name, "joined the chat")
	}
	l.met()
	return join != nil
}

// identify notes who is at the other end. A plain program's identifier is its
// address. One that was dialled and is silent may be a participant in contact
// over another link: all that is known of it is where it listens.
func (l *link) identify(spoke bool, sender string, join []string) {
	address := l.RemoteAddress()
	l.spoke, l.id, l.listens = spoke, address.String(), address.String()
	if join != nil {
		l.id, l.listens = join[2], net.JoinHostPort(address.Addr().String(), join[1])
	}
	l.name = l.listens
	if sender != "" {
		l.name = fmt.Sprintf("%.*s (%s)", longestName, sender, l.name)
	}
}

// rank orders the links with one participant.
func (l *link) rank() int {
	switch {
	case !l.spoke:
		return 2
	case l.dialled == (me < l.id):
		return 0
	}
	return 1
}

func remove(l *link) {
	links = slices.DeleteFunc(links, func(other *link) bool { return other == l })
}

// find returns the best link with a participant, or nil.
func find(id string) *link {
	if i := slices.IndexFunc(links, func(l *link) bool { return l.id == id || l.listens == id }); i >= 0 {
		return links[i]
	}
	return nil
}

func lookUp(id string) *link {
	mu.Lock()
	defer mu.Unlock()
	return find(id)
}
