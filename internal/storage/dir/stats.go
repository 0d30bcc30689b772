package dir

import (
	"sync/atomic"
	"time"
)

// Stats counts what a directory's committer did. All fields only grow.
type Stats struct {
	Rounds       atomic.Int64
	RoundLogs    atomic.Int64 // logs over all rounds
	WrittenBytes atomic.Int64
	SyncedBytes  atomic.Int64
	Syncs        atomic.Int64 // of files
	DirSyncs     atomic.Int64
	Checkpoints  atomic.Int64
	NoSpace      atomic.Int64 // rounds in which a log could not write for want of space
	SyncSeconds  Histogram    // of single files
	RoundSeconds Histogram    // from the first byte written to the last byte synced
}

// Bounds are the upper bounds of a Histogram's buckets; one more bucket takes the rest.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// Histogram counts durations by Bounds.
type Histogram struct {
	Buckets [len(Bounds) + 1]atomic.Int64
	Sum     atomic.Int64 // nanoseconds
}

func (h *Histogram) observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.Buckets[i].Add(1)
	h.Sum.Add(int64(d))
}

// Count is how many durations were observed.
func (h *Histogram) Count() int64 {
	var n int64
	for i := range h.Buckets {
		n += h.Buckets[i].Load()
	}
	return n
}
