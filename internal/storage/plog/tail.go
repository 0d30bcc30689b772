package plog

import (
	"github.com/ottla/ottla/internal/storage/dir"
)

// tailChunk is a piece of the log's end in memory. Log.mu guards its fields; the bytes below filled never change while somebody holds it.
type tailChunk struct {
	*dir.Chunk
	log     *Log
	segment *segment
	at      int64 // position in the segment of the first byte
	filled  int
	written int
	pins    int  // readers
	busy    bool // the appender copies into it
	writing bool // the committer writes from it
	sealed  bool // takes no more bytes
	gone    bool // cut off, evicted or closed: goes back when nobody holds it
	back    bool // went back
}

func (c *tailChunk) room() int {
	if c.sealed {
		return 0
	}
	return len(c.Buf) - c.filled
}

func (c *tailChunk) end() int64 { return c.at + int64(c.filled) }

// Evict implements dir.ChunkOwner.
func (c *tailChunk) Evict(*dir.Chunk) bool {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.gone || c.busy || c.writing || c.pins > 0 || c.written < c.filled {
		return false
	}
	c.gone, c.back = true, true
	for i, x := range l.mu.tail {
		if x == c {
			l.mu.tail = deleteAt(l.mu.tail, i)
			break
		}
	}
	return true
}

func deleteAt(s []*tailChunk, i int) []*tailChunk {
	copy(s[i:], s[i+1:])
	s[len(s)-1] = nil
	if len(s) == 1 && cap(s) > 8 {
		return nil
	}
	return s[:len(s)-1]
}

// dropLocked detaches a chunk that is no longer part of the log. It returns true when the caller must Release it after unlocking.
func (c *tailChunk) dropLocked() bool {
	c.gone = true
	return c.claimLocked()
}

// claimLocked makes the caller the one who must Release a detached chunk that nobody holds any more; true at most once.
func (c *tailChunk) claimLocked() bool {
	if !c.gone || c.back || c.pins > 0 || c.writing || c.busy {
		return false
	}
	c.back = true
	return true
}

// nextChunkSize goes one size up from a chunk that was filled, and never below what the rest of a batch needs.
func nextChunkSize(last *tailChunk, need int) int {
	size := dir.ChunkSize(need)
	if last != nil && last.filled == len(last.Buf) {
		size = max(size, dir.ChunkSize(min(len(last.Buf)+1, dir.MaxChunk)))
	}
	return size
}

// piece is where a part of a batch goes.
type piece struct {
	chunk *tailChunk
	from  int // in the chunk
	size  int
	fresh bool
}

// reserve finds memory for size bytes at position at of the segment, beginning in the last chunk. Nothing is visible to readers yet. ErrBudget leaves what the log holds as it was.
func (l *Log) reserve(s *segment, at int64, size int, force bool) error {
	err := l.tryReserve(s, at, size, force)
	if err != nil && l.sealWritten(s, at) {
		return l.tryReserve(s, at, size, force)
	}
	return err
}

// sealWritten lets go of the rest of the last chunk when all of it is written. It may be the only memory that could be had, and cannot be while a batch is to begin in it: whoever waited
// for memory would be told that there is some, for ever.
func (l *Log) sealWritten(s *segment, at int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.mu.tail)
	if n == 0 {
		return false
	}
	c := l.mu.tail[n-1]
	if c.segment != s || c.end() != at || c.room() == 0 || c.written < c.filled {
		return false
	}
	c.sealed = true
	return true
}

func (l *Log) tryReserve(s *segment, at int64, size int, force bool) error {
	l.pieces = l.pieces[:0]
	l.mu.Lock()
	var last *tailChunk
	if n := len(l.mu.tail); n > 0 {
		if c := l.mu.tail[n-1]; c.segment == s && c.end() == at {
			last = c
		}
	}
	if last != nil && last.room() > 0 {
		n := min(last.room(), size)
		last.busy = true // from here on it is not evicted
		l.pieces = append(l.pieces, piece{chunk: last, from: last.filled, size: n})
		size -= n
	}
	l.mu.Unlock()
	at += int64(l.reserved())
	wanted := int64(0)
	for size > 0 {
		c := &tailChunk{log: l, segment: s, at: at, busy: true}
		n := nextChunkSize(last, min(size, dir.MaxChunk))
		wanted += int64(n)
		if c.Chunk = l.dir.Share().Take(n, c, force); c.Chunk == nil {
			l.wanted.Store(wanted)
			l.unreserve()
			return ErrBudget
		}
		n = min(len(c.Buf), size)
		l.pieces = append(l.pieces, piece{chunk: c, size: n, fresh: true})
		size -= n
		at += int64(n)
		last = nil
	}
	return nil
}

func (l *Log) reserved() int {
	n := 0
	for _, p := range l.pieces {
		n += p.size
	}
	return n
}

// unreserve gives back what reserve took.
func (l *Log) unreserve() {
	for _, p := range l.pieces {
		if p.fresh {
			p.chunk.Release()
			continue
		}
		l.mu.Lock()
		p.chunk.busy = false
		again := !p.chunk.gone && p.chunk.written == p.chunk.filled
		l.mu.Unlock()
		if again {
			p.chunk.Evictable(p.chunk) // whoever asked for it meanwhile was refused
		}
	}
	clear(l.pieces)
	l.pieces = l.pieces[:0]
}
