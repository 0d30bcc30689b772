package plog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/vfs"
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

	// Of transactions: the markers of the dirty part by producer, and those producers whose transaction left records in this pass.
	markers map[int64][]txnMarker
	scanned bool
	seen    map[int64]bool
	last    map[int64]lastOf
}

type txnMarker struct {
	offset int64
	commit bool
}

// lastOf is the last thing that is remembered of a producer.
type lastOf struct {
	offset int64 // of its last data batch, -1 when there is none
	epoch  int16
}

// batches calls f for every batch of a segment's first size bytes, whole and checked. A batch larger than the buffer grows it.
func (p *pass) batches(s *segment, size int64, f func(b batch.Batch) error) error {
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
				err = b.Check()
			}
			if err != nil {
				return p.log.rotten(s, at+int64(len(chunk)-len(rest)), s.base, err.Error())
			}
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
				return p.log.rotten(s, at, s.base, "the segment ends within a batch")
			}
			p.buffer = make([]byte, need)
		}
		at += took
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
	if b.LastOffset() < p.dirty.FirstDirty || b.BaseOffset() >= p.dirty.FirstUncleanable {
		return nil
	}
	if b.IsTransactional() && !p.scanned {
		if err := p.scanMarkers(); err != nil {
			return err
		}
	}
	if b.IsControl() || p.aborted(b) || b.RecordCount() == 0 {
		keys.next = b.NextOffset()
		return nil
	}
	full := false
	_, _, err := p.sieve.Filter(b, p.options.MaxBatchBytes, func(r *batch.Record) bool {
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

// scanMarkers learns how the transactions of the dirty part ended, before the first record of one is looked at.
func (p *pass) scanMarkers() error {
	p.scanned, p.markers = true, map[int64][]txnMarker{}
	list := *p.log.segments.Load()
	for i, s := range list[:len(list)-1] {
		if list[i+1].base <= p.dirty.FirstDirty || s.base >= p.dirty.FirstUncleanable {
			continue
		}
		err := p.held(s, func(size int64) error {
			var marks batch.Sieve
			return p.log.walk(s, 0, size, func(b batch.Batch, _ int64) bool {
				if commit, ok := marks.Marker(b); ok && b.BaseOffset() >= p.dirty.FirstDirty {
					p.markers[b.ProducerID()] = append(p.markers[b.ProducerID()], txnMarker{b.BaseOffset(), commit})
				}
				return true
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// aborted tells whether a batch belongs to a transaction that was aborted. What lies in the clean part was decided by an earlier cleaning.
func (p *pass) aborted(b batch.Batch) bool {
	if !b.IsTransactional() || b.IsControl() || b.LastOffset() < p.dirty.FirstDirty {
		return false
	}
	for _, m := range p.markers[b.ProducerID()] {
		if m.offset > b.LastOffset() {
			return !m.commit
		}
	}
	return false
}

// rewrite makes one segment of a group. nil when nothing changes.
func (p *pass) rewrite(group []*segment) (*swap, error) {
	p.last = p.log.lastOfProducers()
	if p.seen == nil {
		p.seen = map[int64]bool{}
	}
	base := group[0].base
	w := &cleanWriter{pass: p, name: p.log.fileName(base, logSuffix+cleanedSuffix), segment: newSegment(base, p.now)}
	w.segment.sparse.lastTime = noTimestamp
	err := p.create(w)
	for _, s := range group {
		if err != nil {
			break
		}
		err = p.batches(s, p.log.sizeOf(s), func(b batch.Batch) error { return p.keep(w, b) })
	}
	if err == nil {
		err = w.flush()
	}
	if err == nil && len(group) == 1 && !w.changed {
		return nil, errors.Join(w.file.Close(), p.log.dir.FS().Remove(w.name))
	}
	if err == nil {
		if err = p.log.dir.SyncFile(w.file); err != nil {
			p.log.dir.Offline(err)
		}
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
		if err != nil {
			err = errors.Join(err, removeIfThere(p.log.dir.FS(), w.name))
		}
	}
	if err != nil {
		return nil, err
	}
	p.stats.Segments += len(group)
	p.stats.Replacement++
	s := w.segment
	s.size, s.exists = w.at, true
	s.created = group[0].created
	s.sparse.addTime(base, s.summary)
	s.sparse.rewrite = true
	s.where.Store(placeCleaned)
	return &swap{fresh: s, old: append([]*segment(nil), group...)}, nil
}

func (p *pass) create(w *cleanWriter) (err error) {
	if err := removeIfThere(p.log.dir.FS(), w.name); err != nil {
		return err
	}
	w.file, err = p.log.dir.FS().Create(w.name)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrCleanAborted // the log's directory is gone
	}
	return err
}

// discard removes what was written for nothing.
func (p *pass) discard(swaps []*swap) {
	for _, x := range swaps {
		if err := removeIfThere(p.log.dir.FS(), p.log.fileName(x.fresh.base, logSuffix+cleanedSuffix)); err != nil {
			p.log.dir.Logger().Warn("could not remove what a cleaning left; the next start tries again", "log", p.log.name, "error", err)
		}
	}
}

// keep decides on one batch and writes what is left of it.
func (p *pass) keep(w *cleanWriter, b batch.Batch) error {
	p.stats.RecordsRead += int64(b.RecordCount())
	drop, marker := false, false
	switch {
	case b.IsControl():
		if _, ok := p.sieve.Marker(b); ok {
			marker = !p.seen[b.ProducerID()] // nothing of its transaction is left
			delete(p.seen, b.ProducerID())
		}
		drop = marker && b.HasDeleteHorizon() && b.DeleteHorizon() <= p.now
	case b.IsTransactional():
		drop = p.aborted(b)
		p.seen[b.ProducerID()] = true
	}
	kept, tombstones := 0, false
	if !drop {
		retainDeletes := !b.HasDeleteHorizon() || p.now < b.DeleteHorizon()
		var err error
		kept, tombstones, err = p.sieve.Filter(b, p.options.MaxBatchBytes, func(r *batch.Record) bool { return b.IsControl() || p.retains(r, retainDeletes) })
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
		}
	}
	p.stats.Kept += int64(kept)
	setHorizon := (tombstones || marker) && !b.HasDeleteHorizon()
	switch {
	case kept == 0 && p.isLast(b):
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

// cleanWriter writes the segment that replaces a group.
type cleanWriter struct {
	pass    *pass
	name    string
	file    vfs.File
	segment *segment
	at      int64 // bytes taken
	flushed int64
	pending []byte
	changed bool // something is not as it was
}

func (w *cleanWriter) write(b batch.Batch) error {
	if w.at+int64(len(b)) > maxSegmentBytes {
		return fmt.Errorf("the segment at offset %d grows beyond %d bytes when it is cleaned", w.segment.base, int64(maxSegmentBytes))
	}
	s := w.segment
	s.summary.add(b)
	s.sparse.add(s.base, b.LastOffset(), w.at, len(b), int64(w.pass.config.IndexIntervalBytes), s.summary)
	w.pending = append(w.pending, b...)
	w.at += int64(len(b))
	if len(w.pending) < len(w.pass.buffer) {
		return nil
	}
	return w.flush()
}

func (w *cleanWriter) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	if err := w.pass.paced(len(w.pending)); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(w.pending, w.flushed); err != nil {
		return err
	}
	w.flushed += int64(len(w.pending))
	w.pass.stats.BytesWritten += int64(len(w.pending))
	w.pending = w.pending[:0]
	return nil
}
