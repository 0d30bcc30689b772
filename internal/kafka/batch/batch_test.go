package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/kafka/model"
)

func TestNext(t *testing.T) {
	good := craft(None, nil)
	with := func(change func(b Batch)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	length := func(n int32) []byte {
		return with(func(b Batch) { binary.BigEndian.PutUint32(b[lengthAt:], uint32(n)) })
	}
	for _, c := range []struct {
		name string
		buf  []byte
		want error
	}{
		{"good", good, nil},
		{"good and more", append(bytes.Clone(good), 1, 2, 3), nil},
		{"nothing", nil, ErrTruncated},
		{"no length", good[:11], ErrTruncated},
		{"no magic", good[:16], ErrTruncated},
		{"no header", good[:60], ErrTruncated},
		{"one byte missing", good[:len(good)-1], ErrTruncated},
		{"negative length", length(-1), ErrCorrupt},
		{"length 13", length(13), ErrCorrupt},
		{"length of less than a header", length(48), ErrCorrupt},
		{"length 2^31-1", length(math.MaxInt32), ErrCorrupt},
		{"length 2^31-13", length(math.MaxInt32 - 12), ErrTruncated},
		{"format 1", with(func(b Batch) { b[magicAt] = 1 }), ErrMagic},
		{"format 0 of 14 bytes", with(func(b Batch) { b[magicAt] = 0; binary.BigEndian.PutUint32(b[lengthAt:], 14) }), ErrMagic},
		{"format 3", with(func(b Batch) { b[magicAt] = 3 }), ErrCorrupt},
		{"format 255", with(func(b Batch) { b[magicAt] = 255 }), ErrCorrupt},
	} {
		b, rest, err := Next(c.buf)
		if err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && (!bytes.Equal(b, good) || len(rest) != len(c.buf)-len(good)) {
			t.Errorf("%s: a batch of %d bytes and %d more", c.name, len(b), len(rest))
		}
		if err != nil && (b != nil || len(rest) != len(c.buf)) {
			t.Errorf("%s: bytes were taken", c.name)
		}
	}
	if !errors.Is(ErrMagic, ErrCorrupt) {
		t.Error("ErrMagic is no ErrCorrupt")
	}
	if b, _, _ := Next(append(bytes.Clone(good), 1)); cap(b) != len(good) {
		t.Error("an append to the batch would overwrite the next one")
	}
}

func TestCheck(t *testing.T) {
	good := craft(LZ4, nil)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := Batch(bytes.Clone(good))
		bad[i] ^= 0x10
		leaders := i < 8 || i >= leaderEpochAt && i < magicAt // outside the checksum
		if err := bad.Check(); (err == nil) != leaders || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for _, b := range []Batch{nil, good[:10], good[:HeaderSize], good[:len(good)-1], append(bytes.Clone(good), 0)} {
		if err := b.Check(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

func TestLastSequence(t *testing.T) {
	for _, c := range []struct {
		base, records, want int32
	}{{0, 1, 0}, {5, 3, 7}, {math.MaxInt32 - 1, 2, math.MaxInt32}, {math.MaxInt32, 2, 0}, {math.MaxInt32, 3, 1}, {NoSequence, 3, NoSequence}} {
		var b Builder
		b.Reset(Options{HasProducer: true, BaseSequence: c.base})
		for range c.records {
			b.Append(1, nil, nil)
		}
		if got := b.Build().LastSequence(); got != c.want {
			t.Errorf("%d records from %d end at %d, want %d", c.records, c.base, got, c.want)
		}
	}
}

func TestBuilder(t *testing.T) {
	var b Builder
	if b.Build() != nil || b.Len() != HeaderSize || b.Count() != 0 {
		t.Error("an empty builder has a batch")
	}
	b.Append(7, nil, []byte("zero value"))
	b.AppendAt(5, 3, []byte("k"), nil)
	if b.Count() != 2 {
		t.Errorf("Count is %d", b.Count())
	}
	length := b.Len()
	got := b.Build()
	if err := got.Check(); err != nil || len(got) != length {
		t.Fatalf("%d bytes, Len said %d, %v", len(got), length, err)
	}
	if got.ProducerID() != NoProducerID || got.ProducerEpoch() != NoProducerEpoch || got.BaseSequence() != NoSequence || got.BaseTimestamp() != 7 || got.MaxTimestamp() != 7 ||
		got.LastOffsetDelta() != 5 || got.RecordCount() != 2 || got.HasDeleteHorizon() {
		t.Errorf("the header says % x", []byte(got[:HeaderSize]))
	}
	b.Reset(Options{TimestampType: LogAppendTime, LogAppendMs: 99, Control: true, Codec: Zstd})
	b.Append(7, []byte("k"), nil)
	got = b.Build()
	var r Reader
	if err := r.Reset(got, 1000); err != nil || !r.Next() || r.Record().Timestamp != 99 || !got.IsControl() || got.TimestampType() != LogAppendTime {
		t.Errorf("append time: %+v, %v", r.Record(), err)
	}
	for what, f := range map[string]func(){
		"an append after Build":   func() { b.Append(1, nil, nil) },
		"offsets that go back":    func() { b.Reset(Options{}); b.AppendAt(3, 1, nil, nil); b.AppendAt(3, 1, nil, nil) },
		"a codec that is unknown": func() { b.Reset(Options{Codec: 7}); b.Append(1, nil, nil); b.Build() },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.HasPrefix(p, "BUG: ") {
					t.Errorf("%s did not end in a BUG but in %q", what, p)
				}
			}()
			f()
		}()
	}
}

func TestNames(t *testing.T) {
	for _, c := range allCodecs {
		if got, err := ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("ParseCodec(%q) is %v, %v", c.String(), got, err)
		}
	}
	if c, err := ParseCodec("uncompressed"); c != None || err != nil {
		t.Errorf("uncompressed is %v, %v", c, err)
	}
	if _, err := ParseCodec("producer"); err == nil {
		t.Error("producer is no codec")
	}
	if Codec(9).Known() || Codec(-1).Known() || Codec(9).String() == "" {
		t.Error("codec 9 is known")
	}
	if CreateTime.String() != "CreateTime" || LogAppendTime.String() != "LogAppendTime" {
		t.Error("timestamp types have other names in Kafka")
	}
}

// refusal admits a batch that must be refused.
func refusal(t *testing.T, b Batch, change func(*Rules)) (model.ErrorCode, string) {
	t.Helper()
	rules := goodRules()
	change(&rules)
	var v Validator
	_, _, err := v.Admit(b, &rules)
	if err == nil {
		t.Fatal("the batch was admitted")
	}
	v.Release()
	return model.CodeOf(err)
}

func TestLimitsOfRules(t *testing.T) {
	good := craft(Zstd, nil)
	large := jsonBatch(Zstd, 100, 64<<10)
	for _, c := range []struct {
		name   string
		batch  Batch
		change func(*Rules)
		code   model.ErrorCode
		hint   string
	}{
		{"larger than max.message.bytes", good, func(r *Rules) { r.MaxBytes = len(good) - 1 }, model.MessageTooLarge, "max.message.bytes"},
		{"larger when decompressed", large, func(r *Rules) { r.MaxPlainBytes = 60 << 10 }, model.MessageTooLarge, "smaller batches"},
		{"larger when kept", large, func(r *Rules) { r.MaxBytes, r.Recompress = 60<<10, true }, model.MessageTooLarge, "max.message.bytes"},
		{"a record larger when decompressed", large, func(r *Rules) { r.MaxRecordBytes = 99 }, model.InvalidRecord, "max.decompressed.message.bytes"},
		{"zstd in an old request", good, func(r *Rules) { r.AllowZstd = false }, model.UnsupportedCompressionType, "version 7"},
	} {
		if code, message := refusal(t, c.batch, c.change); code != c.code || !strings.Contains(message, c.hint) {
			t.Errorf("%s: %v %q, want %v and %q", c.name, code, message, c.code, c.hint)
		}
	}
	rules := goodRules()
	rules.MaxBytes = len(good)
	var v Validator
	if _, _, err := v.Admit(good, &rules); err != nil {
		t.Errorf("exactly max.message.bytes: %v", err)
	}
}

func TestRecordErrorsAreBounded(t *testing.T) {
	for _, n := range []int{1, 2, maxRecordErrors, maxRecordErrors + 1, 50_000} {
		var b Builder
		for range n {
			b.Append(testNowMs, nil, nil)
		}
		rules := goodRules()
		rules.NeedKeys = true
		var v Validator
		_, err := v.Validate(b.Build(), &rules)
		refused, ok := errors.AsType[*RecordErrors](err)
		if !ok || len(refused.Records) != min(n, maxRecordErrors) || refused.Code != model.InvalidRecord || !errors.Is(err, model.InvalidRecord) {
			t.Fatalf("%d records: %v", n, err)
		}
		if refused.Message == "" || !strings.Contains(refused.Error(), refused.Message) || refused.Records[len(refused.Records)-1].Index != int32(min(n, maxRecordErrors)-1) {
			t.Errorf("%d records: %q", n, refused)
		}
	}
}

// A producer's batch carries none of the flags that only brokers set.
func TestAdmitDropsBrokersFlags(t *testing.T) {
	b := craft(Gzip, func(b Batch) { b.setAttributes(b.Attributes() | deleteHorizonBit | 0x7f80) })
	rules := goodRules()
	var v Validator
	out, _, err := v.Admit(b, &rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Check(); err != nil || out.Attributes() != int16(Gzip) {
		t.Errorf("attributes are %x, %v", out.Attributes(), err)
	}
}

// Admit touches a batch only where it must: the common case keeps every byte.
func TestAdmitKeepsGoodBatches(t *testing.T) {
	for _, codec := range allCodecs {
		b := craft(codec, nil)
		before := bytes.Clone(b)
		rules := goodRules()
		var v Validator
		out, info, err := v.Admit(b, &rules)
		if err != nil || &out[0] != &b[0] || !bytes.Equal(out, before) {
			t.Errorf("%v: the batch was changed, %v", codec, err)
		}
		if info.MaxTimestamp != b.MaxTimestamp() || info.MaxTimestampDelta != 2 || info.PlainBytes == 0 {
			t.Errorf("%v: %+v", codec, info)
		}
	}
}

// The reader of a compacted batch accepts gaps, and refuses what is out of order.
func TestReaderAfterCompaction(t *testing.T) {
	var b Builder
	b.Reset(Options{BaseOffset: 100})
	b.AppendAt(3, 10, []byte("k"), nil)
	b.AppendAt(8, 20, []byte("l"), nil)
	compacted := b.Build()
	binary.BigEndian.PutUint32(compacted[lastOffsetDeltaAt:], 15)
	compacted.SealCRC()
	var r Reader
	if err := r.Reset(compacted, 0); err != nil {
		t.Fatal(err)
	}
	var offsets []int64
	for r.Next() {
		offsets = append(offsets, r.Record().Offset)
	}
	if r.Err() != nil || len(offsets) != 2 || offsets[0] != 103 || offsets[1] != 108 || compacted.NextOffset() != 116 {
		t.Errorf("offsets %v, next %d, %v", offsets, compacted.NextOffset(), r.Err())
	}
	empty := craftBody(None, 0, nil)
	if err := r.Reset(empty, 0); err != nil || r.Next() || r.Err() != nil {
		t.Errorf("an emptied batch: %v, %v", err, r.Err())
	}
	r.Release()
	if r.PlainSize() != 0 || r.Next() {
		t.Error("a released reader has records")
	}
}
