package plog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// pass is one cleaning of one log.
type pass struct {
	log        *Log
	options    CleanOptions
	config     *Config
	ctx        context.Context
	dirty      Cleanable
	generation int
	now        int64
	buffer     []byte
	sieve      batch.Sieve
	stats      CleanStats

	ended *[]abortedTxn // how the transactions ended; nil before somebody asked
	txns  *txnState     // while the log is walked; nil before the first batch that needs it
	last  map[int64]lastOf
}

// lastOf is the last thing that is remembered of a producer.
type lastOf struct {
	offset int64 // of its last data batch, -1 when there is none
	epoch  int16
}

// batches calls f for every batch of a segment's first size bytes, whole and checked. A batch larger than the buffer grows it.
func (p *pass) batches(s *segment, size int64, f func(b batch.Batch) error) error {
	order := p.log.orderOf(s)
	for at := int64(0); at < size; {
		chunk := p.buffer[:min(int64(len(p.buffer)), size-at)]
		if err := p.log.readExactly(s, chunk, at); err != nil {
			return err
		}
		if err := p.paced(len(chunk)); err != nil {
			return err
		}
		p.stats.BytesRead += int64(len(chunk))
		rest := chunk
		for len(rest) > 0 {
			b, after, err := batch.Next(rest)
			if errors.Is(err, batch.ErrTruncated) {
				break
			}
			if err == nil {
				err = errors.Join(b.Check(), order.follow(b))
			}
			if err != nil {
				return p.log.rotten(s, at+int64(len(chunk)-len(rest)), order.next, err.Error())
			}
			order.next, order.epoch = b.NextOffset(), b.PartitionLeaderEpoch()
			if err := f(b); err != nil {
				return err
			}
			rest = after
		}
		took := int64(len(chunk) - len(rest))
		if took == 0 {
			need := 2 * len(p.buffer)
			if len(rest) >= batch.Overhead {
				need = max(need, batch.Batch(rest).Size())
			}
			if int64(len(chunk)) == size-at || int64(need) > maxSegmentBytes {
				return p.log.rotten(s, at, order.next, "the segment ends within a batch")
			}
			p.buffer = make([]byte, need)
		}
		at += took
	}
	return nil
}

// order is what the batches of a segment must keep. Offset and leader epoch of a batch have no checksum: what a wrong offset supersedes would be lost.
type order struct {
	next, end int64
	epoch     int32
}

func (l *Log) orderOf(s *segment) order {
	l.mu.Lock()
	defer l.mu.Unlock()
	return order{s.base, l.segmentEndLocked(s, math.MaxInt64), NoEpoch}
}

func (o order) follow(b batch.Batch) error {
	switch base, last := b.BaseOffset(), b.LastOffset(); {
	case base < o.next || last < base || last >= o.end:
		return fmt.Errorf("a batch of offsets %d to %d stands where offsets from %d to %d were expected", base, last, o.next, o.end-1)
	case b.PartitionLeaderEpoch() < o.epoch:
		return fmt.Errorf("the batch at offset %d has leader epoch %d, the one before it %d", base, b.PartitionLeaderEpoch(), o.epoch)
	}
	return nil
}

// paced waits as the throttle asks, and gives up when the log has changed under the cleaning.
func (p *pass) paced(n int) error {
	if err := p.ctx.Err(); err != nil {
		return context.Cause(p.ctx)
	}
	if p.log.gone(p.generation) {
		return ErrCleanAborted
	}
	if p.options.Throttle == nil {
		return nil
	}
	return p.options.Throttle(p.ctx, n)
}

var errKeysFull = errors.New("the map of keys is full")

// learn fills the map with the keys of the dirty part, or as much of it as the map takes.
func (p *pass) learn() error {
	list := *p.log.segments.Load()
	keys := p.options.Keys
	keys.Reset()
	keys.next = p.dirty.FirstDirty
	p.txns = nil
	for i, s := range list[:len(list)-1] {
		end := list[i+1].base
		if end <= p.dirty.FirstDirty {
			continue
		}
		if s.base >= p.dirty.FirstUncleanable {
			break
		}
		err := p.held(s, func(size int64) error { return p.batches(s, size, p.learnBatch) })
		if err == errKeysFull {
			break
		}
		if err != nil {
			return err
		}
		keys.next = min(end, p.dirty.FirstUncleanable)
	}
	if keys.next == p.dirty.FirstDirty {
		return fmt.Errorf("the first dirty batch does not fit the memory for keys: raise log.cleaner.dedupe.buffer.size")
	}
	return nil
}

// held runs f while the segment's files stay.
func (p *pass) held(s *segment, f func(size int64) error) error {
	if !s.acquire() {
		return ErrCleanAborted
	}
	defer p.log.release(s)
	return f(p.log.sizeOf(s))
}

