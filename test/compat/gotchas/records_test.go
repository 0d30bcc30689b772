package gotchas

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const someTime = 1700000000000

// One batch of version 2 for each partition; no zstd before version 7, no control batch, no wrong count.
func TestGotcha25BatchRules(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "rules", 1)
	one := Batch(BatchOptions{}, Record{Value: []byte("x"), Timestamp: someTime})
	code(t, "two batches", produce(c, topic, append(one[:len(one):len(one)], one...)).ErrorCode, kerr.InvalidRecord)
	code(t, "a control batch", produce(c, topic, Batch(BatchOptions{Attributes: 1 << 5}, Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 0}})).ErrorCode, kerr.InvalidRecord)
	for _, n := range []int32{0, 2, 1000} {
		code(t, fmt.Sprintf("a count of %d for one record", n), produce(c, topic, Batch(BatchOptions{Count: &n}, Record{Value: []byte("x")})).ErrorCode, kerr.InvalidRecord)
	}
	bad := Batch(BatchOptions{}, Record{Value: []byte("x")})
	bad[len(bad)-2] ^= 1
	code(t, "a wrong checksum", produce(c, topic, bad).ErrorCode, kerr.CorruptMessage)
	zstd := produceRequest(topic, -1, Batch(BatchOptions{Attributes: 4}, Record{Value: []byte("x")}))
	zstd.SetVersion(6)
	code(t, "zstd in version 6", Do[*kmsg.ProduceResponse](c, zstd).Topics[0].Partitions[0].ErrorCode, kerr.UnsupportedCompressionType)
	code(t, "the end after all that", listOffset(c, topic, -1).ErrorCode, nil)
	if end := listOffset(c, topic, -1).Offset; end != 0 {
		t.Errorf("%d refused records are in the log", end)
	}
	code(t, "a good batch", produce(c, topic, one).ErrorCode, nil)
}

// The client's leader epoch in the batch means nothing; the broker writes its own.
func TestGotcha26LeaderEpochOverwritten(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "epoch", 1)
	code(t, "produce", produce(c, topic, Batch(BatchOptions{LeaderEpoch: 77}, Record{Value: []byte("x"), Timestamp: someTime})).ErrorCode, nil)
	want := metadata(c, 9, false, topic).Topics[0].Partitions[0].LeaderEpoch
	got := Headers(t, fetch(c, topic, 0).RecordBatches)
	if len(got) != 1 || got[0].LeaderEpoch != want || !got[0].CRCOK {
		t.Fatalf("the batch is %+v, the leader's epoch %d", got, want)
	}
}

// A batch whose maximal timestamp the client left unset can be found by time.
func TestGotcha27MaxTimestamp(t *testing.T) {
	c := dial(t)
	for _, wrong := range []int64{-1, 0, someTime + 99999} {
		topic, _ := create(c, "max", 1)
		p := produce(c, topic, Batch(BatchOptions{MaxTimestamp: &wrong}, Record{Value: []byte("x"), Timestamp: someTime}, Record{Value: []byte("y"), Timestamp: someTime + 500}))
		code(t, "produce", p.ErrorCode, nil)
		if o := listOffset(c, topic, someTime+400); o.Offset != 1 || o.Timestamp != someTime+500 {
			t.Errorf("sent with %d: a search for +400 finds %d at %d", wrong, o.Offset, o.Timestamp)
		}
		got := Headers(t, fetch(c, topic, 0).RecordBatches)
		if len(got) != 1 || got[0].MaxTimestamp != someTime+500 || !got[0].CRCOK {
			t.Errorf("sent with %d: the batch is %+v", wrong, got)
		}
	}
}

