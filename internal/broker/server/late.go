package server

import (
	"runtime"
	"time"
)

// lateLimit is about how many answers may wait for one Help. Where more came together, somebody else should be at it while they are read.
const lateLimit = 8

// manyReads is for how many reads a peer that sent more than lateLimit together is taken for one that goes on so.
const manyReads = 16

// mayHelp tells whether few requests like the one at hand, of so many bytes, came together with it or do so usually, and the answers before are out.
func (c *Conn) mayHelp(size int) bool {
	if c.in.filled || c.in.end-c.in.start >= (lateLimit-len(c.late))*size {
		c.many = manyReads
	}
	return c.many == 0 && c.unsent.Load() == 0
}

// help brings about what the late answers wait for, answers those that are ready then, and leaves the others to the writer. It returns false where that took so long that
// another goroutine reads on by now: the connection is that one's.
func (c *Conn) help() bool {
	if len(c.late) == 0 {
		return true
	}
	if c.server.helper.Swap(c) != c {
		runtime.Gosched() // others ask for the same: whoever is ready to joins this Help
	}
	for i := range c.late {
		a := &c.late[i].answer
		if a.ready() {
			continue
		}
		began := c.server.sinceStart(time.Now())
		c.helping.Store(began)
		if c.reason() == open { // else drain may have looked before
			a.Turn.Help()
		} else {
			a.Turn.Pass()
		}
		if !c.helping.CompareAndSwap(began, 0) {
			return false
		}
	}
	c.answerLate()
	return true
}

// pass is help by others.
func (c *Conn) pass() {
	for i := range c.late {
		if a := &c.late[i].answer; !a.ready() {
			a.Turn.Pass()
		}
	}
	c.answerLate()
}

func (c *Conn) answerLate() {
	late := c.late
	c.late = nil
	for i := range late {
		c.answer(&late[i])
	}
	clear(late)
	c.late = late[:0]
}

// relieve has another goroutine read on where the reader has been in a Help since before the time that is given. What is late is tried again, which leaves it to those who are at it.
func (c *Conn) relieve(before int64) {
	if began := c.helping.Load(); began != 0 && began <= before && c.helping.CompareAndSwap(began, 0) {
		go c.readOn()
	}
}

// answer makes and writes an answer that is ready and first in line, and queues any other.
func (c *Conn) answer(p *parked) {
	if c.unsent.Load() > 0 || !p.answer.ready() {
		c.park(p)
	} else {
		c.finish(p, &c.readerWait)
	}
}