func (p *pass) learnBatch(b batch.Batch) error {
	keys := p.options.Keys
	_, aborted, _, err := p.txn(b)
	if err != nil || b.LastOffset() < p.dirty.FirstDirty {
		return err
	}
	if b.IsControl() || aborted || b.RecordCount() == 0 {
		keys.next = b.NextOffset()
		return nil
	}
	full := false
	_, _, err = p.sieve.Filter(b, p.options.MaxBatchBytes, func(r *batch.Record) bool {
		if full || r.Offset < p.dirty.FirstDirty || r.Key == nil {
			return false
		}
		if full = !keys.put(r.Key, r.Offset); !full {
			keys.next = r.Offset + 1
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
	}
	if full {
		return errKeysFull
	}
	keys.next = b.NextOffset()
	return nil
}

// txn takes a batch into the state of the transactions. void and aborted tell what it says of a control batch and of any other.
func (p *pass) txn(b batch.Batch) (void, aborted bool, kept *abortedTxn, err error) {
	if p.txns == nil {
		if !b.IsControl() && !b.IsTransactional() {
			return false, false, nil, nil
		}
		if p.txns, err = p.transactions(b.BaseOffset()); err != nil {
			return false, false, nil, err
		}
	}
	if b.IsControl() {
		void, kept = p.txns.control(b)
		return void, false, kept, nil
	}
	return false, p.txns.data(b), nil, nil
}

// rewrite makes one segment of a group. nil when nothing changes.
func (p *pass) rewrite(group []*segment) (_ *swap, err error) {
	p.last = p.log.lastOfProducers()
	base := group[0].base
	w := &cleanWriter{pass: p, name: p.log.fileName(base, logSuffix+cleanedSuffix), segment: newSegment(base, p.now), changed: len(group) > 1, source: group[0]}
	w.segment.sparse.lastTime = noTimestamp
	defer func() { err = errors.Join(err, w.close(err != nil)) }()
	for _, s := range group {
		if err := p.batches(s, p.log.sizeOf(s), func(b batch.Batch) error { return p.keep(w, b) }); err != nil {
			return nil, err
		}
	}
	if !w.changed && len(w.aborted) > 0 { // its batches may be as they were, and yet nobody has written an index
		had, err := p.log.readTxns(group[0])
		if err != nil {
			return nil, err
		}
		w.changed = slices.ContainsFunc(w.aborted, func(a abortedTxn) bool { return !slices.Contains(had, a) })
	}
	if !w.changed {
		return nil, nil
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	p.stats.Segments += len(group)
	p.stats.Replacement++
	s := w.segment
	s.size, s.exists = w.at, true
	s.modified = group[len(group)-1].modified // what Kafka keeps as the file's time
	s.sparse.addTime(base, s.summary)
	s.sparse.rewrite = true
	s.where.Store(placeCleaned)
	return &swap{fresh: s, old: append([]*segment(nil), group...), txns: len(w.aborted) > 0}, nil
}

// discard removes what was written for nothing.
func (p *pass) discard(swaps []*swap) {
	for _, x := range swaps {
		p.log.forgo(p.log.fileName(x.fresh.base, logSuffix+cleanedSuffix), p.log.fileName(x.fresh.base, txnIndexSuffix+cleanedSuffix))
	}
}

// keep decides on one batch and writes what is left of it.
func (p *pass) keep(w *cleanWriter, b batch.Batch) error {
	p.stats.RecordsRead += int64(b.RecordCount())
	void, drop, aborted, err := p.txn(b)
	if err != nil {
		return err
	}
	if aborted != nil {
		w.aborted = append(w.aborted, *aborted)
	}
	if b.IsControl() {
		drop = void && b.HasDeleteHorizon() && b.DeleteHorizon() <= p.now
	}
	kept, tombstones := 0, false
	if !drop {
		retainDeletes := !b.HasDeleteHorizon() || p.now < b.DeleteHorizon()
		kept, tombstones, err = p.sieve.Filter(b, p.options.MaxBatchBytes, func(r *batch.Record) bool { return b.IsControl() || p.retains(r, retainDeletes) })
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
		}
	}
	p.stats.Kept += int64(kept)
	setHorizon := (tombstones || void) && !b.HasDeleteHorizon()
	switch {
	case kept == 0 && (p.isLast(b) || b.NextOffset() == p.options.HighWatermark):
		if b.RecordCount() == 0 {
			return w.write(b)
		}
		w.changed = true
		return w.write(batch.Emptied(b))
	case kept == 0:
		w.changed = true
		return nil
	case kept == int(b.RecordCount()) && !setHorizon:
		return w.write(b)
	}
	w.changed = true
	horizon := int64(batch.NoTimestamp)
	if setHorizon {
		horizon = p.now + p.config.DeleteRetentionMs
	}
	return w.write(p.sieve.Build(horizon))
}

// retains is Kafka's rule for one record.
func (p *pass) retains(r *batch.Record, retainDeletes bool) bool {
	if r.Offset >= p.options.Keys.next {
		return true
	}
	if r.Key == nil {
		return false
	}
	return r.Offset >= p.options.Keys.get(r.Key) && (r.Value != nil || retainDeletes)
}

// isLast tells whether a batch is the last of its producer, which must stay so that the producer's sequence is not forgotten.
func (p *pass) isLast(b batch.Batch) bool {
	if b.ProducerID() < 0 {
		return false
	}
	x, ok := p.last[b.ProducerID()]
	if !ok {
		return false
	}
	if x.offset >= 0 {
		return b.LastOffset() == x.offset
	}
	return b.IsControl() && x.epoch == b.ProducerEpoch()
}

func (l *Log) lastOfProducers() map[int64]lastOf {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[int64]lastOf, len(l.mu.producers))
	for id, p := range l.mu.producers {
		x := lastOf{-1, p.epoch}
		if a, ok := p.last(); ok {
			x.offset = a.lastOffset
		}
		out[id] = x
	}
	return out
}
