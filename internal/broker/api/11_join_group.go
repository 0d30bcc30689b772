package api

import (
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// joinGroup serves API 11, versions 0 to 9: a member joins its group and waits until the generation is formed.
func (b *Broker) joinGroup(r *server.Request, req *kmsg.JoinGroupRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	refused := refusalsOf(r)
	fail := func(code model.ErrorCode) {
		resp.ErrorCode, resp.Generation, resp.MemberID = int16(code), -1, req.MemberID
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, req.InstanceID)
	}
	if req.Group == "" {
		fail(model.InvalidGroupID)
		return ready(resp)
	}
	coordinator, code := b.Coordinators.Group(req.Group)
	if code != model.None {
		fail(code)
		return ready(resp)
	}
	in := group.JoinGroup{
		Version: req.Version, Group: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, UUID: uuid.NewString(),
		ClientID: r.ClientID, ClientHost: clientHost(r.Conn),
		SessionTimeoutMs: req.SessionTimeoutMillis, RebalanceTimeoutMs: req.RebalanceTimeoutMillis,
		ProtocolType: req.ProtocolType, Protocols: make([]group.Protocol, len(req.Protocols)),
	}
	if req.Version == 0 {
		in.RebalanceTimeoutMs = req.SessionTimeoutMillis
	}
	for i, p := range req.Protocols {
		in.Protocols[i] = group.Protocol{Name: p.Name, Metadata: p.Metadata}
	}
	call := coordinator.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[group.JoinGroupReply](coordinator, call, stop)
		if err != nil {
			fail(coordinatorCode(err))
			return
		}
		resp.ErrorCode, resp.Generation = int16(reply.Code), reply.Generation
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, req.InstanceID)
		resp.LeaderID, resp.MemberID, resp.SkipAssignment = reply.Leader, reply.MemberID, reply.SkipAssignment
		if reply.Code == model.None {
			resp.ProtocolType, resp.Protocol = &reply.ProtocolType, &reply.Protocol
		} else if req.Version < 7 {
			resp.Protocol = &reply.Protocol
		}
		for _, m := range reply.Members {
			member := kmsg.NewJoinGroupResponseMember()
			member.MemberID, member.InstanceID, member.ProtocolMetadata = m.MemberID, m.InstanceID, m.Metadata
			resp.Members = append(resp.Members, member)
		}
	})
}
