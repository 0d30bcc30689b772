package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

const noAuthorizer = "No Authorizer is configured."

// unknownACL reports a zero among the fields that say what an ACL is about. Kafka cannot read such a request and closes the connection.
func unknownACL(resource, pattern, operation, permission int8) bool {
	return resource == 0 || pattern == 0 || operation == 0 || permission == 0
}

// describeACLs serves API 29, versions 1 to 3: there is no authorizer, and so no ACL.
func (b *Broker) describeACLs(r *server.Request, req *kmsg.DescribeACLsRequest) server.Answer {
	if unknownACL(int8(req.ResourceType), int8(req.ResourcePatternType), int8(req.Operation), int8(req.PermissionType)) {
		return server.Answer{None: true, Close: true}
	}
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	resp.ErrorCode, resp.ErrorMessage = int16(model.SecurityDisabled), new(noAuthorizer)
	return ready(resp)
}

// createACLs serves API 30, versions 1 to 3.
func (b *Broker) createACLs(r *server.Request, req *kmsg.CreateACLsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	for _, c := range req.Creations {
		if unknownACL(int8(c.ResourceType), int8(c.ResourcePatternType), int8(c.Operation), int8(c.PermissionType)) {
			return server.Answer{None: true, Close: true}
		}
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = int16(model.SecurityDisabled), new(noAuthorizer)
		resp.Results = append(resp.Results, out)
	}
	return ready(resp)
}

// deleteACLs serves API 31, versions 1 to 3.
func (b *Broker) deleteACLs(r *server.Request, req *kmsg.DeleteACLsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for _, f := range req.Filters {
		if unknownACL(int8(f.ResourceType), int8(f.ResourcePatternType), int8(f.Operation), int8(f.PermissionType)) {
			return server.Answer{None: true, Close: true}
		}
		out := kmsg.NewDeleteACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = int16(model.SecurityDisabled), new(noAuthorizer)
		resp.Results = append(resp.Results, out)
	}
	return ready(resp)
}
