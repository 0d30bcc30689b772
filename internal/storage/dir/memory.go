package dir

import (
	"context"
	"sync"
)

// Chunk sizes in bytes. A log begins with a small one and goes up while it fills them.
var chunkSizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

// MaxChunk is the largest chunk; more than that takes several.
const MaxChunk = 1 << 20

// DefaultMemoryBytes is the budget when none is given.
const DefaultMemoryBytes = 64 << 20

// Chunk is a piece of a log's end in memory: first the only copy of what is not written yet, then a cache of what is. Its owner guards Buf.
type Chunk struct {
	Buf   []byte
	Owner ChunkOwner // guarded by Memory.mu

	memory     *Memory
	prev, next *Chunk // among the evictable ones
	listed     bool
}

// ChunkOwner is asked to give a chunk back.
type ChunkOwner interface {
	// Evict detaches the chunk and returns true, unless somebody reads it or it has unwritten bytes. It is called with no lock of this package held.
	Evict(c *Chunk) bool
}

// Memory is the node's memory for the ends of logs: chunks under one budget. A written chunk stays with its log as a cache until another log needs the room.
type Memory struct {
	budget int64

	mu struct {
		sync.Mutex
		total   int64 // bytes in all chunks, free ones included
		pinned  int64 // bytes in chunks that a reader holds
		listed  int64 // bytes in chunks that may be asked for
		free    [len(chunkSizes)][]*Chunk
		oldest  *Chunk // evictable chunks, oldest first
		newest  *Chunk
		waiters []chan struct{}
		shares  map[*Share]struct{}
		refused int64
		evicted int64
	}
}

// NewMemory returns memory of so many bytes; zero means the default.
func NewMemory(bytes int64) *Memory {
	if bytes <= 0 {
		bytes = DefaultMemoryBytes
	}
	m := &Memory{budget: bytes}
	m.mu.shares = map[*Share]struct{}{}
	return m
}

// Share is one directory's claim on the memory: a directory whose disk hangs must leave room for the others.
type Share struct {
	memory *Memory
	wake   func() // has the directory write what it holds

	// Guarded by memory.mu.
	unwritten int64
	held      bool // the directory hangs: who can should not wait for it
	closed    bool // the directory is offline or closed
}

func (m *Memory) newShare(wake func()) *Share {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &Share{memory: m, wake: wake}
	m.mu.shares[s] = struct{}{}
	return s
}

// close ends the claim, once.
func (s *Share) close() {
	m := s.memory
	m.mu.Lock()
	if !s.closed {
		s.closed = true
		delete(m.mu.shares, s)
	}
	wake := m.wakeLocked()
	m.mu.Unlock()
	release(wake)
}

// hold tells those who wait whether the directory hangs.
func (s *Share) hold(held bool) {
	m := s.memory
	m.mu.Lock()
	s.held = held
	wake := m.wakeLocked()
	m.mu.Unlock()
	release(wake)
}

// limitLocked leaves each other directory an eighth of the budget, at most half of it in all.
func (s *Share) limitLocked() int64 {
	m := s.memory
	others := min(int64(len(m.mu.shares)-1), 4)
	return m.budget - others*(m.budget/8)
}

// ChunkSize returns the smallest size of a chunk that holds n bytes, or the largest there is.
func ChunkSize(n int) int {
	for _, size := range chunkSizes {
		if n <= size {
			return size
		}
	}
	return MaxChunk
}

func class(size int) int {
	for i, s := range chunkSizes {
		if s == size {
			return i
		}
	}
	panic("BUG: dir: a chunk of no known size")
}

// Take returns a chunk of the given size (one of ChunkSize's) for so many unwritten bytes, or nil when there is no room: then Wait, with no lock held, and try again.
// With force the budget may be passed, up to twofold: for appends that the node needs for itself.
func (s *Share) Take(size int, owner ChunkOwner, force bool) *Chunk {
	m := s.memory
	k := class(size)
	m.mu.Lock()
	if !force && s.unwritten >= s.limitLocked() {
		m.mu.refused++
		m.mu.Unlock()
		return nil
	}
	limit := m.budget
	for {
		if n := len(m.mu.free[k]); n > 0 {
			c := m.mu.free[k][n-1]
			m.mu.free[k][n-1] = nil
			m.mu.free[k] = m.mu.free[k][:n-1]
			c.Owner = owner
			m.mu.Unlock()
			return c
		}
		if m.mu.total+int64(size) <= limit {
			m.mu.total += int64(size)
			m.mu.Unlock()
			return &Chunk{Buf: make([]byte, size), Owner: owner, memory: m}
		}
		if m.dropFreeLocked() {
			continue
		}
		c := m.mu.oldest
		if c == nil {
			if force && limit == m.budget {
				limit *= 2
				continue
			}
			m.mu.refused++
			m.mu.Unlock()
			return nil
		}
		m.unlistLocked(c)
		holder := c.Owner
		m.mu.Unlock()
		evicted := holder.Evict(c)
		m.mu.Lock()
		if evicted {
			m.mu.evicted++
			c.Owner = nil
			m.mu.free[class(len(c.Buf))] = append(m.mu.free[class(len(c.Buf))], c)
		}
	}
}

