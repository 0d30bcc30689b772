package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// perGroup is one group's call in a request that names several.
type perGroup struct {
	group  string
	caller Caller
	call   *shard.Call
	code   model.ErrorCode
}

// callGroups sends one input per group to its coordinator.
func (b *Broker) callGroups(groups []string, input func(group string) any) []perGroup {
	calls := make([]perGroup, len(groups))
	for i, g := range groups {
		caller, code := b.Coordinators.Group(g)
		calls[i] = perGroup{group: g, caller: caller, code: code}
		if code == model.None {
			calls[i].call = caller.Call(input(g))
		}
	}
	return calls
}

// awaitGroup waits for one group's reply.
func awaitGroup[R any](c perGroup, stop <-chan struct{}) (R, model.ErrorCode) {
	var none R
	if c.code != model.None {
		return none, c.code
	}
	reply, err := await[R](c.caller, c.call, stop)
	return reply, coordinatorCode(err)
}

// describeGroups serves API 15, versions 0 to 6. From version 6 an unknown group is an error; before, it is a Dead group.
func (b *Broker) describeGroups(r *server.Request, req *kmsg.DescribeGroupsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	calls := b.callGroups(req.Groups, func(g string) any { return group.DescribeGroup{Version: req.Version, Group: g} })
	left := b.room()
	return laterWithin(resp, left, func(stop <-chan struct{}) {
		for _, c := range calls {
			out := kmsg.NewDescribeGroupsResponseGroup()
			out.Group, out.AuthorizedOperations = c.group, noOperations
			reply, code := awaitGroup[group.DescribeGroupReply](c, stop)
			if code != model.None {
				out.ErrorCode = int16(code)
				resp.Groups = append(resp.Groups, out)
				continue
			}
			out.ErrorCode, out.ErrorMessage = int16(reply.Code), text(reply.Message)
			out.State, out.ProtocolType, out.Protocol = reply.State, reply.ProtocolType, reply.Protocol
			if reply.Code == model.None {
				out.AuthorizedOperations = operations(req.IncludeAuthorizedOperations, groupOperations)
			}
			for _, m := range reply.Members {
				const fixed = 16
				if !left.take(fixed + len(m.MemberID) + len(m.ClientID) + len(m.ClientHost) + len(m.Metadata) + len(m.Assignment)) {
					refusal := left.refusal()
					out.Members, out.ErrorCode, out.ErrorMessage = nil, int16(refusal.Code), &refusal.Message
					break
				}
				member := kmsg.NewDescribeGroupsResponseGroupMember()
				member.MemberID, member.InstanceID, member.ClientID, member.ClientHost = m.MemberID, m.InstanceID, m.ClientID, m.ClientHost
				member.ProtocolMetadata, member.MemberAssignment = m.Metadata, m.Assignment
				out.Members = append(out.Members, member)
			}
			resp.Groups = append(resp.Groups, out)
		}
	})
}
