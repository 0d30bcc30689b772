package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Sizes in bytes.
const (
	HeaderSize = 61 // of a batch up to its first record
	Overhead   = 12 // base offset and length, which the length field does not count
)

// Magic is the only format this package reads and writes.
const Magic = 2

// NoTimestamp is Kafka's "none" for a timestamp in milliseconds since the Unix epoch.
const NoTimestamp = -1

// Kafka's "none" for the producer fields and the leader epoch.
const (
	NoProducerID    = -1
	NoProducerEpoch = -1
	NoSequence      = -1
	NoLeaderEpoch   = -1
)

// Where the fields lie; Kafka calls it record batch format v2, KIP-98.
const (
	baseOffsetAt      = 0
	lengthAt          = 8
	leaderEpochAt     = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	recordCountAt     = 57
)

// The bits of the attributes.
const (
	codecMask            = 0x07
	timestampTypeBit     = 0x08
	transactionalBit     = 0x10
	controlBit           = 0x20
	deleteHorizonBit     = 0x40
	maxBatchLength       = 1<<31 - 1 - Overhead
	minBatchLength       = HeaderSize - Overhead
	minRecordSize        = 7 // length, attributes, timestamp, offset, key, value and header count of one byte each
	legacyMinMessageSize = 14
)

var (
	// ErrTruncated says that the buffer ends before the batch does.
	ErrTruncated = errors.New("record batch is truncated")
	// ErrCorrupt says that bytes contradict each other or their checksum; errors with details wrap it.
	ErrCorrupt = errors.New("record batch is corrupt")
	// ErrMagic is an ErrCorrupt: the batch has format 0 or 1, which this package does not read.
	ErrMagic = fmt.Errorf("%w: its format (magic) is not 2", ErrCorrupt)
	// ErrTooLarge says that decompressed records would take more than the limit.
	ErrTooLarge = errors.New("decompressed record batch is larger than allowed")
	// ErrCodec says that the batch names a compression type that does not exist.
	ErrCodec = errors.New("record batch has an unknown compression type")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is exactly one record batch, header and records, as on the wire and on disk. Only a Batch from Next, Build or Admit has the lengths that
// the accessors rely on.
type Batch []byte

// Next splits the first batch off buf; both results alias it. ErrTruncated when buf ends within the batch (an empty buf included),
// ErrCorrupt when the length field cannot be, ErrMagic when the format is not 2. It does not compare the checksum.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	if len(buf) < Overhead {
		return nil, buf, ErrTruncated
	}
	length := int(int32(binary.BigEndian.Uint32(buf[lengthAt:])))
	if length < legacyMinMessageSize || length > maxBatchLength {
		return nil, buf, ErrCorrupt
	}
	if len(buf) > magicAt && buf[magicAt] != Magic {
		if buf[magicAt] < Magic {
			return nil, buf, ErrMagic
		}
		return nil, buf, ErrCorrupt
	}
	if length < minBatchLength {
		return nil, buf, ErrCorrupt
	}
	size := Overhead + length
	if len(buf) < size {
		return nil, buf, ErrTruncated
	}
	return Batch(buf[:size:size]), buf[size:], nil
}

// Check compares length, format and checksum with the bytes. It allocates nothing when the batch is good.
func (b Batch) Check() error {
	switch {
	case len(b) < HeaderSize:
		return fmt.Errorf("%w: %d bytes are less than a header", ErrCorrupt, len(b))
	case b.Size() != len(b):
		return fmt.Errorf("%w: its length field stands for %d bytes, there are %d", ErrCorrupt, b.Size(), len(b))
	case b[magicAt] != Magic:
		return ErrMagic
	}
	if computed := crc32.Checksum(b[attributesAt:], castagnoli); computed != b.CRC() {
		return fmt.Errorf("%w: stored CRC %08x, computed %08x", ErrCorrupt, b.CRC(), computed)
	}
	return nil
}

// BaseOffset is the offset of the first record, or what it was before compaction removed it.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[baseOffsetAt:])) }

// LastOffsetDelta is LastOffset less BaseOffset; compaction leaves it.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[lastOffsetDeltaAt:]))
}

// LastOffset is the offset of the last record, or what it was before compaction removed it.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the first offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Size is the length of the whole batch in bytes, as its length field has it.
func (b Batch) Size() int { return Overhead + int(int32(binary.BigEndian.Uint32(b[lengthAt:]))) }

// PartitionLeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) PartitionLeaderEpoch() int32 {
	return int32(binary.BigEndian.Uint32(b[leaderEpochAt:]))
}

// Magic is the format, always 2.
func (b Batch) Magic() int8 { return int8(b[magicAt]) }

// CRC is the stored CRC-32C of everything from the attributes on.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[crcAt:]) }

// Attributes are the flags: codec, timestamp type, transactional, control, delete horizon.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[attributesAt:])) }

// Codec is how the records are compressed; a value over Zstd exists in broken batches only.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & codecMask) }

// TimestampType tells whose clock gave the timestamps.
func (b Batch) TimestampType() TimestampType {
	if b.Attributes()&timestampTypeBit != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional tells whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&transactionalBit != 0 }

// IsControl tells whether the records are for brokers and clients, never for applications.
func (b Batch) IsControl() bool { return b.Attributes()&controlBit != 0 }

// HasDeleteHorizon tells whether BaseTimestamp is the time after which compaction may drop tombstones.
func (b Batch) HasDeleteHorizon() bool { return b.Attributes()&deleteHorizonBit != 0 }

// BaseTimestamp is what the records' timestamp deltas count from, in milliseconds.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[baseTimestampAt:])) }

// MaxTimestamp is the greatest timestamp, or with LogAppendTime that of all records, in milliseconds.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[maxTimestampAt:])) }

// ProducerID is the idempotent producer's id, or NoProducerID.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[producerIDAt:])) }

// ProducerEpoch is the idempotent producer's epoch, or NoProducerEpoch.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[producerEpochAt:])) }

// BaseSequence is the sequence number of the first record, or NoSequence.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[baseSequenceAt:])) }

// LastSequence is the sequence number of the last record; numbers wrap from 2^31-1 to 0. NoSequence when the batch has none.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return int32((uint32(base) + uint32(b.LastOffsetDelta())) & 0x7fffffff)
}

// RecordCount is the number of records; less than LastOffsetDelta+1 after compaction.
func (b Batch) RecordCount() int32 { return int32(binary.BigEndian.Uint32(b[recordCountAt:])) }

// SetBaseOffset is free: the field is outside the CRC.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[baseOffsetAt:], uint64(offset))
}

// SetPartitionLeaderEpoch is free: the field is outside the CRC.
func (b Batch) SetPartitionLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(epoch))
}

// SetMaxTimestamp needs SealCRC after it.
func (b Batch) SetMaxTimestamp(ms int64) {
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(ms))
}

// SetLogAppendTime gives all records the broker's time ms; needs SealCRC after it.
func (b Batch) SetLogAppendTime(ms int64) {
	b.setAttributes(b.Attributes() | timestampTypeBit)
	b.SetMaxTimestamp(ms)
}

// SealCRC computes the checksum anew.
func (b Batch) SealCRC() {
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[attributesAt:], castagnoli))
}

func (b Batch) setAttributes(a int16) { binary.BigEndian.PutUint16(b[attributesAt:], uint16(a)) }

func (b Batch) setLength() { binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-Overhead)) }
