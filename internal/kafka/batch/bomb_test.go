package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// zeros compresses n zeros.
func zeros(codec Codec, n int) []byte {
	return new(compressor).append(nil, make([]byte, n), codec, 0)
}

// zstdBlocksOf makes a frame of the window descriptor and n RLE blocks of 128 KiB, four bytes each.
func zstdBlocksOf(window byte, n int) []byte {
	p := append([]byte("\x28\xb5\x2f\xfd"), 0, window)
	for i := range n {
		last := uint32(0)
		if i == n-1 {
			last = 1
		}
		p = append(binary.LittleEndian.AppendUint32(p, last|1<<1|zstdMaxBlock<<3)[:len(p)+3], 'x')
	}
	return p
}

// bombs yields bodies that are small and stand for much, or claim to.
func bombs() iter.Seq2[Codec, []byte] {
	return func(yield func(Codec, []byte) bool) {
		huge := binary.AppendUvarint(nil, 1<<32-1)
		fourMiB := append([]byte("\x04\x22\x4d\x18"), 0x60, 0x70)
		fourMiB = append(fourMiB, byte(xxh32(fourMiB[4:])>>8))
		_ = yield(Gzip, zeros(Gzip, 64<<20)) &&
			yield(Gzip, bytes.Repeat(zeros(Gzip, 100_000), 200)) &&
			yield(Snappy, zeros(Snappy, 4<<20)) &&
			yield(Snappy, huge) &&
			yield(Snappy, append([]byte(xerialHeader+"\x00\x00\x00\x05"), huge...)) &&
			yield(Snappy, append([]byte(xerialHeader), "\xff\xff\xff\xff"...)) &&
			yield(LZ4, zeros(LZ4, 16<<20)) &&
			yield(LZ4, append(fourMiB, bytes.Repeat([]byte{4, 0, 0, 0, 0x1f, 'x', 1, 0}, 1000)...)) &&
			yield(Zstd, zeros(Zstd, 64<<20)) &&
			yield(Zstd, zstdBlocksOf(0x58, 1000)) &&
			yield(Zstd, zstdBlocksOf(0xff, 1000)) && // a window of 3.75 TiB
			yield(Zstd, zstdBlocksOf(0x58, 1)) &&
			yield(Zstd, append([]byte("\x28\xb5\x2f\xfd\xe0"), "\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x00\x00"...)) // 2^63-1 bytes announced
	}
}

// Decompression bombs stop at the limit, in time and memory; kafka/batch.I3.
func TestBombsStopAtTheLimit(t *testing.T) {
	var r Reader
	warm(t, &r)
	n := 0
	for codec, body := range bombs() {
		b := craftBody(codec, 1, body)
		var err error
		bounded(t, func() {
			r.Release()
			err = r.Reset(b, fuzzLimit)
			if err == nil {
				r.Next()
				err = r.Err()
			}
		})
		if err == nil {
			t.Errorf("bomb %d (%v, %d bytes) was read", n, codec, len(body))
		}
		if n++; len(body) > 64<<10 && !errors.Is(err, ErrTooLarge) {
			t.Errorf("bomb %d (%v, %d bytes): %v, want ErrTooLarge", n, codec, len(body), err)
		}
	}
	if n != 13 {
		t.Errorf("%d bombs", n)
	}
}

// The limit is exact for every codec: as many bytes pass, one more does not.
func TestLimitIsExact(t *testing.T) {
	var d decompressor
	for _, codec := range allCodecs[1:] {
		for _, size := range []int{0, 1, 100, 65536, 65537, 300_000, 3_000_000} {
			plain := bytes.Repeat([]byte("0123456789abcdef-"), size/17+1)[:size]
			packed := [][]byte{new(compressor).append(nil, plain, codec, 0)}
			if codec == Zstd {
				packed = append(packed, zstdWithoutSize(t, plain))
			}
			if codec == Snappy {
				packed = append(packed, snappy.Encode(nil, plain))
			}
			for i, p := range packed {
				got, err := d.append(nil, p, codec, size)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%v %d: %d bytes with a limit of %d: %v", codec, i, len(got), size, err)
				}
				if size == 0 {
					continue
				}
				if got, err = d.append(nil, p, codec, size-1); !errors.Is(err, ErrTooLarge) || len(got) > size-1 {
					t.Errorf("%v %d: %d bytes with a limit of %d: %v, want ErrTooLarge", codec, i, len(got), size-1, err)
				}
			}
		}
	}
}

