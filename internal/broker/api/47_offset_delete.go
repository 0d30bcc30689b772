package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// offsetDelete serves API 47, version 0: committed offsets of topics that the group does not subscribe to go.
func (b *Broker) offsetDelete(r *server.Request, req *kmsg.OffsetDeleteRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	coordinator, code := b.Coordinators.Group(req.Group)
	if code != model.None {
		resp.ErrorCode = int16(code)
		return ready(resp)
	}
	in := group.OffsetDelete{Group: req.Group}
	image := b.Image()
	var sent []int // which response topic belongs to which topic of the input
	for _, t := range req.Topics {
		known := group.DeleteTopic{Name: t.Topic}
		topic := image.TopicByName(t.Topic)
		if len(t.Partitions) == 0 && topic != nil {
			continue // Kafka's answer has it when there is no such topic
		}
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			if topic != nil && int(p.Partition) < len(topic.Partitions) && p.Partition >= 0 {
				known.Partitions = append(known.Partitions, p.Partition)
				continue
			}
			part := kmsg.NewOffsetDeleteResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, int16(model.UnknownTopicOrPartition)
			out.Partitions = append(out.Partitions, part)
		}
		if len(known.Partitions) > 0 {
			in.Topics, sent = append(in.Topics, known), append(sent, len(resp.Topics))
		}
		resp.Topics = append(resp.Topics, out)
	}
	call := coordinator.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[group.OffsetDeleteReply](coordinator, call, stop)
		code := coordinatorCode(err)
		if code == model.None {
			code = reply.Code
		}
		if code != model.None {
			resp.ErrorCode, resp.Topics = int16(code), nil
			return
		}
		for i, t := range reply.Topics {
			out := &resp.Topics[sent[i]]
			for _, p := range t.Partitions {
				part := kmsg.NewOffsetDeleteResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, int16(p.Code)
				out.Partitions = append(out.Partitions, part)
			}
		}
	})
}
