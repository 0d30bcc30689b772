package server

import (
	"sync"
	"time"
)

// manyRested connections leave so much behind that it is worth telling of them.
const manyRested = 1000

var smallBuffers = sync.Pool{New: func() any { return new([ownSize]byte) }}

// rest is the connection's goroutine while the peer says nothing for long: it has no buffer and a stack that has served nothing. A reader that blocks keeps the stack that
// its deepest request needed, which for ten thousand quiet connections is most of what they cost.
func (c *Conn) rest() {
	awaitReadable(c.socket)
	go c.run()
}

// askToRest ends the read in which the connection waits, if nothing is under way. The reader then rests, unless something has come.
func (c *Conn) askToRest(now int64) bool {
	quiet := time.Duration(now - max(c.lastRead.Load(), c.lastWrite.Load()))
	if quiet < c.server.options.RestAfter || !c.canRest || c.frameSince.Load() != 0 || c.unsent.Load() != 0 || c.inLine.Load() != 0 || c.readerWait.Load() != 0 || c.helping.Load() != 0 || c.writeSince.Load() != 0 {
		return false
	}
	if !c.resting.CompareAndSwap(false, true) {
		return false
	}
	_ = c.socket.SetReadDeadline(time.Unix(1, 0)) // a socket that is closed already needs no rest
	return true
}

// interrupted is for a read that askToRest has ended, or drain.
func (c *Conn) interrupted() reason {
	_ = c.socket.SetReadDeadline(time.Time{}) // as above
	if why := c.reason(); why != open {       // drain may have set its deadline just before
		return why
	}
	return pausing
}

// rested counts connections that were asked to rest since somebody was told of it.
type rested int

// note tells when many have come to rest, once they have had time to leave what they had.
func (r *rested) note(asked int, tell func()) {
	if asked == 0 && *r >= manyRested && tell != nil {
		*r = 0
		tell()
	}
	*r += rested(asked)
}
