package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// producerSize is about what a producer takes in an answer.
const producerSize = 40

// describeProducers serves API 61, version 0: the idempotent producers that a partition remembers.
func (b *Broker) describeProducers(r *server.Request, req *kmsg.DescribeProducersRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	left := b.room()
	for _, t := range req.Topics {
		topic := b.Partitions.Topic(t.Topic)
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		for _, index := range t.Partitions {
			part := kmsg.NewDescribeProducersResponseTopicPartition()
			part.Partition = index
			part.ActiveProducers = []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}
			p := topic.Partition(index)
			switch {
			case model.ValidateTopicName(t.Topic) != nil:
				part.ErrorCode, part.ErrorMessage = int16(model.InvalidTopicException), text(model.ValidateTopicName(t.Topic).Error())
			case topic == nil:
				part.ErrorCode, part.ErrorMessage = int16(model.UnknownTopicOrPartition), text("there is no topic '"+t.Topic+"'")
			case p == nil:
				part.ErrorCode = int16(model.UnknownTopicOrPartition)
			case p.CheckEpoch(-1) != model.None:
				part.ErrorCode = int16(p.CheckEpoch(-1))
			case left.full():
				part.ErrorCode, part.ErrorMessage = int16(left.refusal().Code), text(left.refusal().Message)
			default:
				for _, s := range p.Producers() {
					active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					active.ProducerID, active.ProducerEpoch = s.ProducerID, int32(s.ProducerEpoch)
					active.LastSequence, active.LastTimestamp = s.LastSequence, s.LastTimestamp
					active.CoordinatorEpoch, active.CurrentTxnStartOffset = s.CoordinatorEpoch, s.CurrentTxnStartOffset
					part.ActiveProducers = append(part.ActiveProducers, active)
				}
				if !left.take(len(part.ActiveProducers) * producerSize) {
					refusal := left.refusal()
					part.ActiveProducers = part.ActiveProducers[:0]
					part.ErrorCode, part.ErrorMessage = int16(refusal.Code), &refusal.Message
				}
			}
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return ready(resp)
}
