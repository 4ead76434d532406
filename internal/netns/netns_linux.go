// Package netns runs tests in a network namespace of their own, which has a
// loopback interface and nothing else: whatever they send stays there, and the
// namespace ends with them.
package netns

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	namespaceFile = "/proc/self/ns/net"
	outsideOf     = "SOCKETS_TEST_OUTSIDE_OF" // names the network namespace that a child must not be in
)

// Run runs the test t once more, in a process with a network namespace of its
// own, and there inside, instead of what follows in t. All interfaces are down.
// It skips t where the system does not permit that, or inside skips.
//
// The test must call it first. The process has two minutes.
func Run(t *testing.T, inside func(t *testing.T)) {
	t.Helper()
	here, err := os.Readlink(namespaceFile)
	if err != nil {
		t.Skipf("no network namespaces: %v", err)
	}
	if outside := os.Getenv(outsideOf); outside != "" {
		if here == outside {
			t.Fatalf("the network namespace is %q, that of the parent: nothing is done", here)
		}
		interfaces, err := net.Interfaces()
		if err != nil || len(interfaces) == 0 {
			t.Fatalf("net.Interfaces() = %v, %v", interfaces, err)
		}
		for _, i := range interfaces {
			if i.Flags&net.FlagUp != 0 {
				t.Fatalf("interface %s is up in a new network namespace: nothing is done", i.Name)
			}
		}
		inside(t)
		return
	}
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var refused error
	for _, attributes := range []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNET},
		{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		},
	} {
		var out bytes.Buffer
		child := exec.CommandContext(ctx, itself, "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), outsideOf+"="+here, "GORACE=atexit_sleep_ms=0")
		child.SysProcAttr = attributes
		child.Stdout, child.Stderr = &out, &out
		if refused = child.Start(); refused != nil {
			continue
		}
		switch err := child.Wait(); {
		case err != nil:
			t.Fatalf("in a network namespace of its own: %v\n%s", err, &out)
		case strings.Contains(out.String(), "--- SKIP: "+t.Name()+" "):
			t.Skipf("in a network namespace of its own:\n%s", &out)
		case !strings.Contains(out.String(), "--- PASS: "+t.Name()+" "):
			t.Fatalf("in a network namespace of its own, the test did not run:\n%s", &out)
		}
		t.Logf("in a network namespace of its own:\n%s", &out)
		return
	}
	t.Skipf("this system does not permit a network namespace of one's own: %v", refused)
}
