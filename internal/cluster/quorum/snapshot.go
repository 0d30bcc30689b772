package quorum

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/ottla/ottla/internal/machine"
)

// Errors of Snapshot that are no failures: there is nothing to do now.
var (
	ErrNothingNew  = errors.New("there is a snapshot of the metadata up to there")
	ErrNotAligned  = errors.New("a batch of the metadata log spans the offset")
	errUncommitted = errors.New("the metadata is not committed up to there")
)

// Growth is what the log has that no snapshot stands for.
type Growth struct {
	Bytes int64
	Since time.Time // when the first of it was written; zero when there is nothing
}

// Growth returns what the next snapshot would stand for.
func (q *Quorum) Growth() Growth {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.growth
}

// LogSize is how many bytes the log's files have.
func (q *Quorum) LogSize() int64 { return q.log.Size() }

// enter waits until nobody else makes, brings or removes snapshots; exit must follow.
func (q *Quorum) enter(ctx context.Context) error {
	select {
	case q.snapshots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-q.stop.Done():
		return q.Err()
	}
}

func (q *Quorum) exit() { <-q.snapshots }

// do has f called by the loop, which alone may look at Raft and the table.
func (q *Quorum) do(f func()) error {
	done := make(chan struct{})
	q.mu.Lock()
	q.mu.inbox.tasks = append(q.mu.inbox.tasks, func() {
		f()
		close(done)
	})
	q.mu.Unlock()
	q.wakeLoop()
	select {
	case <-done:
		return nil
	case <-q.stop.Done():
		return q.Err()
	}
}

// joint is the place in the log for which a snapshot is made.
type joint struct {
	index  uint64
	end    machine.Position
	base   int64 // of the last batch
	voters []Voter
	growth Growth
	err    error
}

// joint finds the entry that ends at the offset. It belongs to the loop.
func (q *Quorum) joint(offset int64) (j joint) {
	index, ok := q.table.endingAt(offset)
	switch {
	case !ok && offset > q.table.start:
		j.err = ErrNotAligned
	case index <= q.table.before || q.mu.base != nil && offset <= q.mu.base.End.Offset: // the loop alone writes base
		j.err = ErrNothingNew
	case index > q.raft.BasicStatus().Applied:
		j.err = errUncommitted
	}
	if j.err != nil {
		return j
	}
	term, err := q.table.Term(index)
	if err != nil {
		j.err = err
		return j
	}
	j.index, j.end, j.base = index, machine.Position{Epoch: int32(term), Offset: offset}, q.table.baseOf(index)
	j.voters = q.named
	j.growth, q.growth = q.growth, Growth{} // what comes from now on is not in this one
	return j
}

// Snapshot writes a snapshot of the metadata: the records stand for everything that was committed below the offset. When it returns nil the snapshot survives a power cut, and
// the next start reads it and what follows it. The log is not touched; see Retain. One call at a time writes, others wait for it.
func (q *Quorum) Snapshot(ctx context.Context, offset int64, records iter.Seq[machine.Record]) (*Checkpoint, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.exit()
	var j joint
	if err := q.do(func() { j = q.joint(offset) }); err != nil {
		return nil, err
	}
	if j.err != nil {
		return nil, j.err
	}
	c, err := q.writeSnapshot(ctx, j, records)
	doErr := q.do(func() {
		if err != nil { // all of it is still waiting for a snapshot
			q.growth.Bytes += j.growth.Bytes
			q.growth.Since = j.growth.Since
			return
		}
		q.table.snap = q.raftSnapshot(j.index, j.end)
		q.setBase(c)
	})
	if err != nil {
		return nil, fmt.Errorf("write a metadata snapshot up to offset %d in %s: %w", offset, q.opts.Path, err)
	}
	return c, doErr
}

func (q *Quorum) setBase(c *Checkpoint) {
	q.mu.Lock()
	q.mu.base = c
	q.mu.Unlock()
}

func (q *Quorum) writeSnapshot(ctx context.Context, j joint, records iter.Seq[machine.Record]) (*Checkpoint, error) {
	last, err := q.batchAt(j.base)
	if err != nil {
		return nil, err
	}
	w, err := createCheckpoint(q.opts.FS, q.opts.Path, j.end, q.opts.Clock().UnixMilli())
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{End: j.end, LastTimestamp: last.MaxTimestamp(), Voters: j.voters, index: j.index, name: w.name(), fs: q.opts.FS}
	err = w.header(c.LastTimestamp, j.index, j.voters)
	for r := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = w.record(r)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = w.footer()
	}
	if err != nil {
		return nil, errors.Join(err, w.discard())
	}
	c.Bytes = w.size
	return c, w.seal()
}

