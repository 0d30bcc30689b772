package node

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
)

// cleaner compacts the logs of compacted topics: always the one that needs it most, log.cleaner.threads of them at a time. A log that cannot be cleaned is reported once and
// left alone until the node restarts; the others go on.
type cleaner struct {
	node *Node
	pace pace

	runs, read, written *metric.Counter
	seconds             *metric.Histogram

	mu struct {
		sync.Mutex
		busy        map[*partition.Partition]bool
		uncleanable map[*partition.Partition]bool
		dirty       int64
		ratio       float64
		lastRun     time.Time
	}
}

func newCleaner(n *Node) *cleaner {
	m := n.metrics
	c := &cleaner{
		node: n, runs: m.Counter(metric.CleanerRuns), read: m.Counter(metric.CleanerReadBytes), written: m.Counter(metric.CleanerWrittenBytes),
		seconds: m.Histogram(metric.CleanerSeconds),
	}
	c.mu.busy, c.mu.uncleanable, c.mu.lastRun = map[*partition.Partition]bool{}, map[*partition.Partition]bool{}, time.Now()
	look := func(f *metric.Family, value func() float64, labels ...string) {
		m.GaugeFunc(f, func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return value()
		}, labels...)
	}
	look(metric.CleanerDirtyBytes, func() float64 { return float64(c.mu.dirty) })
	look(metric.CleanerDirtyRatio, func() float64 { return c.mu.ratio })
	look(metric.CleanerIdleSeconds, func() float64 { return time.Since(c.mu.lastRun).Seconds() })
	for _, d := range n.dirs {
		sum := func(value func(p *partition.Partition) int64) func() float64 {
			return func() float64 {
				var total int64
				for p := range c.mu.uncleanable {
					if p.Dir() == d.Path() && p.Err() == nil {
						total += value(p)
					}
				}
				return float64(total)
			}
		}
		look(metric.CleanerUncleanable, sum(func(*partition.Partition) int64 { return 1 }), d.Path())
		look(metric.CleanerUncleanableBytes, sum(func(p *partition.Partition) int64 { return p.Cleanable().DirtyBytes }), d.Path())
	}
	return c
}

// run looks for work until the node stops. It ends when every cleaning has.
func (c *cleaner) run() {
	n := c.node
	var working sync.WaitGroup
	defer working.Wait()
	ended := make(chan struct{}, 1)
	for n.ctx.Err() == nil {
		settings := n.dynamic.Load().Cleaner
		if settings.Enable {
			c.retain()
		}
		for settings.Enable {
			p := c.take(settings.Threads)
			if p == nil {
				break
			}
			working.Go(func() {
				if !c.clean(p, settings) {
					return // not again before the pause is over
				}
				select {
				case ended <- struct{}{}:
				default:
				}
			})
		}
		wait := time.NewTimer(max(settings.Backoff, time.Millisecond))
		select {
		case <-n.ctx.Done():
		case <-wait.C:
		case <-ended:
		}
		wait.Stop()
	}
}

// retain applies retention to the logs that are compacted: their records before the start offset, and with compact,delete all that is past its limits. It does so before it
// looks for work, so that nothing is cleaned that goes anyway, and also where cleaning failed. What is no longer there is forgotten.
func (c *cleaner) retain() {
	for p := range c.node.partitions.All() {
		if p.Settings().Log.CleanupCompact {
			p.Maintain()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.mu.uncleanable {
		if p.Err() != nil {
			delete(c.mu.uncleanable, p)
		}
	}
}

// take chooses the log with the greatest share of dirty bytes among those worth cleaning, or nil.
func (c *cleaner) take(threads int) *partition.Partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *partition.Partition
	var bestRatio float64
	var dirty int64
	var most float64
	stuck := 0
	for p := range c.node.partitions.All() {
		x := p.Cleanable()
		if c.mu.busy[p] && p.Log().Hung() {
			stuck++ // it must not keep others from being cleaned
		}
		if x.DirtyBytes == 0 || p.Err() != nil || p.Log().Hung() || c.mu.uncleanable[p] {
			continue
		}
		ratio := x.Ratio()
		dirty += x.DirtyBytes
		most = max(most, ratio)
		if !c.mu.busy[p] && (x.Due || ratio > p.Settings().Log.MinCleanableRatio) && (best == nil || ratio > bestRatio) {
			best, bestRatio = p, ratio
		}
	}
	c.mu.dirty, c.mu.ratio = dirty, most
	if best == nil || len(c.mu.busy)-stuck >= threads {
		return nil
	}
	c.mu.busy[best] = true
	return best
}

// maxCleanBatch bounds what one batch decompresses to while it is cleaned, in bytes.
const maxCleanBatch = 256 << 20

// clean cleans one log and tells whether that went well.
func (c *cleaner) clean(p *partition.Partition, settings config.Cleaner) bool {
	n, began := c.node, time.Now()
	share := int64(max(settings.Threads, 1))
	stats, err := p.Clean(n.ctx, plog.CleanOptions{
		Keys: plog.NewKeyMap(settings.DedupeBytes/share, settings.LoadFactor), BufferBytes: settings.BufferBytes / int(share) / 2, MaxBatchBytes: maxCleanBatch,
		Throttle: func(ctx context.Context, bytes int) error {
			return c.pace.wait(ctx, bytes, n.dynamic.Load().Cleaner.MaxBytesPerSecond)
		},
	})
	c.read.Add(stats.BytesRead)
	c.written.Add(stats.BytesWritten)
	c.seconds.ObserveDuration(time.Since(began))
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.busy, p)
	c.mu.lastRun = time.Now()
	switch {
	case err == nil:
		c.runs.Inc()
		n.log.Info("log cleaned", "log", p.Name(), "from", stats.From, "to", stats.To, "segments", stats.Segments, "into", stats.Replacement,
			"read_bytes", stats.BytesRead, "written_bytes", stats.BytesWritten, "seconds", time.Since(began).Seconds())
	case n.ctx.Err() != nil, errors.Is(err, plog.ErrCleanAborted), errors.Is(err, plog.ErrClosed), p.Err() != nil:
	case p.Log().Hung():
	case dir.NoSpace(err):
		n.log.Warn("no space to clean a log; it is tried again", "log", p.Name(), "error", err)
	default:
		c.mu.uncleanable[p] = true
		n.log.Error("a log cannot be cleaned: it keeps growing, and is left alone until the node restarts", "log", p.Name(), "error", err)
	}
	return err == nil
}

// pace spreads bytes over time, for all cleanings together.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

// wait returns when so many bytes are within perSecond.
func (p *pace) wait(ctx context.Context, bytes int, perSecond float64) error {
	if perSecond <= 0 || perSecond >= math.MaxInt64 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	until := p.next
	p.next = p.next.Add(time.Duration(min(float64(bytes)/perSecond, 3600) * float64(time.Second)))
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
