package api

import (
	"errors"
	"log/slog"

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
	var sent [][]*kmsg.OffsetCommitResponseTopicPartition // of each topic of the input, where its partitions are answered
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, 0, len(req.Topics))
	for _, t := range req.Topics {
		topic, unknown := lookup(image, t.Topic, t.TopicID, req.Version >= 10)
		if len(t.Partitions) == 0 && unknown == model.None {
			continue // Kafka's answer has it when there is no such topic
		}
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		var commit group.CommitTopic
		var places []*kmsg.OffsetCommitResponseTopicPartition
		for j, p := range t.Partitions {
			place := &out.Partitions[j]
			*place = kmsg.NewOffsetCommitResponseTopicPartition()
			place.Partition, place.ErrorCode = p.Partition, int16(unknown)
			if unknown != model.None {
				continue
			}
			if p.Partition < 0 || int(p.Partition) >= len(topic.Partitions) {
				place.ErrorCode = int16(model.UnknownTopicOrPartition)
				continue
			}
			places = append(places, place)
			commit.Partitions = append(commit.Partitions, group.CommitPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: deref(p.Metadata)})
		}
		resp.Topics = append(resp.Topics, out)
		if len(places) > 0 {
			commit.Name, commit.TopicID = topic.Name, topic.ID
			in.Topics, sent = append(in.Topics, commit), append(sent, places)
		}
	}
	refused := refusalsOf(r)
	fail := func(code model.ErrorCode) {
		for _, places := range sent {
			for _, place := range places {
				place.ErrorCode = int16(code)
			}
		}
	}
	if len(sent) == 0 {
		refused.complainCommits(req, resp)
		return ready(resp)
	}
	coordinator, code := b.Coordinators.Group(req.Group)
	if code != model.None {
		fail(code)
		return ready(resp)
	}
	call := coordinator.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		defer refused.complainCommits(req, resp)
		reply, err := await[group.OffsetCommitReply](coordinator, call, stop)
		if err != nil {
			fail(commitCode(err))
			return
		}
		for i, t := range reply.Topics {
			for j, p := range t.Partitions {
				sent[i][j].ErrorCode = int16(p.Code)
			}
		}
	})
}

func (r refusals) complainCommits(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			r.complain(p.ErrorCode, nil, about(t.Topic, t.TopicID), slog.Int("partition", int(p.Partition)), slog.String("group", req.Group),
				slog.String("member", req.MemberID), slog.Int("generation", int(req.Generation)))
		}
	}
}

// commitCode is coordinatorCode for a commit, whose size is the client's own doing.
func commitCode(err error) model.ErrorCode {
	code := coordinatorCode(err)
	if code == model.MessageTooLarge || errors.Is(err, shard.ErrTooBig) {
		return model.InvalidCommitOffsetSize
	}
	return code
}
