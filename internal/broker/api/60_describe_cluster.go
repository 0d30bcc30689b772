package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// Endpoint types of DescribeCluster.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// describeCluster serves API 60, versions 0 to 2: who is in the cluster, at the addresses for the asking listener.
func (b *Broker) describeCluster(r *server.Request, req *kmsg.DescribeClusterRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterAuthorizedOperations = noOperations
	resp.ControllerID = -1
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{}
	switch {
	case req.Version == 0, req.EndpointType == endpointBrokers:
		resp.EndpointType = endpointBrokers
	case req.EndpointType == endpointControllers:
		resp.ErrorCode = int16(model.MismatchedEndpointType)
		resp.ErrorMessage = new("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
		return ready(resp)
	default:
		resp.ErrorCode = int16(model.UnsupportedEndpointType)
		resp.ErrorMessage = new("Unsupported endpoint type")
		return ready(resp)
	}
	resp.ClusterID, resp.ControllerID = b.ClusterID, b.NodeID
	resp.ClusterAuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	for _, broker := range b.Image().Brokers() {
		endpoint, ok := endpointFor(broker, r.Conn.Listener())
		if !ok || broker.Fenced && !req.IncludeFencedBrokers {
			continue
		}
		out := kmsg.NewDescribeClusterResponseBroker()
		out.NodeID, out.Host, out.Port, out.Rack, out.IsFenced = broker.ID, endpoint.Host, int32(endpoint.Port), broker.Rack, broker.Fenced
		resp.Brokers = append(resp.Brokers, out)
	}
	return ready(resp)
}
