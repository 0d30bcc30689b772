package main

import (
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// epochMs is the timestamp of the records that scenarios write: recent enough for every default, and the same on both sides.
var epochMs = int64(1_700_000_000_000)

func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, c)
	}
	return t
}

func listTopic(name string, timestamps ...int64) kmsg.ListOffsetsRequestTopic {
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = name
	for _, ts := range timestamps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = ts
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// batchOf is a record batch that scenarios bend before it is sealed.
type batchOf struct {
	kmsg.RecordBatch
	records []byte
}

// record is one record of a batch.
type record struct {
	key, value []byte
	delta      int64 // of the timestamp
	offset     int32 // of the offset: added to the place in the batch
	noKey      bool
}

func newBatch(records ...record) *batchOf {
	b := &batchOf{RecordBatch: kmsg.NewRecordBatch()}
	b.Magic, b.ProducerID, b.ProducerEpoch, b.FirstSequence, b.PartitionLeaderEpoch = 2, -1, -1, -1, -1
	b.FirstTimestamp, b.MaxTimestamp = epochMs, epochMs
	for i, r := range records {
		var body []byte
		body = append(body, 0)
		body = kbin.AppendVarlong(body, r.delta)
		body = kbin.AppendVarint(body, int32(i)+r.offset)
		if r.noKey {
			body = kbin.AppendVarint(body, -1)
		} else {
			body = append(kbin.AppendVarint(body, int32(len(r.key))), r.key...)
		}
		if r.value == nil {
			body = kbin.AppendVarint(body, -1)
		} else {
			body = append(kbin.AppendVarint(body, int32(len(r.value))), r.value...)
		}
		body = kbin.AppendVarint(body, 0)
		b.records = append(kbin.AppendVarint(b.records, int32(len(body))), body...)
		b.MaxTimestamp = max(b.MaxTimestamp, epochMs+r.delta)
	}
	b.NumRecords, b.LastOffsetDelta = int32(len(records)), int32(len(records)-1)
	return b
}

func rec(key, value string) record { return record{key: []byte(key), value: []byte(value)} }

// seal returns the bytes, with length and checksum right.
func (b *batchOf) seal() []byte {
	b.Records = b.records
	b.Length = int32(49 + len(b.records))
	out := b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

func produceRequest(topic string, id [16]byte, acks int16, batches ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), b
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// fetchRequest asks for partition 0 of a topic from an offset.
func fetchRequest(topic string, id [16]byte, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 100, 0, 1<<20
	req.SessionEpoch = -1
	req.Topics = append(req.Topics, fetchTopic(topic, id, 0, offset))
	return req
}

func fetchTopic(topic string, id [16]byte, partition int32, offset int64) kmsg.FetchRequestTopic {
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	return t
}

// mustProduce appends a batch to partition 0.
func (s *side) mustProduce(topic string, b *batchOf) {
	s.at(9, "", produceRequest(topic, [16]byte{}, -1, b.seal()))
}

func ptr[T any](v T) *T { return &v }
