package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
)

// deleteGroups serves API 42, versions 0 to 3: groups without members go, with their offsets.
func (b *Broker) deleteGroups(r *server.Request, req *kmsg.DeleteGroupsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	groups := make([]string, 0, len(req.Groups)) // each once, as in Kafka
	seen := make(map[string]bool, len(req.Groups))
	for _, g := range req.Groups {
		if !seen[g] {
			seen[g] = true
			groups = append(groups, g)
		}
	}
	calls := b.callGroups(groups, func(g string) any { return group.DeleteGroup{Group: g} })
	return later(resp, func(stop <-chan struct{}) {
		for _, c := range calls {
			out := kmsg.NewDeleteGroupsResponseGroup()
			out.Group = c.group
			reply, code := awaitGroup[group.DeleteGroupReply](c, stop)
			if code == model.None {
				code = reply.Code
			}
			out.ErrorCode = int16(code)
			resp.Groups = append(resp.Groups, out)
		}
	})
}
