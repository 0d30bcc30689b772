package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// figures are what one measurement of one row gave.
type figures map[column]float64

// bench is one run of everything that was asked for.
type bench struct {
	pace    pace
	cells   []cell
	targets []string // kinds of broker
	binary  string   // ottla
	jars    string   // Kafka's
	scratch string
	profile string // where profiles of Ottla go; empty for none
	note    func(format string, args ...any)
	results map[string]map[string][]figures // by cell and side, one per round
	serial  int
}

func (b *bench) record(c *cell, s *side, f figures) {
	if b.results[c.name] == nil {
		b.results[c.name] = map[string][]figures{}
	}
	b.results[c.name][s.name] = append(b.results[c.name][s.name], f)
}

// run does all rounds: each broker in turn, so that what the machine does meanwhile hits both.
func (b *bench) run(ctx context.Context) error {
	b.results = map[string]map[string][]figures{}
	for round := range b.pace.rounds {
		for _, kind := range b.targets {
			b.note("round %d of %d: %s", round+1, b.pace.rounds, kind)
			if err := b.turn(ctx, kind); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, kind, err)
			}
		}
	}
	return nil
}

func (b *bench) newBroker(kind string) (*broker, error) {
	switch kind {
	case "kafka":
		return newKafka(b.jars, b.scratch)
	case "floor":
		return newFloor(b.scratch)
	}
	return newOttla(b.binary, b.scratch)
}

// turn is one broker's part of a round.
func (b *bench) turn(ctx context.Context, kind string) (err error) {
	var load []cell
	for i := range b.cells {
		switch c := &b.cells[i]; {
		case (c.processes || c.crash) && kind == "floor":
		case c.processes:
			if err := b.starts(ctx, kind, c); err != nil {
				return err
			}
		case c.crash && kind == "kafka" && b.pace.alone:
			b.note("  %-12s %s: left out of the short form", c.name, kind)
		case c.crash:
			if err := b.recoveries(ctx, kind, c); err != nil {
				return fmt.Errorf("cell %s: %w", c.name, err)
			}
		case slices.ContainsFunc(c.sides, func(s side) bool { return s.kind == kind }):
			load = append(load, *c)
		}
	}
	if len(load) == 0 {
		return nil
	}
	target, err := b.newBroker(kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.remove()) }()
	if _, err := target.start(ctx, &topic{Name: "first", Partitions: 1}); err != nil {
		return err
	}
	if kind == "kafka" {
		if err := b.warmJVM(ctx, target); err != nil {
			return err
		}
	}
	for i := range load {
		for j := range load[i].sides {
			s := &load[i].sides[j]
			switch {
			case s.kind != kind:
				continue
			case s.partitions > b.pace.most:
				b.note("  %-12s %s: left out of the short form", load[i].name, s.name)
				continue
			}
			if err := b.measure(ctx, target, &load[i], s); err != nil {
				return fmt.Errorf("cell %s, %s: %w", load[i].name, s.name, err)
			}
		}
	}
	return nil
}

// starts measures starts from nothing, a start after an orderly stop, and the process at rest.
func (b *bench) starts(ctx context.Context, kind string, c *cell) error {
	i := slices.IndexFunc(c.sides, func(s side) bool { return s.kind == kind })
	times := b.pace.starts
	if kind == "kafka" {
		times = 1
	}
	for range times {
		f, err := b.startOnce(ctx, kind)
		if err != nil {
			return err
		}
		b.record(c, &c.sides[i], f)
	}
	return nil
}

func (b *bench) startOnce(ctx context.Context, kind string) (f figures, err error) {
	target, err := b.newBroker(kind)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.remove()) }()
	settle(ctx)
	first := topic{Name: "first", Partitions: 1}
	s, err := target.start(ctx, &first)
	if err != nil {
		return nil, err
	}
	f = figures{colStart: ms(s.acked), colAccept: ms(s.accepting)}
	pause(ctx, time.Second)
	woken, err := wakeups(target.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	pause(ctx, b.pace.rest)
	again, err := wakeups(target.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	u, err := target.usage()
	if err != nil {
		return nil, err
	}
	if u.known {
		f[colIdle], f[colThreads] = mib(u.rss), float64(u.threads)
		f[colWakeups] = float64(again-woken) / b.pace.rest.Seconds()
	}
	if err := target.stop(true); err != nil {
		return nil, err
	}
	if s, err = target.start(ctx, &first); err != nil {
		return nil, err
	}
	f[colRestart] = ms(s.acked)
	return f, nil
}

// warmJVM gives the compiler something to compile before anything counts.
func (b *bench) warmJVM(ctx context.Context, target *broker) error {
	for _, j := range []job{
		{Kind: "both", Producers: 2, Consumers: 2, InFlight: 5, FetchBytes: 1 << 20, BatchBytes: 64 << 10, ValueBytes: 1 << 10},
		{Kind: "produce", Producers: 64, InFlight: 1, ValueBytes: 100},
	} {
		t, err := b.freshTopic(ctx, target, basePartitions, nil)
		if err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		j.Address, j.Topic, j.Acks, j.Measure, j.MaxBytes = target.address, t, -1, b.pace.jvm/2, b.pace.maxBytes
		if _, err := runJob(ctx, &j, nil, nil); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		if err := b.dropTopic(ctx, target, t); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return nil
}

// mostAtOnce is how many partitions Apache Kafka is asked for in one request: it refuses 10,000.
const mostAtOnce = 5000

func (b *bench) freshTopic(ctx context.Context, target *broker, partitions int32, configs map[string]string) (topic, error) {
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return topic{}, err
	}
	defer c.close()
	b.serial++
	made, err := c.createTopics([]string{fmt.Sprintf("bench-%d", b.serial)}, min(partitions, mostAtOnce), configs)
	if err != nil {
		return topic{}, err
	}
	t := made[0]
	for t.Partitions < partitions && err == nil {
		t.Partitions = min(partitions, t.Partitions+mostAtOnce)
		err = c.addPartitions(t)
	}
	if err != nil {
		return topic{}, err
	}
	return t, c.awaitAck(ctx, t)
}

func (b *bench) dropTopic(ctx context.Context, target *broker, t topic) error {
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return err
	}
	defer c.close()
	return c.deleteTopic(t)
}

