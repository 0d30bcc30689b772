package api

import "github.com/ottla/ottla/internal/cluster/partition"

// A Produce request may name a partition more than once. Kafka reads requests into a map, so that what was named last counts, alone, and has the only answer. A
// request like that is somebody's mistake: to find that there is none must cost next to nothing.

// fewTopics are compared with each other; more go into a map.
const fewTopics = 8

// resolve finds the topics of the request, nil where there is none, and leaves each existing partition in it once.
func (p *produced) resolve(partitions *partition.Registry) {
	p.topics = p.topics[:0]
	for i := range p.req.Topics {
		t := &p.req.Topics[i]
		if p.version >= 13 {
			p.topics = append(p.topics, partitions.TopicByID(t.ID))
		} else {
			p.topics = append(p.topics, partitions.TopicBytes(t.Name))
		}
	}
	if p.repeatsTopic() || p.repeatsPartition() {
		p.keepLast()
	}
}

func (p *produced) repeatsTopic() bool {
	if len(p.topics) > fewTopics {
		clear(p.seen)
		for _, t := range p.topics {
			if _, again := p.seen[t]; again && t != nil {
				return true
			}
			p.seen[t] = struct{}{}
		}
		return false
	}
	for i, t := range p.topics {
		for _, other := range p.topics[:i] {
			if t == other && t != nil {
				return true
			}
		}
	}
	return false
}

func (p *produced) repeatsPartition() bool {
	for i, t := range p.topics {
		last, rising := int32(-1), true
		for j := range p.req.Topics[i].Partitions {
			index := p.req.Topics[i].Partitions[j].Index
			rising = rising && index > last
			last = index
		}
		if rising || t == nil {
			continue
		}
		p.named = grow(p.named, len(t.Partitions))
		for j := range p.req.Topics[i].Partitions {
			index := p.req.Topics[i].Partitions[j].Index
			if t.Partition(index) == nil {
				continue
			}
			if p.named[index] {
				return true
			}
			p.named[index] = true
		}
	}
	return false
}

// keepLast moves what is named again to where its topic and partition were named first.
func (p *produced) keepLast() {
	home := map[*partition.Topic]int{}
	place := map[*partition.Partition]int{}
	for i, t := range p.topics {
		if t == nil {
			continue
		}
		h, again := home[t]
		if !again {
			h, home[t] = i, i
		}
		named := p.req.Topics[i].Partitions
		kept := p.req.Topics[h].Partitions
		if again {
			p.req.Topics[i].Partitions = nil
		} else {
			kept = kept[:0:0] // the topics share one array: what is behind belongs to the next
		}
		for _, in := range named {
			target := t.Partition(in.Index)
			if at, twice := place[target]; twice && target != nil {
				kept[at].Records = in.Records
				continue
			}
			place[target] = len(kept)
			kept = append(kept, in)
		}
		p.req.Topics[h].Partitions = kept
	}
}
