package batch

import (
	"errors"
	"fmt"

	"github.com/ottla/ottla/internal/kafka/model"
)

// Rules are what a topic and a request ask of a produced batch.
type Rules struct {
	NowMs int64 // the broker's time

	// TimestampType is message.timestamp.type. With CreateTime every record that has a timestamp must lie within
	// [NowMs-TimestampBeforeMs, NowMs+TimestampAfterMs]; message.timestamp.before.max.ms and message.timestamp.after.max.ms.
	TimestampType     TimestampType
	TimestampBeforeMs int64
	TimestampAfterMs  int64

	NeedKeys  bool // cleanup.policy has compact
	AllowZstd bool // Produce is version 7 or higher

	MaxBytes       int // max.message.bytes: of the batch as sent and as kept; 0 is no limit
	MaxRecordBytes int // max.decompressed.message.bytes: of one record of a compressed batch; 0 is no limit
	MaxPlainBytes  int // of all records together after decompression: what the caller's memory allows. Required for compressed batches

	// Recompress, with Codec and Level, is compression.type; without it (compression.type=producer) the batch keeps its codec. Only Admit acts on it.
	Recompress bool
	Codec      Codec
	Level      int
}

// Info is what validation learnt about a batch.
type Info struct {
	// MaxTimestamp is the greatest timestamp, NoTimestamp when no record has one; with LogAppendTime, Rules.NowMs.
	MaxTimestamp int64
	// MaxTimestampDelta is the offset delta of the first record that has it.
	MaxTimestampDelta int32
	// PlainBytes is the size of all records without compression.
	PlainBytes int
}

// maxRecordErrors bounds what a refused batch costs: an answer with an error for each of a million records would help nobody.
const maxRecordErrors = 1000

// RecordError says why one record was refused. Index counts from 0 within the batch.
type RecordError struct {
	Index   int32
	Message string
}

// RecordErrors refuses a batch for the sake of some of its records: record_errors of a Produce response.
type RecordErrors struct {
	Code    model.ErrorCode // InvalidRecord or InvalidTimestamp
	Message string
	Records []RecordError // the first thousand, in order
}

// Error implements error.
func (e *RecordErrors) Error() string { return e.Code.String() + ": " + e.Message }

// Unwrap gives code and message.
func (e *RecordErrors) Unwrap() error { return &model.Error{Code: e.Code, Message: e.Message} }

// Validator checks and admits produced batches. The zero value is ready; it keeps its buffers and codecs for the next batch.
type Validator struct {
	reader   Reader
	compress compressor
	packed   []byte
}

// Validate checks b, which need not have passed Check, as the leader does before it takes a produced batch: size, checksum, header, every record.
// It changes nothing. An error is a *RecordErrors or *model.Error:
//
//   - MessageTooLarge: larger than MaxBytes, or its records than MaxPlainBytes;
//   - CorruptMessage: the length or the checksum is wrong;
//   - UnsupportedCompressionType: a codec that is unknown, or zstd without AllowZstd;
//   - InvalidTimestamp: records out of the time allowed;
//   - InvalidRecord: everything else, such as counts that disagree, control batches, missing keys, data that cannot be decompressed.
func (v *Validator) Validate(b Batch, rules *Rules) (Info, error) {
	if rules.MaxBytes > 0 && len(b) > rules.MaxBytes {
		return Info{}, tooLarge(len(b), rules.MaxBytes)
	}
	if err := b.Check(); err != nil {
		return Info{}, &model.Error{Code: model.CorruptMessage, Message: err.Error()}
	}
	if err := validateHeader(b, rules); err != nil {
		return Info{}, err
	}
	if err := v.reader.Reset(b, rules.MaxPlainBytes); err != nil {
		if errors.Is(err, ErrTooLarge) {
			return Info{}, refuse(model.MessageTooLarge, "the records of the batch take more than %d bytes after decompression: send smaller batches", rules.MaxPlainBytes)
		}
		return Info{}, refuse(model.InvalidRecord, "the %v records cannot be read: %v", b.Codec(), err)
	}
	return v.validateRecords(b, rules)
}

// Release lets go of what was large. Call it before the Validator goes back to a pool.
func (v *Validator) Release() {
	v.reader.Release()
	if cap(v.packed) > keepBuffer {
		v.packed = nil
	}
}

