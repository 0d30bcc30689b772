package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// offsetCommit serves API 8, versions 2 to 10: offsets of a group's member, or of a consumer that assigns itself. Version 10 names topics by id.
func (b *Broker) offsetCommit(r *server.Request, req *kmsg.OffsetCommitRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	in := group.OffsetCommit{
		Version: req.Version, Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, InstanceID: req.InstanceID, RetentionMs: req.RetentionTimeMillis,
	}
	image := b.Image()
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	sent := make([]int, 0, len(req.Topics)) // which response topic belongs to which topic of the input
	for i, t := range req.Topics {
		out := &resp.Topics[i]
		*out = kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, code := lookup(image, t.Topic, t.TopicID, req.Version >= 10)
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		commit := group.CommitTopic{Partitions: make([]group.CommitPartition, len(t.Partitions))}
		for j, p := range t.Partitions {
			out.Partitions[j] = kmsg.NewOffsetCommitResponseTopicPartition()
			out.Partitions[j].Partition, out.Partitions[j].ErrorCode = p.Partition, int16(code)
			commit.Partitions[j] = group.CommitPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: deref(p.Metadata)}
		}
		if code == model.None {
			commit.Name, commit.TopicID = topic.Name, topic.ID
			in.Topics = append(in.Topics, commit)
			sent = append(sent, i)
		}
	}
	fail := func(code model.ErrorCode) {
		for _, i := range sent {
			for j := range resp.Topics[i].Partitions {
				resp.Topics[i].Partitions[j].ErrorCode = int16(code)
			}
		}
	}
	if len(sent) == 0 {
		return ready(resp)
	}
	coordinator, code := b.Coordinators.Group(req.Group)
	if code != model.None {
		fail(code)
		return ready(resp)
	}
	call := coordinator.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[group.OffsetCommitReply](coordinator, call, stop)
		if err != nil {
			code := coordinatorCode(err)
			if code == model.MessageTooLarge || errors.Is(err, shard.ErrTooBig) {
				code = model.InvalidCommitOffsetSize
			}
			fail(code)
			return
		}
		for i, t := range reply.Topics {
			for j, p := range t.Partitions {
				resp.Topics[sent[i]].Partitions[j].ErrorCode = int16(p.Code)
			}
		}
	})
}
