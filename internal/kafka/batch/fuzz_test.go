package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/cost"
)

const (
	fuzzLimit = 1 << 20
	// fuzzTime is what one input may take: decompressing fuzzLimit bytes takes 10 ms here.
	fuzzTime = 50 * time.Millisecond
	// fuzzMemory is what one input may allocate besides decoders: the result, which grows by doubling.
	fuzzMemory = 4 * fuzzLimit
)

// bounded fails when f takes more time or memory than an input may.
func bounded(t *testing.T, f func()) {
	t.Helper()
	cost.Within(t, cost.Limit{Bytes: fuzzMemory, Time: fuzzTime}, f)
}

// warm makes all decoders, so that what an input costs is not mixed up with what they cost once.
func warm(t testing.TB, r *Reader) {
	t.Helper()
	for _, codec := range allCodecs {
		if err := r.Reset(craft(codec, nil), fuzzLimit); err != nil {
			t.Fatal(err)
		}
	}
}

func seedBatches(f *testing.F, add func(b []byte)) {
	for _, codec := range allCodecs {
		add(craft(codec, nil))
		add(craftRaw(codec, rawRecord{}))
		add(craftRaw(codec, rawRecord{headers: []byte{2, 'h', 1}, headerN: 1}, rawRecord{delta: 1, key: []byte("k"), value: []byte{}}))
	}
	files, err := filepath.Glob("testdata/*.batch")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		p, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(p) < 20_000 {
			add(p)
		}
	}
}

func FuzzNext(f *testing.F) {
	seedBatches(f, func(b []byte) {
		f.Add(b)
		f.Add(append(bytes.Clone(b), b...))
		f.Add(b[:len(b)-1])
	})
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, buf []byte) {
		original := bytes.Clone(buf)
		bounded(t, func() {
			for rest := buf; ; {
				b, next, err := Next(rest)
				if err != nil {
					if b != nil || len(next) != len(rest) {
						t.Fatalf("%v, yet %d bytes were split off", err, len(rest)-len(next))
					}
					if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrCorrupt) {
						t.Fatalf("unknown error %v", err)
					}
					return
				}
				if len(b) < HeaderSize || len(b)+len(next) != len(rest) || b.Size() != len(b) || b.Magic() != Magic {
					t.Fatalf("a batch of %d bytes says %d", len(b), b.Size())
				}
				good := b.Check() == nil
				c := Batch(bytes.Clone(b))
				c.SetBaseOffset(c.BaseOffset() + 1)
				c.SetPartitionLeaderEpoch(c.PartitionLeaderEpoch() + 1)
				if good != (c.Check() == nil) {
					t.Fatal("the leader's fields are within the checksum")
				}
				c.SealCRC()
				if c.Check() != nil || c.NextOffset() != c.LastOffset()+1 {
					t.Fatal("a sealed batch is not good")
				}
				rest = next
			}
		})
		if !bytes.Equal(buf, original) {
			t.Fatal("the input was changed")
		}
	})
}

// Whatever the compressed bytes are, reading them ends soon, within the limit, with all records or an error.
func FuzzReader(f *testing.F) {
	seedBatches(f, func(b []byte) { f.Add(uint8(Batch(b).Codec()), Batch(b).RecordCount(), b[HeaderSize:]) })
	for codec, bomb := range bombs() {
		f.Add(uint8(codec), int32(1), bomb)
	}
	var r Reader
	warm(f, &r)
	f.Fuzz(func(t *testing.T, codec uint8, count int32, body []byte) {
		if len(body) > 1<<16 {
			return
		}
		b := craftBody(Codec(codec&codecMask), int(count), body)
		bounded(t, func() {
			r.Release()
			if r.Reset(b, fuzzLimit) != nil {
				if r.Next() || r.Err() == nil {
					t.Fatal("a Reader that could not be reset has records")
				}
				return
			}
			if b.Codec() != None && r.PlainSize() > fuzzLimit {
				t.Fatalf("%d bytes were decompressed", r.PlainSize())
			}
			n := int32(0)
			for r.Next() {
				record := r.Record()
				headers := 0
				for range record.Headers() {
					headers++
				}
				if headers != record.HeaderCount {
					t.Fatalf("record %d has %d headers and says %d", n, headers, record.HeaderCount)
				}
				n++
			}
			if r.Err() == nil && n != count {
				t.Fatalf("%d records of %d, and no error", n, count)
			}
			if r.Next() {
				t.Fatal("Next went on after the end")
			}
		})
	})
}