func refuse(code model.ErrorCode, format string, args ...any) error {
	return &model.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func tooLarge(size, limit int) error {
	return refuse(model.MessageTooLarge, "the batch has %d bytes, max.message.bytes allows %d", size, limit)
}

func validateHeader(b Batch, rules *Rules) error {
	count := int64(b.RecordCount())
	switch codec := b.Codec(); {
	case !codec.Known():
		return refuse(model.UnsupportedCompressionType, "the batch has %v", codec)
	case codec == Zstd && !rules.AllowZstd:
		return refuse(model.UnsupportedCompressionType, "zstd needs version 7 or higher of Produce")
	case b.BaseOffset() != 0:
		return refuse(model.InvalidRecord, "the base offset of the batch is %d; a producer's is 0", b.BaseOffset())
	case count <= 0:
		return refuse(model.InvalidRecord, "the batch says that it has %d records", count)
	case int64(b.LastOffsetDelta())+1 != count:
		return refuse(model.InvalidRecord, "the batch says that it has %d records, and offsets for %d", count, int64(b.LastOffsetDelta())+1)
	case b.IsControl():
		return refuse(model.InvalidRecord, "the batch has control records, which clients may not write")
	case b.ProducerID() > NoProducerID && b.BaseSequence() < 0:
		return refuse(model.InvalidRecord, "the batch of producer %d has the sequence number %d", b.ProducerID(), b.BaseSequence())
	}
	return nil
}

// validateRecords walks all records: what cannot be read now would stop every consumer later. Offset deltas need no check beyond the Reader's: as
// many as there are offsets, and each greater than the last, they are 0, 1, 2 and so on.
func (v *Validator) validateRecords(b Batch, rules *Rules) (Info, error) {
	info := Info{MaxTimestamp: NoTimestamp, MaxTimestampDelta: -1, PlainBytes: v.reader.PlainSize()}
	maxRecord := rules.MaxRecordBytes
	if b.Codec() == None || maxRecord <= 0 {
		maxRecord = info.PlainBytes
	}
	v.reader.fixedMs = false // what counts are the timestamps that the records will have in the log
	var refused *RecordErrors
	index := int32(0)
	for ; v.reader.Next(); index++ {
		r := &v.reader.record
		if r.size > maxRecord {
			return Info{}, refuse(model.InvalidRecord, "record %d has %d bytes after decompression, max.decompressed.message.bytes allows %d", index, r.size, maxRecord)
		}
		if rules.NeedKeys && r.Key == nil || !rules.timely(b, r.Timestamp) {
			refused = refused.add(rules.objection(b, r, index))
		}
		if r.Timestamp > info.MaxTimestamp {
			info.MaxTimestamp, info.MaxTimestampDelta = r.Timestamp, index
		}
	}
	if err := v.reader.Err(); err != nil {
		return Info{}, refuse(model.InvalidRecord, "%v", err)
	}
	if refused != nil {
		return Info{}, refused.finish()
	}
	if rules.TimestampType == LogAppendTime {
		info.MaxTimestamp, info.MaxTimestampDelta = rules.NowMs, 0
	}
	return info, nil
}

// timely tells whether a record's timestamp is allowed. As in Kafka, a batch that claims to have the broker's time already is refused for a topic
// with LogAppendTime, but taken for one with CreateTime, where the claim is dropped, when its records have timestamps and these fit.
func (rules *Rules) timely(b Batch, ms int64) bool {
	if rules.TimestampType == CreateTime && ms != NoTimestamp {
		age := rules.NowMs - ms
		return age <= rules.TimestampBeforeMs && -age <= rules.TimestampAfterMs
	}
	return b.TimestampType() == CreateTime
}

// objection words what is wrong with a record that did not pass.
func (rules *Rules) objection(b Batch, r *Record, index int32) (model.ErrorCode, RecordError) {
	switch {
	case rules.NeedKeys && r.Key == nil:
		return model.InvalidRecord, RecordError{index, fmt.Sprintf("record %d has no key, which a topic with cleanup.policy=compact needs", index)}
	case rules.TimestampType == CreateTime && r.Timestamp != NoTimestamp:
		return model.InvalidTimestamp, RecordError{index, fmt.Sprintf("record %d has the timestamp %d, allowed is %d to %d (message.timestamp.before.max.ms and message.timestamp.after.max.ms)",
			index, r.Timestamp, rules.NowMs-rules.TimestampBeforeMs, rules.NowMs+rules.TimestampAfterMs)}
	}
	return model.InvalidTimestamp, RecordError{index, fmt.Sprintf("record %d claims the timestamp type %v, which only the broker may set", index, b.TimestampType())}
}

// add works on nil, so that a batch without errors allocates nothing.
func (e *RecordErrors) add(code model.ErrorCode, r RecordError) *RecordErrors {
	if e == nil {
		e = &RecordErrors{Code: model.InvalidRecord}
	}
	if code == model.InvalidTimestamp {
		e.Code = code
	}
	if len(e.Records) < maxRecordErrors {
		e.Records = append(e.Records, r)
	}
	return e
}

func (e *RecordErrors) finish() error {
	e.Message = e.Records[0].Message
	if n := len(e.Records) - 1; n == maxRecordErrors-1 {
		e.Message += fmt.Sprintf(", and at least %d more records are refused", n)
	} else if n > 0 {
		e.Message += fmt.Sprintf(", and %d more records are refused", n)
	}
	return e
}
