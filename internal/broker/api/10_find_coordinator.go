package api

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// Key types of FindCoordinator.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
	coordinatorOfShare       = 2
)

// findCoordinator serves API 10, versions 0 to 6: which broker coordinates a group; version 4 asks for several. The offsets topic is made on the first
// question. Transactions and share groups are refused for good, so that no client waits for them.
func (b *Broker) findCoordinator(r *server.Request, req *kmsg.FindCoordinatorRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	conn, asked := r.Conn, refusalsOf(r)
	refusal, why := coordinatorRefusal(req.CoordinatorType, req.Version)
	return later(resp, func(stop <-chan struct{}) {
		code, message := refusal, why
		if code == model.None && len(keys) > 0 {
			code = b.ensureOffsetsTopic(asked, stop)
		}
		for _, key := range keys {
			out := kmsg.NewFindCoordinatorResponseCoordinator()
			out.Key, out.NodeID, out.Port, out.ErrorCode, out.ErrorMessage = key, -1, -1, int16(code), text(message)
			if code == model.None {
				out.ErrorMessage = new("") // Kafka's, where others have null
				b.placeCoordinator(&out, key, conn)
			}
			asked.complain(out.ErrorCode, out.ErrorMessage, slog.String("key", key), slog.Int("type", int(req.CoordinatorType)))
			resp.Coordinators = append(resp.Coordinators, out)
		}
		if req.Version < 4 {
			one := resp.Coordinators[0]
			resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = one.ErrorCode, one.ErrorMessage, one.NodeID, one.Host, one.Port
			if one.ErrorCode == 0 {
				resp.ErrorMessage = new("NONE")
			}
			resp.Coordinators = nil
		}
	})
}

// coordinatorRefusal is an answer on which clients give up and show the message. librdkafka takes none for final but that it is not allowed to, and is the one that
// asks by version 2; on that code, which they trust more than its message, Java clients would say that an ACL is missing.
func coordinatorRefusal(keyType int8, version int16) (model.ErrorCode, string) {
	switch keyType {
	case coordinatorOfGroup:
		return model.None, ""
	case coordinatorOfTransaction:
		if version <= 2 {
			return model.TransactionalIDAuthorizationFailed, noTransactions
		}
		return model.InvalidRequest, noTransactions
	case coordinatorOfShare:
		return model.InvalidRequest, "this node does not serve share groups yet: use a consumer group"
	}
	return model.InvalidRequest, "unknown coordinator type: 0 is a group"
}

// placeCoordinator fills in the broker that leads the group's partition of the offsets topic, at the address for the asking listener.
func (b *Broker) placeCoordinator(out *kmsg.FindCoordinatorResponseCoordinator, group string, conn *server.Conn) {
	unavailable := func() { out.ErrorCode = int16(model.CoordinatorNotAvailable) }
	image := b.Image()
	topic := image.TopicByName(model.ConsumerOffsetsTopic)
	if topic == nil || len(topic.Partitions) == 0 {
		unavailable()
		return
	}
	leader := image.Broker(topic.Partitions[model.PartitionFor(group, int32(len(topic.Partitions)))].Leader)
	if leader == nil {
		unavailable()
		return
	}
	endpoint, ok := endpointFor(leader, conn.Listener())
	if !ok {
		unavailable()
		return
	}
	out.NodeID, out.Host, out.Port = leader.ID, endpoint.Host, int32(endpoint.Port)
}
