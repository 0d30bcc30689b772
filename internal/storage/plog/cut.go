package plog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// cut is an end taken off the log in memory and not yet on disk. Several cuts before a round become one.
type cut struct {
	to      int64 // the end after the cut
	shorter []shorter
	removed []*segment
	fully   bool // nothing before the cut is left either
}

// shorter is a segment that loses its end. A round may bring several to the disk: the log may have been cut, have grown into the next segment, and been cut there.
type shorter struct {
	segment *segment
	at      int64 // what its file keeps
}

// add takes a later cut into c.
func (c *cut) add(s *segment, at int64, removed []*segment) {
	c.shorter = slices.DeleteFunc(c.shorter, func(x shorter) bool {
		if x.segment == s { // of what was appended in between, the file has nothing
			at = min(at, x.at)
		}
		return x.segment == s || slices.Contains(removed, x.segment)
	})
	c.shorter = append(c.shorter, shorter{s, at})
	c.removed = append(c.removed, removed...)
}

// TruncateTo takes everything at or after offset off the log's end. An offset within a batch takes the whole batch: EndOffset tells where the log ends now,
// which is never below its start.
// The effect is immediate for everybody; the files follow in the next round, before anything is written over the cut. It may read files.
func (l *Log) TruncateTo(offset int64) error {
	if err := l.admitCut(); err != nil {
		return err
	}
	switch {
	case offset >= l.end.Load():
		l.cutEpochs(offset)
		return nil
	case offset < l.start.Load():
		return fmt.Errorf("truncate log %s to offset %d: it starts at %d", l.name, offset, l.start.Load())
	}
	list := *l.segments.Load()
	i := list.find(offset)
	s := list[i]
	at, to, err := l.locate(s, offset, list.endOf(i, l.end.Load()))
	if err == nil {
		_, err = l.sound(offset, offset)
	}
	if err != nil {
		return fmt.Errorf("truncate log %s to offset %d: %w", l.name, offset, err)
	}
	if to < l.start.Load() { // the start lies within the batch that goes: nothing is left
		return l.TruncateFullyAndStartAt(l.start.Load())
	}
	sum, err := l.summaryUpTo(s, at)
	if err != nil {
		return fmt.Errorf("truncate log %s to offset %d: %w", l.name, offset, err)
	}
	l.applyCut(list[:i+1:i+1], list[i+1:], s, mark{to, s.base, at, sum}, false)
	return l.reloadProducers(to)
}

// cutEpochs forgets a leader epoch that begins where the log ends: whoever became leader and wrote nothing must not be taken for having written, or its epoch would diverge from
// the next leader's for ever.
func (l *Log) cutEpochs(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept := l.mu.epochs.cutEnd(offset); len(kept) < len(l.mu.epochs) {
		l.mu.epochs, l.mu.epochsDirty = kept, true
	}
}

// TruncateFullyAndStartAt empties the log; its next record gets the offset. It may lie above or below what the log had.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	if err := l.admitCut(); err != nil {
		return err
	}
	s := l.freshSegment(offset, time.Now()) // also where one begins there: what that has on disk, and is yet to get, is of the past
	l.applyCut(segmentList{s}, slices.Clone(*l.segments.Load()), s, mark{offset, offset, 0, emptySummary}, true)
	return nil
}

func (l *Log) admitCut() error {
	if err := l.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closing || l.mu.deleting || l.ended.Load() {
		return ErrClosed
	}
	return nil
}

