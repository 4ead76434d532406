//go:build unix && !plain && (!linux || race || msan || asan || !(amd64 || arm64))

package wire

import (
	"net"
	"syscall"
)

const gathers = false

func receive(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }

// send sends the first part of vector.
func send(fd uintptr, vector net.Buffers) (int, error) {
	return syscall.Write(int(fd), vector[0][:min(len(vector[0]), most)])
}
