package meta

import (
	"iter"
	"maps"
	"slices"

	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// Records gives the records of a snapshot: applied to an empty image they make one that is equal to this, but for its position. They come in the order of Kafka's snapshots,
// metadata.version first, so that whoever reads them knows what may follow. What the level has no field or record for is left out, as Kafka does: it can be there only after the
// level was lowered.
func (i *Image) Records() iter.Seq[machine.Record] {
	return func(yield func(machine.Record) bool) {
		w := contents{yield: yield, level: i.Level(), versions: versionsAt(i.Level())}
		_ = w.features(i) && w.cluster(i) && w.topics(i) && w.configs(i) && w.keptBefore(i, keptACL) && w.producerIDs(i) && w.keptFrom(i, keptACL) && w.opaque(i)
	}
}

// contents writes the parts of an image; each part tells whether more is wanted.
type contents struct {
	yield    func(machine.Record) bool
	level    int16
	versions versions
}

func (w contents) put(m record.Message, version int16) bool {
	return w.yield(machine.Record{Value: record.Append(nil, m, version)})
}

func (w contents) features(i *Image) bool {
	level, ok := i.features[MetadataVersion]
	if ok && !w.put(&record.FeatureLevelRecord{Name: MetadataVersion, FeatureLevel: level}, firstVersion) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(i.features)) {
		if name != MetadataVersion && !w.put(&record.FeatureLevelRecord{Name: name, FeatureLevel: i.features[name]}, firstVersion) {
			return false
		}
	}
	return true
}

func (w contents) cluster(i *Image) bool {
	for _, b := range i.brokers {
		r := &record.RegisterBrokerRecord{
			BrokerID: b.ID, IncarnationID: b.IncarnationID, BrokerEpoch: b.Epoch, EndPoints: recordEndpoints(b.Endpoints), Features: recordFeatures(b.Features), Rack: b.Rack,
			Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown,
		}
		if w.level >= directoriesLevel {
			r.LogDirs = b.Directories
		}
		if w.level >= cordonedLevel {
			r.CordonedLogDirs = b.CordonedDirectories
		}
		if !w.put(r, w.versions.registerBroker) {
			return false
		}
	}
	for _, c := range i.controllers {
		if !i.RegistersControllers() {
			break
		}
		r := &record.RegisterControllerRecord{ControllerID: c.ID, IncarnationID: c.IncarnationID, EndPoints: recordEndpoints(c.Endpoints), Features: recordFeatures(c.Features)}
		if !w.put(r, firstVersion) {
			return false
		}
	}
	return true
}

func (w contents) topics(i *Image) bool {
	for t := range i.Topics() {
		if !w.put(&record.TopicRecord{Name: t.Name, TopicID: t.ID}, firstVersion) {
			return false
		}
		for number := range t.Partitions {
			p := &t.Partitions[number]
			r := &record.PartitionRecord{
				PartitionID: int32(number), TopicID: t.ID, Replicas: p.Replicas, ISR: p.ISR, RemovingReplicas: p.RemovingReplicas, AddingReplicas: p.AddingReplicas,
				Leader: p.Leader, LeaderRecoveryState: p.LeaderRecoveryState, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
			}
			if w.level >= directoriesLevel {
				r.Directories = p.Directories
			}
			if w.level >= eligibleLevel {
				r.EligibleLeaderReplicas, r.LastKnownELR = p.EligibleLeaderReplicas, p.LastKnownELR
			}
			if !w.put(r, w.versions.partition) {
				return false
			}
		}
	}
	return true
}

func (w contents) configs(i *Image) bool {
	for it := i.configs.Iterator(); !it.Done(); {
		r, set, _ := it.Next()
		for _, name := range slices.Sorted(maps.Keys(set)) {
			if !w.put(&record.ConfigRecord{ResourceType: int8(r.Type), ResourceName: r.Name, Name: name, Value: new(set[name])}, firstVersion) {
				return false
			}
		}
	}
	return true
}

func (w contents) producerIDs(i *Image) bool {
	return i.nextProducerID == 0 || w.put(&record.ProducerIdsRecord{BrokerID: -1, BrokerEpoch: -1, NextProducerID: i.nextProducerID}, firstVersion)
}

func (w contents) keptBefore(i *Image, end keptKind) bool {
	for it := i.kept.Iterator(); !it.Done(); {
		key, r, _ := it.Next()
		if key.kind >= end {
			break
		}
		if !w.put(r, firstVersion) {
			return false
		}
	}
	return true
}

func (w contents) keptFrom(i *Image, begin keptKind) bool {
	it := i.kept.Iterator()
	for it.Seek(keptKey{kind: begin}); !it.Done(); {
		if _, r, _ := it.Next(); !w.put(r, firstVersion) {
			return false
		}
	}
	return true
}

// opaque gives what nobody here understands, as it was and in the order in which it came.
func (w contents) opaque(i *Image) bool {
	for it := i.opaque.Iterator(); !it.Done(); {
		if _, value := it.Next(); !w.yield(machine.Record{Value: value}) {
			return false
		}
	}
	return true
}
