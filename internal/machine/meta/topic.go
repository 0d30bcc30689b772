package meta

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

// NoLeader is the leader of a partition that has none.
const NoLeader int32 = -1

// UnassignedDirectory is the reserved directory id of a replica whose broker has not said yet in which of several log directories it lives.
var UnassignedDirectory = model.TopicID{15: 1}

// Topic is one topic of an image. It must not be modified.
type Topic struct {
	Name       string
	ID         model.TopicID
	Internal   bool
	Partitions []Partition // the index is the partition's number
}

// Partition is one partition of an image. Slices may be shared between partitions and must not be modified.
type Partition struct {
	Replicas    []int32 // the preferred leader first
	ISR         []int32
	Directories []model.TopicID // of each replica, in the order of Replicas

	RemovingReplicas       []int32
	AddingReplicas         []int32
	EligibleLeaderReplicas []int32
	LastKnownELR           []int32

	Leader              int32
	LeaderEpoch         int32
	PartitionEpoch      int32
	LeaderRecoveryState int8
}

// Partition returns the partition with the number, or nil.
func (t *Topic) Partition(number int32) *Partition {
	if number < 0 || int(number) >= len(t.Partitions) {
		return nil
	}
	return &t.Partitions[number]
}

// ReplicationFactor is the number of replicas of the first partition.
func (t *Topic) ReplicationFactor() int {
	if len(t.Partitions) == 0 {
		return 0
	}
	return len(t.Partitions[0].Replicas)
}

// Directory returns the log directory of the partition's replica on the broker; the zero id when it has none there.
func (p *Partition) Directory(broker int32) model.TopicID {
	if i := slices.Index(p.Replicas, broker); i >= 0 && i < len(p.Directories) {
		return p.Directories[i]
	}
	return model.TopicID{}
}

// equal compares by value: two images may hold equal topics of their own.
func (t *Topic) equal(o *Topic) bool {
	return t == o || t.Name == o.Name && t.ID == o.ID && slices.EqualFunc(t.Partitions, o.Partitions, Partition.equal)
}

func (p Partition) equal(o Partition) bool {
	return p.Leader == o.Leader && p.LeaderEpoch == o.LeaderEpoch && p.PartitionEpoch == o.PartitionEpoch && p.LeaderRecoveryState == o.LeaderRecoveryState &&
		slices.Equal(p.Replicas, o.Replicas) && slices.Equal(p.ISR, o.ISR) && slices.Equal(p.Directories, o.Directories) &&
		slices.Equal(p.RemovingReplicas, o.RemovingReplicas) && slices.Equal(p.AddingReplicas, o.AddingReplicas) &&
		slices.Equal(p.EligibleLeaderReplicas, o.EligibleLeaderReplicas) && slices.Equal(p.LastKnownELR, o.LastKnownELR)
}
