package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// A process is a child of this one: a server or a client.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	errors  bytes.Buffer
}

// start runs a command until ctx ends, on the first processor only if so asked.
func start(ctx context.Context, oneCore bool, command ...string) (*process, error) {
	if oneCore {
		command = append([]string{"taskset", "-c", "0"}, command...)
	}
	p := &process{command: exec.CommandContext(ctx, command[0], command[1:]...)}
	p.command.Stderr = &p.errors
	p.command.WaitDelay = time.Second
	in, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewScanner(out)
	return p, p.command.Start()
}

// line is the next that the process prints.
func (p *process) line() (string, error) {
	if p.out.Scan() {
		return p.out.Text(), nil
	}
	p.command.Wait()
	if text := bytes.TrimSpace(p.errors.Bytes()); len(text) > 0 {
		first, _, _ := bytes.Cut(text, []byte("\n"))
		return "", errors.New(string(first))
	}
	return "", errors.New("a process ended, or was ended, before it answered")
}

// ask gives the process a line, and returns what it answers.
func (p *process) ask(question string) (usage, error) {
	if _, err := fmt.Fprintln(p.in, question); err != nil {
		return usage{}, err
	}
	return p.told()
}

func (p *process) told() (usage, error) {
	var u usage
	line, err := p.line()
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal([]byte(line), &u); err != nil {
		return u, err
	}
	if u.Wrong != "" {
		return u, errors.New(u.Wrong)
	}
	return u, nil
}

// kill ends the process at once. Ending it again does nothing.
func (p *process) kill() {
	p.in.Close()
	p.command.Process.Kill()
	p.command.Wait()
}
