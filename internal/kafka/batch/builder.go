package batch

import (
	"encoding/binary"

	"github.com/ottla/ottla/internal/invariant"
)

// Options say what the header of a batch is to hold. The zero value is an uncompressed batch without a producer.
type Options struct {
	Codec Codec
	// Level is as in Kafka's compression.gzip.level, compression.lz4.level and compression.zstd.level; zero is the codec's default. What lies
	// outside the codec's range is moved to its nearest end.
	Level int

	BaseOffset           int64
	PartitionLeaderEpoch int32

	// TimestampType LogAppendTime gives all records the time LogAppendMs.
	TimestampType TimestampType
	LogAppendMs   int64

	// ProducerID, ProducerEpoch and BaseSequence count only with HasProducer; without it the batch says "none".
	HasProducer   bool
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32

	Transactional bool
	Control       bool
}

// Header is one header of a record. Key is never null; a nil Value is.
type Header struct {
	Key, Value []byte
}

// Builder makes one batch after the other. The zero value is ready for Append, with the zero Options.
type Builder struct {
	options  Options
	plain    []byte // header and records as appended
	packed   []byte // header and compressed records
	count    int32
	baseMs   int64
	maxMs    int64
	offset   int32 // delta of the last record
	built    bool
	compress compressor
}

// Reset begins a new batch; what Build returned before is no longer valid.
func (b *Builder) Reset(o Options) {
	b.options = o
	b.plain = append(b.plain[:0], make([]byte, HeaderSize)...)
	b.count, b.offset, b.baseMs, b.maxMs = 0, -1, 0, NoTimestamp
	b.built = false
}

// Append adds a record at the next offset. A nil key or value is null. timestamp is in milliseconds.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...Header) {
	b.begin()
	b.AppendAt(b.offset+1, timestamp, key, value, headers...)
}

// begin makes the zero Builder ready.
func (b *Builder) begin() {
	if b.plain == nil {
		b.Reset(Options{})
	}
}

// AppendAt is Append with an offset delta of the caller's choice, greater than the last one.
func (b *Builder) AppendAt(offsetDelta int32, timestamp int64, key, value []byte, headers ...Header) {
	b.begin()
	if b.built || offsetDelta <= b.offset { // the arguments of Check would be allocated for every record
		invariant.Check(false, "batch builder: offset delta %d follows %d; built already: %v", offsetDelta, b.offset, b.built)
	}
	b.admit(offsetDelta, timestamp)
	delta := timestamp - b.baseMs
	size := 1 + varintSize(delta) + varintSize(int64(offsetDelta)) + bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for _, h := range headers {
		size += varintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	if len(b.plain)+size+binary.MaxVarintLen32 > maxBatchLength {
		invariant.Check(false, "batch builder: a batch of %d bytes takes a record of %d bytes", len(b.plain), size)
	}
	p := appendVarint(b.plain, int64(size))
	p = append(p, 0)
	p = appendVarint(p, delta)
	p = appendVarint(p, int64(offsetDelta))
	p = appendBytes(p, key)
	p = appendBytes(p, value)
	p = appendVarint(p, int64(len(headers)))
	for _, h := range headers {
		p = appendVarint(p, int64(len(h.Key)))
		p = append(p, h.Key...)
		p = appendBytes(p, h.Value)
	}
	b.plain = p
}

// admit counts a record in.
func (b *Builder) admit(offsetDelta int32, timestamp int64) {
	if b.count == 0 {
		b.baseMs, b.maxMs = timestamp, timestamp
	}
	b.maxMs = max(b.maxMs, timestamp)
	b.offset = offsetDelta
	b.count++
}

// Len is the size in bytes of the batch so far, before compression.
func (b *Builder) Len() int { return max(len(b.plain), HeaderSize) }

// Count is the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// Build returns the finished batch, or nil when no record was appended. The batch is valid until the next Reset.
func (b *Builder) Build() Batch {
	if b.count == 0 {
		return nil
	}
	b.built = true
	out := b.plain
	if b.options.Codec != None {
		b.packed = append(b.packed[:0], b.plain[:HeaderSize]...)
		b.packed = b.compress.append(b.packed, b.plain[HeaderSize:], b.options.Codec, b.options.Level)
		out = b.packed
	}
	batch := Batch(out[:len(out):len(out)])
	b.fillHeader(batch)
	return batch
}

func (b *Builder) fillHeader(batch Batch) {
	o := &b.options
	attributes := int16(o.Codec)
	maxMs := b.maxMs
	if o.TimestampType == LogAppendTime {
		attributes |= timestampTypeBit
		maxMs = o.LogAppendMs
	}
	if o.Transactional {
		attributes |= transactionalBit
	}
	if o.Control {
		attributes |= controlBit
	}
	producerID, producerEpoch, sequence := int64(NoProducerID), int16(NoProducerEpoch), int32(NoSequence)
	if o.HasProducer {
		producerID, producerEpoch, sequence = o.ProducerID, o.ProducerEpoch, o.BaseSequence
	}
	batch.SetBaseOffset(o.BaseOffset)
	batch.setLength()
	batch.SetPartitionLeaderEpoch(o.PartitionLeaderEpoch)
	batch[magicAt] = Magic
	batch.setAttributes(attributes)
	binary.BigEndian.PutUint32(batch[lastOffsetDeltaAt:], uint32(b.offset))
	binary.BigEndian.PutUint64(batch[baseTimestampAt:], uint64(b.baseMs))
	batch.SetMaxTimestamp(maxMs)
	binary.BigEndian.PutUint64(batch[producerIDAt:], uint64(producerID))
	binary.BigEndian.PutUint16(batch[producerEpochAt:], uint16(producerEpoch))
	binary.BigEndian.PutUint32(batch[baseSequenceAt:], uint32(sequence))
	binary.BigEndian.PutUint32(batch[recordCountAt:], uint32(b.count))
	batch.SealCRC()
}

// bytesSize is what appendBytes adds.
func bytesSize(p []byte) int {
	if p == nil {
		return 1
	}
	return varintSize(int64(len(p))) + len(p)
}

// appendBytes writes length and bytes; the length of null is -1.
func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int64(len(p))), p...)
}
