package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// metadata serves API 3, versions 0 to 13: brokers, and topics by name or id. A missing topic is made where the request and auto.create.topics.enable
// allow it; the answer then waits for it, so that the client need not ask again.
func (b *Broker) metadata(r *server.Request, req *kmsg.MetadataRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	asked := refusalsOf(r)
	if !wellNamed(req) {
		refuseMetadata(resp, req)
		asked.complainMetadata(resp, nil)
		return ready(resp)
	}
	req.Topics = distinctTopics(req.Topics)
	image := b.Image()
	conn := r.Conn
	all := req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
	var missing []string
	if !all && (req.Version < 4 || req.AllowAutoTopicCreation) && b.Static.Broker.AutoCreateTopics {
		for _, t := range req.Topics {
			if t.Topic != nil && t.TopicID == (model.TopicID{}) && image.TopicByName(*t.Topic) == nil && model.ValidateTopicName(*t.Topic) == nil {
				missing = append(missing, *t.Topic)
			}
		}
	}
	if len(missing) == 0 {
		b.fillMetadata(resp, req, image, conn.Listener(), all, nil)
		asked.complainMetadata(resp, nil)
		return ready(resp)
	}
	creation := b.startCreation(missing)
	return later(resp, func(stop <-chan struct{}) {
		refused := creation.finish(stop)
		b.fillMetadata(resp, req, b.Image(), conn.Listener(), all, refused)
		asked.complainMetadata(resp, refused)
	})
}

func (r refusals) complainMetadata(resp *kmsg.MetadataResponse, why map[string]meta.Result) {
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 {
			r.complain(t.ErrorCode, new(why[deref(t.Topic)].Message), about(deref(t.Topic), t.TopicID))
		}
	}
}

// wellNamed reports whether the request's topics are named as its version allows: by id from version 12 on.
func wellNamed(req *kmsg.MetadataRequest) bool {
	for _, t := range req.Topics {
		if t.Topic == nil && (req.Version < 12 || t.TopicID == (model.TopicID{})) || t.TopicID != (model.TopicID{}) && req.Version < 12 {
			return false
		}
	}
	return true
}

// refuseMetadata answers a request as a whole: every topic has the error, and nothing is said of the cluster.
func refuseMetadata(resp *kmsg.MetadataResponse, req *kmsg.MetadataRequest) {
	resp.ControllerID, resp.AuthorizedOperations, resp.ErrorCode = -1, noOperations, int16(model.InvalidRequest)
	for _, t := range req.Topics {
		out := kmsg.NewMetadataResponseTopic()
		out.Topic, out.TopicID, out.AuthorizedOperations, out.ErrorCode = t.Topic, t.TopicID, noOperations, int16(model.InvalidRequest)
		if out.Topic == nil {
			out.Topic = new("")
		}
		resp.Topics = append(resp.Topics, out)
	}
}

// distinctTopics drops what is named twice. As in Kafka a request that names one topic by id is about ids only.
func distinctTopics(topics []kmsg.MetadataRequestTopic) []kmsg.MetadataRequestTopic {
	if topics == nil {
		return nil
	}
	byID := slices.ContainsFunc(topics, func(t kmsg.MetadataRequestTopic) bool { return t.TopicID != (model.TopicID{}) })
	type key struct {
		id   model.TopicID
		name string
	}
	seen := make(map[key]bool, len(topics))
	kept := topics[:0]
	for _, t := range topics {
		k := key{id: t.TopicID}
		if byID == (t.TopicID == (model.TopicID{})) {
			continue
		}
		if !byID {
			k.name = *t.Topic
		}
		if !seen[k] {
			seen[k] = true
			kept = append(kept, t)
		}
	}
	return kept
}

// fillMetadata writes the answer; refused has why topics could not be created.
func (b *Broker) fillMetadata(resp *kmsg.MetadataResponse, req *kmsg.MetadataRequest, image *meta.Image, listener string, all bool, refused map[string]meta.Result) {
	resp.ClusterID = &b.ClusterID
	resp.ControllerID = b.NodeID
	resp.AuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	for _, broker := range image.Brokers() {
		endpoint, ok := endpointFor(broker, listener)
		if broker.Fenced || !ok {
			continue
		}
		out := kmsg.NewMetadataResponseBroker()
		out.NodeID, out.Host, out.Port, out.Rack = broker.ID, endpoint.Host, int32(endpoint.Port), broker.Rack
		resp.Brokers = append(resp.Brokers, out)
	}
	if all {
		for t := range image.Topics() {
			resp.Topics = append(resp.Topics, metadataTopic(t, req))
		}
		return
	}
	for _, t := range req.Topics {
		resp.Topics = append(resp.Topics, metadataAsked(t, req, image, refused))
	}
}

// metadataAsked answers for one topic of the request.
func metadataAsked(t kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest, image *meta.Image, refused map[string]meta.Result) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.AuthorizedOperations = t.Topic, t.TopicID, noOperations
	fail := func(code model.ErrorCode) kmsg.MetadataResponseTopic {
		out.ErrorCode = int16(code)
		out.Partitions = []kmsg.MetadataResponseTopicPartition{}
		return out
	}
	if t.TopicID != (model.TopicID{}) {
		if topic := image.TopicByID(t.TopicID); topic != nil {
			return metadataTopic(topic, req)
		}
		out.Topic = nil
		return fail(model.UnknownTopicID)
	}
	out.AuthorizedOperations = operations(req.IncludeTopicAuthorizedOperations, topicOperations)
	if topic := image.TopicByName(*t.Topic); topic != nil {
		return metadataTopic(topic, req)
	}
	if model.ValidateTopicName(*t.Topic) != nil {
		return fail(model.InvalidTopicException)
	}
	out.IsInternal = model.IsInternal(*t.Topic)
	if why, ok := refused[*t.Topic]; ok {
		return fail(why.Code)
	}
	return fail(model.UnknownTopicOrPartition)
}

func metadataTopic(t *meta.Topic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, model.IsInternal(t.Name)
	out.AuthorizedOperations = operations(req.IncludeTopicAuthorizedOperations, topicOperations)
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		part := kmsg.NewMetadataResponseTopicPartition()
		part.Partition, part.Leader, part.LeaderEpoch = int32(i), p.Leader, p.LeaderEpoch
		part.Replicas, part.ISR = p.Replicas, p.ISR
		if p.Leader < 0 {
			part.ErrorCode = int16(model.LeaderNotAvailable)
			part.OfflineReplicas = p.Replicas
		}
		out.Partitions[i] = part
	}
	return out
}
