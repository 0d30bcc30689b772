package plog

import (
	"fmt"
	"math"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// Origin says who appends, and so what is checked and assigned.
type Origin uint8

const (
	// Client batches get offsets, the leader's epoch and all checks of the producer; a full disk refuses them.
	Client Origin = iota
	// Internal batches of coordinators and markers get offsets and the leader's epoch; only the producer's epoch is checked. Memory may be passed twofold.
	Internal
	// Follower batches were checked by their leader: offsets and epochs stay as they are and must continue the log.
	Follower
)

// Appended says where a batch went.
type Appended struct {
	BaseOffset, LastOffset int64
	// Duplicate says that the producer sent the batch before: the offsets are the original's, nothing was appended.
	Duplicate bool
	// Timestamp is the batch's greatest, the original's for a duplicate.
	Timestamp int64
	// End is the offset that WrittenOffset or SyncedOffset must reach before the batch may be acknowledged.
	End int64
}

// Append puts one batch, which the caller has validated, at the end of the log. Offsets and epoch are set in b itself. It makes no system call and never waits.
// Errors are model errors for the producer, ErrBudget, ErrNotContiguous, or the log's own failure; after an error the log is unchanged.
func (l *Log) Append(b batch.Batch, leaderEpoch int32, now time.Time, origin Origin) (Appended, error) {
	a, err := l.append(b, leaderEpoch, now, origin)
	if err == nil && !a.Duplicate {
		l.dirty()
	}
	return a, err
}

// AppendHeld is Append for a client whose appender calls Help or Pass of the directory before it waits for anything but WaitRoom: until then nobody is woken to write.
func (l *Log) AppendHeld(b batch.Batch, leaderEpoch int32, now time.Time, origin Origin) (Appended, error) {
	a, err := l.append(b, leaderEpoch, now, origin)
	if err == nil && !a.Duplicate {
		l.dir.Hold(l, &l.place)
	}
	return a, err
}

func (l *Log) append(b batch.Batch, leaderEpoch int32, now time.Time, origin Origin) (Appended, error) {
	if err := l.admit(b, now, origin); err != nil {
		return Appended{}, err
	}
	end := l.end.Load()
	if origin == Follower {
		if err := l.continues(b, end); err != nil {
			return Appended{}, err
		}
	} else {
		if latest := l.mu.epochs.latest(); leaderEpoch < latest { // only the appender changes epochs
			return Appended{}, failure(model.FencedLeaderEpoch, "log %s is in leader epoch %d, the append came in %d", l.name, latest, leaderEpoch)
		}
		if b.ProducerID() >= 0 {
			if p := l.mu.producers[b.ProducerID()]; p != nil && origin == Client {
				if a, ok := p.duplicate(b); ok {
					return Appended{BaseOffset: a.lastOffset - int64(a.offsetDelta), LastOffset: a.lastOffset, Duplicate: true, Timestamp: a.timestamp, End: a.lastOffset + 1}, nil
				}
			}
			if err := l.mu.producers.check(b, end, origin == Internal); err != nil {
				return Appended{}, err
			}
		}
		b.SetBaseOffset(end)
		b.SetPartitionLeaderEpoch(leaderEpoch)
	}
	s := (*l.segments.Load()).active()
	if l.mustRoll(s, b, now) {
		s = l.roll(b.BaseOffset(), now)
	}
	if err := l.reserve(s, s.size, len(b), origin != Client); err != nil {
		return Appended{}, err
	}
	l.publish(b, s, now)
	return Appended{BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), Timestamp: b.MaxTimestamp(), End: b.NextOffset()}, nil
}

