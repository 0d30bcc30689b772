package server

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/metric"
)

// errStopped says that the connection ended while it waited for memory.
var errStopped = errors.New("the connection ended while it waited for memory")

// purpose is what memory is reserved for. Frames still have to be served, which may take more; serving and answering take nothing further. So frames may
// take three quarters of the budget at most: a request that has come in as a whole always finds memory in the end, and gives its own back.
type purpose uint8

const (
	forFrame  purpose = iota // bytes of requests that are being received or served
	forAnswer                // decoding a request, and the bodies of responses
	purposes
)

// budget is the memory that all requests and answers in flight of a node may take together. It is granted in order of asking, for each purpose of its own.
type budget struct {
	limits [purposes]int64 // of everything that is reserved for this purpose and, for forAnswer, of everything

	mu struct {
		sync.Mutex
		used    [purposes]int64
		waiting [purposes]list.List // of *waiter
		granted time.Time           // when somebody who waited was last granted
	}

	waits *metric.Counter
	short func() // called without a lock when somebody begins to wait
}

type waiter struct {
	owner   *Conn
	n       int64
	since   time.Time
	granted chan struct{} // closed under mu
}

func newBudget(limit int64, waits *metric.Counter, short func()) *budget {
	return &budget{limits: [purposes]int64{forFrame: frameShare(limit), forAnswer: limit}, waits: waits, short: short}
}

func frameShare(limit int64) int64 { return limit / 4 * 3 }

// answerShare is the most that one answer or one decoding may ask for: what frames can never take.
func (b *budget) answerShare() int64 { return b.limits[forAnswer] - b.limits[forFrame] }

func (b *budget) tryReserve(n int64, p purpose) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeLocked(n, p)
}

// takeLocked grants n unless somebody asked before. Answers go before frames: they are nearer to giving everything back.
func (b *budget) takeLocked(n int64, p purpose) bool {
	for q := p; q < purposes; q++ {
		if b.mu.waiting[q].Len() > 0 {
			return false
		}
	}
	return b.fitsLocked(n, p) && b.addLocked(n, p)
}

func (b *budget) fitsLocked(n int64, p purpose) bool {
	return b.mu.used[p]+n <= b.limits[p] && b.usedLocked()+n <= b.limits[forAnswer]
}

func (b *budget) addLocked(n int64, p purpose) bool {
	b.mu.used[p] += n
	return true
}

func (b *budget) usedLocked() int64 { return b.mu.used[forFrame] + b.mu.used[forAnswer] }

// reserve waits until n bytes are granted or stop closes.
func (b *budget) reserve(owner *Conn, n int64, p purpose, since *atomic.Int64, stop <-chan struct{}) error {
	if limit := b.limits[p]; n > limit {
		return fmt.Errorf("%d bytes are more than the %d bytes there are for requests", n, limit)
	}
	b.mu.Lock()
	if b.takeLocked(n, p) {
		b.mu.Unlock()
		return nil
	}
	w := &waiter{owner: owner, n: n, since: time.Now(), granted: make(chan struct{})}
	place := b.mu.waiting[p].PushBack(w)
	b.mu.Unlock()

	b.waits.Inc()
	if since != nil {
		since.Store(owner.server.sinceStart(w.since))
		defer since.Store(0)
	}
	b.short()
	select {
	case <-w.granted:
		return nil
	case <-stop:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted: // just before stop: hand it back
		b.mu.used[p] -= n
	default:
		b.mu.waiting[p].Remove(place)
	}
	b.grantLocked()
	return errStopped
}

func (b *budget) release(n int64, p purpose) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.used[p] -= n
	invariant.Check(b.mu.used[p] >= 0, "request memory: %d bytes more were given back than reserved", -b.mu.used[p])
	b.grantLocked()
}

// grantLocked serves the waiting in their order, answers before frames, until the next in line does not fit.
func (b *budget) grantLocked() {
	for p := forAnswer; ; p-- {
		for {
			front := b.mu.waiting[p].Front()
			if front == nil {
				break
			}
			w := front.Value.(*waiter)
			if !b.fitsLocked(w.n, p) {
				return
			}
			b.addLocked(w.n, p)
			b.mu.waiting[p].Remove(front)
			close(w.granted)
			b.mu.granted = time.Now()
		}
		if p == forFrame {
			return
		}
	}
}

// used returns how much is reserved.
func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.usedLocked()
}

func (b *budget) waiters() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.waiting[forFrame].Len() + b.mu.waiting[forAnswer].Len()
}

// shortage is what keeps the first in line waiting.
type shortage struct {
	first *Conn
	since time.Time // since when nobody who waits has been granted anything
	lacks [purposes]int64
}

// relieved tells whether the first in line could go on if what it lacks were given back.
func (s *shortage) relieved() bool { return s.lacks[forFrame] <= 0 && s.lacks[forAnswer] <= 0 }

// giveBack counts what a connection holds as given back, and tells whether that helps.
func (s *shortage) giveBack(c *Conn) bool {
	frame, answer := c.held[forFrame].Load(), c.held[forAnswer].Load()
	helps := s.lacks[forFrame] > 0 && frame > 0 || s.lacks[forAnswer] > 0 && frame+answer > 0
	if helps {
		s.lacks[forFrame] -= frame
		s.lacks[forAnswer] -= frame + answer
	}
	return helps
}

// shortage returns false when nobody waits.
func (b *budget) shortage() (s shortage, short bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := forAnswer; ; p-- {
		if front := b.mu.waiting[p].Front(); front != nil {
			w := front.Value.(*waiter)
			s.first, s.since = w.owner, w.since
			if b.mu.granted.After(s.since) {
				s.since = b.mu.granted
			}
			s.lacks[forAnswer] = b.usedLocked() + w.n - b.limits[forAnswer]
			if p == forFrame {
				s.lacks[forFrame] = b.mu.used[forFrame] + w.n - b.limits[forFrame]
			}
			return s, true
		}
		if p == forFrame {
			return s, false
		}
	}
}
