package node

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

func TestProduceAcks(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	for i, acks := range []int16{1, -1} {
		if p := produce(t, c, "t", acks, batchOf(batch.Options{}, "a", "b")); p.ErrorCode != 0 || p.BaseOffset != int64(2*i) {
			t.Errorf("acks %d: %v at offset %d", acks, model.ErrorCode(p.ErrorCode), p.BaseOffset)
		}
	}
	taken := produceRequest("t", model.TopicID{}, 0, 0, batchOf(batch.Options{}, "c"))
	taken.Version = newestProduce
	if _, err := c.Send(taken); err != nil {
		t.Fatal(err)
	}
	served(t, c) // the next answer is to the next request: acks=0 has none
	eventually(t, "what was sent with acks=0 can be read", func() bool { return len(records(t, fetch(t, c, "t", 4).RecordBatches)) == 1 })
}

func TestProduceWithoutAcksClosesOnError(t *testing.T) {
	c := dial(t, opened(t))
	req := produceRequest("unknown", model.TopicID{}, 0, 0, batchOf(batch.Options{}, "c"))
	req.Version = newestProduce
	if _, err := c.Send(req); err != nil {
		t.Fatal(err)
	}
	if frame, err := c.ReceiveFrame(); err == nil {
		t.Fatalf("an answer to a refused produce without acks: %x", frame)
	}
}

func TestProduceRefusals(t *testing.T) {
	n := opened(t, "auto.create.topics.enable=false")
	c := dial(t, n)
	id := createTopic(t, c, "t", 1)
	createTopic(t, c, "compacted", 1, "cleanup.policy", "compact")
	warmCoordinator(t, c, "g")
	good := func() []byte { return batchOf(batch.Options{}, "v") }
	ask := func(name string, id model.TopicID, partition int32, acks int16, version int16, data []byte) kmsg.ProduceResponseTopicPartition {
		resp := request[*kmsg.ProduceResponse](t, c, version, produceRequest(name, id, partition, acks, data))
		return resp.Topics[0].Partitions[0]
	}
	changed := func(change func(b batch.Batch)) []byte {
		b := batchOf(batch.Options{}, "v", "w")
		change(b)
		return b
	}
	sealed := func(change func(b batch.Batch)) []byte {
		return changed(func(b batch.Batch) {
			change(b)
			b.SealCRC()
		})
	}
	keyless := func() []byte {
		var b batch.Builder
		b.Append(time.Now().UnixMilli(), []byte("k"), []byte("v"))
		b.Append(time.Now().UnixMilli(), nil, []byte("v"))
		return b.Build()
	}
	for _, x := range []struct {
		what string
		got  kmsg.ProduceResponseTopicPartition
		want model.ErrorCode
	}{
		{"acks of 2", ask("t", id, 0, 2, 12, good()), model.InvalidRequiredAcks},
		{"acks of -2", ask("t", id, 0, -2, 12, good()), model.InvalidRequiredAcks},
		{"unknown topic", ask("nope", model.TopicID{}, 0, -1, 12, good()), model.UnknownTopicOrPartition},
		{"unknown topic id", ask("", model.TopicID{7}, 0, -1, 13, good()), model.UnknownTopicID},
		{"zero topic id", ask("", model.TopicID{}, 0, -1, 13, good()), model.UnknownTopicID},
		{"partition too high", ask("t", id, 1, -1, 12, good()), model.UnknownTopicOrPartition},
		{"partition negative", ask("t", id, -1, -1, 12, good()), model.UnknownTopicOrPartition},
		{"internal topic", ask(model.ConsumerOffsetsTopic, model.TopicID{}, 0, -1, 12, good()), model.InvalidTopicException},
		{"no records", ask("t", id, 0, -1, 12, nil), model.InvalidRecord},
		{"empty records", ask("t", id, 0, -1, 12, []byte{}), model.InvalidRecord},
		{"cut short", ask("t", id, 0, -1, 12, good()[:70]), model.InvalidRecord},
		{"two batches", ask("t", id, 0, -1, 12, slices.Concat(good(), good())), model.InvalidRecord},
		{"bad checksum", ask("t", id, 0, -1, 12, changed(func(b batch.Batch) { b[70] ^= 1 })), model.CorruptMessage},
		{"magic 1", ask("t", id, 0, -1, 12, changed(func(b batch.Batch) { b[16] = 1 })), model.InvalidRecord},
		{"magic 3", ask("t", id, 0, -1, 12, changed(func(b batch.Batch) { b[16] = 3 })), model.CorruptMessage},
		{"too many counted", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { binary.BigEndian.PutUint32(b[57:], 3) })), model.InvalidRecord},
		{"too few counted", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { binary.BigEndian.PutUint32(b[57:], 1); binary.BigEndian.PutUint32(b[23:], 0) })), model.InvalidRecord},
		{"negative count", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { binary.BigEndian.PutUint32(b[57:], math.MaxUint32) })), model.InvalidRecord},
		{"control batch", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { b[22] |= 1 << 5 })), model.InvalidRecord},
		{"codec 5", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { b[22] |= 5 })), model.UnsupportedCompressionType},
		{"codec 7", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { b[22] |= 7 })), model.UnsupportedCompressionType},
		{"zstd in version 6", ask("t", id, 0, -1, 6, batchOf(batch.Options{Codec: batch.Zstd}, "v")), model.UnsupportedCompressionType},
		{"no gzip at all", ask("t", id, 0, -1, 12, sealed(func(b batch.Batch) { b[22] |= 1 })), model.InvalidRecord},
		{"transactional batch", ask("t", id, 0, -1, 12, batchOf(batch.Options{Transactional: true, HasProducer: true, ProducerID: 5}, "v")), model.InvalidRequest},
		{"sequence below zero", ask("t", id, 0, -1, 12, batchOf(batch.Options{HasProducer: true, ProducerID: 5, BaseSequence: -1}, "v")), model.InvalidRecord},
	} {
		code(t, x.what, x.got.ErrorCode, x.want)
		if x.got.BaseOffset != -1 {
			t.Errorf("%s: base offset %d, want -1", x.what, x.got.BaseOffset)
		}
	}
	p := ask("compacted", model.TopicID{}, 0, -1, 12, keyless())
	code(t, "no key in a compacted topic", p.ErrorCode, model.InvalidRecord)
	if len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 {
		t.Errorf("no key in a compacted topic: record errors %+v", p.ErrorRecords)
	}
	if end := listOffset(t, c, 11, "t", -1); end.Offset != 0 {
		t.Errorf("refused records are in the log: it ends at %d", end.Offset)
	}
	if p := ask("t", id, 0, -1, 12, good()); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("the first good record: %v at %d", model.ErrorCode(p.ErrorCode), p.BaseOffset)
	}
}

