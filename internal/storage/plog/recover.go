package plog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// recovery brings a log from what the disk has to where it may go on.
type recovery struct {
	log   *Log
	found *dir.Found
	files inventory
	start int64 // offset below which everything was deleted
	point int64 // recovery point: offset below which everything was synced
	from  mark  // where the scan began
	seen  mark  // the recovery point, once the scan came by
	// hearsay: the leader epochs are those of a file, which may be of a past that was cut, or know an epoch that got no record and was forgotten. The first batch knows better.
	hearsay bool

	list segmentList
}

// run loads the log from its state in the manifest, or from its files alone.
func (r *recovery) run(st *logState) error {
	l := r.log
	if err := r.dropDeleted(st); err != nil {
		return err
	}
	usable := st != nil && len(st.segments) > 0 && (r.anew(st) || r.matches(st))
	if st != nil && len(st.segments) > 0 && !usable {
		l.dir.Logger().Warn("the log's files are not as the manifest has them: it is read from its files", "log", l.name)
	}
	var err error
	switch {
	case usable && r.anew(st):
		err = r.beginAnew()
	case len(r.files.bases) > 0 && r.files.bases[0] > r.start && (!usable || st.segments[0].base > r.start):
		err = r.headless()
	case usable:
		err = r.fromState(st)
	default:
		err = r.fromFiles(st)
	}
	if rot, ok := asRot(err); ok {
		return r.openDamaged(rot)
	}
	if err != nil {
		return err
	}
	n := len(r.files.snapshots)
	if err := r.removeSnapshots(l.end.Load()); err != nil {
		return err
	}
	if len(r.files.snapshots) < n {
		if err := l.syncDirectory(); err != nil {
			return err
		}
	}
	r.noteSnapshots()
	return nil
}

// dropDeleted removes segments that lie wholly below the start offset: their deletion was interrupted, or it was not their time yet.
func (r *recovery) dropDeleted(st *logState) error {
	for st != nil && len(st.segments) > 1 && st.segments[1].base <= r.start {
		st.segments = st.segments[1:]
	}
	n := 0
	for n+1 < len(r.files.bases) && r.files.bases[n+1] <= r.start {
		n++
	}
	for _, base := range r.files.bases[:n] {
		if err := r.removeSegment(base); err != nil {
			return err
		}
	}
	r.files.bases, r.files.segments = r.files.bases[n:], r.files.segments[n:]
	return nil
}

func (r *recovery) removeSegment(base int64) error {
	for _, suffix := range segmentSuffixes {
		if err := removeIfThere(r.log.dir.FS(), r.log.fileName(base, suffix)); err != nil {
			return err
		}
	}
	return nil
}

// anew tells whether the log was about to be started anew, empty, when the node stopped: then nothing in its files counts.
func (r *recovery) anew(st *logState) bool {
	s := st.segments[0]
	_, there := r.files.sizes[fileName(s.base, logSuffix)]
	return len(st.segments) == 1 && s.size == 0 && !there && s.base == r.start && s.base == r.point
}

// beginAnew finishes what was begun.
func (r *recovery) beginAnew() error {
	for _, base := range r.files.bases {
		if err := r.removeSegment(base); err != nil {
			return err
		}
	}
	if err := r.removeSnapshots(NoOffset); err != nil {
		return err
	}
	if err := r.log.syncDirectory(); err != nil {
		return err
	}
	r.log.begin(r.start, time.Now())
	return nil
}

// headless ends the recovery of a log whose first segments are missing, although nothing was deleted: they never reached the disk, and so nothing that follows counts.
func (r *recovery) headless() error {
	const reason = "the segments before are missing"
	end := mark{offset: r.start, base: r.start, summary: emptySummary}
	if err := r.complete(end, reason); err != nil {
		return err
	}
	for _, base := range r.files.bases {
		if err := r.setSegmentAside(newSegment(base, 0)); err != nil {
			return err
		}
	}
	if err := r.removeSnapshots(NoOffset); err != nil {
		return err
	}
	if err := r.log.syncDirectory(); err != nil {
		return err
	}
	r.log.dir.Logger().Warn("the log's first segments never reached the disk: what follows is kept aside; nothing of it was acknowledged", "log", r.log.name, "directory", r.log.dir.Path(), "start", r.start)
	r.log.begin(r.start, time.Now())
	return nil
}