// Retain removes what the newest snapshot makes superfluous, as Kafka does: while log and snapshots together have more than maxBytes, or the oldest snapshot stands for records
// older than maxAge, the log's start moves to the next snapshot, and what lies before goes. The newest snapshot always stays. Negative limits are none. Older tells when the
// oldest snapshot will have reached maxAge; it is zero when that does not matter.
func (q *Quorum) Retain(maxBytes int64, maxAge time.Duration) (older time.Time, err error) {
	if err := q.enter(q.stop); err != nil {
		return older, err
	}
	defer q.exit()
	list, err := checkpoints(q.opts.FS, q.opts.Path)
	if err != nil {
		return older, err
	}
	for n := len(list); n > 0 && list[n-1].End.Offset < q.log.StartOffset(); n-- { // a crash came before they could go
		if err := remove(q.opts.FS, list[n-1].name); err != nil {
			return older, err
		}
		list = list[:n-1]
	}
	if len(list) == 0 {
		return older, nil
	}
	if oldest := list[len(list)-1]; q.log.StartOffset() == 0 && oldest.End.Offset > 0 {
		list = append(list, Checkpoint{}) // the empty state, with which the log began
	}
	total := int64(0)
	for _, c := range list {
		total += c.Bytes
	}
	for len(list) > 1 {
		oldest, next := &list[len(list)-1], &list[len(list)-2]
		at := q.ageOf(oldest)
		if tooOld := maxAge >= 0 && q.opts.Clock().Sub(at) > maxAge; !tooOld && (maxBytes < 0 || q.log.Size()+total <= maxBytes) {
			if maxAge >= 0 {
				older = at.Add(maxAge)
			}
			return older, nil
		}
		if err := next.verify(); err != nil {
			if len(list) == 2 {
				return older, fmt.Errorf("the newest metadata snapshot is damaged, so that nothing before it can go: %w", err)
			}
			q.opts.Logger.Error("a metadata snapshot is damaged and is removed; there are others", "error", err)
			if err := remove(q.opts.FS, next.name); err != nil {
				return older, err
			}
			total -= next.Bytes
			list = append(list[:len(list)-2], *oldest)
			continue
		}
		if err := q.forgetBefore(next); err != nil {
			return older, err
		}
		if oldest.name != "" {
			if err := remove(q.opts.FS, oldest.name); err != nil {
				return older, err
			}
		}
		total -= oldest.Bytes
		list = list[:len(list)-1]
	}
	return older, nil
}

// ageOf is the time of the last record that a snapshot stands for; of the empty state the time of the log's first. What cannot be read is as old as can be.
func (q *Quorum) ageOf(c *Checkpoint) time.Time {
	if c.name != "" {
		if c.verify() != nil {
			return time.Time{}
		}
		return time.UnixMilli(c.LastTimestamp)
	}
	b, err := q.batchAt(0)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(b.MaxTimestamp())
}

// forgetBefore moves the log's start to a snapshot that is proven to be whole: nothing else will tell what was before.
func (q *Quorum) forgetBefore(c *Checkpoint) error {
	if err := q.opts.FS.SyncDir(q.opts.Path); err != nil { // its name may be there from before a crash, and not be durable
		return err
	}
	done := make(chan error, 1)
	var refused error
	if err := q.do(func() {
		if c.End.Offset > q.table.start { // else the table began behind it
			index, ok := q.table.endingAt(c.End.Offset)
			switch {
			case !ok:
				refused = ErrNotAligned
			case index > q.raft.BasicStatus().Applied:
				refused = errUncommitted
			}
			if refused != nil {
				return
			}
			q.table.compact(index)
		}
		q.handed++
		q.give(work{number: q.handed, forget: c.End.Offset, done: done})
	}); err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("move the start of the metadata log to the snapshot %s: %w", c.name, refused)
	}
	select {
	case err := <-done:
		return err
	case <-q.stop.Done():
		return q.Err()
	}
}
