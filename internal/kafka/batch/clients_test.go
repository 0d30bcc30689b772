package batch_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
)

const limit = 8 << 20

// sample is record i of the batches in testdata/*.batch and of those that these tests make.
func sample(i int) (ms int64, key, value []byte, headers []batch.Header) {
	if i%10 != 9 {
		value = bytes.Repeat(fmt.Appendf(nil, "value-%d ", i), 20)
	}
	if i%2 == 0 {
		headers = []batch.Header{{Key: []byte("h"), Value: []byte{byte(i)}}, {Key: []byte("null")}}
	}
	return 1_700_000_000_000 + int64(i)*7, fmt.Appendf(nil, "key-%d", i), value, headers
}

const samples = 600

// checkSamples reads all samples out of a batch.
func checkSamples(t *testing.T, b batch.Batch) {
	t.Helper()
	var r batch.Reader
	if err := r.Reset(b, limit); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; r.Next(); n++ {
		got := r.Record()
		ms, key, value, headers := sample(n)
		if got.Offset != b.BaseOffset()+int64(n) || got.Timestamp != ms || !bytes.Equal(got.Key, key) || !bytes.Equal(got.Value, value) || (got.Value == nil) != (value == nil) || got.HeaderCount != len(headers) {
			t.Fatalf("record %d is %+v", n, got)
		}
		i := 0
		for key, value := range got.Headers() {
			if !bytes.Equal(key, headers[i].Key) || !bytes.Equal(value, headers[i].Value) || (value == nil) != (headers[i].Value == nil) {
				t.Fatalf("header %d of record %d is %q=%q", i, n, key, value)
			}
			i++
		}
	}
	if r.Err() != nil || n != samples {
		t.Fatalf("%d records, %v", n, r.Err())
	}
}

// Batches of the Java and Python clients, whose frames differ: LZ4 with block checksums or content size, gzip with a time, zstd with and without size.
func TestReadsWhatClientsWrite(t *testing.T) {
	files, err := filepath.Glob("testdata/*.batch")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files, %v; want 10", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			p, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b, rest, err := batch.Next(p)
			if err != nil || len(rest) > 0 {
				t.Fatalf("%d bytes left, %v", len(rest), err)
			}
			if err := b.Check(); err != nil {
				t.Fatal(err)
			}
			if b.ProducerID() != 42 || b.ProducerEpoch() != 3 || b.BaseSequence() != 77 || b.LastSequence() != 77+samples-1 || b.RecordCount() != samples {
				t.Errorf("the header says % x", []byte(b[:batch.HeaderSize]))
			}
			checkSamples(t, b)
		})
	}
}

var codecs = []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}

func build(codec batch.Codec, level int) batch.Batch {
	var builder batch.Builder
	builder.Reset(batch.Options{Codec: codec, Level: level, BaseOffset: 1000, PartitionLeaderEpoch: 5, HasProducer: true, ProducerID: 42, ProducerEpoch: 3, BaseSequence: 77})
	for i := range samples {
		ms, key, value, headers := sample(i)
		builder.Append(ms, key, value, headers...)
	}
	return builder.Build()
}

// franz-go reads what we build, of every codec and level.
func TestFranzGoReadsWhatWeWrite(t *testing.T) {
	for _, codec := range codecs {
		for level := -2; level <= 22; level++ {
			b := build(codec, level)
			checkSamples(t, b)
			fetched := kmsg.NewFetchResponseTopicPartition()
			fetched.RecordBatches = b
			p, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 1000}, &fetched, kgo.DefaultDecompressor(), nil)
			if p.Err != nil || len(p.Records) != samples {
				t.Fatalf("%v level %d: %d records, %v", codec, level, len(p.Records), p.Err)
			}
			for i, r := range p.Records {
				ms, key, value, headers := sample(i)
				if r.Offset != 1000+int64(i) || r.Timestamp.UnixMilli() != ms || !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value) || len(r.Headers) != len(headers) || r.ProducerID != 42 {
					t.Fatalf("%v level %d, record %d is %+v", codec, level, i, r)
				}
			}
		}
	}
}

