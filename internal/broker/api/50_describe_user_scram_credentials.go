package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// describeUserSCRAMCredentials serves API 50, version 0: there are no users, so those that are asked for do not exist.
func (b *Broker) describeUserSCRAMCredentials(r *server.Request, req *kmsg.DescribeUserSCRAMCredentialsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	for _, u := range req.Users {
		out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		out.User, out.ErrorCode = u.Name, int16(model.ResourceNotFound)
		out.ErrorMessage = new("Attempt to describe a user credential that does not exist: " + u.Name)
		resp.Results = append(resp.Results, out)
	}
	return ready(resp)
}
