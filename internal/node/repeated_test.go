package node

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// TestProduceNamesAPartitionTwice sends random requests that name partitions of few or many topics again and again. As in Kafka each partition takes what was named
// last, and has one answer. test/parity has it beside Kafka.
func TestProduceNamesAPartitionTwice(t *testing.T) {
	const topics, partitions = 12, 20
	n := opened(t)
	c := dial(t, n)
	type place struct {
		topic     int
		partition int32
	}
	var ids [topics]model.TopicID
	for i := range ids {
		ids[i] = createTopic(t, c, fmt.Sprint("t", i), partitions)
	}
	ends := map[place]int64{}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		version := int16(newestProduce + round%2)
		among := 1 + rng.IntN(topics)
		last := map[place]int{}
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 10_000
		for range 1 + rng.IntN(among+3) {
			at := rng.IntN(among)
			one := kmsg.NewProduceRequestTopic()
			one.Topic, one.TopicID = fmt.Sprint("t", at), ids[at]
			for range 1 + rng.IntN(5) {
				part := kmsg.NewProduceRequestTopicPartition()
				part.Partition = rng.Int32N(partitions)
				size := 1 + rng.IntN(4)
				values := make([]string, size)
				part.Records = batchOf(batch.Options{}, values...)
				one.Partitions = append(one.Partitions, part)
				last[place{at, part.Partition}] = size
			}
			req.Topics = append(req.Topics, one)
		}
		resp := request[*kmsg.ProduceResponse](t, c, version, req)
		answered := 0
		for _, topic := range resp.Topics {
			at := -1
			for i := range ids {
				if topic.Topic == fmt.Sprint("t", i) || version > newestProduce && topic.TopicID == ids[i] {
					at = i
				}
			}
			for _, p := range topic.Partitions {
				where := place{at, p.Partition}
				if p.ErrorCode != 0 || p.BaseOffset != ends[where] {
					t.Fatalf("round %d, %v: %v at offset %d, want %d", round, where, model.ErrorCode(p.ErrorCode), p.BaseOffset, ends[where])
				}
				ends[where] += int64(last[where])
				answered++
			}
		}
		if answered != len(last) {
			t.Fatalf("round %d: %d answers for %d partitions", round, answered, len(last))
		}
	}
}
