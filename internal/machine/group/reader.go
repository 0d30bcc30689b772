package group

import (
	"encoding/binary"
	"errors"
)

var (
	errShort = errors.New("it ends too early")
	errNull  = errors.New("a null where none may stand")
	errCount = errors.New("a count larger than what follows")
)

// reader walks the fields of a record. The first error stays and everything after it is zero; slices alias the record.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.rest) {
		r.fail(errShort)
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// length reads the length of a string or bytes field; -1 is null.
func (r *reader) length(flexible, wide bool) int {
	switch {
	case flexible:
		n := r.uvarint()
		if n > uint64(len(r.rest))+1 {
			r.fail(errShort)
			return -1
		}
		return int(n) - 1
	case wide:
		return int(r.int32())
	default:
		return int(r.int16())
	}
}

// str reads a string that may not be null.
func (r *reader) str(flexible bool) []byte {
	n := r.length(flexible, false)
	if n < 0 {
		r.fail(errNull)
		return nil
	}
	return r.take(n)
}

// nullable reads a string that may be null, and copies it.
func (r *reader) nullable(flexible bool) *string {
	n := r.length(flexible, false)
	if n < 0 {
		if n != -1 {
			r.fail(errNull)
		}
		return nil
	}
	p := r.take(n)
	if r.err != nil {
		return nil
	}
	return new(string(p))
}

// bytes reads a bytes field that may not be null.
func (r *reader) bytes(flexible bool) []byte {
	n := r.length(flexible, true)
	if n < 0 {
		r.fail(errNull)
		return nil
	}
	return r.take(n)
}

// count reads how many elements of at least min bytes follow, and refuses what cannot be true before anything is allocated for it.
func (r *reader) count(flexible bool, min int) int {
	n := r.length(flexible, true)
	if n < 0 {
		r.fail(errNull)
		return 0
	}
	if n > len(r.rest)/min {
		r.fail(errCount)
		return 0
	}
	return n
}

// tags walks a tagged section; f, which may be nil, gets each field.
func (r *reader) tags(f func(tag uint64, field reader) error) {
	n := r.uvarint()
	if n > uint64(len(r.rest))/2 {
		r.fail(errCount)
		return
	}
	for range n {
		tag, size := r.uvarint(), r.uvarint()
		if size > uint64(len(r.rest)) {
			r.fail(errShort)
			return
		}
		field := r.take(int(size))
		if r.err != nil || f == nil {
			continue
		}
		if err := f(tag, reader{rest: field}); err != nil {
			r.fail(err)
		}
	}
}