// applyCut makes s, with its first m.at bytes, the active segment again; fully, the log has nothing else and starts there. All of it is seen at once: the committer may be
// about to write a checkpoint.
func (l *Log) applyCut(kept segmentList, removed []*segment, s *segment, m mark, fully bool) {
	l.mu.Lock()
	l.mu.generation++
	release, unwritten := l.cutTailLocked(s, m.at, removed, fully)
	c := l.mu.cut
	if c == nil {
		c = &cut{to: m.offset}
		l.mu.cut = c
	}
	c.to = min(c.to, m.offset)
	if fully {
		c.removed = append(c.removed, l.mu.removals...) // a new segment may take the name of one of them
		l.mu.removals = nil
		c.to, c.fully = m.offset, true // what an earlier cut left is gone too
	}
	c.add(s, m.at, removed)
	s.size, s.summary = m.at, m.summary
	s.sparse.cut(s.base, m.offset, m.at)
	l.mu.sealed = slices.DeleteFunc(l.mu.sealed, func(x *segment) bool { return x == s || slices.Contains(removed, x) })
	l.mu.epochs = l.mu.epochs.cutEnd(m.offset)
	l.mu.epochsDirty = true
	l.mu.hints = [hintCount]hint{}
	if fully {
		l.start.Store(m.offset)
		l.mu.producers, l.mu.changed, l.mu.epochs = nil, true, nil
	}
	// Of a log that is empty nothing can be lost.
	if fully || l.mu.syncedMark.offset > m.offset || l.mu.syncedMark.base > m.base {
		l.mu.syncedMark = m
		l.synced.Store(m.offset)
	}
	if fully || l.mu.writtenMark.offset > m.offset || l.mu.writtenMark.base > m.base {
		l.mu.writtenMark = m
		l.written.Store(m.offset)
	}
	l.cutRotLocked(m.offset)
	l.cleaned.Store(min(l.cleaned.Load(), m.offset))
	l.mu.cleanedTo = 0
	for _, x := range l.mu.swaps {
		x.to = 0 // what is left of it is looked at again
	}
	if l.mu.snapshotAt > m.offset {
		l.mu.snapshotAt, l.mu.changed = -1, true
	}
	l.segments.Store(&kept)
	l.end.Store(m.offset)
	l.mu.Unlock()
	for _, x := range removed {
		x.refs.Add(-1) // the list's; the cut removes the files, whoever still reads
	}
	for _, c := range release {
		c.Release()
	}
	if unwritten > 0 {
		l.dir.Share().Unwritten(-unwritten)
	}
	l.dirty()
}

// cutTailLocked drops memory beyond the cut; all of it, when nothing is left: of segments that were deleted some may still be there, and the log goes on below them. A chunk that straddles the cut
// takes no more bytes: the committer or a reader may still look at the part cut off.
func (l *Log) cutTailLocked(s *segment, at int64, removed []*segment, all bool) (release []*tailChunk, unwritten int64) {
	kept := l.mu.tail[:0]
	for _, c := range l.mu.tail {
		switch {
		case all, slices.Contains(removed, c.segment), c.segment == s && c.at >= at:
			unwritten += int64(c.filled - c.written)
			if c.dropLocked() {
				release = append(release, c)
			}
			continue
		case c.segment == s && c.end() > at:
			n := int(at - c.at)
			unwritten += int64(c.filled - max(c.written, n))
			c.filled, c.written, c.sealed = n, min(c.written, n), true
		}
		kept = append(kept, c)
	}
	clear(l.mu.tail[len(kept):])
	l.mu.tail = kept
	return release, unwritten
}

// cut drops the entries beyond the cut from memory, and keeps readers from those in the files until the committer has cut them too.
func (s *sparse) cut(base, to, at int64) {
	s.version++
	keep := 0
	for keep < len(s.entries) && base+int64(s.entries[keep].offset) < to && int64(s.entries[keep].at) < at {
		keep++
	}
	s.entries = s.entries[:keep]
	keep = 0
	for keep < len(s.times) && base+int64(s.times[keep].offset) < to {
		keep++
	}
	s.times = s.times[:keep]
	if s.fileLimit == 0 || s.fileLimit > to {
		s.fileLimit = to
	}
	s.since = 0
	s.lastTime = noTimestamp
	if keep > 0 {
		s.lastTime = s.times[keep-1].timestamp
	}
	if at == 0 {
		*s = sparse{lastTime: noTimestamp, version: s.version, rewrite: s.fileEntries > 0 || s.fileTimes > 0 || s.rewrite}
	}
}

// stageCut brings a cut to the disk, and syncs it, before anything else is written.
func (l *Log) stageCut(r *dir.Round) error {
	c := l.staged.cut
	if c == nil {
		return nil
	}
	if err := l.cutFiles(r, c); err != nil {
		return err
	}
	l.staged.cut = nil
	l.mu.Lock()
	l.mu.cutting = nil
	l.mu.Unlock()
	return nil
}

// cutLater takes back a cut that did not reach the disk, or only a part of it: for want of space, or for good, and then nobody asks again.
func (l *Log) cutLater(c *cut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := l.mu.cut; next != nil {
		c.to = min(c.to, next.to)
		for _, x := range next.shorter {
			c.add(x.segment, x.at, next.removed)
		}
		if next.fully {
			c.to, c.fully = next.to, true
		}
	}
	l.mu.cut, l.mu.cutting = c, nil
}

