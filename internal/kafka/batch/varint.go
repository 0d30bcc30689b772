package batch

import "math/bits"

// Kafka's variable-length numbers are Protocol Buffers' zigzag varints.

// varint reads an int32 of at most five bytes at the start of p. n is 0 when there is none: p ends within it, or it does not fit.
func varint(p []byte) (v int32, n int) {
	if len(p) > 0 && p[0] < 0x80 { // lengths and deltas are mostly one byte
		return int32(p[0]>>1) ^ -int32(p[0]&1), 1
	}
	var u uint64
	for i := 0; i < len(p) && i < 5; i++ {
		u |= uint64(p[i]&0x7f) << (7 * i)
		if p[i] < 0x80 {
			if u > 1<<32-1 {
				return 0, 0
			}
			return int32(uint32(u)>>1) ^ -int32(u&1), i + 1
		}
	}
	return 0, 0
}

// varlong reads an int64 of at most ten bytes at the start of p; n is 0 when there is none.
func varlong(p []byte) (v int64, n int) {
	if len(p) > 0 && p[0] < 0x80 {
		return int64(p[0]>>1) ^ -int64(p[0]&1), 1
	}
	var u uint64
	for i := 0; i < len(p) && i < 10; i++ {
		if i == 9 && p[i] > 1 {
			return 0, 0
		}
		u |= uint64(p[i]&0x7f) << (7 * i)
		if p[i] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func varintSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}
