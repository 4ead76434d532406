package main

const reliably = "./reliable"

// reliableDefects are those of package reliable.
var reliableDefects = []defect{
	{"transmissions are kept until something comes back", "reliable/sender.go", reliably, []edit{
		{"if over := len(s.sent) - s.limit; over > 0 {", "if over := 0; over > 0 {"},
	}},
	{"forgotten transmissions are not counted", "reliable/sender.go", reliably, []edit{
		{"\t\ts.oldest += uint64(over)\n", ""},
	}},
	{"whatever a peer says ends the silence", "reliable/engine.go", reliably, []edit{
		{"\te.touch(now, p)\n\tfor len(chunks) > 0", "\tp.life.heard = now\n\te.touch(now, p)\n\tfor len(chunks) > 0"},
	}},
	{"an acknowledgement of what was never sent ends the silence", "reliable/engine.go", reliably, []edit{
		{"if ok && a.sender.acknowledged(now, acknowledged) {", "a.heard = now\n\t\tif ok && a.sender.acknowledged(now, acknowledged) {"},
	}},
	{"a peer that has no room is given up", "reliable/engine.go", reliably, []edit{
		{"a.heard, p.trouble = now, nil", "p.trouble = nil\n\t\t\tif acknowledged.window > 0 {\n\t\t\t\ta.heard = now\n\t\t\t}"},
	}},
	{"a trouble that has passed is the reason", "reliable/engine.go", reliably, []edit{
		{"a.heard, p.trouble = now, nil", "a.heard = now"},
	}},
	{"who sends first takes the places of all", "reliable/peer.go", reliably, []edit{
		{"return len(e.peers) - e.incoming", "return len(e.peers)"},
	}},
	{"whom the program sends to takes the places of all", "reliable/peer.go", reliably, []edit{
		{"\t\treturn e.incoming\n", "\t\treturn len(e.peers)\n"},
	}},
	{"any number may send first", "reliable/peer.go", reliably, []edit{
		{"case incoming:\n\t\treturn e.maxPeers", "case incoming:\n\t\treturn math.MaxInt"},
	}},
	{"the program may send to any number", "reliable/peer.go", reliably, []edit{
		{"return 2 * min(e.maxPeers, math.MaxInt/2)", "return math.MaxInt"},
	}},
	{"a place is freed twice", "reliable/peer.go", reliably, []edit{
		{"if e.peers[p.address] != p {", "if false {"},
	}},
	{"a place is never freed", "reliable/peer.go", reliably, []edit{
		{"\t\te.incoming--\n", ""},
	}},
	{"after a restart a peer has sent first", "reliable/handshake.go", reliably, []edit{
		{"p == nil || p.incoming); p == nil {", "true); p == nil {"},
	}},
	{"an own message waits for the next search", "reliable/peer.go", reliably, []edit{
		{"if incoming && now.Before(e.full) {", "if now.Before(e.full) {"},
	}},
	{"one of the other kind gives way", "reliable/peer.go", reliably, []edit{
		{"if p.incoming != incoming {", "if false {"},
	}},
	{"a writer waits for ever", "reliable/engine.go", reliably, []edit{
		{"if due(now, e.givesUpSending(p)) {", "if false {"},
	}},
	{"a writer that waits is not woken", "reliable/association.go", reliably, []edit{
		{"if p.life != nil && due(now, e.givesUpSending(p)) {", "if false {"},
	}},
	{"a writer is not waited for while the peer takes a little", "reliable/sender.go", reliably, []edit{
		{"if arrived > 0 {", "if false {"},
	}},
	{"SendTimeout cannot be put off", "reliable/association.go", reliably, []edit{
		{"if e.sendTimeout <= 0 || p.life.state < open {", "if p.life.state < open {"},
	}},
	{"SendTimeout runs before the peer has answered", "reliable/association.go", reliably, []edit{
		{"e.sendTimeout <= 0 || p.life.state < open {", "e.sendTimeout <= 0 {"},
	}},
	{"every buffer is kept", "reliable/engine.go", reliably, []edit{
		{"if len(e.free) < maxFree {", "if true {"},
	}},
}
