package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/fault/raw"
)

func TestFetchRefusals(t *testing.T) {
	n := opened(t, "auto.create.topics.enable=false")
	c := dial(t, n)
	id := createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "a", "b", "c")
	ask := func(version int16, req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
		t.Helper()
		return fetched1(t, request[*kmsg.FetchResponse](t, c, version, req))
	}
	with := func(offset int64, change func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)) *kmsg.FetchRequest {
		req := fetchRequest("t", id, 0, offset)
		change(req, &req.Topics[0].Partitions[0])
		return req
	}
	epoch := func(e int32) *kmsg.FetchRequest {
		return with(0, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = e })
	}
	for _, x := range []struct {
		what string
		got  kmsg.FetchResponseTopicPartition
		want model.ErrorCode
	}{
		{"unknown topic", ask(12, fetchRequest("nope", model.TopicID{}, 0, 0)), model.UnknownTopicOrPartition},
		{"unknown topic id", ask(13, fetchRequest("", model.TopicID{7}, 0, 0)), model.UnknownTopicID},
		{"unknown topic id, newest", ask(18, fetchRequest("", model.TopicID{7}, 0, 0)), model.UnknownTopicID},
		{"unknown partition", ask(12, fetchRequest("t", id, 1, 0)), model.UnknownTopicOrPartition},
		{"negative partition", ask(12, fetchRequest("t", id, -1, 0)), model.UnknownTopicOrPartition},
		{"unknown partition by id", ask(13, fetchRequest("", id, 1, 0)), model.UnknownTopicOrPartition},
		{"beyond the end", ask(12, fetchRequest("t", id, 0, 4)), model.OffsetOutOfRange},
		{"below zero", ask(12, fetchRequest("t", id, 0, -1)), model.OffsetOutOfRange},
		{"at the end", ask(12, fetchRequest("t", id, 0, 3)), model.None},
		{"epoch of the future", ask(12, epoch(5)), model.UnknownLeaderEpoch},
		{"epoch in force", ask(12, epoch(0)), model.None},
		{"posing as a follower", ask(14, with(0, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.ReplicaID = 2 })), model.NotLeaderForPartition},
		{"debugging consumer", ask(14, with(0, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.ReplicaID = -2 })), model.None},
	} {
		code(t, x.what, x.got.ErrorCode, x.want)
		if x.got.PreferredReadReplica != -1 {
			t.Errorf("%s: preferred read replica %d (gotcha 33)", x.what, x.got.PreferredReadReplica)
		}
	}
}

// TestFetchEpochs: a node that comes back from a crash leads in a higher epoch, and a client that believes in the old one is told so (KIP-320).
func TestFetchEpochs(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "a", "b")
	stop(t, n)
	if err := os.Remove(filepath.Join(path, ".kafka_cleanshutdown")); err != nil { // as a crash leaves the directory
		t.Fatal(err)
	}
	n = open(t, path)
	defer stop(t, n)
	c = dial(t, n)
	mustProduce(t, c, "t", "c")
	latest := listOffset(t, c, 11, "t", -1)
	if latest.LeaderEpoch <= 0 {
		t.Fatalf("leader epoch %d after a restart", latest.LeaderEpoch)
	}
	if first := listOffset(t, c, 11, "t", -2); first.LeaderEpoch != 0 {
		t.Errorf("the first record's leader epoch is %d", first.LeaderEpoch)
	}
	req := fetchRequest("t", model.TopicID{}, 0, 0)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch = 0
	code(t, "old epoch", fetched1(t, request[*kmsg.FetchResponse](t, c, 12, req)).ErrorCode, model.FencedLeaderEpoch)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch = latest.LeaderEpoch
	p := fetched1(t, request[*kmsg.FetchResponse](t, c, 12, req))
	code(t, "epoch in force", p.ErrorCode, model.None)
	if all := batches(t, p.RecordBatches); len(all) != 2 || all[0].PartitionLeaderEpoch() != 0 || all[1].PartitionLeaderEpoch() != latest.LeaderEpoch {
		t.Errorf("%d batches", len(all))
	}

	req.Topics[0].Partitions[0].CurrentLeaderEpoch = -1
	req.Topics[0].Partitions[0].FetchOffset, req.Topics[0].Partitions[0].LastFetchedEpoch = 3, 0
	p = fetched1(t, request[*kmsg.FetchResponse](t, c, 12, req))
	if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 2 {
		t.Errorf("a position that the log does not have in that epoch: %v, diverging %+v", model.ErrorCode(p.ErrorCode), p.DivergingEpoch)
	}

	for _, x := range []struct {
		current, asked int32
		want           model.ErrorCode
		epoch          int32
		end            int64
	}{
		{-1, 0, model.None, 0, 2},
		{-1, latest.LeaderEpoch, model.None, latest.LeaderEpoch, 3},
		{-1, latest.LeaderEpoch + 5, model.None, -1, -1},
		{0, 0, model.FencedLeaderEpoch, -1, -1},
		{latest.LeaderEpoch + 1, 0, model.UnknownLeaderEpoch, -1, -1},
	} {
		q := kmsg.NewPtrOffsetForLeaderEpochRequest()
		q.ReplicaID = -1
		part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		part.CurrentLeaderEpoch, part.LeaderEpoch = x.current, x.asked
		one := kmsg.NewOffsetForLeaderEpochRequestTopic()
		one.Topic, one.Partitions = "t", []kmsg.OffsetForLeaderEpochRequestTopicPartition{part}
		q.Topics = append(q.Topics, one)
		got := request[*kmsg.OffsetForLeaderEpochResponse](t, c, 4, q).Topics[0].Partitions[0]
		if got.ErrorCode != int16(x.want) || got.LeaderEpoch != x.epoch || got.EndOffset != x.end {
			t.Errorf("end of epoch %d, believing in %d: %v, epoch %d, end %d; want %v, %d, %d", x.asked, x.current, model.ErrorCode(got.ErrorCode), got.LeaderEpoch, got.EndOffset, x.want, x.epoch, x.end)
		}
	}
}

