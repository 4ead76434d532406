package simnet

import "net"

// Bell returns what readers of a datagram socket wait for.
func Bell(conn net.Conn) <-chan struct{} { return conn.(*packetConn).arrived }
