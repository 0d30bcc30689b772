package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/ottla/ottla/internal/invariant"
)

// decompressor keeps decoders between batches; each is made when first used.
//
// Everything is decompressed straight into the result, never through a window or block buffer of the decoder, so that the limit on the result
// is a limit on memory: a zstd frame may announce a window of gigabytes and an LZ4 frame blocks of megabytes for nothing.
type decompressor struct {
	gzip   *gzip.Reader
	gzipIn bytes.Reader
	zstd   *zstd.Decoder
}

// append decompresses src to the end of dst. The result is never longer than limit; ErrTooLarge when it would be, else errors wrap ErrCorrupt.
// What dst held of capacity is used and grown.
func (d *decompressor) append(dst, src []byte, codec Codec, limit int) ([]byte, error) {
	switch codec {
	case Gzip:
		return d.appendGzip(dst, src, limit)
	case Snappy:
		return appendUnsnappy(dst, src, limit)
	case LZ4:
		return appendUnLZ4(dst, src, limit)
	case Zstd:
		return d.appendZstd(dst, src, limit)
	}
	return dst, ErrCodec
}

// grow makes room for n more bytes, and for as much again as there is unless that is beyond limit.
func grow(dst []byte, n, limit int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	grown := make([]byte, len(dst), max(len(dst)+n, min(2*cap(dst), limit)))
	copy(grown, dst)
	return grown
}

// appendGzip reads all members.
func (d *decompressor) appendGzip(dst, src []byte, limit int) ([]byte, error) {
	d.gzipIn.Reset(src)
	defer d.gzipIn.Reset(nil)
	if d.gzip == nil {
		d.gzip = new(gzip.Reader)
	}
	if err := d.gzip.Reset(&d.gzipIn); err != nil {
		return dst, corruptf("gzip: %v", err)
	}
	dst = grow(dst, min(4*len(src), limit-len(dst)), limit)
	for {
		if len(dst) == cap(dst) {
			dst = grow(dst, 1, limit)
		}
		n, err := d.gzip.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst) > limit {
			return dst[:limit], ErrTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, corruptf("gzip: %v", err)
		}
	}
}

// snappyWorstExpansion: no snappy element of n bytes stands for more than 64 bytes per 3 bytes, or 11 per 2.
const snappyWorstExpansion = 22

// appendUnsnappy reads the xerial framing and, as librdkafka and others write it, a bare snappy block. A second xerial stream behind the first is
// refused: Java clients read it, Go clients do not.
func appendUnsnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, []byte(xerialMagic)) {
		return appendSnappyBlock(dst, src, limit)
	}
	if len(src) < len(xerialHeader) {
		return dst, corruptf("the header of the snappy stream is truncated")
	}
	var err error
	for src = src[len(xerialHeader):]; len(src) > 0; {
		if len(src) < 4 {
			return dst, corruptf("the snappy stream is truncated")
		}
		size := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(size) > uint64(len(src)) {
			return dst, corruptf("a snappy block of %d bytes is truncated to %d", size, len(src))
		}
		if dst, err = appendSnappyBlock(dst, src[:size], limit); err != nil {
			return dst, err
		}
		src = src[size:]
	}
	return dst, nil
}

func appendSnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	size, err := snappy.DecodedLen(src)
	if err != nil || size > snappyWorstExpansion*len(src) {
		return dst, corruptf("a snappy block of %d bytes announces an impossible size", len(src))
	}
	if size > limit-len(dst) {
		return dst, ErrTooLarge
	}
	dst = grow(dst, size, limit)
	if _, err := snappy.Decode(dst[len(dst):len(dst)+size], src); err != nil {
		return dst, corruptf("a snappy block is broken")
	}
	return dst[:len(dst)+size], nil
}

const (
	zstdMaxBlock = 128 << 10
	// zstdSlack lets the decoder copy in words of 16 bytes to the very end.
	zstdSlack = 16
	// zstdFirstTry and zstdFirstRatio size the first attempt when the frame does not tell how long its content is. Memory for more is only asked
	// for after that much was really there.
	zstdFirstTry   = 1 << 20
	zstdFirstRatio = 16
)

func (d *decompressor) appendZstd(dst, src []byte, limit int) ([]byte, error) {
	if d.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(1<<32))
		invariant.Check(err == nil, "batch: zstd decoder: %v", err)
		d.zstd = z
	}
	most, known, err := zstdBound(src)
	if err != nil {
		return dst, err
	}
	begin := len(dst)
	room := min(most, limit-begin)
	if known && most > room {
		return dst, ErrTooLarge
	}
	try := room
	if !known {
		try = min(room, max(zstdFirstTry, zstdFirstRatio*len(src), cap(dst)-begin-zstdSlack))
	}
	defer func() {
		if begin+try > keepBuffer {
			d.zstd = nil // it remembers where it wrote last, and would keep that memory for as long as it lives
		}
	}()
	for {
		dst = grow(dst, try+zstdSlack, limit)
		out, err := d.zstd.DecodeAll(src, dst[:begin:begin+try+zstdSlack])
		switch {
		case err == nil && len(out)-begin <= room:
			return out, nil
		case err == nil:
			return dst, ErrTooLarge
		case try < room:
			try = min(room, 4*try)
		case errors.Is(err, zstd.ErrDecoderSizeExceeded) || most > room:
			return dst, ErrTooLarge
		default:
			return dst, corruptf("zstd: %v", err)
		}
	}
}

// zstdBound walks the headers of all frames and blocks and says how long the content can be at most; known when the frames say it themselves.
func zstdBound(src []byte) (most int, known bool, err error) {
	known = true
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, false, corruptf("zstd: %v", err)
		}
		src = src[h.HeaderSize:]
		if h.Skippable {
			if uint64(h.SkippableSize) > uint64(len(src)) {
				return 0, false, corruptf("a zstd frame is truncated")
			}
			src = src[h.SkippableSize:]
			continue
		}
		content, size, ok := zstdBlocks(src, h.HasCheckSum)
		if !ok || h.HasFCS && h.FrameContentSize > uint64(content) {
			return 0, false, corruptf("a zstd frame is truncated or lies about its content")
		}
		if h.HasFCS {
			content = int(h.FrameContentSize)
		}
		known = known && h.HasFCS
		most += content
		src = src[size:]
	}
	return most, known, nil
}

// zstdBlocks walks the blocks of one frame: the greatest size of their content and the number of bytes they and the checksum take.
func zstdBlocks(src []byte, checksum bool) (content, size int, ok bool) {
	const raw, rle, compressed = 0, 1, 2
	for last := false; !last; {
		if len(src)-size < 3 {
			return 0, 0, false
		}
		header := int(src[size]) | int(src[size+1])<<8 | int(src[size+2])<<16
		n := header >> 3
		last = header&1 != 0
		size += 3
		if n > zstdMaxBlock {
			return 0, 0, false
		}
		switch header >> 1 & 3 {
		case raw:
			content += n
			size += n
		case rle:
			content += n
			size++
		case compressed:
			content += zstdMaxBlock
			size += n
		default:
			return 0, 0, false
		}
	}
	if checksum {
		size += 4
	}
	return content, size, size <= len(src)
}
