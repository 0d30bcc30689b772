package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
)

// describeClientQuotas serves API 48, versions 0 and 1: no quota can be set, so none is listed.
func (b *Broker) describeClientQuotas(r *server.Request, req *kmsg.DescribeClientQuotasRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	return ready(resp)
}
