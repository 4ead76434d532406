package reliable

import (
	"maps"
	"net/netip"
	"time"
)

const maxGraves = 4096

// A graves remembers the associations that have ended, for as long as a cookie
// from before their end is good: none of these may open another.
type graves struct {
	last  map[netip.AddrPort]time.Time // when the last association with an address was born
	floor time.Time                    // the same for all addresses, where there are too many
}

// bury remembers an association that was born then.
func (g *graves) bury(now time.Time, address netip.AddrPort, born time.Time) {
	isOver := func(_ netip.AddrPort, born time.Time) bool { return now.Sub(born) > cookieAge }
	if isOver(address, born) {
		return
	}
	if len(g.last) >= maxGraves {
		maps.DeleteFunc(g.last, isOver)
		if len(g.last) > maxGraves/2 {
			g.floor = now
			clear(g.last)
		}
	}
	g.last[address] = born
}

// allow reports whether a cookie that was baked then may open an association.
func (g *graves) allow(address netip.AddrPort, baked time.Time) bool {
	return baked.After(g.floor) && baked.After(g.last[address])
}
