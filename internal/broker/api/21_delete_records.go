package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/model"
)

// deleteRecords serves API 21, versions 0 to 2: records below an offset go; -1 means all that is committed. The new start is on disk before the answer.
func (b *Broker) deleteRecords(r *server.Request, req *kmsg.DeleteRecordsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	admin := r.ClientID == adminClient
	return later(resp, func(stop <-chan struct{}) {
		for _, t := range req.Topics {
			topic := b.Partitions.Topic(t.Topic)
			out := kmsg.NewDeleteRecordsResponseTopic()
			out.Topic = t.Topic
			last := make(map[int32]int, len(t.Partitions)) // of those that name one partition the last counts, as in Kafka
			for i, asked := range t.Partitions {
				last[asked.Partition] = i
			}
			for i, asked := range t.Partitions {
				if last[asked.Partition] != i {
					continue
				}
				part := kmsg.NewDeleteRecordsResponseTopicPartition()
				part.Partition = asked.Partition
				var err error
				if model.IsInternal(t.Topic) && !admin {
					err = model.InvalidTopicException
				} else {
					part.LowWatermark, err = deleteBefore(topic.Partition(asked.Partition), asked.Offset, stop)
				}
				if err != nil {
					code, _ := model.CodeOf(err)
					part.ErrorCode, part.LowWatermark = int16(code), -1
				}
				out.Partitions = append(out.Partitions, part)
			}
			resp.Topics = append(resp.Topics, out)
		}
	})
}

func deleteBefore(p *partition.Partition, offset int64, stop <-chan struct{}) (int64, error) {
	if p == nil {
		return -1, model.UnknownTopicOrPartition
	}
	if p.Settings().CompactOnly {
		return -1, model.PolicyViolation
	}
	if code := p.CheckEpoch(-1); code != model.None {
		return -1, code
	}
	return p.DeleteBefore(offset, stop)
}
