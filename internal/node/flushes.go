package node

import (
	"math"
	"sync/atomic"
	"time"
)

// Flushing looks at every partition. So that it costs little however many there are, sweeps are apart by so much, and so much more per partition.
const (
	flushApart        = 5 * time.Millisecond
	flushApartPerUnit = 20 * time.Microsecond
)

// flushes keeps flush.ms with one timer for all partitions, which runs only while one of them has something to sync.
type flushes struct {
	next atomic.Int64 // when the next sweep is due, ms since the epoch; math.MaxInt64 for never
	kick chan struct{}
	now  func() time.Time
}

func newFlushes(now func() time.Time) *flushes {
	f := &flushes{kick: make(chan struct{}, 1), now: now}
	f.next.Store(math.MaxInt64)
	return f
}

// within asks for a sweep. It never blocks.
func (f *flushes) within(ms int64) {
	due := f.now().UnixMilli() + ms
	if due < 0 {
		return // beyond the end of time
	}
	for {
		next := f.next.Load()
		if due >= next {
			return
		}
		if f.next.CompareAndSwap(next, due) {
			break
		}
	}
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// flush sweeps when it is asked for, until the node stops.
func (n *Node) flush() {
	f := n.flushes
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	earliest := f.now()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-f.kick:
		case <-timer.C:
		}
		if wait := max(time.Duration(min(f.next.Load()-f.now().UnixMilli(), math.MaxInt64/int64(time.Millisecond)))*time.Millisecond, earliest.Sub(f.now())); wait > 0 {
			timer.Reset(wait)
			continue
		}
		f.next.Store(math.MaxInt64)
		looked := 0
		for p := range n.partitions.All() {
			looked++
			if left := p.Flush(); left > 0 {
				f.within(left)
			}
		}
		earliest = f.now().Add(flushApart + time.Duration(looked)*flushApartPerUnit)
	}
}