// We read what franz-go's compressors write, with the records' layout and the header that kmsg has.
func TestReadsWhatFranzGoWrites(t *testing.T) {
	plain := build(batch.None, 0)
	for _, c := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		compressor, err := kgo.DefaultCompressor(c)
		if err != nil {
			t.Fatal(err)
		}
		packed, codec := compressor.Compress(new(bytes.Buffer), plain[batch.HeaderSize:])
		header := kmsg.RecordBatch{
			FirstOffset: 1000, Length: int32(batch.HeaderSize - batch.Overhead + len(packed)), PartitionLeaderEpoch: 5, Magic: 2, Attributes: int16(codec),
			LastOffsetDelta: samples - 1, FirstTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_000 + 7*(samples-1),
			ProducerID: 42, ProducerEpoch: 3, FirstSequence: 77, NumRecords: samples, Records: packed,
		}
		b, rest, err := batch.Next(header.AppendTo(nil))
		if err != nil || len(rest) > 0 {
			t.Fatalf("%v: %d bytes left, %v", codec, len(rest), err)
		}
		b.SealCRC()
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if b.Codec() != batch.Codec(codec) {
			t.Errorf("the codec is %v, want %v", b.Codec(), codec)
		}
		checkSamples(t, b)
	}
}

// kmsg and we agree on every field of the header.
func TestHeaderAgreesWithKmsg(t *testing.T) {
	b := build(batch.LZ4, 0)
	b.SetBaseOffset(1 << 40)
	b.SetPartitionLeaderEpoch(-7)
	b.SetLogAppendTime(1_800_000_000_000)
	b.SealCRC()
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	type fields struct {
		offset         int64
		length, epoch  int32
		magic          int8
		crc            uint32
		attributes     int16
		delta          int32
		first, max, id int64
		producer       int16
		sequence, n    int32
	}
	theirs := fields{k.FirstOffset, k.Length, k.PartitionLeaderEpoch, k.Magic, uint32(k.CRC), k.Attributes, k.LastOffsetDelta, k.FirstTimestamp, k.MaxTimestamp, k.ProducerID, k.ProducerEpoch, k.FirstSequence, k.NumRecords}
	ours := fields{b.BaseOffset(), int32(b.Size() - batch.Overhead), b.PartitionLeaderEpoch(), b.Magic(), b.CRC(), b.Attributes(), b.LastOffsetDelta(), b.BaseTimestamp(), b.MaxTimestamp(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.RecordCount()}
	if ours != theirs {
		t.Errorf("we read  %+v\nkmsg has %+v", ours, theirs)
	}
	if b.LastOffset() != 1<<40+samples-1 || b.NextOffset() != 1<<40+samples || b.TimestampType() != batch.LogAppendTime {
		t.Errorf("last %d, next %d, %v", b.LastOffset(), b.NextOffset(), b.TimestampType())
	}
}

// Rewrite goes between all codecs and changes nothing but codec, length and checksum.
func TestRewrite(t *testing.T) {
	var v batch.Validator
	for _, from := range codecs {
		for _, to := range codecs {
			b := build(from, 0)
			before := bytes.Clone(b)
			out, err := v.Rewrite(b, to, 0, limit)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, before) {
				t.Fatalf("%v to %v changed the original", from, to)
			}
			if err := out.Check(); err != nil || out.Codec() != to {
				t.Fatalf("%v to %v: %v, %v", from, to, out.Codec(), err)
			}
			checkSamples(t, out)
			if !bytes.Equal(out[23:batch.HeaderSize], b[23:batch.HeaderSize]) || out.BaseOffset() != b.BaseOffset() || out.PartitionLeaderEpoch() != b.PartitionLeaderEpoch() {
				t.Errorf("%v to %v changed the header", from, to)
			}
		}
	}
}
