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
		p, at := r.RawHeaders, 0
		for range r.HeaderCount {
			var key, value []byte
			if key, at = bytesAt(p, at); at < 0 {
				return
			}
			if value, at = bytesAt(p, at); at < 0 {
				return
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// parse takes one record off the front of p. Offset is not set and Timestamp is the delta. A non-empty reason says why there is none.
func (r *Record) parse(p []byte) (rest []byte, reason string) {
	size, at := varint(p, 0)
	if at < 0 || size < minRecordSize-1 || int(size) > len(p)-at {
		return nil, "its length is wrong"
	}
	end := at + int(size)
	r.size = int(size)
	rest, p = p[end:], p[:end]
	at++ // the attributes have no meaning yet
	if r.Timestamp, at = varlong(p, at); at < 0 {
		return nil, "its timestamp is broken"
	}
	if r.OffsetDelta, at = varint(p, at); at < 0 {
		return nil, "its offset is broken"
	}
	if r.Key, at = bytesAt(p, at); at < 0 {
		return nil, "its key is longer than the record"
	}
	if r.Value, at = bytesAt(p, at); at < 0 {
		return nil, "its value is longer than the record"
	}
	count, at := varint(p, at)
	if at < 0 || count < 0 || int(count) > (len(p)-at)/2 {
		return nil, "its number of headers is wrong"
	}
	r.HeaderCount, r.RawHeaders = int(count), p[at:]
	if !headersFill(p, at, int(count)) {
		return nil, "its headers do not fill it exactly"
	}
	return rest, ""
}

// headersFill tells whether p[at:] is exactly count headers with keys that are not null.
func headersFill(p []byte, at, count int) bool {
	for range count {
		size, next := varint(p, at)
		if next < 0 || size < 0 || int(size) > len(p)-next {
			return false
		}
		if _, at = bytesAt(p, next+int(size)); at < 0 {
			return false
		}
	}
	return at == len(p)
}

// bytesAt reads a length and as many bytes at p[at:]; length -1 is nil. next is negative when they are not there.
func bytesAt(p []byte, at int) (v []byte, next int) {
	size, at := varint(p, at)
	if at < 0 || int(size) > len(p)-at {
		return nil, -1
	}
	if size < 0 {
		if size < -1 {
			return nil, -1
		}
		return nil, at
	}
	next = at + int(size)
	return p[at:next:next], next
}