// matches tells whether the sealed segments are as the state has them, and the last one has at least its bytes.
func (r *recovery) matches(st *logState) bool {
	if r.start > r.point { // the log was started anew behind its recovery point, and that is all the state knows
		return false
	}
	last := len(st.segments) - 1
	for i, s := range st.segments {
		size, ok := r.files.sizes[fileName(s.base, logSuffix)]
		switch {
		case i == last && s.size == 0 && !ok: // it was about to be made
			return len(r.files.bases) == last || r.files.bases[last] > s.base
		case i >= len(r.files.bases) || r.files.bases[i] != s.base:
			return false
		case size < s.size || i < last && size != s.size:
			return false
		}
	}
	return true
}

// fromState opens no file unless something was written since.
func (r *recovery) fromState(st *logState) error {
	l := r.log
	l.mu.epochs, l.mu.producers, l.mu.snapshotAt = st.epochs, st.producers, st.snapshot
	for _, x := range st.segments {
		s := newSegment(x.base, x.created)
		s.size, s.summary = x.size, x.summary
		_, s.exists = r.files.sizes[fileName(x.base, logSuffix)]
		s.sparse = sparse{lastTime: x.lastTime, since: x.since, fileEntries: x.entries, fileTimes: x.times}
		if x.entries < 0 || !r.hasIndexes(x) {
			s.sparse = sparse{lastTime: noTimestamp}
		}
		r.list = append(r.list, s)
	}
	last := r.list.active()
	from := mark{r.point, last.base, last.size, last.summary}
	if err := r.lookBack(from.offset); err != nil {
		return err
	}
	known := len(r.list)
	if !last.exists {
		known--
	}
	if len(r.files.bases) == known && (!last.exists || r.files.sizes[fileName(last.base, logSuffix)] == last.size) {
		l.mu.epochs = l.mu.epochs.cutEnd(from.offset)
		return r.settle(from, from)
	}
	return r.scan(from)
}

// lookBack brings the state's producers to the recovery point. The state may know of batches behind it that the crash took back; of a producer of whom it knows nothing else, the
// batches before the recovery point tell, the nearest first.
func (r *recovery) lookBack(to int64) error {
	l := r.log
	known := maps.Clone(l.mu.producers)
	if l.mu.producers.cutEnd(to) {
		return nil
	}
	l.segments.Store(&r.list) // for the readers below
	missing := known.without(l.mu.producers)
	whole := false // the last batches do not tell where a transaction began
	for _, read := range []func(int64) (producers, error){l.recentProducers, l.rebuildProducers} {
		found, err := read(to)
		if err != nil {
			return err
		}
		maps.DeleteFunc(found, func(id int64, p *producer) bool { return missing[id] == nil || !whole && p.txnFirst != NoOffset })
		whole = true
		l.mergeProducers(found)
		if missing = missing.without(found); len(missing) == 0 {
			return nil
		}
	}
	return nil
}

// hasIndexes tells whether the index files are at least as long as the state says.
func (r *recovery) hasIndexes(x segmentState) bool {
	return r.files.sizes[fileName(x.base, indexSuffix)] >= int64(x.entries)*indexEntrySize && r.files.sizes[fileName(x.base, timeIndexSuffix)] >= int64(x.times)*timeEntrySize
}

