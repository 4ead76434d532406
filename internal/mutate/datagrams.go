package main

const learning = ". ./internal/roster ./internal/endpoint"

// datagramDefects are those of peers.
var datagramDefects = []defect{
	{"a multicast address is learnt", "internal/endpoint/endpoint.go", learning, []edit{
		{" && !ip.IsMulticast()", ""},
	}},
	{"the broadcast address is learnt", "internal/endpoint/endpoint.go", learning, []edit{
		{" && ip != broadcast", ""},
		{"var broadcast =", "var _ ="},
	}},
	{"an address with port 0 is learnt", "internal/endpoint/endpoint.go", learning, []edit{
		{"return IsComplete(a) && !ip", "return a.IsValid() && !ip"},
	}},
	{"a mapped address is another peer", "internal/endpoint/endpoint.go", learning, []edit{
		{"return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())", "return a"},
	}},
	{"a peer learns itself", "peer.go", root, []edit{
		{"endpoint.IsUnicast(sender) && !p.self.Is(sender)", "endpoint.IsUnicast(sender)"},
	}},
	{"MaxPeers allows one more", "internal/roster/roster.go", learning, []edit{
		{"r.heard.Len() < r.most", "r.heard.Len() <= r.most"},
	}},
	{"a learnt peer gives way at once", "internal/roster/roster.go", learning, []edit{
		{"if now-quietest.at < silence {", "if now-quietest.at < 0 {"},
	}},
	{"a learnt peer that speaks gives way", "internal/roster/roster.go", learning, []edit{
		{"\t\tr.heard.MoveToBack(entry)\n", ""},
	}},
	{"a named peer gives way to a stranger", "internal/roster/roster.go", learning, []edit{
		{"r.peers[peer] = nil", "r.peers[peer] = r.heard.PushBack(&learnt{peer, 0})"},
	}},
	{"SendAll stops at the first peer that fails", "peer.go", root, []edit{
		{"errs = append(errs, explainSend(err, payload, peers[0]))", "return explainSend(err, payload, peers[0])"},
	}},
	{"a peer that is gone is logged", "peer.go", root, []edit{
		{"errors.Is(err, ErrPeerUnreachable):\n\t\t\tif p.cfg.PeerError", "errors.Is(err, ErrPeerUnreachable):\n\t\t\tp.cfg.Logger.Error(err.Error())\n\t\t\tif p.cfg.PeerError"},
	}},
	{"one slow peer makes SendAll wait", "internal/endpoint/socket.go", learning, []edit{
		{"s.TrySend(payload, peers[sent])", "s.Send(payload, peers[sent])"},
	}},
	{"an error that passes ends reception", "peer.go", root, []edit{
		{"maxFaults = 128", "maxFaults = 1"},
	}},
	{"an unreachable peer ends reception", "peer.go", root, []edit{
		{"p.cfg.PeerError(sender, err)\n\t\t\t}", "p.cfg.PeerError(sender, err)\n\t\t\t}\n\t\t\treturn"},
	}},
	{"a received payload is overwritten by the next", "peer.go", root, []edit{
		{"if !p.cfg.LendPayloads {", "if p.cfg.LendPayloads {"},
	}},
	{"a long datagram is cut", "internal/endpoint/socket.go", learning, []edit{
		{"max(s.Limit, maxReceived)", "1024"},
	}},
}
