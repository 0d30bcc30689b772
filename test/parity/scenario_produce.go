package main

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func produce(s *side) {
	id := s.mustCreate("produce-a", 2)
	tx := s.mustCreate("produce-tx", 1)
	one := func() []byte { return newBatch(rec("k", "v")).seal() }
	for _, acks := range []int16{1, -1} {
		s.each("acks "+itoa(int(acks)), 0, func(v int16) kmsg.Request { return produceRequest("produce-a", id, acks, one(), one()) })
	}
	for _, acks := range []int16{2, -2, 100} {
		s.each("acks "+itoa(int(acks)), 0, func(v int16) kmsg.Request { return produceRequest("produce-a", id, acks, one()) })
	}
	s.each("unknown topic", 0, func(v int16) kmsg.Request { return produceRequest("produce-none", [16]byte{3, 3}, 1, one()) })
	s.each("zero id or empty name", 0, func(v int16) kmsg.Request { return produceRequest("", [16]byte{}, 1, one()) })
	s.each("unknown partition", 0, func(v int16) kmsg.Request { return produceRequest("produce-a", id, 1, one(), one(), one()) })
	s.each("negative partition", 0, func(v int16) kmsg.Request {
		req := produceRequest("produce-a", id, 1, one())
		req.Topics[0].Partitions[0].Partition = -1
		return req
	})
	s.each("nothing", 0, func(v int16) kmsg.Request { return produceRequest("produce-a", id, 1) })
	s.each("no topics", 0, func(v int16) kmsg.Request {
		req := produceRequest("produce-a", id, 1)
		req.Topics = nil
		return req
	})
	s.each("transactional id", 0, func(v int16) kmsg.Request {
		req := produceRequest("produce-tx", tx, -1, one())
		req.TransactionID = ptr("tx")
		return req
	})
	s.each("internal topic", 0, func(v int16) kmsg.Request {
		if v >= 13 {
			return nil
		}
		return produceRequest("__cluster_metadata", id, -1, one())
	})
	s.each("acks 0", 0, func(v int16) kmsg.Request { return nil })
	acksZero(s, id)
}

// acksZero records what a request without an answer does to its connection: the answer to the next request, or its end.
func acksZero(s *side, id [16]byte) {
	probe := func(step string, req *kmsg.ProduceRequest) {
		req.SetVersion(9)
		c, err := s.conn("zero")
		if err == nil {
			err = c.write(c.frame(0, 9, true, req.AppendTo(nil)))
		}
		if err != nil {
			s.fail("zero", step, 9, err)
			return
		}
		ask := kmsg.NewPtrListOffsetsRequest()
		ask.Topics = []kmsg.ListOffsetsRequestTopic{listTopic("produce-a", -2)} // the end may move later
		ask.SetVersion(4)
		if resp := s.do("zero", step, ask).(*kmsg.ListOffsetsResponse); resp.Topics != nil {
			s.drop("zero")
		}
	}
	good := newBatch(rec("k", "v")).seal()
	probe("acks 0", produceRequest("produce-a", id, 0, good))
	probe("acks 0, unknown topic", produceRequest("produce-none", id, 0, good))
	bad := newBatch(rec("k", "v")).seal()
	bad[20] ^= 1
	probe("acks 0, corrupt", produceRequest("produce-a", id, 0, bad))
}

// produceTwice names one partition several times in a request, and asks afterwards how much was appended.
func produceTwice(s *side) {
	id := s.mustCreate("twice-a", 3)
	of := func(n int) []byte {
		records := make([]record, n)
		for i := range records {
			records[i] = rec("k", "v")
		}
		return newBatch(records...).seal()
	}
	corrupt := of(1)
	corrupt[20] ^= 1
	type part struct {
		partition int32
		records   []byte
	}
	ask := func(step string, acks int16, topics ...[]part) {
		s.each(step, 0, func(v int16) kmsg.Request {
			req := produceRequest("twice-a", id, acks)
			t := req.Topics[0]
			req.Topics = nil
			for _, parts := range topics {
				t.Partitions = nil
				for _, p := range parts {
					one := kmsg.NewProduceRequestTopicPartition()
					one.Partition, one.Records = p.partition, p.records
					t.Partitions = append(t.Partitions, one)
				}
				req.Topics = append(req.Topics, t)
			}
			return req
		})
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		for i := range int32(3) {
			t := listTopic("twice-a", -1)
			t.Partitions[0].Partition = i
			req.Topics = append(req.Topics, t)
		}
		s.at(4, step+", the end", req)
	}
	ask("partition", -1, []part{{0, of(1)}, {0, of(2)}})
	ask("partition, acks 1", 1, []part{{0, of(1)}, {0, of(2)}})
	ask("partition, the larger first", -1, []part{{0, of(3)}, {0, of(1)}})
	ask("partition, between others", -1, []part{{1, of(1)}, {0, of(1)}, {2, of(3)}, {1, of(2)}})
	ask("topic", -1, []part{{0, of(1)}}, []part{{0, of(2)}})
	ask("topic, other partitions", -1, []part{{0, of(1)}, {1, of(1)}}, []part{{2, of(2)}, {0, of(2)}})
	ask("corrupt first", -1, []part{{0, corrupt}, {0, of(1)}})
	ask("corrupt last", -1, []part{{0, of(1)}, {0, corrupt}})
}

