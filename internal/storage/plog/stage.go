package plog

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// flushEntries is how many index entries gather in memory before they are written to the index file.
const flushEntries = 512

// cacheFlushBytes is how much a log with Durability Cache may have written and not synced before it is synced in the background, so that a start after a crash
// has little to scan.
const cacheFlushBytes = 64 << 20

// gatherBelow is the size of pieces that are copied together before they are written.
const gatherBelow = 16 << 10

// staged is what a round captured of a log.
type staged struct {
	cut        *cut
	generation int
	mark       mark  // the end when the round began
	start      int64 // the start offset in the checkpoint of this round
	writes     []write
	files      []*segment // whose files this round syncs
	ok         bool       // everything was written
	synced     bool       // everything written is being synced
	durably    bool       // everything written is to be synced
	closing    bool
	deleting   bool
	durable    bool // start is on disk
	flush      bool // what was written is to be synced in the background
}

// write is a part of a chunk to be written.
type write struct {
	chunk    *tailChunk
	from, to int
}

// Prepare implements dir.Log.
func (l *Log) Prepare() dir.Needs {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.staged.ok = false // of the round before; this one may end without Stage
	if l.ended.Load() {
		return 0
	}
	var needs dir.Needs
	if l.doubtful && l.Err() == nil {
		needs |= dir.NeedProof
	}
	if l.start.Load() != l.durableStart.Load() {
		needs |= dir.NeedStart
		if l.dir.Mutants()&dir.ForgetStart != 0 {
			needs, l.staged.start, l.staged.durable = 0, l.start.Load(), true
		}
	}
	if l.mu.cut != nil {
		needs |= dir.NeedJournal
		if l.recorded > l.mu.cut.to || l.mu.cut.fully {
			needs |= dir.NeedRecovery
		}
		l.prepared = l.mu.cut
		if l.recordedClean > l.mu.cut.to {
			needs |= dir.NeedCleaned
		}
	}
	needs |= l.prepareSwapsLocked()
	if l.cleaned.Load() > l.recordedClean {
		needs |= dir.NeedCleaned
	}
	if l.leaving = l.mu.closing || l.mu.deleting; l.leaving {
		needs |= dir.NeedJournal
	}
	if !l.exists && l.dir.Recorded(l.name) {
		needs |= dir.NeedRecovery | dir.NeedStart
	}
	l.place.Coming = 0
	if l.cfg.Load().Durability == Sync && !l.mu.closing {
		for _, c := range l.mu.tail[l.writtenChunksLocked():] {
			l.place.Coming += int64(c.filled - c.written)
		}
	}
	return needs
}

// writtenChunksLocked is how many chunks of the tail are written. Bytes are written in their order, so what is not written is at the end; before it there may be 64 MiB of cache.
func (l *Log) writtenChunksLocked() int {
	n := len(l.mu.tail)
	for n > 0 && l.mu.tail[n-1].written < l.mu.tail[n-1].filled {
		n--
	}
	return n
}

// Prove implements dir.Log. A cut that a killed process did not live to sync, and names that it gave, are on disk before anything is written behind them, replaced, or told to a checkpoint.
func (l *Log) Prove(r *dir.Round) error {
	if r.Mutants()&dir.SkipRecoverySync == 0 {
		if l.revived {
			if err := l.proveFile(r, filepath.Join(l.path, identityFile)); err != nil {
				return err
			}
		}
		list := *l.segments.Load()
		last := len(list) - 1
		for last >= 0 && !list[last].exists {
			last--
		}
		if last >= 0 {
			if err := l.proveFile(r, l.fileName(list[last].base, logSuffix)); err != nil {
				return err
			}
		}
		if err := r.BarrierDir(l.path); err != nil {
			return err
		}
	}
	l.doubtful, l.revived, l.found = false, false, nil
	return nil
}

func (l *Log) proveFile(r *dir.Round, name string) error {
	f, err := r.FS().Open(name)
	if err != nil {
		return err
	}
	return errors.Join(r.Barrier(f), f.Close())
}

// Begin implements dir.Log.
func (l *Log) Begin(r *dir.Round) error {
	if l.exists || l.end.Load() == 0 || l.Err() != nil {
		return nil
	}
	l.mu.Lock()
	deleting := l.mu.deleting
	l.mu.Unlock()
	if deleting { // the round would sync a directory that it renames
		return nil
	}
	return l.createDirectory(r)
}

