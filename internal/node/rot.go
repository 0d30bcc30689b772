package node

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
)

// metadataName is the name of the metadata log as of a partition.
var metadataName = model.TopicPartition{Topic: model.MetadataTopic}

// rotOf is what /health tells of a log's damage.
func rotOf(dir string, name model.TopicPartition, rot []*plog.RotError) []admin.Rot {
	var out []admin.Rot
	for _, r := range rot {
		out = append(out, admin.Rot{Topic: name.Topic, Partition: name.Partition, File: filepath.Join(dir, name.String(), plog.FileName(r.Segment, plog.LogSuffix)), Position: r.Position,
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
	add := func(dir string, name model.TopicPartition, rot []*plog.RotError) {
		var offsets int64
		for _, r := range rot {
			offsets += r.To - r.From
		}
		if offsets > 0 {
			show(float64(offsets), dir, name.Topic, strconv.Itoa(int(name.Partition)))
		}
	}
	for p := range n.partitions.All() {
		add(p.Dir(), p.Name(), p.Log().Rot())
	}
	if m := n.metadata.Load(); m != nil {
		add(n.static.Broker.MetadataLogDir, metadataName, m.rot())
	}
}
