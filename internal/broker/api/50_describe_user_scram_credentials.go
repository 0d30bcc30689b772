package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// describeUserSCRAMCredentials serves API 50, version 0: there are no users, so those that are asked for do not exist.
func (b *Broker) describeUserSCRAMCredentials(r *server.Request, req *kmsg.DescribeUserSCRAMCredentialsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	resp.ErrorMessage = new("")
	times := map[string]int{}
	for _, u := range req.Users {
		times[u.Name]++
	}
	for _, u := range req.Users {
		if times[u.Name] == 0 {
			continue // answered already
		}
		out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		out.User, out.ErrorCode = u.Name, int16(model.ResourceNotFound)
		out.ErrorMessage = new("Attempt to describe a user credential that does not exist: " + u.Name)
		if times[u.Name] > 1 {
			out.ErrorCode = int16(model.DuplicateResource)
			out.ErrorMessage = new("Cannot describe SCRAM credentials for the same user twice in a single request: " + u.Name)
		}
		times[u.Name] = 0
		resp.Results = append(resp.Results, out)
	}
	return ready(resp)
}
