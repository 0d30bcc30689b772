package api

import (
	"log/slog"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/kafka/wire"
)

// isBadInput tells whether a code says that the client asked for what cannot be right, or what it will miss: that is worth a line in the log. What clients try
// again by themselves, and what is this node's own trouble, is not.
func isBadInput(code model.ErrorCode) bool {
	switch code {
	case model.CorruptMessage, model.InvalidRecord, model.MessageTooLarge, model.UnsupportedCompressionType, model.InvalidTimestamp, model.InvalidRequiredAcks,
		model.OutOfOrderSequenceNumber, model.InvalidProducerEpoch, model.OffsetOutOfRange:
		return true
	case model.InvalidTopicException, model.InvalidRequest, model.UnknownTopicID, model.UnsupportedVersion, model.TopicDeletionDisabled, model.PolicyViolation,
		model.InvalidConfig, model.InvalidPartitions, model.InvalidReplicationFactor, model.InvalidReplicaAssignment, model.IllegalSaslState:
		return true
	case model.UnknownMemberID, model.GroupIDNotFound, model.IllegalGeneration, model.FencedInstanceID, model.OffsetMetadataTooLarge, model.InvalidCommitOffsetSize,
		model.InvalidGroupID, model.InvalidSessionTimeout, model.InconsistentGroupProtocol, model.GroupMaxSizeReached:
		return true
	}
	return false
}

// refusals writes lines about what of one request was refused, if that was bad input: at most one per source, API and code in a while; what is left out is counted.
// It may be kept after stage one.
type refusals struct {
	conn   *server.Conn
	client string
	key    int16
}

func refusalsOf(r *server.Request) refusals { return refusals{r.Conn, r.ClientID, r.Key} }

// complain writes a line about one item. The message may be nil.
func (r refusals) complain(code int16, message *string, attrs ...slog.Attr) {
	if code == 0 || !isBadInput(model.ErrorCode(code)) {
		return
	}
	attrs = append(attrs, slog.String("client", r.client))
	if message != nil && *message != "" {
		attrs = append(attrs, slog.String("error", *message))
	}
	r.conn.Complain(wire.Name(r.key)+" refused: "+model.ErrorCode(code).String(), attrs...)
}

// complainMember is complain about a member of a group. That its generation is over is in the ordinary course of a rebalance.
func (r refusals) complainMember(code int16, group, member string, instance *string) {
	if code == int16(model.IllegalGeneration) {
		return
	}
	r.complain(code, nil, slog.String("group", group), slog.String("member", member), slog.String("instance", deref(instance)))
}

// complainOfDecoding is about a request that passed its check and cannot be decoded, which ends the connection.
func complainOfDecoding(r *server.Request, err error) {
	r.Conn.Complain("closing a connection: its "+wire.Name(r.Key)+" request cannot be decoded", slog.Int("version", int(r.Version)), slog.String("client", r.ClientID),
		slog.String("error", err.Error()))
}

// about names what was refused.
func about(topic string, id model.TopicID) slog.Attr {
	if topic == "" && !id.IsZero() {
		return slog.String("topic_id", id.String())
	}
	return slog.String("topic", topic)
}
