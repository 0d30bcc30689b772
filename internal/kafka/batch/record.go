package batch

import "iter"

// Record is one record of a batch. Its slices alias the batch, or the Reader's buffer when the batch was compressed.
type Record struct {
	Offset      int64
	Timestamp   int64 // milliseconds since the Unix epoch; NoTimestamp when the producer gave none
	OffsetDelta int32
	Key, Value  []byte // nil is null
	HeaderCount int
	RawHeaders  []byte // the headers as they lie in the batch, proven to be well-formed

	size int // in bytes, without its length field
}

// Headers yields keys and values in order; a nil value is null.
func (r *Record) Headers() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		p := r.RawHeaders
		for range r.HeaderCount {
			var key, value []byte
			var ok bool
			if key, p, ok = takeBytes(p); !ok {
				return
			}
			if value, p, ok = takeBytes(p); !ok {
				return
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// parseRecord takes one record off the front of p. Offset and Timestamp hold the deltas. A non-empty reason says why there is none.
func (r *Record) parseRecord(p []byte) (rest []byte, reason string) {
	size, n := varint(p)
	if n == 0 || size < minRecordSize-1 || int(size) > len(p)-n {
		return nil, "a record's length is wrong"
	}
	r.size = int(size)
	rest = p[n+int(size):]
	p = p[n+1 : n+int(size)] // the attributes have no meaning yet
	if r.Timestamp, n = varlong(p); n == 0 {
		return nil, "a record's timestamp is broken"
	}
	p = p[n:]
	if r.OffsetDelta, n = varint(p); n == 0 {
		return nil, "a record's offset is broken"
	}
	var ok bool
	if r.Key, p, ok = takeBytes(p[n:]); !ok {
		return nil, "a record's key is longer than the record"
	}
	if r.Value, p, ok = takeBytes(p); !ok {
		return nil, "a record's value is longer than the record"
	}
	count, n := varint(p)
	if n == 0 || count < 0 || int(count) > len(p)/2 {
		return nil, "a record's number of headers is wrong"
	}
	r.HeaderCount, r.RawHeaders = int(count), p[n:]
	if !headersFill(p[n:], int(count)) {
		return nil, "a record's headers do not fill it exactly"
	}
	return rest, ""
}

// headersFill tells whether p is exactly count headers with keys that are not null.
func headersFill(p []byte, count int) bool {
	for range count {
		key, rest, ok := takeBytes(p)
		if !ok || key == nil {
			return false
		}
		if _, p, ok = takeBytes(rest); !ok {
			return false
		}
	}
	return len(p) == 0
}

// takeBytes takes a length and as many bytes off the front of p; length -1 is nil.
func takeBytes(p []byte) (v, rest []byte, ok bool) {
	size, n := varint(p)
	if n == 0 || size < -1 || int(size) > len(p)-n {
		return nil, nil, false
	}
	if size < 0 {
		return nil, p[n:], true
	}
	end := n + int(size)
	return p[n:end:end], p[end:], true
}
