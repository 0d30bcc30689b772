package partition

import (
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
)

// unfinished marks a slot whose partition has not answered yet.
const unfinished = int32(1 << 20)

// Ticket stands for one produce request while its partitions make the records safe: one slot each.
type Ticket struct {
	slots    []atomic.Int32
	pending  atomic.Int32
	done     chan struct{} // one value, sent when the last slot was completed
	received bool          // the owner's: that value is out of the channel

	// MayHold says that the owner calls Help or Pass of the directory Held, once there is one, before it waits for anything but room: the slots are completed only after that.
	MayHold bool
	Held    *dir.Dir
}

// keptSlots bounds what a ticket that is used again keeps.
const keptSlots = 1024

// NewTicket returns a ticket with n open slots. With n zero it is done already.
func NewTicket(n int) *Ticket {
	t := &Ticket{done: make(chan struct{}, 1)}
	t.open(n)
	return t
}

func (t *Ticket) open(n int) {
	if n > cap(t.slots) {
		t.slots = make([]atomic.Int32, n)
	}
	t.slots = t.slots[:n]
	for i := range t.slots {
		t.slots[i].Store(unfinished)
	}
	t.received, t.MayHold, t.Held = false, false, nil
	t.pending.Store(int32(n))
	if n == 0 {
		t.done <- struct{}{}
	}
}

// Reopen makes the ticket one with n open slots, if nobody can touch it any more: every slot was completed. When it returns false the ticket must be left alone,
// because a partition still holds it.
func (t *Ticket) Reopen(n int) bool {
	if !t.Ready() || cap(t.slots) > keptSlots {
		return false
	}
	if !t.received {
		<-t.done // sending it is the last thing that who completes the last slot does with the ticket; it may be about to
	}
	t.open(n)
	return true
}

// Await returns when every slot is completed, or when one of the channels says so. It is the owner's to call.
func (t *Ticket) Await(timeout <-chan time.Time, stop <-chan struct{}) {
	if t.received {
		return
	}
	select {
	case <-t.done:
		t.received = true
	case <-timeout:
	case <-stop:
	}
}

// Ready tells whether every slot is completed.
func (t *Ticket) Ready() bool { return t.pending.Load() <= 0 }

// Complete settles one slot. It may be called from any goroutine, once per slot, with no lock held.
func (t *Ticket) Complete(slot int, code model.ErrorCode) {
	if t.slots[slot].Swap(int32(code)) != unfinished {
		panic("BUG: partition: a ticket's slot was completed twice")
	}
	if t.pending.Add(-1) == 0 {
		t.done <- struct{}{}
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
