package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// heartbeat serves API 12, versions 0 to 4: a member says that it lives.
func (b *Broker) heartbeat(r *server.Request, req *kmsg.HeartbeatRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	refused := refusalsOf(r)
	if req.Group == "" {
		resp.ErrorCode = int16(model.InvalidGroupID)
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, req.InstanceID)
		return ready(resp)
	}
	coordinator, code := b.Coordinators.Group(req.Group)
	if code != model.None {
		resp.ErrorCode = int16(code)
		return ready(resp)
	}
	call := coordinator.Call(group.Heartbeat{Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, InstanceID: req.InstanceID})
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[group.HeartbeatReply](coordinator, call, stop)
		if errors.Is(err, shard.ErrLoading) {
			return // nobody is thrown out while the groups load, as in Kafka
		}
		if err != nil {
			resp.ErrorCode = int16(coordinatorCode(err))
			return
		}
		resp.ErrorCode = int16(reply.Code)
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, req.InstanceID)
	})
}