// measure runs one cell against one broker and records its figures.
func (b *bench) measure(ctx context.Context, target *broker, c *cell, s *side) error {
	if c.cleaning != nil {
		return b.clean(ctx, target, c, s)
	}
	if c.topics > 0 {
		f, err := b.createMany(ctx, target, c.topics)
		if err == nil {
			b.record(c, s, f)
		}
		return err
	}
	t, err := b.freshTopic(ctx, target, max(c.partitions, s.partitions), s.configs)
	if err != nil {
		return err
	}
	j := c.job
	j.Address, j.Topic, j.Acks, j.Warm, j.Measure, j.MaxBytes = target.address, t, -1, b.pace.warm, b.pace.measure, b.pace.maxBytes
	if j.Kind == "fetch" {
		j.MaxBytes = 1 << 50 // nothing grows
	}
	if c.fill > 0 {
		fill := j
		fill.Kind, fill.Producers, fill.Consumers, fill.InFlight, fill.Warm, fill.Measure, fill.MaxBytes = "produce", 2, 0, 5, 0, loadTimeout, c.fill
		if _, err := runJob(ctx, &fill, nil, nil); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	if c.rounds > 0 {
		first := j
		batch, _ := buildBatch(j.BatchBytes, j.ValueBytes, 0)
		first.Warm, first.Measure, first.MaxBytes = 0, loadTimeout, int64(c.rounds)*int64(t.Partitions)*int64(len(batch))
		if _, err := runJob(ctx, &first, nil, nil); err != nil {
			return fmt.Errorf("write to each partition: %w", err)
		}
	}
	if c.large && b.pace.prewarm > 0 {
		if _, err := runJob(ctx, &job{Kind: "touch", MaxBytes: b.pace.prewarm}, nil, nil); err != nil {
			return fmt.Errorf("prewarm: %w", err)
		}
	}
	settle(ctx)
	device := diskOf(target.dir)
	before := device.use()
	stopProfiles := b.beginProfiles(target, c, s)
	w := &window{target: target, disk: device}
	o, err := runJob(ctx, &j, w.open, w.close)
	stopProfiles()
	if err != nil {
		return err
	}
	f := w.figures(o)
	if o.AllProduced > 0 {
		settle(ctx) // what waits in the page cache was written by this cell too
		if after := device.use(); after.known {
			f[colWritten] = float64(after.written-before.written) / float64(o.AllProduced)
		}
	}
	b.record(c, s, f)
	b.note("  %-12s %-13s %s", c.name, s.name, summary(c, f))
	return b.dropTopic(ctx, target, t)
}

// runJob runs a generator; open and close are called around its measurement.
func runJob(ctx context.Context, j *job, open func(pid int) error, closed func(pid int) error) (*outcome, error) {
	g, err := startGenerator(j)
	if err != nil {
		return nil, err
	}
	defer g.end()
	stop := context.AfterFunc(ctx, func() { _ = g.cmd.Process.Kill() })
	defer stop()
	if err := g.ready(); err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	if open != nil {
		if err := open(g.cmd.Process.Pid); err != nil {
			return nil, err
		}
	}
	o, err := g.measure()
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	if closed != nil {
		err = closed(g.cmd.Process.Pid)
	}
	return o, err
}

// createMany creates topics of ten partitions, and looks at the process afterwards.
func (b *bench) createMany(ctx context.Context, target *broker, topics int) (figures, error) {
	before, err := target.usage()
	if err != nil {
		return nil, err
	}
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var last topic
	began := time.Now()
	for from := 0; from < topics; from += 100 {
		var names []string
		for i := from; i < min(from+100, topics); i++ {
			names = append(names, fmt.Sprintf("many-%d", i))
		}
		made, err := c.createTopics(names, 10, nil)
		if err != nil {
			return nil, err
		}
		last = made[len(made)-1]
	}
	answered := time.Since(began)
	if err := c.awaitAck(ctx, last); err != nil { // Kafka answers when its controller knows, and makes the logs after that
		return nil, err
	}
	f := figures{colCreated: time.Since(began).Seconds(), colAnswered: answered.Seconds()}
	pause(ctx, b.pace.rest)
	after, err := target.usage()
	if err != nil {
		return nil, err
	}
	if after.known {
		f[colTopicsRSS] = mib(after.rss)
		f[colPerPartition] = float64(after.rss-before.rss) / 1024 / float64(topics*10)
	}
	b.note("  %-12s %-13s %.2f s", "topics", target.kind, f[colCreated])
	return f, nil
}

// settle lets the disk finish what was done before, so that it is not charged to what follows.
func settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_ = exec.CommandContext(ctx, "sync").Run() // where there is none, the runs are a little less alike
}

// beginProfiles saves what Ottla's admin listener says while a cell runs.
func (b *bench) beginProfiles(target *broker, c *cell, s *side) (wait func()) {
	if b.profile == "" || target.kind != "ottla" {
		return func() {}
	}
	done := make(chan error, 1)
	go func() { done <- saveProfiles(target, b.profile, c.name+"-"+s.name, b.pace) }()
	return func() {
		if err := <-done; err != nil {
			b.note("  no profile of %s: %v", c.name, err)
		}
	}
}
