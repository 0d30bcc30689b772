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
		model.OutOfOrderSequenceNumber, model.InvalidProducerEpoch, model.InvalidTopicException, model.InvalidRequest, model.OffsetOutOfRange, model.UnknownTopicID,
		model.UnknownMemberID, model.GroupIDNotFound, model.IllegalGeneration, model.FencedInstanceID, model.OffsetMetadataTooLarge, model.InvalidCommitOffsetSize:
		return true
	}
	return false
}

// complain writes a line about what was refused if that was bad input, at most one per source, API and code in a while; what is left out is counted.
func complain(conn *server.Conn, clientID string, key int16, code model.ErrorCode, attrs ...slog.Attr) {
	if isBadInput(code) {
		conn.Complain(wire.Name(key)+" refused: "+code.String(), append(attrs, slog.String("client", clientID))...)
	}
}

// longestName bounds what of a client's names is logged.
const longestName = 300

// about names what was refused.
func about(topic string, id model.TopicID, partition int32) []slog.Attr {
	what := slog.String("topic", topic[:min(len(topic), longestName)])
	if topic == "" {
		what = slog.String("topic_id", id.String())
	}
	return []slog.Attr{what, slog.Int("partition", int(partition))}
}
