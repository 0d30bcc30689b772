package plog

import (
	"errors"
	"io"
	"io/fs"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
)

// hintCount is how many readers' places a log remembers.
const hintCount = 4

// hint says that the batch at a position of a segment holds, or begins, what one reader will ask for next: an offset from low to high.
type hint struct {
	segment   *segment
	at        int64
	low, high int64
}

// locate finds the first batch of a segment whose last offset is at or above the offset: its position and base offset. Behind the last batch it is the size and segmentEnd.
func (l *Log) locate(s *segment, offset, segmentEnd int64) (at, base int64, err error) {
	l.mu.Lock()
	size := s.size
	if offset >= segmentEnd {
		// The caller looked at the end before it came here, and the segment may have grown since: whoever asks for what was the end must not get what came then,
		// because it is perhaps not synced.
		if segmentEnd = l.segmentEndLocked(s, segmentEnd); offset >= segmentEnd {
			l.mu.Unlock()
			return size, segmentEnd, nil
		}
	}
	for _, m := range [...]*mark{&l.mu.syncedMark, &l.mu.writtenMark} {
		if m.offset == offset && m.base == s.base && m.at >= 0 && m.at < size {
			at = m.at
			l.mu.Unlock()
			return at, offset, nil
		}
	}
	from, known := l.hintLocked(s, offset)
	l.mu.Unlock()
	if known {
		if b, err := l.headerAt(s, from, size); err == nil && b.BaseOffset() <= offset && offset <= b.LastOffset() {
			return from, b.BaseOffset(), nil
		}
	}
	if from, err = l.floor(s, offset); err != nil {
		return 0, 0, err
	}
	at, base = size, segmentEnd
	found := false
	err = l.walk(s, from, size, func(b batch.Batch, p int64) bool {
		if found = b.LastOffset() >= offset; found {
			at, base = p, b.BaseOffset()
		}
		return !found
	})
	if err == nil && !found && offset < segmentEnd {
		base = l.missingEnd(s, size, offset, segmentEnd)
	}
	return at, base, err
}

// missingEnd returns where a segment ends of which an offset at its end was not found: at the damage that took it, or, with gaps, where it should.
func (l *Log) missingEnd(s *segment, size, offset, segmentEnd int64) int64 {
	if l.mayHaveGaps() {
		return segmentEnd
	}
	_, err := l.sound(offset, offset)
	if err == nil {
		err = l.rotten(s, size, offset, "the segment ends there")
		if _, found := l.sound(offset, offset); found != nil { // the survey found what took the offset before the end
			err = found
		}
	}
	if rot, ok := asRot(err); ok && rot.marked && rot.Segment == s.base {
		return rot.From
	}
	return segmentEnd // it was cut meanwhile
}

// segmentEndLocked is the offset at which a segment ends now, which belongs to its size; of one that has left the list it is what the caller knew.
func (l *Log) segmentEndLocked(s *segment, known int64) int64 {
	list := *l.segments.Load()
	if i := list.find(s.base); i >= 0 && list[i] == s {
		return list.endOf(i, l.end.Load())
	}
	return known
}

func (l *Log) hintLocked(s *segment, offset int64) (at int64, ok bool) {
	for i := range l.mu.hints {
		if h := &l.mu.hints[i]; h.segment == s && h.low <= offset && offset <= h.high {
			return h.at, true
		}
	}
	return 0, false
}

// remember notes where a reader will go on.
func (l *Log) remember(h hint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.mu.hints {
		if l.mu.hints[i] == h {
			return
		}
	}
	l.mu.hints[l.mu.hintNext] = h
	l.mu.hintNext = (l.mu.hintNext + 1) % hintCount
}

// headerAt reads the header of the batch at a position.
func (l *Log) headerAt(s *segment, at, size int64) (batch.Batch, error) {
	if at+batch.HeaderSize > size {
		return nil, io.ErrUnexpectedEOF
	}
	p := make([]byte, batch.HeaderSize)
	if err := l.readExactly(s, p, at); err != nil {
		return nil, err
	}
	return checkHeader(p)
}

