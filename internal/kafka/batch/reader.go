package batch

// keepBuffer is how much of a buffer Release leaves in place, in bytes: what a batch of 1 MiB of records needs when its frame does not tell their size.
const keepBuffer = 4 << 20

// Reader walks the records of one batch after the other. The zero value is ready for Reset.
type Reader struct {
	batch   Batch
	records []byte // all records, not compressed
	rest    []byte // what of them was not read yet
	left    int32  // records that were not read yet
	record  Record
	err     error
	base    int64
	baseMs  int64
	fixedMs bool // all records have the time of the log's append
	lastAt  int32

	plain      []byte
	decompress decompressor
}

// Reset begins with the first record of b, which must have passed Check. When b is compressed its records are decompressed into the Reader's
// buffer; ErrTooLarge when they take more than limit bytes. An uncompressed batch is read where it lies, whatever the limit.
func (r *Reader) Reset(b Batch, limit int) error {
	r.batch, r.records, r.rest, r.left, r.record, r.lastAt = nil, nil, nil, 0, Record{}, -1
	r.err = r.open(b, limit)
	return r.err
}

func (r *Reader) open(b Batch, limit int) error {
	if !b.Codec().Known() {
		return ErrCodec
	}
	records := []byte(b[HeaderSize:])
	if b.Codec() != None {
		plain, err := r.decompress.append(r.plain[:0], records, b.Codec(), max(limit, 0))
		r.plain = plain[:0]
		if err != nil {
			return err
		}
		records = plain
	}
	if count := b.RecordCount(); count < 0 || int(count) > len(records)/minRecordSize {
		return corruptf("%d bytes cannot hold %d records", len(records), count)
	}
	r.batch, r.records, r.rest, r.left = b, records, records, b.RecordCount()
	r.base, r.baseMs, r.fixedMs = b.BaseOffset(), b.BaseTimestamp(), b.TimestampType() == LogAppendTime
	return nil
}

// Next goes to the next record; false at the end and at the first broken record, which Err tells apart.
func (r *Reader) Next() bool {
	if r.err != nil || r.left == 0 {
		r.end()
		return false
	}
	rest, reason := r.record.parse(r.rest)
	if reason == "" && (r.record.OffsetDelta <= r.lastAt || r.record.OffsetDelta > r.batch.LastOffsetDelta()) {
		reason = "its offset does not follow the one before, or is beyond the batch"
	}
	if reason != "" {
		r.err = corruptf("record %d: %s", r.batch.RecordCount()-r.left, reason)
		return false
	}
	r.rest = rest
	r.left--
	r.lastAt = r.record.OffsetDelta
	r.record.Offset = r.base + int64(r.record.OffsetDelta)
	if r.fixedMs {
		r.record.Timestamp = r.batch.MaxTimestamp()
	} else {
		r.record.Timestamp += r.baseMs
	}
	return true
}

// end checks that nothing is left when everything was read.
func (r *Reader) end() {
	if r.err == nil && len(r.rest) > 0 {
		r.err = corruptf("%d bytes follow the last record", len(r.rest))
	}
}

// Record is the record that Next went to; its slices are valid until the next Reset, and no longer than the batch.
func (r *Reader) Record() Record { return r.record }

// Control tells whether the records are those of a control batch.
func (r *Reader) Control() bool { return r.batch != nil && r.batch.IsControl() }

// Err says why Next returned false; nil at the regular end.
func (r *Reader) Err() error { return r.err }

// PlainSize is the size in bytes of all records of the batch without compression.
func (r *Reader) PlainSize() int {
	return len(r.records)
}

// Release lets go of the batch and of a buffer that grew beyond 4 MiB. Call it before the Reader goes back to a pool.
func (r *Reader) Release() {
	r.batch, r.records, r.rest, r.left, r.record, r.err = nil, nil, nil, 0, Record{}, nil
	if cap(r.plain) > keepBuffer {
		r.plain = nil
	}
}
