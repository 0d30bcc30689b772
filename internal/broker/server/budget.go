package server

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/metric"
)

// errStopped says that the connection ended while it waited for memory.
var errStopped = errors.New("the connection ended while it waited for memory")

// purpose is what memory is reserved for. Each has a part that the others cannot take, so that what is short for one is there for the others:
//
//   - Usual frames have theirs for themselves. Whoever fills the rest, with half of huge frames or with answers that nobody reads, delays none of them.
//   - Large frames and answers share the rest, of which large frames may not take all: a request that has come in as a whole always finds memory in the end, and
//     gives its own back. Answers go first: they are nearer to giving everything back.
type purpose uint8

const (
	forFrame  purpose = iota // requests of up to usualFrame bytes that are being received or served
	forLarge                 // larger ones
	forAnswer                // decoding a request, and the bodies of responses
	purposes
)

// usualFrame is above what producers send at once unless they are told to: Kafka's and librdkafka's stop at a megabyte.
const usualFrame = 5 << 18

// purposeOf is the one of a frame that announced so many bytes.
func purposeOf(size int) purpose {
	if size > usualFrame {
		return forLarge
	}
	return forFrame
}

// budget is the memory that all requests and answers in flight of a node may take together.
//
// Frames that grow as their bytes come in could all hold a part and wait for the rest. So, for either kind, as much as the largest frame takes is set aside for one
// of them at a time, the claimant, which also asks first. When it has been served the next in line is the claimant, and so they are served one by one at least.
type budget struct {
	limits [purposes]int64 // of what is reserved for the purpose; forAnswer: of what large frames and answers take together
	aside  [purposes]int64 // of that, for the claimant

	mu struct {
		sync.Mutex
		used    [purposes]int64
		claims  [purposes]claim
		newest  [purposes]bool      // it is the newest's turn
		waiting [purposes]list.List // of *waiter
		granted [purposes]time.Time // when somebody who waited was last granted
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
	owner  *Conn
	taken  int64
	newest bool // it came to the owner for being the newest in line
}

// newBudget divides limit bytes so that a request of maxRequest bytes can always be received.
func newBudget(limit int64, maxRequest int, waits *metric.Counter, short func()) *budget {
	b := &budget{waits: waits, short: short}
	frames := limit / 4 * 3
	b.aside[forFrame] = int64(ladder(min(maxRequest, usualFrame)))
	if maxRequest > usualFrame {
		b.aside[forLarge] = int64(ladder(maxRequest))
		b.limits[forLarge] = b.aside[forLarge] + (frames-b.aside[forLarge])/4
	}
	b.limits[forFrame] = frames - b.limits[forLarge]
	b.limits[forAnswer] = limit - b.limits[forFrame]
	return b
}

// budgetFor is the smallest budget in which a request of that size, and a usual one beside it, can always be received with the buffer it is read through.
func budgetFor(maxRequest int) int64 {
	frames := int64(ladder(maxRequest)) + bulkSize
	if maxRequest > usualFrame {
		frames += 2 << 20
	}
	return frames + frames/3 + 4
}

// mostOf is the most that can be asked for at once: what will be there when everybody else for the same purpose has finished. For answers and decoding that
// is what frames can never take.
func (b *budget) mostOf(p purpose) int64 {
	if p == forAnswer {
		return b.limits[forAnswer] - b.limits[forLarge]
	}
	return b.limits[p]
}

// tryReserve takes n bytes if nobody has to wait for that. Growing says that they are for a frame that may ask for more before it can be served.
func (b *budget) tryReserve(owner *Conn, n int64, p purpose, growing bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeLocked(owner, n, p, growing)
}

// takeLocked grants n unless somebody asked before.
func (b *budget) takeLocked(owner *Conn, n int64, p purpose, growing bool) bool {
	if growing && b.mu.claims[p].owner == nil {
		b.mu.claims[p].owner = owner
	}
	switch {
	case b.mu.waiting[p].Len() > 0 && !b.claimsLocked(owner, p), p == forLarge && b.mu.waiting[forAnswer].Len() > 0, b.lackLocked(owner, n, p) > 0:
		return false
	}
	b.addLocked(owner, n, p)
	return true
}

func (b *budget) claimsLocked(owner *Conn, p purpose) bool {
	return owner != nil && b.mu.claims[p].owner == owner
}

// lackLocked tells how many bytes somebody must give back before n can be granted; none when it is not positive.
func (b *budget) lackLocked(owner *Conn, n int64, p purpose) int64 {
	limit := b.limits[p]
	if !b.claimsLocked(owner, p) {
		limit -= b.aside[p] - b.mu.claims[p].taken
	}
	lack := b.mu.used[p] + n - limit
	if p != forFrame {
		lack = max(lack, b.mu.used[forLarge]+b.mu.used[forAnswer]+n-b.limits[forAnswer])
	}
	return lack
}

func (b *budget) addLocked(owner *Conn, n int64, p purpose) {
	b.mu.used[p] += n
	if b.claimsLocked(owner, p) {
		b.mu.claims[p].taken = min(b.mu.claims[p].taken+n, b.aside[p])
	}
}

// settle gives back what a frame held and ends its claim, if it has it.
func (b *budget) settle(owner *Conn, n int64, p purpose) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveBackLocked(n, p)
	b.unclaimLocked(owner, p)
	b.grantLocked()
}

