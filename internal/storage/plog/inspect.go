package plog

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ottla/ottla/internal/kafka/model"
)

// What follows reads a log's small files for whoever looks at them without opening the log. It judges the bytes alone and changes nothing.

// The kinds of files of a log, as their names end.
const (
	LogSuffix       = logSuffix
	IndexSuffix     = indexSuffix
	TimeIndexSuffix = timeIndexSuffix
	SnapshotSuffix  = snapshotSuffix
	TxnIndexSuffix  = txnIndexSuffix
	DeletedSuffix   = deletedSuffix
	CutSuffix       = cutSuffix
	EpochFile       = epochFile
	IdentityFile    = identityFile
	MaxSegmentBytes = maxSegmentBytes
	IndexEntrySize  = indexEntrySize
	TimeEntrySize   = timeEntrySize
)

// ParseFileName reads the offset from the name of a segment's file or snapshot; ok is false for every other name.
func ParseFileName(name string) (offset int64, suffix string, ok bool) {
	suffix = filepath.Ext(name)
	switch suffix {
	case logSuffix, indexSuffix, timeIndexSuffix, snapshotSuffix, txnIndexSuffix:
		offset, ok = offsetOf(name, suffix)
	}
	return offset, suffix, ok
}

// FileName is the inverse of ParseFileName.
func FileName(offset int64, suffix string) string { return fileName(offset, suffix) }

// EpochStart says at which offset a leader epoch begins.
type EpochStart struct {
	Epoch int32
	Start int64
}

// ParseEpochs reads a leader-epoch-checkpoint.
func ParseEpochs(data []byte) ([]EpochStart, error) {
	e, err := parseEpochs(data)
	return e.exported(), err
}

func (e epochs) exported() []EpochStart {
	out := make([]EpochStart, len(e))
	for i, x := range e {
		out[i] = EpochStart{x.epoch, x.start}
	}
	return out
}

// StoredProducer is one producer in a snapshot or in the manifest.
type StoredProducer struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	LastTimestamp    int64
	TxnStartOffset   int64 // NoOffset when no transaction is open
	Batches          []StoredBatch
}

// StoredBatch is what is remembered of a producer's batch.
type StoredBatch struct {
	FirstSequence, LastSequence int32
	LastOffset                  int64
	Timestamp                   int64
}

// ParseSnapshot reads a producer snapshot, sorted by producer id.
func ParseSnapshot(data []byte) ([]StoredProducer, error) {
	ps, err := parseSnapshot(data)
	return ps.exported(), err
}

func (ps producers) exported() []StoredProducer {
	out := make([]StoredProducer, 0, len(ps))
	for _, id := range ps.ids() {
		p := ps[id]
		x := StoredProducer{ProducerID: id, ProducerEpoch: p.epoch, CoordinatorEpoch: p.coordinatorEpoch, LastTimestamp: p.timestamp, TxnStartOffset: p.txnFirst}
		for _, a := range p.batches[:p.count] {
			x.Batches = append(x.Batches, StoredBatch{a.firstSequence(), a.lastSequence, a.lastOffset, a.timestamp})
		}
		out = append(out, x)
	}
	return out
}

// StoredState is a log's part of the manifest.
type StoredState struct {
	ID        model.TopicID
	Segments  []StoredSegment
	Epochs    []EpochStart
	Producers []StoredProducer
	Snapshot  int64 // offset of the newest snapshot on disk, -1 when there is none
}

// StoredSegment is a segment as the manifest has it. Size is exact but for the last one, whose size is the position of the recovery point.
type StoredSegment struct {
	Base, Size, CreatedMs                   int64
	FirstTimestamp, MaxTimestamp, MaxOffset int64
	IndexEntries, TimeEntries               int32 // in the index files; -1 when those are not to be used
}

// ParseState reads a log's part of the manifest.
func ParseState(data []byte) (*StoredState, error) {
	st, err := parseState(data)
	if err != nil {
		return nil, err
	}
	out := &StoredState{ID: st.id, Epochs: st.epochs.exported(), Producers: st.producers.exported(), Snapshot: st.snapshot}
	for _, s := range st.segments {
		out.Segments = append(out.Segments, StoredSegment{s.base, s.size, s.created, s.firstTimestamp, s.maxTimestamp, s.maxOffset, s.entries, s.times})
	}
	return out, nil
}

// ErrNeverComplete says of a partition.metadata that nothing in its log was ever acknowledged.
var ErrNeverComplete = errTorn

// ParseIdentity reads a partition.metadata: the topic's id.
func ParseIdentity(data []byte) (model.TopicID, error) { return parseIdentity(data) }

// IndexEntry is one entry of an offset index: the batch at the position ends with the offset.
type IndexEntry struct{ Offset, Position int64 }

// ParseIndexEntry reads one entry of the index of the segment with that base offset.
func ParseIndexEntry(p []byte, base int64) IndexEntry {
	e := parseEntry(p)
	return IndexEntry{base + int64(e.offset), int64(e.at)}
}

// TimeEntry is one entry of a time index: no batch up to the one that ends with the offset has a greater timestamp.
type TimeEntry struct{ Timestamp, Offset int64 }

// ParseTimeEntry reads one entry of the time index of the segment with that base offset.
func ParseTimeEntry(p []byte, base int64) TimeEntry {
	e := parseTime(p)
	return TimeEntry{e.timestamp, base + int64(e.offset)}
}

// ParseCutName reads the name of a file that recovery made of what it cut: the segment and the position where the bytes stood.
func ParseCutName(name string) (base, position int64, ok bool) {
	stem, isCut := strings.CutSuffix(name, cutSuffix)
	parts := strings.Split(stem, ".")
	if !isCut || len(parts) != 3 {
		return 0, 0, false
	}
	base, ok = offsetOf(parts[0], "")
	if !ok {
		return 0, 0, false
	}
	position, err := strconv.ParseInt(parts[1], 10, 64)
	_, unnumbered := strconv.ParseUint(parts[2], 10, 31)
	return base, position, err == nil && position >= 0 && unnumbered == nil
}