func (l *Log) cutFiles(r *dir.Round, c *cut) error {
	// The last ones first; where offsets may have gaps each for good before the next, or a crash would leave a hole that looks like one.
	slices.SortFunc(c.removed, func(a, b *segment) int { return cmp.Compare(b.base, a.base) })
	for _, s := range c.removed {
		if err := l.removeFiles(r, s); err != nil {
			return err
		}
		if !l.mayHaveGaps() {
			continue
		}
		if err := r.BarrierDir(l.path); err != nil {
			return err
		}
	}
	for _, x := range c.shorter {
		if err := l.shorten(r, x); err != nil {
			return err
		}
	}
	keep := c.to
	if c.fully { // nobody before is remembered
		keep = NoOffset
	}
	if err := l.removeSnapshots(r, keep); err != nil {
		return err
	}
	if r.Mutants()&dir.SkipCutSync != 0 {
		r.SyncDir(l.path)
		return nil
	}
	return r.BarrierDir(l.path)
}

// shorten cuts a segment's files, if they were made.
func (l *Log) shorten(r *dir.Round, x shorter) error {
	s := x.segment
	if !s.exists {
		return nil
	}
	f, err := r.Open(&s.log, l.fileName(s.base, logSuffix), false)
	if err != nil {
		return err
	}
	if err = f.Truncate(x.at); err == nil && r.Mutants()&dir.SkipCutSync == 0 {
		err = r.Barrier(f)
	}
	if err = errors.Join(err, r.Release(&s.log)); err != nil {
		return err
	}
	return l.cutIndexFiles(r, s)
}

