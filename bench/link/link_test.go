// Package link_test measures how much of a simulated link the flows of package
// reliable and the streams of quic-go reach, side by side, in virtual time.
package link_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed287501ae/sockets"
	"github.com/seed287501ae/sockets/simnet"
)

const (
	bandwidth = 10_000_000 // bits per second, headers included
	delay     = 10 * time.Millisecond
)

// A mover begins to move content from one host to a port of the other, where the
// reader that it returns gives it. All ends with the test.
type mover func(t *testing.T, from, to *simnet.Host, port uint16, content []byte) io.Reader

// TestLink prints, as a table, the share of the link that 10 MB in one direction
// reach: the median of all seeds, the least and the most.
func TestLink(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	content := random(10_000_000)
	fmt.Println("| loss, both ways | seeds | `reliable` | quic-go, 1,280 B | quic-go, up to 1,452 B | `reliable` / quic-go, 1,280 B |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, row := range []struct {
		loss       float64
		seeds      int
		least      float64 // that the median of reliable must be
		leastRatio float64 // that the median of its ratio to quic-go must be
	}{
		{loss: 0, seeds: 3, least: 0.85},
		{loss: 0.001, seeds: 9, least: 0.85},
		{loss: 0.01, seeds: 41, leastRatio: 0.95},
		{loss: 0.03, seeds: 11},
	} {
		var ours, standard, large, ratios []float64
		for seed := range uint64(row.seeds) {
			a := share(t, reliableFlow, content, row.loss, seed)
			b := share(t, quicStream(false), content, row.loss, seed)
			c := share(t, quicStream(true), content, row.loss, seed)
			ours, standard, large, ratios = append(ours, a), append(standard, b), append(large, c), append(ratios, a/b)
		}
		fmt.Printf("| %.1f %% | %d | %s | %s | %s | %s |\n", row.loss*100, row.seeds,
			summary(ours), summary(standard), summary(large), summary(ratios))
		if got := median(ours); got < row.least {
			t.Errorf("loss %v: reliable reaches %.3f of the link, want %.2f", row.loss, got, row.least)
		}
		if got := median(ratios); got < row.leastRatio {
			t.Errorf("loss %v: reliable reaches %.3f of what quic-go does, want %.2f", row.loss, got, row.leastRatio)
		}
	}
}

// share returns the part of the link that the content takes, from the moment
// when the connection begins to be made to its last byte.
func share(t *testing.T, move mover, content []byte, loss float64, seed uint64) (share float64) {
	synctest.Test(t, func(t *testing.T) {
		from, to := hosts(loss, seed)
		began := time.Now()
		reader := &comparer{reader: move(t, from, to, 4433, content), left: content}
		if _, err := io.Copy(io.Discard, reader); err != nil || len(reader.left) > 0 {
			t.Fatalf("loss %v, seed %d: %d bytes of %d missing: %v", loss, seed, len(reader.left), len(content), err)
		}
		share = float64(len(content)) * 8 / bandwidth / time.Since(began).Seconds()
	})
	return share
}

// hosts returns two hosts, and the link between them, of a new network.
func hosts(loss float64, seed uint64) (from, to *simnet.Host) {
	network := simnet.New(seed)
	network.SetLinks(simnet.Link{Bandwidth: bandwidth, Delay: delay, Loss: loss})
	return network.Host(), network.Host()
}

func listenPacket(t *testing.T, network sockets.Network, port uint16) net.PacketConn {
	conn, err := network.ListenPacket(t.Context(), "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A comparer reads what must be the same as left, to its end.
type comparer struct {
	reader io.Reader
	left   []byte
}

func (c *comparer) Read(buffer []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n, err := c.reader.Read(buffer)
	if !bytes.HasPrefix(c.left, buffer[:n]) {
		return 0, fmt.Errorf("the next %d bytes are not those that were sent", n)
	}
	c.left = c.left[n:]
	return n, err
}

func random(n int) []byte {
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(content)
	return content
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func summary(values []float64) string {
	return fmt.Sprintf("%.3f (%.3f–%.3f)", median(values), slices.Min(values), slices.Max(values))
}
