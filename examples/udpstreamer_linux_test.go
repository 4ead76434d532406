package examples_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUDPStreamerShowsProgressOnATerminal(t *testing.T) {
	t.Parallel()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	defer keyboard.Close()
	terminal, err := unix.IoctlGetUint32(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60})
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", terminal), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "udpstreamer"), "receive", "0")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = line, line, line
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	line.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()

	var screen string
	shows := func(text string) {
		t.Helper()
		buffer := make([]byte, 4096)
		for !strings.Contains(screen, text) {
			n, err := keyboard.Read(buffer) // fails when the program has ended
			if err != nil {
				t.Fatalf("%v: the screen was sent %q, want %q", err, screen, text)
			}
			screen += string(buffer[:n])
		}
	}
	shows("Bound to: [::]:")
	shows("\r\n")
	stranger := newStranger(t)
	port := regexp.MustCompile(`(\d+)\r\n`).FindStringSubmatch(screen)[1]
	figures := "127.0.0.1:" + stranger.port + ": received %d, lost %d, duplicated 0, out of order 0, other 0"
	stranger.send(number(0), port)
	shows("\r\x1b[K" + fmt.Sprintf(figures, 1, 0)[:57] + "\r")
	stranger.send(number(2), port)
	shows("\r\x1b[K" + fmt.Sprintf(figures, 2, 1)[:57] + "\r")
	if _, err := keyboard.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	shows("\r\x1b[K" + fmt.Sprintf(figures, 2, 1) + "\r\nSenders: 1, datagrams of further ones: 0\r\n")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
