package meta

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// MigratingDirectory and LostDirectory are reserved directory ids beside UnassignedDirectory: of a replica from before there were such ids, and of one whose directory failed
// before its broker could say which it was.
var (
	MigratingDirectory = model.TopicID{}
	LostDirectory      = model.TopicID{15: 2}
)

// AssignReplicas tells in which log directories of a broker replicas live, as Kafka's AssignReplicasToDirs does (KIP-858). The reply is an AssignReplicasReply with an item
// for each replica, in order.
type AssignReplicas struct {
	ID       int32
	Epoch    int64
	Replicas []ReplicaDirectory
}

// ReplicaDirectory is one replica and the directory that has it.
type ReplicaDirectory struct {
	Topic     model.TopicID
	Partition int32
	Directory model.TopicID
}

// AssignReplicasReply answers AssignReplicas.
type AssignReplicasReply struct {
	Result
	Replicas []Result
}

func (m *Machine) assignReplicas(recs *records, in AssignReplicas) AssignReplicasReply {
	b, r := m.checkEpoch(in.ID, in.Epoch)
	if b == nil {
		return AssignReplicasReply{Result: r}
	}
	reply := AssignReplicasReply{Replicas: make([]Result, len(in.Replicas))}
	if m.ahead.image.Level() < directoriesLevel { // the metadata has no place for it
		return reply
	}
	for i, x := range in.Replicas {
		reply.Replicas[i] = m.assignReplica(recs, b, x)
	}
	return reply
}

func (m *Machine) assignReplica(recs *records, b *Broker, x ReplicaDirectory) Result {
	t := m.ahead.image.TopicByID(x.Topic)
	if t == nil {
		return failure(model.UnknownTopicID, "there is no topic with the id %s", x.Topic)
	}
	p := t.Partition(x.Partition)
	if p == nil {
		return failure(model.UnknownTopicOrPartition, "topic '%s' has no partition %d", t.Name, x.Partition)
	}
	at := slices.Index(p.Replicas, b.ID)
	if at < 0 {
		return failure(model.NotLeaderForPartition, "broker %d has no replica of partition %d of topic '%s'", b.ID, x.Partition, t.Name)
	}
	if p.Directory(b.ID) == x.Directory {
		return Result{}
	}
	directories := make([]model.TopicID, len(p.Replicas))
	copy(directories, p.Directories)
	directories[at] = x.Directory
	after := *p
	after.Directories = directories
	c := record.NewPartitionChangeRecord()
	switch {
	case !b.hasOnline(x.Directory):
		out := &returning{clean: true, directories: b.Directories}
		if change, ok := out.changeOf(&m.ahead.image, &after, b.ID); ok {
			c = change
		}
	case p.Leader == NoLeader && b.Active() && electable(&after, b):
		elected(c, &after, b.ID)
	}
	c.TopicID, c.PartitionID, c.Directories = t.ID, x.Partition, directories
	recs.add(c, m.versions().partitionChange)
	return Result{}
}

// FailDirectories tells that log directories of a running broker failed: it is registered without them from now on, and leads nothing that lives there. A broker
// without any directory left is fenced. The reply is a BrokerReply.
type FailDirectories struct {
	ID          int32
	Epoch       int64
	Directories []model.TopicID
}

func (m *Machine) failDirectories(recs *records, in FailDirectories) BrokerReply {
	b, r := m.checkEpoch(in.ID, in.Epoch)
	if b == nil {
		return BrokerReply{Result: r}
	}
	if m.ahead.image.Level() < directoriesLevel { // nobody knows what lives there
		return BrokerReply{Epoch: b.Epoch, Fenced: b.Fenced}
	}
	left := slices.DeleteFunc(slices.Clone(b.Directories), func(d model.TopicID) bool { return slices.Contains(in.Directories, d) })
	if len(left) == 0 {
		return m.fenceBroker(recs, FenceBroker{ID: in.ID, Epoch: in.Epoch})
	}
	out := &returning{clean: true, fenced: b.Fenced, directories: left}
	out.collect(&m.ahead.image, in.ID)
	out.change(recs, &m.ahead.image, in.ID, m.opts.MaxChangesPerInput)
	if len(left) < len(b.Directories) {
		recs.add(&record.BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, LogDirs: left}, directoryChangeVersion)
	}
	return BrokerReply{Epoch: b.Epoch, Fenced: b.Fenced, Again: !out.finished()}
}

// hasOnline tells whether a replica in the directory can be served.
func (b *Broker) hasOnline(directory model.TopicID) bool { return online(directory, b.Directories) }

func online(directory model.TopicID, directories []model.TopicID) bool {
	switch directory {
	case UnassignedDirectory, MigratingDirectory:
		return true
	case LostDirectory:
		return false
	}
	return len(directories) == 0 || slices.Contains(directories, directory)
}
