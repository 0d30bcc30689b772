package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// sameProduce tells where our reading of a produce request differs from kmsg's, "" when nowhere.
func sameProduce(got *ProduceRequest, want *kmsg.ProduceRequest) string {
	if (got.TransactionalID == nil) != (want.TransactionID == nil) || (want.TransactionID != nil && string(got.TransactionalID) != *want.TransactionID) {
		return fmt.Sprintf("transactional id %q", got.TransactionalID)
	}
	if got.Acks != want.Acks || got.TimeoutMs != want.TimeoutMillis || len(got.Topics) != len(want.Topics) {
		return fmt.Sprintf("acks %d, timeout %d, %d topics", got.Acks, got.TimeoutMs, len(got.Topics))
	}
	for i := range got.Topics {
		g, w := &got.Topics[i], &want.Topics[i]
		if string(g.Name) != w.Topic || g.ID != model.TopicID(w.TopicID) || len(g.Partitions) != len(w.Partitions) {
			return fmt.Sprintf("topic %d: %q %v, %d partitions", i, g.Name, g.ID, len(g.Partitions))
		}
		for j := range g.Partitions {
			gp, wp := &g.Partitions[j], &w.Partitions[j]
			if gp.Index != wp.Partition || !bytes.Equal(gp.Records, wp.Records) || (gp.Records == nil) != (wp.Records == nil) {
				return fmt.Sprintf("topic %d, partition %d: %d, records %x", i, j, gp.Index, gp.Records)
			}
		}
	}
	return ""
}

