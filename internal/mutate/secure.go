package main

const secured = "./secure"

// secureDefects are those of package secure.
var secureDefects = []defect{
	{"a stream's key is not pinned", "secure/greeting.go", secured, []edit{
		{"return other, false, ErrUnknownKey", "return other, false, nil"},
	}},
	{"a changed key is learnt", "secure/greeting.go", secured, []edit{
		{"_, taken := v.owner(name); taken {", "_, taken := v.owner(name); taken && false {"},
	}},
	{"who is expected does not matter", "secure/greeting.go", secured, []edit{
		{"if expected != \"\" && peer.Name != expected {", "if false {"},
	}},
	{"the other end's status is ignored", "secure/greeting.go", secured, []edit{
		{"if err == nil && accepts(ours) && accepts(theirs) {", "theirs = welcome\n\tif err == nil && accepts(ours) {"},
	}},
	{"MaxLearnt allows one more", "secure/greeting.go", secured, []edit{
		{"v.learnt >= v.cfg.MaxLearnt", "v.learnt > v.cfg.MaxLearnt"},
	}},
	{"a truncated stream ends in order", "secure/raw.go", secured, []edit{
		{"return 0, ErrTruncated", "return 0, io.EOF"},
	}},
	{"a handshake may be of any length", "secure/raw.go", secured, []edit{
		{"maxHandshake = 32 << 10", "maxHandshake = 32 << 20"},
	}},
	{"TLS 1.2 is good enough", "secure/tls.go", secured, []edit{
		{"tls.VersionTLS13", "tls.VersionTLS12"},
	}},
	{"a client needs no certificate", "secure/tls.go", secured, []edit{
		{"tls.RequireAnyClientCert", "tls.RequestClientCert"},
	}},
	{"a second certificate is overlooked", "secure/tls.go", secured, []edit{
		{"if len(certificates) != 1 {", "if len(certificates) < 1 {"},
	}},
	{"a session can be resumed", "secure/tls.go", secured, []edit{
		{"SessionTicketsDisabled: true", "SessionTicketsDisabled: false"},
	}},
	{"a certificate has to sign itself", "secure/tls.go", secured, []edit{
		{"\treturn nil\n}\n\n// A tlsNetwork", "\treturn certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature)\n}\n\n// A tlsNetwork"},
	}},
	{"a certificate expires", "secure/tls.go", secured, []edit{
		{"\treturn nil\n}\n\n// A tlsNetwork", "\tif time.Now().After(certificate.NotAfter) {\n\t\treturn errors.New(\"expired\")\n\t}\n\treturn nil\n}\n\n// A tlsNetwork"},
	}},
	{"a handshake that failed leaves the stream open", "secure/stream.go", secured, []edit{
		{"\tif err != nil {\n\t\ts.raw.Close()\n\t\treturn err\n\t}\n\ts.raw.handshake", "\tif err != nil {\n\t\treturn err\n\t}\n\ts.raw.handshake"},
	}},
	{"a handshake succeeds on a stream that its context closed", "secure/stream.go", secured, []edit{
		{"case late:", "case late && err != nil:"},
	}},
	{"the peer is told before both have accepted", "secure/stream.go", secured, []edit{
		{"ok && s.greet != nil && s.isAccepted() {", "ok && s.greet != nil {"},
	}},

	{"the signature of data is not verified", "secure/datagram.go", secured, []edit{
		{"case !isSigned(&h.key, b, nil):", "case false:"},
	}},
	{"the signature of an answer is not verified", "secure/datagram.go", secured, []edit{
		{"case !isSigned(&h.key, b, unsentOf(&g.identity.public, g.signer.group)):\n\t\treturn badSignature", "case false:\n\t\treturn badSignature"},
	}},
	{"an unknown key is accepted", "secure/datagram.go", secured, []edit{
		{"case !ok:\n\t\treturn h, unknownKey", "case false:\n\t\treturn h, unknownKey"},
		{"peer, ok := g.known.ByKey(h.key)", "peer, _ := g.known.ByKey(h.key)"},
	}},
	{"a key that was learnt by first use opens datagrams", "secure/datagram.go", secured, []edit{
		{"case peer.FirstUse:", "case false && peer.FirstUse:"},
	}},
	{"first use is not noted in the file", "secure/known.go", secured, []edit{
		{"\tif p.FirstUse {\n\t\tline +=", "\tif false {\n\t\tline +="},
	}},
	{"the note of first use is not read", "secure/known.go", secured, []edit{
		{"strings.Contains(strings.ToLower(line[len(name):]), firstUse)", "false"},
	}},
	{"first use by another program counts", "secure/known.go", secured, []edit{
		{"if k.conflict(peer) == nil {\n\t\t\tk.put(peer)", "if k.conflict(peer) == nil {\n\t\t\tpeer.FirstUse = false\n\t\t\tk.put(peer)"},
	}},
	{"a peer of first use is dialled for datagrams", "secure/dialed.go", secured, []edit{
		{"if peer.FirstUse {", "if false {"},
	}},
	{"an unknown key costs a signature", "secure/datagram.go", secured, []edit{
		{"\tswitch peer, ok := g.known.ByKey(h.key); {", "\tisSigned(&h.key, b, nil)\n\tswitch peer, ok := g.known.ByKey(h.key); {"},
	}},
	{"replays are delivered", "secure/datagram.go", secured, []edit{
		{"case s != nil && !s.window.isNew(h.number), r == nil", "case r == nil"},
	}},
	{"the window is a number too long", "secure/window.go", secured, []edit{
		{"w.top-number < windowSize", "w.top-number <= windowSize"},
	}},
	{"the nonce of an answer is not checked", "secure/datagram.go", secured, []edit{
		{"case h.number != g.nonce(now, p, 0) && h.number != g.nonce(now, p, 1):", "case false:"},
	}},
	{"a nonce is good for longer", "secure/datagram.go", secured, []edit{
		{"&& h.number != g.nonce(now, p, 1):", "&& h.number != g.nonce(now, p, 1) && h.number != g.nonce(now, p, 2):"},
	}},
	{"a forgotten session comes back by an old answer", "secure/session.go", secured, []edit{
		{"\tp.forgotten++\n", ""},
	}},
	{"replays keep a session alive", "secure/datagram.go", secured, []edit{
		{"\tpayload, ok := g.open(s, h, b)\n", "\tif s != nil {\n\t\ts.heard = now\n\t}\n\tpayload, ok := g.open(s, h, b)\n"},
	}},
	{"what arrives waits in the socket's buffer", "secure/packet.go", secured, []edit{
		{"\tnext, ok = c.gate.take()\n", "\tnext, ok = parcel{}, false\n"},
	}},
	{"the whole age counts", "secure/datagram.go", secured, []edit{
		{"firstSince(now, age-age/1000)", "firstSince(now, age)"},
	}},
	{"an old route gives up a later claim", "secure/packetplace.go", secured, []edit{
		{"ok && p.claim == claim {", "ok {"},
	}},
	{"who forges delays answers", "secure/datagram.go", secured, []edit{
		{"case !g.budget.answers.take(now.Sub(g.opened), perReply):", "case !g.budget.allow(now, p.address.Addr()):"},
	}},
	{"a challenge is larger than what caused it", "secure/datagram.go", secured, []edit{
		{"return g.handshake(&h, &p.key), o", "return append(g.handshake(&h, &p.key), make([]byte, 64)...), o"},
	}},
	{"each datagram of a path is challenged", "secure/datagram.go", secured, []edit{
		{"const challengeEvery = 250 * time.Millisecond", "const challengeEvery = 0 * time.Millisecond"},
	}},
	{"datagrams of other groups are delivered", "secure/datagram.go", secured, []edit{
		{"case isData && h.mark != g.signer.group:", "case false:"},
	}},
	{"signatures are verified without a limit", "secure/budget.go", secured, []edit{
		{"if full-age > time.Second {", "if false {"},
	}},
	{"each port has a budget of its own", "secure/datagram.go", secured, []edit{
		{"return g.budget.allow(now, from.Addr())", "return g.budget.allow(now, netip.AddrFrom4([4]byte{10, 0, byte(from.Port() >> 8), byte(from.Port())}))"},
	}},
	{"each address of an IPv6 network has a budget of its own", "secure/budget.go", secured, []edit{
		{"maphash.String(b.seed, endpoint.Site(from))", "maphash.String(b.seed, endpoint.Site(netip.IPv6Unspecified())+from.String())"},
	}},
	{"a reply waits for room", "secure/packet.go", secured, []edit{
		{"c.socket.TrySend(reply, from)", "c.socket.Send(reply, from)"},
	}},
	{"a closed socket keeps its routes", "secure/packet.go", secured, []edit{
		{"\tc.gate.clear()\n", ""},
	}},
	{"the key of a group is the caller's slice", "secure/config.go", secured, []edit{
		{"\tc.GroupKey = append([]byte(nil), c.GroupKey...)\n", ""},
	}},
	{"an address may change hands at once", "secure/packetplace.go", secured, []edit{
		{"now.Sub(p.heard) >= hold", "now.Sub(p.heard) >= 0"},
	}},
	{"what is held has no limit", "secure/held.go", secured, []edit{
		{"if w.bytes+size > maxHeldPerRoute {", "if false {"},
	}},
	{"every sealed datagram has the same nonce", "secure/wire.go", secured, []edit{
		{"AppendUint64(make([]byte, 4, 12), number)", "AppendUint64(make([]byte, 4, 12), 0*number)"},
	}},

	{"an identity's file is overwritten", "secure/identity.go", secured, []edit{
		{"var link = os.Link", "var link = os.Rename"},
	}},
	{"an identity's file can be read by all", "secure/identity.go", secured, []edit{
		{"defer os.Remove(file.Name())", "defer os.Remove(file.Name())\n\tfile.Chmod(0o644)"},
	}},
	{"an identity that all can read is loaded", "secure/identity.go", secured, []edit{
		{"info.Mode().Perm()&0o077 != 0 {", "info.Mode().Perm()&0o077 < 0 {"},
	}},
	{"the file of known peers has no limit when it grows", "secure/known.go", secured, []edit{
		{"if len(text)+len(added) > maxKnownFile {", "if false {"},
	}},
	{"a conflict of known peers is ignored", "secure/known.go", secured, []edit{
		{"ok && same.Key != peer.Key {", "ok && false {"},
	}},
}