// Log-append time: bit 3, the time in the batch and in the answer, a right checksum, and found by that time.
func TestGotcha28LogAppendTime(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "append", 1, "message.timestamp.type", "LogAppendTime")
	before := time.Now().UnixMilli()
	p := produce(c, topic, Batch(BatchOptions{}, Record{Value: []byte("x"), Timestamp: someTime}, Record{Value: []byte("y"), Timestamp: someTime + 1}))
	code(t, "produce", p.ErrorCode, nil)
	if p.LogAppendTime < before-1000 || p.LogAppendTime > time.Now().UnixMilli()+1000 {
		t.Errorf("the answer's append time is %d", p.LogAppendTime)
	}
	got := Headers(t, fetch(c, topic, 0).RecordBatches)
	if len(got) != 1 || got[0].Attributes&8 == 0 || got[0].MaxTimestamp != p.LogAppendTime || !got[0].CRCOK {
		t.Errorf("the batch is %+v, the answer's time %d", got, p.LogAppendTime)
	}
	if o := listOffset(c, topic, before-1000); o.Offset != 0 || o.Timestamp != p.LogAppendTime {
		t.Errorf("a search for the time before finds %d at %d", o.Offset, o.Timestamp)
	}
	created, _ := create(c, "created", 1)
	if p := produce(c, created, Batch(BatchOptions{}, Record{Value: []byte("x"), Timestamp: someTime})); p.LogAppendTime != -1 {
		t.Errorf("with create time the answer's append time is %d", p.LogAppendTime)
	}
}

// A record without a key cannot be compacted: the answer names it.
func TestGotcha29KeylessInCompacted(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "keyless", 1, "cleanup.policy", "compact")
	p := produce(c, topic, Batch(BatchOptions{}, Record{Key: []byte("k"), Value: []byte("x")}, Record{Value: []byte("y")}))
	code(t, "keyless", p.ErrorCode, kerr.InvalidRecord)
	if len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorMessage == nil {
		t.Errorf("the answer names %v", p.ErrorRecords)
	}
}

func TestGotcha30MaxMessageBytes(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "size", 1, "max.message.bytes", "1000")
	code(t, "a batch above the limit", produce(c, topic, Batch(BatchOptions{}, Record{Value: make([]byte, 1000)})).ErrorCode, kerr.MessageTooLarge)
	code(t, "a batch below it", produce(c, topic, Batch(BatchOptions{}, Record{Value: make([]byte, 900)})).ErrorCode, nil)
}

func producerID(c *Conn) (int64, int16) {
	c.t.Helper()
	var resp *kmsg.InitProducerIDResponse
	Until(c.t, "the first block of producer ids", func() bool {
		resp = Do[*kmsg.InitProducerIDResponse](c, at(kmsg.NewPtrInitProducerIDRequest(), 4))
		return resp.ErrorCode != kerr.CoordinatorLoadInProgress.Code
	})
	if resp.ErrorCode != 0 {
		c.t.Fatalf("InitProducerId: error %d", resp.ErrorCode)
	}
	return resp.ProducerID, resp.ProducerEpoch
}

// Five batches of each producer are remembered, duplicates get the first answer, gaps are refused, a new epoch begins at 0.
func TestGotcha31Idempotence(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "idempotent", 1)
	id, epoch := producerID(c)
	if other, _ := producerID(c); other == id {
		t.Fatalf("producer id %d was given twice", id)
	}
	send := func(epoch int16, sequence int32) kmsg.ProduceResponseTopicPartition {
		return produce(c, topic, Batch(BatchOptions{ProducerID: id, ProducerEpoch: epoch, BaseSequence: sequence},
			Record{Value: []byte("x"), Timestamp: someTime}, Record{Value: []byte("y"), Timestamp: someTime}))
	}
	if id == 0 {
		id, epoch = producerID(c) // 0 stands for "none" in BatchOptions
	}
	for i := range int32(7) {
		p := send(epoch, 2*i)
		code(t, "in order", p.ErrorCode, nil)
		if p.BaseOffset != int64(2*i) {
			t.Fatalf("batch %d is at %d", i, p.BaseOffset)
		}
	}
	for i := int32(2); i < 7; i++ {
		if p := send(epoch, 2*i); p.ErrorCode != 0 || p.BaseOffset != int64(2*i) {
			t.Errorf("the duplicate of batch %d: error %d, offset %d", i, p.ErrorCode, p.BaseOffset)
		}
	}
	code(t, "a gap", send(epoch, 20).ErrorCode, kerr.OutOfOrderSequenceNumber)
	code(t, "a new epoch in the middle", send(epoch+1, 14).ErrorCode, kerr.OutOfOrderSequenceNumber)
	code(t, "a new epoch from 0", send(epoch+1, 0).ErrorCode, nil)
	code(t, "the old epoch", send(epoch, 14).ErrorCode, kerr.InvalidProducerEpoch)
	if end := listOffset(c, topic, -1).Offset; end != 16 {
		t.Errorf("the log ends at %d", end)
	}
}

