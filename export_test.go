package sockets

import "github.com/seed287501ae/sockets/internal/endpoint"

var (
	AddressOf    = endpoint.Of
	Resolve      = endpoint.Resolve
	WithDefaults = (*Config).withDefaults
)

// Announced returns how many connections s remembers that its callback knows.
func Announced(s *Server) int { return len(s.announced()) }

// Counted returns how many connections count in the limits of s, and the IP
// addresses that are remembered for it.
func Counted(s *Server) (connections, addresses int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitted, len(s.perSite)
}
