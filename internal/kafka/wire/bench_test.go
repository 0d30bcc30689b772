package wire

import (
	"fmt"
	"testing"

	"github.com/ottla/ottla/internal/kafka/model"
)

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		key  int16
		body []byte
	}{
		{0, produceBody(13, 1, 1, 64<<10)},
		{1, fetchBody(18, 1, 16)},
		{3, newFiller(3).request(3, 13).AppendTo(nil)},
		{8, newFiller(3).request(8, 10).AppendTo(nil)},
		{18, newFiller(3).request(18, 5).AppendTo(nil)},
	} {
		a, _ := Info(c.key)
		b.Run(a.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Check(c.key, a.Max, c.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHeader(b *testing.B) {
	frame := append(AppendRequestHeader(nil, 0, 13, 7, []byte("producer-1")), make([]byte, 100)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseHeader(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProduceRequest(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		body := produceBody(13, 1, partitions, 4<<10)
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			var q ProduceRequest
			b.ReportAllocs()
			for b.Loop() {
				if err := q.Decode(13, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProduceResponse(b *testing.B) {
	var r ProduceResponse
	topic := r.AddTopic("topic", model.TopicID{1})
	for i := range int32(16) {
		topic.AddPartition(i).BaseOffset = 1 << 40
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = r.Append(dst[:0], 13)
	}
}

func BenchmarkFetchRequest(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		body := fetchBody(18, 1, partitions)
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			var q FetchRequest
			b.ReportAllocs()
			for b.Loop() {
				if err := q.Decode(18, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFetchResponse(b *testing.B) {
	var r FetchResponse
	topic := r.AddTopic("topic", model.TopicID{1})
	for i := range int32(16) {
		p := topic.AddPartition(i)
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.RecordsLen = 1<<40, 1<<40, 0, 64<<10
	}
	var e FetchEncoder
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		e.Append(&r, 18)
	}
}
