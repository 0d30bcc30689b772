package wire

import (
	"encoding/binary"

	"github.com/ottla/ottla/internal/kafka/model"
)

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// uvarintLen is how many bytes appendUvarint takes for v.
func uvarintLen(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// appendCount appends the count of a non-null array.
func appendCount(dst []byte, n int, flexible bool) []byte {
	if flexible {
		return appendUvarint(dst, uint32(n)+1)
	}
	return appendInt32(dst, int32(n))
}

// appendNull appends a null array or null bytes.
func appendNull(dst []byte, flexible bool) []byte {
	if flexible {
		return append(dst, 0)
	}
	return appendInt32(dst, -1)
}

// appendString appends a string, cut to the longest that the protocol can carry.
func appendString[T string | []byte](dst []byte, s T, flexible bool) []byte {
	s = s[:min(len(s), maxString)]
	if flexible {
		dst = appendUvarint(dst, uint32(len(s))+1)
	} else {
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

func appendNullableString[T string | []byte](dst []byte, s T, null, flexible bool) []byte {
	switch {
	case !null:
		return appendString(dst, s, flexible)
	case flexible:
		return append(dst, 0)
	default:
		return appendInt16(dst, -1)
	}
}

// stringLen is how many bytes appendString takes for s in a flexible version.
func stringLen(s string) int {
	n := min(len(s), maxString)
	return uvarintLen(uint32(n)+1) + n
}

func appendID(dst []byte, id model.TopicID) []byte { return append(dst, id[:]...) }