func TestProduceTransactionalIsRefusedForGood(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	req := produceRequest("t", model.TopicID{}, 0, -1, batchOf(batch.Options{Transactional: true, HasProducer: true, ProducerID: 5}, "v"))
	req.TransactionID = new("tx")
	resp := request[*kmsg.ProduceResponse](t, c, 12, req)
	p := resp.Topics[0].Partitions[0]
	code(t, "transactional produce", p.ErrorCode, model.InvalidRequest)
	if p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, "transactional.id") {
		t.Errorf("the message does not say what to do: %v", p.ErrorMessage)
	}
	for version := range int16(7) { // librdkafka asks by version 2, and gives up for one code only
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey, find.CoordinatorKeys, find.CoordinatorType = "tx", []string{"tx"}, 1
		resp := request[*kmsg.FindCoordinatorResponse](t, c, version, find)
		refused, message, want := resp.ErrorCode, resp.ErrorMessage, model.InvalidRequest
		if version >= 4 {
			refused, message = resp.Coordinators[0].ErrorCode, resp.Coordinators[0].ErrorMessage
		}
		if version <= 2 {
			want = model.TransactionalIDAuthorizationFailed
		}
		if version >= 1 { // version 0 knows groups only
			code(t, "FindCoordinator of a transaction", refused, want)
			if message == nil || !strings.Contains(*message, "transactional.id") {
				t.Errorf("version %d: the message does not say what to do: %v", version, message)
			}
		}
	}
	for _, version := range []int16{0, 5} {
		init := kmsg.NewPtrInitProducerIDRequest()
		init.TransactionalID, init.TransactionTimeoutMillis = new("tx"), 60_000
		code(t, "transactional InitProducerId", request[*kmsg.InitProducerIDResponse](t, c, version, init).ErrorCode, model.InvalidRequest)
	}
}

// producerID takes a fresh one.
func producerID(t *testing.T, c *raw.Conn) int64 {
	t.Helper()
	resp := request[*kmsg.InitProducerIDResponse](t, c, 5, kmsg.NewPtrInitProducerIDRequest())
	if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 {
		t.Fatalf("InitProducerId: %+v", resp)
	}
	return resp.ProducerID
}

