package node

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/machine/replica"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
)

// publish takes over a committed image (I3, I4). It runs on the controller's shard, before the replies of those who changed the metadata are released.
func (n *Node) publish(image *meta.Image, delta *meta.Delta) {
	self := image.Broker(n.static.Broker.NodeID)
	active := self != nil && self.IncarnationID == n.incarnation && self.Active()
	n.mu.Lock()
	first := active && !n.mu.active
	n.mu.active = active
	n.mu.Unlock()
	if delta.Full || n.configsChanged(delta) {
		n.resolve(image)
	}
	if active {
		if first {
			delta = meta.Changes(nil, image)
		}
		for _, t := range delta.Deleted {
			n.dropTopic(t)
		}
		for _, t := range delta.Created {
			n.applyTopic(image, t)
		}
		for _, t := range delta.Changed {
			n.applyTopic(image, t)
		}
		n.reconfigure(image, delta)
	}
	n.image.Store(image)
	n.snapshots.published()
}

func (n *Node) configsChanged(delta *meta.Delta) bool {
	for _, r := range delta.Configs {
		if r.Type == meta.BrokerResource {
			return true
		}
	}
	return false
}

// reconfigure puts changed configs into force: those of a topic on its partitions, those of the broker on all of them.
func (n *Node) reconfigure(image *meta.Image, delta *meta.Delta) {
	all := n.configsChanged(delta)
	if all && n.server != nil {
		n.server.SetLimits(n.limits())
	}
	for _, r := range delta.Configs {
		if r.Type == meta.TopicResource && !all {
			n.reconfigureTopic(image, n.partitions.Topic(r.Name))
		}
	}
	if all {
		for _, t := range n.partitions.Topics() {
			n.reconfigureTopic(image, t)
		}
	}
}

func (n *Node) reconfigureTopic(image *meta.Image, t *partition.Topic) {
	if t == nil {
		return
	}
	settings := n.topicSettings(image, t.Name)
	for _, p := range t.Partitions {
		if p != nil {
			p.Configure(settings)
		}
	}
}

// topicSettings makes a topic's settings from its overrides and what is in force on the broker.
func (n *Node) topicSettings(image *meta.Image, topic string) *partition.Settings {
	dynamic := n.dynamic.Load()
	c, err := dynamic.TopicWith(image.Config(meta.TopicResource, topic))
	if err != nil {
		n.log.Warn("stored topic settings are skipped", "topic", topic, "error", err)
	}
	return settingsOf(c, dynamic)
}

// settingsOf translates a topic's configuration for partition and log.
func settingsOf(c *config.Topic, dynamic *config.Dynamic) *partition.Settings {
	log := plog.DefaultConfig()
	log.SegmentBytes, log.SegmentMs, log.SegmentJitterMs = c.SegmentBytes, c.SegmentMs, c.SegmentJitterMs
	log.SegmentIndexBytes, log.IndexIntervalBytes = int(c.SegmentIndexBytes), int(c.IndexIntervalBytes)
	log.FlushMessages, log.FlushMs, log.FileDeleteDelayMs = c.FlushMessages, c.FlushMs, c.FileDeleteDelayMs
	log.RetentionMs, log.RetentionBytes = c.RetentionMs, c.RetentionBytes
	log.ProducerExpirationMs = dynamic.ProducerIDExpiration.Milliseconds()
	log.CleanupDelete, log.CleanupCompact = c.Delete, c.Compact
	log.MinCleanableRatio, log.MinCompactionLagMs, log.MaxCompactionLagMs, log.DeleteRetentionMs = c.MinCleanableRatio, c.MinCompactionLagMs, c.MaxCompactionLagMs, c.DeleteRetentionMs
	if c.Compact { // the active segment is never compacted, so it must end in time
		log.SegmentMs = min(log.SegmentMs, c.MaxCompactionLagMs)
	}
	out := &partition.Settings{
		Rules: batch.Rules{
			TimestampBeforeMs: c.TimestampBeforeMaxMs, TimestampAfterMs: c.TimestampAfterMaxMs, NeedKeys: c.Compact,
			MaxBytes: c.MaxMessageBytes, MaxRecordBytes: c.MaxUnpackedBytes,
		},
		MinInSync: int32(c.MinInsyncReplicas), CompactOnly: c.Compact && !c.Delete, Log: log,
	}
	if c.LogAppendTime {
		out.Rules.TimestampType = batch.LogAppendTime
	}
	if c.Durability == config.Cache {
		out.Cache, log.Durability = true, plog.Cache
	}
	if c.Compression != config.CompressionProducer {
		out.Rules.Recompress, out.Rules.Codec = true, batch.Codec(c.Compression)
		switch out.Rules.Codec {
		case batch.Gzip:
			out.Rules.Level = c.GzipLevel
		case batch.LZ4:
			out.Rules.Level = c.Lz4Level
		case batch.Zstd:
			out.Rules.Level = c.ZstdLevel
		}
	}
	return out
}

