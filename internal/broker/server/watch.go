package server

import (
	"cmp"
	"log/slog"
	"net"
	"slices"
	"time"
)

const (
	watchEveryMax = 5 * time.Second
	watchEveryMin = 10 * time.Millisecond
	// slowestFrame is the rate in bytes per second that a frame may not stay under, after its first FrameTimeout.
	slowestFrame = 16 << 10
	// slowestWhenShort is that rate while others wait for the memory that the frame holds, after StallTimeout.
	slowestWhenShort = 1 << 20
)

// watch enforces the deadlines of all connections: one goroutine that looks now and then, instead of a timer for each read and write. While memory is short it
// looks more often.
func (s *Server) watch() {
	o := &s.options
	calm := min(o.FrameTimeout, o.MemoryTimeout)
	if o.IdleTimeout > 0 {
		calm = min(calm, o.IdleTimeout)
	}
	calm = min(max(calm/8, watchEveryMin), watchEveryMax)
	tense := min(max(o.StallTimeout/4, watchEveryMin), calm)
	ticker := time.NewTicker(calm)
	defer ticker.Stop()
	var rested rested
	for {
		select {
		case <-s.stopping:
			return
		case <-s.hurry:
			ticker.Reset(tense)
		case <-ticker.C:
			now := time.Now()
			connections := s.snapshot()
			asked := 0
			for _, c := range connections {
				c.relieve(s.sinceStart(now.Add(-o.StallTimeout)))
				if why := c.overdue(s.sinceStart(now)); why != open {
					c.expire(why)
				} else if c.unread(s.sinceStart(now)) && peerLeft(c.socket) {
					c.drain(closedByPeer)
				} else if c.askToRest(s.sinceStart(now)) {
					asked++
				}
			}
			rested.note(asked, o.ManyRest)
			short := false
			for p := range purposes {
				short = s.shed(now, p, connections) || short
			}
			if short || asked > 0 { // those that were asked to rest are told of soon
				ticker.Reset(tense)
			} else {
				ticker.Reset(calm)
			}
			s.complaints.settle(now, false)
		}
	}
}

// overdue tells which deadline a connection has missed.
func (c *Conn) overdue(now int64) reason {
	o := &c.server.options
	unsent, writing := c.unsent.Load(), c.writeSince.Load() // before the times: an answer sets those before it counts as sent
	read, write := c.lastRead.Load(), c.lastWrite.Load()
	since := c.frameSince.Load()
	waiting := c.readerWait.Load()
	if w := c.writerWait.Load(); w != 0 && (waiting == 0 || w < waiting) {
		waiting = w
	}
	quiet := now - max(read, write)
	if writing != 0 {
		quiet = now - writing // what was parked for hours and leaves now is not idle
	} else if unsent > 0 && c.inLine.Load() == 0 { // with a request in line nobody reads, and not everywhere can it be told otherwise that the peer has left
		quiet = 0
	}
	switch {
	case waiting != 0:
		if time.Duration(now-waiting) > o.MemoryTimeout {
			return closedNoMemory
		}
	case since != 0:
		allowed := o.FrameTimeout + time.Duration(c.frameSize.Load()/slowestFrame)*time.Second
		if time.Duration(now-read) > o.FrameTimeout || time.Duration(now-since) > allowed {
			return closedSlowFrame
		}
	case o.IdleTimeout > 0 && time.Duration(quiet) > o.IdleTimeout:
		return closedIdle
	}
	return open
}

// unread tells whether nobody has been reading the connection for a while, because the reader waits for what others do, and so nobody would notice that the peer has left.
func (c *Conn) unread(now int64) bool {
	since := max(c.inLine.Load(), c.readerWait.Load())
	return since != 0 && time.Duration(now-since) > c.server.options.StallTimeout
}

