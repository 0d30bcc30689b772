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
//
// Frames that grow as their bytes come in could all hold a part and wait for the rest. So as much as the largest frame takes is set aside for one of them at a
// time, the claimant, which also asks first. When it has been served the next in line is the claimant, and so they are served one by one at least.
type budget struct {
	limits [purposes]int64 // of everything that is reserved for this purpose and, for forAnswer, of everything
	aside  int64           // of the frames' share, for the claimant

	mu struct {
		sync.Mutex
		used    [purposes]int64
		waiting [purposes]list.List // of *waiter
		granted time.Time           // when somebody who waited was last granted
		claim   claim
	}

	waits *metric.Counter
	short func() // called without a lock when somebody begins to wait
}

type waiter struct {
	owner   *Conn
	n       int64
	growing bool
	since   time.Time
	granted chan struct{} // closed under mu
}

// claim is nobody's when there is no owner. What the owner was granted since it has it does not count as taken from the others.
type claim struct {
	owner *Conn
	taken int64
}

// newBudget makes a budget in which one frame of up to aside bytes can always be received.
func newBudget(limit, aside int64, waits *metric.Counter, short func()) *budget {
	return &budget{limits: [purposes]int64{forFrame: frameShare(limit), forAnswer: limit}, aside: aside, waits: waits, short: short}
}

func frameShare(limit int64) int64 { return limit / 4 * 3 }

// mostOf is the most that can be asked for at once: what will be there when everybody else for the same purpose has finished. For answers and decoding that
// is what frames can never take.
func (b *budget) mostOf(p purpose) int64 {
	if p == forFrame {
		return b.limits[forFrame]
	}
	return b.limits[forAnswer] - b.limits[forFrame]
}

// tryReserve takes n bytes if nobody has to wait for that. Growing says that they are for a frame that may ask for more before it can be served.
func (b *budget) tryReserve(owner *Conn, n int64, p purpose, growing bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeLocked(owner, n, p, growing)
}

// takeLocked grants n unless somebody asked before. Answers go before frames: they are nearer to giving everything back.
func (b *budget) takeLocked(owner *Conn, n int64, p purpose, growing bool) bool {
	if growing && b.mu.claim.owner == nil {
		b.mu.claim = claim{owner: owner}
	}
	if b.mu.waiting[forAnswer].Len() > 0 || p == forFrame && b.mu.waiting[forFrame].Len() > 0 && b.mu.claim.owner != owner {
		return false
	}
	if !b.fitsLocked(owner, n, p) {
		return false
	}
	b.addLocked(owner, n, p)
	return true
}

func (b *budget) fitsLocked(owner *Conn, n int64, p purpose) bool {
	limit := b.limits[p]
	if p == forFrame && (owner == nil || b.mu.claim.owner != owner) {
		limit -= b.aside - b.mu.claim.taken
	}
	return b.mu.used[p]+n <= limit && b.usedLocked()+n <= b.limits[forAnswer]
}

func (b *budget) addLocked(owner *Conn, n int64, p purpose) {
	b.mu.used[p] += n
	if p == forFrame && b.mu.claim.owner == owner {
		b.mu.claim.taken = min(b.mu.claim.taken+n, b.aside)
	}
}

// settle gives back what a frame held and ends its claim, if it has it.
func (b *budget) settle(owner *Conn, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveBackLocked(n, forFrame)
	b.unclaimLocked(owner)
	b.grantLocked()
}

// unclaimLocked passes the claim on to the first in line who has a use for it.
func (b *budget) unclaimLocked(owner *Conn) {
	if b.mu.claim.owner != owner {
		return
	}
	b.mu.claim = claim{}
	line := &b.mu.waiting[forFrame]
	for place := line.Front(); place != nil; place = place.Next() {
		if w := place.Value.(*waiter); w.growing {
			b.mu.claim = claim{owner: w.owner}
			line.MoveToFront(place)
			return
		}
	}
}

func (b *budget) usedLocked() int64 { return b.mu.used[forFrame] + b.mu.used[forAnswer] }

// reserve waits until n bytes are granted or stop closes. While it waits the mark says since when.
func (b *budget) reserve(owner *Conn, n int64, p purpose, growing bool, mark *atomic.Int64, stop <-chan struct{}) error {
	if limit := b.mostOf(p); n > limit {
		return fmt.Errorf("%d bytes are more than the %d bytes that are set aside for such", n, limit)
	}
	b.mu.Lock()
	if b.takeLocked(owner, n, p, growing) {
		b.mu.Unlock()
		return nil
	}
	w := &waiter{owner: owner, n: n, growing: growing, since: time.Now(), granted: make(chan struct{})}
	line := &b.mu.waiting[p]
	place := line.PushBack(w)
	if p == forFrame && b.mu.claim.owner == owner {
		line.MoveToFront(place)
	}
	b.mu.Unlock()

	b.waits.Inc()
	mark.Store(owner.server.sinceStart(w.since))
	defer mark.Store(0)
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
		line.Remove(place)
	}
	b.unclaimLocked(owner)
	b.grantLocked()
	return errStopped
}

func (b *budget) release(n int64, p purpose) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveBackLocked(n, p)
	b.grantLocked()
}

func (b *budget) giveBackLocked(n int64, p purpose) {
	b.mu.used[p] -= n
	if b.mu.used[p] < 0 {
		invariant.Check(false, "request memory: %d bytes more were given back than reserved", -b.mu.used[p])
	}
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
			if !b.fitsLocked(w.owner, w.n, p) {
				return
			}
			b.addLocked(w.owner, w.n, p)
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

	everything bool // the whole budget is short, not only the frames' share
}

// relieved tells whether the first in line could go on if what it lacks were given back.
func (s *shortage) relieved() bool { return s.lacks[forFrame] <= 0 && s.lacks[forAnswer] <= 0 }

// concerns tells whether what a connection holds is of the kind that is short.
func (s *shortage) concerns(c *Conn) bool {
	return c.held[forFrame].Load() > 0 || s.everything && c.held[forAnswer].Load() > 0
}

// giveBack counts what a connection holds as given back.
func (s *shortage) giveBack(c *Conn) {
	frame := c.held[forFrame].Load()
	s.lacks[forFrame] -= frame
	s.lacks[forAnswer] -= frame + c.held[forAnswer].Load()
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
			s.everything = s.lacks[forAnswer] > 0
			return s, true
		}
		if p == forFrame {
			return s, false
		}
	}
}
