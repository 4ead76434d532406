package rivals

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A Link is one end of a connection that sends one message per call. One
// goroutine may send while another receives; Close may be called by a third,
// again too, and ends both.
type Link interface {
	// Send sends one message; the payload may be reused when it returns.
	Send(payload []byte) error

	// Receive returns a message, which is valid until the next call.
	Receive() ([]byte, error)

	// Close ends the link, after what was sent has left.
	Close() error
}

// Exchange does a load with one goroutine per link, which sends a message for
// each that it receives.
func Exchange(ctx context.Context, dial func(context.Context, string, Kind) (Link, error), address string, load Load, s *Stats) error {
	var links []Link
	defer func() {
		for _, link := range links {
			link.Close()
		}
	}()
	for range load.Connections {
		link, err := dial(ctx, address, load.Kind)
		if err != nil {
			return err
		}
		links = append(links, link)
		if load.Kind == Idle {
			if err := once(link, load, s); err != nil {
				return err
			}
		}
	}
	drive := echo
	switch load.Kind {
	case Stream:
		drive = stream
	case Idle:
		<-ctx.Done()
		return nil
	}
	tasks, inner := errgroup.WithContext(ctx)
	for _, link := range links {
		if load.Kind != Stream {
			defer context.AfterFunc(inner, func() { link.Close() })()
		}
		tasks.Go(func() error {
			if err := drive(inner, link, load, s); err != nil && inner.Err() == nil {
				return err
			}
			return nil
		})
	}
	return tasks.Wait()
}

func echo(_ context.Context, link Link, load Load, s *Stats) error {
	content, counter := s.Content(load.Size), s.Counter()
	for i := range load.Window {
		if err := link.Send(content.Message(i)); err != nil {
			return err
		}
	}
	for next := load.Window; ; next++ {
		payload, err := link.Receive()
		if err != nil {
			return err
		}
		counter.Message(payload)
		if err := link.Send(content.Message(next)); err != nil {
			return err
		}
	}
}

func once(link Link, load Load, s *Stats) error {
	counter := s.Counter()
	if err := link.Send(s.Content(load.Size).Message(0)); err != nil {
		return err
	}
	payload, err := link.Receive()
	if err != nil {
		return err
	}
	counter.Message(payload)
	return nil
}

func stream(ctx context.Context, link Link, load Load, s *Stats) error {
	content := s.Content(load.Size)
	s.Begun()
	for sent := 0; ; {
		for range 16 {
			if err := link.Send(content.Message(sent)); err != nil {
				return err
			}
			sent++
		}
		if ctx.Err() != nil {
			s.Sent.Add(int64(sent))
			return nil
		}
	}
}

// ServeLink does, with a link to a client, what the kind says, until it ends.
func ServeLink(link Link, kind Kind, s *Stats) {
	defer link.Close()
	serve := serveEcho
	switch kind {
	case Stream:
		serve = serveStream
	case Group:
		serve = serveGroup
	}
	serve(link, s)
}

func serveEcho(link Link, _ *Stats) {
	for {
		payload, err := link.Receive()
		if err != nil || link.Send(payload) != nil {
			return
		}
	}
}

func serveStream(link Link, s *Stats) {
	counter := s.Counter()
	defer counter.Close()
	for {
		payload, err := link.Receive()
		if err != nil {
			return
		}
		counter.Message(payload)
	}
}

func serveGroup(link Link, s *Stats) {
	payload, err := link.Receive()
	s.group.join(link)
	defer s.group.leave(link)
	if err != nil || link.Send(payload) != nil {
		return
	}
	for {
		payload, err := link.Receive()
		if err != nil {
			return
		}
		for _, member := range s.group.all() {
			member.Send(payload)
		}
	}
}

// A circle is the members of a group.
type circle[M comparable] struct {
	mu      sync.Mutex // guards members
	members []M        // replaced, never changed
}

func (c *circle[M]) join(member M) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(slices.Clone(c.members), member)
}

func (c *circle[M]) leave(member M) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(slices.Clone(c.members), func(m M) bool { return m == member })
}

func (c *circle[M]) all() []M {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members
}