func TestFetchBytes(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 2)
	value := strings.Repeat("x", 1000)
	for range 5 {
		mustProduce(t, c, "t", value, value, value)
	}
	one := len(batches(t, fetch(t, c, "t", 0).RecordBatches)[0])
	read := func(offset int64, partitionBytes, maxBytes int32) kmsg.FetchResponseTopicPartition {
		req := fetchRequest("t", model.TopicID{}, 0, offset)
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = maxBytes, partitionBytes
		return fetched1(t, request[*kmsg.FetchResponse](t, c, 12, req))
	}
	whole := func(p kmsg.FetchResponseTopicPartition) int { return len(batches(t, p.RecordBatches)) }
	if p := read(0, 1, 1<<20); whole(p) != 1 || len(p.RecordBatches) != one {
		t.Errorf("a partition limit of one byte: %d bytes, want the first batch whole (%d)", len(p.RecordBatches), one)
	}
	if p := read(0, 1<<20, 1); whole(p) != 1 || len(p.RecordBatches) != one {
		t.Errorf("a response limit of one byte: %d bytes, want the first batch whole (%d)", len(p.RecordBatches), one)
	}
	for _, limit := range []int{3 * one, 3*one - 1} { // the log may cut where its index knows a boundary, one batch early
		if p := read(0, int32(limit), 1<<20); whole(p) < 2 || len(p.RecordBatches) > limit {
			t.Errorf("a limit of %d bytes: %d whole batches in %d bytes", limit, whole(p), len(p.RecordBatches))
		}
	}
	if p := read(4, 1<<20, 1<<20); batches(t, p.RecordBatches)[0].BaseOffset() != 3 {
		t.Error("a position inside a batch: the whole batch is answered (gotcha 32)")
	}
	if p := read(0, 1<<20, 1<<20); p.HighWatermark != 15 || p.LastStableOffset != 15 || p.LogStartOffset != 0 {
		t.Errorf("high watermark %d, last stable offset %d, start %d", p.HighWatermark, p.LastStableOffset, p.LogStartOffset)
	}
	// Two partitions and room for one batch: the first has it whole, the second nothing.
	req := fetchRequest("t", model.TopicID{}, 0, 0)
	second := req.Topics[0].Partitions[0]
	second.Partition = 1
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, second)
	p := produceRequest("t", model.TopicID{}, 1, -1, batchOf(batch.Options{}, value))
	code(t, "produce to the second partition", request[*kmsg.ProduceResponse](t, c, 12, p).Topics[0].Partitions[0].ErrorCode, model.None)
	req.MaxBytes = 10
	resp := request[*kmsg.FetchResponse](t, c, 12, req)
	if got := resp.Topics[0].Partitions; len(got) != 2 || len(got[0].RecordBatches) != one || len(got[1].RecordBatches) != 0 {
		t.Errorf("two partitions, little room: %d partitions, %d and %d bytes", len(got), len(got[0].RecordBatches), len(got[1].RecordBatches))
	}
}

