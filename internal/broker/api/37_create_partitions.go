package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// createPartitions serves API 37, versions 0 to 3: topics grow to a number of partitions. Every topic of the request is answered.
func (b *Broker) createPartitions(r *server.Request, req *kmsg.CreatePartitionsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	in := meta.CreatePartitions{ValidateOnly: req.ValidateOnly}
	times := map[string]int{}
	for _, t := range req.Topics {
		times[t.Topic]++
	}
	for _, t := range req.Topics {
		if times[t.Topic] > 1 {
			if times[t.Topic] < 1<<20 { // answered once
				times[t.Topic] = 1 << 20
				resp.Topics = append(resp.Topics, grownTopic(t.Topic, model.InvalidRequest, "Duplicate topic name."))
			}
			continue
		}
		grow := meta.GrowTopic{Name: t.Topic, Count: t.Count}
		if t.Assignment != nil {
			grow.Assignments = [][]int32{}
		}
		for _, a := range t.Assignment {
			grow.Assignments = append(grow.Assignments, a.Replicas)
		}
		in.Topics = append(in.Topics, grow)
	}
	if len(in.Topics) == 0 {
		return ready(resp)
	}
	call, refused := b.Controller.Call(in), refusalsOf(r)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[meta.CreatePartitionsReply](b.Controller, call, stop)
		for i, t := range in.Topics {
			if err != nil {
				code, message := controllerCode(err)
				resp.Topics = append(resp.Topics, grownTopic(t.Name, code, message))
				continue
			}
			out := grownTopic(t.Name, reply.Topics[i].Code, reply.Topics[i].Message)
			refused.complain(out.ErrorCode, out.ErrorMessage, about(t.Name, model.TopicID{}))
			resp.Topics = append(resp.Topics, out)
		}
	})
}

func grownTopic(name string, code model.ErrorCode, message string) kmsg.CreatePartitionsResponseTopic {
	out := kmsg.NewCreatePartitionsResponseTopic()
	out.Topic, out.ErrorCode, out.ErrorMessage = name, int16(code), text(message)
	return out
}
