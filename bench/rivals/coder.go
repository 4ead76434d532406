package rivals

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// Binary messages, without compression, which is the default. A message is read
// from its Reader into a buffer that stays: Read would allocate another.
func init() {
	register(Rival{
		Name: "coder",
		Serve: func(l net.Listener, kind Kind, s *Stats) error {
			return serveUpgraded(l, kind, s, func(w http.ResponseWriter, r *http.Request) (Link, error) {
				conn, err := websocket.Accept(w, r, nil)
				return newCoderLink(conn), err
			})
		},
		Dial: func(ctx context.Context, address string, _ Kind) (Link, error) {
			conn, _, err := websocket.Dial(ctx, "ws://"+address, &websocket.DialOptions{HTTPClient: &http.Client{Transport: new(http.Transport)}})
			return newCoderLink(conn), err
		},
	})
}

// serveUpgraded turns each request into a link, which is served on a goroutine
// that does not keep what net/http had on its own.
func serveUpgraded(l net.Listener, kind Kind, s *Stats, upgrade func(http.ResponseWriter, *http.Request) (Link, error)) error {
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			link, err := upgrade(w, r)
			if err != nil {
				s.Fail(err)
				return
			}
			go ServeLink(link, kind, s)
		}),
	}
	return server.Serve(l)
}

type coderLink struct {
	*websocket.Conn
	message bytes.Buffer
}

func newCoderLink(conn *websocket.Conn) *coderLink {
	if conn != nil {
		conn.SetReadLimit(longest)
	}
	return &coderLink{Conn: conn}
}

func (c *coderLink) Send(payload []byte) error {
	return c.Write(context.Background(), websocket.MessageBinary, payload)
}

func (c *coderLink) Receive() ([]byte, error) {
	_, r, err := c.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	c.message.Reset()
	_, err = c.message.ReadFrom(r)
	return c.message.Bytes(), err
}

func (c *coderLink) Close() error { return c.CloseNow() }
