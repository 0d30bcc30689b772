package plog

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
)

// Log is one partition's log.
type Log struct {
	dir   *dir.Dir
	name  string
	path  string
	id    model.TopicID
	place dir.Member

	cfg      atomic.Pointer[Config]
	segments atomic.Pointer[segmentList]
	progress atomic.Pointer[func()]
	failure  atomic.Pointer[error]
	lost     atomic.Pointer[error] // with its directory

	short      atomic.Bool // see ShortOfSpace
	unreadable atomic.Bool // the disk has failed a read of it

	start, durableStart  atomic.Int64
	end, written, synced atomic.Int64
	highWatermark        atomic.Int64
	opened               atomic.Bool  // recovered, and known to the directory
	early                bool         // a round was asked for before that
	left                 atomic.Bool  // closed or deleted: files that are called like its own are another log's, or will be
	ended                atomic.Bool  // and all done
	damagedAnywhere      atomic.Bool  // mu.rot has something
	cleaned              atomic.Int64 // compacted up to here, durably
	gaps                 atomic.Bool  // compaction has left gaps of offsets, whatever the policy is now
	cleaning             sync.Mutex   // held by the one cleaning
	leftovers            []string     // files that cleanings could not remove; guarded by cleaning
	examining            sync.Mutex   // held by the one survey of a segment

	mu struct {
		sync.Mutex
		tail      []*tailChunk
		epochs    epochs
		producers producers
		hints     [hintCount]hint
		hintNext  int

		writtenMark, syncedMark mark
		generation              int // grows with every cut
		settled                 int // the generation that is on disk

		cut         *cut
		cutting     *cut       // the one that the committer is bringing to the disk
		sealed      []*segment // rolled, hints not written yet
		removals    []*segment // out of the list, files still there
		swaps       []*swap    // cleaned segments that wait to be put in place
		cleanedTo   int64      // a cleaning had nothing to replace: the log is clean up to here
		epochsDirty bool
		wantSync    bool
		flushing    bool
		lastFlush   int64 // ms, of a log with Durability Cache
		rot         []*RotError
		sound       struct { // a survey found nothing
			segment *segment
			at      time.Time
		}
		strays     []int64 // offsets of snapshots that belong to no segment
		snapshotAt int64   // offset of the newest snapshot on disk, -1 when unknown
		changed    bool    // the producers' state changed since that snapshot

		closing, deleting bool
		waiters           []chan error
	}

	// Where the log ended when it was opened: what lies before was read from a disk that may rot.
	openEnd, openBase, openPosition int64

	pieces []piece      // the appender's own
	wanted atomic.Int64 // bytes of chunks that the last append without success would have needed, as far as it came

	found *dir.Found // what the directory had, of a log that is damaged or revived: so it stays in checkpoints

	// Of who has the directory's turn.
	exists        bool   // the log's directory is there
	begun         bool   // it was to be made: some of it may be there
	leaving       bool   // Prepare saw that it is closed or deleted
	renamed       string // the directory's name since it was deleted
	prepared      *cut   // the cut that Prepare saw
	doubtful      bool   // it was found after a crash: a power cut might still change what was found; see Prove
	revived       bool   // doubtful, and nothing proves that its name and those of its segments were ever synced
	recorded      int64  // the greatest recovery point that the checkpoint on disk may have
	recordedLeast int64  // the least
	recordedClean int64  // the greatest cleaned offset in the checkpoint on disk
	swapsAdmitted int    // how many Prepare let through
	filed         filed
	staged        staged
}

// mark is a place in the log, and what must be known there to begin again.
type mark struct {
	offset int64
	base   int64 // of the segment
	at     int64 // position in the segment
	summary
}

// Name is the log's directory below the log directory: topic-partition.
func (l *Log) Name() string { return l.name }

// ID is the topic's id.
func (l *Log) ID() model.TopicID { return l.id }

// Place implements dir.Closer.
func (l *Log) Place() *dir.Member { return &l.place }

// Config returns the settings in force.
func (l *Log) Config() *Config { return l.cfg.Load() }

// SetConfig changes the settings. A change to Durability Sync takes everything written with it into the next round.
func (l *Log) SetConfig(c *Config) {
	old := l.cfg.Swap(c)
	if old != nil && old.Durability == Cache && c.Durability == Sync && l.synced.Load() < l.end.Load() {
		l.mu.Lock()
		l.mu.wantSync = true
		l.mu.Unlock()
		l.dirty()
	}
}

