package wire

import "encoding/binary"

// reader is a cursor over untrusted bytes. After the first short read it stays failed and returns zeros, so that a decoder may check once
// at the end of a group of reads; counts and lengths are checked where they are read.
type reader struct {
	buf    []byte
	off    int
	failed bool
}

func (r *reader) remaining() int { return len(r.buf) - r.off }

// take returns the next n bytes, with no capacity beyond them, or nil when there are fewer.
func (r *reader) take(n int) []byte {
	if n < 0 || n > r.remaining() {
		r.fail()
		return nil
	}
	b := r.buf[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *reader) fail() { r.failed = true }

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// uvarint reads an unsigned varint of at most 32 bits; an encoding that overflows them is refused.
func (r *reader) uvarint() uint32 {
	var x uint32
	for i := range 5 {
		if r.off >= len(r.buf) {
			break
		}
		c := r.buf[r.off]
		r.off++
		if i == 4 && c > 0x0f {
			break
		}
		x |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return x
		}
	}
	r.fail()
	return 0
}

// length reads the length of a string, of bytes or of an array: -1 for null. Short lengths are those of non-flexible strings.
func (r *reader) length(flexible, short bool) int {
	var n int64
	switch {
	case flexible:
		n = int64(r.uvarint()) - 1
	case short:
		n = int64(r.int16())
	default:
		n = int64(r.int32())
	}
	if r.failed || n < -1 {
		n = -1
	}
	return int(min(n, maxInt))
}

// maxInt is the largest length that fits an int everywhere.
const maxInt = 1<<31 - 1

// string reads a string that may be null (nil); a present one is never nil.
func (r *reader) string(flexible bool) []byte { return r.span(r.length(flexible, true), maxString) }

// bytes reads bytes that may be null (nil); present ones are never nil.
func (r *reader) bytes(flexible bool) []byte { return r.span(r.length(flexible, false), maxInt) }

func (r *reader) span(n, limit int) []byte {
	if n < 0 {
		return nil
	}
	if n > limit {
		r.fail()
		return nil
	}
	if n == 0 {
		return emptyBytes
	}
	return r.take(n)
}

// maxString is the longest string of the protocol, also where the length is a varint.
const maxString = 1<<15 - 1

var emptyBytes = []byte{}

// count reads the count of a non-null array whose elements take at least smallest bytes each.
func (r *reader) count(flexible bool, smallest int) int {
	n := r.length(flexible, false)
	if n < 0 || n > r.remaining()/smallest {
		r.fail()
		return 0
	}
	return n
}

// tagCount reads the number of tags that follow.
func (r *reader) tagCount() int {
	n := r.uvarint()
	if n > MaxTags || int(n) > r.remaining()/2 {
		r.fail()
		return 0
	}
	return int(n)
}

// tag reads one tag's number and returns its content.
func (r *reader) tag() (number uint32, content []byte) {
	number = r.uvarint()
	n := r.uvarint()
	if n > maxInt {
		r.fail()
		return number, nil
	}
	return number, r.take(int(n))
}

// skipTags skips a whole tag section.
func (r *reader) skipTags() {
	for n := r.tagCount(); n > 0 && !r.failed; n-- {
		r.tag()
	}
}