// A fetch that begins inside a batch returns all of it.
func TestGotcha32FetchInsideBatch(t *testing.T) {
	c := dial(t)
	topic, _ := filled(c, "inside", 10, 5)
	got := Headers(t, fetch(c, topic, 7).RecordBatches)
	if len(got) != 2 || got[0].BaseOffset != 0 || got[0].LastDelta != 9 || got[1].BaseOffset != 10 {
		t.Fatalf("a fetch from 7 returns %+v", got)
	}
	if got := Headers(t, fetch(c, topic, 10).RecordBatches); len(got) != 1 || got[0].BaseOffset != 10 {
		t.Fatalf("a fetch from 10 returns %+v", got)
	}
}

func TestGotcha33PreferredReadReplica(t *testing.T) {
	c := dial(t)
	topic, id := filled(c, "preferred", 1)
	for v := int16(11); v <= 16; v++ {
		p := Do[*kmsg.FetchResponse](c, fetchRequest(v, topic, id, 0)).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.PreferredReadReplica != -1 {
			t.Errorf("v%d: error %d, preferred read replica %d", v, p.ErrorCode, p.PreferredReadReplica)
		}
	}
}

func TestGotcha34LogStartOffset(t *testing.T) {
	c := dial(t)
	topic, id := filled(c, "start", 3, 3)
	code(t, "DeleteRecords", deleteRecords(c, topic, 4).ErrorCode, nil)
	for _, v := range []int16{5, 9, 11, 12, 13, 16} {
		if p := Do[*kmsg.FetchResponse](c, fetchRequest(v, topic, id, 4)).Topics[0].Partitions[0]; p.LogStartOffset != 4 || p.HighWatermark != 6 {
			t.Errorf("v%d: log start %d, high watermark %d", v, p.LogStartOffset, p.HighWatermark)
		}
	}
	code(t, "a fetch below it", fetch(c, topic, 3).ErrorCode, kerr.OffsetOutOfRange)
	code(t, "a fetch past the end", fetch(c, topic, 7).ErrorCode, kerr.OffsetOutOfRange)
	code(t, "a fetch at the end", fetch(c, topic, 6).ErrorCode, nil)
}

// Without any transaction the last stable offset is the high watermark and nothing is aborted.
func TestGotcha35ReadCommitted(t *testing.T) {
	c := dial(t)
	topic, _ := filled(c, "stable", 4)
	for _, level := range []int8{0, 1} {
		req := fetchRequest(11, topic, [16]byte{}, 0)
		req.IsolationLevel = level
		p := Do[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0]
		if p.LastStableOffset != 4 || p.HighWatermark != 4 || len(p.AbortedTransactions) != 0 || len(p.RecordBatches) == 0 {
			t.Errorf("isolation %d: stable %d, high %d, aborted %v, %d bytes", level, p.LastStableOffset, p.HighWatermark, p.AbortedTransactions, len(p.RecordBatches))
		}
	}
}

