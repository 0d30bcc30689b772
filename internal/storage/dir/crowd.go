package dir

import (
	"sync/atomic"
	"time"
)

// crowd has those who append at the same time meet in one round.
//
// Whoever appends while a round syncs waits for the next one. The naive committer begins that as soon as the first has ended, without those whom the first served: they are
// answered at this moment and send again a moment later. So clients fall into two groups that wait for each other's rounds, each sync serves half of them, and everything that
// a round costs is paid twice. The crowd counts whom the last round served and who came meanwhile, and waits for as many: until all are there, or for half of the time that the
// last round took. Clients that send when they like, answered or not, are not worth that: they come too seldom for most of the crowd to be there in time, and where it waited in
// vain it does not wait for a number of rounds, which doubles.
type crowd struct {
	stats   *Stats
	appends atomic.Int64 // all so far
	meeting atomic.Int64 // the append that the committer waits for; 0 for none
	met     chan struct{}

	// The committer's own.
	taken    int64     // appends when the last round began
	expected int64     // how many were on the way when it ended
	until    time.Time // when the wait for them ends
	timer    *time.Timer
	vain     int // rounds to go without waiting, after the last wait in vain
	skip     int // what is left of them
}

const (
	// leastGather is the shortest wait that is worth a timer: rounds without a sync are over too soon for one.
	leastGather = 50 * time.Microsecond
	// mostGather bounds the wait, however slow the disk: a client on the same network sends again within it.
	mostGather = time.Millisecond
	// mostVain bounds the rounds that do not wait after one that did in vain.
	mostVain = 127
	// leastMissing is how many must be missing: a single one saves little, and may be anybody.
	leastMissing = 2
)

func newCrowd(stats *Stats) crowd {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return crowd{stats: stats, met: make(chan struct{}, 1), timer: t}
}

// add counts an append. It never blocks.
func (c *crowd) add() {
	if n := c.appends.Add(1); n == c.meeting.Load() {
		select {
		case c.met <- struct{}{}:
		default:
		}
	}
}

// gather waits, if somebody is there already, for the others.
func (c *crowd) gather(stop <-chan struct{}) {
	here := c.appends.Load() - c.taken
	missing := c.expected - here
	if here == 0 || missing < leastMissing {
		return
	}
	wait := time.Until(c.until)
	if wait < leastGather {
		return
	}
	if c.skip > 0 {
		c.skip--
		return
	}
	c.meeting.Store(c.taken + c.expected)
	if c.appends.Load() < c.taken+c.expected {
		c.timer.Reset(wait)
		select {
		case <-c.met:
		case <-c.timer.C:
		case <-stop:
		}
		c.timer.Stop()
	}
	c.stats.Gathers.Add(1)
	c.meeting.Store(0)
	select {
	case <-c.met: // came after the wait had ended
	default:
	}
	if 4*(c.taken+c.expected-c.appends.Load()) > missing {
		c.stats.GathersInVain.Add(1)
		c.vain = min(2*c.vain+1, mostVain)
	} else {
		c.vain = 0
	}
	c.skip = c.vain
}

// begin notes that a round takes what has been appended so far.
func (c *crowd) begin() (served int64) {
	n := c.appends.Load()
	served = n - c.taken
	c.taken = n
	return served
}

// end notes how a round went that served so many appends and took so long.
func (c *crowd) end(served int64, took time.Duration) {
	c.expected = served + c.appends.Load() - c.taken
	c.until = time.Now().Add(min(took/2, mostGather))
}
