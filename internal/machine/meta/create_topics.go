package meta

import (
	"cmp"
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// maxPartitionsPerInput is how many partitions one request may create, as in Kafka.
const maxPartitionsPerInput = 10_000

// CreateTopics creates topics, each for itself. The reply is a CreateTopicsReply with an item for each topic, in order.
type CreateTopics struct {
	Topics       []CreateTopic
	ValidateOnly bool
}

// CreateTopic is one topic to create.
type CreateTopic struct {
	Name string
	// ID is a fresh random id, made by the caller.
	ID model.TopicID
	// Partitions and ReplicationFactor are -1 for the defaults, and when there are Assignments.
	Partitions        int32
	ReplicationFactor int16
	Assignments       []Assignment
	Configs           []ConfigEntry
}

// Assignment gives the replicas of one partition, the preferred leader first.
type Assignment struct {
	Partition int32
	Replicas  []int32
}

// ConfigEntry is one configuration. A nil value is refused.
type ConfigEntry struct {
	Name  string
	Value *string
}

// CreateTopicsReply answers CreateTopics.
type CreateTopicsReply struct{ Topics []CreatedTopic }

// CreatedTopic answers one CreateTopic. The fields after Result are set when Code is None.
type CreatedTopic struct {
	Name string
	Result
	ID                model.TopicID
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string // what was set
}

func (m *Machine) createTopics(recs *records, in CreateTopics) CreateTopicsReply {
	reply := CreateTopicsReply{Topics: make([]CreatedTopic, len(in.Topics))}
	tooMany := m.partitionsOf(in) > maxPartitionsPerInput
	taken := map[string]string{} // names of this input, by their folded form
	for i, t := range in.Topics {
		out := &reply.Topics[i]
		out.Name = t.Name
		if tooMany {
			out.Result = failure(model.PolicyViolation, "one request may create at most %d partitions: split it", maxPartitionsPerInput)
			continue
		}
		var mine records
		out.Result = m.createTopic(&mine, t, out, taken)
		if out.Code != model.None {
			*out = CreatedTopic{Name: t.Name, Result: out.Result}
			continue
		}
		taken[fold(t.Name)] = t.Name
		if !in.ValidateOnly {
			*recs = append(*recs, mine...)
		}
	}
	return reply
}

func (m *Machine) partitionsOf(in CreateTopics) int {
	n := 0
	for _, t := range in.Topics {
		switch {
		case len(t.Assignments) > 0:
			n += len(t.Assignments)
		case t.Partitions == -1:
			n += int(m.opts.DefaultPartitions)
		case t.Partitions > 0:
			n += int(t.Partitions)
		}
	}
	return n
}

func (m *Machine) createTopic(recs *records, t CreateTopic, out *CreatedTopic, taken map[string]string) Result {
	if r := m.checkNewName(t, taken); r.Code != model.None {
		return r
	}
	configs, r := m.newTopicConfigs(t)
	if r.Code != model.None {
		return r
	}
	replicas, r := m.newReplicas(t)
	if r.Code != model.None {
		return r
	}
	recs.add(&record.TopicRecord{Name: t.Name, TopicID: t.ID}, firstVersion)
	recs.setConfigs(Resource{TopicResource, t.Name}, nil, configs)
	for number, list := range replicas {
		recs.add(m.newPartition(t.ID, int32(number), list), m.versions().partition)
	}
	out.ID, out.Partitions, out.ReplicationFactor, out.Configs = t.ID, int32(len(replicas)), int16(len(replicas[0])), configs
	return Result{}
}

func (m *Machine) checkNewName(t CreateTopic, taken map[string]string) Result {
	image := &m.ahead.image
	if err := model.ValidateTopicName(t.Name); err != nil {
		return resultOf(err)
	}
	if t.Name == model.MetadataTopic {
		return failure(model.TopicAuthorizationFailed, "topic '%s' belongs to the cluster itself and cannot be created", t.Name)
	}
	if image.TopicByName(t.Name) != nil || taken[fold(t.Name)] == t.Name {
		return failure(model.TopicAlreadyExists, "topic '%s' already exists", t.Name)
	}
	if other := cmp.Or(image.collision(t.Name), taken[fold(t.Name)]); other != "" {
		return failure(model.InvalidTopicException, "topic '%s' collides with topic '%s': '.' and '_' are the same in the names of metrics", t.Name, other)
	}
	if reserved(t.ID) || image.TopicByID(t.ID) != nil {
		return failure(model.InvalidRequest, "topic '%s' cannot be created with the id %s, which is reserved or taken", t.Name, t.ID)
	}
	return Result{}
}

func (m *Machine) newTopicConfigs(t CreateTopic) (map[string]string, Result) {
	configs := make(map[string]string, len(t.Configs))
	for _, c := range t.Configs {
		if c.Value == nil {
			return nil, failure(model.InvalidConfig, "configuration %s of topic '%s' has no value", c.Name, t.Name)
		}
		configs[c.Name] = *c.Value
	}
	if err := m.opts.ValidateConfig(Resource{TopicResource, t.Name}, configs); err != nil {
		return nil, resultOf(err)
	}
	return configs, Result{}
}

// newReplicas returns the replicas of each partition of a new topic.
func (m *Machine) newReplicas(t CreateTopic) ([][]int32, Result) {
	if len(t.Assignments) > 0 {
		return m.assignedReplicas(t)
	}
	factor, count := t.ReplicationFactor, t.Partitions
	if factor == -1 {
		factor = m.opts.DefaultReplicationFactor
	}
	if count == -1 {
		count = m.opts.DefaultPartitions
	}
	if factor <= 0 {
		return nil, failure(model.InvalidReplicationFactor, "the replication factor of topic '%s' is %d: it must be larger than 0, or -1 for the default", t.Name, factor)
	}
	if count <= 0 {
		return nil, failure(model.InvalidPartitions, "topic '%s' cannot have %d partitions: the number must be larger than 0, or -1 for the default", t.Name, count)
	}
	return place(&m.ahead.image, t.ID, 0, int(count), int(factor))
}

func (m *Machine) assignedReplicas(t CreateTopic) ([][]int32, Result) {
	if t.ReplicationFactor != -1 || t.Partitions != -1 {
		return nil, failure(model.InvalidRequest, "topic '%s': where replicas are chosen, the numbers of partitions and replicas must both be -1", t.Name)
	}
	list := slices.Clone(t.Assignments)
	slices.SortStableFunc(list, func(a, b Assignment) int { return cmp.Compare(a.Partition, b.Partition) })
	out := make([][]int32, 0, len(list))
	for number, a := range list {
		if int(a.Partition) != number {
			return nil, failure(model.InvalidReplicaAssignment, "topic '%s': the partitions with chosen replicas must be 0 to %d, each once", t.Name, len(list)-1)
		}
		if r := checkAssignment(&m.ahead.image, a.Partition, a.Replicas, len(list[0].Replicas)); r.Code != model.None {
			return nil, r
		}
		out = append(out, a.Replicas)
	}
	return out, Result{}
}

// newPartition is the record of a new partition: its active replicas are in sync, the first of them leads.
func (m *Machine) newPartition(id model.TopicID, number int32, replicas []int32) *record.PartitionRecord {
	r := record.NewPartitionRecord()
	r.TopicID, r.PartitionID, r.Replicas = id, number, replicas
	r.LeaderEpoch, r.PartitionEpoch = 0, 0
	for _, broker := range replicas {
		b := m.ahead.image.Broker(broker)
		if b.Active() {
			r.ISR = append(r.ISR, broker)
		}
		directory := UnassignedDirectory
		if len(b.Directories) == 1 {
			directory = b.Directories[0]
		}
		if m.ahead.image.Level() >= directoriesLevel {
			r.Directories = append(r.Directories, directory)
		}
	}
	r.Leader = r.ISR[0]
	return r
}
