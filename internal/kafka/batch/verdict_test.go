package batch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/kafka/model"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/verdicts-input.tsv anew")

// verdictCase is a produced batch and a topic. testdata/verdicts-kafka.tsv has what the LogValidator of Apache Kafka 4.4 made of it.
type verdictCase struct {
	name   string
	target string // compression.type
	rules  Rules
	batch  Batch
	// differs, when set, is what we make of it instead, and why says why.
	differs, why string
}

func (c *verdictCase) input() string {
	b2i := map[bool]int{true: 1}
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s", c.name, c.target, b2i[c.rules.NeedKeys], c.rules.TimestampType, c.rules.TimestampBeforeMs, c.rules.TimestampAfterMs,
		c.rules.MaxRecordBytes, hex.EncodeToString(c.batch))
}

// verdict admits the batch and words the result as testdata/Verdicts.java does.
func (c *verdictCase) verdict(t *testing.T) string {
	rules := c.rules
	if c.target != "producer" {
		codec, err := ParseCodec(c.target)
		if err != nil {
			t.Fatal(err)
		}
		rules.Recompress, rules.Codec = true, codec
	}
	b, err := One(bytes.Clone(c.batch))
	var info Info
	var v Validator
	if err == nil {
		b, info, err = v.Admit(b, &rules)
	}
	if err != nil {
		code, message := model.CodeOf(err)
		if message == "" {
			t.Errorf("%s: no message for the user", c.name)
		}
		verdict := "err " + code.String()
		if records, ok := errors.AsType[*RecordErrors](err); ok {
			verdict += " "
			for _, r := range records.Records {
				verdict += fmt.Sprintf("%d,", r.Index)
			}
		}
		return verdict
	}
	b.SetBaseOffset(1000)
	var s strings.Builder
	fmt.Fprintf(&s, "ok max=%d type=%d codec=%d valid=%v batchmax=%d last=%d pid=%d seq=%d txn=%v", info.MaxTimestamp, b.TimestampType(), b.Codec(), b.Check() == nil, b.MaxTimestamp(),
		b.LastOffset(), b.ProducerID(), b.BaseSequence(), b.IsTransactional())
	var r Reader
	if err := r.Reset(b, testLimit); err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		fmt.Fprintf(&s, " %d@%d", r.Record().Offset, r.Record().Timestamp)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return s.String()
}

