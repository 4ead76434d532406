package main

// serverDefects are those of accepting.
var serverDefects = []defect{
	{"accepting stops at a temporary error", "server.go", root, []edit{
		{"case system.IsTemporary(err):", "case system.IsTemporary(err) && false:"},
	}},
	{"there is no back-off", "server.go", root, []edit{
		{"pause = min(max(2*pause, 5*time.Millisecond), time.Second)", "pause = 0"},
	}},
	{"the back-off outlasts Close", "server.go", root, []edit{
		{"case <-time.After(pause):\n\t\t\tcase <-s.closing.Wait():", "case <-time.After(pause):"},
	}},
	{"an aborted connection ends the server", "internal/system/system.go", ". ./internal/system", []edit{
		{"{syscall.ECONNABORTED, 10053},", ""},
	}},
	{"a handshake holds up accepting", "server.go", root, []edit{
		{"s.greeting.Go(func() {", "inline := func(greet func()) { greet() }\n\tinline(func() {"},
	}},
	{"a connection in its handshake does not count", "server.go", root, []edit{
		{"\ts.admitted++\n", ""},
		{"s.connections[c] = struct{}{}", "s.connections[c] = struct{}{}\n\t\ts.admitted++"},
	}},
	{"a handshake has no time-out", "server.go", root, []edit{
		{"within(ctx, s.cfg.HandshakeTimeout)", "within(ctx, -1)"},
	}},
	{"a failed handshake is told to nobody", "server.go", root, []edit{
		{"if err != nil && !s.closing.IsClosed() {", "if false {"},
	}},
	{"connect comes before the handshake", "server.go", root, []edit{
		{"if !ok {\n\t\ts.announce(c)", "if ok {\n\t\ts.announce(c)"},
	}},
	{"MaxConnections allows one more", "server.go", root, []edit{
		{"s.admitted >= limit", "s.admitted > limit"},
	}},
	{"MaxConnectionsPerIP allows one more", "server.go", root, []edit{
		{"s.perSite[site] >= limit", "s.perSite[site] > limit"},
	}},
	{"an address is counted for ever", "server.go", root, []edit{
		{"if s.perSite[site]--; s.perSite[site] == 0 {", "if s.perSite[site] == 0 {"},
	}},
	{"a connection that ended is counted for ever", "server.go", root, []edit{
		{"\ts.admitted--\n", ""},
	}},
	{"each address of an IPv6 network has a limit of its own", "internal/endpoint/endpoint.go", ". ./internal/endpoint", []edit{
		{"ip.Prefix(64)", "ip.Prefix(128)"},
	}},
	{"each connection over the limit is an event", "internal/throttle/throttle.go", ". ./internal/throttle", []edit{
		{"if now.Sub(t.told[0]) < time.Second {", "if now.Sub(t.told[0]) < 0 {"},
	}},
	{"how many were turned away is told to nobody", "internal/throttle/throttle.go", ". ./internal/throttle", []edit{
		{"if t.untold > 0 {", "if false {"},
	}},
	{"two server callbacks run at once", "server.go", root, []edit{
		{"\ts.calling <- struct{}{}\n", ""},
		{"\n\t<-s.calling\n", "\n"},
	}},
	{"stop is not the last word", "server.go", root, []edit{
		{"cancel()\n\ts.greeting.Wait()\n\ts.tell(EventStop", "defer s.greeting.Wait()\n\tdefer cancel()\n\ts.tell(EventStop"},
	}},
	{"Shutdown leaves open what has a fault", "server.go", root, []edit{
		{"c.Close()\n\t\t\tif err := wait", "if c.Err() == nil {\n\t\t\t\tc.Close()\n\t\t\t}\n\t\t\tif err := wait"},
	}},
	{"Shutdown does not wait for the close events", "server.go", root, []edit{
		{"if err := wait(ctx, c.done.Wait()); err != nil || inTime() {", "if err := ctx.Err(); err != nil || inTime() {"},
	}},
}
