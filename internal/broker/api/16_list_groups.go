package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// listGroups serves API 16, versions 0 to 5: the groups that this broker coordinates; version 4 filters by state, version 5 by type.
func (b *Broker) listGroups(r *server.Request, req *kmsg.ListGroupsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	callers := b.Coordinators.All()
	calls := make([]*shard.Call, len(callers))
	for i, c := range callers {
		calls[i] = c.Call(group.ListGroups{States: req.StatesFilter, Types: req.TypesFilter})
	}
	return later(resp, func(stop <-chan struct{}) {
		for i, call := range calls {
			reply, err := await[group.ListGroupsReply](callers[i], call, stop)
			if code := coordinatorCode(err); code == model.NotCoordinator {
				continue // this partition of the offsets topic is going away
			} else if code != model.None {
				resp.ErrorCode, resp.Groups = int16(code), nil
				return
			}
			for _, g := range reply.Groups {
				out := kmsg.NewListGroupsResponseGroup()
				out.Group, out.ProtocolType, out.GroupState, out.GroupType = g.Group, g.ProtocolType, g.State, g.Type
				resp.Groups = append(resp.Groups, out)
			}
		}
	})
}
