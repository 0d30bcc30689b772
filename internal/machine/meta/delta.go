package meta

import (
	"maps"
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// Delta says what differs between two images, so that a publisher need not compare all of them.
type Delta struct {
	// Full says that there was no image before: everything in the new one is listed.
	Full bool

	Created []*Topic // of the new image
	Changed []*Topic // of the new image: partitions added, or leaders, replicas, epochs changed
	Deleted []*Topic // of the old image

	Configs     []Resource // whose overrides were set, changed or removed; those of a deleted topic are not listed
	Brokers     []int32    // registered, changed or unregistered
	Controllers bool
	Features    bool
}

// Changes compares two images completely. The cost is in proportion to their topics; old may be nil.
func Changes(old, now *Image) *Delta {
	t := touched{topics: map[model.TopicID]bool{}, configs: map[Resource]bool{}, brokers: map[int32]bool{}, controllers: true, features: true}
	for _, image := range []*Image{old, now} {
		if image == nil {
			continue
		}
		for topic := range image.Topics() {
			t.topics[topic.ID] = true
		}
		for it := image.configs.Iterator(); !it.Done(); {
			r, _, _ := it.Next()
			t.configs[r] = true
		}
		for _, b := range image.brokers {
			t.brokers[b.ID] = true
		}
	}
	return t.delta(old, now)
}

// touched collects what records may have changed; the images tell whether they did.
type touched struct {
	topics      map[model.TopicID]bool
	names       map[string]bool // of topics; "" for all
	configs     map[Resource]bool
	brokers     map[int32]bool
	controllers bool
	features    bool
}

func (t *touched) note(m record.Message) {
	switch r := m.(type) {
	case *record.TopicRecord:
		t.topic(r.TopicID)
	case *record.PartitionRecord:
		t.topic(r.TopicID)
	case *record.PartitionChangeRecord:
		t.topic(r.TopicID)
	case *record.RemoveTopicRecord:
		t.topic(r.TopicID)
	case *record.ClearElrRecord:
		t.name(r.TopicName)
	case *record.ConfigRecord:
		t.config(Resource{ResourceType(r.ResourceType), r.ResourceName})
	case *record.RegisterBrokerRecord:
		t.broker(r.BrokerID)
	case *record.UnregisterBrokerRecord:
		t.broker(r.BrokerID)
	case *record.FenceBrokerRecord:
		t.broker(r.ID)
	case *record.UnfenceBrokerRecord:
		t.broker(r.ID)
	case *record.BrokerRegistrationChangeRecord:
		t.broker(r.BrokerID)
	case *record.FeatureLevelRecord:
		t.features = true
	case *record.RegisterControllerRecord, *record.UnregisterControllerRecord:
		t.controllers = true
	}
}

func (t *touched) topic(id model.TopicID) {
	if t.topics == nil {
		t.topics = map[model.TopicID]bool{}
	}
	t.topics[id] = true
}

func (t *touched) name(topic string) {
	if t.names == nil {
		t.names = map[string]bool{}
	}
	t.names[topic] = true
}

func (t *touched) config(r Resource) {
	if t.configs == nil {
		t.configs = map[Resource]bool{}
	}
	t.configs[r] = true
}

func (t *touched) broker(id int32) {
	if t.brokers == nil {
		t.brokers = map[int32]bool{}
	}
	t.brokers[id] = true
}

func (t *touched) delta(old, now *Image) *Delta {
	d := &Delta{Full: old == nil}
	if old == nil {
		nothing := emptyImage(now.controllerID)
		old = &nothing
	}
	for topic := range now.Topics() {
		if len(t.names) == 0 {
			break
		}
		if t.names[""] || t.names[topic.Name] {
			t.topic(topic.ID)
		}
	}
	for id := range t.topics {
		before, after := old.TopicByID(id), now.TopicByID(id)
		switch {
		case before == nil && after == nil:
		case before == nil:
			d.Created = append(d.Created, after)
		case after == nil:
			d.Deleted = append(d.Deleted, before)
		case !before.equal(after):
			d.Changed = append(d.Changed, after)
		}
	}
	for _, list := range [][]*Topic{d.Created, d.Changed, d.Deleted} {
		slices.SortFunc(list, func(a, b *Topic) int { return nameOrder{}.Compare(a.Name, b.Name) })
	}
	for _, topic := range d.Deleted { // a topic that got the name since may have lost what the old one had set
		t.config(Resource{TopicResource, topic.Name})
	}
	for r := range t.configs {
		if r.Type == TopicResource && now.TopicByName(r.Name) == nil {
			continue
		}
		if !maps.Equal(old.Config(r.Type, r.Name), now.Config(r.Type, r.Name)) {
			d.Configs = append(d.Configs, r)
		}
	}
	slices.SortFunc(d.Configs, resourceOrder{}.Compare)
	for id := range t.brokers {
		if !old.Broker(id).equal(now.Broker(id)) {
			d.Brokers = append(d.Brokers, id)
		}
	}
	slices.Sort(d.Brokers)
	d.Controllers = t.controllers && !slices.EqualFunc(old.controllers, now.controllers, (*Controller).equal)
	d.Features = t.features && !maps.Equal(old.features, now.features)
	return d
}
