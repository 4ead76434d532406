package endurance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

// In the environment of the crowd's process, where it connects to and how often.
const (
	crowdAt   = "SOCKETS_TEST_CROWD_AT"
	crowdSize = "CROWD"
)

const rounds = 3

// A message to every connection of a crowd in another process reaches all within
// a second.
func TestCrowdIsReachedInASecond(t *testing.T) {
	count := size(t, crowdSize, 200)
	var mu sync.Mutex // guards connections
	connections := make([]*sockets.Connection, 0, count)
	full := make(chan struct{})
	cfg := sockets.Config{MaxConnections: count}
	s, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, c *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			c.SetCallback(func(event sockets.Event, _ []byte, _ *sockets.Connection, err error) {
				if event == sockets.EventError {
					t.Errorf("a connection fails: %v", err)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			if connections = append(connections, c); len(connections) == count {
				close(full)
			}
		case sockets.EventError:
			t.Errorf("the server tells of %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, itself)
	child.Env = append(os.Environ(), crowdAt+"="+s.LocalAddress().String(), crowdSize+"="+strconv.Itoa(count), "GORACE=atexit_sleep_ms=0")
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	expect := func(want string) {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the crowd says %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
	}
	expect("connected")
	select {
	case <-full:
	case <-ctx.Done():
		t.Fatal("not every connection was accepted")
	}
	for round := range rounds {
		start := time.Now()
		if err := sockets.SendAll(fmt.Append(nil, round), connections...); err != nil {
			t.Errorf("SendAll = %v", err)
		}
		expect(fmt.Sprint("all have ", round))
		passed := time.Since(start)
		t.Logf("round %d: %d connections reached in %v", round, count, passed)
		if passed >= time.Second {
			t.Errorf("round %d: %d connections reached in %v, want less than a second", round, count, passed)
		}
	}
	stdin.Close()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("the crowd: %v", err)
	}
}

// crowd is the other process: many connections to address, which say together
// when all have a message, until the input ends.
func crowd(address string) {
	count, err := strconv.Atoi(os.Getenv(crowdSize))
	if err != nil {
		log.Fatal(err)
	}
	var counters [rounds]atomic.Int64
	told := make(chan string, rounds)
	callback := func(event sockets.Event, payload []byte, _ *sockets.Connection, err error) {
		switch event {
		case sockets.EventMessage:
			if round, err := strconv.Atoi(string(payload)); err != nil || round >= rounds {
				log.Fatalf("a message %q", payload)
			} else if counters[round].Add(1) == int64(count) {
				told <- fmt.Sprint("all have ", round)
			}
		case sockets.EventError:
			log.Fatalf("a connection fails: %v", err)
		}
	}
	clients := make([]*sockets.Client, count)
	var workers sync.WaitGroup
	for worker := range 16 {
		workers.Go(func() {
			for i := worker; i < count; i += 16 {
				var err error
				if clients[i], err = sockets.Dial(context.Background(), address, callback); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	workers.Wait()
	fmt.Println("connected")
	for range rounds {
		fmt.Println(<-told)
	}
	io.Copy(io.Discard, os.Stdin)
	for _, c := range clients {
		<-c.Done()
	}
}
