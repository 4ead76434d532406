package main

const (
	root   = "."
	framed = ". ./internal/wire ./internal/outbox"
)

// streamDefects are those of one connection and what it is made of.
var streamDefects = []defect{
	{"a promised body is allocated at once", "framing.go", root, []edit{
		{"min(f.missing, max(readAhead, arrived))", "min(f.missing, max(64<<20, arrived))"},
	}},
	{"a short read is taken for a whole message", "framing.go", root, []edit{
		{"f.missing -= n", "f.missing = 0"},
	}},
	{"the end inside a message looks orderly", "framing.go", root, []edit{
		{"return io.ErrUnexpectedEOF", "return io.EOF"},
	}},
	{"a message may have one byte over MaxMessage", "framing.go", root, []edit{
		{"if length > uint64(f.limit()) {", "if length > uint64(f.limit())+1 {"},
	}},
	{"one may send one byte over MaxMessage", "framing.go", root, []edit{
		{"length > limit {", "length > limit+1 {"},
	}},
	{"without MaxMessage the prefix alone is the limit", "framing.go", root, []edit{
		{"cmp.Or(f.MaxMessage, maxDefault)", "cmp.Or(f.MaxMessage, f.most)"},
	}},
	{"reading goes on after a message that is too big", "framing.go", root, []edit{
		{"if f.inBody || f.readErr != nil {\n\t\treturn f.readErr", "if f.inBody {\n\t\treturn nil"},
	}},
	{"writing goes on after a part of a message", "framing.go", root, []edit{
		{"if err != nil && n > 0 {", "if err != nil && n < 0 {"},
	}},

	{"close is told twice", "conn.go", root, []edit{
		{"callback(EventClose, nil, c, nil)", "callback(EventClose, nil, c, nil)\n\tcallback(EventClose, nil, c, nil)"},
	}},
	{"close does not wait for the last message", "conn.go", root, []edit{
		{"callback(EventMessage, payload, c, nil)", "go callback(EventMessage, payload, c, nil)"},
	}},
	{"close is told before the error", "conn.go", root, []edit{
		{"<-c.ended.Wait()\n\tif reason", "<-c.ended.Wait()\n\tdefer callback(EventError, nil, c, c.Err())\n\tif reason"},
		{"callback(EventError, nil, c, reason)", ""},
	}},
	{"an orderly end is an error", "conn.go", root, []edit{
		{"reason != io.EOF && reason != net.ErrClosed {", "reason != net.ErrClosed {"},
	}},
	{"a message event starts after Close", "conn.go", root, []edit{
		{"if err != nil || c.closing.IsClosed() {\n\t\t\tbreak", "if err != nil {\n\t\t\tbreak"},
	}},
	{"a lock is held during a callback", "conn.go", root, []edit{
		{"callback(EventMessage, payload, c, nil)", "c.mu.Lock()\n\t\tcallback(EventMessage, payload, c, nil)\n\t\tc.mu.Unlock()"},
	}},
	{"the right to read is kept during a callback", "conn.go", root, []edit{
		{"\tc.reading.Give()\n\t_, more", "\tif err != nil {\n\t\tc.reading.Give()\n\t}\n\t_, more"},
		{"\tc.out.Release()\n\tc.reading.Take()\n", "\tc.out.Release()\n\tc.reading.Try()\n"},
	}},
	{"Close does not flush", "conn.go", root, []edit{
		{"<-c.flushed.Wait()\n\tc.conn.Close()", "c.conn.Close()"},
	}},
	{"Close does not drain: unread input makes it a reset", "conn.go", root, []edit{
		{"err := c.drain()", "var err error"},
	}},
	{"Close waits for ever for the other end", "conn.go", root, []edit{
		{"if first && c.cfg.CloseTimeout > 0 {", "if first && c.cfg.CloseTimeout < 0 {"},
	}},
	{"CloseNow says goodbye to a layer that has no room", "conn.go", root, []edit{
		{"layer.NetConn().Close()", "_ = layer"},
	}},
	{"a lent payload is the default", "conn.go", root, []edit{
		{"case inPlace && !c.cfg.LendPayloads:", "case inPlace && c.cfg.LendPayloads:"},
	}},
	{"the group's SendAll stops at the first error", "conn.go", root, []edit{
		{"errs = append(errs, fmt.Errorf(\"sockets: to %v: %w\", c.RemoteAddress(), err))", "return fmt.Errorf(\"sockets: to %v: %w\", c.RemoteAddress(), err)"},
	}},
	{"one slow connection makes SendAll wait", "conn.go", root, []edit{
		{"c.out.Enqueue(*frame, ErrSlow)", "c.out.Send((*frame)[:1], (*frame)[1:])"},
	}},
	{"who cannot keep up is skipped, and left with a hole", "conn.go", root, []edit{
		{"c.abort(ErrSlow)\n", ""},
	}},

	{"MaxQueue is one byte short", "internal/outbox/outbox.go", framed, []edit{
		{"o.queued+cost(frame) > o.max", "o.queued+cost(frame) >= o.max"},
	}},
	{"empty messages fill the queue for nothing", "internal/outbox/outbox.go", framed, []edit{
		{"return len(frame) + 24", "return len(frame)"},
	}},
	{"a long message overtakes what is gathered", "internal/outbox/outbox.go", framed, []edit{
		{"case o.writing && !short:", "case !short && o.writing && len(o.next.parts) == 2:"},
	}},
	{"what Send gathers is the caller's memory", "internal/outbox/outbox.go", framed, []edit{
		{"\t\tnext.copy(head, body)\n", "\t\tnext.copy(head, nil)\n\t\tnext.refer(body)\n"},
	}},
	{"what is gathered has no bound", "internal/outbox/outbox.go", framed, []edit{
		{"for short && o.writing && o.sizeLocked() >= gathered", "for short && o.writing && o.sizeLocked() < 0"},
	}},
	{"a queue refers to what is for others", "internal/outbox/outbox.go", framed, []edit{
		{" || &(*last)[:n+1][n] != &frame[0]", ""},
	}},
	{"a slow queue keeps the memory of all frames", "internal/outbox/outbox.go", framed, []edit{
		{"case len(frame) > copied:", "case true:"},
	}},
	{"what was queued is given back while it is written", "internal/outbox/outbox.go", framed, []edit{
		{"\to.vector = b.parts\n", "\to.vector = b.parts\n\tdefer b.release()\n"},
	}},
	{"who waits for a token is not told", "internal/latch/token.go", "./internal/latch", []edit{
		{"\t\tclose(*c)\n", ""},
	}},
	{"a token is given back before anybody waits, and is waited for", "internal/latch/token.go", "./internal/latch", []edit{
		{"if !t.taken.Load() {", "if false {"},
	}},
	{"Close forgets the fault that the reader was told", "conn.go", framed, []edit{
		{"cmp.Or(c.out.Err(), err, c.wire.Fault())", "cmp.Or(c.out.Err(), err)"},
	}},
	{"Close of what a fault has ended can be late", "conn.go", root, []edit{
		{"late.Store(open || c.Err() == io.EOF)", "late.Store(true)"},
	}},
	{"a read that fails cuts Close short", "conn.go", root, []edit{
		{"if c.blame(err); c.Err() != net.ErrClosed {\n\t\tc.abort(err)\n\t}", "c.abort(err)"},
	}},
	{"parts that were written in part are written again", "internal/wire/fast.go", framed, []edit{
		{"\t\t(*vector)[0] = (*vector)[0][n:]\n", ""},
	}},
	{"a hold has no end but Release", "internal/outbox/outbox.go", framed, []edit{
		{"time.AfterFunc(holding, o.overdue)", "time.AfterFunc(holding, func() {})"},
	}},
	{"the receiver does not let go of what it holds", "conn.go", framed, []edit{
		{"\tc.out.Release()\n\tc.reading", "\tc.reading"},
	}},
	{"a message that is lent is read over", "internal/page/buffer.go", framed + " ./internal/page", []edit{
		{"\t\tb.taken += n\n", "\t\tb.taken += n\n\t\tb.Release()\n"},
	}},
	{"a page is used by two at once", "internal/page/buffer.go", framed + " ./internal/page", []edit{
		{"\tb.page, b.taken, b.end = nil, 0, 0\n", ""},
	}},
	{"a slab is used again", "internal/slab/slab.go", framed + " ./internal/slab", []edit{
		{"s.free = s.free[n:]", ""},
	}},
	{"the stream is half-closed while a Send is under way", "internal/outbox/outbox.go", framed, []edit{
		{"o.refuse != nil && !o.writing && o.waiting == 0", "o.refuse != nil"},
	}},
	{"a Send follows a write that failed", "internal/outbox/outbox.go", framed, []edit{
		{"\t\to.broken = err\n", ""},
	}},

	{"FrameTimeout counts callbacks too", "internal/wire/wire.go", framed, []edit{
		{"\n// Next begins", "\nvar began = make(map[*Wire]time.Time)\n\n// Next begins"},
		{"func (w *Wire) Next() { w.spent = 0 }", "func (w *Wire) Next() { w.spent = 0; began[w] = time.Now() }"},
		{"w.spent += time.Since(w.since)", "w.spent += time.Since(w.since)\n\t\tif at, ok := began[w]; ok {\n\t\t\tw.spent = time.Since(at)\n\t\t}"},
	}},
	{"FrameTimeout is not reset after a message", "internal/wire/wire.go", framed, []edit{
		{"func (w *Wire) Next() { w.spent = 0 }", "func (w *Wire) Next() {}"},
	}},
	{"FrameTimeout begins anew with each byte", "internal/wire/wire.go", framed, []edit{
		{"case err == nil || err == io.EOF:\n", "case err == nil || err == io.EOF:\n\t\tw.spent = 0\n"},
	}},
	{"FrameTimeout applies before a message has begun", "internal/wire/wire.go", framed, []edit{
		{"if w.limit = w.Idle; inFrame {", "if w.limit = w.Idle; true {"},
	}},
	{"whatever was lent is lent again", "conn.go", framed, []edit{
		{"LendPayloads && cap(payload) <= keepAtMost:", "LendPayloads && cap(payload) <= keepAtMost<<20:"},
	}},
	{"a cache keeps everything", "internal/page/cache.go", "./internal/page", []edit{
		{"len(c.kept) < c.Keep", "len(c.kept) < c.Keep<<20"},
	}},
	{"there is no SendTimeout", "internal/wire/wire.go", framed, []edit{
		{"if w.Send > 0 {", "if w.Send < 0 {"},
	}},
}
