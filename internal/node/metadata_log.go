package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/plog"
)

// metadataLog is a partition log as the quorum keeps its batches in it: offsets and epochs are the quorum's.
type metadataLog struct {
	*plog.Log
	clock func() time.Time
}

// Append puts a copy of the batch at the end and has it synced soon.
func (l metadataLog) Append(ctx context.Context, b batch.Batch) error {
	for {
		_, err := l.Log.Append(b, b.PartitionLeaderEpoch(), l.clock(), plog.Follower)
		if !errors.Is(err, plog.ErrBudget) {
			return err
		}
		if err := l.WaitRoom(ctx); err != nil {
			return err
		}
	}
}

// Read appends whole batches to dst, beginning with the one that starts at from.
func (l metadataLog) Read(dst []byte, from int64, limit int) ([]byte, error) {
	slice, err := l.Log.Read(from, l.EndOffset(), limit, true)
	if err != nil {
		return dst, fmt.Errorf("read the metadata log at offset %d: %w", from, err)
	}
	defer slice.Close()
	return slice.AppendTo(dst)
}
