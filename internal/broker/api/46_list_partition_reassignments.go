package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
)

// listPartitionReassignments serves API 46, version 0: on one node no replica ever moves, so the list is empty.
func (b *Broker) listPartitionReassignments(r *server.Request, req *kmsg.ListPartitionReassignmentsRequest) server.Answer {
	return ready(req.ResponseKind())
}