func TestProduceSequences(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	id, other := producerID(t, c), producerID(t, c)
	if id == other {
		t.Fatalf("producer id %d was given twice", id)
	}
	send := func(epoch int16, sequence int32, values ...string) kmsg.ProduceResponseTopicPartition {
		return produce(t, c, "t", -1, batchOf(batch.Options{HasProducer: true, ProducerID: id, ProducerEpoch: epoch, BaseSequence: sequence}, values...))
	}
	expect := func(what string, p kmsg.ProduceResponseTopicPartition, want model.ErrorCode, offset int64) {
		t.Helper()
		code(t, what, p.ErrorCode, want)
		if p.BaseOffset != offset {
			t.Errorf("%s: offset %d, want %d", what, p.BaseOffset, offset)
		}
	}
	for i := range int32(6) {
		expect("new batch", send(0, 2*i, "a", "b"), model.None, int64(2*i))
	}
	for i := int32(1); i < 6; i++ {
		expect("repeated batch", send(0, 2*i, "a", "b"), model.None, int64(2*i))
	}
	expect("repeated batch, too old", send(0, 0, "a", "b"), model.OutOfOrderSequenceNumber, -1)
	expect("gap", send(0, 20, "a"), model.OutOfOrderSequenceNumber, -1)
	expect("half a repetition", send(0, 11, "b"), model.OutOfOrderSequenceNumber, -1)
	expect("new epoch not from 0", send(1, 12, "a"), model.OutOfOrderSequenceNumber, -1)
	expect("new epoch", send(1, 0, "a"), model.None, 12)
	expect("old epoch", send(0, 12, "a"), model.InvalidProducerEpoch, -1)
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	c = dial(t, n)
	expect("repeated after a restart", send(1, 0, "a"), model.None, 12)
	expect("gap after a restart", send(1, 2, "a"), model.OutOfOrderSequenceNumber, -1)
	expect("next after a restart", send(1, 1, "a"), model.None, 13)

	id = other
	expect("unknown producer may begin anywhere", send(0, math.MaxInt32, "a"), model.None, 14)
	expect("sequences wrap", send(0, 0, "a"), model.None, 15)
	if got := len(records(t, fetch(t, c, "t", 0).RecordBatches)); got != 16 {
		t.Errorf("%d records in the log, want 16", got)
	}
	if third := producerID(t, c); third <= other {
		t.Errorf("producer id %d after a restart, %d was given before", third, other)
	}
}

func TestCompressionTypeRecompresses(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	value := strings.Repeat("squeeze me ", 50)
	last := func() batch.Batch {
		all := batches(t, fetch(t, c, "t", 0).RecordBatches)
		return all[len(all)-1]
	}
	for _, kind := range []struct {
		name string
		want batch.Codec
	}{{"producer", batch.Snappy}, {"gzip", batch.Gzip}, {"snappy", batch.Snappy}, {"lz4", batch.LZ4}, {"zstd", batch.Zstd}, {"uncompressed", batch.None}} {
		alterTopic(t, c, "t", "compression.type", kind.name)
		p := produce(t, c, "t", -1, batchOf(batch.Options{Codec: batch.Snappy}, value, value))
		code(t, kind.name, p.ErrorCode, model.None)
		if b := last(); b.Codec() != kind.want {
			t.Errorf("compression.type=%s: the log has %v", kind.name, b.Codec())
		}
	}
	for i, r := range records(t, fetch(t, c, "t", 0).RecordBatches) {
		if r.value != value || r.offset != int64(i) {
			t.Fatalf("record %d: offset %d, %d bytes", i, r.offset, len(r.value))
		}
	}
}