// zstdWithoutSize compresses as a stream does, which cannot say how long it will be.
func zstdWithoutSize(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = w.Write(plain[:len(plain)/2])
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = w.Write(plain[len(plain)/2:])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Frames that are unusual but allowed are read; those that not every client reads are refused.
func TestFrames(t *testing.T) {
	plain := rawRecord{key: []byte("k"), value: bytes.Repeat([]byte("0123456789"), 30)}.append(nil)
	pack := func(codec Codec) []byte { return new(compressor).append(nil, plain, codec, 0) }
	half := func(codec Codec, from, to int) []byte {
		return new(compressor).append(nil, plain[from:to], codec, 0)
	}
	lz4With := func(change func([]byte) []byte) []byte { return change(pack(LZ4)) }
	reseal := func(p []byte, header int) []byte {
		p[header] = byte(xxh32(p[4:header]) >> 8)
		return p
	}
	for _, c := range []struct {
		name  string
		codec Codec
		body  []byte
		ok    bool
	}{
		{"gzip members", Gzip, append(half(Gzip, 0, 100), half(Gzip, 100, len(plain))...), true},
		{"snappy, bare", Snappy, snappy.Encode(nil, plain), true},
		{"snappy streams", Snappy, append(half(Snappy, 0, 100), half(Snappy, 100, len(plain))...), false},
		{"snappy, header cut", Snappy, []byte(xerialHeader)[:12], false},
		{"zstd frames", Zstd, append(half(Zstd, 0, 100), half(Zstd, 100, len(plain))...), true},
		{"zstd with a skippable frame", Zstd, append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00xx"), pack(Zstd)...), true},
		{"zstd with a skippable frame cut", Zstd, append(pack(Zstd), "\x50\x2a\x4d\x18\x03\x00\x00\x00xx"...), false},
		{"lz4 frames", LZ4, append(half(LZ4, 0, 100), half(LZ4, 100, len(plain))...), false},
		{"lz4 with dependent blocks", LZ4, lz4With(func(p []byte) []byte { p[4] &^= lz4Independent; return reseal(p, 6) }), false},
		{"lz4 with a dictionary", LZ4, lz4With(func(p []byte) []byte { p[4] |= lz4Dictionary; return reseal(p, 6) }), false},
		{"lz4 of another version", LZ4, lz4With(func(p []byte) []byte { p[4] ^= 0x80; return reseal(p, 6) }), false},
		{"lz4 with block size 3", LZ4, lz4With(func(p []byte) []byte { p[5] = 0x30; return reseal(p, 6) }), false},
		{"lz4 with block size 7", LZ4, lz4With(func(p []byte) []byte { p[5] = 0x70; return reseal(p, 6) }), true},
		{"lz4 with a wrong header checksum", LZ4, lz4With(func(p []byte) []byte { p[6]++; return p }), false},
		{"lz4 without an end mark", LZ4, lz4With(func(p []byte) []byte { return p[:len(p)-4] }), false},
		{"lz4 with content checksum", LZ4, lz4With(func(p []byte) []byte {
			p[4] |= lz4ContentChecksum
			return binary.LittleEndian.AppendUint32(reseal(p, 6), xxh32(plain))
		}), true},
		{"lz4 with a wrong content checksum", LZ4, lz4With(func(p []byte) []byte {
			p[4] |= lz4ContentChecksum
			return binary.LittleEndian.AppendUint32(reseal(p, 6), xxh32(plain)+1)
		}), false},
		{"lz4 with a wrong block checksum", LZ4, lz4With(func(p []byte) []byte {
			p[4] |= lz4BlockChecksum
			p = reseal(p, 6)
			return append(p[:len(p)-4], "\x01\x02\x03\x04\x00\x00\x00\x00"...)
		}), false},
		{"lz4 stored", LZ4, append(append(binary.LittleEndian.AppendUint32(bytes.Clone(lz4FrameHeader), uint32(len(plain))|lz4Stored), plain...), 0, 0, 0, 0), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Reader
			err := r.Reset(craftBody(c.codec, 1, c.body), fuzzLimit)
			if err == nil && r.Next() && !r.Next() {
				err = r.Err()
			}
			if (err == nil) != c.ok {
				t.Errorf("got %v, want success: %v", err, c.ok)
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v is no ErrCorrupt", err)
			}
		})
	}
}
