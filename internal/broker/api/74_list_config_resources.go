package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// listConfigResources serves API 74, versions 0 and 1 (KIP-1142): whose configs can be asked for. Version 0 knows client metrics only; from version 1 an
// empty list of types asks for all.
func (b *Broker) listConfigResources(r *server.Request, req *kmsg.ListConfigResourcesRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	resp.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{}
	types := req.ResourceTypes
	if req.Version == 0 {
		types = []int8{int8(meta.ClientMetricsResource)}
	} else if len(types) == 0 {
		types = []int8{int8(meta.TopicResource), int8(meta.BrokerResource), int8(meta.BrokerLoggerResource), int8(meta.ClientMetricsResource), int8(meta.GroupResource)}
	}
	image := b.Image()
	seen := map[int8]bool{}
	add := func(t int8, name string) {
		out := kmsg.NewListConfigResourcesResponseConfigResource()
		out.Name, out.Type = name, t
		resp.ConfigResources = append(resp.ConfigResources, out)
	}
	for _, t := range types {
		if seen[t] {
			continue
		}
		seen[t] = true
		switch meta.ResourceType(t) {
		case meta.TopicResource:
			for topic := range image.Topics() {
				add(t, topic.Name)
			}
		case meta.BrokerResource, meta.BrokerLoggerResource:
			for _, broker := range image.Brokers() {
				add(t, strconv.Itoa(int(broker.ID)))
			}
		case meta.ClientMetricsResource, meta.GroupResource:
			for _, name := range image.ConfigResources(meta.ResourceType(t)) {
				add(t, name)
			}
		default:
			resp.ErrorCode = int16(model.UnsupportedVersion)
			resp.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{}
			return ready(resp)
		}
	}
	return ready(resp)
}
