package node

import (
	"context"
	"errors"
	"time"

	"github.com/ottla/ottla/internal/broker/api"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
	"github.com/ottla/ottla/internal/machine/meta"
)

// maxGroupBatch bounds one batch of a coordinator's log: a group with large subscriptions must fit.
const maxGroupBatch = 8 << 20

// coordinator is the group machine over one partition of the offsets topic.
type coordinator struct {
	shard  *shard.Shard
	cancel context.CancelFunc
	ctx    context.Context

	// missed are deleted topics that it could not be told of yet. While there are some, a goroutine tells it.
	missed []group.TopicDeleted
}

// coordinate starts the coordinator of a partition that this broker leads now, and ends the one of a partition that it does not.
func (n *Node) coordinate(p *partition.Partition, leads bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.mu.coordinators[p.Index()]
	if (old != nil) == leads {
		return
	}
	if !leads {
		old.cancel()
		delete(n.mu.coordinators, p.Index())
		return
	}
	b := &n.static.Broker
	options := group.DefaultOptions()
	options.MinSessionTimeout, options.MaxSessionTimeout = b.GroupMinSessionTimeout, b.GroupMaxSessionTimeout
	options.InitialRebalanceDelay, options.MaxSize = b.GroupInitialRebalanceDelay, b.GroupMaxSize
	options.OffsetMetadataMaxSize, options.OffsetsRetention = b.OffsetMetadataMaxBytes, b.OffsetsRetention
	options.RetentionCheckInterval = b.OffsetsRetentionCheckInterval
	ctx, cancel := context.WithCancel(n.ctx)
	c := &coordinator{ctx: ctx, cancel: cancel}
	c.shard = shard.New(partition.NewShardLog(p), group.New(options), shard.Options{Name: p.Name().String(), Clock: n.clock, MaxBatchBytes: maxGroupBatch})
	n.mu.coordinators[p.Index()] = c
	n.running.Go(func() { n.resumeForgetting(ctx, c, p) })
	n.running.Go(func() {
		if err := c.shard.Run(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("a group coordinator ended: its groups are not served until the partition moves or the node restarts", "partition", p.Name(), "error", err)
		}
	})
}

func (n *Node) endCoordinators() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for index, c := range n.mu.coordinators {
		c.cancel()
		delete(n.mu.coordinators, index)
	}
}

// resumeForgetting has a coordinator that has loaded its log remove what it has of topics that were deleted: of which it did not hear, or whose offsets it had not
// all removed when it ended.
func (n *Node) resumeForgetting(ctx context.Context, c *coordinator, p *partition.Partition) {
	select {
	case <-c.shard.Ready():
	case <-ctx.Done():
		return
	}
	call := c.shard.Call(group.TopicsKnown{ID: func(name string) (model.TopicID, bool) {
		if t := n.image.Load().TopicByName(name); t != nil { // a commit for a topic comes after the image that has it
			return t.ID, true
		}
		return model.TopicID{}, false
	}})
	reply, err := call.Wait(ctx.Done())
	switch known, ok := reply.(group.TopicsKnownReply); {
	case err != nil && ctx.Err() == nil:
		n.log.Warn("committed offsets of deleted topics stay until the next start", "partition", p.Name(), "error", err)
	case ok && known.Gone > 0:
		n.log.Info("removing committed offsets of deleted topics", "partition", p.Name(), "topics", known.Gone)
	}
}

// forgetOffsets tells every coordinator that a topic is gone.
func (n *Node) forgetOffsets(t *meta.Topic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.mu.coordinators {
		gone := group.TopicDeleted{Name: t.Name, ID: t.ID}
		if len(c.missed) == 0 && !turnedAway(c.shard.Call(gone)) {
			continue
		}
		if c.missed = append(c.missed, gone); len(c.missed) == 1 {
			n.running.Go(func() { n.forgetMissed(c) })
		}
	}
}

// turnedAway tells whether a shard did not take a call at all: it is loading, or has too much to do.
func turnedAway(call *shard.Call) bool {
	select {
	case <-call.Done():
		_, err := call.Result()
		return errors.Is(err, shard.ErrBusy) || errors.Is(err, shard.ErrLoading)
	default:
		return false
	}
}

// missedPause is between two tries to tell a coordinator of deleted topics.
const missedPause = 200 * time.Millisecond

// forgetMissed tells a coordinator what it could not be told at first, once it has loaded and has room.
func (n *Node) forgetMissed(c *coordinator) {
	select {
	case <-c.shard.Ready():
	case <-c.ctx.Done():
		return
	}
	pause := time.NewTicker(missedPause)
	defer pause.Stop()
	for {
		n.mu.Lock()
		for len(c.missed) > 0 && !turnedAway(c.shard.Call(c.missed[0])) {
			c.missed = c.missed[1:]
		}
		done := len(c.missed) == 0
		if done {
			c.missed = nil
		}
		n.mu.Unlock()
		if done {
			return
		}
		select {
		case <-pause.C:
		case <-c.ctx.Done():
			return
		}
	}
}

// Group returns the coordinator of a group, or the code that says why there is none here. It implements api.Coordinators.
func (n *Node) Group(name string) (api.Caller, model.ErrorCode) {
	topic := n.partitions.Topic(model.ConsumerOffsetsTopic)
	if topic == nil {
		return nil, model.NotCoordinator
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.mu.coordinators[model.PartitionFor(name, int32(len(topic.Partitions)))]
	if c == nil {
		return nil, model.NotCoordinator
	}
	return c.shard, model.None
}

// All returns every coordinator that runs here. It implements api.Coordinators.
func (n *Node) All() []api.Caller {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]api.Caller, 0, len(n.mu.coordinators))
	for _, c := range n.mu.coordinators {
		out = append(out, c.shard)
	}
	return out
}
