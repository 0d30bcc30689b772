package plog

import (
	"encoding/binary"
	"errors"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
)

// stateVersion is the version of a log's part of the manifest; see docs/format/manifest.md.
const stateVersion = 1

// logState is everything a log needs to open at its recovery point without opening a file.
type logState struct {
	id        model.TopicID
	segments  []segmentState // none when only the files tell
	epochs    epochs
	producers producers
	snapshot  int64 // offset of the newest snapshot on disk, -1 when there is none
}

// segmentState is one segment as of the recovery point.
type segmentState struct {
	base, size, created int64 // created: when the last one was made, when the others got their last batch
	summary
	entries, times int32 // in the index files
	since          int64 // bytes since the last index entry
	lastTime       int64
}

// Checkpoint implements dir.Log.
func (l *Log) Checkpoint(r *dir.Round, needs dir.Needs, e *dir.Entry) {
	if l.found != nil { // what was recorded stays recorded: of a damaged log for good, of one that is not proven until the round that builds on it
		e.RecoveryPoint, e.StartOffset, e.HighWatermark, e.State = l.found.RecoveryPoint, l.found.StartOffset, l.found.HighWatermark, l.found.State
		e.Cleaned = l.found.Cleaned
		l.filed = filed{}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	start := l.start.Load()
	if l.mu.cut != nil && l.mu.cut.fully && needs&dir.NeedRecovery == 0 { // it is the start of a log that the disk does not have yet
		start = l.durableStart.Load()
	}
	if start > 0 {
		e.StartOffset = start
	}
	l.filed = filed{needs: needs, start: start, recorded: l.recorded, clean: l.recordedClean}
	if !l.exists {
		return // nothing else on disk
	}
	if at := l.cleaned.Load(); at > 0 {
		e.Cleaned = at
	}
	if needs&(dir.NeedCleaned|dir.NeedRecovery) != 0 {
		l.filed.clean = max(0, e.Cleaned)
	}
	e.HighWatermark = l.CheckpointedHighWatermark()
	e.RecoveryPoint = l.mu.syncedMark.offset
	if needs&dir.NeedRecovery != 0 {
		e.State = l.encodeStateLocked()
		l.filed.recorded = e.RecoveryPoint
	}
	l.recorded, l.recordedClean = max(l.recorded, l.filed.recorded), max(l.recordedClean, l.filed.clean)
	l.recordedLeast = min(l.recordedLeast, l.filed.recorded)
}

// filed is what a checkpoint was given that is not known to be on disk yet.
type filed struct {
	needs           dir.Needs
	start           int64
	recorded, clean int64
}

// Checkpointed implements dir.Log.
func (l *Log) Checkpointed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.filed.needs&(dir.NeedStart|dir.NeedRecovery) != 0 {
		l.staged.start, l.staged.durable = l.filed.start, true // once the round that this belongs to has ended
	}
	if l.filed.needs&dir.NeedRecovery != 0 {
		l.recorded, l.recordedLeast = l.filed.recorded, l.filed.recorded
	}
	if l.filed.needs&(dir.NeedRecovery|dir.NeedCleaned) != 0 {
		l.recordedClean = l.filed.clean
	}
}

// encodeStateLocked writes the state at the synced mark. What the memory knows beyond it (epochs, producers) is cut off again by whoever recovers. The segments are left out when the position
// of the mark is not known, and while cleaned ones wait for their place: their sizes are those of files that have another name.
func (l *Log) encodeStateLocked() []byte {
	m := l.mu.syncedMark
	list := *l.segments.Load()
	for len(list) > 1 && list.active().base > m.base {
		list = list[:len(list)-1]
	}
	if m.at < 0 || len(l.mu.swaps) > 0 {
		list = nil
	}
	out := make([]byte, 0, 64+len(list)*72+len(l.mu.epochs)*12+len(l.mu.producers)*150)
	out = append(out, stateVersion)
	out = append(out, l.id[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(l.mu.snapshotAt))
	out = binary.BigEndian.AppendUint32(out, uint32(len(list)))
	for _, s := range list {
		x := segmentState{base: s.base, size: s.size, created: s.created, summary: s.summary, entries: s.sparse.fileEntries, times: s.sparse.fileTimes, since: s.sparse.since, lastTime: s.sparse.lastTime}
		if s.base == m.base {
			x.size, x.summary = m.at, m.summary
		} else {
			x.created = s.modified // all that still counts of its age
		}
		if s.base > m.base { // what is synced was deleted, to its end: of the segment that follows nothing counts yet
			x = segmentState{base: s.base, created: s.created, summary: emptySummary, lastTime: noTimestamp}
		}
		if s.sparse.fileLimit != 0 || s.sparse.rewrite {
			x.entries, x.times = -1, -1
		}
		out = x.append(out)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(l.mu.epochs)))
	for _, e := range l.mu.epochs {
		out = binary.BigEndian.AppendUint32(out, uint32(e.epoch))
		out = binary.BigEndian.AppendUint64(out, uint64(e.start))
	}
	return appendProducers(out, l.mu.producers, m.offset)
}

