package logfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/plog"
)

// Entry is one thing that Dump or Cat found: a line of text, or a line of JSON with a field "kind" that says which of the types below it is.
type Entry interface{ Text() string }

// FileEntry begins what a file has.
type FileEntry struct {
	Kind  string `json:"kind"` // "file"
	Path  string `json:"path"`
	Type  string `json:"type"`
	Bytes int64  `json:"bytes"`
}

// Text implements Entry.
func (e FileEntry) Text() string { return fmt.Sprintf("# %s: %s, %d bytes", e.Path, e.Type, e.Bytes) }

// BatchEntry is the header of one record batch.
type BatchEntry struct {
	Kind             string `json:"kind"` // "batch"
	BaseOffset       int64  `json:"base_offset"`
	LastOffset       int64  `json:"last_offset"`
	Position         int64  `json:"position"`
	Bytes            int    `json:"bytes"`
	Count            int32  `json:"count"`
	Magic            int8   `json:"magic"`
	CRC              uint32 `json:"crc"`
	Codec            string `json:"compression"`
	LeaderEpoch      int32  `json:"partition_leader_epoch"`
	TimestampType    string `json:"timestamp_type"`
	BaseTimestamp    int64  `json:"base_timestamp"`
	MaxTimestamp     int64  `json:"max_timestamp"`
	ProducerID       int64  `json:"producer_id"`
	ProducerEpoch    int16  `json:"producer_epoch"`
	BaseSequence     int32  `json:"base_sequence"`
	LastSequence     int32  `json:"last_sequence"`
	Transactional    bool   `json:"transactional"`
	Control          bool   `json:"control"`
	DeleteHorizonMs  *int64 `json:"delete_horizon_ms,omitempty"`
	AttributesNotSet int16  `json:"unknown_attributes,omitempty"` // bits without a meaning
}

// knownAttributes are the bits of a batch's attributes that have a meaning.
const knownAttributes = 0x7f

func batchEntry(b batch.Batch, position int64) BatchEntry {
	e := BatchEntry{
		Kind: "batch", BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), Position: position, Bytes: b.Size(), Count: b.RecordCount(), Magic: b.Magic(), CRC: b.CRC(),
		Codec: b.Codec().String(), LeaderEpoch: b.PartitionLeaderEpoch(), TimestampType: b.TimestampType().String(), BaseTimestamp: b.BaseTimestamp(), MaxTimestamp: b.MaxTimestamp(),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(), LastSequence: b.LastSequence(), Transactional: b.IsTransactional(),
		Control: b.IsControl(), AttributesNotSet: b.Attributes() &^ knownAttributes,
	}
	if b.HasDeleteHorizon() {
		e.DeleteHorizonMs = new(b.BaseTimestamp())
	}
	return e
}

// Text implements Entry.
func (e BatchEntry) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "offsets %d-%d  position %d  bytes %d  records %d  crc %08x  magic %d  %s  epoch %d  %s %s to %s", e.BaseOffset, e.LastOffset, e.Position, e.Bytes, e.Count, e.CRC, e.Magic, e.Codec,
		e.LeaderEpoch, e.TimestampType, date(e.BaseTimestamp), date(e.MaxTimestamp))
	if e.ProducerID >= 0 {
		fmt.Fprintf(&b, "  producer %d epoch %d sequences %d-%d", e.ProducerID, e.ProducerEpoch, e.BaseSequence, e.LastSequence)
	}
	if e.Transactional {
		b.WriteString("  transactional")
	}
	if e.Control {
		b.WriteString("  control")
	}
	if e.DeleteHorizonMs != nil {
		fmt.Fprintf(&b, "  delete-horizon %s", date(*e.DeleteHorizonMs))
	}
	if e.AttributesNotSet != 0 {
		fmt.Fprintf(&b, "  unknown-attributes %#x", e.AttributesNotSet)
	}
	return b.String()
}