// TestFetchWaits: a fetch that finds too little waits, and is answered when there is enough, when its time is over, or at once on an error.
func TestFetchWaits(t *testing.T) {
	n := opened(t)
	c, p := dial(t, n), dial(t, n)
	createTopic(t, c, "t", 1)
	const long = 25_000
	ask := func(waitMs, minBytes int32) (*kmsg.FetchRequest, int32) {
		req := fetchRequest("t", model.TopicID{}, 0, listOffset(t, p, 11, "t", -1).Offset)
		req.Version, req.MaxWaitMillis, req.MinBytes = 12, waitMs, minBytes
		id, err := c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		return req, id
	}
	answer := func(req *kmsg.FetchRequest, id int32) kmsg.FetchResponseTopicPartition {
		t.Helper()
		resp, err := c.Receive(req, id)
		if err != nil {
			t.Fatal(err)
		}
		return fetched1(t, resp.(*kmsg.FetchResponse))
	}
	began := time.Now()
	req, id := ask(long, 1)
	mustProduce(t, p, "t", "a")
	if got := records(t, answer(req, id).RecordBatches); len(got) != 1 || got[0].value != "a" {
		t.Errorf("woken with %v", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("woken after %v", took)
	}

	req, id = ask(long, 250)
	for range 3 {
		mustProduce(t, p, "t", strings.Repeat("x", 30)) // each about 100 bytes with its header
	}
	if got := records(t, answer(req, id).RecordBatches); len(got) != 3 {
		t.Errorf("250 bytes asked: %d records", len(got))
	}

	began = time.Now()
	req, id = ask(300, 1<<20)
	mustProduce(t, p, "t", "little")
	if got := records(t, answer(req, id).RecordBatches); len(got) != 1 {
		t.Errorf("time over: %d records", len(got))
	}
	if took := time.Since(began); took < 290*time.Millisecond {
		t.Errorf("answered with too little after %v, its time is 300 ms", took)
	}

	req, id = ask(long, 1)
	began = time.Now()
	deleteTopic(t, p, "t")
	if got := answer(req, id); got.ErrorCode == 0 {
		t.Errorf("the topic went away: %+v", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("told of the deleted topic after %v", took)
	}
}

func deleteTopic(t *testing.T, c *raw.Conn, name string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &name
	req.Topics = append(req.Topics, one)
	code(t, "delete "+name, request[*kmsg.DeleteTopicsResponse](t, c, 6, req).Topics[0].ErrorCode, model.None)
}

// TestFetchSessions follows KIP-227 at the first version with sessions and at the newest, which names topics by id.
func TestFetchSessions(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		t.Run(string(rune('0'+version/10))+string(rune('0'+version%10)), func(t *testing.T) { fetchSession(t, version) })
	}
}

func fetchSession(t *testing.T, version int16) {
	c := dial(t, opened(t))
	names := []string{"a", "b"}
	ids := map[string]model.TopicID{}
	for _, name := range names {
		ids[name] = createTopic(t, c, name, 1)
	}
	ask := func(session, epoch int32, topics, forget []string) *kmsg.FetchResponse {
		t.Helper()
		req := kmsg.NewPtrFetchRequest()
		req.MinBytes, req.MaxBytes, req.SessionID, req.SessionEpoch = 1, 1<<20, session, epoch
		for _, name := range topics {
			req.Topics = append(req.Topics, fetchRequest(name, ids[name], 0, 0).Topics...)
		}
		for _, name := range forget {
			f := kmsg.NewFetchRequestForgottenTopic()
			f.Topic, f.TopicID, f.Partitions = name, ids[name], []int32{0}
			req.ForgottenTopics = append(req.ForgottenTopics, f)
		}
		return request[*kmsg.FetchResponse](t, c, version, req)
	}
	mentioned := func(what string, resp *kmsg.FetchResponse, want ...string) {
		t.Helper()
		code(t, what, resp.ErrorCode, model.None)
		if len(resp.Topics) != len(want) {
			t.Errorf("%s: %d topics are in the answer, want %v", what, len(resp.Topics), want)
			return
		}
		for i, topic := range resp.Topics {
			if version < 13 && topic.Topic != want[i] || version >= 13 && topic.TopicID != ids[want[i]] {
				t.Errorf("%s: topic %q %v, want %s", what, topic.Topic, topic.TopicID, want[i])
			}
		}
	}
	full := ask(0, 0, names, nil)
	mentioned("full", full, names...)
	s := full.SessionID
	if s == 0 {
		t.Fatal("no session was made")
	}
	mentioned("nothing new", ask(s, 1, nil, nil))
	mustProduce(t, c, "b", "new")
	mentioned("one has news", ask(s, 2, nil, nil), "b")
	mentioned("still not fetched", ask(s, 3, nil, nil), "b")
	mentioned("one forgotten", ask(s, 4, nil, []string{"b"}))
	mentioned("one added", ask(s, 5, []string{"b"}, nil), "b")
	code(t, "repeated epoch", ask(s, 5, nil, nil).ErrorCode, model.InvalidFetchSessionEpoch)
	code(t, "unknown session", ask(s+1, 6, nil, nil).ErrorCode, model.FetchSessionIDNotFound)
	mentioned("the right epoch still works", ask(s, 6, []string{"a"}, []string{"b"}))
	last := ask(s, -1, names, nil) // the final epoch: one fetch without a session, the old one is closed
	mentioned("final", last, names...)
	if last.SessionID != 0 {
		t.Errorf("the final fetch opened session %d", last.SessionID)
	}
	code(t, "closed session", ask(s, 7, nil, nil).ErrorCode, model.FetchSessionIDNotFound)
}

// TestFetchReadCommitted: without transactions the last stable offset is the high watermark, and the list of aborted transactions is empty, not missing (gotcha 35).
func TestFetchReadCommitted(t *testing.T) {
	c := dial(t, opened(t))
	id := createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "a", "b")
	for version := int16(4); version <= 18; version++ {
		req := fetchRequest("t", id, 0, 0)
		req.IsolationLevel = 1
		p := fetched1(t, request[*kmsg.FetchResponse](t, c, version, req))
		if p.ErrorCode != 0 || p.LastStableOffset != 2 || p.AbortedTransactions == nil || len(p.AbortedTransactions) != 0 {
			t.Errorf("version %d: %v, last stable offset %d, aborted %v", version, model.ErrorCode(p.ErrorCode), p.LastStableOffset, p.AbortedTransactions)
		}
	}
}

