package partition

import (
	"fmt"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// DeleteBefore removes the records below an offset; -1 means all that is committed. It returns the new start once that is on disk.
func (p *Partition) DeleteBefore(offset int64, stop <-chan struct{}) (int64, error) {
	if offset == -1 {
		offset = p.HighWatermark()
	}
	w := NewWaker()
	p.Watch(w)
	defer p.Unwatch(w)
	if err := p.moveStart(offset); err != nil {
		return -1, err
	}
	for p.log.DurableStartOffset() < offset {
		select {
		case <-w.C():
		case <-stop:
			return -1, model.RequestTimedOut
		}
		if err := p.Err(); err != nil {
			return -1, err
		}
		p.Watch(w)
	}
	return p.log.StartOffset(), nil
}

func (p *Partition) moveStart(offset int64) error {
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

// Maintain rolls and removes segments as the topic's retention asks, and forgets producers that were silent for too long. It returns how many segments went.
func (p *Partition) Maintain() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.err != nil {
		return 0
	}
	return p.log.Maintain(p.clock(), p.mu.replica.HighWatermark())
}

// Producers lists the idempotent producers that the log remembers.
func (p *Partition) Producers() []plog.ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Producers()
}
