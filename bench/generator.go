package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// generatorArgument makes this program a load generator: a process of its own, so that its CPU time is not the broker's nor the harness's.
const generatorArgument = "generator"

// job tells a generator what to do. It is sent as one line of JSON.
type job struct {
	Kind       string // produce, fetch, both, paced, commit or memory; or a real client: franz, librdkafka or tools
	Address    string
	Topic      topic
	Acks       int16
	BatchBytes int
	ValueBytes int
	// Producers and Consumers are connections; InFlight is how many requests each producer has on the way.
	Producers, Consumers, InFlight int
	FetchBytes                     int32
	// Rate is requests per second, of a paced job.
	Rate int
	Warm time.Duration
	// Measure and MaxBytes end the measurement, whichever is first.
	Measure  time.Duration
	MaxBytes int64
	Codec    string // of the batches; empty for none
	Filled   int64  // bytes that the topic has before
	Clients  string // where real clients are installed
	NATS     bool   // the broker speaks that protocol
}

// outcome is what a generator measured. It is sent as one line of JSON.
type outcome struct {
	Error         string
	Elapsed       time.Duration
	ProducedBytes int64 // of record batches that were acknowledged
	FetchedBytes  int64 // of record batches that arrived
	AllProduced   int64 // with those before and after the measurement
	Produces      int64
	Fetches       int64
	Ack           histogram // of one Produce
	Fetch         histogram // of one Fetch, in closed loop
	EndToEnd      histogram // from before the send to the arrival at a consumer
	Late          histogram // how late a paced send was, the generator's own doing

	used time.Duration // CPU time of the generator, which the harness looks at
}

// meter is what the connections of a job share.
type meter struct {
	job       *job
	measuring atomic.Bool
	stopped   atomic.Bool
	bytes     atomic.Int64
	full      chan struct{} // closed when MaxBytes are reached
}

// count notes bytes of the measurement.
func (m *meter) count(n int) {
	if total := m.bytes.Add(int64(n)); total >= m.job.MaxBytes && total-int64(n) < m.job.MaxBytes {
		close(m.full)
	}
}

// worker is one connection under load. It runs until the meter is stopped and what it has sent is answered.
type worker interface {
	run(m *meter) error
	report(*outcome)
}

// generate is the whole of a generator process: read the job, warm up, say ready, wait for the word, measure, report.
func generate(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	o := &outcome{}
	if err := j.run(func() error {
		if _, err := fmt.Fprintln(out, "ready"); err != nil {
			return err
		}
		_, err := lines.ReadBytes('\n')
		return err
	}, o); err != nil {
		o.Error = err.Error()
	}
	if err := json.NewEncoder(out).Encode(o); err != nil {
		return err
	}
	_, err = lines.ReadBytes('\n') // what this process used is read while it is there
	if err == io.EOF {
		err = nil
	}
	return err
}

func (j *job) workers() ([]worker, error) {
	switch j.Kind {
	case "produce", "fetch", "both":
		if j.NATS {
			return newNATSProducers(j)
		}
	case "paced":
		if j.NATS {
			return newNATSPaced(j)
		}
		return newPaced(j)
	case "commit":
		c, err := newCrowd(j)
		return []worker{c}, err
	case "franz":
		return newFranz(j)
	default:
		return nil, fmt.Errorf("unknown kind of job %q", j.Kind)
	}
	var out []worker
	if j.crowded() {
		c, err := newCrowd(j)
		if err != nil {
			return nil, err
		}
		return []worker{c}, nil
	}
	for i := range j.Producers {
		p, err := newProducer(j, i)
		if err != nil {
			return out, err
		}
		out = append(out, p)
	}
	for i := range j.Consumers {
		c, err := newConsumer(j, i)
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, nil
}

// run drives the job. Between warming up and measuring it calls ready, under load: nothing cools down.
func (j *job) run(ready func() error, o *outcome) error {
	switch j.Kind {
	case "memory":
		return holdMemory(j.MaxBytes, j.Measure, ready)
	case "tools":
		return runTools(j, ready, o)
	}
	workers, err := j.workers()
	if err != nil {
		return err
	}
	m := &meter{job: j, full: make(chan struct{})}
	failed := make(chan error, len(workers))
	for _, w := range workers {
		go func() { failed <- w.run(m) }()
	}
	left := len(workers)
	wait := func(d time.Duration, full <-chan struct{}) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case err := <-failed:
			left--
			if err == nil {
				err = fmt.Errorf("a connection ended by itself")
			}
			return err
		case <-full:
		case <-timer.C:
		}
		return nil
	}
	err = wait(j.Warm, nil)
	if err == nil {
		err = ready()
	}
	if err == nil {
		began := time.Now()
		m.measuring.Store(true)
		err = wait(j.Measure, m.full)
		m.measuring.Store(false)
		o.Elapsed = time.Since(began)
	}
	m.stopped.Store(true)
	for ; left > 0; left-- {
		if e := <-failed; err == nil {
			err = e
		}
	}
	for _, w := range workers {
		w.report(o)
	}
	return err
}

// generator is a generator process, as the harness sees it.
type generator struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	done bool
}

// command is the process that runs the job: this program once more, or one that speaks the same lines.
func (j *job) command() (*exec.Cmd, error) {
	if j.Kind == "librdkafka" {
		return librdkafkaCommand(j.Clients), nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the generator: %w", err)
	}
	return exec.Command(self, generatorArgument), nil
}

// startGenerator starts this program once more and gives it the job. It ends by itself when the harness does.
func startGenerator(j *job) (*generator, error) {
	cmd, err := j.command()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	g := &generator{cmd: cmd}
	if g.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = bufio.NewReaderSize(out, 1<<16)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a generator: %w", err)
	}
	if err := json.NewEncoder(g.in).Encode(j); err != nil {
		return nil, fmt.Errorf("give the job to a generator: %w", err)
	}
	return g, nil
}

// ready waits until the generator is warm.
func (g *generator) ready() error {
	line, err := g.out.ReadString('\n')
	switch {
	case err != nil:
		return fmt.Errorf("a generator ended before it was warm: %w", err)
	case line == "ready\n":
		return nil
	}
	var o outcome
	if err := json.Unmarshal([]byte(line), &o); err == nil && o.Error != "" {
		return fmt.Errorf("a generator failed: %s", o.Error)
	}
	return fmt.Errorf("a generator said %q", line)
}

// measure lets the generator go on and returns what it measured.
func (g *generator) measure() (*outcome, error) {
	if _, err := io.WriteString(g.in, "go\n"); err != nil {
		return nil, fmt.Errorf("start a measurement: %w", err)
	}
	line, err := g.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("a generator ended without a result: %w", err)
	}
	var o outcome
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, fmt.Errorf("read a generator's result: %w", err)
	}
	if o.Error != "" {
		return nil, fmt.Errorf("a generator failed: %s", o.Error)
	}
	return &o, nil
}

// end waits for the process; one that does not end by itself is killed.
func (g *generator) end() {
	if g.done {
		return
	}
	g.done = true
	_ = g.in.Close() // it ends the process if nothing else has
	timer := time.AfterFunc(20*time.Second, func() { _ = g.cmd.Process.Kill() })
	defer timer.Stop()
	_ = g.cmd.Wait() // what went wrong was in its result
}
