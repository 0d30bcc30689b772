package api

import (
	"math"
	"math/rand/v2"
	"sync"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/session"
)

// minSessionEvictionMs is how long a fetch session may stay at least, as in Kafka.
const minSessionEvictionMs = 120_000

// Sessions serialises the cache of fetch sessions.
type Sessions struct {
	mu    sync.Mutex
	cache *session.Cache
}

// NewSessions returns a cache of so many fetch sessions.
func NewSessions(slots int) *Sessions {
	return &Sessions{cache: session.New(slots, minSessionEvictionMs)}
}

func (s *Sessions) begin(nowMs int64, r *session.Request, buffer []session.Partition) (session.Context, model.ErrorCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache.Begin(nowMs, r, buffer)
}

func (s *Sessions) finish(nowMs int64, ctx *session.Context, results []session.Result, show []bool) (int32, model.ErrorCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache.Finish(nowMs, ctx, results, show, 1+rand.Int32N(math.MaxInt32-1))
}

// Size returns how many sessions there are, how many partitions they have, and how many had to make room.
func (s *Sessions) Size() (sessions, partitions int, evictions int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions, partitions = s.cache.Size()
	return sessions, partitions, s.cache.Evictions()
}
