package api

import (
	"errors"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// alteration is one resource of a request that changes configs: sent to the controller, or settled here.
type alteration struct {
	resource meta.Resource
	result   meta.Result
	sent     bool
}

// incrementalAlterConfigs serves API 44, versions 0 and 1 (KIP-339): SET, DELETE, APPEND and SUBTRACT, each resource for itself.
func (b *Broker) incrementalAlterConfigs(r *server.Request, req *kmsg.IncrementalAlterConfigsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	in := make([]meta.AlterResource, len(req.Resources))
	for i, asked := range req.Resources {
		in[i].Resource = meta.Resource{Type: meta.ResourceType(asked.ResourceType), Name: asked.ResourceName}
		for _, c := range asked.Configs {
			in[i].Ops = append(in[i].Ops, meta.ConfigOp{Name: c.Name, Op: meta.Op(c.Op), Value: c.Value})
		}
	}
	refused := refusalsOf(r)
	return later(resp, b.alterAll(in, req.ValidateOnly, func(a alteration) {
		refused.complainAlteration(a)
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = kmsg.ConfigResourceType(a.resource.Type), a.resource.Name
		out.ErrorCode, out.ErrorMessage = int16(a.result.Code), text(a.result.Message)
		resp.Resources = append(resp.Resources, out)
	}))
}

// alterConfigs serves API 33, versions 0 to 2: what is not named goes back to its default.
func (b *Broker) alterConfigs(r *server.Request, req *kmsg.AlterConfigsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	in := make([]meta.AlterResource, len(req.Resources))
	for i, asked := range req.Resources {
		in[i] = meta.AlterResource{Resource: meta.Resource{Type: meta.ResourceType(asked.ResourceType), Name: asked.ResourceName}, Replace: true}
		for _, c := range asked.Configs {
			in[i].Ops = append(in[i].Ops, meta.ConfigOp{Name: c.Name, Op: meta.SetOp, Value: c.Value})
		}
	}
	refused := refusalsOf(r)
	return later(resp, b.alterAll(in, req.ValidateOnly, func(a alteration) {
		refused.complainAlteration(a)
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = kmsg.ConfigResourceType(a.resource.Type), a.resource.Name
		out.ErrorCode, out.ErrorMessage = int16(a.result.Code), text(a.result.Message)
		resp.Resources = append(resp.Resources, out)
	}))
}

func (r refusals) complainAlteration(a alteration) {
	r.complain(int16(a.result.Code), &a.result.Message, slog.Int("type", int(a.resource.Type)), slog.String("resource", a.resource.Name))
}

// alterAll sends what the metadata keeps to the controller, sets loggers here, and reports every resource in order once all is done.
func (b *Broker) alterAll(in []meta.AlterResource, validateOnly bool, report func(alteration)) func(stop <-chan struct{}) {
	done := make([]alteration, len(in))
	send := meta.AlterConfigs{ValidateOnly: validateOnly}
	times := map[meta.Resource]int{}
	for _, a := range in {
		times[a.Resource]++
	}
	for i, a := range in {
		done[i].resource = a.Resource
		switch {
		case times[a.Resource] > 1:
			done[i].result = meta.Result{Code: model.InvalidRequest, Message: "Each resource must appear at most once."}
		case a.Type == meta.BrokerLoggerResource:
			done[i].result = b.alterLoggers(a, validateOnly)
		case a.Type == meta.BrokerResource && a.Name != "" && b.checkSelf(a.Name) != nil:
			code, message := model.CodeOf(b.checkSelf(a.Name))
			done[i].result = meta.Result{Code: code, Message: message}
		default:
			done[i].sent = true
			send.Resources = append(send.Resources, a)
		}
	}
	call := b.Controller.Call(send)
	return func(stop <-chan struct{}) {
		reply, err := await[meta.AlterConfigsReply](b.Controller, call, stop)
		next := 0
		for _, a := range done {
			if a.sent && err != nil {
				a.result.Code, a.result.Message = controllerCode(err)
			} else if a.sent {
				a.result = reply.Resources[next].Result
				next++
			}
			report(a)
		}
	}
}

// alterLoggers changes the levels of this process's loggers.
func (b *Broker) alterLoggers(a meta.AlterResource, validateOnly bool) meta.Result {
	if err := b.checkSelf(a.Name); err != nil {
		code, message := model.CodeOf(err)
		return meta.Result{Code: code, Message: message}
	}
	if a.Replace {
		return meta.Result{Code: model.InvalidRequest, Message: "AlterConfigs is deprecated and does not support the resource type BROKER_LOGGER"}
	}
	levels := b.Loggers.Levels()
	exists := func(name string) bool { _, ok := levels[name]; return ok }
	for _, op := range a.Ops {
		if err := config.ValidateLogger(config.Op{Kind: config.OpKind(op.Op), Key: op.Name, Value: op.Value}, exists); err != nil {
			return configResult(err)
		}
	}
	if validateOnly {
		return meta.Result{}
	}
	for _, op := range a.Ops {
		if op.Op == meta.DeleteOp {
			b.Loggers.Set(op.Name, "")
		} else {
			b.Loggers.Set(op.Name, deref(op.Value))
		}
	}
	return meta.Result{}
}

// ConfigError gives a refusal of package config the code that Kafka answers it with.
func ConfigError(err error) error {
	e, ok := errors.AsType[*config.Error](err)
	switch {
	case err == nil:
		return nil
	case ok && e.Request:
		return &model.Error{Code: model.InvalidRequest, Message: err.Error()}
	}
	return &model.Error{Code: model.InvalidConfig, Message: err.Error()}
}

func configResult(err error) meta.Result {
	code, message := model.CodeOf(ConfigError(err))
	return meta.Result{Code: code, Message: message}
}
