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
	in := meta.DeleteTopics{}
	for _, name := range req.TopicNames {
		in.Topics = append(in.Topics, meta.DeleteTopic{Name: name})
	}
	for _, t := range req.Topics {
		if t.Topic != nil && t.TopicID != (model.TopicID{}) {
			resp.Topics = append(resp.Topics, deletedTopic(*t.Topic, t.TopicID, model.InvalidRequest, "You may not specify both topic name and topic id."))
			continue
		}
		in.Topics = append(in.Topics, meta.DeleteTopic{Name: deref(t.Topic), ID: t.TopicID})
	}
	if !b.Static.Broker.DeleteTopics {
		code := model.TopicDeletionDisabled
		if req.Version < 3 {
			code = model.InvalidRequest
		}
		for _, t := range in.Topics {
			resp.Topics = append(resp.Topics, deletedTopic(t.Name, t.ID, code, "Topic deletion is disabled."))
		}
		return ready(resp)
	}
	call := b.Controller.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[meta.DeleteTopicsReply](b.Controller, call, stop)
		for i, t := range in.Topics {
			if err != nil {
				code, message := controllerCode(err)
				resp.Topics = append(resp.Topics, deletedTopic(t.Name, t.ID, code, message))
				continue
			}
			d := reply.Topics[i]
			resp.Topics = append(resp.Topics, deletedTopic(d.Name, d.ID, d.Code, d.Message))
		}
	})
}

func deletedTopic(name string, id model.TopicID, code model.ErrorCode, message string) kmsg.DeleteTopicsResponseTopic {
	out := kmsg.NewDeleteTopicsResponseTopic()
	out.Topic, out.TopicID, out.ErrorCode, out.ErrorMessage = text(name), id, int16(code), text(message)
	return out
}
