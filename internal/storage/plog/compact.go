package plog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// Cleanable is how much of a log compaction has not looked at, by Kafka's rules.
type Cleanable struct {
	FirstDirty, FirstUncleanable int64 // offsets: what lies between is dirty and may be cleaned now, in whole segments
	CleanBytes, DirtyBytes       int64
	// Due tells that a record has waited for max.compaction.lag.ms: then the ratio does not matter.
	Due bool
}

// Ratio is the share of dirty bytes, which min.cleanable.dirty.ratio is compared with.
func (c Cleanable) Ratio() float64 {
	if c.DirtyBytes == 0 {
		return 0
	}
	return float64(c.DirtyBytes) / float64(c.DirtyBytes+c.CleanBytes)
}

// Cleanable tells what a cleaning would look at, up to offset upTo (the last stable offset), and never beyond the beginning of a transaction that is open. The zero value when there is nothing, or the log is not to be compacted.
func (l *Log) Cleanable(now time.Time, upTo int64) Cleanable {
	c := l.cfg.Load()
	if !c.CleanupCompact || l.admitCut() != nil {
		return Cleanable{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.swaps) > 0 || l.mu.cleanedTo > 0 { // the last cleaning is not on disk yet
		return Cleanable{}
	}
	upTo = min(upTo, l.mu.producers.firstOpen())
	out := Cleanable{FirstDirty: l.firstDirty()}
	list := *l.segments.Load()
	oldest := int64(math.MaxInt64)
	out.FirstUncleanable = out.FirstDirty
	stopped := false
	for i, s := range list[:len(list)-1] {
		end := list[i+1].base
		if s.base < out.FirstDirty { // one that is clean in part counts on both sides, as in Kafka
			out.CleanBytes += s.size
		}
		if end <= out.FirstDirty {
			continue
		}
		if s.firstTimestamp > 0 {
			oldest = min(oldest, s.firstTimestamp)
		}
		young := c.MinCompactionLagMs > 0 && s.greatestTimestamp() > now.UnixMilli()-c.MinCompactionLagMs
		if stopped = stopped || young || end > upTo || s.unsynced || s.base >= l.mu.syncedMark.base; stopped {
			continue
		}
		out.DirtyBytes += s.size
		out.FirstUncleanable = end
	}
	out.Due = out.DirtyBytes > 0 && oldest != math.MaxInt64 && now.UnixMilli()-oldest > c.MaxCompactionLagMs
	return out
}

// firstDirty is where cleaning goes on: what was deleted or cut since is not counted.
func (l *Log) firstDirty() int64 {
	start := l.start.Load()
	if at := l.cleaned.Load(); at > start && at <= l.end.Load() {
		return at
	}
	return start
}

// CleanedOffset is the offset below which a completed cleaning left one record for each key.
func (l *Log) CleanedOffset() int64 { return l.cleaned.Load() }

// CleanOptions are one cleaning.
type CleanOptions struct {
	Now  time.Time
	UpTo int64 // the last stable offset
	// HighWatermark is where readers end: a batch that ends there stays, emptied if need be, so that they get there.
	HighWatermark int64
	Keys          *KeyMap
	// BufferBytes is how much is read at once.
	BufferBytes int
	// MaxBatchBytes bounds what a batch decompresses to; a larger one makes the log uncleanable.
	MaxBatchBytes int
	// Throttle is told of every read and write and waits when there were too many; nil for none.
	Throttle func(ctx context.Context, bytes int) error
	// Serial runs f where appends, cuts and Maintain run.
	Serial func(f func() error) error
}

// CleanStats are what a cleaning did.
type CleanStats struct {
	From, To              int64 // dirty offsets that it looked at
	BytesRead             int64
	BytesWritten          int64
	RecordsRead, Kept     int64
	Segments, Replacement int // segments replaced, and by how many
}

// ErrCleanAborted says that the log was cut, closed or deleted while it was cleaned: nothing has changed, another attempt may be made.
var ErrCleanAborted = errors.New("cleaning was given up because the log was cut, closed or deleted")

// Clean compacts the log: of every key in the dirty part it keeps the newest record, and drops tombstones, markers and aborted data whose time has come. Readers see the
// result at once; the files follow in the next rounds of the directory. One cleaning at a time; it reads and writes files for as long as it takes, holding nothing that appends need.
func (l *Log) Clean(ctx context.Context, o CleanOptions) (CleanStats, error) {
	l.cleaning.Lock()
	defer l.cleaning.Unlock()
	c := l.Cleanable(o.Now, o.UpTo)
	if c.DirtyBytes == 0 {
		return CleanStats{}, nil
	}
	if err := l.removeLeftovers(); err != nil {
		return CleanStats{}, fmt.Errorf("clean log %s: %w", l.name, err)
	}
	p := &pass{log: l, options: o, config: l.cfg.Load(), ctx: ctx, dirty: c, now: o.Now.UnixMilli()}
	p.buffer = make([]byte, max(o.BufferBytes, batch.HeaderSize))
	l.mu.Lock()
	p.generation = l.mu.generation
	l.mu.Unlock()
	err := p.run()
	o.Keys.Reset()
	if err != nil && l.gone(p.generation) {
		err = errors.Join(ErrCleanAborted, err)
	}
	if err != nil {
		return p.stats, fmt.Errorf("clean log %s: %w", l.name, err)
	}
	return p.stats, nil
}

// gone tells whether the log was cut, closed or deleted since a generation.
func (l *Log) gone(generation int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.generation != generation || l.mu.closing || l.mu.deleting || l.ended.Load()
}

// run is one cleaning: learn the keys, then rewrite group after group.
func (p *pass) run() error {
	if err := p.learn(); err != nil {
		return err
	}
	p.stats.From, p.stats.To = p.dirty.FirstDirty, p.options.Keys.next
	p.txns = nil // the log is walked from its beginning now
	groups := p.groups()
	defer func() {
		for _, g := range groups {
			for _, s := range g {
				p.log.release(s)
			}
		}
	}()
	var swaps []*swap
	for _, g := range groups {
		x, err := p.rewrite(g)
		if err == nil && x != nil {
			swaps = append(swaps, x)
		}
		if err != nil {
			p.discard(swaps)
			return err
		}
	}
	err := p.options.Serial(func() error { return p.log.publishClean(swaps, p.generation, p.stats.To) })
	if err != nil {
		p.discard(swaps)
	}
	return err
}

// groups puts neighbouring segments together that fit one, as Kafka does, and holds them.
func (p *pass) groups() [][]*segment {
	l, c := p.log, p.config
	l.mu.Lock()
	defer l.mu.Unlock()
	list := *l.segments.Load()
	var groups [][]*segment
	var bytes, entries, times int64
	for i, s := range list[:len(list)-1] {
		if s.base >= p.options.Keys.next || !s.acquire() {
			break
		}
		last := list[i+1].base - 1
		n := len(groups)
		if n > 0 && bytes+s.size <= min(c.SegmentBytes, maxSegmentBytes) && (s.size == 0 || last-groups[n-1][0].base <= math.MaxInt32) &&
			(entries+s.sparse.count())*indexEntrySize <= int64(c.SegmentIndexBytes) && (times+s.sparse.timeCount())*timeEntrySize <= int64(c.SegmentIndexBytes) {
			groups[n-1] = append(groups[n-1], s)
		} else {
			groups = append(groups, []*segment{s})
			bytes, entries, times = 0, 0, 0
		}
		bytes += s.size
		entries += s.sparse.count()
		times += s.sparse.timeCount()
	}
	return groups
}