// admit refuses what cannot be appended whatever the log holds.
func (l *Log) admit(b batch.Batch, now time.Time, origin Origin) error {
	if err := l.Err(); err != nil {
		return err
	}
	if origin == Client {
		if err := l.usable(); err != nil {
			return err
		}
		if l.dir.Full(now) {
			return failure(model.KafkaStorageError, "log directory %s has no space left: free some, or add a disk", l.dir.Path())
		}
		if limit := l.cfg.Load().SegmentBytes; int64(len(b)) > limit {
			return failure(model.RecordListTooLarge, "a batch of %d bytes does not fit a segment of %s, which may have %d (segment.bytes)", len(b), l.name, limit)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closing || l.mu.deleting || l.ended.Load() {
		return ErrClosed
	}
	return nil
}

// continues checks that a replicated batch follows what is there.
func (l *Log) continues(b batch.Batch, end int64) error {
	base := b.BaseOffset()
	if base < end || base > end && !l.mayHaveGaps() {
		return fmt.Errorf("log %s: %w: it begins at offset %d, the log ends at %d", l.name, ErrNotContiguous, base, end)
	}
	if latest := l.mu.epochs.latest(); b.PartitionLeaderEpoch() < latest {
		return fmt.Errorf("log %s: %w: it has leader epoch %d, the log %d", l.name, ErrNotContiguous, b.PartitionLeaderEpoch(), latest)
	}
	return nil
}

// mustRoll tells whether the batch needs a new segment, by Kafka's rules: size, time, a full index, an offset too far from the base.
func (l *Log) mustRoll(s *segment, b batch.Batch, now time.Time) bool {
	c := l.cfg.Load()
	if s.size == 0 {
		return b.LastOffset()-s.base > math.MaxInt32 && b.BaseOffset() != s.base
	}
	if s.size > min(c.SegmentBytes, maxSegmentBytes)-int64(len(b)) || b.LastOffset()-s.base > math.MaxInt32 {
		return true
	}
	if s.sparse.count() >= int64(c.SegmentIndexBytes/indexEntrySize) || s.sparse.timeCount() >= int64(c.SegmentIndexBytes/timeEntrySize)-1 {
		return true
	}
	waited := now.UnixMilli() - s.created
	if s.firstTimestamp != noTimestamp {
		waited = b.MaxTimestamp() - s.firstTimestamp
	}
	return waited > c.SegmentMs-s.jitter
}

// roll begins a new segment at the log's end. Its file, and what the old one still needs, come in the next round.
func (l *Log) roll(base int64, now time.Time) *segment {
	s := l.freshSegment(base, now)
	list := *l.segments.Load()
	next := append(append(make(segmentList, 0, len(list)+1), list...), s)
	old := list.active()
	l.mu.Lock()
	defer l.mu.Unlock()
	old.sparse.addTime(old.base, old.summary)
	l.mu.sealed = append(l.mu.sealed, old)
	s.snapshot = encodeSnapshot(l.mu.producers)
	l.sealTailLocked()
	l.segments.Store(&next)
	return s
}

func (l *Log) sealTailLocked() {
	if n := len(l.mu.tail); n > 0 {
		l.mu.tail[n-1].sealed = true
	}
}

// publish copies the batch into the memory that reserve found, and then shows it to everybody at once.
func (l *Log) publish(b batch.Batch, s *segment, now time.Time) {
	rest := []byte(b)
	for _, p := range l.pieces {
		rest = rest[copy(p.chunk.Buf[p.from:p.from+p.size], rest):]
	}
	interval := int64(l.cfg.Load().IndexIntervalBytes)
	l.mu.Lock()
	for _, p := range l.pieces {
		p.chunk.filled += p.size
		p.chunk.busy = false
		if p.fresh {
			l.mu.tail = append(l.mu.tail, p.chunk)
		}
	}
	at := s.size
	s.size += int64(len(b))
	s.modified = now.UnixMilli()
	s.summary.add(b)
	s.sparse.add(s.base, b.LastOffset(), at, len(b), interval, s.summary)
	if b.ProducerID() >= 0 {
		l.mu.producers.update(b)
		l.mu.changed = true
	}
	if e, ok := l.mu.epochs.assign(b.PartitionLeaderEpoch(), b.BaseOffset()); ok {
		l.mu.epochs, l.mu.epochsDirty = e, true
	}
	l.end.Store(b.NextOffset())
	l.mu.Unlock()
	clear(l.pieces)
	l.pieces = l.pieces[:0]
	l.dir.Share().Unwritten(int64(len(b)))
}

// add takes a batch's times into the summary.
func (s *summary) add(b batch.Batch) {
	ts := b.MaxTimestamp()
	if s.firstTimestamp == noTimestamp {
		s.firstTimestamp = ts
	}
	if ts > s.maxTimestamp {
		s.maxTimestamp, s.maxOffset = ts, b.LastOffset()
	}
}
