package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// syncGroup serves API 14, versions 0 to 5: a member gets its assignment once the leader's has been stored.
func (b *Broker) syncGroup(r *server.Request, req *kmsg.SyncGroupRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	resp.MemberAssignment = []byte{}
	refused := refusalsOf(r)
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		resp.ErrorCode = int16(model.InconsistentGroupProtocol)
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, req.InstanceID)
		return ready(resp)
	}
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
	in := group.SyncGroup{
		Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, InstanceID: req.InstanceID, ProtocolType: req.ProtocolType, Protocol: req.Protocol,
		Assignments: make([]group.Assignment, len(req.GroupAssignment)),
	}
	for i, a := range req.GroupAssignment {
		in.Assignments[i] = group.Assignment{MemberID: a.MemberID, Assignment: a.MemberAssignment}
	}
	call := coordinator.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[group.SyncGroupReply](coordinator, call, stop)
		if err != nil {
			resp.ErrorCode = int16(coordinatorCode(err))
			return
		}
		resp.ErrorCode = int16(reply.Code)
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, req.InstanceID)
		if reply.Code == model.None {
			resp.ProtocolType, resp.Protocol, resp.MemberAssignment = &reply.ProtocolType, &reply.Protocol, reply.Assignment
		}
	})
}