// settle ends a recovery: everything up to end is there, everything up to synced is safe.
func (r *recovery) settle(synced, end mark) error {
	l := r.log
	if l.dir.Mutants()&dir.SkipRecoverySync != 0 {
		synced = end
	}
	if r.start > end.offset { // all that is left was deleted, and the log went on behind it
		for _, s := range r.list {
			if err := r.removeSegment(s.base); err != nil {
				return err
			}
		}
		if err := r.removeSnapshots(NoOffset); err != nil {
			return err
		}
		if err := l.syncDirectory(); err != nil {
			return err
		}
		l.mu.producers, l.mu.epochs = nil, nil // only a log that is begun anew starts behind its end
		l.begin(r.start, time.Now())
		return nil
	}
	r.ages()
	l.segments.Store(&r.list)
	l.setAll(end)
	l.mu.syncedMark = synced
	l.synced.Store(synced.offset)
	start := max(r.start, r.list[0].base)
	l.mu.epochs = l.mu.epochs.cutStart(start)
	l.start.Store(start)
	l.durableStart.Store(start)
	return nil
}

// ages finds out how old the segments are whose records have no times, and draws the active one's jitter.
func (r *recovery) ages() {
	l := r.log
	last := r.list.active()
	last.jitter = l.cfg.Load().jitter()
	for _, s := range r.list {
		if s.maxTimestamp >= 0 || !s.exists || s != last && s.modified > 0 {
			continue
		}
		s.modified = time.Now().UnixMilli()
		if info, err := l.dir.FS().Stat(l.fileName(s.base, logSuffix)); err == nil {
			s.modified = info.ModTime.UnixMilli()
		}
	}
}

// scan reads and checks everything from a mark on, cuts at the first bad batch, and takes what it keeps into indexes, epochs and producers.
func (r *recovery) scan(from mark) error {
	l := r.log
	began := time.Now()
	r.from = from
	r.adoptLater()
	end := from
	// What the state knows beyond its recovery point may never have reached the disk: the batches tell.
	l.mu.epochs = l.mu.epochs.cutEnd(from.offset)
	l.mu.producers.cutEnd(from.offset)
	epoch := l.mu.epochs.latest()
	var scanned int64
	for i := 0; i < len(r.list); i++ {
		s := r.list[i]
		if s.base < from.base || !s.exists {
			continue
		}
		at := int64(0)
		if s.base == from.base {
			at = from.at
		} else if s.base != end.offset && (s.base < end.offset || !l.mayHaveGaps()) && !r.missing(end, s.base) {
			return r.cut(end, r.list[i:], nil, fmt.Sprintf("segment %020d does not begin at offset %d, where the one before it ends", s.base, end.offset))
		}
		v := verifier{recovery: r, segment: s, expect: max(end.offset, s.base), epoch: epoch}
		good, bad, err := r.verify(&v, i, at)
		if err != nil {
			return err
		}
		scanned += good - at
		s.size, s.unsynced, s.uncovered = good, true, true
		epoch = v.epoch
		end = mark{v.expect, s.base, good, s.summary}
		if bad != "" {
			return r.cut(end, r.list[i+1:], s, bad)
		}
	}
	if err := r.complete(end, "the log ends there"); err != nil {
		return err
	}
	l.dir.Logger().Info("log recovered", "log", l.name, "from", from.offset, "end", end.offset, "bytes", scanned, "seconds", time.Since(began).Seconds())
	return r.keep(end)
}

// adoptLater takes the segments into the list that the state does not know.
func (r *recovery) adoptLater() {
	last := r.list.active().base
	for i, base := range r.files.bases {
		if base > last {
			s := newSegment(base, time.Now().UnixMilli())
			s.exists, s.size, s.sparse.lastTime = true, r.files.segments[i].Size, noTimestamp
			r.list = append(r.list, s)
		}
	}
}

// complete refuses an end below what was synced and is not deleted.
func (r *recovery) complete(end mark, reason string) error {
	from := max(end.offset, r.start)
	if from >= r.point || r.log.dir.Mutants()&dir.CutRot != 0 {
		return nil
	}
	return &RotError{Log: r.log.name, Segment: end.base, Position: end.at, Until: end.at, From: from, To: r.point, Detail: reason, marked: true}
}

