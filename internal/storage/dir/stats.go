package dir

import (
	"sync/atomic"

	"github.com/ottla/ottla/internal/metric"
)

// Stats counts what a directory's committer did. All fields only grow.
type Stats struct {
	Rounds        atomic.Int64
	RoundLogs     atomic.Int64 // logs over all rounds
	Gathers       atomic.Int64 // rounds that waited for more appends
	GathersInVain atomic.Int64
	WrittenBytes  atomic.Int64
	SyncedBytes   atomic.Int64
	Syncs         atomic.Int64 // of files
	DirSyncs      atomic.Int64
	Checkpoints   atomic.Int64
	JournalSyncs  atomic.Int64
	JournalBytes  atomic.Int64
	JournalFull   atomic.Int64      // rounds that had to sync files because the journal had no room
	NoSpace       atomic.Int64      // rounds in which a log could not write for want of space
	Stalls        atomic.Int64      // times the disk hung for too long
	ReadErrors    atomic.Int64      // reads of logs that the disk failed
	ProbeSeconds  *metric.Histogram // of the canary's write and sync
	SyncSeconds   *metric.Histogram // of single files
	RoundSeconds  *metric.Histogram // from the first byte written to the last byte synced
}
