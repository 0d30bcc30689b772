package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// crashLoad is the load under which a broker is killed: 1 MB batches to all partitions in turn.
var crashLoad = job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 1_000_000, ValueBytes: 1 << 10, Acks: -1}

// What a broker holds when it is killed under load. Kafka writes to a thousand partitions so slowly that it gets less.
const (
	crashPartitions = 1000
	crashBytes      = 10_000_000_000
	crashBytesKafka = 2_000_000_000
)

// recoveries fills partitions, kills the broker under load, measures the start after that, and the one after an orderly stop.
func (b *bench) recoveries(ctx context.Context, _ *cell, s *side) (figures, error) {
	f := figures{}
	return f, b.own(ctx, s.kind, func(target *broker, _ started) error {
		heaps, err := b.freshTopic(ctx, target, int32(b.pace.scaled(crashPartitions)), nil)
		if err != nil {
			return err
		}
		fill := crashLoad
		fill.Address, fill.Topic, fill.Measure, fill.MaxBytes = target.address, heaps, 4*loadTimeout, int64(b.pace.scaled(crashBytes))
		if s.kind == "kafka" {
			fill.MaxBytes = int64(b.pace.scaled(crashBytesKafka))
		}
		if _, err := runJob(ctx, &fill, nil, nil); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		if err := b.killUnderLoad(ctx, target, heaps); err != nil {
			return err
		}
		after, err := target.start(ctx, &topic{Name: "first", ID: [16]byte{1}, Partitions: 1})
		if err != nil {
			return fmt.Errorf("after a kill: %w", err)
		}
		f[colKilled] = ms(after.acked)
		if read, known := bytesRead(target.cmd.Process.Pid); known {
			f[colRead] = mib(read)
		}
		u, err := target.usage()
		if err != nil {
			return err
		}
		if u.known {
			f[colStartCPU] = u.cpu.Seconds()
			target.memory(f, u)
		}
		again, err := b.restart(ctx, target)
		f[colRestart] = ms(again.acked)
		return err
	})
}

// killUnderLoad kills the broker while a generator waits for answers, which ends that too.
func (b *bench) killUnderLoad(ctx context.Context, target *broker, to topic) error {
	j := crashLoad
	j.Address, j.Topic, j.Warm, j.Measure, j.MaxBytes = target.address, to, b.pace.warm, 4*loadTimeout, 1<<50
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
