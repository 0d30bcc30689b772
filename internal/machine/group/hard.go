package group

import (
	"bytes"
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

// metadata is a group as its last metadata record says: hard state.
type metadata struct {
	protocolType string
	generation   int32
	protocol     *string
	leader       *string
	sinceMs      int64 // when the group entered the state in which the record was written; -1 in records of old
	members      []storedMember
}

// storedMember is a member of a stored generation.
type storedMember struct {
	id           string
	instance     *string
	clientID     string
	clientHost   string
	rebalanceMs  int32
	sessionMs    int32
	subscription []byte
	assignment   []byte
}

// offset is a committed offset: hard state.
type offset struct {
	offset      int64
	metadata    string
	commitMs    int64
	expireMs    int64 // -1 unless the commit asked for a retention of its own
	topicID     model.TopicID
	leaderEpoch int32
}

// group is everything known of one group. It exists while it has metadata, offsets or a live side.
type group struct {
	id       string
	metadata *metadata                    // nil for a group that only committed offsets
	offsets  map[string]map[int32]*offset // by topic and partition, without empty maps
	live     *live                        // soft; nil while the group is Empty and nobody is about to join
}

func (g *group) offset(topic string, partition int32) *offset {
	return g.offsets[topic][partition]
}

func (g *group) setOffset(topic []byte, partition int32, o *offset) (added bool) {
	of := g.offsets[string(topic)]
	if of == nil {
		if g.offsets == nil {
			g.offsets = map[string]map[int32]*offset{}
		}
		of = map[int32]*offset{}
		g.offsets[string(topic)] = of
	}
	_, had := of[partition]
	of[partition] = o
	return !had
}

func (g *group) dropOffset(topic []byte, partition int32) (dropped bool) {
	of := g.offsets[string(topic)]
	if _, had := of[partition]; !had {
		return false
	}
	delete(of, partition)
	if len(of) == 0 {
		delete(g.offsets, string(topic))
	}
	return true
}

// topics gives the topics with committed offsets, in order (I6).
func (g *group) topics() []string {
	names := make([]string, 0, len(g.offsets))
	for name := range g.offsets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// partitions gives the partitions of a topic with committed offsets, in order (I6).
func (g *group) partitions(topic string) []int32 {
	of := g.offsets[topic]
	ids := make([]int32, 0, len(of))
	for id := range of {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// state is the live state; a group without a live side is Empty.
func (g *group) state() State {
	if g.live == nil {
		return Empty
	}
	return g.live.state
}

func (g *group) protocolType() string {
	switch {
	case g.live != nil:
		return g.live.protocolType
	case g.metadata != nil:
		return g.metadata.protocolType
	default:
		return ""
	}
}

// sinceMs is when the group entered its state; -1 when that was never written down.
func (g *group) sinceMs() int64 {
	switch {
	case g.live != nil:
		return g.live.sinceMs
	case g.metadata != nil:
		return g.metadata.sinceMs
	default:
		return -1
	}
}

// subscribed tells whether members read the topic, as far as the coordinator can know: subscriptions of the consumer protocol are read when a generation is
// formed, and where that fails a group of consumers counts as subscribed to everything.
func (g *group) subscribed(topic string) bool {
	if g.live == nil || g.live.protocolType != consumerProtocol {
		return false
	}
	if g.live.topics == nil {
		return true
	}
	return g.live.topics[topic]
}

// member finds a live member and says why it is none: a static member must hold its instance id.
func (g *group) member(id string, instance *string) (*member, model.ErrorCode) {
	if g.live == nil {
		return nil, model.UnknownMemberID
	}
	if instance != nil {
		switch holder := g.live.static[*instance]; {
		case holder == nil:
			return nil, model.UnknownMemberID
		case holder.id != id:
			return nil, model.FencedInstanceID
		}
	}
	if m := g.live.byID[id]; m != nil {
		return m, model.None
	}
	return nil, model.UnknownMemberID
}

// share lets the live members use the bytes of the stored ones where they are equal, so that they are kept once.
func (g *group) share() {
	if g.live == nil || g.metadata == nil {
		return
	}
	for i := range g.metadata.members {
		s := &g.metadata.members[i]
		m := g.live.byID[s.id]
		if m == nil {
			continue
		}
		if bytes.Equal(m.assignment, s.assignment) {
			m.assignment = s.assignment
		}
		for p := range m.protocols {
			if bytes.Equal(m.protocols[p].Metadata, s.subscription) {
				m.protocols[p].Metadata = s.subscription
			}
		}
	}
}
