package group

import (
	"fmt"

	"github.com/ottla/ottla/internal/kafka/model"
)

// StoredRecord is a record of __consumer_offsets as somebody who looks at the log sees it: one of Offset and Metadata is set, none when it deletes what its key names.
type StoredRecord struct {
	Kind      string // "offset" or "group"
	Group     string
	Topic     string // of an offset
	Partition int32
	Offset    *StoredOffset
	Metadata  *StoredGroup
}

// StoredOffset is a committed offset.
type StoredOffset struct {
	Offset      int64
	LeaderEpoch int32 // -1 when the commit named none
	Metadata    string
	CommitMs    int64
	ExpireMs    int64 // -1 unless the commit asked for a retention of its own
	TopicID     model.TopicID
}

// StoredGroup is a group's generation.
type StoredGroup struct {
	ProtocolType string
	Generation   int32
	Protocol     *string
	Leader       *string
	SinceMs      int64
	Members      []StoredMember
}

// StoredMember is a member of a generation.
type StoredMember struct {
	ID, ClientID, ClientHost string
	InstanceID               *string
	RebalanceMs, SessionMs   int32
	Subscription, Assignment []byte
}

// ParseRecord reads a record of __consumer_offsets. Types that this build does not know are an error.
func ParseRecord(key, value []byte) (StoredRecord, error) {
	k, err := decodeKey(key)
	if err != nil {
		return StoredRecord{}, err
	}
	out := StoredRecord{Kind: "offset", Group: string(k.group)}
	if k.kind == metadataKey {
		out.Kind = "group"
		if value == nil {
			return out, nil
		}
		md, err := decodeMetadata(value)
		if err != nil {
			return out, fmt.Errorf("group %q: %w", out.Group, err)
		}
		g := &StoredGroup{ProtocolType: md.protocolType, Generation: md.generation, Protocol: md.protocol, Leader: md.leader, SinceMs: md.sinceMs}
		for _, m := range md.members {
			g.Members = append(g.Members, StoredMember{m.id, m.clientID, m.clientHost, m.instance, m.rebalanceMs, m.sessionMs, m.subscription, m.assignment})
		}
		out.Metadata = g
		return out, nil
	}
	out.Topic, out.Partition = string(k.topic), k.partition
	if value == nil {
		return out, nil
	}
	o, metadata, err := decodeOffset(value)
	if err != nil {
		return out, fmt.Errorf("group %q: %w", out.Group, err)
	}
	out.Offset = &StoredOffset{o.offset, o.leaderEpoch, string(metadata), o.commitMs, o.expireMs, o.topicID}
	return out, nil
}