func TestProduceRequestIsWhatKmsgReads(t *testing.T) {
	var q ProduceRequest
	for version := ProduceMin; version <= ProduceMax; version++ {
		for seed := range uint64(200) {
			body := newFiller(seed).request(KeyProduce, version).AppendTo(nil)
			if err := q.Decode(version, body); err != nil {
				t.Fatalf("v%d, seed %d: %v", version, seed, err)
			}
			want := kmsg.NewPtrProduceRequest()
			want.Version = version
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			if diff := sameProduce(&q, want); diff != "" || q.Version != version {
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

func TestProduceRequestAgreesWithCheck(t *testing.T) {
	var q ProduceRequest
	refused := 0
	f := newFiller(1)
	for range 20_000 {
		version := ProduceMin + int16(f.rng.IntN(int(ProduceMax-ProduceMin)+1))
		body := f.request(KeyProduce, version).AppendTo(nil)
		body[f.rng.IntN(len(body))] = byte(f.rng.Uint32()) >> f.rng.IntN(8)
		_, check := Check(KeyProduce, version, body)
		if err := q.Decode(version, body); !reflect.DeepEqual(err, check) {
			t.Fatalf("v%d %x: decoding says %v, Check says %v", version, body, err, check)
		} else if err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Fatal("the damage did not bite")
	}
}

func TestProduceRequestVersions(t *testing.T) {
	var q ProduceRequest
	for _, version := range []int16{-1, 0, 2, 14} {
		var u *UnsupportedError
		if err := q.Decode(version, nil); !errors.As(err, &u) || u.Version != version {
			t.Errorf("v%d: %v", version, err)
		}
	}
}

func produceBody(version int16, topics, partitions, records int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version = version
	for i := range topics {
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = fmt.Sprintf("topic-%d", i)
		topic.TopicID[0] = byte(i)
		for j := range partitions {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(j)
			p.Records = bytes.Repeat([]byte{byte(j)}, records)
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	return req.AppendTo(nil)
}

func TestProduceRequestAllocatesNothing(t *testing.T) {
	for _, version := range []int16{3, 8, 9, 12, 13} {
		body := produceBody(version, 3, 16, 1000)
		var q ProduceRequest
		if n := testing.AllocsPerRun(100, func() {
			if err := q.Decode(version, body); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("v%d: %v allocations", version, n)
		}
	}
}

// TestProduceRequestReset: nothing of the body stays reachable, and what one huge request grew is not kept for ever.
func TestProduceRequestReset(t *testing.T) {
	var q ProduceRequest
	if err := q.Decode(9, produceBody(9, 2, 5, 10)); err != nil {
		t.Fatal(err)
	}
	q.Reset()
	for _, p := range q.partitions[:cap(q.partitions)] {
		if p.Records != nil {
			t.Error("records are still referenced")
		}
	}
	for _, topic := range q.Topics[:cap(q.Topics)] {
		if topic.Name != nil || topic.Partitions != nil {
			t.Error("a topic is still referenced")
		}
	}
	if err := q.Decode(9, produceBody(9, 1, 2*keptElements, 0)); err != nil {
		t.Fatal(err)
	}
	q.Reset()
	if cap(q.partitions) > keptElements {
		t.Errorf("%d partitions are kept", cap(q.partitions))
	}
}

// randomProduceResponse fills ours and kmsg's form with the same values.
func randomProduceResponse(f *filler, version int16, r *ProduceResponse) *kmsg.ProduceResponse {
	want := kmsg.NewPtrProduceResponse()
	want.Version = version
	r.Reset()
	r.ThrottleMs = f.rng.Int32()
	want.ThrottleMillis = r.ThrottleMs
	for range f.rng.IntN(4) {
		name, id := f.name("topic"), model.TopicID{byte(f.rng.Uint32())}
		topic, wantTopic := r.AddTopic(name, id), kmsg.NewProduceResponseTopic()
		if version < 13 {
			wantTopic.Topic = name
		} else {
			wantTopic.TopicID = id
		}
		for index := range f.rng.Int32N(4) {
			p, w := topic.AddPartition(index), kmsg.NewProduceResponseTopicPartition()
			w.Partition = index
			f.producePartition(p, &w, version)
			wantTopic.Partitions = append(wantTopic.Partitions, w)
		}
		want.Topics = append(want.Topics, wantTopic)
	}
	for range f.rng.IntN(3) {
		e := f.endpoint()
		r.Endpoints = append(r.Endpoints, e)
		if version >= 10 {
			b := kmsg.NewProduceResponseBroker()
			b.NodeID, b.Host, b.Port, b.Rack = e.NodeID, e.Host, e.Port, orNull(e.Rack)
			want.Brokers = append(want.Brokers, b)
		}
	}
	return want
}

func (f *filler) producePartition(p *ProducePartitionResponse, w *kmsg.ProduceResponseTopicPartition, version int16) {
	if f.rng.IntN(2) == 0 {
		return // the defaults of both must agree too; kmsg's base offset has none
	}
	p.ErrorCode = model.ErrorCode(f.rng.IntN(100))
	p.BaseOffset, p.LogAppendTimeMs, p.LogStartOffset = f.rng.Int64(), f.rng.Int64(), f.rng.Int64()
	w.ErrorCode, w.BaseOffset, w.LogAppendTime = int16(p.ErrorCode), p.BaseOffset, p.LogAppendTimeMs
	if version >= 5 {
		w.LogStartOffset = p.LogStartOffset
	}
	p.ErrorMessage = f.name("")
	for i := range f.rng.Int32N(3) {
		e := RecordError{BatchIndex: i, Message: f.name("")}
		p.RecordErrors = append(p.RecordErrors, e)
		if version >= 8 {
			we := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			we.RelativeOffset, we.ErrorMessage = e.BatchIndex, orNull(e.Message)
			w.ErrorRecords = append(w.ErrorRecords, we)
		}
	}
	if version >= 8 {
		w.ErrorMessage = orNull(p.ErrorMessage)
	}
	if f.rng.IntN(2) == 0 {
		p.CurrentLeader = CurrentLeader{f.rng.Int32(), f.rng.Int32()}
		if version >= 10 {
			w.CurrentLeader.LeaderID, w.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
		}
	}
}

func (f *filler) name(prefix string) string {
	return prefix + strings.Repeat("x", f.rng.IntN(200)*f.rng.IntN(2))
}

func (f *filler) endpoint() NodeEndpoint {
	return NodeEndpoint{NodeID: f.rng.Int32(), Host: f.name("host"), Port: f.rng.Int32(), Rack: f.name("")}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// TestProduceResponseIsWhatKmsgReads: invariant 5, byte for byte what kmsg writes and value for value what it reads.
func TestProduceResponseIsWhatKmsgReads(t *testing.T) {
	var r ProduceResponse
	for version := ProduceMin; version <= ProduceMax; version++ {
		for seed := range uint64(200) {
			want := randomProduceResponse(newFiller(seed), version, &r)
			for i := range want.Topics {
				for j := range want.Topics[i].Partitions {
					if w := &want.Topics[i].Partitions[j]; w.BaseOffset == 0 {
						w.BaseOffset = -1
					}
				}
			}
			got := r.Append([]byte("head"), version)
			if encoded := want.AppendTo([]byte("head")); !bytes.Equal(got, encoded) {
				t.Fatalf("v%d, seed %d:\n%x\nkmsg writes\n%x", version, seed, got, encoded)
			}
			read := kmsg.NewPtrProduceResponse()
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

func TestProduceResponseAllocatesNothing(t *testing.T) {
	var r ProduceResponse
	var dst []byte
	fill := func() {
		r.Reset()
		for range 3 {
			topic := r.AddTopic("topic", model.TopicID{1})
			for index := range int32(16) {
				p := topic.AddPartition(index)
				p.BaseOffset, p.CurrentLeader = 5, CurrentLeader{1, 2}
			}
		}
		r.Endpoints = append(r.Endpoints, NodeEndpoint{1, "host", 9092, "rack"})
		dst = r.Append(dst[:0], 13)
	}
	fill()
	if n := testing.AllocsPerRun(100, fill); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestProduceRequestIsPriced: what decoding allocates at first is within CheckProduce's cost, and the body is not in it.
func TestProduceRequestIsPriced(t *testing.T) {
	for _, version := range []int16{3, 9, 13} {
		for _, shape := range [][3]int{{1, 1, 1 << 20}, {1, 5000, 0}, {5000, 1, 0}, {300, 17, 1}, {7, 7, 7}} {
			body := produceBody(version, shape[0], shape[1], shape[2])
			cost, err := CheckProduce(version, body)
			if err != nil {
				t.Fatal(err)
			}
			used := allocated(int64(cost), func() {
				var q ProduceRequest
				err = q.Decode(version, body)
			})
			if err != nil || used > int64(cost) || cost > 2000*shape[0]*shape[1] {
				t.Errorf("v%d, %v: %v, CheckProduce says %d bytes, decoding took %d", version, shape, err, cost, used)
			}
		}
	}
	if _, err := CheckProduce(2, produceBody(2, 1, 1, 1)); err == nil {
		t.Error("version 2 is accepted")
	}
}
