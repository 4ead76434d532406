package main

import (
	"os"
	"syscall"
)

// dieWithParent are the attributes of a process that is killed when the thread
// that starts it ends.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// stop makes a process stand still until it is continued.
func stop(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
