package batch

import (
	"encoding/binary"
	"fmt"

	"github.com/pierrec/lz4/v4"
)

// The LZ4 frame format, as far as batches need it: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Blocks are taken apart
// here, not by a stream reader, so that they are decompressed straight into the result and no block size that a frame announces is allocated.
const (
	lz4Magic     = 0x184d2204
	lz4Stored    = 1 << 31 // flag of a block that is not compressed
	lz4BlockSize = 64 << 10

	lz4Version          = 0x40
	lz4Independent      = 0x20
	lz4BlockChecksum    = 0x10
	lz4ContentSize      = 0x08
	lz4ContentChecksum  = 0x04
	lz4Dictionary       = 0x01
	lz4SmallestBlock    = 4 // the code of 64 KiB; each step is four times as much
	lz4LargestBlock     = 7
	lz4WorstExpansion   = 255 // no LZ4 byte stands for more than 255 bytes
	lz4FirstRatio       = 4   // sizes the first attempt: many writers announce blocks of 4 MiB for whatever they have
	lz4ReservedFlag     = 0x02
	lz4ReservedBlockBit = 0x8f
)

// lz4FrameHeader begins every frame we write: version 1, independent blocks of at most 64 KiB, no checksums.
var lz4FrameHeader = newLZ4FrameHeader()

func newLZ4FrameHeader() []byte {
	h := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	h = append(h, lz4Version|lz4Independent, lz4SmallestBlock<<4)
	return append(h, byte(xxh32(h[4:])>>8))
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// lz4Frame is a frame that is being read: what its header said and the bytes after it.
type lz4Frame struct {
	flags    byte
	maxBlock int
	rest     []byte
}

// appendUnLZ4 decompresses the one frame that src is to the end of dst, up to limit bytes in all. A second frame is refused: Java clients do not
// read it.
func appendUnLZ4(dst, src []byte, limit int) ([]byte, error) {
	frame, err := parseLZ4Header(src)
	if err != nil {
		return dst, err
	}
	if dst, err = frame.appendBlocks(dst, limit); err != nil {
		return dst, err
	}
	if len(frame.rest) > 0 {
		return dst, corruptf("%d bytes follow the LZ4 frame", len(frame.rest))
	}
	return dst, nil
}

func parseLZ4Header(src []byte) (lz4Frame, error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return lz4Frame{}, corruptf("no LZ4 frame begins where one should")
	}
	flags, code := src[4], src[5]
	size := 6
	if flags&lz4ContentSize != 0 {
		size += 8 // not believed: blocks tell
	}
	switch {
	case flags&0xc0 != lz4Version || flags&lz4ReservedFlag != 0 || code&lz4ReservedBlockBit != 0:
		return lz4Frame{}, corruptf("the LZ4 frame has an unknown version or flag")
	case flags&lz4Dictionary != 0:
		return lz4Frame{}, corruptf("the LZ4 frame needs a dictionary")
	case flags&lz4Independent == 0:
		return lz4Frame{}, corruptf("the blocks of the LZ4 frame depend on each other, which Java clients cannot read")
	case code>>4 < lz4SmallestBlock:
		return lz4Frame{}, corruptf("the LZ4 frame has an unknown block size")
	case len(src) <= size:
		return lz4Frame{}, corruptf("the LZ4 frame is truncated")
	case src[size] != byte(xxh32(src[4:size])>>8):
		return lz4Frame{}, corruptf("the checksum of the LZ4 frame's header is wrong")
	}
	return lz4Frame{flags: flags, maxBlock: lz4BlockSize << (2 * (code>>4 - lz4SmallestBlock)), rest: src[size+1:]}, nil
}

// appendBlocks decompresses to the end of the frame.
func (f *lz4Frame) appendBlocks(dst []byte, limit int) ([]byte, error) {
	begin := len(dst)
	for {
		word, ok := f.word()
		if !ok {
			return dst, corruptf("the LZ4 frame is truncated")
		}
		if word == 0 {
			break
		}
		var err error
		if dst, err = f.appendBlock(dst, word, limit); err != nil {
			return dst, err
		}
	}
	if f.flags&lz4ContentChecksum != 0 {
		if sum, ok := f.word(); !ok || sum != xxh32(dst[begin:]) {
			return dst, corruptf("the checksum of the LZ4 frame's content is wrong")
		}
	}
	return dst, nil
}

// appendBlock decompresses the block whose size word was just read.
func (f *lz4Frame) appendBlock(dst []byte, word uint32, limit int) ([]byte, error) {
	size := int(word &^ lz4Stored)
	if size == 0 || size > f.maxBlock || size > len(f.rest) {
		return dst, corruptf("an LZ4 block of %d bytes cannot be", size)
	}
	block := f.rest[:size]
	f.rest = f.rest[size:]
	if f.flags&lz4BlockChecksum != 0 {
		if sum, ok := f.word(); !ok || sum != xxh32(block) {
			return dst, corruptf("the checksum of an LZ4 block is wrong")
		}
	}
	if word&lz4Stored != 0 {
		if len(dst)+size > limit {
			return dst, ErrTooLarge
		}
		return append(dst, block...), nil
	}
	most := min(f.maxBlock, size*lz4WorstExpansion)
	room := min(most, limit-len(dst))
	for try := min(room, max(lz4FirstRatio*size, cap(dst)-len(dst))); ; try = min(room, 4*try) {
		dst = grow(dst, try, limit)
		n, err := lz4.UncompressBlock(block, dst[len(dst):len(dst)+try])
		switch { // the decoder does not tell a full buffer from a broken block
		case err == nil:
			return dst[:len(dst)+n], nil
		case try < room:
		case room < most:
			return dst, ErrTooLarge
		default:
			return dst, corruptf("an LZ4 block is broken")
		}
	}
}

// word takes four bytes, little endian, off the rest.
func (f *lz4Frame) word() (uint32, bool) {
	if len(f.rest) < 4 {
		return 0, false
	}
	w := binary.LittleEndian.Uint32(f.rest)
	f.rest = f.rest[4:]
	return w, true
}
