package group

import "time"

type timerKind int8

const (
	sessionTimer timerKind = iota // of a member: it fell silent
	pendingTimer                  // of a member id that was given out: it was not used
	joinTimer                     // of a group: the join phase ends
	syncTimer                     // of a group: the sync phase ends
	jobTimer                      // of a job: its next piece is due
	expiryTimer                   // of the machine: offsets may have outlived their retention
)

// timer is one deadline. It is embedded in what it belongs to and is idle while its place is zero.
type timer struct {
	at     time.Time
	order  uint64 // breaks ties: first set, first fired
	place  int    // in the heap, plus one
	kind   timerKind
	group  *group
	member string
	job    *job
}

// timers is a heap of deadlines, the earliest at its root (I3).
type timers struct {
	heap  []*timer
	order uint64
}

// set puts the timer at its new time, wherever it was.
func (q *timers) set(t *timer, at time.Time) {
	q.order++
	t.at, t.order = at, q.order
	if t.place == 0 {
		q.heap = append(q.heap, t)
		t.place = len(q.heap)
		q.up(t.place - 1)
		return
	}
	q.fix(t.place - 1)
}

// stop makes the timer idle.
func (q *timers) stop(t *timer) {
	if t.place == 0 {
		return
	}
	i, last := t.place-1, len(q.heap)-1
	if i != last {
		q.put(i, q.heap[last])
	}
	q.heap[last] = nil
	q.heap = q.heap[:last]
	t.place = 0
	if i != last {
		q.fix(i)
	}
}

// due takes the first timer off the heap if its time has come.
func (q *timers) due(now time.Time) *timer {
	if len(q.heap) == 0 || q.heap[0].at.After(now) {
		return nil
	}
	t := q.heap[0]
	q.stop(t)
	return t
}

// next returns the earliest deadline, or the zero Time.
func (q *timers) next() time.Time {
	if len(q.heap) == 0 {
		return time.Time{}
	}
	return q.heap[0].at
}

func (q *timers) before(i, j int) bool {
	a, b := q.heap[i], q.heap[j]
	if a.at.Equal(b.at) {
		return a.order < b.order
	}
	return a.at.Before(b.at)
}

func (q *timers) put(i int, t *timer) {
	q.heap[i] = t
	t.place = i + 1
}

func (q *timers) swap(i, j int) {
	a, b := q.heap[i], q.heap[j]
	q.put(i, b)
	q.put(j, a)
}

func (q *timers) fix(i int) {
	q.down(i)
	q.up(i)
}

func (q *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.before(i, parent) {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			return
		}
		if child+1 < len(q.heap) && q.before(child+1, child) {
			child++
		}
		if !q.before(child, i) {
			return
		}
		q.swap(i, child)
		i = child
	}
}