const segmentStateSize = 6*8 + 2*4 + 2*8

func (x *segmentState) append(out []byte) []byte {
	for _, v := range [...]int64{x.base, x.size, x.created, x.firstTimestamp, x.maxTimestamp, x.maxOffset} {
		out = binary.BigEndian.AppendUint64(out, uint64(v))
	}
	out = binary.BigEndian.AppendUint32(out, uint32(x.entries))
	out = binary.BigEndian.AppendUint32(out, uint32(x.times))
	out = binary.BigEndian.AppendUint64(out, uint64(x.since))
	return binary.BigEndian.AppendUint64(out, uint64(x.lastTime))
}

// appendProducers leaves out those who first wrote at or after an offset: whoever recovers to it must not look for them.
func appendProducers(out []byte, ps producers, before int64) []byte {
	n, at := uint32(0), len(out)
	out = binary.BigEndian.AppendUint32(out, 0)
	for id, p := range ps {
		if p.first > 0 && p.first >= before {
			continue
		}
		n++
		if p.marker >= before { // what it was before its marker the batches must tell: cutEnd drops a transaction that begins here
			p = &producer{epoch: p.epoch, coordinatorEpoch: p.coordinatorEpoch, timestamp: p.timestamp, txnFirst: before}
		}
		out = binary.BigEndian.AppendUint64(out, uint64(id))
		out = binary.BigEndian.AppendUint16(out, uint16(p.epoch))
		out = binary.BigEndian.AppendUint32(out, uint32(p.coordinatorEpoch))
		out = binary.BigEndian.AppendUint64(out, uint64(p.timestamp))
		out = binary.BigEndian.AppendUint64(out, uint64(p.txnFirst))
		out = append(out, byte(p.count))
		for _, a := range p.batches[:p.count] {
			out = binary.BigEndian.AppendUint32(out, uint32(a.lastSequence))
			out = binary.BigEndian.AppendUint32(out, uint32(a.offsetDelta))
			out = binary.BigEndian.AppendUint64(out, uint64(a.lastOffset))
			out = binary.BigEndian.AppendUint64(out, uint64(a.timestamp))
		}
	}
	binary.BigEndian.PutUint32(out[at:], n)
	return out
}

var errState = errors.New("the manifest's state of the log is not usable")

// cursor reads big-endian fields; bad is set when the bytes end early.
type cursor struct {
	p   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if len(c.p) < n {
		c.bad = true
		c.p = nil
		return make([]byte, n)
	}
	out := c.p[:n]
	c.p = c.p[n:]
	return out
}

func (c *cursor) i64() int64 { return int64(binary.BigEndian.Uint64(c.take(8))) }
func (c *cursor) i32() int32 { return int32(binary.BigEndian.Uint32(c.take(4))) }
func (c *cursor) i16() int16 { return int16(binary.BigEndian.Uint16(c.take(2))) }

// count reads a number of things that take at least size bytes each.
func (c *cursor) count(size int) int {
	n := int64(uint32(c.i32()))
	if n*int64(size) > int64(len(c.p)) {
		c.bad = true
		return 0
	}
	return int(n)
}

func parseState(data []byte) (*logState, error) {
	c := &cursor{p: data}
	if len(data) == 0 || c.take(1)[0] != stateVersion {
		return nil, errState
	}
	st := &logState{id: model.TopicID(c.take(16)), snapshot: c.i64()}
	for range c.count(segmentStateSize) {
		x := segmentState{base: c.i64(), size: c.i64(), created: c.i64()}
		x.summary = summary{c.i64(), c.i64(), c.i64()}
		x.entries, x.times, x.since, x.lastTime = c.i32(), c.i32(), c.i64(), c.i64()
		if n := len(st.segments); x.base < 0 || x.size < 0 || x.size > maxSegmentBytes || n > 0 && x.base <= st.segments[n-1].base {
			return nil, errState
		}
		st.segments = append(st.segments, x)
	}
	for range c.count(12) {
		e := epochStart{c.i32(), c.i64()}
		if n := len(st.epochs); n > 0 && (e.epoch <= st.epochs[n-1].epoch || e.start < st.epochs[n-1].start) {
			return nil, errState
		}
		st.epochs = append(st.epochs, e)
	}
	if n := c.count(31); n > 0 {
		st.producers = make(producers, n)
		for range n {
			id, p := c.i64(), newProducer()
			p.epoch, p.coordinatorEpoch = c.i16(), c.i32()
			timestamp, txnFirst, count := c.i64(), c.i64(), c.take(1)[0]
			if count > rememberedBatches {
				return nil, errState
			}
			for range count {
				p.add(appended{lastSequence: c.i32(), offsetDelta: c.i32(), lastOffset: c.i64(), timestamp: c.i64()})
			}
			p.timestamp, p.txnFirst = timestamp, txnFirst
			st.producers[id] = p
		}
	}
	if c.bad || len(c.p) != 0 {
		return nil, errState
	}
	return st, nil
}