func (l *Log) removeFiles(r *dir.Round, s *segment) error {
	s.where.Store(placeGone)
	if err := l.dropHandles(s); err != nil {
		return err
	}
	for _, suffix := range segmentSuffixes {
		if err := r.FS().Remove(l.fileName(s.base, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.exists = false
	return nil
}

// cutIndexFiles cuts the entries beyond the cut off the index files of the segment that is active again.
func (l *Log) cutIndexFiles(r *dir.Round, s *segment) error {
	l.mu.Lock()
	limit, entries, times := s.sparse.fileLimit, s.sparse.fileEntries, s.sparse.fileTimes
	l.mu.Unlock()
	if limit == 0 {
		return nil
	}
	within := func(offset uint32) bool { return s.base+int64(offset) < limit }
	entries, _, err := cutEntries(r, &s.index, l.fileName(s.base, indexSuffix), entries, indexEntrySize, parseEntry, func(e indexEntry) bool { return within(e.offset) })
	if err != nil {
		return err
	}
	times, last, err := cutEntries(r, &s.times, l.fileName(s.base, timeIndexSuffix), times, timeEntrySize, parseTime, func(e timeEntry) bool { return within(e.offset) })
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.sparse.fileLimit != limit {
		return nil // cut again meanwhile: the next round does it
	}
	s.sparse.fileLimit, s.sparse.fileEntries, s.sparse.fileTimes = 0, entries, times
	if times > 0 && s.sparse.lastTime < last.timestamp {
		s.sparse.lastTime = last.timestamp
		s.sparse.times = slices.DeleteFunc(s.sparse.times, func(e timeEntry) bool { return e.timestamp <= last.timestamp })
	}
	return nil
}

// cutEntries truncates an index file to the entries that keep holds for; it returns how many those are, and the last of them.
func cutEntries[T any](r *dir.Round, h *dir.Handle, name string, count int32, size int, parse func([]byte) T, keep func(T) bool) (n int32, last T, err error) {
	if count == 0 {
		return 0, last, nil
	}
	f, err := r.Open(h, name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, last, nil
	}
	if err != nil {
		return 0, last, err
	}
	defer func() { err = errors.Join(err, r.Release(h)) }()
	// A file that cannot be searched is cut to what could be: it is a hint.
	var buf [timeEntrySize]byte
	for high := count; n < high; {
		middle := (n + high) / 2
		if vfs.ReadFull(f, buf[:size], int64(middle)*int64(size)) != nil {
			high = middle
			continue
		}
		if e := parse(buf[:size]); keep(e) {
			n, last = middle+1, e
		} else {
			high = middle
		}
	}
	return n, last, f.Truncate(int64(n) * int64(size))
}

// removeSnapshots removes the snapshots beyond a cut.
func (l *Log) removeSnapshots(r *dir.Round, to int64) error {
	files, err := r.FS().ReadDir(l.path)
	if err != nil {
		return err
	}
	for _, f := range files {
		if offset, ok := snapshotOffset(f.Name); ok && offset > to {
			if err := r.FS().Remove(l.fileName(offset, snapshotSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func snapshotOffset(name string) (int64, bool) { return offsetOf(name, snapshotSuffix) }

// offsetOf reads the offset from a file's name of 20 digits and a suffix.
func offsetOf(name, suffix string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n >= 0
}

// producerWindow is how many bytes before a cut are read again for the batches that producers had there.
const producerWindow = 1 << 20

// reloadProducers brings the producers' state back to the new end: what memory remembers of before the cut, completed by the batches just before it, and for producers of
// whom nothing is left by the newest snapshot and all batches since.
func (l *Log) reloadProducers(to int64) error {
	l.mu.Lock()
	touched, whole := l.mu.producers.touches(to), true
	if touched {
		l.mu.changed = true
		whole = l.mu.producers.cutEnd(to)
	}
	l.mu.Unlock()
	if !touched {
		return nil
	}
	var all, recent producers
	var err error
	if !whole { // first: the last batches do not tell where a transaction began
		if all, err = l.rebuildProducers(to); err == nil {
			l.mergeProducers(all)
		}
	}
	if err == nil {
		if recent, err = l.recentProducers(to); err == nil {
			l.mergeProducers(recent)
		}
	}
	if err != nil {
		return fmt.Errorf("read the producers of log %s again: %w", l.name, err)
	}
	return nil
}

// mergeProducers takes what others remember better.
func (l *Log) mergeProducers(ps producers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range ps {
		known := l.mu.producers[id]
		if known != nil && known.count >= p.count {
			continue
		}
		if known != nil {
			p.txnFirst, p.coordinatorEpoch, p.marker = known.txnFirst, known.coordinatorEpoch, known.marker
		}
		if l.mu.producers == nil {
			l.mu.producers = producers{}
		}
		l.mu.producers[id] = p
	}
}

// recentProducers reads the batches of the last bytes before an offset.
func (l *Log) recentProducers(to int64) (producers, error) {
	var ps producers
	list := *l.segments.Load()
	for i := max(0, list.find(to)-1); i < len(list) && list[i].base < to; i++ {
		s := list[i]
		size := l.sizeOf(s)
		from, _, _, err := l.boundaryBefore(s, 0, size-producerWindow)
		if err != nil {
			return nil, err
		}
		err = l.walk(s, from, size, func(b batch.Batch, _ int64) bool {
			if b.LastOffset() < to {
				ps.update(b)
			}
			return b.LastOffset() < to
		})
		if err != nil {
			return nil, err
		}
	}
	return ps, nil
}

// snapshotsUpTo is the offset up to which the snapshots on disk are the log's: a cut that is not there yet, or not wholly, leaves those of the part that is gone.
func (l *Log) snapshotsUpTo(to int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range [...]*cut{l.mu.cutting, l.mu.cut} {
		switch {
		case c == nil:
		case c.fully:
			to = NoOffset
		default:
			to = min(to, c.to)
		}
	}
	return to
}

// rebuildProducers reads the newest usable snapshot at or below an offset, and replays the batches from there.
func (l *Log) rebuildProducers(to int64) (producers, error) {
	files, err := l.dir.FS().ReadDir(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var snapshots []int64
	for _, f := range files {
		if offset, ok := snapshotOffset(f.Name); ok {
			snapshots = append(snapshots, offset)
		}
	}
	ps, from := l.newestSnapshot(snapshots, l.snapshotsUpTo(to))
	list := *l.segments.Load()
	for i, s := range list {
		if list.endOf(i, to) <= from || s.base >= to {
			continue
		}
		err := l.walk(s, 0, l.sizeOf(s), func(b batch.Batch, _ int64) bool {
			if b.BaseOffset() >= from && b.LastOffset() < to {
				ps.update(b)
			}
			return b.LastOffset() < to
		})
		if err != nil {
			return nil, err
		}
	}
	return ps, nil
}
