package sockets

import (
	"context"
	"net/netip"

	"github.com/seed287501ae/sockets/internal/endpoint"
	"github.com/seed287501ae/sockets/internal/system"
)

// An Address is an endpoint, the slides' pair of IP address and port: a value
// that can be compared and be the key of a map. The addresses that this package
// gives out are never IPv4 in the clothes of IPv6 (::ffff:127.0.0.1).
type Address = netip.AddrPort

// ResolveAddress reads an endpoint as people write it:
//
//	localhost:8080   137.204.0.1:8080   [::1]:8080   a host and a port
//	8080   :8080                                     a port: 0.0.0.0:8080
//	localhost                                        a host: port 0
//
// Empty text gives 0.0.0.0:0, and surrounding spaces are dropped. A host name
// is looked up here, once, and IPv4 is preferred: two spellings of one endpoint
// give equal addresses.
//
// To bind, host 0.0.0.0 means every address of this machine and port 0 a free
// one. As a destination 0.0.0.0 means this machine, and port 0 is an error.
func ResolveAddress(ctx context.Context, s string) (Address, error) {
	return endpoint.Resolve(ctx, System, s)
}

// LocalIPs returns the IP addresses of this machine's network interfaces, IPv4
// first.
func LocalIPs() ([]netip.Addr, error) { return system.LocalIPs() }
