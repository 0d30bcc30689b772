package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ottla/ottla/internal/kafka/model"
)

// maxTags bounds the tagged fields of one structure; Kafka's records have at most nine.
const maxTags = 64

// reader walks a body. After the first error every read gives zero values.
type reader struct {
	buf []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.buf = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.buf) {
		r.fail("%d bytes wanted, %d left", n, len(r.buf))
		return nil
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) rest() []byte { return bytes.Clone(r.take(len(r.buf))) }

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 || n > 5 || v > math.MaxUint32 {
		r.fail("bad varint")
		return 0
	}
	r.buf = r.buf[n:]
	return uint32(v)
}

func (r *reader) bool() bool { return r.int8() != 0 }

func (r *reader) int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) int16() int16 { return int16(r.uint16()) }

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

func (r *reader) float64() float64 { return math.Float64frombits(uint64(r.int64())) }

func (r *reader) uuid() (id model.TopicID) {
	copy(id[:], r.take(16))
	return id
}

// length reads a compact length: ok is false for null. It is refused when the bytes left cannot hold that many elements of at least minSize bytes.
func (r *reader) length(minSize int) (n int, ok bool) {
	v := r.uvarint()
	if v == 0 || r.err != nil {
		return 0, false
	}
	n = int(v - 1)
	if n > len(r.buf)/minSize {
		r.fail("%d elements are declared, %d bytes are left", n, len(r.buf))
		return 0, false
	}
	return n, true
}

// count reads the length of an array that must not be null.
func (r *reader) count(minSize int) int {
	n, ok := r.length(minSize)
	if !ok {
		r.fail("null where an array must be")
	}
	return n
}

func (r *reader) string() string { return string(r.take(r.count(1))) }

func (r *reader) nullableString() *string {
	n, ok := r.length(1)
	if !ok {
		return nil
	}
	return new(string(r.take(n)))
}

func (r *reader) bytes() []byte { return bytes.Clone(r.take(r.count(1))) }

func readArray[T any](r *reader, n, size int, one func([]byte) T) []T {
	data := r.take(n * size)
	out := make([]T, 0, n)
	for ; len(data) > 0; data = data[size:] {
		out = append(out, one(data))
	}
	return out
}

func int32Of(b []byte) int32 { return int32(binary.BigEndian.Uint32(b)) }

func uuidOf(b []byte) model.TopicID { return model.TopicID(b[:16]) }

func (r *reader) int32s() []int32 { return readArray(r, r.count(4), 4, int32Of) }

func (r *reader) uuids() []model.TopicID { return readArray(r, r.count(16), 16, uuidOf) }

func (r *reader) nullableInt32s() []int32 {
	n, ok := r.length(4)
	if !ok {
		return nil
	}
	return readArray(r, n, 4, int32Of)
}

func (r *reader) nullableUUIDs() []model.TopicID {
	n, ok := r.length(16)
	if !ok {
		return nil
	}
	return readArray(r, n, 16, uuidOf)
}

func (r *reader) strings() []string {
	n := r.count(1)
	out := make([]string, 0, n)
	for range n {
		out = append(out, r.string())
	}
	return out
}

// tags reads a section of tagged fields. known reads the field with that number from a reader of its own and says whether it knows it.
func (r *reader) tags(known func(number uint32, field *reader) bool) (unknown []Tag) {
	n := r.uvarint()
	if n > maxTags {
		r.fail("%d tagged fields, at most %d are allowed", n, maxTags)
	}
	for ; n > 0 && r.err == nil; n-- {
		number := r.uvarint()
		size := r.uvarint()
		if uint64(size) > uint64(len(r.buf)) {
			r.fail("tagged field %d declares %d bytes, %d are left", number, size, len(r.buf))
			return nil
		}
		field := &reader{buf: r.take(int(size))}
		if known == nil || !known(number, field) {
			unknown = append(unknown, Tag{number, field.rest()})
			continue
		}
		if field.err == nil && len(field.buf) != 0 {
			field.fail("tagged field %d has %d bytes left over", number, len(field.buf))
		}
		if field.err != nil {
			r.fail("%v", field.err)
		}
	}
	return unknown
}