// dirFor chooses the directory of a partition's log: the one that the metadata names, unless the log was moved to another one by hand; the one that has it; or the emptiest.
// What stands for a directory that does not work, or is not there, is offline.
func (n *Node) dirFor(topic *meta.Topic, index int32) *dir.Dir {
	id := topic.Partition(index).Directory(n.static.Broker.NodeID)
	name := model.TopicPartition{Topic: topic.Name, Partition: index}.String()
	n.mu.Lock()
	places := n.mu.places[name]
	n.mu.Unlock()
	for _, d := range n.dirs {
		if d.ID() != id || id.IsZero() {
			continue
		}
		if len(places) == 0 || d.Err() != nil || slices.Contains(places, d) {
			return d
		}
		n.log.Warn("a log is not in the directory that the metadata names, but in another one: it was moved, and is used from there", "log", name, "dir", places[0].Path())
	}
	if len(places) > 0 {
		return places[0]
	}
	if assigned := !id.IsZero() && id != meta.UnassignedDirectory; assigned && n.dirByID(id) == nil || !assigned && n.recovering.Load() && n.anyUnavailable() {
		return n.missingDir(id)
	}
	return n.newPlace(name)
}

// newPlace chooses the directory of a log that is nowhere yet: one that works, and of those the emptiest.
func (n *Node) newPlace(name string) *dir.Dir {
	n.mu.Lock()
	defer n.mu.Unlock()
	var best *dir.Dir
	worse := func(a, b *dir.Dir) bool { // a directory that hangs or is full takes what it must
		for _, bad := range []func(*dir.Dir) bool{func(d *dir.Dir) bool { return d.Err() != nil }, (*dir.Dir).Hung, func(d *dir.Dir) bool { return d.Full(n.clock()) }} {
			if bad(a) != bad(b) {
				return bad(a)
			}
		}
		return n.mu.counts[a] > n.mu.counts[b]
	}
	for _, d := range n.dirs {
		if best == nil || worse(best, d) {
			best = d
		}
	}
	n.mu.places[name] = []*dir.Dir{best}
	n.mu.counts[best]++
	return best
}

func (n *Node) dirByID(id model.TopicID) *dir.Dir {
	for _, d := range n.dirs {
		if d.ID() == id {
			return d
		}
	}
	return nil
}

// anyUnavailable tells whether a directory could not be opened when the node started, so that nobody knows what is in it.
func (n *Node) anyUnavailable() bool {
	return slices.ContainsFunc(n.dirs, func(d *dir.Dir) bool { return d.Err() != nil })
}

// locate notes where logs were found.
func (n *Node) locate() {
	n.mu.places, n.mu.counts = map[string][]*dir.Dir{}, map[*dir.Dir]int{}
	for _, d := range n.dirs {
		for _, name := range d.Names() {
			n.mu.places[name] = append(n.mu.places[name], d)
			n.mu.counts[d]++
		}
	}
}

// openLog opens one log of this broker. A log of an earlier topic of the same name is put aside first. A log of a directory that does not work is one that is offline; a disk
// that does not let it be opened fails with its directory.
func (n *Node) openLog(topic *meta.Topic, index int32, settings *partition.Settings) (openedLog, error) {
	d := n.dirFor(topic, index)
	name := model.TopicPartition{Topic: topic.Name, Partition: index}.String()
	if err := d.Err(); err != nil {
		return openedLog{plog.Unavailable(d, name, topic.ID, settings.Log, err), d}, nil
	}
	log, err := plog.Open(d, name, topic.ID, settings.Log)
	if other, ok := errors.AsType[*plog.IdentityError](err); ok {
		n.log.Warn("a log of a deleted topic of the same name is put aside", "log", name, "topic_id", other.Have)
		if err = n.putAside(d, name); err == nil {
			log, err = plog.Open(d, name, topic.ID, settings.Log)
		}
	}
	if err != nil && diskFailure(err) && d.Path() != n.static.Broker.MetadataLogDir {
		d.Offline(fmt.Errorf("open log %s: %w", name, err))
	}
	if failed := d.Err(); err != nil && failed != nil {
		return openedLog{plog.Unavailable(d, name, topic.ID, settings.Log, failed), d}, nil
	}
	if err != nil {
		return openedLog{}, fmt.Errorf("open log %s in %s: %w", name, d.Path(), err)
	}
	return openedLog{log, d}, nil
}

// openedLog is a log with its directory.
type openedLog struct {
	*plog.Log
	dir *dir.Dir
}

// putAside renames a log's directory that belongs to no topic, as Kafka does; its records are kept for a person to look at.
func (n *Node) putAside(d *dir.Dir, name string) error {
	d.Adopt(name)
	id := uuid.New()
	suffix := "." + hex.EncodeToString(id[:]) + "-stray"
	aside := name[:min(len(name), 255-len(suffix))] + suffix
	if err := n.fs.Rename(filepath.Join(d.Path(), name), filepath.Join(d.Path(), aside)); err != nil {
		return fmt.Errorf("put aside the stray log %s: %w", name, err)
	}
	return n.fs.SyncDir(d.Path())
}

