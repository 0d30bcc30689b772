package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// sameFetch tells where our reading of a fetch request differs from kmsg's, "" when nowhere. Tags that a version does not have are
// skipped by us and read by kmsg, so they are not compared there.
func sameFetch(got *FetchRequest, want *kmsg.FetchRequest) string {
	version := want.Version
	if version >= 15 {
		if got.ReplicaID != want.ReplicaState.ID || got.ReplicaEpoch != want.ReplicaState.Epoch {
			return fmt.Sprintf("replica %d, epoch %d", got.ReplicaID, got.ReplicaEpoch)
		}
	} else if got.ReplicaID != want.ReplicaID || got.ReplicaEpoch != -1 {
		return fmt.Sprintf("replica %d, epoch %d", got.ReplicaID, got.ReplicaEpoch)
	}
	if (got.ClusterID == nil) != (want.ClusterID == nil) || (want.ClusterID != nil && string(got.ClusterID) != *want.ClusterID) {
		return fmt.Sprintf("cluster id %q", got.ClusterID)
	}
	if got.MaxWaitMs != want.MaxWaitMillis || got.MinBytes != want.MinBytes || got.MaxBytes != want.MaxBytes || got.IsolationLevel != want.IsolationLevel ||
		got.SessionID != want.SessionID || got.SessionEpoch != want.SessionEpoch || string(got.Rack) != want.Rack || got.Rack == nil {
		return fmt.Sprintf("%+v", got)
	}
	if len(got.Topics) != len(want.Topics) || len(got.Forgotten) != len(want.ForgottenTopics) {
		return fmt.Sprintf("%d topics, %d forgotten", len(got.Topics), len(got.Forgotten))
	}
	for i := range got.Topics {
		if diff := sameFetchTopic(&got.Topics[i], &want.Topics[i], version); diff != "" {
			return fmt.Sprintf("topic %d: %s", i, diff)
		}
	}
	for i := range got.Forgotten {
		g, w := &got.Forgotten[i], &want.ForgottenTopics[i]
		if string(g.Name) != w.Topic || g.ID != model.TopicID(w.TopicID) || fmt.Sprint(g.Partitions) != fmt.Sprint(w.Partitions) {
			return fmt.Sprintf("forgotten topic %d: %+v", i, g)
		}
	}
	return ""
}

func sameFetchTopic(g *FetchTopic, w *kmsg.FetchRequestTopic, version int16) string {
	if string(g.Name) != w.Topic || g.ID != model.TopicID(w.TopicID) || len(g.Partitions) != len(w.Partitions) {
		return fmt.Sprintf("%q %v, %d partitions", g.Name, g.ID, len(g.Partitions))
	}
	for j := range g.Partitions {
		gp, wp := &g.Partitions[j], &w.Partitions[j]
		want := FetchPartition{
			Index: wp.Partition, CurrentLeaderEpoch: wp.CurrentLeaderEpoch, FetchOffset: wp.FetchOffset, LastFetchedEpoch: wp.LastFetchedEpoch,
			LogStartOffset: wp.LogStartOffset, MaxBytes: wp.PartitionMaxBytes, HighWatermark: 1<<63 - 1,
		}
		if version >= 17 {
			want.ReplicaDirectoryID = model.TopicID(wp.ReplicaDirectoryID)
		}
		if version >= 18 {
			want.HighWatermark = wp.HighWatermark
		}
		if *gp != want {
			return fmt.Sprintf("partition %d: %+v, want %+v", j, *gp, want)
		}
	}
	return ""
}

func TestFetchRequestIsWhatKmsgReads(t *testing.T) {
	var q FetchRequest
	for version := FetchMin; version <= FetchMax; version++ {
		for seed := range uint64(200) {
			body := newFiller(seed).request(KeyFetch, version).AppendTo(nil)
			if err := q.Decode(version, body); err != nil {
				t.Fatalf("v%d, seed %d: %v", version, seed, err)
			}
			want := kmsg.NewPtrFetchRequest()
			want.Version = version
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			if diff := sameFetch(&q, want); diff != "" || q.Version != version {
				t.Fatalf("v%d, seed %d: %s", version, seed, diff)
			}
			for n := range body {
				if q.Decode(version, body[:n:n]) == nil {
					t.Fatalf("v%d, seed %d: %d of %d bytes are accepted", version, seed, n, len(body))
				}
			}
		}
	}
}

