package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// electLeaders serves API 43, versions 0 to 2: with one replica the leader is the preferred one already. Asked for everything, it names
// every topic and none of its partitions, because only partitions that changed are listed.
func (b *Broker) electLeaders(r *server.Request, req *kmsg.ElectLeadersRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	image := b.Image()
	wrongType := req.ElectionType != 0 && req.ElectionType != 1
	if wrongType && (req.Topics == nil || len(req.Topics) > 0) {
		resp.ErrorCode = int16(model.InvalidRequest)
	}
	if !wrongType && req.Topics == nil {
		for t := range image.Topics() {
			out := kmsg.NewElectLeadersResponseTopic()
			out.Topic = t.Name
			resp.Topics = append(resp.Topics, out)
		}
	}
	for _, t := range req.Topics {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		topic := image.TopicByName(t.Topic)
		for _, index := range t.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = index
			switch {
			case wrongType:
				p.ErrorCode, p.ErrorMessage = int16(model.InvalidRequest), new("the election type must be 0 (preferred) or 1 (unclean)")
			case topic == nil:
				p.ErrorCode, p.ErrorMessage = int16(model.UnknownTopicOrPartition), new("No such topic as "+t.Topic)
			case index < 0 || int(index) >= len(topic.Partitions):
				p.ErrorCode, p.ErrorMessage = int16(model.UnknownTopicOrPartition), new("No such partition as "+model.TopicPartition{Topic: t.Topic, Partition: index}.String())
			default:
				p.ErrorCode, p.ErrorMessage = int16(model.ElectionNotNeeded), new("the preferred replica leads already, as the only one")
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return ready(resp)
}