func TestGotcha36FetchSessions(t *testing.T) {
	c := dial(t)
	topic, _ := filled(c, "session", 2)
	full := fetchRequest(11, topic, [16]byte{}, 0)
	full.SessionEpoch = 0
	first := Do[*kmsg.FetchResponse](c, full)
	code(t, "the first fetch", first.ErrorCode, nil)
	if first.SessionID == 0 || len(first.Topics) != 1 {
		t.Fatalf("no session: %+v", first)
	}
	next := func(id, epoch int32, offset int64) *kmsg.FetchResponse {
		req := fetchRequest(11, topic, [16]byte{}, offset)
		req.SessionID, req.SessionEpoch = id, epoch
		if offset < 0 {
			req.Topics = nil
		}
		return Do[*kmsg.FetchResponse](c, req)
	}
	if r := next(first.SessionID, 1, 2); r.ErrorCode != 0 || len(r.Topics) != 0 {
		t.Errorf("nothing new, but the answer has error %d and %v", r.ErrorCode, r.Topics)
	}
	code(t, "produce", produce(c, topic, Batch(BatchOptions{}, Record{Value: []byte("x"), Timestamp: someTime})).ErrorCode, nil)
	if r := next(first.SessionID, 2, -1); r.ErrorCode != 0 || len(r.Topics) != 1 || len(r.Topics[0].Partitions[0].RecordBatches) == 0 {
		t.Errorf("the new record did not come by the session's own memory: error %d, %v", r.ErrorCode, r.Topics)
	}
	code(t, "a repeated epoch", next(first.SessionID, 2, -1).ErrorCode, kerr.InvalidFetchSessionEpoch)
	code(t, "an epoch too far", next(first.SessionID, 9, -1).ErrorCode, kerr.InvalidFetchSessionEpoch)
	code(t, "an unknown session", next(first.SessionID+1, 1, -1).ErrorCode, kerr.FetchSessionIDNotFound)
	if r := next(first.SessionID, -1, 0); r.ErrorCode != 0 || r.SessionID != 0 || len(r.Topics) != 1 {
		t.Errorf("the last fetch of a session: error %d, session %d, %d topics", r.ErrorCode, r.SessionID, len(r.Topics))
	}
	code(t, "a closed session", next(first.SessionID, 3, -1).ErrorCode, kerr.FetchSessionIDNotFound)
}

