package plog

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// fromFiles loads the log from its segments and indexes. Leader epochs and producers are those of the manifest's state, which was on disk as a whole; without one they come from the leader-epoch
// file and snapshots, as Kafka has it.
func (r *recovery) fromFiles(st *logState) error {
	l := r.log
	if len(r.files.bases) == 0 {
		if err := r.complete(mark{offset: r.start, base: r.start}, "its segments are missing"); err != nil {
			return err
		}
		l.begin(r.start, time.Now())
		return nil
	}
	nowMs := time.Now().UnixMilli()
	for i, base := range r.files.bases {
		s := newSegment(base, nowMs)
		s.modified = 0 // only the file knows
		s.exists, s.size, s.sparse.lastTime = true, r.files.segments[i].Size, noTimestamp
		r.list = append(r.list, s)
	}
	l.segments.Store(&r.list) // for the readers below
	first := max(0, r.list.find(r.point))
	var err error
	if st != nil {
		known := min(r.point, r.list[first].base) // from the first segment on the batches tell
		l.mu.epochs, l.mu.producers = st.epochs.cutEnd(known), st.producers
		if base := r.list[0].base; r.point < base { // what lay between was deleted
			l.mu.producers, _ = l.newestSnapshot(r.files.snapshots, base)
			known = base
		}
		err = r.lookBack(known)
	} else {
		first, err = r.readHints(first)
	}
	if err != nil {
		return err
	}
	for i, s := range r.list[:first] {
		if err := r.trustSealed(s, r.list[i+1].base); err != nil {
			return err
		}
	}
	for _, s := range r.list[first:] {
		s.sparse.rewrite = true
	}
	s := r.list[first]
	l.mu.epochs = l.mu.epochs.cutEnd(s.base + 1)
	return r.scan(mark{offset: s.base, base: s.base, summary: emptySummary})
}

// readHints takes what the leader-epoch file and the snapshots tell, and returns the segment from which on the batches must tell the rest: first, or one before it.
func (r *recovery) readHints(first int) (int, error) {
	l := r.log
	e, err := r.readEpochs()
	if err != nil {
		return 0, err
	}
	if e == nil {
		first = 0
	}
	ps, from := l.newestSnapshot(r.files.snapshots, max(r.point, r.list[0].base)) // what lies below the first segment was deleted, not lost
	first = max(0, min(first, r.list.find(from)))
	l.mu.producers, l.mu.epochs, r.hearsay = ps, e, true
	return first, nil
}

// readEpochs reads the leader-epoch file; nil when the batches must tell.
func (r *recovery) readEpochs() (epochs, error) {
	l := r.log
	data, err := vfs.ReadSmall(l.dir.FS(), filepath.Join(l.path, epochFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := parseEpochs(data)
	if err != nil {
		l.dir.Logger().Warn("the leader epochs are read from the batches", "log", l.name, "error", err)
		return nil, nil
	}
	return e, nil
}

// trustSealed takes a sealed segment below the recovery point as it is; what it knows of its times comes from the time index, or from its batches.
func (r *recovery) trustSealed(s *segment, next int64) error {
	l := r.log
	if n := r.files.sizes[fileName(s.base, indexSuffix)]; n%indexEntrySize == 0 {
		s.sparse.fileEntries = int32(n / indexEntrySize)
	}
	if n := r.files.sizes[fileName(s.base, timeIndexSuffix)]; n%timeEntrySize == 0 {
		s.sparse.fileTimes = int32(n / timeEntrySize)
	}
	if sum, ok := l.finalSummary(s, s.sparse.fileTimes); ok {
		s.summary = sum
		return nil
	}
	end := s.base
	err := l.walk(s, 0, s.size, func(b batch.Batch, _ int64) bool {
		s.summary.add(b)
		end = b.NextOffset()
		return true
	})
	if err == nil && end != next && !l.mayHaveGaps() {
		if l.missingEnd(s, s.size, next-1, next) == next {
			err = &RotError{Log: l.name, Segment: s.base, Position: s.size, Until: s.size, From: end, To: next, Detail: "the segment ends there", marked: true}
		}
	}
	return err
}

// newestSnapshot reads the newest usable one of the snapshots at or below an offset, and not below the log's first segment: what became of the producers and their transactions in what was deleted
// between nobody knows. Without one the state is empty as of that segment: who is not known may begin anywhere.
func (l *Log) newestSnapshot(offsets []int64, to int64) (ps producers, from int64) {
	base := (*l.segments.Load())[0].base
	offsets = slices.Sorted(slices.Values(offsets))
	for _, offset := range slices.Backward(offsets) {
		if offset < base || offset > to {
			continue
		}
		data, err := vfs.ReadSmall(l.dir.FS(), l.fileName(offset, snapshotSuffix))
		if err == nil {
			if ps, err = parseSnapshot(data); err == nil {
				ps.endedBelow(offset)
				return ps, offset
			}
		}
		l.dir.Logger().Warn("a producer snapshot is passed over", "log", l.name, "offset", offset, "error", err)
	}
	return nil, base
}
