package node

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/group"
)

// jammed is a machine that a heartbeat holds up until it is released.
type jammed struct {
	machine.Machine
	stuck    chan struct{}
	released chan struct{}
}

func (m *jammed) Step(now time.Time, from machine.Caller, input any) machine.Out {
	if _, ok := input.(group.Heartbeat); ok {
		m.stuck <- struct{}{}
		<-m.released
	}
	return m.Machine.Step(now, from, input)
}

// TestDeletedTopicsReachBusyCoordinators: a coordinator that loads its log, or has as much to do as it takes, hears of a deleted topic afterwards. Otherwise a topic of
// the same name would begin at the offsets that were committed for the old one.
func TestDeletedTopicsReachBusyCoordinators(t *testing.T) {
	for _, busy := range []bool{false, true} {
		n := opened(t)
		c := dial(t, n)
		createTopic(t, c, "gone", 1)
		warmCoordinator(t, c, "g")
		code(t, "commit", commit(t, c, lone("g"), "gone", 7, ""), model.None)

		offsets := n.partitions.Topic(model.ConsumerOffsetsTopic)
		p := offsets.Partition(model.PartitionFor("g", int32(len(offsets.Partitions))))
		n.coordinate(p, false)
		ctx, cancel := context.WithCancel(n.ctx)
		m := &jammed{Machine: group.New(group.DefaultOptions()), stuck: make(chan struct{}), released: make(chan struct{})}
		slow := &coordinator{ctx: ctx, cancel: cancel, shard: shard.New(partition.NewShardLog(p), m, shard.Options{Name: "slow", MailboxLimit: 1})}
		n.mu.Lock()
		n.mu.coordinators[p.Index()] = slow
		n.mu.Unlock()
		ended := make(chan error, 1)
		run := func() { go func() { ended <- slow.shard.Run(ctx) }() }
		if busy {
			run()
			<-slow.shard.Ready()
			slow.shard.Call(group.Heartbeat{Group: "g"})
			<-m.stuck
			slow.shard.Call(group.Stats{})
		}

		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TopicNames, req.TimeoutMillis = []string{"gone"}, 10_000
		code(t, "delete", request[*kmsg.DeleteTopicsResponse](t, c, 5, req).Topics[0].ErrorCode, model.None)
		n.mu.Lock()
		missed := len(slow.missed)
		n.mu.Unlock()
		if missed != 1 {
			t.Fatalf("busy %v: the coordinator has missed %d topics", busy, missed)
		}

		if close(m.released); !busy {
			run()
		}
		<-slow.shard.Ready()
		eventually(t, "the offset of the deleted topic is removed", func() bool {
			g := fetchCommitted(t, c, "g", "gone")
			switch model.ErrorCode(g.ErrorCode) { // it answers once it has seen its log's end committed, and when there is room in its mailbox of one
			case model.CoordinatorLoadInProgress, model.CoordinatorNotAvailable:
				return false
			}
			if code(t, "offset fetch", g.ErrorCode, model.None); len(g.Topics) == 0 {
				t.Fatal("no topic in the answer")
			}
			return g.Topics[0].Partitions[0].Offset == -1
		})
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
