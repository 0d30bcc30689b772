package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	driverLimit  = 8 * time.Minute // all features of one client
	readyLimit   = 90 * time.Second
	restartLimit = 3 * time.Minute
)

var (
	prepare = Feature{"restart.prepare", "leaves a topic and a commit for after the restart"}
	// delay runs against a node with Kafka's default of three seconds; one client shows it.
	delay       = Feature{"group.delay", "a new group's first assignment waits for the default delay"}
	delayClient = "franz-go"
)

// matrixFeatures are the rows of the table.
func matrixFeatures(o options) (rows []Feature) {
	for _, f := range append(append(append([]Feature{}, features...), prepare, live), afterRestart...) {
		if o.features.MatchString(f.ID) {
			rows = append(rows, f)
		}
	}
	return rows
}

func pick(from []Feature, o options) (ids []string) {
	for _, f := range from {
		if o.features.MatchString(f.ID) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

func runMatrix(ctx context.Context, t *targets, o options, r *report) error {
	var chosen []*Stranger
	for _, s := range strangers() {
		if !o.clients.MatchString(s.Name) {
			continue
		}
		r.column(s.Name)
		if err := ready(ctx, t, s); err != nil {
			for _, f := range matrixFeatures(o) {
				r.set(s.Name, f.ID, cell{fail, err.Error(), 0})
			}
			continue
		}
		chosen = append(chosen, s)
	}
	n, err := t.new(ctx, o.target, quick...)
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	defer n.Stop()
	m := &matrix{t: t, o: o, r: r, n: n}
	m.each(chosen, func(s *Stranger) { m.run(ctx, s, pick(append(features, prepare), o)) })
	if err := m.restart(ctx, chosen); err != nil {
		return err
	}
	m.each(chosen, func(s *Stranger) { m.run(ctx, s, pick(afterRestart, o)) })
	if !n.Running() {
		return fmt.Errorf("%s died on the way, its output ends:\n%s", n.Name, n.OutputTail())
	}
	if err := n.Stop(); err != nil {
		return err
	}
	return m.defaultDelay(ctx, chosen)
}

func ready(ctx context.Context, t *targets, s *Stranger) error {
	if err := t.missing(s.Needs...); err != nil {
		return err
	}
	command, err := s.prepare(ctx, t)
	s.Command = command
	return err
}

type matrix struct {
	t *targets
	o options
	r *report
	n *Node
}

// each runs do for every client, a few at a time.
func (m *matrix) each(clients []*Stranger, do func(*Stranger)) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, m.o.parallel)
	for _, s := range clients {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(s)
		})
	}
	wait.Wait()
}

func (m *matrix) driver(ctx context.Context, s *Stranger, args ...string) (*exec.Cmd, *os.File, error) {
	cmd := exec.CommandContext(ctx, s.Command[0], append(s.Command[1:len(s.Command):len(s.Command)], args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "COMPAT_NODE_MODULES="+filepath.Join(m.t.clients, "node", "node_modules"))
	cmd.WaitDelay = 5 * time.Second
	log, err := os.OpenFile(filepath.Join(m.t.scratch, s.Name+".err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stderr = log
	return cmd, log, nil
}

// run drives the features and fills their cells; features without an answer stay red.
//
// A red cell is driven once more, alone: strangers have races of their own on a loaded machine. The table
// shows a second try as one, with what the first one saw; it is never taken for a clean pass.
func (m *matrix) run(ctx context.Context, s *Stranger, ids []string) {
	if len(ids) == 0 {
		return
	}
	if err := m.runOn(ctx, s, m.n.Bootstrap, ids); err != nil {
		m.r.fail("matrix", s.Name, err.Error())
		return
	}
	for _, id := range ids {
		first := m.r.get(s.Name, id)
		if first.verdict != fail || id == prepare.ID {
			continue
		}
		if err := m.runOn(ctx, s, m.n.Bootstrap, []string{id}); err != nil {
			m.r.fail("matrix", s.Name, err.Error())
		}
		if c := m.r.get(s.Name, id); c.verdict == pass {
			m.r.set(s.Name, id, cell{again, first.reason, c.millis})
		}
	}
}

func (m *matrix) runOn(ctx context.Context, s *Stranger, bootstrap string, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, driverLimit)
	defer cancel()
	cmd, log, err := m.driver(ctx, s, "run", bootstrap, s.Prefix, strings.Join(ids, ","))
	if err != nil {
		return err
	}
	defer log.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the driver: %w", err)
	}
	m.collect(s, out, nil)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the driver ended with %w; its errors: %s", err, tail(log.Name()))
	}
	return nil
}

