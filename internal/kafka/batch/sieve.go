package batch

import (
	"bytes"
	"encoding/binary"
)

// Sieve lets some records of a batch through and makes of them the batch that compaction keeps. The zero value is ready.
//
// What it makes keeps base offset, last offset, sequence numbers, epochs, codec and timestamp type of the original, as Kafka's compaction does, so that offsets and the
// producer's state stay what they were.
type Sieve struct {
	reader   Reader
	compress compressor
	source   Batch
	kept     []byte // the records let through, each with its length
	out      []byte
	count    int32
	maxMs    int64
}

// Filter walks the records of b, which must have passed Check, and remembers those for which keep is true. limit bounds the decompressed size in bytes. tombstones tells whether
// one of them has no value.
func (s *Sieve) Filter(b Batch, limit int, keep func(*Record) bool) (kept int, tombstones bool, err error) {
	s.source, s.kept, s.count, s.maxMs = b, s.kept[:0], 0, NoTimestamp
	if err := s.reader.Reset(b, limit); err != nil {
		return 0, false, err
	}
	before := s.reader.rest
	for s.reader.Next() {
		raw := before[:len(before)-len(s.reader.rest)]
		before = s.reader.rest
		r := &s.reader.record
		if !keep(r) {
			continue
		}
		s.kept = append(s.kept, raw...)
		s.count++
		s.maxMs = max(s.maxMs, r.Timestamp)
		tombstones = tombstones || r.Value == nil
	}
	return int(s.count), tombstones, s.reader.Err()
}

// Build makes the batch of the records that Filter let through, at least one. With a horizon other than NoTimestamp the batch gets it as its delete horizon (KIP-534);
// else it keeps what it has. The result is valid until the next use.
func (s *Sieve) Build(horizon int64) Batch {
	b := s.source
	records := s.kept
	if horizon != NoTimestamp {
		records = rebase(nil, records, b.BaseTimestamp()-horizon)
	}
	s.out = append(s.out[:0], b[:HeaderSize]...)
	s.out = s.compress.append(s.out, records, b.Codec(), 0)
	out := Batch(s.out[:len(s.out):len(s.out)])
	out.setLength()
	if horizon != NoTimestamp {
		out.setAttributes(b.Attributes() | deleteHorizonBit)
		binary.BigEndian.PutUint64(out[baseTimestampAt:], uint64(horizon))
	}
	if b.TimestampType() == CreateTime {
		out.SetMaxTimestamp(s.maxMs)
	}
	binary.BigEndian.PutUint32(out[recordCountAt:], uint32(s.count))
	out.SealCRC()
	return out
}

// DeleteHorizon is the time in milliseconds after which compaction may drop the batch's tombstones, or its markers; NoTimestamp when it was not set yet.
func (b Batch) DeleteHorizon() int64 {
	if !b.HasDeleteHorizon() {
		return NoTimestamp
	}
	return b.BaseTimestamp()
}

// Emptied returns a batch without records that stands for b: it keeps offsets, epochs and sequence numbers, by which a producer is remembered.
func Emptied(b Batch) Batch {
	out := Batch(bytes.Clone(b[:HeaderSize]))
	out.setLength()
	out.setAttributes(b.Attributes() &^ (codecMask | deleteHorizonBit))
	noTimestamp := int64(NoTimestamp)
	binary.BigEndian.PutUint64(out[baseTimestampAt:], uint64(noTimestamp))
	binary.BigEndian.PutUint32(out[recordCountAt:], 0)
	out.SealCRC()
	return out
}

// rebase writes records with delta added to each one's timestamp delta. They were parsed before, so their lengths are right.
func rebase(dst, records []byte, delta int64) []byte {
	for len(records) > 0 {
		size, at := varint(records, 0)
		end := at + int(size)
		attributes := records[at]
		ms, rest := varlong(records, at+1)
		ms += delta
		body := records[rest:end]
		dst = appendVarint(dst, int64(1+varintSize(ms)+len(body)))
		dst = append(dst, attributes)
		dst = appendVarint(dst, ms)
		dst = append(dst, body...)
		records = records[end:]
	}
	return dst
}

// Marker tells what a control batch says of its transaction. ok is false when it is not a transaction's marker or cannot be read.
func (s *Sieve) Marker(b Batch) (commit, ok bool) {
	const small = 1 << 10
	if !b.IsControl() || s.reader.Reset(b, small) != nil || !s.reader.Next() {
		return false, false
	}
	key := s.reader.record.Key
	if len(key) < 4 {
		return false, false
	}
	switch binary.BigEndian.Uint16(key[2:]) {
	case 0:
		return false, true
	case 1:
		return true, true
	}
	return false, false
}
