package plog

import (
	"errors"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// Read returns the batches from the one that holds offset from, up to offset upTo (exclusive) and about maxBytes, cut at a batch boundary. With minOne a first batch larger
// than maxBytes comes whole; else nothing does. An empty slice is what a reader at the end gets. It takes no lock that an appender holds for long, and may read files.
//
// ErrOffsetOutOfRange when from lies outside of the log; a *RotError where bytes cannot be served; a *DiskError when the disk cannot be read. Close the slice.
func (l *Log) Read(from, upTo int64, maxBytes int, minOne bool) (Slice, error) {
	if err := l.dir.Err(); err != nil {
		return Slice{}, err
	}
	for {
		if l.left.Load() {
			return Slice{}, ErrClosed
		}
		start, end := l.start.Load(), l.end.Load()
		if from < start || from > end {
			return Slice{}, ErrOffsetOutOfRange
		}
		if upTo = min(upTo, end); from >= upTo {
			return Slice{}, nil
		}
		var err error
		if upTo, err = l.sound(from, upTo); err != nil {
			return Slice{}, err
		}
		list := *l.segments.Load()
		i := list.find(from)
		if i < 0 {
			continue // a segment was deleted between the loads: the start has moved
		}
		s := list[i]
		if !s.acquire() {
			continue // it has left the list since
		}
		slice, next, err := l.readSegment(s, list, i, from, upTo, maxBytes, minOne)
		if err == nil && next >= 0 { // only compaction leaves nothing from the offset to the segment's end
			l.release(s)
			if from = next; from >= upTo {
				return Slice{}, nil
			}
			continue
		}
		if slice.size() == 0 {
			l.release(s)
			return Slice{}, err
		}
		sound, err := l.readable(&slice)
		if err == nil {
			return slice, nil
		}
		slice.Close()
		if _, disk := errors.AsType[*DiskError](err); !disk || sound == 0 || sound >= int64(maxBytes) {
			return Slice{}, err
		}
		if before, failed := l.Read(from, upTo, int(sound), false); failed == nil && before.Len() > 0 {
			return before, nil
		}
		return Slice{}, err
	}
}

// readSegment makes the slice of one segment; next is the offset at which to go on when the segment has nothing from the offset on, else -1.
func (l *Log) readSegment(s *segment, list segmentList, i int, from, upTo int64, maxBytes int, minOne bool) (Slice, int64, error) {
	segmentEnd := list.endOf(i, l.end.Load())
	at, _, err := l.locate(s, from, segmentEnd)
	if err != nil {
		return Slice{}, -1, err
	}
	limit, end, err := l.locate(s, upTo, segmentEnd)
	if err != nil { // what cannot be read further on does not matter before it
		limit, end, err = l.soundEnd(s, at, upTo, err)
	}
	if err == nil {
		_, err = l.sound(from, upTo) // the search may have come by damage
	}
	if err != nil {
		return Slice{}, -1, err
	}
	limit, end = l.soundRange(s, at, limit, end)
	if at >= limit {
		if i+1 < len(list) && upTo > segmentEnd {
			return Slice{}, segmentEnd, nil
		}
		return Slice{}, -1, nil
	}
	if limit-at > int64(maxBytes) {
		if limit, end, err = l.boundary(s, at, limit, maxBytes, minOne); err != nil {
			if limit, end, err = l.soundEnd(s, at, upTo, err); err != nil || !minOne && limit-at > int64(maxBytes) {
				return Slice{}, -1, err
			}
		}
		if limit == at {
			return Slice{}, -1, nil
		}
	} else if upTo < segmentEnd {
		l.remember(hint{s, limit, upTo, upTo})
	}
	slice := l.slice(s, at, limit)
	slice.first, slice.end = from, end
	return slice, -1, nil
}

// soundEnd returns the position and offset of damage that lies beyond a position, so that what is before can be served. Where the disk failed the search, that is the end of the
// batch at the position.
func (l *Log) soundEnd(s *segment, at, upTo int64, err error) (limit, end int64, _ error) {
	if rot, ok := asRot(err); ok && rot.Segment == s.base && rot.Position > at {
		return rot.Position, rot.From, nil
	}
	if _, disk := errors.AsType[*DiskError](err); disk {
		if b, failed := l.headerAt(s, at, l.sizeOf(s)); failed == nil && b.NextOffset() <= upTo {
			return at + int64(b.Size()), b.NextOffset(), nil
		}
	}
	return 0, 0, err
}

// boundary cuts a range to about maxBytes at a batch boundary; end is the offset after it.
func (l *Log) boundary(s *segment, at, limit int64, maxBytes int, minOne bool) (cutAt, end int64, err error) {
	cutAt, lastOffset, ok, err := l.boundaryBefore(s, at, at+int64(maxBytes))
	if err != nil {
		return 0, 0, err
	}
	if ok {
		b, err := l.headerAt(s, cutAt, limit)
		if err == nil && b.LastOffset() == lastOffset {
			l.remember(hint{s, cutAt, b.BaseOffset(), lastOffset})
			return cutAt, b.BaseOffset(), nil
		}
	}
	fits := at
	err = l.walkSound(s, at, limit, func(b batch.Batch, p int64) bool {
		next := p + int64(b.Size())
		if next-at > int64(maxBytes) && (fits > at || !minOne) {
			return false
		}
		fits, end = next, b.NextOffset()
		return next-at < int64(maxBytes)
	})
	if err != nil && fits == at {
		return 0, 0, err
	}
	return fits, end, nil
}