func produceBatches(s *side) {
	s.mustCreate("batches-small", 1, "max.message.bytes", "200")
	var id [16]byte
	for i, c := range slices.Concat(brokenBatches(), bentBatches()) {
		topic := "batches-" + itoa(i)
		id = s.mustCreate(topic, 1)
		for _, v := range []int16{3, 7, 8, 9, 12, 13} {
			if c.data == nil && v != 9 {
				continue // each costs the whole time limit of an answer
			}
			s.at(v, c.name, produceRequest(topic, id, -1, c.data))
		}
		s.at(11, c.name+", what was stored", fetchRequest(topic, id, 0))
	}
	big := sealed(same, record{key: []byte("k"), value: make([]byte, 200)})
	s.each("too large for the topic", 0, func(v int16) kmsg.Request {
		return produceRequest("batches-small", s.awaitTopic("batches-small", 1), -1, big)
	})
	huge := sealed(same, record{key: []byte("k"), value: make([]byte, 1048576)})
	s.at(9, "too large by default", produceRequest("batches-0", id, -1, huge))
	s.at(9, "two small ones in a small topic", produceRequest("batches-small", id, -1, append(sealed(same), sealed(same)...)))
}

func produceTimestamps(s *side) {
	s.mustCreate("times-a", 1, "message.timestamp.before.max.ms", "3600000", "message.timestamp.after.max.ms", "3600000")
	s.mustCreate("times-log", 1, "message.timestamp.type", "LogAppendTime")
	s.mustCreate("times-any", 1)
	now := time.Now().UnixMilli()
	stamped := func(first int64, deltas ...int64) []byte {
		var records []record
		for _, d := range deltas {
			records = append(records, record{key: []byte("k"), value: []byte("v"), delta: d})
		}
		b := newBatch(records...)
		b.FirstTimestamp = first
		b.MaxTimestamp = first
		for _, d := range deltas {
			b.MaxTimestamp = max(b.MaxTimestamp, first+d)
		}
		return b.seal()
	}
	for _, topic := range []string{"times-a", "times-log", "times-any"} {
		for _, v := range []int16{3, 7, 8, 9, 12} {
			s.at(v, topic+" now", produceRequest(topic, [16]byte{}, -1, stamped(now, 0)))
			s.at(v, topic+" old", produceRequest(topic, [16]byte{}, -1, stamped(1000, 0, 1)))
			s.at(v, topic+" some old", produceRequest(topic, [16]byte{}, -1, stamped(now, 0, -7200_000, 5, -8000_000)))
			s.at(v, topic+" future", produceRequest(topic, [16]byte{}, -1, stamped(now, 0, 7200_000)))
			s.at(v, topic+" none", produceRequest(topic, [16]byte{}, -1, stamped(-1, 0)))
			s.at(v, topic+" none and some", produceRequest(topic, [16]byte{}, -1, stamped(-1, 0, now)))
			s.at(v, topic+" negative", produceRequest(topic, [16]byte{}, -1, stamped(-5, 0)))
		}
		list := kmsg.NewPtrListOffsetsRequest()
		list.Topics = []kmsg.ListOffsetsRequestTopic{listTopic(topic, -1)}
		s.at(7, topic+" end", list)
	}
	duplicate(s, now)
}

// duplicate sends one idempotent batch twice to a topic with append times.
func duplicate(s *side, now int64) {
	b := newBatch(rec("k", "v"))
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = 7001, 0, 0
	b.FirstTimestamp, b.MaxTimestamp = now, now
	s.at(9, "append time, idempotent", produceRequest("times-log", [16]byte{}, -1, b.seal()))
	s.at(9, "append time, idempotent, again", produceRequest("times-log", [16]byte{}, -1, b.seal()))
}

