package partition

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/ottla/ottla/internal/kafka/model"
)

// Topic is one topic's partitions on this broker, by partition number; nil where another broker has the replica. It is immutable.
type Topic struct {
	Name       string
	ID         model.TopicID
	Partitions []*Partition
}

// Partition returns the partition, or nil when this broker has no replica of it.
func (t *Topic) Partition(index int32) *Partition {
	if t == nil || index < 0 || int(index) >= len(t.Partitions) {
		return nil
	}
	return t.Partitions[index]
}

// Registry finds the partitions of this broker.
type Registry struct {
	mu     sync.RWMutex
	byName map[string]*Topic
	byID   map[model.TopicID]*Topic
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{byName: map[string]*Topic{}, byID: map[model.TopicID]*Topic{}}
}

// Put adds a topic, or replaces the one with its name.
func (r *Registry) Put(t *Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.byName[t.Name]; old != nil {
		delete(r.byID, old.ID)
	}
	r.byName[t.Name], r.byID[t.ID] = t, t
}

// Remove takes a topic out and returns it, or nil.
func (r *Registry) Remove(id model.TopicID) *Topic {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.byID[id]
	if t != nil {
		delete(r.byID, id)
		delete(r.byName, t.Name)
	}
	return t
}

// Topic finds a topic by name, or returns nil.
func (r *Registry) Topic(name string) *Topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

// TopicBytes is Topic for a name that is still bytes; it does not copy them.
func (r *Registry) TopicBytes(name []byte) *Topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[string(name)]
}

// TopicByID finds a topic by id, or returns nil.
func (r *Registry) TopicByID(id model.TopicID) *Topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// Topics returns all topics in the order of their names.
func (r *Registry) Topics() []*Topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*Topic, 0, len(r.byName))
	for _, t := range r.byName {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// All gives every partition of this broker.
func (r *Registry) All() iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		for _, t := range r.Topics() {
			for _, p := range t.Partitions {
				if p != nil && !yield(p) {
					return
				}
			}
		}
	}
}
