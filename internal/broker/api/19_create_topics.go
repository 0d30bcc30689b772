package api

import (
	"log/slog"
	"strconv"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// freshID returns a random topic id that is none of the reserved ones, and whose text does not begin with a dash, so that tools take it as an argument.
func freshID() model.TopicID {
	for {
		id := model.TopicID(uuid.New())
		if s := id.String(); s[0] != '-' && !id.IsZero() && id != model.MetadataTopicID {
			return id
		}
	}
}

// createTopics serves API 19, versions 2 to 7: topics with default (-1) or given partitions, replicas and configs. From version 5 the answer carries every
// config of the new topic.
func (b *Broker) createTopics(r *server.Request, req *kmsg.CreateTopicsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	in := meta.CreateTopics{ValidateOnly: req.ValidateOnly}
	times := map[string]int{}
	for _, t := range req.Topics {
		times[t.Topic]++
	}
	var places []int
	for _, t := range req.Topics {
		switch {
		case times[t.Topic] > 1:
			if times[t.Topic] < 1<<20 { // answered once
				times[t.Topic] = 1 << 20
				resp.Topics = append(resp.Topics, refusedTopic(t.Topic, model.InvalidRequest, "Duplicate topic name."))
			}
		case t.Topic == model.MetadataTopic:
			resp.Topics = append(resp.Topics, refusedTopic(t.Topic, model.InvalidRequest, "Creation of internal topic "+t.Topic+" is prohibited."))
		default:
			places = append(places, len(resp.Topics))
			resp.Topics = append(resp.Topics, refusedTopic(t.Topic, model.None, ""))
			in.Topics = append(in.Topics, wantedTopic(t))
		}
	}
	refused := refusalsOf(r)
	tell := func() {
		for _, t := range resp.Topics {
			refused.complain(t.ErrorCode, t.ErrorMessage, about(t.Topic, model.TopicID{}))
		}
	}
	if len(in.Topics) == 0 {
		tell()
		return ready(resp)
	}
	call := b.Controller.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[meta.CreateTopicsReply](b.Controller, call, stop)
		for i, place := range places {
			out := &resp.Topics[place]
			if err != nil {
				code, message := controllerCode(err)
				out.ErrorCode, out.ErrorMessage = int16(code), text(message)
				continue
			}
			b.createdTopic(out, reply.Topics[i])
		}
		tell()
	})
}

func refusedTopic(name string, code model.ErrorCode, message string) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.ErrorCode, out.ErrorMessage = name, int16(code), text(message)
	out.NumPartitions, out.ReplicationFactor = -1, -1
	out.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	return out
}

func wantedTopic(t kmsg.CreateTopicsRequestTopic) meta.CreateTopic {
	out := meta.CreateTopic{Name: t.Topic, ID: freshID(), Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		out.Assignments = append(out.Assignments, meta.Assignment{Partition: a.Partition, Replicas: a.Replicas})
	}
	for _, c := range t.Configs {
		out.Configs = append(out.Configs, meta.ConfigEntry{Name: c.Name, Value: c.Value})
	}
	return out
}

func (b *Broker) createdTopic(out *kmsg.CreateTopicsResponseTopic, created meta.CreatedTopic) {
	out.ErrorCode, out.ErrorMessage = int16(created.Code), text(created.Message)
	if created.Code != model.None {
		return
	}
	out.TopicID, out.NumPartitions, out.ReplicationFactor = created.ID, created.Partitions, created.ReplicationFactor
	for _, e := range config.DescribeNewTopic(b.Dynamic(), created.Configs) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.ReadOnly, c.Source, c.IsSensitive = e.Name, e.Value, e.ReadOnly, int8(e.Source), e.Sensitive
		out.Configs = append(out.Configs, c)
	}
}

// creation is the making of topics that a request only mentioned.
type creation struct {
	controller Caller
	call       *shard.Call
	names      []string
	refused    map[string]meta.Result
}