// unclaimLocked passes the claim on, by turns to the one who waits longest of those that have a use for it, and to the newest.
func (b *budget) unclaimLocked(owner *Conn, p purpose) {
	if !b.claimsLocked(owner, p) {
		return
	}
	line := &b.mu.waiting[p]
	next := claim{newest: !b.mu.claims[p].newest}
	first, step := line.Front(), (*list.Element).Next
	if next.newest {
		first, step = line.Back(), (*list.Element).Prev
	}
	for place := first; place != nil && next.owner == nil; place = step(place) {
		if w := place.Value.(*waiter); w.growing {
			next.owner = w.owner
			line.MoveToFront(place)
			break
		}
	}
	b.mu.claims[p] = next
}

// reserve waits until n bytes are granted or stop closes.
func (b *budget) reserve(owner *Conn, n int64, p purpose, growing bool, stop <-chan struct{}) error {
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
	if b.claimsLocked(owner, p) {
		line.MoveToFront(place)
	}
	b.mu.Unlock()

	b.waits.Inc()
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
	b.unclaimLocked(owner, p)
	b.grantLocked()
	return errStopped
}

// nextLocked is whose turn it is: the claimant's, else by turns the one's who waits longest, so that nobody waits for ever, and the newest's, whom a crowd that was
// there first must not hold up.
func (b *budget) nextLocked(p purpose) *list.Element {
	line := &b.mu.waiting[p]
	if front := line.Front(); front == nil || !b.mu.newest[p] || b.claimsLocked(front.Value.(*waiter).owner, p) {
		return front
	}
	return line.Back()
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

// grantLocked serves the waiting.
func (b *budget) grantLocked() {
	b.grantLineLocked(forFrame)
	if b.grantLineLocked(forAnswer) {
		b.grantLineLocked(forLarge)
	}
}

// grantLineLocked serves those who wait for one purpose until the next does not fit. It returns whether nobody is left.
func (b *budget) grantLineLocked(p purpose) bool {
	for next := b.nextLocked(p); next != nil; next = b.nextLocked(p) {
		w := next.Value.(*waiter)
		if b.lackLocked(w.owner, w.n, p) > 0 {
			return false
		}
		b.addLocked(w.owner, w.n, p)
		b.mu.waiting[p].Remove(next)
		b.mu.newest[p] = !b.mu.newest[p]
		close(w.granted)
		b.mu.granted[p] = time.Now()
	}
	return true
}

// used returns how much is reserved.
func (b *budget) used() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, used := range b.mu.used {
		n += used
	}
	return n
}

func (b *budget) waiters() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.mu.waiting {
		n += b.mu.waiting[p].Len()
	}
	return n
}

// shortage is what keeps those who wait for one purpose waiting.
type shortage struct {
	purpose purpose
	first   *Conn     // whose turn it is
	since   time.Time // since when nobody who waits has been granted anything
	needs   int64     // how much that one lacks
	lack    int64     // how much all of them lack
	shared  bool      // what large frames and answers share is short
}

// held is how much a connection would give back of what is short.
func (s *shortage) held(c *Conn) int64 {
	if s.purpose == forFrame {
		return c.held[forFrame].Load()
	}
	n := c.held[forLarge].Load()
	if s.shared {
		n += c.held[forAnswer].Load()
	}
	return n
}

// shortage returns false when nobody waits for a purpose.
func (b *budget) shortage(p purpose) (s shortage, short bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := &b.mu.waiting[p]
	next := b.nextLocked(p)
	if next == nil {
		return s, false
	}
	w := next.Value.(*waiter)
	s = shortage{purpose: p, first: w.owner, since: w.since, needs: b.lackLocked(w.owner, w.n, p)}
	if b.mu.granted[p].After(s.since) {
		s.since = b.mu.granted[p]
	}
	wanted := int64(0)
	for place := line.Front(); place != nil && wanted < b.limits[p]; place = place.Next() {
		wanted += place.Value.(*waiter).n
	}
	s.lack = b.lackLocked(nil, wanted, p)
	s.shared = p != forFrame && b.mu.used[forLarge]+b.mu.used[forAnswer]+wanted > b.limits[forAnswer]
	return s, true
}