// Stage implements dir.Log.
func (l *Log) Stage(r *dir.Round) error {
	st := &l.staged
	if !l.capture(st) {
		return nil
	}
	if st.deleting {
		return l.stageDelete(r)
	}
	if l.Err() != nil { // a log that is damaged is left as it is
		st.ok = true
		return nil
	}
	if !l.exists && st.mark.offset == 0 && len(st.writes) == 0 && st.cut == nil { // an empty log has no directory, also when it is closed
		st.ok = true
		return nil
	}
	if err := l.stageFiles(r); err != nil {
		l.unwrote(st.writes)
		if st.cut != nil { // it comes first, in a later round; until then nothing else of the log changes
			l.cutLater(st.cut)
			return err
		}
		if !dir.NoSpace(err) {
			return err
		}
		return errors.Join(l.stageRemovals(r), err)
	}
	err := l.stageTail(r, st.writes)
	if err == nil {
		err = l.stageHints(r)
	}
	if err != nil && !dir.NoSpace(err) {
		return err
	}
	if removed := l.stageRemovals(r); removed != nil || err != nil { // removals also, and above all, when there is no space
		return errors.Join(removed, err)
	}
	l.short.Store(false)
	st.ok = true
	return l.stageSync(r)
}

// capture notes what the round is about. What is appended from here on belongs to the next one. It returns false when the log was cut since Prepare in a way that
// the checkpoint does not know yet: then the next round, for which the cut has marked the log dirty, does it all. It also returns false for a log that has ended, whoever still reads it and
// lets go: its name may be another log's, and so may the files be that it had yet to remove.
func (l *Log) capture(st *staged) bool {
	if l.ended.Load() {
		return false
	}
	clear(st.writes)
	clear(st.files)
	*st = staged{writes: st.writes[:0], files: st.files[:0], start: st.start, durable: st.durable}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.durableStart.Load()
	if st.durable {
		known = st.start
	}
	if c := l.mu.cut; c != nil && (c != l.prepared || l.recorded > c.to || known != l.start.Load()) {
		return false
	}
	if (l.mu.closing || l.mu.deleting) && !l.leaving {
		return false
	}
	st.cut, l.mu.cut = l.mu.cut, nil
	l.mu.cutting = st.cut
	st.generation = l.mu.generation
	st.closing, st.deleting = l.mu.closing, l.mu.deleting
	st.durably = l.cfg.Load().Durability == Sync && !st.closing
	list := *l.segments.Load()
	for i := len(list) - 1; i >= 0 && list[i].base >= l.mu.syncedMark.base; i-- {
		list[i].uncovered = list[i].uncovered || list[i].unsynced // what a round wrote that did not end, its journal has not
	}
	s := list.active()
	st.mark = mark{l.end.Load(), s.base, s.size, s.summary}
	for _, c := range l.mu.tail[l.writtenChunksLocked():] {
		c.writing = true
		st.writes = append(st.writes, write{c, c.written, c.filled})
	}
	return true
}

// stageFiles makes what the log needs before bytes can be written: its directory, the end of a cut, new segments' files.
func (l *Log) stageFiles(r *dir.Round) error {
	if !l.exists {
		if err := errors.Join(l.createDirectory(r), r.BarrierFirst()); err != nil {
			return err
		}
	}
	if err := l.stageSwaps(r, l.staged.cut != nil || l.staged.closing); err != nil {
		return err
	}
	if err := l.stageCut(r); err != nil {
		return err
	}
	list := *l.segments.Load()
	first := len(list)
	for first > 0 && !list[first-1].exists {
		first--
	}
	for i := first; i < len(list); i++ {
		if i > 0 && l.mayHaveGaps() {
			if err := l.stageBefore(r, list[i-1]); err != nil {
				return err
			}
		}
		if err := l.createSegment(r, list[i]); err != nil {
			return err
		}
	}
	return nil
}

// stageBefore has a segment on disk as a whole before its successor's file is made. Where offsets may have gaps, a recovery could not tell the lost end of a segment from one, and would take
// what follows for good; a follower would never fetch again what it lost.
func (l *Log) stageBefore(r *dir.Round, s *segment) (err error) {
	writes := l.staged.writes
	n := 0
	for n < len(writes) && writes[n].chunk.segment.base <= s.base {
		n++
	}
	l.staged.writes = writes[n:]
	if err := l.stageTail(r, writes[:n]); err != nil {
		return err
	}
	l.mu.Lock()
	unsynced := s.unsynced
	l.mu.Unlock()
	if !unsynced {
		return nil
	}
	f, err := r.Open(&s.log, l.fileName(s.base, logSuffix), false)
	if err != nil {
		return err
	}
	if err := errors.Join(r.Barrier(f), r.Release(&s.log)); err != nil {
		return err
	}
	return r.BarrierDir(l.path) // its own name may be as new
}

