package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// bench is one run of everything that was asked for.
type bench struct {
	pace     pace
	cells    []cell
	targets  []string // kinds of broker, in the order of their turns
	binary   string   // ottla
	jars     string   // Kafka's
	nats     string   // the NATS server
	clients  string   // where the strangers are installed
	scratch  string
	profile  string // where profiles of Ottla go; empty for none
	saveIn   string // where the result goes; empty for nowhere
	note     func(format string, args ...any)
	result   *result
	earlier  history
	capacity float64 // requests/s of one connection, of the slowest side
	look     func() machineUse
	failures []error
	serial   int
	schedule
}

// run does all rounds: each broker in turn, so that what the machine does meanwhile hits all.
func (b *bench) run(ctx context.Context) error {
	for round := range b.pace.rounds {
		cells := b.fitting(round)
		if len(cells) == 0 {
			break
		}
		for i, kind := range b.targets {
			b.note("round %d of %d: %s, after %v", round+1, b.pace.rounds, kind, b.elapsed().Round(time.Second))
			b.turns++
			if err := b.turn(ctx, kind, round, cells); err != nil {
				err = fmt.Errorf("round %d, %s: %w", round+1, kind, err)
				if ctx.Err() != nil {
					return errors.Join(append(b.failures, err)...)
				}
				b.note("  FAILED: %v", err)
				b.failures = append(b.failures, err)
			}
			b.result.Took = b.elapsed().Round(time.Second).String()
			if i == len(b.targets)-1 {
				b.result.Rounds = round + 1
			}
			if b.saveIn != "" {
				if err := b.result.save(b.saveIn); err != nil {
					return err
				}
			}
		}
	}
	if len(b.result.Dropped) > 0 {
		b.note("no time was left for %s", droppedText(b.result.Dropped))
	}
	return errors.Join(b.failures...)
}

func (b *bench) newBroker(kind string) (*broker, error) {
	switch kind {
	case "kafka":
		return newKafka(b.jars, b.scratch)
	case "nats":
		return newNATS(b.nats, b.scratch)
	case "floor":
		return newFloor(b.scratch)
	}
	return newOttla(b.binary, b.scratch)
}

