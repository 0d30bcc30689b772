package main

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
)

func TestBuiltBatchesAreGood(t *testing.T) {
	for _, size := range []struct{ batch, value, records int }{{0, 100, 1}, {64 << 10, 1 << 10, 63}, {1000, 10, 55}} {
		built, records := buildBatch(size.batch, size.value, 1_700_000_000_000)
		if records != size.records || size.batch > 0 && len(built) > size.batch {
			t.Errorf("a batch of %d bytes with values of %d has %d records and %d bytes", size.batch, size.value, records, len(built))
		}
		b, err := batch.One(built)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		var r batch.Reader
		if err := r.Reset(b, 1<<20); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; r.Next(); n++ {
			if record := r.Record(); len(record.Value) != size.value || record.Key != nil || record.OffsetDelta != int32(n) {
				t.Fatalf("record %d: %+v", n, record)
			}
		}
		if r.Err() != nil || n != records {
			t.Errorf("read %d records of %d: %v", n, records, r.Err())
		}
	}
}

func TestResponsesAreRead(t *testing.T) {
	produced := kmsg.NewPtrProduceResponse()
	produced.SetVersion(produceVersion)
	answer := kmsg.NewProduceResponseTopicPartition()
	answer.BaseOffset = 4711
	produced.Topics = []kmsg.ProduceResponseTopic{{Topic: "t", Partitions: []kmsg.ProduceResponseTopicPartition{answer}}}
	frame := produced.AppendTo([]byte{0, 0, 0, 9, 0})
	if correlation, offset, err := producedAt(frame); correlation != 9 || offset != 4711 || err != nil {
		t.Errorf("correlation %d, offset %d, %v", correlation, offset, err)
	}
	produced.Topics[0].Partitions[0].ErrorCode = 6
	if _, _, err := producedAt(produced.AppendTo([]byte{0, 0, 0, 9, 0})); err == nil {
		t.Error("an error code was taken for an acknowledgement")
	}
	for n := range 23 { // it is read up to the base offset
		if _, _, err := producedAt(frame[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were read as a response", n, len(frame))
		}
	}

	first, _ := buildBatch(0, 10, 1)
	second, _ := buildBatch(200, 10, 1)
	binary.BigEndian.PutUint64(second, 1)
	fetched := kmsg.NewPtrFetchResponse()
	fetched.SetVersion(fetchVersion)
	topic := kmsg.NewFetchResponseTopic()
	for i, records := range [][]byte{nil, append(append([]byte{}, first...), second...)} {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.RecordBatches = int32(i), int64(100+i), records
		p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 2}}
		p.DivergingEpoch.Epoch = int32(i) // a tag to be skipped
		topic.Partitions = append(topic.Partitions, p)
	}
	fetched.Topics = append(fetched.Topics, topic)
	var batches []int64
	calls := 0
	correlation, err := fetchedRecords(fetched.AppendTo([]byte{0, 0, 0, 7, 0}), func(partition int32, highWatermark int64, records []byte) error {
		if partition != int32(calls) || highWatermark != int64(100+calls) {
			t.Errorf("partition %d with high watermark %d came as number %d", partition, highWatermark, calls)
		}
		calls++
		whole := eachBatch(records, func(base int64, count int32) { batches = append(batches, base, int64(count)) })
		if whole != len(records) {
			t.Errorf("%d of %d bytes are whole batches", whole, len(records))
		}
		return nil
	})
	if correlation != 7 || err != nil || calls != 2 || len(batches) != 4 || batches[0] != 0 || batches[1] != 1 || batches[2] != 1 || batches[3] < 2 {
		t.Errorf("correlation %d, %v, %d partitions, batches %v", correlation, err, calls, batches)
	}
}

func TestFetchOffsetsArePutInTheirPlaces(t *testing.T) {
	r := newFetchRequest([16]byte{1}, []int32{2, 5}, 1, 1000, 500)
	r.offsets[0], r.offsets[1] = 20, 50
	frame := r.prepare(77)
	if got := binary.BigEndian.Uint32(frame[correlationAt:]); got != 77 {
		t.Errorf("correlation id %d", got)
	}
	// size, key, version, correlation id, client id, tags; then the body
	body := frame[4+2+2+4+2+len("ottla-bench")+1:]
	parsed := kmsg.NewPtrFetchRequest()
	parsed.SetVersion(fetchVersion)
	if err := parsed.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	for i, p := range parsed.Topics[0].Partitions {
		if p.Partition != r.partitions[i] || p.FetchOffset != r.offsets[i] {
			t.Errorf("partition %d is asked for from offset %d", p.Partition, p.FetchOffset)
		}
	}
}
