package session

import (
	"math"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/kafka/model"
)

// The epochs that open a full fetch.
const (
	InitialEpoch = 0  // ends the session named, if any, and asks for a new one
	FinalEpoch   = -1 // ends the session named, if any, and asks for none
)

// MaxPartitions bounds the partitions of all sessions of a cache together, about 100 bytes each. A long name counts like several: nobody has looked yet whether there is
// such a topic, and a name that a client makes up may have 32 KB.
const MaxPartitions = 1 << 20

// Cache holds the sessions of a broker.
type Cache struct {
	slots         int
	minEvictionMs int64
	maxPartitions int

	sessions   map[int32]*session
	oldest     *session // by last use
	newest     *session
	forAny     evictables // what anyone may evict
	forFollow  evictables // what a follower may evict
	partitions int        // what all sessions cost: their slots, and more for long names
	evictions  int64
}

// New returns a cache of so many sessions (max.incremental.fetch.session.cache.slots; none with 0), of which each may stay for at least so long after its
// last use or its creation.
func New(slots int, minEvictionMs int64) *Cache {
	return &Cache{
		slots: slots, minEvictionMs: minEvictionMs, maxPartitions: MaxPartitions, sessions: map[int32]*session{},
		forAny:    evictables{place: func(s *session) *int { return &s.anyPlace }},
		forFollow: evictables{place: func(s *session) *int { return &s.followPlace }},
	}
}

// Request is what a fetch request says of its session.
type Request struct {
	SessionID  int32
	Epoch      int32
	ByID       bool // topics are named by id: version 13 and above
	Follower   bool // followers' sessions are privileged
	Partitions []Partition
	Forgotten  []Forgotten
}

// Context is a fetch under way.
type Context struct {
	// Partitions are what to read, in this order. Finish takes the results in the same order.
	Partitions []Partition

	kind     kind
	session  *session // of an incremental fetch
	epoch    int32    // that the session must still have at the end
	byID     bool
	follower bool
}

type kind int8

const (
	sessionless kind = iota
	full
	incremental
)

// Begin opens a fetch. An error code is the whole answer, with session id 0. The partitions of an incremental fetch are put into buffer, which the caller may
// use again after Finish; other fetches get the request's own.
func (c *Cache) Begin(nowMs int64, r *Request, buffer []Partition) (Context, model.ErrorCode) {
	if r.Epoch == InitialEpoch || r.Epoch == FinalEpoch {
		if s := c.sessions[r.SessionID]; s != nil {
			c.remove(s)
		}
		ctx := Context{Partitions: r.Partitions, byID: r.ByID, follower: r.Follower}
		if r.Epoch == InitialEpoch {
			ctx.kind = full
		}
		return ctx, model.None
	}
	s := c.sessions[r.SessionID]
	switch {
	case s == nil:
		return Context{}, model.FetchSessionIDNotFound
	case s.epoch != r.Epoch:
		return Context{}, model.InvalidFetchSessionEpoch
	case s.byID != r.ByID:
		return Context{}, model.FetchSessionTopicIDError
	}
	if !c.update(s, r) {
		c.remove(s)
		return Context{}, model.FetchSessionIDNotFound // the client starts over, and gets no session
	}
	if s.size == 0 {
		c.remove(s)
		return Context{Partitions: r.Partitions}, model.None
	}
	s.epoch = nextEpoch(s.epoch)
	c.touch(s, nowMs)
	return Context{Partitions: s.list(buffer[:0]), kind: incremental, session: s, epoch: s.epoch}, model.None
}

// update takes in the changes of an incremental request. It is false when the cache cannot hold them.
func (c *Cache) update(s *session, r *Request) bool {
	before := s.cost()
	for i := range r.Partitions {
		p := &r.Partitions[i]
		s.put(p.Topic, p.Partition, p.Fetch)
		if c.partitions+s.cost()-before > c.maxPartitions {
			c.partitions += s.cost() - before
			return false
		}
	}
	for i := range r.Forgotten {
		s.forget(r.Forgotten[i].Topic, r.Forgotten[i].Partition)
	}
	c.partitions += s.cost() - before
	return true
}

