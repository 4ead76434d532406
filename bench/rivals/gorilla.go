package rivals

import (
	"bytes"
	"context"
	"net"
	"net/http"

	"github.com/gorilla/websocket"
)

// Binary messages, without compression. Buffers are as its documentation has
// it: no larger than the largest message; and, where many connections are idle,
// those that net/http has already allocated.
const gorillaBuffer = 64 << 10

func init() {
	register(Rival{
		Name: "gorilla",
		Serve: func(l net.Listener, kind Kind, s *Stats) error {
			upgrader := &websocket.Upgrader{ReadBufferSize: gorillaBuffer, WriteBufferSize: gorillaBuffer}
			if kind == Idle {
				upgrader = new(websocket.Upgrader)
			}
			return serveUpgraded(l, kind, s, func(w http.ResponseWriter, r *http.Request) (Link, error) {
				conn, err := upgrader.Upgrade(w, r, nil)
				return &gorillaLink{Conn: conn}, err
			})
		},
		Dial: func(ctx context.Context, address string, kind Kind) (Link, error) {
			dialer := &websocket.Dialer{ReadBufferSize: gorillaBuffer, WriteBufferSize: gorillaBuffer}
			if kind == Idle {
				dialer = new(websocket.Dialer)
			}
			conn, _, err := dialer.DialContext(ctx, "ws://"+address, nil)
			return &gorillaLink{Conn: conn}, err
		},
	})
}

type gorillaLink struct {
	*websocket.Conn
	message bytes.Buffer
}

func (g *gorillaLink) Send(payload []byte) error {
	return g.WriteMessage(websocket.BinaryMessage, payload)
}

func (g *gorillaLink) Receive() ([]byte, error) {
	_, r, err := g.NextReader()
	if err != nil {
		return nil, err
	}
	g.message.Reset()
	_, err = g.message.ReadFrom(r)
	return g.message.Bytes(), err
}