// TestFetchRequestDefaults: what a version or a client leaves out has the protocol's default.
func TestFetchRequestDefaults(t *testing.T) {
	var q FetchRequest
	for version := FetchMin; version <= FetchMax; version++ {
		req := kmsg.NewPtrFetchRequest()
		req.Version = version
		topic := kmsg.NewFetchRequestTopic()
		topic.Partitions = append(topic.Partitions, kmsg.NewFetchRequestTopicPartition())
		req.Topics = append(req.Topics, topic)
		if err := q.Decode(version, req.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		p := q.Topics[0].Partitions[0]
		if q.ReplicaID != -1 || q.ReplicaEpoch != -1 || q.SessionID != 0 || q.SessionEpoch != -1 || q.ClusterID != nil || q.Rack == nil || len(q.Rack) != 0 {
			t.Errorf("v%d: %+v", version, q)
		}
		if p.CurrentLeaderEpoch != -1 || p.LastFetchedEpoch != -1 || p.LogStartOffset != -1 || p.HighWatermark != 1<<63-1 || !p.ReplicaDirectoryID.IsZero() {
			t.Errorf("v%d: %+v", version, p)
		}
	}
}

func TestFetchRequestAgreesWithCheck(t *testing.T) {
	var q FetchRequest
	refused := 0
	f := newFiller(1)
	for range 20_000 {
		version := FetchMin + int16(f.rng.IntN(int(FetchMax-FetchMin)+1))
		body := f.request(KeyFetch, version).AppendTo(nil)
		body[f.rng.IntN(len(body))] = byte(f.rng.Uint32()) >> f.rng.IntN(8)
		_, check := Check(KeyFetch, version, body)
		err := q.Decode(version, body)
		if err != nil {
			refused++
		}
		// A tag before its time is none of our business and may hold anything.
		if !reflect.DeepEqual(err, check) && (version < 12 || version > 17 || err != nil) {
			t.Fatalf("v%d %x: decoding says %v, Check says %v", version, body, err, check)
		}
	}
	if refused == 0 {
		t.Fatal("the damage did not bite")
	}
	for _, version := range []int16{-1, 0, 3, 19} {
		var u *UnsupportedError
		if err := q.Decode(version, nil); !errors.As(err, &u) || u.Version != version {
			t.Errorf("v%d: %v", version, err)
		}
	}
}

func fetchBody(version int16, topics, partitions int) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version = version
	for i := range topics {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = fmt.Sprintf("topic-%d", i)
		topic.TopicID[0] = byte(i)
		forgotten := kmsg.NewFetchRequestForgottenTopic()
		forgotten.Topic = topic.Topic
		for j := range partitions {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition = int32(j)
			topic.Partitions = append(topic.Partitions, p)
			forgotten.Partitions = append(forgotten.Partitions, int32(j))
		}
		req.Topics = append(req.Topics, topic)
		req.ForgottenTopics = append(req.ForgottenTopics, forgotten)
	}
	return req.AppendTo(nil)
}

