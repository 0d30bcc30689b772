package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// own runs something with a broker of its own that is removed afterwards.
func (b *bench) own(ctx context.Context, kind string, do func(target *broker, s started) error) (err error) {
	target, err := b.newBroker(kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.remove()) }()
	settle(ctx)
	s, err := target.start(ctx, &topic{Name: "first", Partitions: 1})
	if err != nil {
		return err
	}
	return do(target, s)
}

// atRest lets a process do nothing, and notes what it needs for that.
func (b *bench) atRest(ctx context.Context, target *broker, f figures) error {
	pause(ctx, time.Second)
	pid := target.cmd.Process.Pid
	woken, err := wakeups(pid)
	if err != nil {
		return err
	}
	ran, _ := runTime(pid)
	pause(ctx, b.pace.rest)
	again, err := wakeups(pid)
	if err != nil {
		return err
	}
	ranNow, known := runTime(pid)
	u, err := target.usage()
	if err != nil || !u.known {
		return err
	}
	f[colIdle], f[colThreads] = mib(u.rss), float64(u.threads)
	f[colWakeups] = float64(again-woken) / b.pace.rest.Seconds()
	if known {
		f[colIdleCPU] = 100 * (ranNow - ran).Seconds() / b.pace.rest.Seconds()
	}
	if tail := target.tailPool(); target.kind == "ottla" {
		f[colTail] = mib(tail)
	}
	return nil
}

// starts measures starts from nothing, a start after an orderly stop, and the process at rest.
func (b *bench) starts(ctx context.Context, _ *cell, s *side) (figures, error) {
	var all []figures
	times := b.pace.starts
	if s.kind == "kafka" {
		times = 1
	}
	for range times {
		f := figures{}
		if err := b.own(ctx, s.kind, func(target *broker, first started) error {
			f[colStart], f[colAccept], f[colStartAll] = ms(first.acked), ms(first.accepting), ms(first.prepared+first.acked)
			if first.prepared > 0 {
				f[colFormat] = ms(first.prepared)
			}
			if err := b.atRest(ctx, target, f); err != nil {
				return err
			}
			again, err := b.restart(ctx, target)
			f[colRestart] = ms(again.acked)
			return err
		}); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return medians(all), nil
}

// restart stops a broker in order and starts it again.
func (b *bench) restart(ctx context.Context, target *broker) (started, error) {
	if err := target.stop(true); err != nil {
		return started{}, err
	}
	settle(ctx)
	return target.start(ctx, &topic{Name: "first", ID: [16]byte{1}, Partitions: 1}) // it is there already
}

// medians makes one figure of each.
func medians(all []figures) figures {
	out := figures{}
	for col := range all[0] {
		s, _ := spreadOf(all, col)
		out[col] = s.median
	}
	return out
}

// manyPartitions creates them, stops and starts the broker, and looks at it at rest.
func (b *bench) manyPartitions(ctx context.Context, _ *cell, s *side) (figures, error) {
	f := figures{}
	topics := b.pace.scaled(1000)
	return f, b.own(ctx, s.kind, func(target *broker, _ started) error {
		before, err := target.usage()
		if err != nil {
			return err
		}
		if err := createMany(ctx, target, topics, f); err != nil {
			return err
		}
		pause(ctx, b.pace.rest)
		after, err := target.usage()
		if err != nil {
			return err
		}
		if after.known {
			f[colPerPartition] = float64(after.rss-before.rss) / 1024 / float64(topics*10)
		}
		again, err := b.restart(ctx, target)
		if err != nil {
			return err
		}
		f[colRestart] = ms(again.acked)
		return b.atRest(ctx, target, f)
	})
}

// createMany creates topics of ten partitions until the last one acknowledges: Kafka answers when its controller knows, and makes the logs after that.
func createMany(ctx context.Context, target *broker, topics int, f figures) error {
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return err
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
			return err
		}
		last = made[len(made)-1]
	}
	f[colAnswered] = time.Since(began).Seconds()
	err = c.awaitAck(ctx, last)
	f[colCreated] = time.Since(began).Seconds()
	return err
}

// added measures what a number of things cost that connect makes, one at a time or more, while they rest.
func (b *bench) added(ctx context.Context, kind string, n int, connect func(target *broker) (release func(), err error)) (figures, error) {
	f := figures{}
	return f, b.own(ctx, kind, func(target *broker, _ started) error {
		pause(ctx, time.Second)
		before, err := target.usage()
		if err != nil {
			return err
		}
		release, err := connect(target)
		if err != nil {
			return err
		}
		defer release()
		if err := b.atRest(ctx, target, f); err != nil {
			return err
		}
		if before.known {
			f[colAdded] = f[colIdle] - mib(before.rss)
			f[colPerOne] = 1024 * f[colAdded] / float64(n)
		}
		return nil
	})
}

// connections are idle ones, each of which has been answered once.
func (b *bench) connections(ctx context.Context, _ *cell, s *side) (figures, error) {
	n := b.pace.scaled(10_000)
	return b.added(ctx, s.kind, n, func(target *broker) (func(), error) {
		return crowdOf(n, func(int) (*control, error) {
			c, err := dialControl(ctx, target.address)
			if err != nil {
				return nil, err
			}
			return c, c.hello()
		})
	})
}

// consumers are members of groups of their own with a fetch session.
func (b *bench) consumers(ctx context.Context, _ *cell, s *side) (figures, error) {
	n := b.pace.scaled(1000)
	return b.added(ctx, s.kind, n, func(target *broker) (func(), error) {
		t, err := b.freshTopic(ctx, target, basePartitions, nil)
		if err != nil {
			return nil, err
		}
		return crowdOf(n, func(i int) (*control, error) {
			c, err := dialControl(ctx, target.address)
			if err != nil {
				return nil, err
			}
			return c, c.becomeConsumer(ctx, groupName(t.Name, i), t)
		})
	})
}

// crowdOf makes n connections, a hundred at a time, and returns how to close them.
func crowdOf(n int, dial func(i int) (*control, error)) (release func(), err error) {
	const atOnce = 100
	made, failed := make([]*control, n), make([]error, atOnce)
	release = func() {
		for _, c := range made {
			if c != nil {
				c.close()
			}
		}
	}
	var all sync.WaitGroup
	for first := range atOnce {
		all.Go(func() {
			for i := first; i < n && failed[first] == nil; i += atOnce {
				made[i], failed[first] = dial(i)
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		release()
		return nil, err
	}
	return release, nil
}
