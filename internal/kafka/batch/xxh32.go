package batch

import (
	"encoding/binary"
	"math/bits"
)

const (
	xxPrime1 uint32 = 2654435761
	xxPrime2 uint32 = 2246822519
	xxPrime3 uint32 = 3266489917
	xxPrime4 uint32 = 668265263
	xxPrime5 uint32 = 374761393
)

// xxh32 is the 32-bit xxHash with seed 0, the checksum of LZ4 frames: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
func xxh32(p []byte) uint32 {
	h := xxPrime5
	size := uint32(len(p))
	if len(p) >= 16 {
		a, b, c, d := xxPrime1, xxPrime2, uint32(0), uint32(0)
		a += xxPrime2
		d -= xxPrime1
		for ; len(p) >= 16; p = p[16:] {
			a = xxRound(a, binary.LittleEndian.Uint32(p))
			b = xxRound(b, binary.LittleEndian.Uint32(p[4:]))
			c = xxRound(c, binary.LittleEndian.Uint32(p[8:]))
			d = xxRound(d, binary.LittleEndian.Uint32(p[12:]))
		}
		h = bits.RotateLeft32(a, 1) + bits.RotateLeft32(b, 7) + bits.RotateLeft32(c, 12) + bits.RotateLeft32(d, 18)
	}
	h += size
	for ; len(p) >= 4; p = p[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(p)*xxPrime3, 17) * xxPrime4
	}
	for _, c := range p {
		h = bits.RotateLeft32(h+uint32(c)*xxPrime5, 11) * xxPrime1
	}
	h = (h ^ h>>15) * xxPrime2
	h = (h ^ h>>13) * xxPrime3
	return h ^ h>>16
}

func xxRound(lane, word uint32) uint32 {
	return bits.RotateLeft32(lane+word*xxPrime2, 13) * xxPrime1
}
