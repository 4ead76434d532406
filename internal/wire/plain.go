//go:build !unix || plain

package wire

import (
	"net"

	"github.com/seed287501ae/sockets/internal/page"
)

type (
	fastReader struct{}
	fastWriter struct{}
)

// Read returns Stop's error as soon as there is one. Only time spent in Read
// counts: what passes between two calls is the program's.
func (w *Wire) Read(p []byte) (int, error) { return w.read(p) }

// Fill reads into b, once there is something to read.
func (w *Wire) Fill(b *page.Buffer) error { return b.Fill(w) }

// TryWrite writes, and consumes, what it can without waiting: nothing.
func (w *Wire) TryWrite(vector *net.Buffers) (int64, error) { return 0, nil }

func (w *Wire) writeTCP(tcp *net.TCPConn, vector *net.Buffers) (int64, error) {
	w.limitWrite()
	return vector.WriteTo(tcp)
}
