package record

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/ottla/ottla/internal/kafka/model"
)

func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendInt8(b []byte, v int8) []byte     { return append(b, byte(v)) }
func appendInt16(b []byte, v int16) []byte   { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func appendUint16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendInt32(b []byte, v int32) []byte   { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendInt64(b []byte, v int64) []byte   { return binary.BigEndian.AppendUint64(b, uint64(v)) }
func appendFloat64(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
}
func appendUUID(b []byte, v model.TopicID) []byte { return append(b, v[:]...) }

// appendLength appends a compact length.
func appendLength(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)+1) }

func appendString(b []byte, v string) []byte { return append(appendLength(b, len(v)), v...) }

func appendNullableString(b []byte, v *string) []byte {
	if v == nil {
		return append(b, 0)
	}
	return appendString(b, *v)
}

func appendBytes(b []byte, v []byte) []byte { return append(appendLength(b, len(v)), v...) }

func appendInt32s(b []byte, v []int32) []byte {
	b = appendLength(b, len(v))
	for _, x := range v {
		b = appendInt32(b, x)
	}
	return b
}

func appendUUIDs(b []byte, v []model.TopicID) []byte {
	b = appendLength(b, len(v))
	for _, x := range v {
		b = append(b, x[:]...)
	}
	return b
}

func appendStrings(b []byte, v []string) []byte {
	b = appendLength(b, len(v))
	for _, x := range v {
		b = appendString(b, x)
	}
	return b
}

func appendNullableInt32s(b []byte, v []int32) []byte {
	if v == nil {
		return append(b, 0)
	}
	return appendInt32s(b, v)
}

func appendNullableUUIDs(b []byte, v []model.TopicID) []byte {
	if v == nil {
		return append(b, 0)
	}
	return appendUUIDs(b, v)
}

// appendTagHead begins a tagged field of the given size.
func appendTagHead(b []byte, number uint32, size int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(number)), uint64(size))
}

func appendUnknown(b []byte, tags []Tag) []byte {
	for _, t := range tags {
		b = append(appendTagHead(b, t.Number, len(t.Data)), t.Data...)
	}
	return b
}

// appendTagsOnly writes the section of a structure that has no tagged fields of its own.
func appendTagsOnly(b []byte, unknown []Tag) []byte {
	return appendUnknown(binary.AppendUvarint(b, uint64(len(unknown))), unknown)
}

func sizeInt32s(v []int32) int         { return uvarintSize(uint64(len(v))+1) + 4*len(v) }
func sizeUUIDs(v []model.TopicID) int  { return uvarintSize(uint64(len(v))+1) + 16*len(v) }
func sizeNullableString(v *string) int { return uvarintSize(uint64(len(*v))+1) + len(*v) }