// turn is one broker's part of a round: the cells with processes of their own, then those that share one.
func (b *bench) turn(ctx context.Context, kind string, round int, cells []*cell) (err error) {
	var target *broker
	defer func() {
		if target != nil {
			err = errors.Join(err, target.remove())
		}
	}()
	for _, shared := range []bool{false, true} {
		for _, c := range cells {
			if !b.pace.wants(c, kind, round) || shared == (c.alone != nil) {
				continue
			}
			if round > 0 && b.elapsed() > b.pace.limit { // the machine has become slower than it was
				b.drop(round, c)
				continue
			}
			for j := range c.sides {
				s := &c.sides[j]
				if s.kind != kind {
					continue
				}
				if shared && target == nil {
					if target, err = b.warmBroker(ctx, kind); err != nil {
						return err
					}
				}
				if err := b.measure(ctx, target, c, s); ctx.Err() != nil {
					return errors.Join(ctx.Err(), err)
				} else if err != nil && target != nil { // what it is left in helps no other cell
					failed := target
					target = nil
					if err := failed.remove(); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// warmBroker starts one for all cells that share it.
func (b *bench) warmBroker(ctx context.Context, kind string) (*broker, error) {
	began := b.now()
	defer func() { b.opening[kind] = b.now().Sub(began) }()
	target, err := b.newBroker(kind)
	if err != nil {
		return nil, err
	}
	if _, err = target.start(ctx, &topic{Name: "first", Partitions: 1}); err == nil {
		err = b.warmUp(ctx, target)
	}
	if err != nil {
		return nil, errors.Join(err, target.remove())
	}
	return target, nil
}

// measure runs one cell against one broker and records its figures. What others disturbed is done again, as often as the run's form allows.
func (b *bench) measure(ctx context.Context, target *broker, c *cell, s *side) error {
	r := b.result.at(c.name, s.name)
	for try := 1; ; try++ {
		began := b.now()
		f, err := b.once(ctx, target, c, s)
		took := b.now().Sub(began)
		b.steps[[2]string{c.name, s.name}] = took
		if try > 1 {
			b.again += took
		}
		switch {
		case errors.Is(err, errStrangerMissing):
			r.Note = err.Error()
			b.note("  %-18s %-13s %v", c.name, s.name, err)
			return nil
		case err != nil:
			r.Note = err.Error()
			b.note("  %-18s %-13s FAILED: %v", c.name, s.name, err)
			b.failures = append(b.failures, fmt.Errorf("cell %s, %s: %w", c.name, s.name, err))
			return err
		case f == nil: // it wrote its note itself
			b.note("  %-18s %-13s %s", c.name, s.name, r.Note)
			return nil
		}
		c.keep(f)
		mark := ""
		if f.disturbed() {
			mark = ", disturbed"
			r.Disturbed = append(r.Disturbed, f)
		} else {
			r.Rounds = append(r.Rounds, f)
		}
		b.note("  %-18s %-13s %s%s (%v)", c.name, s.name, summary(c, f), mark, took.Round(100*time.Millisecond))
		if mark == "" || try == mostTries || took > longestRepeat || !b.mayRepeat(took) {
			return nil
		}
	}
}

// keep leaves the figures that the cell's table shows, with as many digits as mean something.
func (c *cell) keep(f figures) {
	unused := colClientRequest // what a client costs is said by request where a broker's cost is, else by bytes
	if slices.Contains(c.columns, colPerRequest) {
		unused = colClient
	}
	for col, v := range f {
		if f[col] = short(v); col == unused || !slices.Contains(c.columns, col) && !slices.Contains(closing, col) && col != colSteal {
			delete(f, col)
		}
	}
}

// What is disturbed is tried so often, unless that takes too long.
const (
	mostTries     = 3
	longestRepeat = 40 * time.Second
)

func (b *bench) once(ctx context.Context, target *broker, c *cell, s *side) (figures, error) {
	switch {
	case c.alone != nil:
		w := &window{}
		w.machine[0] = b.look()
		f, err := c.alone(b, ctx, c, s)
		if w.machine[1] = b.look(); f != nil {
			w.addOthers(f)
		}
		return f, err
	case c.inside != nil:
		return c.inside(b, ctx, target, c, s)
	}
	return b.load(ctx, target, c, s)
}

// load runs a cell's job against a fresh topic.
func (b *bench) load(ctx context.Context, target *broker, c *cell, s *side) (figures, error) {
	if err := missingStranger(c.job.Kind, b.clients); err != nil {
		return nil, err
	}
	t, err := b.freshTopic(ctx, target, s.topicPartitions(), s.configs)
	if err != nil {
		return nil, err
	}
	j := c.job
	j.Address, j.Topic, j.Warm, j.Measure, j.MaxBytes, j.Clients, j.NATS = target.address, t, b.pace.warm, b.pace.measure, b.pace.maxBytes, b.clients, target.kind == "nats"
	if j.Kind == "commit" {
		if err := prepareGroups(ctx, target.address, t.Name, j.Producers, s.configs); err != nil {
			return nil, err
		}
	}
	if c.share > 0 {
		j.Rate = int(c.share * b.slowest())
		if j.Rate == 0 {
			return nil, fmt.Errorf("the capacity is not known: run small-1x50 too")
		}
	}
	if err := b.fill(ctx, c, &j); err != nil {
		return nil, err
	}
	settle(ctx)
	if c.cold {
		if err := forget(target.dir); err != nil {
			return nil, err
		}
		j.Warm, j.MaxBytes = 0, c.fill/int64(b.pace.scale)
	}
	device := diskOf(target.dir)
	before := device.use()
	stopProfiles := b.beginProfiles(target, c, s)
	w := &window{target: target, disk: device}
	o, err := runJob(ctx, &j, w.open, w.close)
	stopProfiles()
	if err != nil {
		return nil, err
	}
	f := w.figures(o)
	if c.job.Kind == "paced" {
		f[colRate] = float64(j.Rate)
	}
	if j.NATS && j.BatchBytes > 0 {
		delete(f, colRequests) // its requests are messages, the others' are batches
	}
	if o.AllProduced > 0 {
		settle(ctx) // what waits in the page cache was written by this cell too
		if after := device.use(); after.known {
			f[colWritten] = float64(after.written-before.written) / float64(o.AllProduced)
		}
	}
	return f, b.dropTopic(ctx, target, t)
}

func (s *side) topicPartitions() int32 {
	if s.partitions > 0 {
		return s.partitions
	}
	return basePartitions
}

// fill gives the topic what it has before the measurement.
func (b *bench) fill(ctx context.Context, c *cell, j *job) error {
	if c.fill > 0 {
		fill := produceJob(j.BatchBytes, j.ValueBytes)
		fill.Address, fill.Topic, fill.Measure, fill.MaxBytes = j.Address, j.Topic, loadTimeout, c.fill/int64(b.pace.scale)
		if _, err := runJob(ctx, &fill, nil, nil); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		j.MaxBytes = 1 << 50 // nothing grows
		j.Filled = fill.MaxBytes
	}
	if c.before > 0 {
		first := *j
		batch, _ := buildBatch(j.BatchBytes, j.ValueBytes, 0)
		first.Warm, first.Measure, first.MaxBytes = 0, loadTimeout, int64(c.before)*int64(j.Topic.Partitions)*int64(len(batch))
		if _, err := runJob(ctx, &first, nil, nil); err != nil {
			return fmt.Errorf("write to each partition: %w", err)
		}
	}
	return nil
}

// capacityCell is where it shows how many requests a second one connection takes at most.
const capacityCell = "small-1x50"

// slowest is what Kafka does in that cell, in this run or else in the newest one that had it; where there is no Kafka, what Ottla does. It is looked at once: all sides get
// the same rates.
func (b *bench) slowest() float64 {
	for _, side := range []string{kafka, synced} {
		for _, r := range slices.Backward(append(b.earlier[:len(b.earlier):len(b.earlier)], b.result)) {
			if s, ok := r.get(capacityCell, side).spread(colRequests); ok && b.capacity == 0 {
				b.capacity = s.median
			}
		}
	}
	return b.capacity
}

// runJob runs a generator; open and closed are called around its measurement.
func runJob(ctx context.Context, j *job, open func() error, closed func() error) (*outcome, error) {
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
		if err := open(); err != nil {
			return nil, err
		}
	}
	before, err := usageOf(g.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	o, err := g.measure()
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	after, err := usageOf(g.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	o.used = after.cpu - before.cpu
	if closed != nil {
		err = closed()
	}
	return o, err
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