// What is admitted can be read, by us and by franz-go, and stays the same when it is recompressed.
func FuzzValidate(f *testing.F) {
	seedBatches(f, func(b []byte) { f.Add(b, uint8(0)) })
	for _, c := range verdictCases() {
		f.Add([]byte(c.batch), uint8(len(c.name)))
	}
	var v, again Validator
	warm(f, &v.reader)
	warm(f, &again.reader)
	f.Fuzz(func(t *testing.T, buf []byte, flags uint8) {
		b, err := One(buf)
		if err != nil {
			if code, message := model.CodeOf(err); code != model.InvalidRecord && code != model.CorruptMessage || message == "" {
				t.Fatalf("One: %v", err)
			}
			return
		}
		if len(b) > 1<<16 {
			return
		}
		b = bytes.Clone(b)
		b.SealCRC() // else the fuzzer would have to guess it
		rules := Rules{NowMs: testNowMs, TimestampBeforeMs: math.MaxInt64, TimestampAfterMs: math.MaxInt64, AllowZstd: flags&1 != 0, NeedKeys: flags&2 != 0,
			TimestampType: TimestampType(flags >> 2 & 1), MaxPlainBytes: fuzzLimit, Recompress: flags&8 != 0, Codec: Codec(flags >> 4 % 5)}
		var out Batch
		bounded(t, func() {
			v.Release()
			_, err = v.Validate(b, &rules)
		})
		before := bytes.Clone(b)
		out, info, admitErr := v.Admit(b, &rules)
		if (err == nil) != (admitErr == nil) {
			t.Fatalf("Validate says %v, Admit %v", err, admitErr)
		}
		if err != nil {
			code, message := model.CodeOf(err)
			switch code {
			case model.InvalidRecord, model.InvalidTimestamp, model.CorruptMessage, model.MessageTooLarge, model.UnsupportedCompressionType:
			default:
				t.Fatalf("%v has the code %v", err, code)
			}
			if message == "" || !bytes.Equal(b, before) {
				t.Fatalf("no message, or the refused batch was changed: %v", err)
			}
			return
		}
		checkAdmitted(t, out, info, &rules)
		rewritten, err := again.Rewrite(out, Codec(flags%5), 0, fuzzLimit)
		if err != nil {
			t.Fatal(err)
		}
		checkAdmitted(t, rewritten, info, &rules)
	})
}

func checkAdmitted(t *testing.T, b Batch, info Info, rules *Rules) {
	t.Helper()
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	if b.TimestampType() != rules.TimestampType || b.MaxTimestamp() != info.MaxTimestamp {
		t.Fatalf("the batch has %v %d, validation found %d", b.TimestampType(), b.MaxTimestamp(), info.MaxTimestamp)
	}
	var r Reader
	if err := r.Reset(b, fuzzLimit); err != nil {
		t.Fatal(err)
	}
	greatest, n := int64(NoTimestamp), 0
	for ; r.Next(); n++ {
		greatest = max(greatest, r.Record().Timestamp)
	}
	if r.Err() != nil || n != int(b.RecordCount()) || greatest != b.MaxTimestamp() {
		t.Fatalf("%d records of %d, greatest timestamp %d of %d, %v", n, b.RecordCount(), greatest, b.MaxTimestamp(), r.Err())
	}
	if b.IsTransactional() { // franz-go wants to know about the transaction's end
		return
	}
	fetched := kmsg.NewFetchResponseTopicPartition()
	fetched.RecordBatches = bytes.Clone(b)
	p, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &fetched, kgo.DefaultDecompressor(), nil)
	if p.Err != nil || len(p.Records) != n {
		t.Fatalf("franz-go reads %d records of %d, %v", len(p.Records), n, p.Err)
	}
}

// FuzzVarint compares with encoding/binary.
func FuzzVarint(f *testing.F) {
	for _, v := range []int64{0, -1, 63, 64, -64, -65, 8191, 8192, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MaxInt64, math.MinInt64} {
		f.Add(binary.AppendVarint(nil, v))
	}
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x10})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, p []byte) {
		want, n := binary.Varint(p)
		var got int64
		var next int
		cost.Within(t, cost.Parsing(len(p)), func() { got, next = varlong(p, 0) })
		if (n > 0) != (next > 0) || n > 0 && (got != want || next != n) {
			t.Fatalf("varlong gives %d, %d; encoding/binary %d, %d", got, next, want, n)
		}
		var small int32
		cost.Within(t, cost.Parsing(len(p)), func() { small, next = varint(p, 0) })
		fits := n > 0 && n <= 5 && want == int64(int32(want))
		if fits != (next > 0) || fits && (int64(small) != want || next != n) {
			t.Fatalf("varint gives %d, %d; encoding/binary %d, %d", small, next, want, n)
		}
		if n > 0 {
			if again := appendVarint(nil, want); len(again) != varintSize(want) || len(again) > n {
				t.Fatalf("%d is written in %d bytes, varintSize says %d", want, len(again), varintSize(want))
			}
		}
	})
}
