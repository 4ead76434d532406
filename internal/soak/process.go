package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// A process is one life of a participant, as the parent sees it. It belongs to
// the goroutine of the group.
type process struct {
	life    string
	cmd     *exec.Cmd
	orders  *json.Encoder
	gone    chan struct{} // closed when it has ended
	heardOf time.Time     // when it last reported, or was continued
	latest  report
	stopped bool
	killed  bool
	leaving bool
}

// start starts a process. Its reports and its end are told to reported and
// ended, on another goroutine.
func start(b birth, reported func(*process, report), ended func(*process, error)) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), participantVariable+"="+b.Life)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = dieWithParent()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{life: b.Life, cmd: cmd, orders: json.NewEncoder(in), gone: make(chan struct{}), heardOf: time.Now()}
	go func() {
		for reports := json.NewDecoder(out); ; {
			var r report
			if reports.Decode(&r) != nil {
				break
			}
			reported(p, r)
		}
		err := cmd.Wait()
		close(p.gone)
		ended(p, err)
	}()
	return p, p.orders.Encode(b)
}

// isReady reports whether p lives, is to live on, and is bound to its addresses.
func (p *process) isReady() bool {
	return p != nil && !p.killed && !p.leaving && p.latest.Peer.IsValid()
}

// tell gives an order.
func (p *process) tell(o order) {
	p.orders.Encode(o) // where that fails, the process has ended, and its end is told
}

// kill ends p at once.
func (p *process) kill() {
	p.killed = true
	p.cmd.Process.Kill()
}

// check returns which promise the report breaks, or nil.
func (r *report) check(participants int) error {
	switch {
	case r.Broken != "":
		return fmt.Errorf("%s", r.Broken)
	case r.Connections > maxConnections:
		return fmt.Errorf("%d connections, the limit is %d", r.Connections, maxConnections)
	case r.Peers > participants+maxStrangers:
		return fmt.Errorf("%d peers, the limit is %d", r.Peers, participants+maxStrangers)
	case r.Heap > maxHeap:
		return fmt.Errorf("%d bytes of memory, the limit is %d", r.Heap, maxHeap)
	}
	return nil
}