// floor returns a position of a batch boundary at or before the batch that holds the offset, as near as the index knows.
func (l *Log) floor(s *segment, offset int64) (int64, error) {
	l.mu.Lock()
	if e, ok := s.sparse.floor(uint32(offset - s.base)); ok {
		l.mu.Unlock()
		return int64(e.at), nil
	}
	count, size := s.sparse.fileEntries, s.size
	if limit := s.sparse.fileLimit; limit != 0 && offset >= limit {
		offset = limit - 1
	}
	l.mu.Unlock()
	if count == 0 {
		if size <= reindexAbove {
			return 0, nil
		}
		return l.reindex(s, offset)
	}
	relative := uint32(offset - s.base)
	e, ok, err := searchIndex(l, s, &s.index, indexSuffix, count, indexEntrySize, parseEntry, func(e indexEntry) bool { return e.offset <= relative })
	if err != nil {
		return l.indexTrouble(s, offset, err)
	}
	if !ok {
		return 0, nil
	}
	b, err := l.headerAt(s, int64(e.at), size)
	if err != nil || b.LastOffset() != s.base+int64(e.offset) {
		if _, disk := errors.AsType[*DiskError](err); disk {
			return 0, err
		}
		return l.reindex(s, offset)
	}
	return int64(e.at), nil
}

// searchIndex searches an index file of a segment.
func searchIndex[T any](l *Log, s *segment, h *dir.Handle, suffix string, count int32, size int, parse func([]byte) T, keep func(T) bool) (found T, ok bool, err error) {
	f, err := l.openFile(s, h, suffix)
	if err != nil {
		return found, false, err
	}
	found, ok, err = searchFile(f, count, size, parse, keep)
	return found, ok, errors.Join(err, l.dir.Handles().Release(h))
}

// indexTrouble makes a missing or short index anew; a disk that cannot be read is not healed by that.
func (l *Log) indexTrouble(s *segment, offset int64, err error) (int64, error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) {
		return l.reindex(s, offset)
	}
	return 0, l.diskError(err)
}

// reindexAbove is the size in bytes up to which a segment without index entries is walked instead of indexed.
const reindexAbove = 1 << 20

// reindex makes a segment's indexes anew from its batches, and returns the floor of an offset. The files follow in the next round. While one reader does it, others walk.
func (l *Log) reindex(s *segment, offset int64) (int64, error) {
	l.mu.Lock()
	if s.sparse.rebuilding {
		l.mu.Unlock()
		return 0, nil
	}
	s.sparse.rebuilding = true
	generation, size := l.mu.generation, s.size
	l.mu.Unlock()
	fresh, sum, err := l.buildIndex(s, size)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sparse.rebuilding = false
	if err != nil || generation != l.mu.generation {
		return 0, err
	}
	old := s.sparse
	for _, e := range old.entries { // of batches appended meanwhile
		if int64(e.at) >= size {
			fresh.entries = append(fresh.entries, e)
		}
	}
	for _, e := range old.times {
		if e.timestamp > fresh.lastTime {
			fresh.times = append(fresh.times, e)
			fresh.lastTime = e.timestamp
		}
	}
	fresh.rewrite, fresh.version = true, old.version+1
	active := (*l.segments.Load()).active() == s
	if active {
		fresh.since = old.since
	} else {
		s.summary = sum
		fresh.addTime(s.base, sum)
		l.mu.sealed = append(l.mu.sealed, s)
	}
	s.sparse = fresh
	l.dirty()
	e, _ := s.sparse.floor(uint32(offset - s.base))
	return int64(e.at), nil
}

// buildIndex walks a segment.
func (l *Log) buildIndex(s *segment, size int64) (sparse, summary, error) {
	fresh, sum := sparse{lastTime: noTimestamp}, emptySummary
	interval := int64(l.cfg.Load().IndexIntervalBytes)
	err := l.walk(s, 0, size, func(b batch.Batch, at int64) bool {
		sum.add(b)
		fresh.add(s.base, b.LastOffset(), at, b.Size(), interval, sum)
		return true
	})
	return fresh, sum, err
}

// boundaryBefore returns the last known batch boundary in a segment above position low and at or below position high, with the last offset of the batch that begins
// there; ok is false when the index knows none.
func (l *Log) boundaryBefore(s *segment, low, high int64) (at, lastOffset int64, ok bool, err error) {
	l.mu.Lock()
	e, found := s.sparse.below(high)
	count := s.sparse.fileEntries
	limited := s.sparse.fileLimit != 0
	l.mu.Unlock()
	if !found && count > 0 && !limited {
		e, found, err = searchIndex(l, s, &s.index, indexSuffix, count, indexEntrySize, parseEntry, func(e indexEntry) bool { return int64(e.at) <= high })
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, 0, false, nil // the next search for an offset makes it anew
		}
		if err != nil {
			return 0, 0, false, l.diskError(err)
		}
		if found { // a hint: the bytes decide
			b, err := l.headerAt(s, int64(e.at), l.sizeOf(s))
			if err != nil || b.LastOffset() != s.base+int64(e.offset) {
				return 0, 0, false, nil
			}
		}
	}
	if !found || int64(e.at) <= low {
		return 0, 0, false, nil
	}
	return int64(e.at), s.base + int64(e.offset), true, nil
}