// keep ends a scan.
func (r *recovery) keep(end mark) error {
	r.trim(end)
	synced := end
	if r.point < end.offset {
		synced = r.pointMark()
	}
	return r.settle(synced, end)
}

// pointMark is the recovery point's place. When no batch begins there its position is unknown, which the next round, that syncs everything, heals.
func (r *recovery) pointMark() mark {
	switch r.point {
	case r.from.offset:
		return r.from
	case r.seen.offset:
		return r.seen
	}
	m := mark{offset: r.point, base: r.list[0].base, at: -1, summary: emptySummary}
	if i := r.list.find(r.point); i >= 0 {
		m.base = r.list[i].base
	}
	return m
}

// cut ends a scan at end: s is cut there, and the segments in rest cannot follow. What is cut was never acknowledged; it is kept aside.
func (r *recovery) cut(end mark, rest segmentList, s *segment, reason string) error {
	l := r.log
	if err := r.complete(end, reason); err != nil {
		return err
	}
	l.dir.Logger().Warn("the log's end was not complete when the node stopped: it is cut, and what is cut kept aside; nothing of it was acknowledged",
		"log", l.name, "directory", l.dir.Path(), "end", end.offset, "segment", end.base, "position", end.at, "reason", reason)
	// From the end on, so that a crash in between leaves no hole: where compaction leaves gaps, what is behind one would be believed.
	for _, x := range slices.Backward(rest) {
		if err := r.setSegmentAside(x); err != nil {
			return err
		}
		if err := l.dir.FS().SyncDir(l.path); err != nil {
			l.dir.Offline(err)
			return err
		}
	}
	kept := len(r.list) - len(rest)
	r.list = r.list[:kept:kept]
	if s != nil {
		if size := r.files.sizes[fileName(s.base, logSuffix)]; size > end.at {
			if err := r.setAside(s, end.at, size); err != nil {
				return err
			}
		}
	}
	if err := l.dir.FS().SyncDir(l.path); err != nil {
		l.dir.Offline(err)
		return err
	}
	return r.keep(end)
}

// trim takes from epochs, producers and segment what lies beyond the end.
func (r *recovery) trim(end mark) {
	l := r.log
	l.mu.epochs = l.mu.epochs.cutEnd(end.offset)
	l.mu.producers.cutEnd(end.offset)
	l.mu.epochsDirty, l.mu.changed = true, true
	for _, s := range r.list[:len(r.list)-1] {
		s.sparse.addTime(s.base, s.summary)
		if len(s.sparse.entries) > 0 || len(s.sparse.times) > 0 {
			l.mu.sealed = append(l.mu.sealed, s)
		}
	}
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeSnapshots removes the producers' snapshots beyond the end, of a future that the crash took back: when the log has grown there again, they would tell of batches that it never had.
func (r *recovery) removeSnapshots(end int64) error {
	var kept []int64
	for _, offset := range r.files.snapshots {
		if offset <= end {
			kept = append(kept, offset)
			continue
		}
		if err := removeIfThere(r.log.dir.FS(), r.log.fileName(offset, snapshotSuffix)); err != nil {
			return err
		}
	}
	r.files.snapshots = kept
	return nil
}

// noteSnapshots finds out which snapshots belong to no segment.
func (r *recovery) noteSnapshots() {
	l := r.log
	for _, offset := range r.files.snapshots {
		if !slices.ContainsFunc(r.list, func(s *segment) bool { return s.base == offset }) {
			l.mu.strays = append(l.mu.strays, offset)
		}
	}
}

// verifier checks the batches of one segment's file and takes them into the log's memory.
type verifier struct {
	recovery *recovery
	segment  *segment
	expect   int64
	epoch    int32
}

// run checks from a position to the end of the file. It returns how far the bytes are good, and why they are not further.
func (v *verifier) run(at, size int64) (good int64, bad string, err error) {
	l := v.recovery.log
	f, err := l.dir.FS().OpenRead(l.fileName(v.segment.base, logSuffix))
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	for good = at; good < size; {
		p := buffer[:min(int64(len(buffer)), size-good)]
		if err := vfs.ReadFull(f, p, good); err != nil {
			return good, "", err
		}
		took, reason := v.take(p, good)
		good += took
		if took == 0 && reason == "" {
			took, reason, err = v.takeLarge(f, buffer[:], good, size)
			good += took
		}
		if err != nil || reason != "" {
			return good, reason, err
		}
	}
	return good, "", nil
}

// take checks the whole batches at the beginning of p.
func (v *verifier) take(p []byte, at int64) (took int64, reason string) {
	for {
		b, rest, err := batch.Next(p)
		if errors.Is(err, batch.ErrTruncated) {
			return took, ""
		}
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			return took, err.Error()
		}
		if reason := v.follows(b); reason != "" {
			return took, reason
		}
		v.adopt(b, at+took)
		took += int64(len(b))
		p = rest
	}
}

