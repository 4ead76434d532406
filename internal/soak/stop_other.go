//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

// dieWithParent has no attributes here: a process ends with its input.
func dieWithParent() *syscall.SysProcAttr { return nil }

// stop does not work here: nobody is stopped.
func stop(*os.Process) error { return errors.ErrUnsupported }

func resume(*os.Process) error { return errors.ErrUnsupported }
