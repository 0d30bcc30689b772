package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// electLeaders serves API 43, versions 0 to 2: with one replica the leader is the preferred one already. Asked for everything, nothing is listed, because
// only partitions that changed are.
func (b *Broker) electLeaders(r *server.Request, req *kmsg.ElectLeadersRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	if req.ElectionType != 0 && req.ElectionType != 1 {
		resp.ErrorCode = int16(model.InvalidRequest)
		return ready(resp)
	}
	image := b.Image()
	for _, t := range req.Topics {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		topic := image.TopicByName(t.Topic)
		for _, index := range t.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = index
			switch {
			case topic == nil:
				p.ErrorCode, p.ErrorMessage = int16(model.UnknownTopicOrPartition), new("No such topic as "+t.Topic)
			case index < 0 || int(index) >= len(topic.Partitions):
				p.ErrorCode, p.ErrorMessage = int16(model.UnknownTopicOrPartition), new("No such partition as "+model.TopicPartition{Topic: t.Topic, Partition: index}.String())
			default:
				p.ErrorCode = int16(model.ElectionNotNeeded)
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return ready(resp)
}
