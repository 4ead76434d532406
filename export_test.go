package sockets

import "github.com/seed287501ae/sockets/internal/endpoint"

var (
	AddressOf    = endpoint.Of
	Resolve      = endpoint.Resolve
	WithDefaults = (*Config).withDefaults
)