// dropFreeLocked gives a free chunk of any size to the garbage collector, so that one of another size fits.
func (m *Memory) dropFreeLocked() bool {
	for k := range m.mu.free {
		if n := len(m.mu.free[k]); n > 0 {
			m.mu.total -= int64(chunkSizes[k])
			m.mu.free[k][n-1] = nil
			m.mu.free[k] = m.mu.free[k][:n-1]
			return true
		}
	}
	return false
}

// Unwritten counts bytes that were appended (n > 0) or written (n < 0).
func (s *Share) Unwritten(n int64) {
	m := s.memory
	m.mu.Lock()
	s.unwritten += n
	var wake []chan struct{}
	if n < 0 {
		wake = m.wakeLocked()
	}
	m.mu.Unlock()
	release(wake)
}

// Evictable says that the chunk is written, and may be asked for. Calling it again, or for a chunk that has another owner by now, does nothing.
func (c *Chunk) Evictable(owner ChunkOwner) {
	m := c.memory
	m.mu.Lock()
	if !c.listed && c.Owner == owner {
		c.listed = true
		m.mu.listed += int64(len(c.Buf))
		c.prev = m.mu.newest
		if c.prev != nil {
			c.prev.next = c
		} else {
			m.mu.oldest = c
		}
		m.mu.newest = c
	}
	wake := m.wakeLocked()
	m.mu.Unlock()
	release(wake)
}

// Release gives the chunk back at once.
func (c *Chunk) Release() {
	m := c.memory
	m.mu.Lock()
	m.unlistLocked(c)
	c.Owner = nil
	if m.mu.total > m.budget {
		m.mu.total -= int64(len(c.Buf))
	} else {
		k := class(len(c.Buf))
		m.mu.free[k] = append(m.mu.free[k], c)
	}
	wake := m.wakeLocked()
	m.mu.Unlock()
	release(wake)
}

func (m *Memory) unlistLocked(c *Chunk) {
	if !c.listed {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		m.mu.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		m.mu.newest = c.prev
	}
	c.prev, c.next, c.listed = nil, nil, false
	m.mu.listed -= int64(len(c.Buf))
}

// Pin reserves a chunk for a reader. It refuses, unless forced, when readers hold half of the budget: then the file serves.
func (m *Memory) Pin(bytes int, force bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !force && m.mu.pinned+int64(bytes) > m.budget/2 {
		return false
	}
	m.mu.pinned += int64(bytes)
	return true
}

// Unpin ends what Pin began.
func (m *Memory) Unpin(bytes int) {
	m.mu.Lock()
	m.mu.pinned -= int64(bytes)
	wake := m.wakeLocked()
	m.mu.Unlock()
	release(wake)
}

// wakeLocked takes everybody who waits: room for one may be room for many, and who finds none waits again.
func (m *Memory) wakeLocked() []chan struct{} {
	w := m.mu.waiters
	m.mu.waiters = nil
	return w
}

func release(waiters []chan struct{}) {
	for _, w := range waiters {
		close(w)
	}
}

// Wait returns when there may be room for so many bytes of chunks again, or when the directory is offline and there will never be any, or with the context's error. Whoever was refused
// must ask for all that he needs: a batch that takes two chunks gives the first back when there is no second, and must not be told that there is one. Who is impatient does not wait for
// a directory that hangs either.
func (s *Share) Wait(ctx context.Context, bytes int64, impatient bool) error {
	m := s.memory
	m.mu.Lock()
	if s.closed || impatient && s.held || s.unwritten < s.limitLocked() && m.roomLocked(bytes) {
		m.mu.Unlock()
		return nil
	}
	w := make(chan struct{})
	m.mu.waiters = append(m.mu.waiters, w)
	for other := range m.mu.shares { // who waits here may have appends of its own held (Dir.Hold)
		other.wake()
	}
	m.mu.Unlock()
	select {
	case <-w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// roomLocked tells whether so many bytes could be had, from what is free, what may be asked for, and the budget. What can never be had is not waited for.
func (m *Memory) roomLocked(bytes int64) bool {
	room := m.budget - m.mu.total + m.mu.listed
	for k := range m.mu.free {
		room += int64(len(m.mu.free[k]) * chunkSizes[k])
	}
	return room >= min(bytes, m.budget)
}

// MemoryStats is what Memory holds at the moment, in bytes, and what it had to do.
type MemoryStats struct {
	Budget, Total, Pinned, Unwritten int64
	Refused, Evicted                 int64 // counts
}

// Stats returns the figures of the moment; Unwritten is the share's own.
func (s *Share) Stats() MemoryStats {
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	return MemoryStats{Budget: m.budget, Total: m.mu.total, Pinned: m.mu.pinned, Unwritten: s.unwritten, Refused: m.mu.refused, Evicted: m.mu.evicted}
}
