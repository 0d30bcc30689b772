package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// leaveGroup serves API 13, versions 0 to 5: one member, or from version 3 several, leave at once.
func (b *Broker) leaveGroup(r *server.Request, req *kmsg.LeaveGroupRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	resp.Members = []kmsg.LeaveGroupResponseMember{}
	refused := refusalsOf(r)
	if req.Group == "" {
		resp.ErrorCode = int16(model.InvalidGroupID)
		refused.complainMember(resp.ErrorCode, req.Group, req.MemberID, nil)
		return ready(resp)
	}
	coordinator, code := b.Coordinators.Group(req.Group)
	if code != model.None {
		resp.ErrorCode = int16(code)
		return ready(resp)
	}
	in := group.LeaveGroup{Group: req.Group}
	if req.Version < 3 {
		in.Members = []group.LeavingMember{{MemberID: req.MemberID}}
	}
	for _, m := range req.Members {
		in.Members = append(in.Members, group.LeavingMember{MemberID: m.MemberID, InstanceID: m.InstanceID})
	}
	call := coordinator.Call(in)
	return later(resp, func(stop <-chan struct{}) {
		reply, err := await[group.LeaveGroupReply](coordinator, call, stop)
		if err != nil {
			resp.ErrorCode = int16(coordinatorCode(err))
			return
		}
		resp.ErrorCode = int16(reply.Code)
		for _, m := range reply.Members {
			refused.complainMember(int16(m.Code), req.Group, m.MemberID, m.InstanceID)
			if req.Version < 3 {
				if reply.Code == model.None {
					resp.ErrorCode = int16(m.Code)
				}
				break
			}
			member := kmsg.NewLeaveGroupResponseMember()
			member.MemberID, member.InstanceID, member.ErrorCode = m.MemberID, m.InstanceID, int16(m.Code)
			resp.Members = append(resp.Members, member)
		}
	})
}
