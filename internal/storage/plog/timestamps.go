package plog

import (
	"sync"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
)

// timeSearchLimit bounds the memory for the records of one batch that a search by time decompresses.
const timeSearchLimit = 256 << 20

var readers = sync.Pool{New: func() any { return new(batch.Reader) }}

// Stamp is a record found by time.
type Stamp struct {
	Offset, Timestamp int64
	LeaderEpoch       int32
}

// OffsetForTimestamp finds the first record below upTo whose timestamp is at or above the given one. It may read files.
func (l *Log) OffsetForTimestamp(timestamp, upTo int64) (Stamp, bool, error) {
	for {
		list := *l.segments.Load()
		start := l.start.Load()
		again := false
		for i, s := range list {
			if list.endOf(i, l.end.Load()) <= start || s.base >= upTo {
				continue
			}
			l.mu.Lock()
			greatest := s.maxTimestamp
			l.mu.Unlock()
			if greatest < timestamp {
				continue
			}
			if again = !s.acquire(); again {
				break
			}
			found, ok, err := l.searchTime(s, timestamp, start)
			l.release(s)
			if err != nil {
				return Stamp{}, false, err
			}
			if ok {
				return found, found.Offset < upTo, nil
			}
		}
		if !again {
			return Stamp{}, false, nil
		}
	}
}

// searchTime finds the first record of a segment at or after offset start with at least the timestamp.
func (l *Log) searchTime(s *segment, timestamp, start int64) (Stamp, bool, error) {
	from, err := l.floorTime(s, timestamp)
	if err != nil {
		return Stamp{}, false, err
	}
	var found Stamp
	var ok bool
	var inner error
	err = l.walk(s, from, l.sizeOf(s), func(b batch.Batch, at int64) bool {
		if b.MaxTimestamp() < timestamp || b.LastOffset() < start {
			return true
		}
		found, ok, inner = l.firstRecord(s, at, b.Size(), func(r batch.Record) bool { return r.Timestamp >= timestamp && r.Offset >= start })
		return inner == nil && !ok
	})
	if inner != nil {
		err = inner
	}
	return found, ok, err
}

// floorTime returns a position in a segment before which every batch is older than the timestamp.
func (l *Log) floorTime(s *segment, timestamp int64) (int64, error) {
	l.mu.Lock()
	e, ok := s.sparse.floorTime(timestamp)
	count := s.sparse.fileTimes
	usable := s.sparse.fileLimit == 0
	l.mu.Unlock()
	if !ok && count > 0 && usable {
		var err error
		e, ok, err = searchIndex(l, s, &s.times, timeIndexSuffix, count, timeEntrySize, parseTime, func(e timeEntry) bool { return e.timestamp < timestamp })
		if err != nil {
			ok = false // a hint: walk
		}
		if ok && !l.timeHolds(s, e) {
			ok = false
		}
	}
	if !ok {
		return 0, nil
	}
	return l.floor(s, s.base+int64(e.offset))
}

// timeHolds checks an entry from a file against the batch it names.
func (l *Log) timeHolds(s *segment, e timeEntry) bool {
	size := l.sizeOf(s)
	at, _, err := l.locate(s, s.base+int64(e.offset), s.base+int64(e.offset)+1<<32)
	if err != nil {
		return false
	}
	b, err := l.headerAt(s, at, size)
	return err == nil && b.LastOffset() == s.base+int64(e.offset) && b.MaxTimestamp() == e.timestamp
}

// firstRecord reads one batch and returns its first record for which match holds.
func (l *Log) firstRecord(s *segment, at int64, size int, match func(batch.Record) bool) (Stamp, bool, error) {
	b := batch.Batch(make([]byte, size))
	if err := l.readExactly(s, b, at); err != nil {
		return Stamp{}, false, err
	}
	if err := b.Check(); err != nil {
		return Stamp{}, false, l.rotten(s, at, b.BaseOffset(), err.Error())
	}
	r := readers.Get().(*batch.Reader)
	defer readers.Put(r)
	defer r.Release()
	if err := r.Reset(b, timeSearchLimit); err != nil {
		return Stamp{}, false, err
	}
	for r.Next() {
		if record := r.Record(); match(record) {
			return Stamp{record.Offset, record.Timestamp, b.PartitionLeaderEpoch()}, true, nil
		}
	}
	return Stamp{}, false, r.Err()
}

// MaxTimestamp finds the first record with the greatest timestamp below upTo, as far as it is known: a record at or above upTo with a greater one hides it only until upTo
// gets there. It may read files.
func (l *Log) MaxTimestamp(upTo int64) (Stamp, bool, error) {
	for {
		s, sum := l.greatest(upTo)
		if s == nil {
			return Stamp{}, false, nil
		}
		if !s.acquire() {
			continue
		}
		found, ok, err := l.maxRecord(s, sum)
		l.release(s)
		return found, ok && found.Offset < upTo && found.Offset >= l.start.Load(), err
	}
}

// greatest returns the segment with the greatest timestamp, and what is known of it below upTo.
func (l *Log) greatest(upTo int64) (*segment, summary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var best *segment
	sum := emptySummary
	for _, s := range *l.segments.Load() {
		x := s.summary
		if m := &l.mu.syncedMark; s.base == m.base && upTo <= m.offset {
			x = m.summary
		}
		if s.base < upTo && x.maxTimestamp > sum.maxTimestamp {
			best, sum = s, x
		}
	}
	return best, sum
}

func (l *Log) maxRecord(s *segment, sum summary) (Stamp, bool, error) {
	size := l.sizeOf(s)
	at, _, err := l.locate(s, sum.maxOffset, sum.maxOffset+1)
	if err != nil || at >= size {
		return Stamp{}, false, err
	}
	b, err := l.headerAt(s, at, size)
	if err != nil {
		return Stamp{}, false, l.damaged(s, at, sum.maxOffset, err)
	}
	return l.firstRecord(s, at, b.Size(), func(r batch.Record) bool { return r.Timestamp == sum.maxTimestamp })
}

// summaryUpTo computes a segment's summary for its first at bytes.
func (l *Log) summaryUpTo(s *segment, at int64) (summary, error) {
	l.mu.Lock()
	sum, size := s.summary, s.size
	l.mu.Unlock()
	if at == size {
		return sum, nil
	}
	fresh := emptySummary
	err := l.walk(s, 0, at, func(b batch.Batch, _ int64) bool {
		fresh.add(b)
		return true
	})
	return fresh, err
}

// finalSummary reads what a sealed segment's time index ends with.
func (l *Log) finalSummary(s *segment, count int32) (summary, bool) {
	if count == 0 {
		return emptySummary, false
	}
	e, ok, err := searchIndex(l, s, &s.times, timeIndexSuffix, count, timeEntrySize, parseTime, func(timeEntry) bool { return true })
	if err != nil || !ok || !l.timeHolds(s, e) {
		return emptySummary, false
	}
	b, err := l.headerAt(s, 0, l.sizeOf(s))
	if err != nil {
		return emptySummary, false
	}
	return summary{b.MaxTimestamp(), e.timestamp, s.base + int64(e.offset)}, true
}

var _ dir.Log = (*Log)(nil)
var _ dir.Closer = (*Log)(nil)
