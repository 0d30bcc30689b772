package plog

import (
	"fmt"
	"math"
	"time"
)

// SetStartOffset deletes the records before offset (Kafka's DeleteRecords). Readers see it at once; it may be acknowledged when DurableStartOffset got there. Segments
// below it go with the next Maintain. A start that is not above the present one is ignored.
func (l *Log) SetStartOffset(offset int64) error {
	if err := l.admitCut(); err != nil {
		return err
	}
	switch {
	case offset <= l.start.Load():
		return nil
	case offset > l.end.Load():
		return fmt.Errorf("log %s: %w: it ends at offset %d, before %d", l.name, ErrOffsetOutOfRange, l.end.Load(), offset)
	}
	l.moveStart(offset)
	return nil
}

func (l *Log) moveStart(offset int64) {
	l.mu.Lock()
	l.start.Store(offset)
	l.mu.epochs = l.mu.epochs.cutStart(offset)
	l.mu.epochsDirty = true
	l.mu.Unlock()
	l.dirty()
}

// Maintain does what depends on the time: it deletes segments by retention.ms, retention.bytes and start offset, but none that reaches beyond upTo; and forgets
// silent producers. It returns how many segments were deleted. It makes no system call.
func (l *Log) Maintain(now time.Time, upTo int64) int {
	if l.admitCut() != nil {
		return 0
	}
	c := l.cfg.Load()
	l.mu.Lock()
	if l.mu.producers.expire(now.UnixMilli(), c.ProducerExpirationMs) {
		l.mu.changed = true
	}
	l.mu.Unlock()
	n := l.deletable(c, now, upTo)
	if n == 0 {
		return 0
	}
	list := *l.segments.Load()
	if n == len(list) { // the active one too: the log goes on in an empty one
		l.roll(l.end.Load(), now)
		list = *l.segments.Load()
	}
	kept := append(segmentList(nil), list[n:]...)
	l.mu.Lock()
	l.segments.Store(&kept)
	l.mu.removals = append(l.mu.removals, list[:n]...)
	l.mu.Unlock()
	if base := kept[0].base; base > l.start.Load() {
		l.moveStart(base)
	}
	for _, s := range list[:n] {
		l.release(s)
	}
	return n
}

// Flush asks for the sync that flush.ms demands when it is due, and else tells in how many milliseconds it will be; NoOffset when nothing waits for one. What a log
// with Durability Cache has written counts from the first call that sees it. It makes no system call.
func (l *Log) Flush(now time.Time) int64 {
	c := l.cfg.Load()
	if c.Durability != Cache || c.FlushMs == math.MaxInt64 || l.synced.Load() >= l.written.Load() {
		return NoOffset
	}
	l.mu.Lock()
	at := now.UnixMilli()
	if l.mu.lastFlush == 0 {
		l.mu.lastFlush = at
	}
	left := c.FlushMs - (at - l.mu.lastFlush)
	if left <= 0 {
		l.mu.wantSync, l.mu.lastFlush = true, 0
	}
	l.mu.Unlock()
	if left <= 0 {
		l.dirty()
		return NoOffset
	}
	return left
}

// deletable counts the segments at the log's beginning that may go.
func (l *Log) deletable(c *Config, now time.Time, upTo int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := *l.segments.Load()
	start, end := l.start.Load(), l.end.Load()
	var total int64
	for _, s := range list {
		total += s.size
	}
	n := 0
	for i, s := range list {
		segmentEnd := list.endOf(i, end)
		last := i+1 == len(list)
		if segmentEnd > upTo || last && s.size == 0 {
			break
		}
		expired := segmentEnd <= start && !last
		if c.CleanupDelete && !expired {
			expired = c.RetentionMs >= 0 && now.UnixMilli()-s.greatestTimestamp() > c.RetentionMs || c.RetentionBytes >= 0 && total-c.RetentionBytes >= s.size
		}
		if !expired {
			break
		}
		total -= s.size
		n = i + 1
	}
	return n
}
