package console

// InterruptWaits reports whether a SIGINT waits for the next Input.
func InterruptWaits() bool { return len(interrupted) > 0 }
