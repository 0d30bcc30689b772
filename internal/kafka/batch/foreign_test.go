package batch

import (
	"bytes"
	"iter"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"

	"github.com/ottla/ottla/test/cost"
)

// foreignBatches yields batches of about size bytes of plain records, compressed as others do and Builder does not.
func foreignBatches(t testing.TB, size int) iter.Seq2[string, Batch] {
	return func(yield func(string, Batch) bool) {
		plain := jsonBatch(None, 1000, size)
		records, count := plain[HeaderSize:], int(plain.RecordCount())
		var fast bytes.Buffer
		z, err := gzip.NewWriterLevel(&fast, gzip.BestSpeed)
		if err == nil {
			_, err = z.Write(records)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = yield("gzip, level 1", craftBody(Gzip, count, fast.Bytes())) &&
			yield("gzip, as Java", craftBody(Gzip, count, new(compressor).append(nil, records, Gzip, 0))) &&
			yield("snappy, as librdkafka", craftBody(Snappy, count, snappy.Encode(nil, records))) &&
			yield("snappy, as Java", craftBody(Snappy, count, new(compressor).append(nil, records, Snappy, 0))) &&
			yield("lz4, blocks of 4 MiB and a checksum", craftBody(LZ4, count, lz4Stream(t, records, lz4.Block4Mb))) &&
			yield("lz4, as Java", craftBody(LZ4, count, new(compressor).append(nil, records, LZ4, 0))) &&
			yield("zstd, without its size", craftBody(Zstd, count, zstdWithoutSize(t, records))) &&
			yield("zstd, with its size", craftBody(Zstd, count, new(compressor).append(nil, records, Zstd, 0)))
	}
}

// lz4Stream compresses as franz-go does.
func lz4Stream(t testing.TB, plain []byte, block lz4.BlockSize) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	err := w.Apply(lz4.BlockSizeOption(block))
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Frames that do not tell how much they hold, or announce more than they do, cost no memory once a Validator has seen one like them, though it was in a pool since;
// kafka/batch.I4.
func TestForeignBatchesDoNotAllocate(t *testing.T) {
	rules := goodRules()
	for _, size := range []int{64 << 10, 1 << 20} {
		var v Validator
		for name, batch := range foreignBatches(t, size) {
			if got := testing.AllocsPerRun(5, func() {
				if _, _, err := v.Admit(batch, &rules); err != nil {
					t.Fatal(err)
				}
				v.Release()
			}); got != 0 {
				t.Errorf("%s of %d bytes allocates %v times", name, size, got)
			}
		}
	}
}

// A block costs memory for what it holds, not for what its frame announces.
func TestLZ4BlocksTakeWhatTheyHold(t *testing.T) {
	for _, plain := range [][]byte{jsonBatch(None, 1000, 64<<10)[HeaderSize:], make([]byte, 1<<20)} {
		packed := lz4Stream(t, plain, lz4.Block4Mb)
		var d decompressor
		cost.Within(t, cost.Limit{Bytes: 6 * len(plain), Time: fuzzTime}, func() { // four times as much, and the attempts before
			if got, err := d.append(nil, packed, LZ4, 8<<20); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d of %d bytes, %v", len(got), len(plain), err)
			}
		})
	}
}
