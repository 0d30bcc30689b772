package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// crash is what a broker holds when it is killed under load.
type crash struct {
	partitions int32
	bytes      int64
}

// crashLoad is the load under which a broker is killed: 64 KiB batches to all partitions in turn.
var crashLoad = job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 64 << 10, ValueBytes: 1 << 10, Acks: -1}

// recoveries fills partitions, kills the broker under load, measures the start after that, and the one after an orderly stop.
func (b *bench) recoveries(ctx context.Context, kind string, c *cell) (err error) {
	i := slices.IndexFunc(c.sides, func(s side) bool { return s.kind == kind })
	target, err := b.newBroker(kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.remove()) }()
	first := topic{Name: "first", Partitions: 1}
	if _, err := target.start(ctx, &first); err != nil {
		return err
	}
	heaps, err := b.freshTopic(ctx, target, b.pace.crash.partitions, nil)
	if err != nil {
		return err
	}
	fill := crashLoad
	fill.Address, fill.Topic, fill.Measure, fill.MaxBytes = target.address, heaps, b.pace.limit, b.pace.crash.bytes
	if _, err := runJob(ctx, &fill, nil, nil); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	if err := b.killUnderLoad(ctx, target, heaps); err != nil {
		return err
	}
	s, err := target.start(ctx, &first)
	if err != nil {
		return fmt.Errorf("after a kill: %w", err)
	}
	f := figures{colKilled: ms(s.acked)}
	if read, known := bytesRead(target.cmd.Process.Pid); known {
		f[colRead] = mib(read)
	}
	u, err := target.usage()
	if err != nil {
		return err
	}
	if u.known {
		f[colStartCPU] = u.cpu.Seconds()
	}
	if err := target.stop(true); err != nil {
		return err
	}
	settle(ctx)
	if s, err = target.start(ctx, &first); err != nil {
		return fmt.Errorf("after an orderly stop: %w", err)
	}
	f[colRestart] = ms(s.acked)
	b.record(c, &c.sides[i], f)
	b.note("  %-12s %-13s %s", c.name, c.sides[i].name, summary(c, f))
	return nil
}

// killUnderLoad kills the broker while a generator waits for answers, which ends that too.
func (b *bench) killUnderLoad(ctx context.Context, target *broker, to topic) error {
	j := crashLoad
	j.Address, j.Topic, j.Warm, j.Measure, j.MaxBytes = target.address, to, b.pace.warm, b.pace.limit, 1<<50
	g, err := startGenerator(&j)
	if err != nil {
		return err
	}
	defer g.end()
	stop := context.AfterFunc(ctx, func() { _ = g.cmd.Process.Kill() })
	defer stop()
	if err := g.ready(); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := g.measure()
		ended <- err
	}()
	pause(ctx, time.Second)
	if err := target.stop(false); err != nil {
		return err
	}
	if err := <-ended; err == nil {
		return errors.New("the load did not notice that the broker was killed")
	}
	return nil
}

// bytesRead is what a process has read from files and sockets so far.
func bytesRead(pid int) (n int64, known bool) {
	io, err := keyed(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, false
	}
	n, known = io["rchar"]
	return n, known
}