// TestFetchReturnsWhatWasProduced compares bytes: what the broker may set is offset, leader epoch, greatest timestamp and checksum.
func TestFetchReturnsWhatWasProduced(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	for offset, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		sent := batchOf(batch.Options{Codec: codec}, strings.Repeat("v", 300))
		code(t, codec.String(), produce(t, c, "t", -1, sent).ErrorCode, model.None)
		kept := batches(t, fetch(t, c, "t", int64(offset)).RecordBatches)[0]
		sent.SetBaseOffset(int64(offset))
		if !bytes.Equal(sent, kept) {
			t.Errorf("%v:\n%x\n%x", codec, []byte(sent), []byte(kept))
		}
	}
}

func TestListOffsets(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	base := time.Now().UnixMilli() - 10_000
	var b batch.Builder
	b.Append(base+100, nil, []byte("0"))
	b.Append(base+500, nil, []byte("1"))
	b.Append(base+200, nil, []byte("2"))
	code(t, "first batch", produce(t, c, "t", -1, b.Build()).ErrorCode, model.None)
	b.Reset(batch.Options{Codec: batch.LZ4})
	b.Append(base+300, nil, []byte("3"))
	b.Append(base+400, nil, []byte("4"))
	code(t, "second batch", produce(t, c, "t", -1, b.Build()).ErrorCode, model.None)
	code(t, "delete the first", deleteRecords(t, c, "t", 1).ErrorCode, model.None)
	type place struct {
		offset, timestamp int64
	}
	none := place{-1, -1}
	for _, x := range []struct {
		what      string
		timestamp int64
		from      int16 // first version that knows it
		want      place
	}{
		{"latest", -1, 1, place{5, -1}},
		{"earliest", -2, 1, place{1, -1}},
		{"greatest timestamp", -3, 7, place{1, base + 500}},
		{"earliest local", -4, 8, place{1, -1}},
		{"latest tiered", -5, 9, none},
		{"earliest pending upload", -6, 11, none},
		{"before all", 0, 1, place{1, base + 500}},
		{"exactly", base + 500, 1, place{1, base + 500}},
		{"after all", base + 501, 1, none},
		{"named by nobody", -7, 99, none},
	} {
		for version := int16(1); version <= 11; version++ {
			got := listOffset(t, c, version, "t", x.timestamp)
			want := model.None
			if version < x.from {
				want = model.UnsupportedVersion
			}
			code(t, x.what, got.ErrorCode, want)
			if want == model.None && (got.Offset != x.want.offset || got.Timestamp != x.want.timestamp) {
				t.Errorf("%s, version %d: offset %d, timestamp %d; want %+v", x.what, version, got.Offset, got.Timestamp, x.want)
			}
		}
	}
	code(t, "unknown topic", listOffset(t, c, 11, "nope", -1).ErrorCode, model.UnknownTopicOrPartition)
}

