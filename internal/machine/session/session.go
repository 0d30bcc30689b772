package session

// session is one fetcher's. Its partitions stand in slots that keep their number; topics are kept once.
type session struct {
	id         int32
	epoch      int32 // the next request's
	byID       bool
	privileged bool // a follower's
	createdMs  int64
	usedMs     int64

	entries []entry
	topics  []topicSlot
	places  map[place]int32 // slot of a partition
	names   map[Topic]int32 // slot of a topic
	first   int32
	last    int32
	free    int32 // slots to use again
	freeT   int32 // topic slots to use again
	size    int   // partitions
	weight  int   // of the topics' names

	older, newer *session // in the order of last use
	anyPlace     int      // in the heap of what anyone may evict, plus one
	followPlace  int      // in the heap of what a follower may evict, plus one
	ranked       int      // the size by which it stands in the heaps
}

type place struct{ topic, partition int32 }

type topicSlot struct {
	topic Topic
	count int32 // partitions; for a free slot the next one
}

func newSession(id int32, byID, privileged bool, nowMs int64) *session {
	return &session{
		id: id, epoch: 1, byID: byID, privileged: privileged, createdMs: nowMs, usedMs: nowMs,
		places: map[place]int32{}, names: map[Topic]int32{}, first: -1, last: -1, free: -1, freeT: -1,
	}
}

// put adds a partition at the end, or changes what is wanted of it.
func (s *session) put(t Topic, partition int32, f Fetch) (slot int32) {
	ti, known := s.names[t]
	if known {
		if slot, ok := s.places[place{ti, partition}]; ok {
			s.entries[slot].fetch = f
			return slot
		}
	} else {
		ti = s.newTopic(t)
	}
	s.topics[ti].count++
	slot = s.free
	if slot >= 0 {
		s.free = s.entries[slot].after
	} else {
		slot = int32(len(s.entries))
		s.entries = append(s.entries, entry{})
	}
	s.entries[slot] = entry{fetch: f, highWatermark: -1, logStartOffset: -1, topic: ti, partition: partition}
	s.places[place{ti, partition}] = slot
	s.size++
	s.link(slot)
	return slot
}

func (s *session) newTopic(t Topic) int32 {
	ti := s.freeT
	if ti >= 0 {
		s.freeT = s.topics[ti].count
		s.topics[ti] = topicSlot{topic: t}
	} else {
		ti = int32(len(s.topics))
		s.topics = append(s.topics, topicSlot{topic: t})
	}
	s.names[t] = ti
	s.weight += nameCost(t)
	return ti
}

// cost is what the session takes of Cache.maxPartitions.
func (s *session) cost() int { return len(s.entries) + s.weight }

// nameCost is what a name takes in place of partitions.
func nameCost(t Topic) int { return len(t.Name) / 128 }

// namesCost is what the names of a request take at most.
func namesCost(partitions []Partition) (cost int) {
	for i := range partitions {
		if i == 0 || partitions[i].Topic != partitions[i-1].Topic {
			cost += nameCost(partitions[i].Topic)
		}
	}
	return cost
}

func (s *session) forget(t Topic, partition int32) {
	ti, ok := s.names[t]
	if !ok {
		return
	}
	slot, ok := s.places[place{ti, partition}]
	if !ok {
		return
	}
	delete(s.places, place{ti, partition})
	s.unlink(slot)
	s.entries[slot].after = s.free
	s.free = slot
	s.size--
	if s.topics[ti].count--; s.topics[ti].count == 0 {
		delete(s.names, t)
		s.weight -= nameCost(t)
		s.topics[ti] = topicSlot{count: s.freeT}
		s.freeT = ti
	}
}

func (s *session) link(slot int32) {
	e := &s.entries[slot]
	e.before, e.after = s.last, -1
	if s.last >= 0 {
		s.entries[s.last].after = slot
	} else {
		s.first = slot
	}
	s.last = slot
}

func (s *session) unlink(slot int32) {
	e := &s.entries[slot]
	if e.before >= 0 {
		s.entries[e.before].after = e.after
	} else {
		s.first = e.after
	}
	if e.after >= 0 {
		s.entries[e.after].before = e.before
	} else {
		s.last = e.before
	}
}

// back puts a partition last, so that one with many records does not starve those behind it.
func (s *session) back(slot int32) {
	if s.last != slot {
		s.unlink(slot)
		s.link(slot)
	}
}

// list appends the partitions in the order in which they are to be fetched.
func (s *session) list(to []Partition) []Partition {
	for slot := s.first; slot >= 0; slot = s.entries[slot].after {
		e := &s.entries[slot]
		to = append(to, Partition{Topic: s.topics[e.topic].topic, Partition: e.partition, Fetch: e.fetch, slot: slot})
	}
	return to
}
