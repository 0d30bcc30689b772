package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/plog"
)

// partitionLog is a partition log as a quorum sees it.
type partitionLog struct{ *plog.Log }

// NewPlog lets a quorum keep its batches in a partition log, whose settings must ask for a sync after every append (plog.Sync, the default) and delete
// nothing. Closing the quorum closes the log.
func NewPlog(log *plog.Log) Log { return partitionLog{log} }

// Append implements Log. Offsets and epoch stay as Raft's leader set them, which is what a follower's append does.
func (l partitionLog) Append(ctx context.Context, b batch.Batch) error {
	for {
		_, err := l.Log.Append(b, b.PartitionLeaderEpoch(), time.Now(), plog.Follower)
		if !errors.Is(err, plog.ErrBudget) {
			return err
		}
		if err := l.WaitRoom(ctx, plog.Follower); err != nil {
			return err
		}
	}
}

// ForgetBefore implements Log. Segments go as a whole, so that something from before the offset stays in the first one.
func (l partitionLog) ForgetBefore(offset int64) error {
	if err := l.SetStartOffset(offset); err != nil {
		return err
	}
	l.Maintain(time.Now(), offset)
	return nil
}

// BeginAt implements Log.
func (l partitionLog) BeginAt(offset int64) error { return l.TruncateFullyAndStartAt(offset) }

// Read implements Log.
func (l partitionLog) Read(dst []byte, from int64, limit int) ([]byte, error) {
	s, err := l.Log.Read(from, l.EndOffset(), limit, true)
	if err != nil {
		return dst, err
	}
	defer s.Close()
	return s.AppendTo(dst)
}
