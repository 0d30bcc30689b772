package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
)

// findBase chooses the snapshot that the log stands on: the newest that is whole. An older one serves when the log reaches back to it.
func (q *Quorum) findBase() (*Checkpoint, error) {
	if err := sweep(q.opts.FS, q.opts.Path); err != nil {
		return nil, err
	}
	list, err := checkpoints(q.opts.FS, q.opts.Path)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && q.log.StartOffset() == 0 {
		return nil, nil
	}
	start, end, epoch := q.log.StartOffset(), q.log.EndOffset(), int32(-1)
	if end > start {
		last, err := q.batchAt(end - 1)
		if err != nil {
			return nil, err
		}
		epoch = last.PartitionLeaderEpoch()
	}
	var damaged error
	for _, c := range list {
		if c.End.Offset < start {
			break
		}
		// A snapshot came from a leader and the log did not follow it yet: a crash between the two. Kafka compares in the same way.
		ahead := c.End.Offset > end || c.End.Offset > start && c.End.Epoch > epoch
		if err := c.verify(); err != nil {
			if ahead {
				return nil, fmt.Errorf("%w: the log ends at offset %d in epoch %d, so the snapshot cannot be done without: restore the directory from a copy", err, end, epoch)
			}
			damaged = errors.Join(damaged, err)
			continue
		}
		if ahead && (c.End.Epoch < epoch || c.End.Offset <= end && len(c.Voters) < 2) { // only among several voters a log may have an end that was never committed
			return nil, fmt.Errorf("the metadata snapshot %s is of epoch %d and the log, which ends at offset %d, has epoch %d: they do not belong together; restore the directory from a copy", c.name, c.End.Epoch, end, epoch)
		}
		if damaged != nil {
			q.opts.Logger.Error("a metadata snapshot is damaged; an older one and the log are read instead, and the next snapshot replaces it", "error", damaged, "used", c.name)
		}
		if ahead {
			return &c, q.beginBehind(c, end)
		}
		return &c, q.checkJoint(c)
	}
	if damaged != nil && start == 0 && list[len(list)-1].End.Offset > 0 {
		q.opts.Logger.Error("a metadata snapshot is damaged; the log is read from its beginning, and the next snapshot replaces it", "error", damaged)
		return nil, nil
	}
	if damaged != nil {
		return nil, fmt.Errorf("%w: the metadata log begins at offset %d and there is no other snapshot on which it could stand: restore the file from a copy of the directory", damaged, start)
	}
	if start > 0 {
		return nil, fmt.Errorf("the metadata log begins at offset %d and there is no snapshot of what was before (%s): restore it from a copy of the directory", start, "*"+checkpointSuffix)
	}
	return nil, nil
}

// beginBehind empties the log, which goes on behind the snapshot.
func (q *Quorum) beginBehind(c Checkpoint, end int64) error {
	q.opts.Logger.Error("the metadata log ends before its newest snapshot and begins anew behind it", "snapshot", c.name, "end", end)
	if err := q.opts.FS.SyncDir(q.opts.Path); err != nil { // the name may be there from before a crash, and not be durable
		return err
	}
	return q.log.BeginAt(c.End.Offset)
}

// checkJoint compares the snapshot's name with the batch that lies just before its end.
func (q *Quorum) checkJoint(c Checkpoint) error {
	if c.End.Offset <= q.log.StartOffset() {
		return nil
	}
	b, err := q.batchAt(c.End.Offset - 1)
	if err != nil {
		return err
	}
	if b.NextOffset() != c.End.Offset || b.PartitionLeaderEpoch() != c.End.Epoch {
		return fmt.Errorf("the metadata snapshot %s stands for a log that ends at offset %d in epoch %d, but the log there has a batch up to offset %d in epoch %d: they do not belong together; restore the directory from a copy",
			c.name, c.End.Offset, c.End.Epoch, b.LastOffset(), b.PartitionLeaderEpoch())
	}
	return nil
}

// batchAt reads the batch with the offset.
func (q *Quorum) batchAt(offset int64) (batch.Batch, error) {
	data, err := q.log.Read(nil, offset, 1)
	if err != nil {
		return nil, fmt.Errorf("read the metadata log at offset %d: %w", offset, err)
	}
	b, _, err := batch.Next(data)
	if err == nil {
		err = b.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("read the metadata log at offset %d: %w", offset, err)
	}
	return b, nil
}

// standOn begins the table behind the snapshot.
func (q *Quorum) standOn(c *Checkpoint) {
	index := c.index
	if index == 0 && c.End.Offset > 0 {
		index = 1 // Kafka's: only this voter has counted, and nothing of that count is kept anywhere
	}
	q.table.reset(index, uint64(c.End.Epoch), c.End.Offset)
	q.mu.base = c
	q.member, q.named = max(0, c.End.Offset-1), c.Voters // when it names none they stand in the configuration, as with kraft.version 0
}

// raftSnapshot is what Raft knows of a snapshot: its place, and in the data its name.
func (q *Quorum) raftSnapshot(index uint64, end machine.Position) *raftpb.Snapshot {
	return &raftpb.Snapshot{
		Data:     encodePosition(end),
		Metadata: &raftpb.SnapshotMetadata{Index: new(index), Term: new(uint64(end.Epoch)), ConfState: &raftpb.ConfState{Voters: q.voters.raftIDs()}},
	}
}

// Base returns the snapshot on which Load stands, or nil.
func (q *Quorum) Base() *Checkpoint {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.base
}

// bootstrapFile is where Kafka's formatting before 4.4 left what a cluster begins with, in the log directory itself.
const bootstrapFile = "bootstrap.checkpoint"

func (q *Quorum) bootstrapFile() string {
	return filepath.Join(filepath.Dir(q.opts.Path), bootstrapFile)
}

// formatted tells whether Kafka's formatting left that file.
func (q *Quorum) formatted() (bool, error) {
	_, err := q.opts.FS.Stat(q.bootstrapFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Formatted returns what Kafka's formatting left: the records that a cluster begins with. It is nil when there are none.
func (q *Quorum) Formatted() (records []machine.Record, err error) {
	c := &Checkpoint{name: q.bootstrapFile(), fs: q.opts.FS}
	there, err := q.formatted()
	if err != nil {
		return nil, err
	}
	if !there {
		if c = q.Base(); c == nil || c.End.Offset != 0 {
			return nil, nil
		}
	}
	err = c.Records(func(_ machine.Position, r machine.Record) error {
		records = append(records, machine.Record{Value: append([]byte(nil), r.Value...)})
		return nil
	})
	return records, err
}
