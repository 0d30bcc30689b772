package meta

import (
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// MetadataVersion is the name of the feature that says which records the log may contain.
const MetadataVersion = "metadata.version"

// The levels of metadata.version that this build works at: what is written at each of them can be read by the oldest Kafka that knows it. A new cluster begins with the newest.
const (
	LowestMetadataVersion int16 = 7  // 3.3-IV3, as in Apache Kafka 4.x
	MetadataVersion44     int16 = 33 // 4.4-IV2
)

// The levels from which on the log may have what is named.
const (
	transactionsLevel = 13 // 3.6-IV1: several batches that count together
	controllersLevel  = 15 // 3.7-IV0: registrations of controllers
	directoriesLevel  = 17 // 3.7-IV2: the directory of each replica
	eligibleLevel     = 23 // 4.0-IV1: eligible leader replicas
	cordonedLevel     = 30 // 4.3-IV0: cordoned log directories
)

// versions are those in which records are written.
type versions struct {
	registerBroker, partition, partitionChange int16
}

// Versions that every level allows.
const (
	firstVersion              = 0 // of records that have only one
	registrationChangeVersion = 0 // enough for fencing, and what Kafka writes for it
	shutDownVersion           = 1
	directoryChangeVersion    = 2 // of a registration, from directoriesLevel on
)

// versionsAt are the newest versions that a level allows.
func versionsAt(level int16) versions {
	switch {
	case level >= cordonedLevel:
		return versions{registerBroker: 4, partition: 2, partitionChange: 2}
	case level >= eligibleLevel:
		return versions{registerBroker: 3, partition: 2, partitionChange: 2}
	case level >= directoriesLevel:
		return versions{registerBroker: 3, partition: 1, partitionChange: 1}
	}
	return versions{registerBroker: 1}
}

// Level is the image's metadata.version, 0 before it has one.
func (i *Image) Level() int16 { return i.features[MetadataVersion] }

// RegistersControllers tells whether the log may name controllers.
func (i *Image) RegistersControllers() bool { return i.Level() >= controllersLevel }

// versions are those at the level in force.
func (m *Machine) versions() versions { return versionsAt(m.ahead.image.Level()) }

// LevelIn is the metadata.version that records set, 0 when they set none.
func LevelIn(records ...machine.Record) (level int16) {
	for _, r := range records {
		if m, _, err := record.Decode(r.Value); err == nil {
			if f, ok := m.(*record.FeatureLevelRecord); ok && f.Name == MetadataVersion {
				level = f.FeatureLevel
			}
		}
	}
	return level
}
