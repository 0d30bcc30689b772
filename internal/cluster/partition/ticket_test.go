package partition

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
)

func TestATicketIsUsedAgainOnlyWhenNobodyHoldsIt(t *testing.T) {
	ticket := NewTicket(2)
	ticket.Complete(0, model.None)
	fired := make(chan time.Time, 1)
	fired <- time.Time{}
	ticket.Await(fired, nil)
	if ticket.Ready() || ticket.Code(0) != model.None || ticket.Code(1) != model.RequestTimedOut {
		t.Fatal("a slot that nobody completed is not open")
	}
	if ticket.Reopen(1) {
		t.Fatal("a ticket with an open slot was given out again")
	}
	ticket.Complete(1, model.NotLeaderForPartition) // late: nobody waits any more
	if !ticket.Reopen(3) {
		t.Fatal("a completed ticket was not given out again")
	}
	if ticket.Ready() || ticket.Code(1) != model.RequestTimedOut {
		t.Fatal("a reopened ticket remembers its last use")
	}
	for i := range 3 {
		ticket.Complete(i, model.None)
	}
	ticket.Await(nil, nil)
	ticket.Await(nil, nil) // the second returns too
	if !ticket.Reopen(0) || !ticket.Ready() {
		t.Fatal("a ticket without slots is not done")
	}
	ticket.Await(nil, nil)
	if !ticket.Reopen(1) || ticket.Ready() {
		t.Fatal("a ticket without slots cannot be reopened")
	}
	if NewTicket(keptSlots + 1).Reopen(1) {
		t.Fatal("a large ticket is kept")
	}
}

// TestReopenedTicketsNeverWakeEarly lets partitions complete a ticket that is reopened the moment it is ready, with and without waiting for the channel: a value
// left over from one use would end the next before its time.
func TestReopenedTicketsNeverWakeEarly(t *testing.T) {
	work := make(chan int)
	ticket := NewTicket(0)
	var partitions sync.WaitGroup
	for range 3 {
		partitions.Go(func() {
			for slot := range work {
				ticket.Complete(slot, model.None)
			}
		})
	}
	for i := range 20_000 {
		if !ticket.Reopen(3) {
			t.Fatalf("use %d: a completed ticket was not given out again", i)
		}
		for slot := range 3 {
			work <- slot
		}
		if i%2 == 0 {
			ticket.Await(nil, nil)
			if !ticket.Ready() {
				t.Fatalf("use %d: woken before every slot was completed", i)
			}
			continue
		}
		for !ticket.Ready() { // as a writer does that finds it ready and does not wait
			ticket.Await(closedTime, nil)
			runtime.Gosched() // one processor is enough
		}
	}
	close(work)
	partitions.Wait()
}

var closedTime = func() chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()