// expire closes a connection for a missed deadline. That it was idle is nothing to talk about.
func (c *Conn) expire(why reason) {
	switch why {
	case closedSlowFrame:
		c.complain(why, "closing a connection that did not complete a request in time", slog.Int64("bytes", c.frameSize.Load()),
			slog.Int64("received", c.frameHave.Load()))
	case closedNoMemory:
		c.complain(why, "closing a connection that waited too long for request memory", slog.Int64("limit", c.server.options.BudgetBytes))
	case closedStalled:
		c.forget()
		c.complain(why, "closing a connection that held request memory without making progress while others waited for it",
			slog.Int64("held", c.held[forFrame].Load()+c.held[forLarge].Load()+c.held[forAnswer].Load()))
	}
	c.cut(why)
}

// forget has the system give up what it still keeps for the peer when the socket is closed: it is memory as well.
func (c *Conn) forget() {
	if tcp, ok := c.socket.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a socket that is closed already keeps nothing
	}
}

// shed looks after a shortage of memory for one purpose and reports whether there is one. Of the connections that hold some and make no progress, or too little of it,
// as many are closed as those who wait need, the worst first. When nonetheless nobody who waits was granted anything for the stall timeout, those who hold memory are
// in each other's way: of them as many go as the first in line needs.
func (s *Server) shed(now time.Time, p purpose, connections []*Conn) bool {
	short, ok := s.budget.shortage(p)
	if !ok {
		return false
	}
	worst := rankSlow
	if now.Sub(short.since) >= s.options.StallTimeout {
		worst = rankQueued
	}
	var obstacles []obstacle
	for _, c := range connections {
		if c == short.first || short.held(c) == 0 {
			continue
		}
		if o := c.obstacle(s.sinceStart(now), p, s.options.StallTimeout); o.rank != rankNone && o.rank <= worst {
			obstacles = append(obstacles, o)
		}
	}
	slices.SortFunc(obstacles, func(a, b obstacle) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.worth, b.worth)) })
	for _, o := range obstacles {
		if o.rank <= rankSlow && short.lack <= 0 || o.rank > rankSlow && short.needs <= 0 {
			break
		}
		held := short.held(o.conn)
		short.lack, short.needs = short.lack-held, short.needs-held
		o.conn.expire(closedStalled)
	}
	return true
}

// obstacle is a connection that holds memory and does not serve a request right now, with the order in which such are closed.
type obstacle struct {
	conn  *Conn
	rank  int
	worth int64 // within a rank, lower goes first
}

const (
	rankNone    = iota // will give it back by itself
	rankAstray         // holds memory for usual frames while it waits for that of large ones
	rankStalled        // neither sent nor took anything for the stall timeout, or has a request in line for as long; the longest silent first
	rankSlow           // has had the stall timeout, and takes too long for what it sends; the oldest frame first
	rankWaiting        // waits for memory itself; the youngest first
	rankQueued         // has answers behind one that waits for something else; the longest silent first
)

func (c *Conn) obstacle(now int64, p purpose, stall time.Duration) obstacle {
	frame, read, asks := c.frameSince.Load(), c.lastRead.Load(), c.readerWait.Load()
	writing, inLine, waiting := c.writeSince.Load(), c.inLine.Load(), max(asks, c.writerWait.Load())
	until := now
	if asks != 0 {
		until = asks // what comes after that is our own slowness
	}
	slow := frame != 0 && time.Duration(until-frame) > stall+time.Duration(c.frameHave.Load()*int64(time.Second)/slowestWhenShort)
	switch {
	case writing != 0:
		if time.Duration(now-writing) >= stall {
			return obstacle{c, rankStalled, writing}
		}
	case p == forFrame && frame != 0 && asks != 0 && purposeOf(int(c.frameSize.Load())) == forLarge:
		return obstacle{c, rankAstray, -asks}
	case inLine != 0 && p != forAnswer && time.Duration(now-inLine) >= stall:
		return obstacle{c, rankStalled, inLine}
	case asks == 0 && frame != 0 && time.Duration(now-read) >= stall:
		return obstacle{c, rankStalled, read}
	case slow:
		return obstacle{c, rankSlow, frame}
	case waiting != 0:
		return obstacle{c, rankWaiting, -waiting}
	case c.unsent.Load() > 0 && c.held[forAnswer].Load() > 0:
		return obstacle{c, rankQueued, read}
	}
	return obstacle{}
}