// startCreation asks for topics with default partitions and replicas; the cluster's own topics get what they need.
func (b *Broker) startCreation(names []string) creation {
	c := creation{controller: b.Controller, refused: map[string]meta.Result{}}
	in := meta.CreateTopics{}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] || name == model.MetadataTopic {
			continue
		}
		seen[name] = true
		topic := meta.CreateTopic{Name: name, ID: freshID(), Partitions: -1, ReplicationFactor: -1}
		switch {
		case name == model.ConsumerOffsetsTopic:
			topic = b.offsetsTopic()
		case model.IsInternal(name):
			c.refused[name] = meta.Result{Code: model.InvalidTopicException} // it comes with the feature that it belongs to
			continue
		}
		c.names = append(c.names, name)
		in.Topics = append(in.Topics, topic)
	}
	if len(in.Topics) > 0 {
		c.call = b.Controller.Call(in)
	}
	return c
}

// finish waits for the creation and tells why those are not there that could not be made. A topic that exists by now is no error.
func (c creation) finish(stop <-chan struct{}) map[string]meta.Result {
	if c.call == nil {
		return c.refused
	}
	reply, err := await[meta.CreateTopicsReply](c.controller, c.call, stop)
	for i, name := range c.names {
		switch {
		case err != nil:
			c.refused[name] = meta.Result{Code: model.LeaderNotAvailable} // clients ask again
		case reply.Topics[i].Code != model.None && reply.Topics[i].Code != model.TopicAlreadyExists:
			c.refused[name] = reply.Topics[i].Result
		}
	}
	return c.refused
}

// offsetsTopic is __consumer_offsets as the broker's configuration wants it. Without offsets.topic.replication.factor it has as many replicas as there are
// brokers, up to three. Kafka takes any offsets.topic.segment.bytes and then cannot make the topic when no topic may have it; the least that one may have is taken.
func (b *Broker) offsetsTopic() meta.CreateTopic {
	settings := &b.Static.Broker
	replicas := settings.OffsetsTopicReplicationFactor
	if replicas == 0 { // nobody set it
		replicas = int16(min(3, len(b.Image().Brokers())))
	}
	segment := max(settings.OffsetsTopicSegmentBytes, config.LeastSegmentBytes)
	if segment != settings.OffsetsTopicSegmentBytes {
		b.Log.Warn("offsets.topic.segment.bytes is less than a topic may have: the least is taken", "offsets.topic.segment.bytes", settings.OffsetsTopicSegmentBytes, "least", segment)
	}
	set := func(name, value string) meta.ConfigEntry { return meta.ConfigEntry{Name: name, Value: &value} }
	return meta.CreateTopic{
		Name: model.ConsumerOffsetsTopic, ID: freshID(), Partitions: settings.OffsetsTopicPartitions, ReplicationFactor: replicas,
		Configs: []meta.ConfigEntry{
			set("cleanup.policy", "compact"), set("compression.type", "producer"), set("segment.bytes", strconv.FormatInt(segment, 10)),
		},
	}
}

// ensureOffsetsTopic makes __consumer_offsets if it is missing and waits for it. Without it no group works, so whoever runs the node is told why.
func (b *Broker) ensureOffsetsTopic(asked refusals, stop <-chan struct{}) model.ErrorCode {
	if b.Image().TopicByName(model.ConsumerOffsetsTopic) != nil {
		return model.None
	}
	why, failed := b.startCreation([]string{model.ConsumerOffsetsTopic}).finish(stop)[model.ConsumerOffsetsTopic]
	switch {
	case !failed:
		return model.None
	case why.Code == model.InvalidReplicationFactor:
		asked.conn.Complain("the topic of committed offsets cannot be made, so no group works: offsets.topic.replication.factor asks for more replicas than there are brokers; lower it or start more brokers",
			slog.Int("offsets.topic.replication.factor", int(b.Static.Broker.OffsetsTopicReplicationFactor)), slog.Int("brokers", len(b.Image().Brokers())))
	case why.Code != model.LeaderNotAvailable:
		asked.conn.Complain("the topic of committed offsets cannot be made, so no group works: see the keys that begin with offsets.topic",
			slog.String("code", why.Code.String()), slog.String("error", why.Message))
	}
	return model.CoordinatorNotAvailable
}
