package batch

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

const testLimit = 64 << 20

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// What goes into a Builder comes out of a Reader, for every codec and level.
func TestRoundTrip(t *testing.T) {
	var builder Builder
	var reader Reader
	rapid.Check(t, func(t *rapid.T) {
		type record struct {
			ms         int64
			key, value []byte
			headers    []Header
		}
		maybe := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record {
			r := record{ms: rapid.Int64().Draw(t, "ms"), key: maybe.Draw(t, "key"), value: maybe.Draw(t, "value")}
			if r.value != nil {
				r.value = bytes.Repeat(r.value, rapid.IntRange(1, 200).Draw(t, "times"))
			}
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				r.headers = append(r.headers, Header{Key: rapid.SliceOf(rapid.Byte()).Draw(t, "header"), Value: maybe.Draw(t, "header value")})
			}
			return r
		}), 1, 30).Draw(t, "records")
		o := Options{
			Codec: rapid.SampledFrom(allCodecs).Draw(t, "codec"), Level: rapid.IntRange(-3, 23).Draw(t, "level"),
			BaseOffset: rapid.Int64Range(0, 1<<60).Draw(t, "offset"), PartitionLeaderEpoch: rapid.Int32().Draw(t, "epoch"),
			HasProducer: true, ProducerID: rapid.Int64().Draw(t, "pid"), ProducerEpoch: rapid.Int16().Draw(t, "pepoch"), BaseSequence: rapid.Int32Range(0, 1<<31-1).Draw(t, "seq"),
			Transactional: rapid.Bool().Draw(t, "txn"), Control: rapid.Bool().Draw(t, "control"),
		}
		builder.Reset(o)
		for _, r := range records {
			builder.Append(r.ms, r.key, r.value, r.headers...)
		}
		buf := append(bytes.Clone(builder.Build()), "rest"...)
		b, rest, err := Next(buf)
		if err != nil || string(rest) != "rest" {
			t.Fatalf("Next: %v, rest %q", err, rest)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if b.Codec() != o.Codec || b.BaseOffset() != o.BaseOffset || b.PartitionLeaderEpoch() != o.PartitionLeaderEpoch || b.ProducerID() != o.ProducerID ||
			b.ProducerEpoch() != o.ProducerEpoch || b.BaseSequence() != o.BaseSequence || b.IsTransactional() != o.Transactional || b.IsControl() != o.Control ||
			int(b.RecordCount()) != len(records) || int(b.LastOffsetDelta()) != len(records)-1 || b.Magic() != 2 || b.TimestampType() != CreateTime {
			t.Fatalf("the header does not say what the options said: % x", b[:HeaderSize])
		}
		if err := reader.Reset(b, testLimit); err != nil {
			t.Fatal(err)
		}
		for i, want := range records {
			if !reader.Next() {
				t.Fatalf("record %d: %v", i, reader.Err())
			}
			got := reader.Record()
			if got.Offset != o.BaseOffset+int64(i) || got.Timestamp != want.ms || !same(got.Key, want.key) || !same(got.Value, want.value) || got.HeaderCount != len(want.headers) {
				t.Fatalf("record %d: got %+v, want %+v", i, got, want)
			}
			n := 0
			for key, value := range got.Headers() {
				if !bytes.Equal(key, want.headers[n].Key) || !same(value, want.headers[n].Value) {
					t.Fatalf("record %d, header %d: got %q=%q", i, n, key, value)
				}
				n++
			}
			if n != len(want.headers) {
				t.Fatalf("record %d: %d headers, want %d", i, n, len(want.headers))
			}
		}
		if reader.Next() || reader.Err() != nil {
			t.Fatalf("after the last record: %v", reader.Err())
		}
	})
}

// same tells null and empty apart.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
