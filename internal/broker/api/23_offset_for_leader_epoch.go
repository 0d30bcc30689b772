package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// offsetForLeaderEpoch serves API 23, versions 2 to 4 (KIP-320): where the log of an epoch ends, so that a client can tell whether its position was cut off.
func (b *Broker) offsetForLeaderEpoch(r *server.Request, req *kmsg.OffsetForLeaderEpochRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		topic := b.Partitions.Topic(t.Topic)
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		for _, asked := range t.Partitions {
			part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			part.Partition, part.LeaderEpoch, part.EndOffset = asked.Partition, -1, -1
			p := topic.Partition(asked.Partition)
			if p == nil {
				part.ErrorCode = int16(model.UnknownTopicOrPartition)
			} else if code := p.CheckEpoch(asked.CurrentLeaderEpoch); code != model.None {
				part.ErrorCode = int16(code)
			} else {
				part.LeaderEpoch, part.EndOffset = p.EpochEnd(asked.LeaderEpoch)
			}
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return ready(resp)
}