// Finish closes a fetch. For each result it puts into show whether the answer must have it; show may be nil unless the fetch is incremental, as all others
// show everything. It returns the session id of the answer, and InvalidFetchSessionEpoch, with which nothing is shown, when the client has sent a further
// request in the meantime. freshID is a random positive number that becomes the id of a new session; nowMs is the present time.
func (c *Cache) Finish(nowMs int64, ctx *Context, results []Result, show []bool, freshID int32) (id int32, code model.ErrorCode) {
	invariant.Check(len(results) == len(ctx.Partitions), "%d results for a fetch of %d partitions", len(results), len(ctx.Partitions))
	if ctx.kind != incremental {
		for i := range show {
			show[i] = true
		}
		if ctx.kind == full {
			id = c.create(nowMs, ctx, results, freshID)
		}
		return id, model.None
	}
	s := ctx.session
	if s.epoch != ctx.epoch {
		clear(show)
		return s.id, model.InvalidFetchSessionEpoch
	}
	for i := range results {
		slot := ctx.Partitions[i].slot
		show[i] = s.entries[slot].news(&results[i])
		if results[i].Records {
			s.back(slot)
		}
	}
	return s.id, model.None
}

// Incremental tells whether the answer to this fetch may leave out partitions without news.
func (ctx *Context) Incremental() bool { return ctx.kind == incremental }

// Size returns how many sessions there are, and how many partitions they have together.
func (c *Cache) Size() (sessions, partitions int) {
	for _, s := range c.sessions {
		partitions += s.size
	}
	return len(c.sessions), partitions
}

// Evictions counts the sessions that had to make room for another.
func (c *Cache) Evictions() int64 { return c.evictions }

// create makes a session of a full fetch, if there is room; its id is 0 otherwise.
func (c *Cache) create(nowMs int64, ctx *Context, results []Result, id int32) int32 {
	size := len(ctx.Partitions)
	if id <= 0 || c.sessions[id] != nil || c.partitions+size+namesCost(ctx.Partitions) > c.maxPartitions {
		return 0
	}
	if len(c.sessions) >= c.slots && !c.evict(nowMs, ctx.follower, size) {
		return 0
	}
	s := newSession(id, ctx.byID, ctx.follower, nowMs)
	s.entries = make([]entry, 0, size)
	for i := range ctx.Partitions {
		p := &ctx.Partitions[i]
		slot := s.put(p.Topic, p.Partition, p.Fetch)
		s.entries[slot].news(&results[i])
	}
	c.partitions += s.cost()
	c.sessions[id] = s
	c.touch(s, nowMs)
	return id
}

// evict makes room for a newcomer: first what has been idle for too long goes, then the least of those that may be evicted, if it is less than the
// newcomer. What is old enough may be evicted by anyone, and what is no follower's by a follower.
func (c *Cache) evict(nowMs int64, follower bool, size int) bool {
	victim := c.oldest
	if victim == nil {
		return false
	}
	if nowMs-victim.usedMs <= c.minEvictionMs {
		from := &c.forAny
		if follower {
			from = &c.forFollow
		}
		victim = from.least()
		if victim == nil || less(follower, size, 0, victim.privileged, victim.ranked, victim.id) {
			return false
		}
	}
	c.remove(victim)
	c.evictions++
	return true
}

// touch marks a session as used now, and ranks it anew.
func (c *Cache) touch(s *session, nowMs int64) {
	c.unlink(s)
	s.usedMs = nowMs
	s.older = c.newest
	if c.newest != nil {
		c.newest.newer = s
	} else {
		c.oldest = s
	}
	c.newest = s
	c.forAny.remove(s)
	c.forFollow.remove(s)
	s.ranked = s.size
	old := nowMs-s.createdMs > c.minEvictionMs
	if old {
		c.forAny.add(s)
	}
	if old || !s.privileged {
		c.forFollow.add(s)
	}
}

func (c *Cache) unlink(s *session) {
	if s.older != nil {
		s.older.newer = s.newer
	} else if c.oldest == s {
		c.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else if c.newest == s {
		c.newest = s.older
	}
	s.older, s.newer = nil, nil
}

// remove ends a session. A fetch of it that is under way is still answered; the next one learns that the session is gone.
func (c *Cache) remove(s *session) {
	c.unlink(s)
	c.forAny.remove(s)
	c.forFollow.remove(s)
	c.partitions -= s.cost()
	delete(c.sessions, s.id)
}

// nextEpoch counts up, and after the largest begins again behind the initial one.
func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}