// removeStrays puts aside every log that no topic of the metadata has: its topic was deleted while the node died.
func (n *Node) removeStrays(known map[string]bool) error {
	for _, d := range n.dirs {
		for _, name := range d.Names() {
			if known[name] {
				if name != metadataPartition {
					n.log.Warn("a second log of a partition is not used", "dir", d.Path(), "log", name)
				}
				continue
			}
			n.log.Warn("a log belongs to no topic and is put aside", "dir", d.Path(), "log", name)
			if err := n.putAside(d, name); err != nil {
				if !diskFailure(err) || d == n.metadataDir() {
					return err
				}
				d.Offline(err)
				break
			}
		}
	}
	return nil
}

// applyTopic opens what this broker has of a topic and hands the roles over. A topic whose name a deleted one still occupies on disk follows when that is gone.
func (n *Node) applyTopic(image *meta.Image, t *meta.Topic) {
	if wait := n.occupied(t); wait != nil {
		n.running.Go(func() {
			<-wait
			if image := n.image.Load(); n.ctx.Err() == nil && image.TopicByID(t.ID) != nil {
				n.applyTopic(image, image.TopicByID(t.ID))
			}
		})
		return
	}
	n.apply.Lock()
	defer n.apply.Unlock()
	settings := n.topicSettings(image, t.Name)
	old := n.partitions.TopicByID(t.ID)
	now := &partition.Topic{Name: t.Name, ID: t.ID, Partitions: make([]*partition.Partition, len(t.Partitions))}
	for i := range t.Partitions {
		p := old.Partition(int32(i))
		if p == nil {
			p = n.openPartition(t, int32(i), settings)
		}
		if p == nil {
			continue
		}
		now.Partitions[i] = p
	}
	n.partitions.Put(now)
	for i, p := range now.Partitions {
		if p == nil {
			continue
		}
		m := &t.Partitions[i]
		p.Assume(replica.Role{Leader: m.Leader, LeaderEpoch: m.LeaderEpoch, PartitionEpoch: m.PartitionEpoch, ISR: m.ISR, Replicas: m.Replicas})
		if t.Name == model.ConsumerOffsetsTopic {
			n.coordinate(p, m.Leader == n.static.Broker.NodeID)
		}
	}
}

func (n *Node) openPartition(t *meta.Topic, index int32, settings *partition.Settings) *partition.Partition {
	n.mu.Lock()
	log, found := n.mu.open[t.ID][index]
	if found {
		delete(n.mu.open[t.ID], index)
	}
	n.mu.Unlock()
	if !found {
		var err error
		if log, err = n.openLog(t, index, settings); err != nil {
			n.log.Error("a partition is offline", "topic", t.Name, "partition", index, "error", err)
			return nil
		}
	}
	n.tellPlace(t, index, log.dir)
	return partition.New(partition.Options{
		Topic: t.Name, ID: t.ID, Index: index, Self: n.static.Broker.NodeID, Dir: log.dir.Path(), Log: log.Log, Settings: settings, Clock: n.clock, Flush: n.flushes.within,
	})
}

// tellPlace has the metadata learn where a log is, when it says otherwise.
func (n *Node) tellPlace(t *meta.Topic, index int32, d *dir.Dir) {
	told, id := t.Partition(index).Directory(n.static.Broker.NodeID), d.ID()
	if id == meta.UnassignedDirectory {
		id = meta.LostDirectory // nobody knows where it is, but not in a directory that works
	}
	if id != told && !id.IsZero() {
		n.placed.add(meta.ReplicaDirectory{Topic: t.ID, Partition: index, Directory: id})
	}
}

// occupied returns what to wait for while a deleted topic of the same name is still on disk, or nil.
func (n *Node) occupied(t *meta.Topic) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range t.Partitions {
		if gone := n.mu.deleting[t.Name+"-"+strconv.Itoa(i)]; gone != nil {
			return gone
		}
	}
	return nil
}

// dropTopic ends a deleted topic here: producers and consumers hear of it at once, the files follow.
func (n *Node) dropTopic(t *meta.Topic) {
	n.apply.Lock()
	topic := n.partitions.Remove(t.ID)
	n.apply.Unlock()
	if t.Name == model.ConsumerOffsetsTopic {
		n.endCoordinators()
	} else {
		n.forgetOffsets(t)
	}
	if topic == nil {
		return
	}
	for _, p := range topic.Partitions {
		if p != nil {
			n.dropPartition(p)
		}
	}
}

func (n *Node) dropPartition(p *partition.Partition) {
	p.Close(model.UnknownTopicOrPartition)
	name := p.Name().String()
	gone := make(chan struct{})
	n.mu.Lock()
	n.mu.deleting[name] = gone
	n.mu.Unlock()
	n.running.Go(func() {
		if err := p.Log().Delete(); err != nil {
			n.log.Error("a deleted topic's log could not be removed: it is put aside at the next start", "log", name, "error", err)
		}
		n.mu.Lock()
		delete(n.mu.deleting, name)
		for _, d := range n.mu.places[name] {
			n.mu.counts[d]--
		}
		delete(n.mu.places, name)
		n.mu.Unlock()
		close(gone)
	})
}
