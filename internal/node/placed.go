package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// placedLogs tells the metadata in which directories the logs of this broker are, and which directories failed, as brokers of Apache Kafka do (KIP-858). Both go to the
// controller in their order, behind the back of whoever made a topic or broke a disk.
type placedLogs struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		news []meta.ReplicaDirectory
	}
	told []model.TopicID // failed directories; of the goroutine in tellController
}

func newPlacedLogs() *placedLogs { return &placedLogs{wake: make(chan struct{}, 1)} }

func (x *placedLogs) kick() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// add notes where a log is.
func (x *placedLogs) add(r meta.ReplicaDirectory) {
	x.mu.Lock()
	x.mu.news = append(x.mu.news, r)
	x.mu.Unlock()
	x.kick()
}

// maxPlacedAtOnce bounds the replicas of one input.
const maxPlacedAtOnce = 10_000

// tellRetry is how long the node waits before it tells the controller again what it did not take.
const tellRetry = time.Second

// tellController runs until the node stops.
func (n *Node) tellController() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.placed.wake:
		}
		for {
			err := n.tellPlaces(n.ctx)
			if err == nil {
				err = n.tellFailures(n.ctx)
			}
			if err == nil || n.ctx.Err() != nil {
				break
			}
			n.log.Warn("the metadata does not say yet where logs are, or which log directories failed; it is told again", "error", err)
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(tellRetry):
			}
		}
	}
}

// tellPlaces tells where logs are.
func (n *Node) tellPlaces(ctx context.Context) error {
	for {
		n.placed.mu.Lock()
		news := slices.Clone(n.placed.mu.news[:min(len(n.placed.mu.news), maxPlacedAtOnce)])
		n.placed.mu.Unlock()
		if len(news) == 0 {
			return nil
		}
		reply, err := ask[meta.AssignReplicasReply](ctx, n, meta.AssignReplicas{ID: n.static.Broker.NodeID, Epoch: n.epoch(), Replicas: news})
		if err == nil && reply.Code != model.None {
			err = &model.Error{Code: reply.Code, Message: reply.Message}
		}
		if err != nil {
			return err
		}
		n.placed.mu.Lock()
		n.placed.mu.news = slices.Delete(n.placed.mu.news, 0, len(news))
		n.placed.mu.Unlock()
	}
}

// tellFailures tells which directories failed since the broker was registered.
func (n *Node) tellFailures(ctx context.Context) error {
	var failed []model.TopicID
	for _, d := range n.dirs {
		if d.Err() != nil && slices.Contains(n.registered, d.ID()) && !slices.Contains(n.placed.told, d.ID()) {
			failed = append(failed, d.ID())
		}
	}
	if len(failed) == 0 {
		return nil
	}
	for again := true; again; {
		reply, err := ask[meta.BrokerReply](ctx, n, meta.FailDirectories{ID: n.static.Broker.NodeID, Epoch: n.epoch(), Directories: failed})
		if err == nil && reply.Code != model.None {
			err = &model.Error{Code: reply.Code, Message: reply.Message}
		}
		if err != nil {
			return err
		}
		again = reply.Again
	}
	n.placed.told = append(n.placed.told, failed...)
	n.log.Info("the partitions of failed log directories are without a leader", "directory_ids", failed)
	return nil
}

func (n *Node) epoch() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.brokerEpoch
}
