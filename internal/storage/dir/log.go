package dir

import (
	"sync/atomic"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Log is one partition's log, as its directory sees it. Who has the turn, the committer or a Help, calls Prepare, Prove, Begin, Stage, Written and Settle (Prove from several goroutines), in this
// order, once per round and log; none of them may call back into Dirty's caller while holding a lock that an appender needs for long.
type Log interface {
	// Name is the log's directory below the log directory: topic-partition.
	Name() string
	// Prepare tells what must be on disk before Stage may begin, and in Member.Coming how much Stage will append.
	Prepare() Needs
	// Prove syncs what a process left of the log that did not stop cleanly: files and names that can be seen, and that a power cut might still take back, or bring back. It is called when
	// Prepare asked for it, before the round changes anything, the checkpoint included.
	Prove(r *Round) error
	// Begin makes what must be on disk before anything else of the log is written, and hands it to r.First. The round syncs it for all logs together before it
	// calls Stage. What finds no space is left to Stage.
	Begin(r *Round) error
	// Stage writes everything that was appended before the call through r, and names to r what must be synced before it may be acknowledged.
	// An error for want of space (see NoSpace) leaves the rest staged for a later round; any other takes the directory offline.
	Stage(r *Round) error
	// Written is called when everything staged in the round is written, before it is synced. No lock is held.
	Written()
	// Settle ends the round: with nil, everything staged is on disk. No lock is held.
	Settle(err error)
	// Checkpoint fills in what is synced now; the State only when needs has NeedRecovery. It may write hints through r.
	Checkpoint(r *Round, needs Needs, e *Entry)
	// Checkpointed is called when what the last Checkpoint filled in is on disk. Before, and when it never comes, the disk has what an earlier one filled in, or this, or some of both.
	Checkpointed()
	// Fail is called when the directory goes offline, perhaps more than once. No lock is held. A log that has OutOfSpace() is also told when what it staged found
	// no space and waits for some.
	Fail(err error)
}

// Needs is what a log must have on disk before it may change its files.
type Needs uint8

const (
	// NeedStart: the log's start offset changed and must be in the checkpoint.
	NeedStart Needs = 1 << iota
	// NeedRecovery: the log's recovery point was lowered, or belongs to a log of the same name that is gone, and must be in the checkpoint.
	NeedRecovery
	// NeedJournal: files of the log are cut, renamed or removed, or the log is left to itself; a crash must not bring their bytes back from the journal.
	NeedJournal
	// NeedProof: the log was found after a crash, and what was found is not known to be on disk.
	NeedProof
	// NeedCleaned: the offset up to which the log is compacted changed and must be in the checkpoint.
	NeedCleaned
)

// Member is a log's place in its directory, embedded in the log.
type Member struct {
	// Coming is how many bytes the log will hand to Round.Append in this round, as far as Prepare knows, which sets it.
	Coming int64
	// Essential says that the log's bytes may have what is left of a full disk: without them nothing could be deleted. It does not change.
	Essential bool

	dirty atomic.Uint32 // clean, held or awaited

	// Of who has the turn.
	stalled   bool   // it ran out of space
	journaled uint64 // the newest frame that has bytes of it
	touched   bool   // it has changed files, or may have
}

// How a log is dirty.
const (
	clean   uint32 = iota
	held           // nobody has been woken yet: who appended calls Help
	awaited        // the committer has been woken
)

// Found is what a directory had for a log when it was opened.
type Found struct {
	// Files are the files of the log's directory, by name.
	Files []vfs.DirEntry
	// State is the log's part of the manifest at RecoveryPoint, nil when there is none.
	State []byte
	// RecoveryPoint as checkpointed, -1 when there is none.
	RecoveryPoint int64
	// Recorded is the least recovery point that the checkpoint on disk may have: RecoveryPoint, but for a log that was closed after that and is opened again.
	Recorded int64
	// StartOffset as checkpointed, -1 when there is none.
	StartOffset int64
	// HighWatermark as checkpointed, -1 when there is none.
	HighWatermark int64
	// Cleaned is the offset up to which the log is compacted, as checkpointed, -1 when there is none.
	Cleaned int64
	// Clean tells that the last user of the directory stopped cleanly.
	Clean bool
}
