package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// Match types of DescribeClientQuotas.
const (
	matchExact   = 0
	matchDefault = 1
	matchAny     = 2
)

// describeClientQuotas serves API 48, versions 0 and 1: no quota can be set, so none is listed.
func (b *Broker) describeClientQuotas(r *server.Request, req *kmsg.DescribeClientQuotasRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	code, message := quotaRefusal(req.Components)
	resp.ErrorCode, resp.ErrorMessage = int16(code), &message
	if code == model.None {
		resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	}
	return ready(resp)
}

// quotaRefusal says what is wrong with a filter.
func quotaRefusal(components []kmsg.DescribeClientQuotasRequestComponent) (model.ErrorCode, string) {
	seen := map[string]bool{}
	for _, c := range components {
		switch {
		case c.EntityType == "":
			return model.InvalidRequest, "a filter has an empty entity type"
		case seen[c.EntityType]:
			return model.InvalidRequest, "entity type '" + c.EntityType + "' is named twice"
		case c.EntityType != "user" && c.EntityType != "client-id" && c.EntityType != "ip":
			return model.UnsupportedVersion, "there are no quotas for '" + c.EntityType + "': user, client-id and ip have them"
		case c.MatchType < matchExact || c.MatchType > matchAny:
			return model.InvalidRequest, "the match type of '" + c.EntityType + "' must be 0 (exact), 1 (default) or 2 (any)"
		case c.MatchType == matchExact && c.Match == nil:
			return model.InvalidRequest, "an exact match of '" + c.EntityType + "' needs a name"
		case c.MatchType != matchExact && c.Match != nil:
			return model.InvalidRequest, "only an exact match of '" + c.EntityType + "' may have a name"
		}
		seen[c.EntityType] = true
	}
	if seen["ip"] && len(seen) > 1 {
		return model.InvalidRequest, "a filter for ip cannot be combined with one for user or client-id"
	}
	return model.None, ""
}