func produceCompacted(s *side) {
	s.mustCreate("compacted", 1, "cleanup.policy", "compact")
	s.mustCreate("compacted-both", 1, "cleanup.policy", "compact,delete")
	for _, topic := range []string{"compacted", "compacted-both"} {
		for _, v := range []int16{3, 7, 8, 9, 12} {
			ask := func(step string, records ...record) {
				s.at(v, topic+" "+step, produceRequest(topic, [16]byte{}, -1, newBatch(records...).seal()))
			}
			ask("with keys", rec("a", "b"))
			ask("without key", record{noKey: true, value: []byte("v")})
			ask("some without key", rec("a", "b"), record{noKey: true, value: []byte("v")}, rec("c", "d"), record{noKey: true})
			ask("empty key", record{key: []byte{}, value: []byte("v")})
			ask("all without key", record{noKey: true, value: []byte("v")}, record{noKey: true}, record{noKey: true})
		}
	}
}

func produceIdempotent(s *side) {
	s.mustCreate("idempotent", 1)
	ask := func(step string, producer int64, epoch int16, sequence int32, records int) {
		var all []record
		for range records {
			all = append(all, rec("k", "v"))
		}
		b := newBatch(all...)
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = producer, epoch, sequence
		s.at(9, step, produceRequest("idempotent", [16]byte{}, -1, b.seal()))
	}
	ask("first", 6000, 0, 0, 2)
	ask("duplicate", 6000, 0, 0, 2)
	ask("shorter duplicate", 6000, 0, 0, 1)
	ask("next", 6000, 0, 2, 3)
	ask("gap", 6000, 0, 7, 1)
	ask("old but not a batch", 6000, 0, 1, 1)
	for i := range int32(5) {
		ask("more", 6000, 0, 5+i, 1)
	}
	ask("forgotten duplicate", 6000, 0, 2, 3)
	ask("remembered duplicate", 6000, 0, 6, 1)
	ask("new epoch, wrong start", 6000, 1, 5, 1)
	ask("new epoch", 6000, 1, 0, 1)
	ask("old epoch", 6000, 0, 10, 1)
	ask("unknown producer from 7", 6001, 0, 7, 1)
	ask("unknown producer, epoch 3 from 0", 6002, 3, 0, 1)
	ask("negative sequence", 6003, 0, -1, 1)
	ask("negative epoch", 6003, -1, 0, 1)
	ask("negative producer with sequence", -1, 0, 0, 1)
	ask("producer -2", -2, 0, 0, 1)
	ask("before the wrap", 6004, 0, 2147483646, 2)
	ask("after the wrap", 6004, 0, 0, 1)
	ask("over the wrap", 6005, 0, 2147483647, 2)
	ask("behind it", 6005, 0, 1, 1)
	ask("duplicate over the wrap", 6005, 0, 2147483647, 2)
	ask("a first sequence of -5", 6006, 0, -5, 1)
}

func initProducerID(s *side) {
	request := func(tx *string, id int64, epoch int16, timeout int32) *kmsg.InitProducerIDRequest {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.TransactionTimeoutMillis = tx, id, epoch, timeout
		return req
	}
	ask := func(step string, req *kmsg.InitProducerIDRequest) {
		for _, v := range s.versions(22) {
			req.SetVersion(v)
			resp := s.ask("", req).(*kmsg.InitProducerIDResponse)
			if resp.ProducerID >= 0 {
				resp.ProducerID = 1 // any
			}
			s.record(step, v, s.render(22, resp))
		}
	}
	ask("plain", request(nil, -1, -1, 0))
	ask("timeout", request(nil, -1, -1, 2_000_000_000))
	ask("with an id", request(nil, 5, 0, 1000))
	ask("with an id only", request(nil, 5, -1, 1000))
	ask("with an epoch only", request(nil, -1, 3, 1000))
	ask("empty transactional id", request(ptr(""), -1, -1, 1000))
	ask("negative timeout", request(nil, -1, -1, -1))
}

// sentBatch is what one case sends as the records of a partition.
type sentBatch struct {
	name string
	data []byte
}

// sealed is a batch of the records, of two by default, that was bent before it was sealed.
func sealed(bend func(*batchOf), records ...record) []byte {
	if len(records) == 0 {
		records = []record{rec("k", "v"), rec("l", "w")}
	}
	b := newBatch(records...)
	bend(b)
	return b.seal()
}

// broken is a good batch whose bytes were changed behind its checksum's back.
func broken(bend func([]byte) []byte) []byte {
	return bend(newBatch(rec("k", "v"), rec("l", "w")).seal())
}

func same(*batchOf) {}

