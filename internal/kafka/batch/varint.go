package batch

import "math/bits"

// Kafka's variable-length numbers are Protocol Buffers' zigzag varints.

// varint reads an int32 of at most five bytes at p[i:] and returns the index behind it, which is negative when there is none: p ends within it, or
// it does not fit. Lengths and deltas are mostly one or two bytes; those do not call on.
func varint(p []byte, i int) (v int32, next int) {
	if uint(i) >= uint(len(p)) {
		return 0, -1
	}
	p = p[i:]
	u := uint32(p[0])
	if u < 0x80 {
		return int32(u>>1) ^ -int32(u&1), i + 1
	}
	if len(p) > 1 && p[1] < 0x80 {
		u = u&0x7f | uint32(p[1])<<7
		return int32(u>>1) ^ -int32(u&1), i + 2
	}
	return longVarint(p, i)
}

// longVarint is varint for numbers of any length; i is where p begins for the caller.
func longVarint(p []byte, i int) (v int32, next int) {
	var u uint64
	for n := 0; n < 5 && n < len(p); n++ {
		c := p[n]
		u |= uint64(c&0x7f) << (7 * n)
		if c < 0x80 {
			if u > 1<<32-1 {
				return 0, -1
			}
			return int32(uint32(u)>>1) ^ -int32(u&1), i + n + 1
		}
	}
	return 0, -1
}

// varlong is varint for an int64 of at most ten bytes.
func varlong(p []byte, i int) (v int64, next int) {
	if uint(i) < uint(len(p)) && p[i] < 0x80 {
		return int64(p[i]>>1) ^ -int64(p[i]&1), i + 1
	}
	return longVarlong(p, i)
}

func longVarlong(p []byte, i int) (v int64, next int) {
	var u uint64
	for n := 0; n < 10 && i+n < len(p); n++ {
		c := p[i+n]
		if n == 9 && c > 1 {
			return 0, -1
		}
		u |= uint64(c&0x7f) << (7 * n)
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + n + 1
		}
	}
	return 0, -1
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