func (l *Log) createDirectory(r *dir.Round) error {
	l.begun = true
	if err := r.FS().MkdirAll(l.path); err != nil {
		return err
	}
	if err := l.writeIdentity(r); err != nil {
		return err
	}
	r.SyncDir(l.path)
	r.SyncDir(l.dir.Path())
	l.exists = true
	return nil
}

func (l *Log) createSegment(r *dir.Round, s *segment) error {
	if _, err := r.Open(&s.log, l.fileName(s.base, logSuffix), true); err != nil {
		return err
	}
	s.exists, s.uncovered = true, true
	l.mu.Lock()
	s.unsynced = true // its size and existence
	l.mu.Unlock()
	r.SyncDir(l.path)
	if s.snapshot != nil {
		if err := l.writeHint(r, fileName(s.base, snapshotSuffix), s.snapshot); err != nil {
			return errors.Join(err, r.Release(&s.log))
		}
		l.mu.Lock()
		l.mu.snapshotAt = s.base
		l.mu.Unlock()
		s.snapshot = nil
	}
	return r.Release(&s.log)
}

// stageTail writes what was captured, segment by segment.
func (l *Log) stageTail(r *dir.Round, writes []write) error {
	var failed error
	done := 0
	for done < len(writes) {
		s := writes[done].chunk.segment
		n := done + 1
		for n < len(writes) && writes[n].chunk.segment == s {
			n++
		}
		if failed = l.writeSegment(r, s, writes[done:n]); failed != nil {
			break
		}
		l.wrote(writes[done:n], s)
		done = n
	}
	l.unwrote(writes[done:])
	return failed
}

// writeSegment writes consecutive parts of one segment, small ones gathered.
func (l *Log) writeSegment(r *dir.Round, s *segment, writes []write) (err error) {
	f, err := r.Open(&s.log, l.fileName(s.base, logSuffix), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Release(&s.log)) }()
	put := func(p []byte, at int64) error { return r.Append(f, l.name, s.base, p, at) }
	if !l.staged.durably {
		s.uncovered = true
		put = func(p []byte, at int64) error { return r.Write(f, p, at) }
	}
	var gathered []byte
	var at int64
	flush := func() error {
		if len(gathered) == 0 {
			return nil
		}
		err := put(gathered, at)
		gathered = gathered[:0]
		return err
	}
	for i, w := range writes {
		p := w.chunk.Buf[w.from:w.to]
		pos := w.chunk.at + int64(w.from)
		single := len(gathered) == 0 && (i+1 == len(writes) || len(p) >= gatherBelow)
		if single {
			if err := put(p, pos); err != nil {
				return err
			}
			continue
		}
		if len(gathered)+len(p) > dir.MaxChunk {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(gathered) == 0 {
			gathered, at = r.Scratch()[:0], pos
		}
		gathered = append(gathered, p...)
	}
	return flush()
}

// wrote marks parts as written and offers full chunks to whoever needs memory.
func (l *Log) wrote(writes []write, s *segment) {
	var n int64
	l.mu.Lock()
	s.unsynced = true
	for i := range writes {
		w := &writes[i]
		c := w.chunk
		c.writing = false
		if to := min(w.to, c.filled); !c.gone && to > c.written { // the rest was cut off meanwhile
			n += int64(to - c.written)
			c.written = to
		}
	}
	l.mu.Unlock()
	l.settleChunks(writes)
	if n > 0 {
		l.dir.Share().Unwritten(-n)
	}
}

// unwrote lets go of parts that were not written.
func (l *Log) unwrote(writes []write) {
	l.mu.Lock()
	for _, w := range writes {
		w.chunk.writing = false
	}
	l.mu.Unlock()
	l.settleChunks(writes)
}

// settleChunks gives chunks to the memory: those cut off meanwhile at once, written ones when they are asked for.
func (l *Log) settleChunks(writes []write) {
	for _, w := range writes {
		c := w.chunk
		l.mu.Lock()
		release := c.claimLocked()
		evictable := !c.gone && c.written == c.filled && !c.busy
		l.mu.Unlock()
		switch {
		case release:
			c.Release()
		case evictable:
			c.Evictable(c)
		}
	}
}

