package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// mostAtOnce is how many partitions Apache Kafka is asked for in one request: it refuses 10,000.
const mostAtOnce = 5000

// freshTopic makes a topic that acknowledges on all its partitions; of NATS, a stream.
func (b *bench) freshTopic(ctx context.Context, target *broker, partitions int32, configs map[string]string) (topic, error) {
	b.serial++
	name := fmt.Sprintf("bench-%d", b.serial)
	if target.kind == "nats" {
		line, err := dialNATS(target.address)
		if err != nil {
			return topic{}, err
		}
		defer line.socket.Close()
		return topic{Name: name, Partitions: 1}, line.createStream(name)
	}
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return topic{}, err
	}
	defer c.close()
	made, err := c.createTopics([]string{name}, min(partitions, mostAtOnce), configs)
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
	if target.kind == "nats" {
		line, err := dialNATS(target.address)
		if err != nil {
			return err
		}
		defer line.socket.Close()
		return line.ask("$JS.API.STREAM.DELETE."+t.Name, map[string]any{})
	}
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.deleteTopic(t); err != nil {
		return err
	}
	awaitGone(ctx, target.data(), t.Name)
	return nil
}

// goneTimeout bounds the wait for files to be removed. Kafka begins with that half a minute after its start.
const goneTimeout = 2 * time.Second

// awaitGone lets a broker remove the directories of a topic before the next measurement, which would pay for that otherwise.
func awaitGone(ctx context.Context, dir, topic string) {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	for ; ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		if left, err := filepath.Glob(filepath.Join(dir, topic+"-*")); err != nil || len(left) == 0 {
			return
		}
	}
}

// warmUp gives a fresh broker its work before anything counts: it has its files and its memory then, and Kafka's compiler has had something to compile. The floor has nothing to
// warm.
func (b *bench) warmUp(ctx context.Context, target *broker) error {
	each := b.pace.warm
	switch target.kind {
	case "kafka":
		each = b.pace.jvm / 3
	case "floor":
		return nil
	}
	both := bothJob()
	for _, j := range []job{both, smallJob(64, 1), smallJob(1, 50)} {
		t, err := b.freshTopic(ctx, target, basePartitions, nil)
		if err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		j.Address, j.Topic, j.Measure, j.MaxBytes, j.NATS = target.address, t, each, b.pace.maxBytes, target.kind == "nats"
		if _, err := runJob(ctx, &j, nil, nil); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		if err := b.dropTopic(ctx, target, t); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return nil
}
