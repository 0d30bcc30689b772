package partition

import (
	"context"
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// Settling returns the offset at which Kafka would have the high watermark now. There a lone in-sync replica commits what it appends; here it does once that is
// synced, so until then the high watermark trails the log's end, which this is. With followers both wait for them, and it is the high watermark.
func (p *Partition) Settling() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.replica.Alone() {
		return p.mu.replica.HighWatermark()
	}
	return max(p.log.EndOffset(), p.mu.replica.HighWatermark())
}

// AwaitCommitted returns when the high watermark has reached an offset. With an error it has not: RequestTimedOut when a channel said so, else why it never will.
func (p *Partition) AwaitCommitted(offset int64, timeout <-chan time.Time, stop <-chan struct{}) error {
	return p.await(func() bool { return p.HighWatermark() >= offset }, timeout, stop)
}

// DeleteBefore removes the records below an offset that is committed. They are gone for readers at once, and for good when AwaitDeleted returns.
func (p *Partition) DeleteBefore(offset int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mu.err != nil:
		return p.mu.err
	case !p.mu.replica.Leads():
		return model.NotLeaderForPartition
	case offset < 0 || offset > p.mu.replica.HighWatermark():
		return &model.Error{Code: model.OffsetOutOfRange, Message: fmt.Sprintf("offset %d is not between 0 and the high watermark %d", offset, p.mu.replica.HighWatermark())}
	}
	return p.log.SetStartOffset(offset)
}

// AwaitDeleted returns when a start at or above an offset survives a power cut, as AwaitCommitted does.
func (p *Partition) AwaitDeleted(offset int64, timeout <-chan time.Time, stop <-chan struct{}) error {
	return p.await(func() bool { return p.log.DurableStartOffset() >= offset }, timeout, stop)
}

// await waits for something of which wakers hear.
func (p *Partition) await(done func() bool, timeout <-chan time.Time, stop <-chan struct{}) error {
	if done() {
		return nil
	}
	w := NewWaker()
	defer p.Unwatch(w)
	for {
		p.Watch(w)
		if done() { // what came between the last look and the watch must not be missed
			return nil
		}
		if err := p.Err(); err != nil {
			return err
		}
		if p.LeaderEpoch() == plog.NoEpoch {
			return model.NotLeaderForPartition
		}
		select {
		case <-w.C():
		case <-timeout:
			return model.RequestTimedOut
		case <-stop:
			return model.RequestTimedOut
		}
	}
}

// Maintain rolls and removes segments as the topic's retention asks, and forgets producers that were silent for too long. It returns how many segments went.
func (p *Partition) Maintain() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.err != nil {
		return 0
	}
	return p.log.Maintain(p.clock(), p.mu.replica.HighWatermark())
}

// Cleanable tells how much of the log compaction has not looked at.
func (p *Partition) Cleanable() plog.Cleanable {
	return p.log.Cleanable(p.clock(), p.LastStableOffset())
}

// Clean compacts the log. Now, UpTo, HighWatermark and Serial of the options are the partition's own.
func (p *Partition) Clean(ctx context.Context, o plog.CleanOptions) (plog.CleanStats, error) {
	o.Now, o.UpTo, o.HighWatermark = p.clock(), p.LastStableOffset(), p.HighWatermark()
	o.Serial = func(f func() error) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.mu.err != nil {
			return p.mu.err
		}
		return f()
	}
	return p.log.Clean(ctx, o)
}

// Producers lists the idempotent producers that the log remembers.
func (p *Partition) Producers() []plog.ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Producers()
}
