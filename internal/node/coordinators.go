package node

import (
	"context"

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
	c := &coordinator{cancel: cancel}
	c.shard = shard.New(partition.NewShardLog(p), group.New(options), shard.Options{Name: p.Name().String(), Clock: n.clock, MaxBatchBytes: maxGroupBatch})
	n.mu.coordinators[p.Index()] = c
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

// forgetOffsets tells every coordinator that a topic is gone.
func (n *Node) forgetOffsets(t *meta.Topic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.mu.coordinators {
		c.shard.Call(group.TopicDeleted{Name: t.Name, ID: t.ID})
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