// takeLarge checks one batch that is larger than the buffer, piece by piece.
func (v *verifier) takeLarge(f vfs.File, buffer []byte, at, size int64) (took int64, reason string, err error) {
	if size-at < batch.HeaderSize {
		return 0, fmt.Sprintf("%d bytes are less than a batch's header", size-at), nil
	}
	var header [batch.HeaderSize]byte
	if err := vfs.ReadFull(f, header[:], at); err != nil {
		return 0, "", err
	}
	b, err := checkHeader(header[:])
	if err != nil {
		return 0, err.Error(), nil
	}
	whole := int64(b.Size())
	if whole > size-at {
		return 0, fmt.Sprintf("a batch of %d bytes has %d of them", whole, size-at), nil
	}
	sum := uint32(0)
	for p := at + crcFrom; p < at+whole; {
		n := min(int64(len(buffer)), at+whole-p)
		if err := vfs.ReadFull(f, buffer[:n], p); err != nil {
			return 0, "", err
		}
		sum = crc32.Update(sum, castagnoli, buffer[:n])
		p += n
	}
	if sum != b.CRC() {
		return 0, fmt.Sprintf("stored CRC %08x, computed %08x", b.CRC(), sum), nil
	}
	if reason := v.follows(b); reason != "" {
		return 0, reason, nil
	}
	v.adopt(b, at)
	return whole, "", nil
}

// adopt takes a checked batch into the log's memory.
func (v *verifier) adopt(b batch.Batch, at int64) {
	l, s := v.recovery.log, v.segment
	if b.BaseOffset() == v.recovery.point {
		v.recovery.seen = mark{b.BaseOffset(), s.base, at, s.summary}
	}
	s.summary.add(b)
	s.sparse.add(s.base, b.LastOffset(), at, b.Size(), int64(l.cfg.Load().IndexIntervalBytes), s.summary)
	l.mu.producers.update(b)
	if e, ok := l.mu.epochs.assign(b.PartitionLeaderEpoch(), b.BaseOffset()); ok {
		l.mu.epochs = e
	}
	v.expect, v.epoch = b.NextOffset(), b.PartitionLeaderEpoch()
}

// follows says why a sound batch cannot stand where it stands.
func (v *verifier) follows(b batch.Batch) string {
	if r := v.recovery; r.hearsay {
		r.hearsay = false
		l := r.log
		l.mu.epochs = slices.DeleteFunc(l.mu.epochs, func(e epochStart) bool { return e.epoch > b.PartitionLeaderEpoch() })
		v.epoch = l.mu.epochs.latest()
	}
	switch {
	case b.BaseOffset() < v.expect, b.BaseOffset() > v.expect && !v.recovery.log.mayHaveGaps():
		return fmt.Sprintf("a batch begins at offset %d where %d was expected", b.BaseOffset(), v.expect)
	case b.LastOffsetDelta() < 0:
		return "a batch ends before it begins"
	case b.PartitionLeaderEpoch() < v.epoch:
		return fmt.Sprintf("a batch has leader epoch %d after %d", b.PartitionLeaderEpoch(), v.epoch)
	}
	return ""
}
