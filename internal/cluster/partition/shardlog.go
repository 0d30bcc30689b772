package partition

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/plog"
)

// ShardLog is a partition as a shard drives it: the log of a machine. The shard is the partition's only appender.
type ShardLog struct {
	p       *Partition
	builder batch.Builder
}

// NewShardLog returns the partition as the log of a machine.
func NewShardLog(p *Partition) *ShardLog { return &ShardLog{p: p} }

// Admit says whether an append may be tried now.
func (l *ShardLog) Admit() error {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.mu.err != nil {
		return l.p.mu.err
	}
	if err := l.p.log.Stuck(); err != nil {
		return err
	}
	if code := l.p.mu.replica.Admit(-1); code != model.None {
		return l.p.refusal(code)
	}
	return nil
}

// Append builds one batch of the records and appends it.
func (l *ShardLog) Append(records []machine.Record) (machine.Position, error) {
	now := l.p.clock()
	l.builder.Reset(batch.Options{})
	for _, r := range records {
		at := r.Timestamp
		if at == 0 {
			at = now.UnixMilli()
		}
		l.builder.Append(at, r.Key, r.Value)
	}
	b := l.builder.Build()
	epoch, appended, err := l.append(b, now)
	for err == plog.ErrBudget { // the disk is far behind even what coordinators may pass
		if err = l.p.log.WaitRoom(context.Background(), plog.Internal); err == nil {
			epoch, appended, err = l.append(b, now)
		}
	}
	if err != nil {
		return machine.Position{}, fmt.Errorf("append %d records to %v: %w", len(records), l.p.Name(), err)
	}
	return machine.Position{Epoch: epoch, Offset: appended.BaseOffset}, nil
}

func (l *ShardLog) append(b batch.Batch, now time.Time) (int32, plog.Appended, error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.mu.err != nil {
		return 0, plog.Appended{}, l.p.mu.err
	}
	epoch := l.p.mu.replica.Role().LeaderEpoch
	appended, err := l.p.log.Append(b, epoch, now, plog.Internal)
	return epoch, appended, err
}

// End returns the next offset to be written and the epoch in force.
func (l *ShardLog) End() machine.Position {
	return machine.Position{Epoch: l.p.leaderEpoch.Load(), Offset: l.p.log.EndOffset()}
}

// Committed returns the high watermark and the epoch in force.
func (l *ShardLog) Committed() machine.Position {
	return machine.Position{Epoch: l.p.leaderEpoch.Load(), Offset: l.p.highWatermark.Load()}
}

// Err returns why the log can no longer be used, or nil.
func (l *ShardLog) Err() error { return l.p.Err() }

// Watch has f called whenever Committed, the epoch or Err changed.
func (l *ShardLog) Watch(f func()) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.p.mu.watchers = append(l.p.mu.watchers, f)
}

// loadBytes is how much of the log Load reads at a time.
const loadBytes = 1 << 20

// maxLoadedBatch bounds what one batch of a machine's log may decompress to.
const maxLoadedBatch = 64 << 20

// Load gives every data record from offset from up to the end. Control records are left out. A batch that cannot be read is an error: the log must say which.
func (l *ShardLog) Load(from int64, f func(machine.Position, machine.Record) error) error {
	end := l.p.log.EndOffset()
	at := max(from, l.p.log.StartOffset())
	var reader batch.Reader
	var buf []byte
	for at < end {
		slice, err := l.p.log.Read(at, end, loadBytes, true)
		if err != nil {
			return fmt.Errorf("read %v at offset %d: %w", l.p.Name(), at, err)
		}
		buf, err = slice.AppendTo(buf[:0])
		slice.Close()
		if err != nil {
			return fmt.Errorf("read %v at offset %d: %w", l.p.Name(), at, err)
		}
		next, err := l.loadChunk(buf, at, &reader, f)
		if err != nil {
			return err
		}
		if next == at {
			return fmt.Errorf("read %v at offset %d: no batch up to the log's end %d", l.p.Name(), at, end)
		}
		at = next
	}
	return nil
}

// loadChunk gives the records of the whole batches in buf from offset at on, and returns the offset after them.
func (l *ShardLog) loadChunk(buf []byte, at int64, reader *batch.Reader, f func(machine.Position, machine.Record) error) (int64, error) {
	for len(buf) > 0 {
		b, rest, err := batch.Next(buf)
		if err == batch.ErrTruncated {
			break // the rest comes with the next read
		}
		if err != nil {
			return 0, fmt.Errorf("read %v at offset %d: %w", l.p.Name(), at, err)
		}
		buf = rest
		if b.IsControl() || b.LastOffset() < at {
			at = max(at, b.NextOffset())
			continue
		}
		if err := b.Check(); err != nil {
			return 0, fmt.Errorf("read %v at offset %d: %w", l.p.Name(), b.BaseOffset(), err)
		}
		if err := reader.Reset(b, maxLoadedBatch); err != nil {
			return 0, fmt.Errorf("read %v at offset %d: %w", l.p.Name(), b.BaseOffset(), err)
		}
		for reader.Next() {
			r := reader.Record()
			if r.Offset < at {
				continue
			}
			if err := f(machine.Position{Epoch: b.PartitionLeaderEpoch(), Offset: r.Offset}, machine.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Timestamp: r.Timestamp}); err != nil {
				return 0, err
			}
		}
		if err := reader.Err(); err != nil {
			return 0, fmt.Errorf("read %v at offset %d: %w", l.p.Name(), b.BaseOffset(), err)
		}
		at = b.NextOffset()
	}
	return at, nil
}