// StartOffset is the first offset that is not deleted.
func (l *Log) StartOffset() int64 { return l.start.Load() }

// DurableStartOffset is the start offset that survives a power cut: a SetStartOffset may be acknowledged once it got there.
func (l *Log) DurableStartOffset() int64 { return l.durableStart.Load() }

// CutPending tells whether a TruncateTo or TruncateFullyAndStartAt is not on disk yet: until then a crash may bring back what it cut. OnProgress tells when that changes.
func (l *Log) CutPending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.generation != l.mu.settled
}

// EndOffset is the offset of the next record.
func (l *Log) EndOffset() int64 { return l.end.Load() }

// WrittenOffset is the offset below which everything has reached the operating system.
func (l *Log) WrittenOffset() int64 { return l.written.Load() }

// SyncedOffset is the offset below which everything survives a power cut.
func (l *Log) SyncedOffset() int64 { return l.synced.Load() }

// Dir is the directory that the log is in.
func (l *Log) Dir() *dir.Dir { return l.dir }

// OnProgress sets the one callback that runs, with no lock held and by whoever has the turn of the directory, whenever the written, synced or durable start offset moved, and when the log failed.
func (l *Log) OnProgress(f func()) { l.progress.Store(&f) }

func (l *Log) notify() {
	if f := l.progress.Load(); f != nil {
		(*f)()
	}
}

// SetHighWatermark notes the high watermark for the next checkpoint.
func (l *Log) SetHighWatermark(offset int64) { l.highWatermark.Store(offset) }

// CheckpointedHighWatermark is what SetHighWatermark noted, before or after a restart: a hint, never above the end. -1 when there is none.
func (l *Log) CheckpointedHighWatermark() int64 { return min(l.highWatermark.Load(), l.end.Load()) }

// Err says why nothing can be appended to the log any more, or nil.
func (l *Log) Err() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Fail implements dir.Log.
func (l *Log) Fail(err error) {
	l.lost.CompareAndSwap(nil, &err)
	first := l.failure.CompareAndSwap(nil, &err)
	l.dropTail() // what is not written never will be, and other directories need the memory
	if !first {
		l.notify()
		return
	}
	l.mu.Lock()
	waiters := l.mu.waiters
	l.mu.waiters = nil
	l.mu.Unlock()
	for _, w := range waiters {
		w <- err
	}
	l.notify()
}

// WaitRoom waits until there may be memory for an append, or the append fails for another reason; call it with no lock held.
func (l *Log) WaitRoom(ctx context.Context, origin Origin) error {
	return l.dir.Share().Wait(ctx, l.wanted.Load(), origin == Client)
}

// dirty asks for a round. While Open still recovers the log, which nobody else may see then, the request is kept for its end.
func (l *Log) dirty() {
	if !l.opened.Load() {
		l.early = true
		return
	}
	l.dir.Dirty(l, &l.place)
}

// Size is the number of bytes in all segments, those in memory included.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, s := range *l.segments.Load() {
		n += s.size
	}
	return n
}

// SegmentCount is the number of segments.
func (l *Log) SegmentCount() int { return len(*l.segments.Load()) }

func newLog(d *dir.Dir, name string, id model.TopicID, cfg *Config) *Log {
	l := &Log{dir: d, name: name, path: filepath.Join(d.Path(), name), id: id}
	l.cfg.Store(cfg)
	l.highWatermark.Store(-1)
	l.mu.snapshotAt = -1
	topic := name[:max(0, strings.LastIndexByte(name, '-'))]
	l.place.Essential = topic == model.MetadataTopic || model.IsInternal(topic)
	return l
}

// begin makes the log an empty one that starts at offset.
func (l *Log) begin(offset int64, now time.Time) {
	list := segmentList{l.freshSegment(offset, now)}
	l.segments.Store(&list)
	l.setAll(mark{offset: offset, base: offset, summary: emptySummary})
	l.start.Store(offset)
	l.durableStart.Store(offset)
}

// setAll puts all positions to one place.
func (l *Log) setAll(m mark) {
	l.end.Store(m.offset)
	l.written.Store(m.offset)
	l.synced.Store(m.offset)
	l.mu.writtenMark, l.mu.syncedMark = m, m
}

// openAt is the position in a segment up to which its bytes were on the disk before the log was opened.
func (l *Log) openAt(s *segment) int64 {
	if s.base == l.openBase {
		return l.openPosition
	}
	return maxSegmentBytes
}
