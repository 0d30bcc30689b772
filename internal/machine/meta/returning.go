package meta

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// returning is what has to change in the partitions of a broker that came back, or goes.
//
// An unclean shutdown may have lost the end of a log: records that a follower or a reader of unsynced data could have seen. If the broker led on in the
// same epoch, it would give their offsets to other records, and nobody could tell the two apart. So it leads again only in a higher epoch.
type returning struct {
	clean       bool
	fenced      bool            // the broker may not lead afterwards
	directories []model.TopicID // those of the broker that work: it may not lead what lives in another
	partitions  []partitionRef
	done, step  int
}

type partitionRef struct {
	topic  model.TopicID
	number int32
}

func (r *returning) finished() bool { return r.done == len(r.partitions) }

// collect lists the partitions that have to change.
func (r *returning) collect(image *Image, broker int32) {
	r.partitions = r.partitions[:0]
	for t := range image.Topics() {
		for number := range t.Partitions {
			if _, ok := r.changeOf(image, &t.Partitions[number], broker); ok {
				r.partitions = append(r.partitions, partitionRef{t.ID, int32(number)})
			}
		}
	}
}

// change writes the next changes, at most limit of them.
func (r *returning) change(recs *records, image *Image, broker int32, limit int) {
	r.step = min(limit, len(r.partitions)-r.done)
	for _, ref := range r.partitions[r.done : r.done+r.step] {
		t := image.TopicByID(ref.topic)
		if t == nil {
			continue // deleted meanwhile
		}
		if c, ok := r.changeOf(image, &t.Partitions[ref.number], broker); ok {
			c.TopicID, c.PartitionID = ref.topic, ref.number
			recs.add(c, versionsAt(image.Level()).partitionChange)
		}
	}
	r.done += r.step
}

// changeOf decides about one partition; ok is false when it stays as it is.
func (r *returning) changeOf(image *Image, p *Partition, broker int32) (c *record.PartitionChangeRecord, ok bool) {
	gone := r.fenced || !online(p.Directory(broker), r.directories)
	if r.clean && !gone || p.Leader != broker && !slices.Contains(p.ISR, broker) {
		return nil, false
	}
	c = record.NewPartitionChangeRecord()
	successor := r.successor(image, p, broker)
	others := slices.DeleteFunc(slices.Clone(p.ISR), func(id int32) bool { return id == broker })
	switch {
	case p.Leader != broker:
	case successor != NoLeader || gone:
		c.Leader = successor
	default:
		c.Leader = broker // nobody else could: it leads on, in a new epoch
	}
	if len(others) > 0 && len(others) < len(p.ISR) && (p.Leader != broker || c.Leader != broker) {
		c.ISR = others
	}
	return c, c.Leader != leaderUnchanged || c.ISR != nil
}

// successor is the in-sync replica that would lead instead of the broker, in the order of preference.
func (r *returning) successor(image *Image, p *Partition, broker int32) int32 {
	for _, id := range p.Replicas {
		if b := image.Broker(id); id != broker && b != nil && b.Active() && b.hasOnline(p.Directory(id)) && slices.Contains(p.ISR, id) {
			return id
		}
	}
	return NoLeader
}

// electable tells whether the broker may lead a partition that has no leader: it is in sync, or nobody is and it was when the last replica went (KIP-966), or nobody else has
// the partition; and the directory of its replica works.
func electable(p *Partition, b *Broker) bool {
	if !b.hasOnline(p.Directory(b.ID)) {
		return false
	}
	if len(p.ISR) > 0 {
		return slices.Contains(p.ISR, b.ID)
	}
	if slices.Contains(p.EligibleLeaderReplicas, b.ID) || len(p.Replicas) == 1 && p.Replicas[0] == b.ID {
		return true
	}
	return len(p.EligibleLeaderReplicas) == 0 && len(p.LastKnownELR) == 1 && p.LastKnownELR[0] == b.ID
}

// elected makes the broker the leader in a change of a partition.
func elected(c *record.PartitionChangeRecord, p *Partition, broker int32) {
	c.Leader = broker
	if len(p.ISR) == 0 {
		c.ISR = []int32{broker}
	}
	if slices.Contains(p.EligibleLeaderReplicas, broker) {
		c.EligibleLeaderReplicas = slices.DeleteFunc(slices.Clone(p.EligibleLeaderReplicas), func(id int32) bool { return id == broker })
	}
	if len(p.LastKnownELR) > 0 {
		c.LastKnownELR = []int32{}
	}
}

// elect makes the broker lead the partitions that have no leader and may have it as one. It tells whether some are left for the next input.
func (m *Machine) elect(recs *records, b *Broker) (again bool) {
	n := 0
	for t := range m.ahead.image.Topics() {
		for number := range t.Partitions {
			p := &t.Partitions[number]
			if p.Leader != NoLeader || !electable(p, b) {
				continue
			}
			if n++; n > m.opts.MaxChangesPerInput {
				return true
			}
			c := record.NewPartitionChangeRecord()
			c.TopicID, c.PartitionID = t.ID, int32(number)
			elected(c, p, b.ID)
			recs.add(c, m.versions().partitionChange)
		}
	}
	return false
}
