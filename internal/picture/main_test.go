package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestLocalAddressesAreNotDrawn(t *testing.T) {
	printed := "Bound to: [::]:8080\nLocal IP addresses: [127.0.0.1 10.1.2.3 fd00::2]\nEnter your username\n"
	terminal := &terminal{stdout: bufio.NewScanner(strings.NewReader(printed))}
	terminal.shows("Enter your username")
	drawing := string(draw(terminal.screen))
	for _, address := range []string{"10.1.2.3", "fd00::2"} {
		if strings.Contains(drawing, address) {
			t.Errorf("the drawing shows %s, a local address", address)
		}
	}
	if want := "Local IP addresses: [127.0.0.1 192.168.1.7]"; !strings.Contains(drawing, want) {
		t.Errorf("the drawing does not show %q", want)
	}
}
