package sockets_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/seed287501ae/sockets"
)

// These figures are of one machine, over its loopback, both ends in one
// process:
//
//	go test -run='^$' -bench=. .

var benchmarkSizes = []int{16, 128, 1 << 10, 64 << 10}

// A message of the slides, more or less.
const benchmarkMessage = 128

func BenchmarkFramerWrite(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := sockets.NewFramer(duplex{nil, io.Discard}, 4)
			message := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := f.WriteMessage(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFramerRead(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := framerOver(&endlessReader{stream: glued(4, make([]byte, size))}, 4)
			var message []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if message, err = f.ReadAppend(message[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEcho sends messages that come back, with one or several on their
// way at a time. An operation is a round trip.
func BenchmarkEcho(b *testing.B) {
	for _, window := range []int{1, 64} {
		b.Run(fmt.Sprintf("callback/%d", window), func(b *testing.B) { echoByCallback(b, window) })
		b.Run(fmt.Sprintf("receive/%d", window), func(b *testing.B) { echoByReceive(b, window) })
	}
}

func echoByCallback(b *testing.B, window int) {
	payload := make([]byte, benchmarkMessage)
	server := benchmarkServer(b, nil, func(connection *sockets.Connection) {
		connection.SetCallback(func(event sockets.Event, payload []byte, connection *sockets.Connection, err error) {
			if event == sockets.EventMessage {
				connection.Send(payload)
			}
		})
	})
	sent, back := 0, 0
	started, done := make(chan struct{}), make(chan struct{})
	client := benchmarkClient(b, nil, server, func(event sockets.Event, _ []byte, connection *sockets.Connection, err error) {
		if event != sockets.EventMessage {
			return
		}
		<-started
		if sent < b.N {
			sent++
			connection.Send(payload)
		}
		if back++; back == b.N {
			close(done)
		}
	})
	b.SetBytes(benchmarkMessage)
	b.ReportAllocs()
	b.ResetTimer()
	for sent < min(window, b.N) {
		sent++
		if err := client.Send(payload); err != nil {
			b.Fatal(err)
		}
	}
	close(started)
	await(b, done, client.Done())
}

func echoByReceive(b *testing.B, window int) {
	server := benchmarkServer(b, nil, func(connection *sockets.Connection) {
		go func() {
			for {
				payload, err := connection.Receive(context.Background())
				if err != nil || connection.Send(payload) != nil {
					connection.Close()
					return
				}
			}
		}()
	})
	client := benchmarkClient(b, nil, server, nil)
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	payload := make([]byte, benchmarkMessage)
	send := func() {
		if err := client.Send(payload); err != nil {
			b.Fatal(err)
		}
	}
	receive := func() {
		if _, err := client.Receive(ctx); err != nil {
			b.Fatal(err)
		}
	}
	for range window - 1 {
		send()
	}
	b.SetBytes(benchmarkMessage)
	b.ReportAllocs()
	for b.Loop() {
		send()
		receive()
	}
	for range window - 1 {
		receive()
	}
}

// BenchmarkStream sends messages one way, to a callback, until all have
// arrived.
func BenchmarkStream(b *testing.B) {
	for _, lend := range []bool{false, true} {
		for _, size := range benchmarkSizes {
			whose := "owned"
			if lend {
				whose = "lent"
			}
			b.Run(fmt.Sprintf("%s/%d", whose, size), func(b *testing.B) {
				arrived := 0
				done := make(chan struct{})
				cfg := &sockets.Config{LendPayloads: lend}
				server := benchmarkServer(b, cfg, func(connection *sockets.Connection) {
					connection.SetCallback(func(event sockets.Event, _ []byte, _ *sockets.Connection, err error) {
						if event == sockets.EventMessage {
							if arrived++; arrived == b.N {
								close(done)
							}
						}
					})
				})
				client := benchmarkClient(b, cfg, server, nil)
				payload := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if err := client.Send(payload); err != nil {
						b.Fatal(err)
					}
				}
				await(b, done, client.Done())
			})
		}
	}
}

// BenchmarkPeer sends a datagram to a peer that sends it back.
func BenchmarkPeer(b *testing.B) {
	far, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer far.Close()
	near, err := sockets.NewPeer("127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer near.Close()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	var echo sync.WaitGroup
	echo.Go(func() {
		for {
			payload, sender, err := far.Receive(context.Background())
			if err != nil {
				return
			}
			far.Send(payload, sender)
		}
	})
	payload := make([]byte, benchmarkMessage)
	b.SetBytes(benchmarkMessage)
	b.ReportAllocs()
	for b.Loop() {
		if err := near.Send(payload, far.LocalAddress()); err != nil {
			b.Fatal(err)
		}
		if _, _, err := near.Receive(ctx); err != nil {
			b.Fatal(err)
		}
	}
	far.Close()
	echo.Wait()
}

// BenchmarkSendAll sends messages to 64 connections that read, and waits until
// all have them: after each message, or each 64. An operation is one message to
// all.
func BenchmarkSendAll(b *testing.B) {
	const members = 64
	for _, window := range []int{1, 64} {
		b.Run(fmt.Sprint(window), func(b *testing.B) {
			connected := make(chan *sockets.Connection, members)
			server := benchmarkServer(b, nil, func(connection *sockets.Connection) {
				connection.SetCallback(func(sockets.Event, []byte, *sockets.Connection, error) {})
				connected <- connection
			})
			var missing sync.WaitGroup
			cfg := &sockets.Config{LendPayloads: true}
			var all []*sockets.Connection
			for range members {
				benchmarkClient(b, cfg, server, func(event sockets.Event, _ []byte, _ *sockets.Connection, err error) {
					if event == sockets.EventMessage {
						missing.Done()
					}
				})
				all = append(all, <-connected)
			}
			payload := make([]byte, benchmarkMessage)
			b.SetBytes(members * benchmarkMessage)
			b.ReportAllocs()
			for sent := 1; b.Loop(); sent++ {
				missing.Add(members)
				if err := sockets.SendAll(payload, all...); err != nil {
					b.Fatal(err)
				}
				if sent%window == 0 {
					missing.Wait()
				}
			}
			missing.Wait()
		})
	}
}

// benchmarkServer runs a server until the benchmark ends.
func benchmarkServer(b *testing.B, cfg *sockets.Config, connect func(*sockets.Connection)) *sockets.Server {
	b.Helper()
	if cfg == nil {
		cfg = new(sockets.Config)
	}
	server, err := cfg.Listen("127.0.0.1:0", func(event sockets.Event, connection *sockets.Connection, _ sockets.Address, err error) {
		switch event {
		case sockets.EventConnect:
			connect(connection)
		case sockets.EventError:
			b.Error(err)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			b.Error(err)
		}
	})
	return server
}

// benchmarkClient is connected until the benchmark ends.
func benchmarkClient(b *testing.B, cfg *sockets.Config, server *sockets.Server, callback sockets.ConnectionCallback) *sockets.Client {
	b.Helper()
	if cfg == nil {
		cfg = new(sockets.Config)
	}
	client, err := cfg.Dial(b.Context(), server.LocalAddress().String(), callback)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return client
}

// await waits for done, unless the connection is over first.
func await(b *testing.B, done, over <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-over:
		b.Fatal("the connection is over")
	case <-time.After(5 * time.Minute):
		b.Fatal("the messages do not arrive")
	}
}