func TestFetchRequestAllocatesNothing(t *testing.T) {
	for _, version := range []int16{4, 11, 12, 13, 18} {
		body := fetchBody(version, 3, 16)
		var q FetchRequest
		if n := testing.AllocsPerRun(100, func() {
			if err := q.Decode(version, body); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("v%d: %v allocations", version, n)
		}
	}
}

func TestFetchRequestReset(t *testing.T) {
	var q FetchRequest
	if err := q.Decode(12, fetchBody(12, 3, 5)); err != nil {
		t.Fatal(err)
	}
	q.Reset()
	for _, topic := range q.Topics[:cap(q.Topics)] {
		if topic.Name != nil || topic.Partitions != nil {
			t.Error("a topic is still referenced")
		}
	}
	for _, topic := range q.Forgotten[:cap(q.Forgotten)] {
		if topic.Name != nil || topic.Partitions != nil {
			t.Error("a forgotten topic is still referenced")
		}
	}
	if err := q.Decode(12, fetchBody(12, 1, 2*keptElements)); err != nil {
		t.Fatal(err)
	}
	q.Reset()
	if cap(q.partitions) > keptElements || cap(q.indexes) > keptElements {
		t.Errorf("%d partitions and %d indexes are kept", cap(q.partitions), cap(q.indexes))
	}
}

// randomFetchResponse fills ours and kmsg's form with the same values, and returns the records by cut.
func randomFetchResponse(f *filler, version int16, r *FetchResponse) (want *kmsg.FetchResponse, records [][]byte) {
	want = kmsg.NewPtrFetchResponse()
	want.Version = version
	r.Reset()
	r.ThrottleMs, r.ErrorCode, r.SessionID = f.rng.Int32(), model.ErrorCode(f.rng.IntN(100)), f.rng.Int32()
	want.ThrottleMillis, want.ErrorCode, want.SessionID = r.ThrottleMs, int16(r.ErrorCode), r.SessionID
	for range f.rng.IntN(4) {
		name, id := f.name("topic"), model.TopicID{byte(f.rng.Uint32())}
		topic, wantTopic := r.AddTopic(name, id), kmsg.NewFetchResponseTopic()
		wantTopic.Topic, wantTopic.TopicID = name, id
		for index := range f.rng.Int32N(4) {
			w := kmsg.NewFetchResponseTopicPartition()
			w.Partition = index
			w.RecordBatches = bytes.Repeat([]byte{byte(index)}, f.rng.IntN(300)*f.rng.IntN(2))
			if len(w.RecordBatches) > 0 {
				records = append(records, w.RecordBatches)
			}
			if f.rng.IntN(4) == 0 && len(w.RecordBatches) == 0 {
				topic.AddError(index, model.NotLeaderForPartition)
				w.ErrorCode, w.HighWatermark = 6, -1
				w.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			} else {
				f.fetchPartition(topic.AddPartition(index), &w)
			}
			wantTopic.Partitions = append(wantTopic.Partitions, w)
		}
		want.Topics = append(want.Topics, wantTopic)
	}
	for range f.rng.IntN(3) {
		e := f.endpoint()
		r.Endpoints = append(r.Endpoints, e)
		if version >= 16 {
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port, b.Rack = e.NodeID, e.Host, e.Port, orNull(e.Rack)
			want.Brokers = append(want.Brokers, b)
		}
	}
	return want, records
}

func (f *filler) fetchPartition(p *FetchPartitionResponse, w *kmsg.FetchResponseTopicPartition) {
	p.RecordsLen = len(w.RecordBatches)
	w.HighWatermark = -1
	if f.rng.IntN(3) == 0 {
		return // the defaults of both must agree too; kmsg's high watermark has none
	}
	p.ErrorCode = model.ErrorCode(f.rng.IntN(100))
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica = f.rng.Int64(), f.rng.Int64(), f.rng.Int64(), f.rng.Int32()
	w.ErrorCode, w.HighWatermark, w.LastStableOffset = int16(p.ErrorCode), p.HighWatermark, p.LastStableOffset
	w.LogStartOffset, w.PreferredReadReplica = p.LogStartOffset, p.PreferredReadReplica
	if f.rng.IntN(2) == 0 {
		p.Aborted = NoneAborted
		w.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range f.rng.IntN(4) {
			a := AbortedTransaction{f.rng.Int64(), f.rng.Int64()}
			p.Aborted = append(p.Aborted, a)
			wa := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			wa.ProducerID, wa.FirstOffset = a.ProducerID, a.FirstOffset
			w.AbortedTransactions = append(w.AbortedTransactions, wa)
		}
	}
	if f.rng.IntN(2) == 0 {
		p.DivergingEpoch = EpochEndOffset{f.rng.Int32(), f.rng.Int64()}
		w.DivergingEpoch.Epoch, w.DivergingEpoch.EndOffset = p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset
	}
	if f.rng.IntN(2) == 0 {
		p.CurrentLeader = CurrentLeader{f.rng.Int32(), f.rng.Int32()}
		w.CurrentLeader.LeaderID, w.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
	}
	if f.rng.IntN(2) == 0 {
		p.SnapshotID = EpochEndOffset{f.rng.Int32(), f.rng.Int64()}
		w.SnapshotID.Epoch, w.SnapshotID.EndOffset = p.SnapshotID.Epoch, p.SnapshotID.EndOffset
	}
}

// interleave writes an encoded response as the broker does: header bytes and records in turns.
func interleave(t *testing.T, e *FetchEncoder, records [][]byte) []byte {
	t.Helper()
	if len(e.Cuts) != len(records) {
		t.Fatalf("%d cuts for %d partitions with records", len(e.Cuts), len(records))
	}
	var out []byte
	from := 0
	for i, cut := range e.Cuts {
		if cut.Len != len(records[i]) {
			t.Fatalf("cut %d is for %d bytes, not for %d", i, cut.Len, len(records[i]))
		}
		out = append(out, e.Head[from:cut.At]...)
		out = append(out, records[i]...)
		from = cut.At
	}
	out = append(out, e.Head[from:]...)
	if len(out) != e.Len() {
		t.Fatalf("%d bytes, Len says %d", len(out), e.Len())
	}
	return out
}

// TestFetchResponseIsWhatKmsgReads: invariants 4 and 5, byte for byte what kmsg writes.
func TestFetchResponseIsWhatKmsgReads(t *testing.T) {
	var r FetchResponse
	var e FetchEncoder
	for version := FetchMin; version <= FetchMax; version++ {
		for seed := range uint64(200) {
			want, records := randomFetchResponse(newFiller(seed), version, &r)
			e.Reset()
			e.Head = append(e.Head, "head"...)
			e.Append(&r, version)
			got := interleave(t, &e, records)
			if encoded := want.AppendTo([]byte("head")); !bytes.Equal(got, encoded) {
				t.Fatalf("v%d, seed %d:\n%x\nkmsg writes\n%x", version, seed, got, encoded)
			}
			read := kmsg.NewPtrFetchResponse()
			read.Version = version
			if err := read.ReadFrom(got[4:]); err != nil {
				t.Fatal(err)
			}
			if again := read.AppendTo(nil); !bytes.Equal(again, got[4:]) {
				t.Fatalf("v%d, seed %d: what kmsg reads is\n%x", version, seed, again)
			}
		}
	}
}

func TestFetchResponseAllocatesNothing(t *testing.T) {
	var r FetchResponse
	var e FetchEncoder
	fill := func() {
		r.Reset()
		e.Reset()
		for range 3 {
			topic := r.AddTopic("topic", model.TopicID{1})
			for index := range int32(16) {
				p := topic.AddPartition(index)
				p.HighWatermark, p.RecordsLen, p.Aborted = 5, 1000, NoneAborted
			}
		}
		e.Append(&r, 18)
	}
	fill()
	if n := testing.AllocsPerRun(100, fill); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFetchRequestIsPriced: what decoding allocates at first is within CheckFetch's cost.
func TestFetchRequestIsPriced(t *testing.T) {
	for _, version := range []int16{4, 12, 18} {
		for _, shape := range [][2]int{{1, 1}, {1, 5000}, {5000, 1}, {300, 17}, {7, 7}} {
			body := fetchBody(version, shape[0], shape[1])
			cost, err := CheckFetch(version, body)
			if err != nil {
				t.Fatal(err)
			}
			used := allocated(int64(cost), func() {
				var q FetchRequest
				err = q.Decode(version, body)
			})
			if err != nil || used > int64(cost) {
				t.Errorf("v%d, %v: %v, CheckFetch says %d bytes, decoding took %d", version, shape, err, cost, used)
			}
		}
	}
	if _, err := CheckFetch(3, fetchBody(3, 1, 1)); err == nil {
		t.Error("version 3 is accepted")
	}
}