// brokenBatches are wrong in bytes that the checksum does not cover, or in their length.
func brokenBatches() []sentBatch {
	return []sentBatch{
		{"good", sealed(same)},
		{"null value", sealed(same, record{key: []byte("k")})},
		{"null records", nil},
		{"empty records", []byte{}},
		{"short", make([]byte, 10)},
		{"seventeen bytes", make([]byte, 17)},
		{"zeros", make([]byte, 100)},
		{"wrong checksum", broken(func(b []byte) []byte { b[20]++; return b })},
		{"magic 1", broken(func(b []byte) []byte { b[16] = 1; return b })},
		{"magic 0", broken(func(b []byte) []byte { b[16] = 0; return b })},
		{"magic 3", broken(func(b []byte) []byte { b[16] = 3; return b })},
		{"magic -1", broken(func(b []byte) []byte { b[16] = 255; return b })},
		{"length too small", broken(func(b []byte) []byte { b[11] = 10; return b })},
		{"length short by one", broken(func(b []byte) []byte { b[11]--; return b })},
		{"length long by one", broken(func(b []byte) []byte { b[11]++; return b })},
		{"length negative", broken(func(b []byte) []byte { b[8] = 255; return b })},
		{"cut", broken(func(b []byte) []byte { return b[:len(b)-1] })},
		{"byte left over", broken(func(b []byte) []byte { return append(b, 0) })},
		{"twenty bytes left over", broken(func(b []byte) []byte { return append(b, make([]byte, 20)...) })},
		{"two batches", append(sealed(same), sealed(same)...)},
		{"base offset 7", broken(func(b []byte) []byte { b[7] = 7; return b })},
		{"leader epoch 9", broken(func(b []byte) []byte { b[15] = 9; return b })},
	}
}

// bentBatches are whole, and say something wrong.
func bentBatches() []sentBatch {
	return []sentBatch{
		{"count one more", sealed(func(b *batchOf) { b.NumRecords++ })},
		{"count one less", sealed(func(b *batchOf) { b.NumRecords-- })},
		{"count and delta one more", sealed(func(b *batchOf) { b.NumRecords++; b.LastOffsetDelta++ })},
		{"count and delta one less", sealed(func(b *batchOf) { b.NumRecords--; b.LastOffsetDelta-- })},
		{"delta one more", sealed(func(b *batchOf) { b.LastOffsetDelta++ })},
		{"delta one less", sealed(func(b *batchOf) { b.LastOffsetDelta-- })},
		{"no records", sealed(func(b *batchOf) { b.NumRecords, b.LastOffsetDelta, b.records = 0, -1, nil })},
		{"no records, delta 0", sealed(func(b *batchOf) { b.NumRecords, b.LastOffsetDelta, b.records = 0, 0, nil })},
		{"negative count", sealed(func(b *batchOf) { b.NumRecords = -1 })},
		{"record with a wrong offset", sealed(same, rec("a", "b"), record{key: []byte("k"), value: []byte("v"), offset: 1})},
		{"records with one offset", sealed(same, rec("a", "b"), record{key: []byte("k"), value: []byte("v"), offset: -1})},
		{"control", sealed(func(b *batchOf) { b.Attributes |= 32 })},
		{"transactional without producer", sealed(func(b *batchOf) { b.Attributes |= 16 })},
		{"transactional", sealed(func(b *batchOf) {
			b.Attributes |= 16
			b.ProducerID, b.ProducerEpoch, b.FirstSequence = 5000, 0, 0
		})},
		{"transactional control", sealed(func(b *batchOf) { b.Attributes |= 48 })},
		{"log append time", sealed(func(b *batchOf) { b.Attributes |= 8 })},
		{"delete horizon", sealed(func(b *batchOf) { b.Attributes |= 64 })},
		{"unused attribute", sealed(func(b *batchOf) { b.Attributes |= 128 })},
		{"codec 5", sealed(func(b *batchOf) { b.Attributes |= 5 })},
		{"codec 7", sealed(func(b *batchOf) { b.Attributes |= 7 })},
		{"gzip that is none", sealed(func(b *batchOf) { b.Attributes |= 1 })},
		{"snappy that is none", sealed(func(b *batchOf) { b.Attributes |= 2 })},
		{"lz4 that is none", sealed(func(b *batchOf) { b.Attributes |= 3 })},
		{"zstd that is none", sealed(func(b *batchOf) { b.Attributes |= 4 })},
		{"record length too long", sealed(func(b *batchOf) { b.records[0] += 2 })},
		{"record length too short", sealed(func(b *batchOf) { b.records[0] -= 2 })},
		{"record cut", sealed(func(b *batchOf) { b.records = b.records[:len(b.records)-2] })},
		{"bytes behind the records", sealed(func(b *batchOf) { b.records = append(b.records, 0, 0, 0) })},
		{"header count -1", sealed(func(b *batchOf) { b.records[len(b.records)-1] = 1 })},
		{"wrong maximal timestamp", sealed(func(b *batchOf) { b.MaxTimestamp = 5 })},
		{"maximal timestamp -1", sealed(func(b *batchOf) { b.MaxTimestamp = -1 })},
	}
}