// collect reads a driver's lines until it closes its output.
func (m *matrix) collect(s *Stranger, out io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		switch {
		case fields[0] == "READY" && ready != nil:
			close(ready)
			ready = nil
		case fields[0] == "RESULT" && len(fields) == 5:
			millis, _ := strconv.Atoi(fields[3])
			m.r.set(s.Name, fields[1], cell{fields[2], fields[4], millis})
			if fields[2] == fail {
				fmt.Printf("  %s %s: %s\n", s.Name, fields[1], fields[4])
			}
		}
	}
	if err := lines.Err(); err != nil {
		m.r.fail("matrix", s.Name, fmt.Sprintf("read the driver's output: %v", err))
	}
}

// restart stops and starts the node while every client has a producer and a group member on it.
func (m *matrix) restart(ctx context.Context, clients []*Stranger) error {
	withLive := m.o.features.MatchString(live.ID)
	ctx, cancel := context.WithTimeout(ctx, restartLimit)
	defer cancel()
	var running []*liveDriver
	var done sync.WaitGroup
	defer done.Wait()
	if withLive {
		for _, s := range clients {
			d, err := m.startLive(ctx, s, &done)
			if err != nil {
				m.r.fail("matrix", s.Name, err.Error())
				continue
			}
			running = append(running, d)
		}
	}
	deadline := time.After(readyLimit)
	for _, d := range running {
		select {
		case <-d.ready:
		case <-d.ended:
		case <-deadline:
		}
	}
	if err := m.n.Stop(); err != nil {
		return err
	}
	if err := m.n.Start(ctx); err != nil {
		return err
	}
	for _, d := range running {
		if _, err := io.WriteString(d.in, "GO\n"); err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
			m.r.fail("matrix", d.s.Name, err.Error())
		}
		d.in.Close()
	}
	return nil
}

type liveDriver struct {
	s     *Stranger
	in    io.WriteCloser
	ready chan struct{}
	ended chan struct{}
}

func (m *matrix) startLive(ctx context.Context, s *Stranger, done *sync.WaitGroup) (*liveDriver, error) {
	cmd, log, err := m.driver(ctx, s, "live", m.n.Bootstrap, s.Prefix)
	if err != nil {
		return nil, err
	}
	d := &liveDriver{s: s, ready: make(chan struct{}), ended: make(chan struct{})}
	if d.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the driver: %w", err)
	}
	done.Go(func() {
		defer log.Close()
		defer close(d.ended)
		m.collect(s, out, d.ready)
		if err := cmd.Wait(); err != nil {
			m.r.fail("matrix", s.Name, fmt.Sprintf("the driver that lives through the restart ended with %v; its errors: %s", err, tail(log.Name())))
		}
	})
	return d, nil
}

func (m *matrix) defaultDelay(ctx context.Context, clients []*Stranger) error {
	if !m.o.features.MatchString(delay.ID) {
		return nil
	}
	for _, s := range clients {
		if s.Name != delayClient {
			continue
		}
		n, err := m.t.new(ctx, m.o.target)
		if err != nil {
			return err
		}
		if err := n.Start(ctx); err != nil {
			return err
		}
		defer n.Stop()
		if err := m.runOn(ctx, s, n.Bootstrap, []string{delay.ID}); err != nil {
			return err
		}
		m.r.add("matrix", delay.ID+" ("+delay.Short+")", m.r.get(s.Name, delay.ID))
		return n.Stop()
	}
	return nil
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	if len(text) > 1500 {
		text = text[len(text)-1500:]
	}
	return strings.TrimSpace(string(text))
}
