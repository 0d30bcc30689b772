package partition

import (
	"sync/atomic"

	"github.com/ottla/ottla/internal/kafka/model"
)

// unfinished marks a slot whose partition has not answered yet.
const unfinished = int32(1 << 20)

// Ticket stands for one produce request while its partitions make the records safe: one slot each.
type Ticket struct {
	slots   []atomic.Int32
	pending atomic.Int32
	done    chan struct{}
}

// NewTicket returns a ticket with n open slots. With n zero it is done already.
func NewTicket(n int) *Ticket {
	t := &Ticket{slots: make([]atomic.Int32, n), done: make(chan struct{})}
	for i := range t.slots {
		t.slots[i].Store(unfinished)
	}
	t.pending.Store(int32(n))
	if n == 0 {
		close(t.done)
	}
	return t
}

// Done is closed when every slot is completed.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Ready tells whether every slot is completed.
func (t *Ticket) Ready() bool { return t.pending.Load() <= 0 }

// Complete settles one slot. It may be called from any goroutine, once per slot, with no lock held.
func (t *Ticket) Complete(slot int, code model.ErrorCode) {
	if t.slots[slot].Swap(int32(code)) != unfinished {
		panic("BUG: partition: a ticket's slot was completed twice")
	}
	if t.pending.Add(-1) == 0 {
		close(t.done)
	}
}

// Code returns how a slot ended, or RequestTimedOut while it has not.
func (t *Ticket) Code(slot int) model.ErrorCode {
	code := t.slots[slot].Load()
	if code == unfinished {
		return model.RequestTimedOut
	}
	return model.ErrorCode(code)
}

// waiter is one slot that waits for the log to get as far as end.
type waiter struct {
	end    int64
	ticket *Ticket
	slot   int
}

// queue holds waiters in the order of their appends.
type queue struct{ waiters []waiter }

func (q *queue) push(w waiter) { q.waiters = append(q.waiters, w) }

// pop appends to out the waiters at the front that end at or before reached. A duplicate's end may lie before its neighbours'; it then waits for them, which
// is longer than it must and never shorter.
func (q *queue) pop(reached int64, out []waiter) []waiter {
	n := 0
	for n < len(q.waiters) && q.waiters[n].end <= reached {
		n++
	}
	out = append(out, q.waiters[:n]...)
	if n == len(q.waiters) {
		clear(q.waiters)
		q.waiters = q.waiters[:0]
		if cap(q.waiters) > keptWaiters {
			q.waiters = nil
		}
		return out
	}
	left := copy(q.waiters, q.waiters[n:])
	clear(q.waiters[left:])
	q.waiters = q.waiters[:left]
	return out
}

// keptWaiters is the room that an idle partition keeps for its waiters.
const keptWaiters = 8

func (q *queue) drain(out []waiter) []waiter {
	out = append(out, q.waiters...)
	q.waiters = nil
	return out
}
