package console

import (
	"os"

	"golang.org/x/sys/windows"
)

// enableEscapes has the console window obey escape sequences, which it may
// print instead.
func enableEscapes() error {
	stdout := windows.Handle(os.Stdout.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(stdout, &mode); err != nil {
		return err
	}
	return windows.SetConsoleMode(stdout, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
}
