package meta

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	"github.com/benbjohnson/immutable"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// Image is the cluster's metadata at one position of the metadata log. It is immutable and may be read from any goroutine.
type Image struct {
	position       machine.Position
	controllerID   int32
	byName         *immutable.SortedMap[string, *Topic]
	byID           *immutable.Map[model.TopicID, *Topic]
	folded         *immutable.Map[string, string] // of names with '.' or '_': the folded name to the name
	partitions     int
	brokers        []*Broker // by id
	controllers    []*Controller
	configs        *immutable.SortedMap[Resource, map[string]string]
	features       map[string]int16
	nextProducerID int64
	kept           *immutable.SortedMap[keptKey, record.Message] // not acted on, but in every snapshot
	opaque         *immutable.List[[]byte]                       // values of records that this build cannot read, or does not know
	unknownRecords int
}

type nameOrder struct{}

func (nameOrder) Compare(a, b string) int { return strings.Compare(a, b) }

type resourceOrder struct{}

func (resourceOrder) Compare(a, b Resource) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
}

// idHash hashes topic ids, which are random already.
type idHash struct{}

func (idHash) Hash(id model.TopicID) uint32 {
	return binary.BigEndian.Uint32(id[0:]) ^ binary.BigEndian.Uint32(id[4:]) ^ binary.BigEndian.Uint32(id[8:]) ^ binary.BigEndian.Uint32(id[12:])
}
func (idHash) Equal(a, b model.TopicID) bool { return a == b }

func emptyImage(controllerID int32) Image {
	return Image{
		controllerID: controllerID,
		byName:       immutable.NewSortedMap[string, *Topic](nameOrder{}),
		byID:         immutable.NewMap[model.TopicID, *Topic](idHash{}),
		folded:       immutable.NewMap[string, string](nil),
		configs:      immutable.NewSortedMap[Resource, map[string]string](resourceOrder{}),
		kept:         immutable.NewSortedMap[keptKey, record.Message](keptOrder{}),
		opaque:       immutable.NewList[[]byte](),
	}
}

// Position is the place after the last record that the image contains.
func (i *Image) Position() machine.Position { return i.position }

// ControllerID is the node whose machine made the image: the active controller.
func (i *Image) ControllerID() int32 { return i.controllerID }

// TopicByName returns the topic, or nil.
func (i *Image) TopicByName(name string) *Topic {
	t, _ := i.byName.Get(name)
	return t
}

// TopicByID returns the topic, or nil.
func (i *Image) TopicByID(id model.TopicID) *Topic {
	t, _ := i.byID.Get(id)
	return t
}

// Topics gives all topics in the order of their names.
func (i *Image) Topics() iter.Seq[*Topic] { return i.topicsFrom("", false) }

// TopicsFrom gives the topics whose names are not before name, in the order of their names.
func (i *Image) TopicsFrom(name string) iter.Seq[*Topic] { return i.topicsFrom(name, true) }

func (i *Image) topicsFrom(name string, seek bool) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		it := i.byName.Iterator()
		if seek {
			it.Seek(name)
		}
		for !it.Done() {
			if _, t, _ := it.Next(); !yield(t) {
				return
			}
		}
	}
}

// TopicCount is the number of topics.
func (i *Image) TopicCount() int { return i.byName.Len() }

// PartitionCount is the number of partitions of all topics.
func (i *Image) PartitionCount() int { return i.partitions }

// Broker returns the registered broker, or nil.
func (i *Image) Broker(id int32) *Broker {
	if n, ok := slices.BinarySearchFunc(i.brokers, id, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) }); ok {
		return i.brokers[n]
	}
	return nil
}

// Brokers returns all registered brokers in the order of their ids. The slice must not be modified.
func (i *Image) Brokers() []*Broker { return i.brokers }

// Controllers returns all registered controllers in the order of their ids. The slice must not be modified.
func (i *Image) Controllers() []*Controller { return i.controllers }

// Config returns what was set for the resource, without any default; nil when nothing was. The map must not be modified.
func (i *Image) Config(t ResourceType, name string) map[string]string {
	m, _ := i.configs.Get(Resource{t, name})
	return m
}

// ConfigResources returns the names of the type's resources for which something was set, in order.
func (i *Image) ConfigResources(t ResourceType) []string {
	var names []string
	it := i.configs.Iterator()
	for it.Seek(Resource{Type: t}); !it.Done(); {
		r, _, _ := it.Next()
		if r.Type != t {
			break
		}
		names = append(names, r.Name)
	}
	return names
}

// Features returns the finalised feature levels. The map must not be modified.
func (i *Image) Features() map[string]int16 { return i.features }

// NextProducerID is the first producer id that no block contains.
func (i *Image) NextProducerID() int64 { return i.nextProducerID }

// UnknownRecords is how many records this build did not understand, or that contradicted what came before, in the snapshot and the log behind it.
func (i *Image) UnknownRecords() int { return i.unknownRecords }

// collision returns the existing topic whose metric name the new name would share, or "".
func (i *Image) collision(name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	other, _ := i.folded.Get(fold(name))
	if other == name {
		return ""
	}
	return other
}

func fold(name string) string { return strings.ReplaceAll(name, ".", "_") }