// stageSync names the files that must be synced before the round can be settled.
func (l *Log) stageSync(r *dir.Round) error {
	st := &l.staged
	c := l.cfg.Load()
	l.mu.Lock()
	unsynced := st.mark.offset - l.mu.syncedMark.offset
	st.synced = c.Durability == Sync || st.closing || l.mu.wantSync || unsynced >= c.FlushMessages
	l.mu.wantSync = false
	list := *l.segments.Load()
	var bytes int64
	for i := len(list) - 1; i >= 0 && list[i].base >= l.mu.syncedMark.base; i-- {
		if list[i].unsynced {
			st.files = append(st.files, list[i])
			bytes += list[i].size
		}
	}
	background := !st.synced && len(st.files) > 0 && !l.mu.flushing && (len(st.files) > 1 || list.active().size-l.mu.syncedMark.at >= cacheFlushBytes)
	if background { // once the round has ended: the names of new segments are synced then
		l.mu.flushing, st.flush = true, true
	}
	l.mu.Unlock()
	if !st.synced {
		clear(st.files)
		st.files = st.files[:0]
		return nil
	}
	for _, s := range st.files {
		f, err := r.Open(&s.log, l.fileName(s.base, logSuffix), false)
		if err != nil {
			return err
		}
		r.Sync(&s.log, f, !s.uncovered)
	}
	return nil
}

func (l *Log) mark() flushMark {
	return flushMark{mark: l.staged.mark, generation: l.staged.generation}
}

// Written implements dir.Log.
func (l *Log) Written() {
	st := &l.staged
	if !st.ok {
		return
	}
	l.mu.Lock()
	moved := st.generation == l.mu.generation && st.mark.offset != l.mu.writtenMark.offset
	if moved {
		l.mu.writtenMark = st.mark
		l.written.Store(st.mark.offset)
	}
	l.mu.Unlock()
	if moved {
		l.notify()
	}
}

// Settle implements dir.Log.
func (l *Log) Settle(err error) {
	st := &l.staged
	if err != nil {
		l.finish(err)
		return
	}
	if st.flush {
		st.flush = false
		m := l.mark()
		l.dir.Later(0, func() { l.flush(m) })
	}
	moved := false
	l.mu.Lock()
	if st.ok && st.synced {
		for _, s := range st.files {
			s.unsynced, s.uncovered = false, false
		}
		if st.generation == l.mu.generation && st.mark.offset >= l.mu.syncedMark.offset {
			moved = st.mark.offset != l.mu.syncedMark.offset
			l.mu.syncedMark = st.mark
			l.synced.Store(st.mark.offset)
			l.mu.lastFlush = 0
		}
	}
	if st.ok && l.mu.settled != st.generation {
		l.mu.settled = st.generation
		moved = true
	}
	if to := l.mu.cleanedTo; st.ok && to > 0 && len(l.mu.swaps) == 0 && st.generation == l.mu.generation {
		l.mu.cleanedTo = 0
		if to > l.cleaned.Load() && to <= l.end.Load() {
			l.cleaned.Store(to)
			if !st.closing {
				defer l.dirty() // it is written down in the next round
			}
		}
	}
	if st.durable && l.durableStart.Load() != st.start {
		l.durableStart.Store(st.start)
		moved = true
	}
	l.mu.Unlock()
	if moved {
		l.notify()
	}
	if st.ok && (st.closing || st.deleting) {
		l.finish(nil)
	}
}

// writeHint replaces a small file without syncing it: losing it costs time at the next start, no more.
func (l *Log) writeHint(r *dir.Round, name string, data []byte) (err error) {
	path := filepath.Join(l.path, name)
	f, err := r.FS().Create(path + ".tmp")
	if errors.Is(err, fs.ErrExist) {
		if err = r.FS().Remove(path + ".tmp"); err == nil {
			f, err = r.FS().Create(path + ".tmp")
		}
	}
	if err != nil {
		return err
	}
	err = r.Write(f, data, 0)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return r.FS().Rename(path+".tmp", path)
}

// openHint opens a segment's index file, making it when it is missing.
func openHint(r *dir.Round, h *dir.Handle, name string) (vfs.File, error) {
	f, err := r.Open(h, name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return r.Open(h, name, true)
	}
	return f, err
}
