package server

import (
	"sync"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

const (
	queueLimit      = 256     // answers that may wait on one connection
	queueHeldLimit  = 1 << 20 // bytes that made bodies in the queue of one connection may hold, but for the last
	queueKeptLength = 64      // a longer ring is dropped when it has become empty
)

// parked is an answer on its way to the client: what is still to be done for it and what its header says.
type parked struct {
	answer  Answer
	body    Body // made already, when answer.Wait is nil
	held    int  // what is reserved for body
	header  responseHeader
	route   *route
	arrived time.Time
	served  time.Time // when stage one ended
}

type responseHeader struct {
	correlationID int32
	flexible      bool
}

// queue holds a connection's answers between its reader and its writer. They never wait for it both: one because it is full, the other because it is empty.
type queue struct {
	mu struct {
		sync.Mutex
		ring   []parked
		head   int
		length int
		held   int
		closed bool
	}
	changed sync.Cond
}

func (q *queue) init() { q.changed.L = &q.mu }

// push waits for room, which the writer makes whatever happens to the connection, and counts when it has to.
func (q *queue) push(p *parked, full *metric.Counter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fullLocked() {
		full.Inc()
	}
	for q.fullLocked() {
		q.changed.Wait()
	}
	if q.mu.length == len(q.mu.ring) {
		q.growLocked()
	}
	q.mu.ring[(q.mu.head+q.mu.length)%len(q.mu.ring)] = *p
	q.mu.length++
	q.mu.held += p.held
	q.changed.Signal()
}

func (q *queue) fullLocked() bool { return q.mu.length == queueLimit || q.mu.held > queueHeldLimit }

func (q *queue) growLocked() {
	ring := make([]parked, max(4, 2*len(q.mu.ring)))
	n := copy(ring, q.mu.ring[q.mu.head:])
	copy(ring[n:], q.mu.ring[:q.mu.head])
	q.mu.ring, q.mu.head = ring, 0
}

// pop takes the first answer. When there is none it returns false, at once or, with wait, when the queue is closed.
func (q *queue) pop(into *parked, wait bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.mu.length == 0 {
		if !wait || q.mu.closed {
			return false
		}
		if len(q.mu.ring) > queueKeptLength {
			q.mu.ring, q.mu.head = nil, 0
		}
		q.changed.Wait()
	}
	first := &q.mu.ring[q.mu.head]
	*into = *first
	*first = parked{}
	q.mu.head = (q.mu.head + 1) % len(q.mu.ring)
	q.mu.length--
	q.mu.held -= into.held
	q.changed.Signal()
	return true
}

// close lets the writer end when the queue is empty. Nothing is pushed afterwards.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = true
	q.changed.Signal()
}
