package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
	"github.com/ottla/ottla/internal/machine/meta"
)

// offsetFetch serves API 9, versions 1 to 10: committed offsets of one group, from version 8 of several; version 10 names topics by id.
func (b *Broker) offsetFetch(r *server.Request, req *kmsg.OffsetFetchRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version < 8 {
		one := kmsg.NewOffsetFetchRequestGroup()
		one.Group = req.Group
		if req.Topics != nil {
			one.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
			for i, t := range req.Topics {
				one.Topics[i] = kmsg.NewOffsetFetchRequestGroupTopic()
				one.Topics[i].Topic, one.Topics[i].Partitions = t.Topic, t.Partitions
			}
		}
		fetch, left := b.startOffsetFetch(req, one), b.room()
		return laterWithin(resp, left, func(stop <-chan struct{}) { oldOffsetFetch(resp, fetch.finish(stop, left), one) })
	}
	fetches := make([]groupFetch, len(req.Groups))
	for i, g := range req.Groups {
		fetches[i] = b.startOffsetFetch(req, g)
	}
	left := b.room()
	return laterWithin(resp, left, func(stop <-chan struct{}) {
		for _, f := range fetches {
			resp.Groups = append(resp.Groups, f.finish(stop, left))
		}
	})
}

// fetchedOffsetSize is about what a partition takes in an answer, its metadata apart.
const fetchedOffsetSize = 24

// groupFetch is the fetch of one group's offsets on its way.
type groupFetch struct {
	caller  Caller
	call    *shard.Call
	image   *meta.Image
	byID    bool
	resp    kmsg.OffsetFetchResponseGroup
	unknown []kmsg.OffsetFetchResponseGroupTopic
}

func (b *Broker) startOffsetFetch(req *kmsg.OffsetFetchRequest, g kmsg.OffsetFetchRequestGroup) groupFetch {
	f := groupFetch{image: b.Image(), byID: req.Version >= 10, resp: kmsg.NewOffsetFetchResponseGroup()}
	f.resp.Group = g.Group
	caller, code := b.Coordinators.Group(g.Group)
	if code != model.None {
		f.resp.ErrorCode = int16(code)
		return f
	}
	in := group.OffsetFetch{Group: g.Group, RequireStable: req.RequireStable}
	if g.Topics != nil {
		in.Topics = []group.FetchTopic{}
	}
	for _, t := range g.Topics {
		fetch := group.FetchTopic{Name: t.Topic, Partitions: t.Partitions}
		if f.byID {
			topic := f.image.TopicByID(t.TopicID)
			if topic == nil {
				f.unknown = append(f.unknown, unknownOffsets(t))
				continue
			}
			fetch.Name, fetch.TopicID = topic.Name, topic.ID
		}
		in.Topics = append(in.Topics, fetch)
	}
	f.caller, f.call = caller, caller.Call(in)
	return f
}

func unknownOffsets(t kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroupTopic {
	out := kmsg.NewOffsetFetchResponseGroupTopic()
	out.TopicID = t.TopicID
	for _, index := range t.Partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = index, -1, -1, new(""), int16(model.UnknownTopicID)
		out.Partitions = append(out.Partitions, p)
	}
	return out
}

func (f groupFetch) finish(stop <-chan struct{}, left *room) kmsg.OffsetFetchResponseGroup {
	if f.call == nil {
		return f.resp
	}
	reply, err := await[group.OffsetFetchReply](f.caller, f.call, stop)
	if err != nil {
		f.resp.ErrorCode = int16(coordinatorCode(err))
		return f.resp
	}
	for _, t := range reply.Topics {
		out := kmsg.NewOffsetFetchResponseGroupTopic()
		out.Topic, out.TopicID = t.Name, t.TopicID
		if f.byID && t.TopicID == (model.TopicID{}) {
			topic := f.image.TopicByName(t.Name)
			if topic == nil {
				continue // a deleted topic has no id to show
			}
			out.TopicID = topic.ID
		}
		for _, p := range t.Partitions {
			part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch, part.Metadata, part.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, &p.Metadata, int16(p.Code)
			out.Partitions = append(out.Partitions, part)
			if !left.take(fetchedOffsetSize + len(p.Metadata)) {
				f.resp.Topics, f.resp.ErrorCode = nil, int16(left.refusal().Code)
				return f.resp
			}
		}
		f.resp.Topics = append(f.resp.Topics, out)
	}
	f.resp.Topics = append(f.resp.Topics, f.unknown...)
	return f.resp
}

// oldOffsetFetch gives versions 1 to 7 their shape. Version 1 has no error of its own, so its partitions carry it.
func oldOffsetFetch(resp *kmsg.OffsetFetchResponse, g kmsg.OffsetFetchResponseGroup, asked kmsg.OffsetFetchRequestGroup) {
	resp.ErrorCode = g.ErrorCode
	if g.ErrorCode != 0 && resp.Version < 2 {
		for _, t := range asked.Topics {
			out := kmsg.NewOffsetFetchResponseTopic()
			out.Topic = t.Topic
			for _, index := range t.Partitions {
				p := kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = index, -1, -1, new(""), g.ErrorCode
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return
	}
	for _, t := range g.Topics {
		out := kmsg.NewOffsetFetchResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			part := kmsg.NewOffsetFetchResponseTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch, part.Metadata, part.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
}
