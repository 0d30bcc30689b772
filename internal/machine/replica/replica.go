package replica

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

// NoLeader is the leader id of a partition that nobody leads.
const NoLeader int32 = -1

// Role is what the metadata says of a partition.
type Role struct {
	Leader         int32
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []int32
	Replicas       []int32
}

// Replica is the state of one partition's replication on broker Self.
type Replica struct {
	self          int32
	role          Role
	minInSync     int32
	durable       []int64 // by index into role.ISR; -1 before the first report in this epoch
	highWatermark int64
}

// New returns a replica that leads nothing yet. The high watermark starts where the partition says that everything below is committed.
func New(self int32, highWatermark int64) Replica {
	return Replica{self: self, role: Role{Leader: NoLeader, LeaderEpoch: -1}, minInSync: 1, highWatermark: highWatermark}
}

// Assume takes over a role. A role of an older leader epoch, or an older partition epoch of the same leader epoch, is ignored and reported as false.
func (r *Replica) Assume(role Role) bool {
	old := r.role
	if role.LeaderEpoch < old.LeaderEpoch || role.LeaderEpoch == old.LeaderEpoch && role.PartitionEpoch < old.PartitionEpoch {
		return false
	}
	durable := make([]int64, len(role.ISR))
	for i, id := range role.ISR {
		durable[i] = -1
		if j := slices.Index(old.ISR, id); j >= 0 && role.LeaderEpoch == old.LeaderEpoch {
			durable[i] = r.durable[j]
		}
	}
	r.role, r.durable = role, durable
	return true
}

// Limit sets min.insync.replicas.
func (r *Replica) Limit(minInSync int32) { r.minInSync = minInSync }

// Leads tells whether this broker leads the partition.
func (r *Replica) Leads() bool { return r.role.Leader == r.self }

// Role returns what was assumed last.
func (r *Replica) Role() Role { return r.role }

// HighWatermark returns the offset below which everything is committed.
func (r *Replica) HighWatermark() int64 { return r.highWatermark }

// Admit tells whether a produce with these acks may append now: None, NotLeaderForPartition, or NotEnoughReplicas (which only acks=all asks for).
func (r *Replica) Admit(acks int16) model.ErrorCode {
	switch {
	case !r.Leads():
		return model.NotLeaderForPartition
	case acks == -1 && int32(len(r.role.ISR)) < r.minInSync:
		return model.NotEnoughReplicas
	}
	return model.None
}

// Alone tells whether this broker's own disk is all that the high watermark waits for.
func (r *Replica) Alone() bool { return r.Leads() && len(r.role.ISR) == 1 && r.enough() }

// enough tells whether the in-sync replicas are as many as the high watermark needs to move.
func (r *Replica) enough() bool {
	return int32(len(r.role.ISR)) >= min(r.minInSync, int32(len(r.role.Replicas)))
}

// Durable reports that a replica has everything below end safe, and returns whether the high watermark moved. A report from outside the in-sync replicas
// moves nothing.
func (r *Replica) Durable(replica int32, end int64) bool {
	i := slices.Index(r.role.ISR, replica)
	if i < 0 || !r.Leads() || end <= r.durable[i] {
		return false
	}
	r.durable[i] = end
	return r.advance()
}

func (r *Replica) advance() bool {
	if !r.enough() {
		return false
	}
	committed := slices.Min(r.durable)
	if committed <= r.highWatermark {
		return false
	}
	r.highWatermark = committed
	return true
}

// Truncated lowers the high watermark to the log's new end; only a log that starts anew, or is cut by its leader's word, does that.
func (r *Replica) Truncated(end int64) { r.highWatermark = min(r.highWatermark, end) }
