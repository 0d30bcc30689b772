package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// deleteTopics serves API 20, versions 1 to 6: by name, from version 6 also by id.
func (b *Broker) deleteTopics(r *server.Request, req *kmsg.DeleteTopicsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	asked := req.Topics
	if req.Version < 6 {
		asked = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i := range req.TopicNames {
			asked[i] = kmsg.NewDeleteTopicsRequestTopic()
			asked[i].Topic = &req.TopicNames[i]
		}
	}
	refused := refusalsOf(r)
	tell := func() {
		for _, t := range resp.Topics {
			refused.complain(t.ErrorCode, t.ErrorMessage, about(deref(t.Topic), t.TopicID))
		}
	}
	if !b.Static.Broker.DeleteTopics {
		code := model.TopicDeletionDisabled
		if req.Version < 3 {
			code = model.InvalidRequest
		}
		for _, t := range asked {
			resp.Topics = append(resp.Topics, deletedTopic(t.Topic, t.TopicID, code, "Topic deletion is disabled."))
		}
		tell()
		return ready(resp)
	}
	var in meta.DeleteTopics
	in.Topics, resp.Topics = topicsToDelete(b.Image(), asked)
	if len(in.Topics) == 0 {
		tell()
		return ready(resp)
	}
	call := b.Controller.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[meta.DeleteTopicsReply](b.Controller, call, stop)
		for i, t := range in.Topics {
			if err != nil {
				code, message := controllerCode(err)
				resp.Topics = append(resp.Topics, deletedTopic(text(t.Name), t.ID, code, message))
				continue
			}
			d := reply.Topics[i]
			resp.Topics = append(resp.Topics, deletedTopic(text(d.Name), d.ID, d.Code, d.Message))
		}
		tell()
	})
}

// topicsToDelete takes out what cannot be meant: a topic that is named twice, by name, by id or by both, is refused once.
func topicsToDelete(image *meta.Image, asked []kmsg.DeleteTopicsRequestTopic) (good []meta.DeleteTopic, refused []kmsg.DeleteTopicsResponseTopic) {
	names, ids := map[string]int{}, map[model.TopicID]int{}
	for _, t := range asked {
		switch {
		case t.Topic != nil && t.TopicID == (model.TopicID{}):
			names[*t.Topic]++
		case t.Topic == nil:
			ids[t.TopicID]++
		}
	}
	refuse := func(name *string, id model.TopicID, code model.ErrorCode, message string) {
		refused = append(refused, deletedTopic(name, id, code, message))
	}
	for _, t := range asked {
		switch {
		case t.Topic != nil && t.TopicID != (model.TopicID{}):
			refuse(t.Topic, t.TopicID, model.InvalidRequest, "You may not specify both topic name and topic id.")
		case t.Topic == nil && t.TopicID == (model.TopicID{}):
			refuse(nil, t.TopicID, model.InvalidRequest, "Neither topic name nor id were specified.")
		case t.Topic == nil:
			topic, n := image.TopicByID(t.TopicID), ids[t.TopicID]
			switch {
			case n < 0: // answered already
			case n > 1:
				ids[t.TopicID] = -1
				refuse(nil, t.TopicID, model.InvalidRequest, "Duplicate topic id.")
			case topic == nil || names[topic.Name] == 0:
				good = append(good, meta.DeleteTopic{ID: t.TopicID})
			}
		default:
			topic, n := image.TopicByName(*t.Topic), names[*t.Topic]
			switch {
			case n < 0: // answered already
			case n > 1:
				names[*t.Topic] = -1
				refuse(t.Topic, t.TopicID, model.InvalidRequest, "Duplicate topic name.")
			case topic != nil && ids[topic.ID] != 0:
				refuse(t.Topic, topic.ID, model.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
			case *t.Topic == "":
				refuse(t.Topic, t.TopicID, model.UnknownTopicOrPartition, "there is no topic without a name")
			default:
				good = append(good, meta.DeleteTopic{Name: *t.Topic})
			}
		}
	}
	return good, refused
}

func deletedTopic(name *string, id model.TopicID, code model.ErrorCode, message string) kmsg.DeleteTopicsResponseTopic {
	out := kmsg.NewDeleteTopicsResponseTopic()
	out.Topic, out.TopicID, out.ErrorCode, out.ErrorMessage = name, id, int16(code), text(message)
	return out
}
