package group

import (
	"fmt"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
)

func showRecord(r machine.Record) string {
	key, err := decodeKey(r.Key)
	if err != nil {
		return "write " + err.Error()
	}
	if key.kind == metadataKey {
		if r.Value == nil {
			return fmt.Sprintf("write group %s: tombstone", key.group)
		}
		md, err := decodeMetadata(r.Value)
		if err != nil {
			return "write " + err.Error()
		}
		return fmt.Sprintf("write group %s: %s", key.group, showMetadata(md))
	}
	at := fmt.Sprintf("write offset %s %s-%d:", key.group, key.topic, key.partition)
	if r.Value == nil {
		return at + " tombstone"
	}
	o, metadata, err := decodeOffset(r.Value)
	if err != nil {
		return "write " + err.Error()
	}
	o.metadata = string(metadata)
	return at + showOffset(&o) + fmt.Sprintf(" (v%d)", r.Value[1])
}

func showMetadata(md *metadata) string {
	var b strings.Builder
	fmt.Fprintf(&b, "type=%q generation=%d protocol=%s leader=%s since=%s", md.protocolType, md.generation, text(md.protocol), text(md.leader), since(md.sinceMs))
	for i := range md.members {
		s := &md.members[i]
		fmt.Fprintf(&b, "\n  %s%s client=%s host=%s rebalance=%d session=%d %s gets %s", s.id, instance(s.instance), s.clientID, s.clientHost, s.rebalanceMs, s.sessionMs, showBytes(s.subscription), showBytes(s.assignment))
	}
	return b.String()
}

func showOffset(o *offset) string {
	s := fmt.Sprintf(" %d", o.offset)
	if o.leaderEpoch != -1 {
		s += fmt.Sprintf(" epoch=%d", o.leaderEpoch)
	}
	if o.metadata != "" {
		s += fmt.Sprintf(" metadata=%.20q", o.metadata)
	}
	if !o.topicID.IsZero() {
		s += " id=" + topicName(o.topicID)
	}
	s += " at=" + since(o.commitMs)
	if o.expireMs >= 0 {
		s += " expires=" + since(o.expireMs)
	}
	return s
}

// since shows a time as the milliseconds since the script began.
func since(ms int64) string {
	if ms < 0 {
		return "never"
	}
	return fmt.Sprint(time.UnixMilli(ms).Sub(start).Milliseconds())
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func instance(s *string) string {
	if s == nil {
		return ""
	}
	return "/" + *s
}

func showReply(v any) string {
	switch r := v.(type) {
	case JoinGroupReply:
		return showJoin(r)
	case SyncGroupReply:
		if r.Code != 0 {
			return "sync " + r.Code.String()
		}
		return fmt.Sprintf("sync %s/%s gets %s", r.ProtocolType, r.Protocol, showBytes(r.Assignment))
	case HeartbeatReply:
		return "heartbeat " + r.Code.String()
	case LeaveGroupReply:
		s := "leave " + r.Code.String()
		for _, m := range r.Members {
			s += fmt.Sprintf(" %s%s=%s", m.MemberID, instance(m.InstanceID), m.Code)
		}
		return s
	case OffsetCommitReply:
		return "commit " + r.Code.String() + showCodes(r.Topics)
	case OffsetDeleteReply:
		return "offset-delete " + r.Code.String() + showCodes(r.Topics)
	case OffsetFetchReply:
		s := "fetch"
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				s += fmt.Sprintf("\n  %s-%d: %d epoch=%d %q %s", t.Name, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.Code)
			}
		}
		return s
	case DescribeGroupReply:
		s := fmt.Sprintf("describe %s %s state=%s type=%q protocol=%q", r.Group, r.Code, r.State, r.ProtocolType, r.Protocol)
		if r.Message != "" {
			s += " message: " + r.Message
		}
		for _, m := range r.Members {
			s += fmt.Sprintf("\n  %s%s client=%s host=%s %s gets %s", m.MemberID, instance(m.InstanceID), m.ClientID, m.ClientHost, showBytes(m.Metadata), showBytes(m.Assignment))
		}
		return s
	case ListGroupsReply:
		s := "list"
		for _, g := range r.Groups {
			s += fmt.Sprintf("\n  %s state=%s type=%s protocol-type=%q", g.Group, g.State, g.Type, g.ProtocolType)
		}
		return s
	case DeleteGroupReply:
		return "delete " + r.Code.String()
	case TopicDeletedReply:
		return fmt.Sprintf("topic-deleted removed=%d", r.Removed)
	case TopicsKnownReply:
		return fmt.Sprintf("topics-known gone=%d", r.Gone)
	default:
		return fmt.Sprintf("%+v", v)
	}
}

func showJoin(r JoinGroupReply) string {
	if r.Code != 0 {
		return fmt.Sprintf("join %s member=%q generation=%d", r.Code, r.MemberID, r.Generation)
	}
	s := fmt.Sprintf("join generation=%d %s/%s leader=%s member=%s", r.Generation, r.ProtocolType, r.Protocol, r.Leader, r.MemberID)
	if r.SkipAssignment {
		s += " skip-assignment"
	}
	for _, m := range r.Members {
		s += fmt.Sprintf("\n  %s%s %s", m.MemberID, instance(m.InstanceID), showBytes(m.Metadata))
	}
	return s
}

func showCodes(topics []PartitionCodes) string {
	s := ""
	for _, t := range topics {
		for _, p := range t.Partitions {
			s += fmt.Sprintf(" %s-%d=%s", t.Name, p.Partition, p.Code)
		}
	}
	return s
}

// dump shows the hard state.
func dump(m *Machine) string {
	var b strings.Builder
	for _, g := range m.sorted() {
		if g.metadata != nil {
			fmt.Fprintf(&b, "group %s: %s\n", g.id, showMetadata(g.metadata))
		}
		for _, topic := range g.topics() {
			for _, p := range g.partitions(topic) {
				fmt.Fprintf(&b, "offset %s %s-%d:%s\n", g.id, topic, p, showOffset(g.offset(topic, p)))
			}
		}
	}
	return b.String()
}

// topicName shows an id that was made of a name as that, and any other as Kafka does.
func topicName(id model.TopicID) string {
	name := strings.TrimRight(string(id[:]), "\x00")
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return id.String()
	}
	return name
}
