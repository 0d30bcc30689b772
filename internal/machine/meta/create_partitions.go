package meta

import (
	"github.com/ottla/ottla/internal/kafka/model"
)

// CreatePartitions makes topics larger, each for itself. The reply is a CreatePartitionsReply with an item for each topic, in order.
type CreatePartitions struct {
	Topics       []GrowTopic
	ValidateOnly bool
}

// GrowTopic asks for Count partitions in all. Assignments, when not nil, has the replicas of each new partition.
type GrowTopic struct {
	Name        string
	Count       int32
	Assignments [][]int32
}

// CreatePartitionsReply answers CreatePartitions.
type CreatePartitionsReply struct{ Topics []GrownTopic }

// GrownTopic answers one GrowTopic.
type GrownTopic struct {
	Name string
	Result
}

func (m *Machine) createPartitions(recs *records, in CreatePartitions) CreatePartitionsReply {
	reply := CreatePartitionsReply{Topics: make([]GrownTopic, len(in.Topics))}
	total, seen := 0, map[string]bool{}
	for i, t := range in.Topics {
		out := &reply.Topics[i]
		out.Name = t.Name
		if seen[t.Name] {
			out.Result = failure(model.InvalidRequest, "topic '%s' is named more than once", t.Name)
			continue
		}
		seen[t.Name] = true
		var mine records
		out.Result = m.growTopic(&mine, t, maxPartitionsPerInput-total)
		if out.Code != model.None {
			continue
		}
		total += len(mine)
		if !in.ValidateOnly {
			*recs = append(*recs, mine...)
		}
	}
	return reply
}

func (m *Machine) growTopic(recs *records, t GrowTopic, room int) Result {
	topic := m.ahead.image.TopicByName(t.Name)
	if topic == nil {
		return failure(model.UnknownTopicOrPartition, "there is no topic '%s'", t.Name)
	}
	have := len(topic.Partitions)
	more := int(t.Count) - have
	switch {
	case more == 0:
		return failure(model.InvalidPartitions, "topic '%s' already has %d %s", t.Name, have, plural(have, "partition", "partitions"))
	case more < 0:
		return failure(model.InvalidPartitions, "topic '%s' has %d %s, so %d would not be an increase", t.Name, have, plural(have, "partition", "partitions"), t.Count)
	case more > room:
		return failure(model.PolicyViolation, "one request may create at most %d partitions: split it", maxPartitionsPerInput)
	}
	replicas, r := m.moreReplicas(topic, t, more)
	if r.Code != model.None {
		return r
	}
	for i, list := range replicas {
		recs.add(m.newPartition(topic.ID, int32(have+i), list), m.versions().partition)
	}
	return Result{}
}

func (m *Machine) moreReplicas(topic *Topic, t GrowTopic, more int) ([][]int32, Result) {
	have, factor := len(topic.Partitions), topic.ReplicationFactor()
	if t.Assignments == nil {
		return place(&m.ahead.image, topic.ID, have, more, factor)
	}
	if len(t.Assignments) != more {
		return nil, failure(model.InvalidReplicaAssignment, "topic '%s' gets %d new %s, but replicas were chosen for %d", t.Name, more, plural(more, "partition", "partitions"), len(t.Assignments))
	}
	for i, list := range t.Assignments {
		if r := checkAssignment(&m.ahead.image, int32(have+i), list, factor); r.Code != model.None {
			return nil, r
		}
	}
	return t.Assignments, Result{}
}
