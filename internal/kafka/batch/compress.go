package batch

import (
	"encoding/binary"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/ottla/ottla/internal/invariant"
)

// compressor keeps encoders between batches; each is made when first used, because they are large (lz4 128 KiB, the others up to megabytes).
type compressor struct {
	gzip      *gzip.Writer
	gzipLevel int
	gzipOut   byteSink
	lz4       *lz4.Compressor
	lz4High   *lz4.CompressorHC
	block     []byte
	zstd      *zstd.Encoder
	zstdLevel zstd.EncoderLevel
}

// byteSink is an io.Writer onto a slice.
type byteSink struct{ p []byte }

func (s *byteSink) Write(p []byte) (int, error) {
	s.p = append(s.p, p...)
	return len(p), nil
}

// append compresses records to the end of dst.
func (c *compressor) append(dst, records []byte, codec Codec, level int) []byte {
	switch codec {
	case Gzip:
		return c.appendGzip(dst, records, level)
	case Snappy:
		return c.appendSnappy(dst, records)
	case LZ4:
		return c.appendLZ4(dst, records, level)
	case Zstd:
		return c.appendZstd(dst, records, level)
	}
	invariant.Check(codec == None, "batch: compress with %v", codec)
	return append(dst, records...)
}

// appendGzip: Kafka's levels are -1 (default) and 1 to 9.
func (c *compressor) appendGzip(dst, records []byte, level int) []byte {
	if level <= 0 {
		level = gzip.DefaultCompression
	}
	level = min(level, gzip.BestCompression)
	c.gzipOut.p = dst
	if c.gzip == nil || c.gzipLevel != level {
		w, err := gzip.NewWriterLevel(&c.gzipOut, level)
		invariant.Check(err == nil, "batch: gzip level %d: %v", level, err)
		c.gzip, c.gzipLevel = w, level
	} else {
		c.gzip.Reset(&c.gzipOut)
	}
	_, err := c.gzip.Write(records)
	if err == nil {
		err = c.gzip.Close()
	}
	invariant.Check(err == nil, "batch: gzip into memory: %v", err)
	dst, c.gzipOut.p = c.gzipOut.p, nil
	return dst
}

// The xerial framing of snappy, which Java clients write and expect: a header, then blocks with their length before them.
const (
	xerialMagic     = "\x82SNAPPY\x00"
	xerialHeader    = xerialMagic + "\x00\x00\x00\x01\x00\x00\x00\x01" // version and oldest compatible version
	xerialBlockSize = 32 << 10
)

func (c *compressor) appendSnappy(dst, records []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(records) > 0 {
		n := min(len(records), xerialBlockSize)
		c.block = snappy.Encode(c.block[:cap(c.block)], records[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.block)))
		dst = append(dst, c.block...)
		records = records[n:]
	}
	return dst
}

// lz4DefaultLevel is Kafka's default; it stands for the fast compressor, every other level for the thorough one.
const lz4DefaultLevel = 9

// appendLZ4 writes one LZ4 frame of independent blocks of 64 KiB without checksums (the batch has one), as Kafka does.
func (c *compressor) appendLZ4(dst, records []byte, level int) []byte {
	dst = append(dst, lz4FrameHeader...)
	for len(records) > 0 {
		n := min(len(records), lz4BlockSize)
		if need := lz4.CompressBlockBound(n); cap(c.block) < need {
			c.block = make([]byte, need)
		}
		size, err := c.lz4Block(records[:n], c.block[:cap(c.block)], level)
		invariant.Check(err == nil, "batch: lz4 into memory: %v", err)
		if size == 0 || size >= n {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(n)|lz4Stored)
			dst = append(dst, records[:n]...)
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
			dst = append(dst, c.block[:size]...)
		}
		records = records[n:]
	}
	return binary.LittleEndian.AppendUint32(dst, 0) // end mark
}

func (c *compressor) lz4Block(src, dst []byte, level int) (int, error) {
	if level == 0 || level == lz4DefaultLevel {
		if c.lz4 == nil {
			c.lz4 = new(lz4.Compressor)
		}
		return c.lz4.CompressBlock(src, dst)
	}
	if c.lz4High == nil {
		c.lz4High = new(lz4.CompressorHC)
	}
	c.lz4High.Level = lz4.Level1 << (min(max(level, 1), 9) - 1)
	return c.lz4High.CompressBlock(src, dst)
}

func (c *compressor) appendZstd(dst, records []byte, level int) []byte {
	const defaultLevel = 3
	if level == 0 {
		level = defaultLevel
	}
	speed := zstd.EncoderLevelFromZstd(level)
	if c.zstd == nil || c.zstdLevel != speed {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		invariant.Check(err == nil, "batch: zstd level %d: %v", level, err)
		c.zstd, c.zstdLevel = e, speed
	}
	return c.zstd.EncodeAll(records, dst)
}
