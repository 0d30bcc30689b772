package meta

import (
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// FeatureLevel is a finalised feature.
type FeatureLevel struct {
	Name  string
	Level int16
}

// Bootstrap writes the first records of a new cluster: its feature levels, metadata.version first, and configurations that it starts with. On a
// cluster that has a metadata.version already it changes nothing. The reply is a BootstrapReply.
type Bootstrap struct {
	Features []FeatureLevel // empty: metadata.version 33 only
	Configs  []BootstrapConfig
	// Records, when there are any, are written as they are in place of Features and Configs: what a directory was formatted with.
	Records []machine.Record
}

// BootstrapConfig is one configuration that a new cluster starts with.
type BootstrapConfig struct {
	Resource    Resource
	Name, Value string
}

// BootstrapReply tells whether the cluster was new.
type BootstrapReply struct {
	Result
	New bool
}

func (m *Machine) bootstrap(recs *records, in Bootstrap) BootstrapReply {
	if m.ahead.image.features[MetadataVersion] != 0 {
		return BootstrapReply{}
	}
	features := in.Features
	if len(features) == 0 {
		features = []FeatureLevel{{MetadataVersion, MetadataVersion44}}
	}
	level := LevelIn(in.Records...)
	if len(in.Records) > 0 {
		features = nil
	}
	for _, f := range features {
		if f.Name == MetadataVersion {
			level = f.Level
		}
	}
	// Kafka brackets these records as a metadata transaction, because it may have to write them in several batches. Here they are one batch at every level.
	if level >= transactionsLevel {
		recs.add(&record.BeginTransactionRecord{Name: new("Bootstrap records")}, firstVersion)
	}
	*recs = append(*recs, in.Records...)
	for _, f := range features {
		recs.add(&record.FeatureLevelRecord{Name: f.Name, FeatureLevel: f.Level}, firstVersion)
	}
	for _, c := range in.Configs {
		recs.add(&record.ConfigRecord{ResourceType: int8(c.Resource.Type), ResourceName: c.Resource.Name, Name: c.Name, Value: new(c.Value)}, firstVersion)
	}
	if level >= transactionsLevel {
		recs.add(&record.EndTransactionRecord{}, firstVersion)
	}
	return BootstrapReply{New: true}
}
