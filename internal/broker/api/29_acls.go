package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

const noAuthorizer = "No Authorizer is configured."

// describeACLs serves API 29, versions 1 to 3: there is no authorizer, and so no ACL.
func (b *Broker) describeACLs(r *server.Request, req *kmsg.DescribeACLsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	resp.ErrorCode, resp.ErrorMessage = int16(model.SecurityDisabled), new(noAuthorizer)
	return ready(resp)
}

// createACLs serves API 30, versions 1 to 3.
func (b *Broker) createACLs(r *server.Request, req *kmsg.CreateACLsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	for range req.Creations {
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = int16(model.SecurityDisabled), new(noAuthorizer)
		resp.Results = append(resp.Results, out)
	}
	return ready(resp)
}

// deleteACLs serves API 31, versions 1 to 3.
func (b *Broker) deleteACLs(r *server.Request, req *kmsg.DeleteACLsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for range req.Filters {
		out := kmsg.NewDeleteACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = int16(model.SecurityDisabled), new(noAuthorizer)
		resp.Results = append(resp.Results, out)
	}
	return ready(resp)
}
