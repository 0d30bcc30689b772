package plog

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/ottla/ottla/internal/storage/dir"
)

// stageHints writes the index entries, snapshots and leader epochs that are due.
func (l *Log) stageHints(r *dir.Round) error {
	closing := l.staged.closing && l.staged.mark.at >= closingHintBytes
	l.mu.Lock()
	sealed := slices.Clone(l.mu.sealed)
	active := (*l.segments.Load()).active()
	due := closing || len(active.sparse.entries) >= flushEntries || active.sparse.rewrite
	var epochs []byte
	if l.mu.epochsDirty {
		epochs = l.mu.epochs.encode()
		l.mu.epochsDirty = false
	}
	if closing {
		active.sparse.addTime(active.base, active.summary)
	}
	l.mu.Unlock()
	if epochs != nil {
		if err := l.writeHint(r, epochFile, epochs); err != nil {
			l.mu.Lock()
			l.mu.epochsDirty = true
			l.mu.Unlock()
			return err
		}
	}
	for _, s := range sealed {
		if s.where.Load() != placeFinal { // its name is another's; when it gets one of its own it is sealed again
			l.mu.Lock()
			l.mu.sealed = slices.DeleteFunc(l.mu.sealed, func(x *segment) bool { return x == s })
			l.mu.Unlock()
			continue
		}
		l.mu.Lock() // before: while it is written a reader may have its index made anew, and ask again
		l.mu.sealed = slices.DeleteFunc(l.mu.sealed, func(x *segment) bool { return x == s })
		l.mu.Unlock()
		if err := l.flushIndex(r, s); err != nil {
			l.mu.Lock()
			l.mu.sealed = append(l.mu.sealed, s)
			l.mu.Unlock()
			return err
		}
		if err := errors.Join(l.dir.Handles().Drop(&s.index), l.dir.Handles().Drop(&s.times)); err != nil {
			return err
		}
	}
	if due {
		if err := l.flushIndex(r, active); err != nil {
			return err
		}
	}
	if closing {
		return l.closingSnapshot(r)
	}
	return nil
}

// flushIndex writes a segment's index entries that are in memory only.
func (l *Log) flushIndex(r *dir.Round, s *segment) error {
	l.mu.Lock()
	version, rewrite := s.sparse.version, s.sparse.rewrite
	n, entries := len(s.sparse.entries), encodeEntries(s.sparse.entries)
	m, times := len(s.sparse.times), encodeTimes(s.sparse.times)
	at, timeAt := int64(s.sparse.fileEntries)*indexEntrySize, int64(s.sparse.fileTimes)*timeEntrySize
	l.mu.Unlock()
	if n > 0 || rewrite {
		if err := l.writeIndex(r, &s.index, l.fileName(s.base, indexSuffix), entries, at, rewrite); err != nil {
			return err
		}
	}
	if m > 0 || rewrite {
		if err := l.writeIndex(r, &s.times, l.fileName(s.base, timeIndexSuffix), times, timeAt, rewrite); err != nil {
			return err
		}
	}
	l.mu.Lock()
	if s.sparse.version == version { // else what was written is not counted, and will be written over
		s.sparse.wrote(n, m)
		s.sparse.rewrite = false
	}
	l.mu.Unlock()
	return nil
}

func (l *Log) writeIndex(r *dir.Round, h *dir.Handle, name string, data []byte, at int64, rewrite bool) (err error) {
	f, err := openHint(r, h, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Release(h)) }()
	if rewrite {
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if len(data) == 0 {
		return nil
	}
	return r.Write(f, data, at)
}

// closingHintBytes is the size of an active segment from which it gets its indexes and a snapshot when the log is closed. A smaller one does without: the manifest has
// what they say, a start without the manifest reads the segment, and ten thousand such files would keep a node from stopping in time.
const closingHintBytes = 1 << 20

// closingSnapshot writes the producers' state at the end, if it is not there yet, and removes the one before it.
func (l *Log) closingSnapshot(r *dir.Round) error {
	end := l.staged.mark.offset
	l.mu.Lock()
	var data []byte
	if l.mu.changed && l.mu.snapshotAt != end {
		data = encodeSnapshot(l.mu.producers)
	}
	strays := l.mu.strays
	l.mu.Unlock()
	if data == nil {
		return nil
	}
	if err := l.writeHint(r, fileName(end, snapshotSuffix), data); err != nil {
		return err
	}
	for _, offset := range strays {
		if offset == end {
			continue
		}
		if err := r.FS().Remove(l.fileName(offset, snapshotSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	l.mu.Lock()
	l.mu.snapshotAt, l.mu.changed = end, false
	l.mu.strays = nil
	if (*l.segments.Load()).active().base != end {
		l.mu.strays = []int64{end}
	}
	l.mu.Unlock()
	return nil
}

// flushMark is how far a sync in the background goes.
type flushMark struct {
	mark
	generation int
}

// flush syncs everything up to a mark outside of a round, for a log with Durability Cache.
func (l *Log) flush(m flushMark) {
	err := l.flushFiles(m)
	if err != nil {
		l.dir.Offline(err)
	}
	moved := false
	l.mu.Lock()
	l.mu.flushing = false
	if err == nil && m.generation == l.mu.generation && m.offset > l.mu.syncedMark.offset {
		for _, s := range *l.segments.Load() {
			if s.base < m.base {
				s.unsynced = false
			}
		}
		l.mu.syncedMark = m.mark
		l.synced.Store(m.offset)
		moved = true
	}
	l.mu.Unlock()
	if moved {
		l.notify()
	}
}

func (l *Log) flushFiles(m flushMark) error {
	l.mu.Lock()
	var files []*segment
	list := *l.segments.Load()
	for i := len(list) - 1; i >= 0 && list[i].base >= l.mu.syncedMark.base; i-- {
		if list[i].unsynced && list[i].base <= m.base && list[i].acquire() {
			files = append(files, list[i])
		}
	}
	l.mu.Unlock()
	var failed error
	for _, s := range files {
		if failed == nil {
			failed = l.flushFile(s)
		}
		l.release(s)
	}
	return failed
}

func (l *Log) flushFile(s *segment) error {
	if l.left.Load() { // its last round has synced it, or nobody needs it
		return nil
	}
	h := l.dir.Handles()
	f, err := h.Acquire(l.dir.FS(), &s.log, l.fileName(s.base, logSuffix), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // cut or deleted meanwhile; the generation tells
	}
	if err != nil {
		return err
	}
	return errors.Join(l.dir.SyncFile(f), h.Release(&s.log))
}

// release ends a reference to a segment; after the last one of a segment that left the list the committer may have its files.
func (l *Log) release(s *segment) {
	if s.refs.Add(-1) == 0 {
		l.dirty()
	}
}
