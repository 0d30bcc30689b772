package cli

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// endTracker knows when a run that does not follow is done: every partition that it reads has reached the end that it had at the start. In a group it learns
// from the assignment which partitions those are and where they begin.
type endTracker struct {
	mu struct {
		sync.Mutex
		known    map[partitionKey]*tracked
		assigned map[partitionKey]bool
		began    bool   // there was an assignment
		wake     func() // ends the poll that goes on
	}
}

type partitionKey struct {
	topic     string
	partition int32
}

// tracked is one partition: the next offset to read, where reading begins without a committed offset, and where to stop.
type tracked struct{ next, begin, end int64 }

// unknownNext is the next offset between an assignment and the fetch of its committed offsets.
const unknownNext = -1

func newEndTracker() *endTracker {
	t := &endTracker{}
	t.mu.known, t.mu.assigned, t.mu.wake = map[partitionKey]*tracked{}, map[partitionKey]bool{}, func() {}
	return t
}

func (t *endTracker) add(topic string, partition int32, begin, end int64) {
	t.mu.known[partitionKey{topic, partition}] = &tracked{next: begin, begin: begin, end: end}
}

// assignAll is for a consumer without a group.
func (t *endTracker) assignAll() {
	t.mu.began = true
	for key := range t.mu.known {
		t.mu.assigned[key] = true
	}
}

// assign notes new partitions of a member, none of them too; where they begin follows.
func (t *endTracker) assign(partitions map[string][]int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.began = true
	for topic, list := range partitions {
		for _, partition := range list {
			key := partitionKey{topic, partition}
			if at := t.mu.known[key]; at != nil { // else it came into being after the start, and nothing of it is wanted
				t.mu.assigned[key] = true
				at.next = unknownNext
			}
		}
	}
	t.mu.wake()
}

// place notes the offsets that the client is about to fetch from.
func (t *endTracker) place(offsets map[string]map[int32]kgo.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, partitions := range offsets {
		for partition, offset := range partitions {
			if at := t.mu.known[partitionKey{topic, partition}]; at != nil {
				at.next = offset.EpochOffset().Offset
			}
		}
	}
	t.mu.wake()
}

// revoke forgets partitions that go to other members.
func (t *endTracker) revoke(lost map[string][]int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, partitions := range lost {
		for _, partition := range partitions {
			delete(t.mu.assigned, partitionKey{topic, partition})
		}
	}
	t.mu.wake()
}

// poll returns a context for one poll that also ends when the assignment changes, or that everything is read.
func (t *endTracker) poll(ctx context.Context) (polling context.Context, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.wake() // lets go of the last poll's context
	if t.doneLocked() {
		return ctx, true
	}
	polling, t.mu.wake = context.WithCancel(ctx)
	return polling, false
}

func (t *endTracker) doneLocked() bool {
	if !t.mu.began {
		return false
	}
	for key := range t.mu.assigned {
		if at := t.mu.known[key]; at.next < at.end {
			return false
		}
	}
	return true
}

// wants reports whether a record stood there when the run began.
func (t *endTracker) wants(r *kgo.Record) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.mu.known[partitionKey{r.Topic, r.Partition}]
	if at == nil {
		return false
	}
	if r.Offset >= at.end { // compaction may have taken the last record before the end
		at.next = at.end
	}
	return r.Offset < at.end
}

// passed moves on behind records that were printed.
func (t *endTracker) passed(records []*kgo.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		if at := t.mu.known[partitionKey{r.Topic, r.Partition}]; at != nil {
			at.next = max(at.next, r.Offset+1)
		}
	}
}