// Batches good and bad get the verdict that Apache Kafka gives them, except where the case says why not.
func TestVerdictsOfKafka(t *testing.T) {
	cases := verdictCases()
	var input strings.Builder
	for i := range cases {
		input.WriteString(cases[i].input() + "\n")
	}
	const inputFile, kafkaFile = "testdata/verdicts-input.tsv", "testdata/verdicts-kafka.tsv"
	if *rewrite {
		if err := os.WriteFile(inputFile, []byte(input.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kafka := make(map[string]string)
	for line := range strings.Lines(readFile(t, kafkaFile)) {
		name, verdict, _ := strings.Cut(strings.TrimSpace(line), "\t")
		verdict, _, _ = strings.Cut(verdict, "\t") // Kafka's message is there for people
		kafka[name] = verdict
	}
	if readFile(t, inputFile) != input.String() {
		t.Fatalf("the cases differ from %s: run with -rewrite, then Verdicts.java", inputFile)
	}
	for i := range cases {
		c := &cases[i]
		t.Run(c.name, func(t *testing.T) {
			want, ok := kafka[c.name]
			if !ok {
				t.Fatal("Kafka was not asked about this case")
			}
			got := c.verdict(t)
			if c.differs != "" {
				if want == c.differs {
					t.Fatalf("Kafka's verdict is no longer different: %s", c.why)
				}
				want = c.differs
			}
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func verdictCases() []verdictCase {
	plain := Rules{NowMs: testNowMs, TimestampBeforeMs: math.MaxInt64, TimestampAfterMs: 3_600_000, AllowZstd: true, MaxRecordBytes: math.MaxInt32 - 8, MaxPlainBytes: testLimit}
	var cases []verdictCase
	add := func(name, target string, rules Rules, b Batch) *verdictCase {
		cases = append(cases, verdictCase{name: name, target: target, rules: rules, batch: b})
		return &cases[len(cases)-1]
	}
	rule := func(change func(*Rules)) Rules {
		r := plain
		change(&r)
		return r
	}
	for _, codec := range allCodecs {
		for _, target := range []string{"producer", "none", "gzip", "snappy", "lz4", "zstd"} {
			add(fmt.Sprintf("good %v to %s", codec, target), target, plain, craft(codec, nil))
			add(fmt.Sprintf("good %v to %s, append time", codec, target), target, rule(func(r *Rules) { r.TimestampType = LogAppendTime }), craft(codec, nil))
		}
		name := func(s string) string { return codec.String() + ": " + s }
		addHeaderCases(codec, name, plain, add)
		addTimeCases(codec, name, rule, add)
		addRecordCases(codec, name, plain, rule, add)
		addBrokenCases(codec, name, plain, add)
	}
	return cases
}

// Why we differ.
const (
	noCode   = "Kafka fails with an exception that has no code, UNKNOWN_SERVER_ERROR, which tells the user nothing"
	gaps     = "Kafka keeps the gap, or fails when the batch is compressed; no client sends it"
	ownTimes = "Kafka checks the batch's time, then drops it: the greatest timestamp becomes smaller than the records'"
	strict   = "Kafka ignores what not every client can read; no client sends it"
)

type addCase func(name, target string, rules Rules, b Batch) *verdictCase

func addHeaderCases(codec Codec, name func(string) string, plain Rules, add addCase) {
	set32 := func(at int, v int32) func(Batch) {
		return func(b Batch) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
	}
	add(name("count 0"), "producer", plain, craft(codec, set32(recordCountAt, 0)))
	add(name("count -1"), "producer", plain, craft(codec, set32(recordCountAt, -1)))
	add(name("count 2 of 3"), "producer", plain, craft(codec, set32(recordCountAt, 2)))
	add(name("last offset delta 5"), "producer", plain, craft(codec, set32(lastOffsetDeltaAt, 5)))
	add(name("last offset delta -1"), "producer", plain, craft(codec, set32(lastOffsetDeltaAt, -1)))
	both := func(n int32) func(Batch) {
		return func(b Batch) { set32(recordCountAt, n)(b); set32(lastOffsetDeltaAt, n-1)(b) }
	}
	add(name("two records claimed of three"), "producer", plain, craft(codec, both(2)))
	add(name("four records claimed of three"), "producer", plain, craft(codec, both(4)))
	add(name("2^31-1 records claimed"), "producer", plain, craft(codec, both(math.MaxInt32)))
	add(name("base offset 10"), "producer", plain, craft(codec, func(b Batch) { b.SetBaseOffset(10) }))
	add(name("control"), "producer", plain, craft(codec, func(b Batch) { b.setAttributes(b.Attributes() | controlBit) }))
	add(name("transactional"), "producer", plain, craft(codec, func(b Batch) { b.setAttributes(b.Attributes() | transactionalBit) }))
	add(name("sequence -1 with producer id"), "producer", plain, craft(codec, set32(baseSequenceAt, -1)))
	add(name("wrong greatest timestamp"), "producer", plain, craft(codec, func(b Batch) { b.SetMaxTimestamp(testNowMs + 5) }))
	add(name("leader epoch 9"), "producer", plain, craft(codec, func(b Batch) { b.SetPartitionLeaderEpoch(9) }))
	for id := Codec(5); id <= 7; id++ {
		c := add(name(fmt.Sprintf("codec %d", id)), "producer", plain, craft(codec, func(b Batch) { b.setAttributes(b.Attributes()&^codecMask | int16(id)) }))
		c.differs, c.why = "err UNSUPPORTED_COMPRESSION_TYPE", noCode
	}
	bad := craft(codec, nil)
	bad[len(bad)-1] ^= 1
	add(name("wrong checksum"), "producer", plain, bad)
	add(name("truncated"), "producer", plain, craft(codec, nil)[:100])
	add(name("two batches"), "producer", plain, append(craft(codec, nil), craft(codec, nil)...))
	add(name("half a batch behind"), "producer", plain, append(craft(codec, nil), craft(codec, nil)[:70]...))
}

func addTimeCases(codec Codec, name func(string) string, rule func(func(*Rules)) Rules, add addCase) {
	at := func(deltas ...int64) Batch {
		var records []rawRecord
		for i, d := range deltas {
			records = append(records, rawRecord{ms: d, delta: int64(i), key: []byte("k"), value: []byte("v")})
		}
		return craftRaw(codec, records...)
	}
	narrow := rule(func(r *Rules) { r.TimestampBeforeMs, r.TimestampAfterMs = 1000, 500 })
	appended := rule(func(r *Rules) { r.TimestampType = LogAppendTime })
	add(name("timestamps at the edges"), "producer", narrow, at(-1000, 500, 0))
	add(name("one too old"), "producer", narrow, at(0, -1001, 0))
	add(name("two too new"), "producer", narrow, at(501, 0, 1<<40))
	add(name("no timestamps"), "producer", narrow, at(-testNowMs-1, -testNowMs-1))
	lowest := int64(math.MinInt64) // the difference wraps
	add(name("extreme timestamps"), "producer", narrow, at(math.MaxInt64, math.MinInt64, math.MaxInt64-testNowMs, lowest-testNowMs))
	add(name("extreme timestamps, wide"), "producer", rule(func(r *Rules) { r.TimestampAfterMs = math.MaxInt64 }), at(math.MaxInt64, math.MinInt64, math.MaxInt64-testNowMs))
	add(name("too old is nothing to append time"), "producer", rule(func(r *Rules) { r.TimestampType = LogAppendTime; r.TimestampBeforeMs = 1 }), at(-5000))
	claims := func(ms int64) Batch {
		b := at(0, 1)
		b.SetLogAppendTime(ms)
		b.SealCRC()
		return b
	}
	claimed := func(codec Codec) string {
		return fmt.Sprintf("ok max=1700000000001 type=0 codec=%d valid=true batchmax=1700000000001 last=1001 pid=7 seq=5 txn=false 1000@1700000000000 1001@1700000000001", codec)
	}
	for _, c := range []*verdictCase{
		add(name("claims append time"), "producer", narrow, claims(testNowMs-7)),
		add(name("claims append time, too old"), "producer", narrow, claims(testNowMs-7000)),
		add(name("claims append time, none"), "producer", narrow, claims(-1)),
	} {
		c.differs, c.why = claimed(codec), ownTimes
	}
	packed := add(name("claims append time, recompressed"), "lz4", narrow, claims(testNowMs-7))
	packed.differs, packed.why = claimed(LZ4), ownTimes
	add(name("claims append time to append time"), "producer", appended, claims(testNowMs-7))
}

func addRecordCases(codec Codec, name func(string) string, plain Rules, rule func(func(*Rules)) Rules, add addCase) {
	k, v := []byte("key"), []byte("value")
	compact := rule(func(r *Rules) { r.NeedKeys = true })
	add(name("keys for compaction"), "producer", compact, craftRaw(codec, rawRecord{key: k, value: v}, rawRecord{delta: 1, key: []byte{}}))
	add(name("no keys for compaction"), "producer", compact, craftRaw(codec, rawRecord{key: k}, rawRecord{delta: 1}, rawRecord{delta: 2, value: v}))
	mixed := rule(func(r *Rules) { r.NeedKeys = true; r.TimestampAfterMs = 10 })
	add(name("no key and too new"), "producer", mixed, craftRaw(codec, rawRecord{}, rawRecord{delta: 1, key: k, ms: 11}, rawRecord{delta: 2, ms: 99}))
	gap := add(name("offsets with a gap"), "producer", plain, craftRaw(codec, rawRecord{}, rawRecord{delta: 2}, rawRecord{delta: 3}))
	gap.differs, gap.why = "err INVALID_RECORD", gaps
	one := add(name("offsets from 1"), "producer", plain, craftRaw(codec, rawRecord{delta: 1}, rawRecord{delta: 2}))
	one.differs, one.why = "err INVALID_RECORD", gaps
	back := add(name("offsets backwards"), "producer", plain, craftRaw(codec, rawRecord{}, rawRecord{delta: 2}, rawRecord{delta: 1}))
	back.differs, back.why = "err INVALID_RECORD", gaps
	limited := rule(func(r *Rules) { r.MaxRecordBytes = 20 })
	add(name("record as large as allowed"), "producer", limited, craftRaw(codec, rawRecord{value: bytes.Repeat(k, 4)}, rawRecord{delta: 1, value: bytes.Repeat([]byte("x"), 14)}))
	add(name("record larger than allowed"), "producer", limited, craftRaw(codec, rawRecord{value: bytes.Repeat(k, 4)}, rawRecord{delta: 1, value: bytes.Repeat([]byte("x"), 15)}))

	for _, c := range []struct {
		name string
		rawRecord
	}{
		{"record size one short", rawRecord{size: -1, key: k}},
		{"record size one long", rawRecord{size: 1, key: k}},
		{"record size -1", rawRecord{size: -100, key: k}},
		{"record size 0", rawRecord{size: -9, key: k}},
		{"record size 2^31-1", rawRecord{size: math.MaxInt32 - 9, key: k}},
		{"key beyond the record", rawRecord{key: k, keySize: 100}},
		{"value beyond the record", rawRecord{key: k, value: v, valueSize: 100}},
		{"value shorter than said", rawRecord{key: k, value: v, valueSize: 6}},
		{"header count -1", rawRecord{key: k, count: -1}},
		{"header count 1 of 0", rawRecord{key: k, count: 1}},
		{"header count 2^31-1", rawRecord{key: k, count: math.MaxInt32}},
		{"header key null", rawRecord{headers: []byte{1, 0}, headerN: 1}},
		{"header value null", rawRecord{headers: []byte{2, 'h', 1}, headerN: 1}},
		{"header value too long", rawRecord{headers: []byte{2, 'h', 20, 'v'}, headerN: 1}},
		{"header key too long", rawRecord{headers: []byte{20, 'h', 2, 'v'}, headerN: 1}},
		{"bytes behind the headers", rawRecord{headers: []byte{2, 'h', 2, 'v'}, headerN: 1, tail: []byte("tail")}},
		{"header missing of two", rawRecord{headers: []byte{2, 'h', 2, 'v'}, headerN: 2}},
		{"record without anything", rawRecord{}},
		{"offset delta beyond int32", rawRecord{delta: 1 << 40}},
		{"key size beyond int32", rawRecord{keySize: 1 << 40}},
		{"null header value at end", rawRecord{headers: []byte{2, 'h', 1, 2, 'i', 0}, headerN: 2}},
		{"key length -2", rawRecord{key: nil, keySize: -2}},
		{"header value of length -2", rawRecord{headers: []byte{2, 'h', 3}, headerN: 1}},
		{"two headers of equal names", rawRecord{headers: []byte{2, 'h', 2, 'v', 2, 'h', 2, 'w'}, headerN: 2}},
	} {
		added := add(name(c.name), "producer", plain, craftRaw(codec, c.rawRecord))
		if strings.HasSuffix(c.name, " -2") {
			added.differs, added.why = "err INVALID_RECORD", strict
		}
	}
}

func addBrokenCases(codec Codec, name func(string) string, plain Rules, add addCase) {
	one := rawRecord{key: []byte("k"), value: bytes.Repeat([]byte("0123456789"), 30)}.append(nil)
	packed := new(compressor).append(nil, one, codec, 0)
	broken := func(what, why string, count int, body []byte, differs ...Codec) {
		c := add(name(what), "producer", plain, craftBody(codec, count, body))
		if slices.Contains(differs, codec) {
			c.differs, c.why = "err INVALID_RECORD", why
		}
	}
	broken("body empty", noCode, 1, nil, Gzip, Snappy, LZ4)
	broken("body garbage", noCode, 1, []byte("this is neither a record nor compressed"), Gzip, Snappy, LZ4, Zstd)
	broken("body cut", noCode, 1, packed[:len(packed)-8], Gzip, Snappy, LZ4, Zstd)
	broken("body cut at the front", noCode, 1, packed[8:], Gzip, Snappy, LZ4, Zstd)
	broken("body twice as two", strict, 2, append(bytes.Clone(packed), new(compressor).append(nil, rawRecord{delta: 1, key: []byte("k")}.append(nil), codec, 0)...), Snappy)
	broken("bytes behind the body", strict, 1, append(bytes.Clone(packed), "behind"...), Gzip, Snappy, LZ4, Zstd)
	broken("body twice", strict, 1, append(bytes.Clone(packed), packed...), LZ4)
}
