package api

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// describeTopicPartitions serves API 75, version 0 (KIP-966): topics and partitions in the order of names, page by page. The lists of eligible leaders are
// empty and never null, because readers fail on null.
func (b *Broker) describeTopicPartitions(r *server.Request, req *kmsg.DescribeTopicPartitionsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	image := b.Image()
	limit := min(int(req.ResponsePartitionLimit), b.Static.Broker.MaxRequestPartitions)
	if limit < 1 {
		limit = 1
	}
	from, first := "", int32(0)
	if req.Cursor != nil {
		from, first = req.Cursor.Topic, max(0, req.Cursor.Partition)
	}
	names := pagedNames(image, req, from)
	if req.Cursor != nil && (req.Cursor.Partition < 0 || len(req.Topics) > 0 && (len(names) == 0 || names[0] != from)) {
		for _, name := range pagedNames(image, req, "") { // a cursor that no answer has given
			out := kmsg.NewDescribeTopicPartitionsResponseTopic()
			out.Topic, out.AuthorizedOperations, out.ErrorCode = &name, noOperations, int16(model.InvalidRequest)
			resp.Topics = append(resp.Topics, out)
		}
		return ready(resp)
	}
	for _, name := range names {
		topic := image.TopicByName(name)
		start := int32(0)
		if name == from {
			start = first
		}
		if limit == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: start}
			break
		}
		if topic == nil {
			resp.Topics = append(resp.Topics, unknownTopic(name))
			continue
		}
		end := min(len(topic.Partitions), int(start)+limit)
		resp.Topics = append(resp.Topics, describedTopic(topic, int(start), end))
		limit -= max(0, end-int(start))
		if end < len(topic.Partitions) {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(end)}
			break
		}
	}
	return ready(resp)
}

// pagedNames returns the topics asked for, or all, from the cursor on in the order of names.
func pagedNames(image *meta.Image, req *kmsg.DescribeTopicPartitionsRequest, from string) []string {
	var names []string
	if len(req.Topics) == 0 {
		for t := range image.Topics() {
			names = append(names, t.Name)
		}
	}
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return strings.Compare(n, from) < 0 })
}

func unknownTopic(name string) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.AuthorizedOperations = &name, topicOperations
	out.ErrorCode = int16(model.UnknownTopicOrPartition)
	if model.ValidateTopicName(name) != nil {
		out.ErrorCode = int16(model.InvalidTopicException)
	}
	out.Partitions = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
	return out
}

func describedTopic(t *meta.Topic, from, to int) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal, out.AuthorizedOperations = &t.Name, t.ID, model.IsInternal(t.Name), topicOperations
	for i := from; i < to; i++ {
		p := t.Partitions[i]
		part := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		part.Partition, part.LeaderID, part.LeaderEpoch = int32(i), p.Leader, p.LeaderEpoch
		part.Replicas, part.ISR = p.Replicas, p.ISR
		part.EligibleLeaderReplicas, part.LastKnownELR, part.OfflineReplicas = []int32{}, []int32{}, []int32{}
		if p.Leader < 0 {
			part.ErrorCode, part.OfflineReplicas = int16(model.LeaderNotAvailable), p.Replicas
		}
		out.Partitions = append(out.Partitions, part)
	}
	return out
}