// Leader epochs: known from the start, fenced below, unknown above; an undefined one has no end offset.
func TestGotcha37LeaderEpochs(t *testing.T) {
	c := dial(t)
	topic, _ := filled(c, "epochs", 3)
	current := metadata(c, 9, false, topic).Topics[0].Partitions[0].LeaderEpoch
	if current < 0 {
		t.Fatalf("the leader's epoch is %d", current)
	}
	with := func(epoch int32) int16 {
		req := fetchRequest(11, topic, [16]byte{}, 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		return Do[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0].ErrorCode
	}
	code(t, "the current epoch", with(current), nil)
	code(t, "no epoch", with(-1), nil)
	code(t, "a later epoch", with(current+1), kerr.UnknownLeaderEpoch)
	if current > 0 {
		code(t, "an earlier epoch", with(current-1), kerr.FencedLeaderEpoch)
	}
	end := func(epoch int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
		req := at(kmsg.NewPtrOffsetForLeaderEpochRequest(), 4)
		req.ReplicaID = -1
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		rt.Topic = topic
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.CurrentLeaderEpoch, rp.LeaderEpoch = current, epoch
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return Do[*kmsg.OffsetForLeaderEpochResponse](c, req).Topics[0].Partitions[0]
	}
	if p := end(current); p.ErrorCode != 0 || p.EndOffset != 3 || p.LeaderEpoch != current {
		t.Errorf("the end of the current epoch: %+v", p)
	}
	if p := end(-1); p.ErrorCode != 0 || p.EndOffset != -1 || p.LeaderEpoch != -1 {
		t.Errorf("the end of no epoch: %+v", p)
	}
	if p := end(current + 5); p.ErrorCode != 0 || p.EndOffset != -1 {
		t.Errorf("the end of a later epoch: %+v", p)
	}
}

func TestGotcha38NoOldFetch(t *testing.T) {
	c := dial(t)
	if low, _, _ := advertised(c, 1); low != 4 {
		t.Errorf("Fetch is advertised from %d", low)
	}
	for v := range int16(4) {
		old := Dial(t, address)
		old.SendRaw(1, v, false, make([]byte, 16))
		old.Closed()
	}
}

// Requests by topic id name an unknown one on the partition.
func TestGotcha39UnknownTopicID(t *testing.T) {
	c := dial(t)
	topic, id := filled(c, "ids", 2)
	stranger := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	for v := int16(13); v <= 18; v++ {
		f := Do[*kmsg.FetchResponse](c, fetchRequest(v, "", stranger, 0))
		code(t, "fetch", f.ErrorCode, nil)
		code(t, "fetch of an unknown id", f.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicID)
		code(t, "fetch by id", Do[*kmsg.FetchResponse](c, fetchRequest(v, "", id, 0)).Topics[0].Partitions[0].ErrorCode, nil)
	}
	send := produceRequest("", -1, Batch(BatchOptions{}, Record{Value: []byte("x"), Timestamp: someTime}))
	send.SetVersion(13)
	send.Topics[0].TopicID = stranger
	code(t, "produce to an unknown id", Do[*kmsg.ProduceResponse](c, send).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicID)
	send.Topics[0].TopicID = id
	code(t, "produce by id", Do[*kmsg.ProduceResponse](c, send).Topics[0].Partitions[0].ErrorCode, nil)
	group := coordinated(c, name("g"))
	code(t, "commit for an unknown id", commit(c, 10, group, topic, stranger, 1, "").ErrorCode, kerr.UnknownTopicID)
	code(t, "commit by id", commit(c, 10, group, topic, id, 1, "").ErrorCode, nil)
}

// The special times of ListOffsets, each from the version that knows it; no match is -1 and -1; the epoch comes with it.
func TestGotcha40ListOffsets(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "times", 1)
	for _, special := range []int64{-3, someTime} {
		if o := listOffset(c, topic, special); o.ErrorCode != 0 || o.Offset != -1 || o.Timestamp != -1 {
			t.Errorf("an empty log at %d: %+v", special, o)
		}
	}
	p := produce(c, topic, Batch(BatchOptions{}, Record{Value: []byte("a"), Timestamp: someTime + 9}, Record{Value: []byte("b"), Timestamp: someTime + 500}, Record{Value: []byte("c"), Timestamp: someTime + 3}))
	code(t, "produce", p.ErrorCode, nil)
	epoch := metadata(c, 9, false, topic).Topics[0].Partitions[0].LeaderEpoch
	for _, each := range []struct{ at, offset, timestamp int64 }{
		{-1, 3, -1}, {-2, 0, -1}, {-3, 1, someTime + 500}, {-4, 0, -1}, {-5, -1, -1},
		{someTime, 0, someTime + 9}, {someTime + 10, 1, someTime + 500}, {someTime + 501, -1, -1},
	} {
		o := listOffset(c, topic, each.at)
		if o.ErrorCode != 0 || o.Offset != each.offset || o.Timestamp != each.timestamp {
			t.Errorf("at %d: error %d, offset %d, timestamp %d", each.at, o.ErrorCode, o.Offset, o.Timestamp)
		}
		if o.Offset >= 0 && o.LeaderEpoch != epoch || o.Offset < 0 && o.LeaderEpoch != -1 {
			t.Errorf("at %d: offset %d has epoch %d", each.at, o.Offset, o.LeaderEpoch)
		}
	}
	if o := listOffsetAt(c, 11, topic, -6); o.ErrorCode != 0 {
		t.Errorf("at -6: %+v", o)
	}
	for v, special := range map[int16]int64{6: -3, 7: -4, 8: -5, 10: -6} {
		code(t, fmt.Sprintf("%d in version %d", special, v), listOffsetAt(c, v, topic, special).ErrorCode, kerr.UnsupportedVersion)
	}
}