// date writes milliseconds as a date; times that no clock shows stay numbers.
func date(ms int64) string {
	if ms < 0 || ms > 253402300799999 {
		return fmt.Sprint(ms)
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// RecordEntry is one record. Decoded is what a record of the cluster's own topics or of a control batch means.
type RecordEntry struct {
	Kind      string   `json:"kind"` // "record"
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"`
	Key       *Bytes   `json:"key"`
	Value     *Bytes   `json:"value"`
	Headers   []Header `json:"headers,omitempty"`
	Decoded   *Decoded `json:"decoded,omitempty"`
}

// Header is one header of a record.
type Header struct {
	Key   string `json:"key"`
	Value *Bytes `json:"value"`
}

// Text implements Entry.
func (e RecordEntry) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  | offset %d  %s", e.Offset, date(e.Timestamp))
	if e.Decoded != nil {
		fmt.Fprintf(&b, "  %s", e.Decoded.Text())
	} else {
		fmt.Fprintf(&b, "  key %s  value %s", e.Key.Text(), e.Value.Text())
	}
	for _, h := range e.Headers {
		fmt.Fprintf(&b, "  header %s=%s", quoted(h.Key), h.Value.Text())
	}
	return b.String()
}

// Decoded is the meaning of a record.
type Decoded struct {
	Type    string `json:"type"`
	Version *int16 `json:"version,omitempty"`
	Body    any    `json:"body,omitempty"`
	Error   string `json:"error,omitempty"` // why it has none
}

// Text is the meaning in one line.
func (d *Decoded) Text() string {
	var b strings.Builder
	b.WriteString(d.Type)
	if d.Version != nil {
		fmt.Fprintf(&b, " v%d", *d.Version)
	}
	if d.Body != nil {
		body, err := json.Marshal(d.Body)
		if err != nil {
			return fmt.Sprintf("%s: %v", b.String(), err)
		}
		b.WriteByte(' ')
		b.Write(body)
	}
	if d.Error != "" {
		b.WriteString(" not readable: " + d.Error)
	}
	return b.String()
}

// StopEntry says that a file makes no sense from a place on.
type StopEntry struct {
	Kind     string `json:"kind"` // "stop"
	Path     string `json:"path"`
	Position int64  `json:"position"`
	Bytes    int64  `json:"bytes_left"`
	Offset   int64  `json:"expected_offset"` // of the batch that should stand there, -1 when unknown
	Torn     bool   `json:"torn"`
	Reason   string `json:"reason"`
	ResumeAt *int64 `json:"resume_position,omitempty"` // where sound batches begin again
}

// Text implements Entry.
func (e StopEntry) Text() string {
	what := "damaged"
	if e.Torn {
		what = "torn"
	}
	text := fmt.Sprintf("! %s at byte %d", what, e.Position)
	if e.Offset >= 0 {
		text += fmt.Sprintf(", where offset %d was expected", e.Offset)
	}
	text += fmt.Sprintf(": %s; %d bytes are left", e.Reason, e.Bytes)
	if e.ResumeAt != nil {
		text += fmt.Sprintf("; sound batches begin again at byte %d", *e.ResumeAt)
	}
	return text
}

// IndexLine is one entry of an offset index.
type IndexLine struct {
	Kind     string `json:"kind"` // "index"
	Offset   int64  `json:"offset"`
	Position int64  `json:"position"`
}

// Text implements Entry.
func (e IndexLine) Text() string { return fmt.Sprintf("offset %d  position %d", e.Offset, e.Position) }

// TimeLine is one entry of a time index.
type TimeLine struct {
	Kind      string `json:"kind"` // "timeindex"
	Timestamp int64  `json:"timestamp"`
	Offset    int64  `json:"offset"`
}

// Text implements Entry.
func (e TimeLine) Text() string {
	return fmt.Sprintf("timestamp %d (%s)  offset %d", e.Timestamp, date(e.Timestamp), e.Offset)
}

// TxnLine is one aborted transaction in a transaction index.
type TxnLine struct {
	Kind             string `json:"kind"` // "txnindex"
	Version          int16  `json:"version"`
	ProducerID       int64  `json:"producer_id"`
	FirstOffset      int64  `json:"first_offset"`
	LastOffset       int64  `json:"last_offset"`
	LastStableOffset int64  `json:"last_stable_offset"`
}

// Text implements Entry.
func (e TxnLine) Text() string {
	return fmt.Sprintf("producer %d  offsets %d-%d  last stable offset %d  version %d", e.ProducerID, e.FirstOffset, e.LastOffset, e.LastStableOffset, e.Version)
}

// ProducerLine is one producer in a snapshot or in the manifest.
type ProducerLine struct {
	Kind             string         `json:"kind"` // "producer"
	ProducerID       int64          `json:"producer_id"`
	ProducerEpoch    int16          `json:"producer_epoch"`
	CoordinatorEpoch int32          `json:"coordinator_epoch"`
	LastTimestamp    int64          `json:"last_timestamp"`
	TxnStartOffset   int64          `json:"txn_start_offset"`
	Batches          []ProducerPast `json:"batches"`
}

// ProducerPast is what is remembered of a producer's batch.
type ProducerPast struct {
	FirstSequence int32 `json:"first_sequence"`
	LastSequence  int32 `json:"last_sequence"`
	LastOffset    int64 `json:"last_offset"`
	Timestamp     int64 `json:"timestamp"`
}

func producerLine(p plog.StoredProducer) ProducerLine {
	e := ProducerLine{Kind: "producer", ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: p.CoordinatorEpoch, LastTimestamp: p.LastTimestamp, TxnStartOffset: p.TxnStartOffset, Batches: []ProducerPast{}}
	for _, b := range p.Batches {
		e.Batches = append(e.Batches, ProducerPast{b.FirstSequence, b.LastSequence, b.LastOffset, b.Timestamp})
	}
	return e
}

// Text implements Entry.
func (e ProducerLine) Text() string {
	text := fmt.Sprintf("producer %d  epoch %d  coordinator epoch %d  last %s  transaction since %d", e.ProducerID, e.ProducerEpoch, e.CoordinatorEpoch, date(e.LastTimestamp), e.TxnStartOffset)
	for _, b := range e.Batches {
		text += fmt.Sprintf("  sequences %d-%d to offset %d", b.FirstSequence, b.LastSequence, b.LastOffset)
	}
	return text
}

// EpochLine says where a leader epoch begins.
type EpochLine struct {
	Kind  string `json:"kind"` // "epoch"
	Epoch int32  `json:"epoch"`
	Start int64  `json:"start_offset"`
}

// Text implements Entry.
func (e EpochLine) Text() string { return fmt.Sprintf("epoch %d  from offset %d", e.Epoch, e.Start) }

// OffsetLine is one log's offset in a checkpoint.
type OffsetLine struct {
	Kind      string `json:"kind"` // "offset"
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Text implements Entry.
func (e OffsetLine) Text() string {
	return fmt.Sprintf("%s-%d  offset %d", e.Topic, e.Partition, e.Offset)
}

// PropertyLine is one key with its value.
type PropertyLine struct {
	Kind  string `json:"kind"` // "property"
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// Text implements Entry.
func (e PropertyLine) Text() string { return fmt.Sprintf("%s = %v", e.Key, e.Value) }

// LogLine is one log in the manifest.
type LogLine struct {
	Kind          string         `json:"kind"` // "log"
	Log           string         `json:"log"`
	RecoveryPoint int64          `json:"recovery_point"`
	StartOffset   int64          `json:"start_offset"`
	TopicID       string         `json:"topic_id,omitempty"`
	Snapshot      int64          `json:"snapshot_offset"`
	Segments      []ManifestPart `json:"segments"`
	Epochs        []EpochLine    `json:"epochs"`
	Producers     []ProducerLine `json:"producers"`
	Problem       string         `json:"problem,omitempty"`
}

// FileLine is one file in the inventory.
type FileLine struct {
	Kind  string `json:"kind"` // "file"
	Log   string `json:"log"`
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Text implements Entry.
func (e FileLine) Text() string { return fmt.Sprintf("%s/%s  bytes %d", e.Log, e.Name, e.Bytes) }

// ManifestPart is one segment in the manifest.
type ManifestPart struct {
	Base           int64 `json:"base_offset"`
	Bytes          int64 `json:"bytes"`
	CreatedMs      int64 `json:"created_ms"`
	FirstTimestamp int64 `json:"first_timestamp"`
	MaxTimestamp   int64 `json:"max_timestamp"`
	MaxOffset      int64 `json:"max_timestamp_offset"`
	IndexEntries   int32 `json:"index_entries"`
	TimeEntries    int32 `json:"timeindex_entries"`
}

// Text implements Entry.
func (e LogLine) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  recovery point %d  start %d", e.Log, e.RecoveryPoint, e.StartOffset)
	if e.Problem != "" {
		fmt.Fprintf(&b, "  ! %s", e.Problem)
		return b.String()
	}
	if e.TopicID == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "  topic id %s  snapshot %d", e.TopicID, e.Snapshot)
	for _, s := range e.Segments {
		fmt.Fprintf(&b, "\n  segment %d  bytes %d  made %s  first %s  greatest %s at offset %d  index entries %d  time index entries %d", s.Base, s.Bytes, date(s.CreatedMs), date(s.FirstTimestamp), date(s.MaxTimestamp), s.MaxOffset,
			s.IndexEntries, s.TimeEntries)
	}
	for _, x := range e.Epochs {
		b.WriteString("\n  " + x.Text())
	}
	for _, p := range e.Producers {
		b.WriteString("\n  " + p.Text())
	}
	return b.String()
}

// FrameLine is one frame of a journal.
type FrameLine struct {
	Kind     string      `json:"kind"` // "frame"
	Half     int         `json:"half"`
	Position int64       `json:"position"`
	Bytes    int64       `json:"bytes"`
	Sequence uint64      `json:"sequence"`
	Oldest   uint64      `json:"oldest_needed"`
	Writes   []WriteLine `json:"writes"`
}

// WriteLine is one write in a frame.
type WriteLine struct {
	Log      string `json:"log"`
	Segment  int64  `json:"segment"`
	Position int64  `json:"position"`
	Bytes    int    `json:"bytes"`
}

// Text implements Entry.
func (e FrameLine) Text() string {
	text := fmt.Sprintf("frame %d  half %d  position %d  bytes %d  oldest needed %d", e.Sequence, e.Half, e.Position, e.Bytes, e.Oldest)
	for _, w := range e.Writes {
		text += fmt.Sprintf("\n  %s segment %d position %d bytes %d", w.Log, w.Segment, w.Position, w.Bytes)
	}
	return text
}
