package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Node is one broker process of ours: Ottla, or Apache Kafka as the control.
// It keeps its port across Restart, as a broker on a real machine does.
type Node struct {
	Name      string   // "ottla" or "kafka"
	Bootstrap string   // host:port, an IPv4 literal: librdkafka may try ::1 first for a name
	Dir       string   // everything of this node; removed by Close unless it is asked to be kept
	DataDir   string   // log.dirs
	overrides []string // key=value, on top of what every node gets
	command   func(n *Node) (*exec.Cmd, error)
	cmd       *exec.Cmd
	output    *os.File
	exited    chan error
}

// startLimit bounds the wait for the first answer of a node; Kafka takes 3 s on an idle machine.
const startLimit = 60 * time.Second

func newNode(name, dir string, overrides []string, command func(*Node) (*exec.Cmd, error)) (*Node, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &Node{
		Name:      name,
		Bootstrap: fmt.Sprintf("127.0.0.1:%d", port),
		Dir:       dir,
		DataDir:   filepath.Join(dir, "data"),
		overrides: overrides,
		command:   command,
	}
	return n, nil
}

// freePort asks the system for a port and gives it back. Between that and the
// node's bind another process may take it; Start then fails and names the port.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start runs the process and returns when it accepts a connection.
func (n *Node) Start(ctx context.Context) error {
	cmd, err := n.command(n)
	if err != nil {
		return err
	}
	n.output, err = os.OpenFile(filepath.Join(n.Dir, n.Name+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the node's output: %w", err)
	}
	cmd.Stdout, cmd.Stderr = n.output, n.output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.cmd, n.exited = cmd, make(chan error, 1)
	go func() { n.exited <- cmd.Wait() }()
	return n.awaitPort(ctx)
}

func (n *Node) awaitPort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.DialTimeout("tcp", n.Bootstrap, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-n.exited:
			n.cmd = nil
			return fmt.Errorf("%s exited while starting (%v), its output ends:\n%s", n.Name, err, n.OutputTail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w, its output ends:\n%s", n.Name, n.Bootstrap, ctx.Err(), n.OutputTail())
		case <-tick.C:
		}
	}
}

// Stop ends the process with SIGTERM and, when that has no effect in time, with SIGKILL; the latter is an error.
func (n *Node) Stop() error {
	if n.cmd == nil {
		return nil
	}
	defer func() { n.cmd = nil; n.output.Close() }()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", n.Name, err)
	}
	select {
	case err := <-n.exited:
		// A JVM answers SIGTERM with exit status 143 by design.
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() != 143 {
			return fmt.Errorf("%s stopped with %w, its output ends:\n%s", n.Name, err, n.OutputTail())
		}
		return nil
	case <-time.After(30 * time.Second):
		n.cmd.Process.Kill()
		<-n.exited
		return fmt.Errorf("%s ignored SIGTERM for 30 s and was killed, its output ends:\n%s", n.Name, n.OutputTail())
	}
}

// Running reports whether the process is there; a node that died by itself is a finding.
func (n *Node) Running() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case err := <-n.exited:
		n.exited <- err
		return false
	default:
		return true
	}
}

// OutputTail is the end of what the process printed, for error messages.
func (n *Node) OutputTail() string {
	text, err := os.ReadFile(filepath.Join(n.Dir, n.Name+".out"))
	if err != nil {
		return err.Error()
	}
	const limit = 4000
	if len(text) > limit {
		text = text[len(text)-limit:]
	}
	return string(text)
}

// properties renders the configuration both kinds of node get as lines of a .properties file.
func properties(lines ...[]string) string {
	var b strings.Builder
	for _, group := range lines {
		for _, line := range group {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
