package group

import (
	"unicode/utf8"

	"github.com/ottla/ottla/internal/kafka/model"
)

func (m *Machine) offsetCommit(in *OffsetCommit) {
	code := m.checkCommit(in)
	r := OffsetCommitReply{Code: code, Topics: make([]PartitionCodes, len(in.Topics))}
	for i := range in.Topics {
		t := &in.Topics[i]
		codes := make([]PartitionCode, len(t.Partitions))
		for j := range t.Partitions {
			codes[j] = PartitionCode{Partition: t.Partitions[j].Partition, Code: code}
			if code == model.None {
				codes[j].Code = m.commit(in, t, &t.Partitions[j])
			}
		}
		r.Topics[i] = PartitionCodes{Name: t.Name, TopicID: t.TopicID, Partitions: codes}
	}
	m.reply(r)
}

// checkCommit says who may commit: a member of the present generation, and anyone while the group has no members. A commit for a group that does not exist
// makes it, unless it claims a generation.
func (m *Machine) checkCommit(in *OffsetCommit) model.ErrorCode {
	if len(in.Group) > maxString {
		return model.InvalidGroupID
	}
	g := m.groups[in.Group]
	if g == nil {
		switch {
		case in.Generation < 0:
			return model.None
		case in.Version >= 9:
			return model.GroupIDNotFound
		default:
			return model.IllegalGeneration
		}
	}
	state := g.state()
	if in.Generation < 0 && state == Empty {
		return model.None
	}
	if in.Generation < 0 && in.MemberID == "" && in.InstanceID == nil {
		return model.UnknownMemberID // from outside, while members own the offsets
	}
	mb, code := g.member(in.MemberID, in.InstanceID)
	if code != model.None {
		return code
	}
	if in.Generation != g.live.generation {
		return model.IllegalGeneration
	}
	if state == CompletingRebalance {
		return model.RebalanceInProgress // the member has the new generation, but what it held may be another's by now
	}
	m.touch(mb)
	return model.None
}

func (m *Machine) commit(in *OffsetCommit, t *CommitTopic, p *CommitPartition) model.ErrorCode {
	if utf16Len(p.Metadata) > m.opts.OffsetMetadataMaxSize || len(p.Metadata) > maxString {
		return model.OffsetMetadataTooLarge
	}
	if len(t.Name) > maxString {
		return model.InvalidTopicException
	}
	o := offset{
		offset: p.Offset, metadata: p.Metadata, commitMs: m.nowMs(), expireMs: -1, topicID: t.TopicID, leaderEpoch: max(p.LeaderEpoch, -1),
	}
	if in.RetentionMs >= 0 {
		o.expireMs = addMs(o.commitMs, in.RetentionMs)
	}
	m.write(offsetRecord(in.Group, t.Name, p.Partition, &o, o.commitMs))
	return model.None
}

// addMs adds without passing the end of time.
func addMs(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return 1<<63 - 1
}

// utf16Len counts as Kafka does, which measures strings in UTF-16 units.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		if n++; r > 0xffff && r != utf8.RuneError {
			n++
		}
	}
	return n
}

func (m *Machine) offsetFetch(in *OffsetFetch) {
	g := m.groups[in.Group]
	if g == nil {
		g = &group{}
	}
	if in.Topics == nil {
		m.reply(OffsetFetchReply{Topics: allOffsets(g)})
		return
	}
	r := OffsetFetchReply{Topics: make([]FetchedTopic, len(in.Topics))}
	for i := range in.Topics {
		t := &in.Topics[i]
		parts := make([]FetchedPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			o := g.offset(t.Name, p)
			if o != nil && !o.topicID.IsZero() && !t.TopicID.IsZero() && o.topicID != t.TopicID {
				o = nil // of a topic of the same name that is gone
			}
			parts[j] = fetched(p, o)
		}
		r.Topics[i] = FetchedTopic{Name: t.Name, TopicID: t.TopicID, Partitions: parts}
	}
	m.reply(r)
}

func allOffsets(g *group) []FetchedTopic {
	all := make([]FetchedTopic, 0, len(g.offsets))
	for _, name := range g.topics() {
		ids := g.partitions(name)
		parts := make([]FetchedPartition, len(ids))
		for i, p := range ids {
			parts[i] = fetched(p, g.offset(name, p))
		}
		all = append(all, FetchedTopic{Name: name, Partitions: parts})
	}
	return all
}

func fetched(partition int32, o *offset) FetchedPartition {
	if o == nil {
		return FetchedPartition{Partition: partition, Offset: -1, LeaderEpoch: -1}
	}
	return FetchedPartition{Partition: partition, Offset: o.offset, LeaderEpoch: o.leaderEpoch, Metadata: o.metadata}
}

// offsetDelete removes offsets of topics that no member reads. A group with members that are no consumers may read anything.
func (m *Machine) offsetDelete(in *OffsetDelete) {
	g := m.groups[in.Group]
	switch {
	case in.Group == "":
		m.reply(OffsetDeleteReply{Code: model.InvalidGroupID})
		return
	case g == nil:
		m.reply(OffsetDeleteReply{Code: model.GroupIDNotFound})
		return
	case g.state() != Empty && g.protocolType() != consumerProtocol:
		m.reply(OffsetDeleteReply{Code: model.NonEmptyGroup})
		return
	}
	r := OffsetDeleteReply{Topics: make([]PartitionCodes, len(in.Topics))}
	for i := range in.Topics {
		t := &in.Topics[i]
		code := model.None
		if g.subscribed(t.Name) {
			code = model.GroupSubscribedToTopic
		}
		codes := make([]PartitionCode, len(t.Partitions))
		for j, p := range t.Partitions {
			codes[j] = PartitionCode{Partition: p, Code: code}
			if code == model.None && g.offset(t.Name, p) != nil {
				m.write(offsetTombstone(g.id, t.Name, p, m.nowMs()))
			}
		}
		r.Topics[i] = PartitionCodes{Name: t.Name, Partitions: codes}
	}
	m.reply(r)
}
