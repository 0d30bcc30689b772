package quorum

import (
	"errors"
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
)

// readBytes is how much of the log is read at once.
const readBytes = 1 << 20

// eachBatch gives every batch from the one at offset from up to end. The batches alias a buffer that is used again.
func (q *Quorum) eachBatch(from, end int64, f func(batch.Batch) error) error {
	var buf []byte
	for from < end {
		var err error
		if buf, err = q.log.Read(buf[:0], from, readBytes); err != nil {
			return fmt.Errorf("read the metadata log from offset %d on: %w", from, err)
		}
		rest, any := buf, false
		for len(rest) > 0 && from < end {
			var b batch.Batch
			b, rest, err = batch.Next(rest)
			if errors.Is(err, batch.ErrTruncated) && any {
				break
			}
			if err == nil {
				err = b.Check()
			}
			if err != nil {
				return fmt.Errorf("read the metadata log at offset %d: %w", from, err)
			}
			if err := f(b); err != nil {
				return err
			}
			from, any = b.NextOffset(), true
		}
		if !any {
			return fmt.Errorf("read the metadata log: nothing at offset %d, before its end %d", from, end)
		}
	}
	return nil
}

// Load gives every data record from offset from up to End, in order; control records are left out. A record is valid until f returns.
func (q *Quorum) Load(from int64, f func(machine.Position, machine.Record) error) error {
	if err := q.Err(); err != nil {
		return err
	}
	if base := q.Base(); base != nil && from < base.End.Offset { // what the log had below is in the snapshot
		if err := base.Records(f); err != nil {
			return err
		}
		from = base.End.Offset
	}
	var r batch.Reader
	return q.eachBatch(from, q.log.EndOffset(), func(b batch.Batch) error {
		if b.IsControl() {
			return nil
		}
		if err := r.Reset(b, maxBatchBytes); err != nil {
			return fmt.Errorf("read the metadata log at offset %d: %w", b.BaseOffset(), err)
		}
		for r.Next() {
			rec := r.Record()
			if rec.Offset < from {
				continue
			}
			at := machine.Position{Epoch: b.PartitionLeaderEpoch(), Offset: rec.Offset}
			if err := f(at, machine.Record{Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp}); err != nil {
				return err
			}
		}
		if err := r.Err(); err != nil {
			return fmt.Errorf("read the metadata log at offset %d: %w", b.BaseOffset(), err)
		}
		return nil
	})
}

// grow notes a batch that no snapshot stands for.
func (q *Quorum) grow(b batch.Batch, at time.Time) {
	if q.growth.Bytes == 0 {
		q.growth.Since = at
	}
	q.growth.Bytes += int64(len(b))
}

// scan fills the table with what the log has behind its snapshot, and finds the voters that they name.
func (q *Quorum) scan() error {
	base, err := q.findBase()
	if err != nil {
		return err
	}
	formatted, err := q.formatted()
	if err != nil {
		return err
	}
	if base != nil {
		q.standOn(base)
	} else if formatted {
		q.member = 0 // as a snapshot that names none
	}
	return q.eachBatch(q.table.start, q.log.EndOffset(), func(b batch.Batch) error {
		if err := q.table.add(q.table.last()+1, uint64(b.PartitionLeaderEpoch()), b); err != nil {
			return fmt.Errorf("the metadata log contradicts itself: %w", err)
		}
		q.grow(b, time.UnixMilli(b.BaseTimestamp()))
		if !b.IsControl() {
			return nil
		}
		named, ok, err := votersIn(b)
		if err != nil {
			return fmt.Errorf("read the metadata log: %w", err)
		}
		if ok {
			q.named, q.member = named, b.BaseOffset()
		}
		return nil
	})
}
