package quorum

import (
	"context"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// maxBatchBytes bounds one batch of the metadata log, as Kafka's Raft client does.
const maxBatchBytes = 8 << 20

// Log is where a quorum keeps its batches; a partition log is one. Append and TruncateTo are called by one goroutine at a time, the others by any.
type Log interface {
	// StartOffset is the first offset, EndOffset the next one to be written.
	StartOffset() int64
	EndOffset() int64
	// SyncedOffset is the offset below which everything is on disk.
	SyncedOffset() int64
	// Append puts a copy of the batch, whose base offset is EndOffset and whose leader epoch is set, at the end and has it synced soon. It may wait
	// for memory, until ctx ends.
	Append(ctx context.Context, b batch.Batch) error
	// TruncateTo forgets everything from the offset on, which is the base offset of a batch.
	TruncateTo(offset int64) error
	// Read appends whole batches to dst, beginning with the one that contains from, about limit bytes of them but at least one.
	Read(dst []byte, from int64, limit int) ([]byte, error)
	// OnProgress has f called, with no lock held, whenever SyncedOffset moved or the log failed.
	OnProgress(f func())
	// ForgetBefore moves the start to the base offset of a batch, or to the end. What lies before goes once the new start is on disk. As Append it is called by one goroutine
	// at a time, and so is BeginAt.
	ForgetBefore(offset int64) error
	// BeginAt empties the log; its next batch gets the offset.
	BeginAt(offset int64) error
	// Size is how many bytes the log's files have.
	Size() int64
	// Err is why the log failed, or nil.
	Err() error
	// Close writes what is left and lets go of the files.
	Close() error
}