func TestMessageTimestampType(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	hour := time.Hour.Milliseconds()
	now := time.Now().UnixMilli()
	old := func(ms int64) []byte {
		var b batch.Builder
		b.Append(ms, nil, []byte("a"))
		return b.Build()
	}
	p := produce(t, c, "t", -1, old(now-hour))
	if p.ErrorCode != 0 || p.LogAppendTime != -1 {
		t.Errorf("CreateTime: %+v", p)
	}
	alterTopic(t, c, "t", "message.timestamp.type", "LogAppendTime")
	p = produce(t, c, "t", -1, old(now-hour))
	if p.ErrorCode != 0 || p.LogAppendTime < now {
		t.Errorf("LogAppendTime: %+v, sent at %d", p, now)
	}
	all := batches(t, fetch(t, c, "t", 0).RecordBatches)
	if b := all[0]; b.TimestampType() != batch.CreateTime || b.MaxTimestamp() != now-hour {
		t.Errorf("the first batch has %v %d", b.TimestampType(), b.MaxTimestamp())
	}
	if b := all[1]; b.TimestampType() != batch.LogAppendTime || b.MaxTimestamp() != p.LogAppendTime {
		t.Errorf("the second batch has %v %d, the answer %d", b.TimestampType(), b.MaxTimestamp(), p.LogAppendTime)
	}
	if at := listOffset(t, c, 11, "t", now-hour+1); at.Offset != 1 || at.Timestamp != p.LogAppendTime {
		t.Errorf("by time: %+v", at)
	}
	alterTopic(t, c, "t", "message.timestamp.type", "CreateTime", "message.timestamp.before.max.ms", "1000")
	refused := produce(t, c, "t", -1, old(now-hour))
	code(t, "too old", refused.ErrorCode, model.InvalidTimestamp)
	if len(refused.ErrorRecords) != 1 || refused.ErrorRecords[0].RelativeOffset != 0 {
		t.Errorf("too old: record errors %+v", refused.ErrorRecords)
	}
	code(t, "too new", produce(t, c, "t", -1, old(now+2*hour)).ErrorCode, model.InvalidTimestamp)
}

func TestDuplicateHasTheOriginalsAppendTime(t *testing.T) {
	var ahead atomic.Int64
	begin := time.Now()
	n := openWith(t, t.TempDir(), Options{Clock: func() time.Time { return begin.Add(time.Duration(ahead.Load())) }})
	defer stop(t, n)
	c := dial(t, n)
	createTopic(t, c, "t", 1, "message.timestamp.type", "LogAppendTime")
	id := producerID(t, c)
	send := func() kmsg.ProduceResponseTopicPartition {
		return produce(t, c, "t", -1, batchOf(batch.Options{HasProducer: true, ProducerID: id}, "a"))
	}
	first := send()
	ahead.Store(int64(time.Second))
	again := send()
	if first.LogAppendTime != begin.UnixMilli() || again.LogAppendTime != first.LogAppendTime || again.BaseOffset != first.BaseOffset {
		t.Errorf("%+v, then %+v", first, again)
	}
}

func TestMaxMessageBytesIsLive(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	big := func() []byte { return batchOf(batch.Options{}, strings.Repeat("x", 5000)) }
	code(t, "under the default", produce(t, c, "t", -1, big()).ErrorCode, model.None)
	alterTopic(t, c, "t", "max.message.bytes", "4000")
	code(t, "over", produce(t, c, "t", -1, big()).ErrorCode, model.MessageTooLarge)
	alterTopic(t, c, "t", "max.message.bytes", "6000")
	code(t, "under again", produce(t, c, "t", -1, big()).ErrorCode, model.None)
}

func TestMinInsyncReplicas(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1, "min.insync.replicas", "2")
	code(t, "acks=all", produce(t, c, "t", -1, batchOf(batch.Options{}, "v")).ErrorCode, model.NotEnoughReplicas)
	code(t, "acks=1", produce(t, c, "t", 1, batchOf(batch.Options{}, "v")).ErrorCode, model.None)
	alterTopic(t, c, "t", "min.insync.replicas", "1")
	if p := produce(t, c, "t", -1, batchOf(batch.Options{}, "v")); p.ErrorCode != 0 || p.BaseOffset != 1 {
		t.Errorf("after the change: %+v", p)
	}
}

// TestBatchHeaderIsTheBrokers shows what a broker sets whatever the client sent: leader epoch and greatest timestamp (gotchas 26 and 27).
func TestBatchHeaderIsTheBrokers(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	b := batchOf(batch.Options{}, "v")
	greatest := b.MaxTimestamp()
	b.SetPartitionLeaderEpoch(77)
	b.SetMaxTimestamp(-1)
	b.SealCRC()
	code(t, "produce", produce(t, c, "t", -1, b).ErrorCode, model.None)
	kept := batches(t, fetch(t, c, "t", 0).RecordBatches)[0]
	if kept.PartitionLeaderEpoch() != 0 || kept.MaxTimestamp() != greatest {
		t.Errorf("leader epoch %d, greatest timestamp %d", kept.PartitionLeaderEpoch(), kept.MaxTimestamp())
	}
	if crc32.Checksum(kept[21:], crc32.MakeTable(crc32.Castagnoli)) != kept.CRC() {
		t.Error("the checksum was not made again")
	}
}