func deleteRecords(t *testing.T, c *raw.Conn, topic string, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
	t.Helper()
	return deleteRecordsWithin(t, c, topic, offset, 10_000)
}

func deleteRecordsWithin(t *testing.T, c *raw.Conn, topic string, offset int64, timeoutMs int32) kmsg.DeleteRecordsResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = timeoutMs
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = offset
	one := kmsg.NewDeleteRecordsRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.DeleteRecordsRequestTopicPartition{p}
	req.Topics = append(req.Topics, one)
	return request[*kmsg.DeleteRecordsResponse](t, c, 2, req).Topics[0].Partitions[0]
}

func TestDeleteRecords(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	createTopic(t, c, "compacted", 1, "cleanup.policy", "compact")
	createTopic(t, c, "both", 1, "cleanup.policy", "compact,delete")
	warmCoordinator(t, c, "g")
	for range 10 {
		mustProduce(t, c, "t", "v")
	}
	for _, x := range []struct {
		what, topic string
		offset      int64
		want        model.ErrorCode
		low         int64
	}{
		{"up to 4", "t", 4, model.None, 4},
		{"up to 2, which is gone", "t", 2, model.None, 4},
		{"beyond the end", "t", 11, model.OffsetOutOfRange, -1},
		{"below -1", "t", -2, model.OffsetOutOfRange, -1},
		{"unknown topic", "nope", 0, model.UnknownTopicOrPartition, -1},
		{"compacted", "compacted", 0, model.PolicyViolation, -1},
		{"compacted and deleted", "both", 0, model.None, 0},
		{"internal", model.ConsumerOffsetsTopic, 0, model.InvalidTopicException, -1},
	} {
		got := deleteRecords(t, c, x.topic, x.offset)
		code(t, x.what, got.ErrorCode, x.want)
		if got.LowWatermark != x.low {
			t.Errorf("%s: low watermark %d, want %d", x.what, got.LowWatermark, x.low)
		}
	}
	below := fetch(t, c, "t", 3)
	if code(t, "fetch below the start", below.ErrorCode, model.OffsetOutOfRange); len(below.RecordBatches) != 0 {
		t.Error("deleted records are served")
	}
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	c = dial(t, n)
	if got := listOffset(t, c, 11, "t", -2); got.Offset != 4 {
		t.Errorf("after a restart the log starts at %d", got.Offset)
	}
	if got := deleteRecords(t, c, "t", -1); got.LowWatermark != 10 {
		t.Errorf("all: low watermark %d", got.LowWatermark)
	}
	if got := mustProduce(t, c, "t", "v"); got != 10 {
		t.Errorf("the next record is at %d", got)
	}
}

// TestAnswersWaitForTheSync holds the syncs of a topic: what acks=1 acknowledged is appended and not committed. Kafka has committed it at once, so whoever asks for
// the end, or deletes up to it, waits instead of hearing of an older end; and hears that older end when the disk does not come back.
func TestAnswersWaitForTheSync(t *testing.T) {
	fs, n, c := openFaulty(t)
	defer stop(t, n)
	createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "synced")
	gate := vfs.NewGate()
	defer gate.Open()
	fs.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "t-0/*.log", Fault: vfs.Fault{Gate: gate}}})
	code(t, "acks=1", produce(t, c, "t", 1, batchOf(batch.Options{}, "written")).ErrorCode, model.None)
	if got := listOffset(t, c, 11, "t", -1); got.Offset != 1 {
		t.Fatalf("the end is told to be %d, which is not synced", got.Offset)
	}
	if got := listOffset(t, c, 11, "t", -2); got.Offset != 0 {
		t.Errorf("the start is told to be %d", got.Offset)
	}
	if got := deleteRecordsWithin(t, c, "t", 2, 50); model.ErrorCode(got.ErrorCode) != model.RequestTimedOut {
		t.Errorf("delete up to what is not committed in 50 ms: %+v", got)
	}
	if got := deleteRecordsWithin(t, c, "t", 3, 10_000); model.ErrorCode(got.ErrorCode) != model.OffsetOutOfRange {
		t.Errorf("delete beyond the end: %+v", got)
	}
	deleted := make(chan kmsg.DeleteRecordsResponseTopicPartition, 1)
	other := dial(t, n)
	go func() { deleted <- deleteRecordsWithin(t, other, "t", -1, 20_000) }()
	go gate.Open()
	if got := listOffset(t, c, 11, "t", -1); got.Offset != 2 {
		t.Errorf("the end is told to be %d, want 2", got.Offset)
	}
	if got := <-deleted; got.ErrorCode != 0 || got.LowWatermark != 2 {
		t.Errorf("delete all: %+v", got)
	}
}
