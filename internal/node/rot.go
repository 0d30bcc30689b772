package node

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
)

// rotOf is what /health tells of a partition's damage.
func rotOf(p *partition.Partition) []admin.Rot {
	var out []admin.Rot
	for _, r := range p.Log().Rot() {
		name := p.Name()
		out = append(out, admin.Rot{Topic: name.Topic, Partition: name.Partition, File: filepath.Join(p.Dir(), name.String(), plog.FileName(r.Segment, plog.LogSuffix)), Position: r.Position,
			FirstOffset: r.From, LastOffset: r.To - 1, Reason: r.Detail})
	}
	return out
}

// scrubbed fills in what the directory's scrubber knows, and returns the sentences about damage in the directory.
func (n *Node) scrubbed(d *dir.Dir, out *admin.Directory) []string {
	var problems []string
	for i, r := range out.Rot {
		if i == 20 {
			problems = append(problems, fmt.Sprintf("log directory %s has %d more damaged ranges", d.Path(), len(out.Rot)-i))
			break
		}
		problems = append(problems, fmt.Sprintf("partition %s-%d is damaged: offsets %d to %d of %s cannot be read (%s): restore them from a replica or a backup, or give them up with `ottla log repair`",
			r.Topic, r.Partition, r.FirstOffset, r.LastOffset, r.File, r.Reason))
	}
	all := n.scrubbers.Load()
	if all == nil {
		return problems
	}
	for _, s := range *all {
		if s.dir != d {
			continue
		}
		s.mu.Lock()
		if ms := s.mu.state.CompletedMs; ms > 0 {
			out.LastScrub = new(time.UnixMilli(ms).UTC())
		}
		if len(s.mu.unreadable) > 0 {
			problems = append(problems, fmt.Sprintf("log directory %s has %d segments that its disk cannot read: replace the disk", d.Path(), len(s.mu.unreadable)))
		}
		s.mu.Unlock()
	}
	return problems
}

// rottenOffsets shows how many offsets of each damaged partition cannot be read.
func (n *Node) rottenOffsets(show func(value float64, labels ...string)) {
	for p := range n.partitions.All() {
		var offsets int64
		for _, r := range p.Log().Rot() {
			offsets += r.To - r.From
		}
		if offsets > 0 {
			name := p.Name()
			show(float64(offsets), p.Dir(), name.Topic, strconv.Itoa(int(name.Partition)))
		}
	}
}
