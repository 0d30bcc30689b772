package metric

import (
	"sync/atomic"
	"time"
)

// Counter only grows.
type Counter struct{ n atomic.Int64 }

func (c *Counter) Inc()         { c.n.Add(1) }
func (c *Counter) Add(n int64)  { c.n.Add(n) }
func (c *Counter) Value() int64 { return c.n.Load() }

// Gauge goes up and down.
type Gauge struct{ n atomic.Int64 }

func (g *Gauge) Set(n int64)  { g.n.Store(n) }
func (g *Gauge) Add(n int64)  { g.n.Add(n) }
func (g *Gauge) Value() int64 { return g.n.Load() }

// Histogram counts values in the buckets of its family's Unit.
type Histogram struct {
	layout *layout
	counts []atomic.Int64 // one per bound, and one for what lies above the last
	sum    atomic.Int64
}

func newHistogram(l *layout) *Histogram {
	return &Histogram{layout: l, counts: make([]atomic.Int64, len(l.bounds)+1)}
}

// Observe counts one value: nanoseconds, bytes, or things, as the family's Unit has it.
func (h *Histogram) Observe(v int64) {
	h.counts[h.layout.bucket(v)].Add(1)
	h.sum.Add(v)
}

// ObserveDuration counts one duration in a family of Seconds.
func (h *Histogram) ObserveDuration(d time.Duration) { h.Observe(int64(d)) }

// Count returns how many values were observed.
func (h *Histogram) Count() int64 {
	var n int64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Sum returns the sum of the values observed.
func (h *Histogram) Sum() int64 { return h.sum.Load() }
