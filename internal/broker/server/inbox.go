package server

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ottla/ottla/internal/kafka/wire"
)

const (
	ownSize      = 2 << 10 // a connection's own read buffer: most requests that carry no records fit in it
	sizePrefix   = 4
	smallestSize = 8 // key, version and correlation id
)

// inbox takes a connection's bytes apart into frames.
//
// While nothing is buffered the connection reads into its own small buffer, so that waiting costs no shared memory. A peer that fills it, be it with one frame or
// with many, moves reading to a bulk buffer; that goes back as soon as all that was in it has been served. A frame that does not fit the bulk buffer gets one of
// its own and is read straight into it.
type inbox struct {
	own        *[ownSize]byte // nil while the connection rests
	bulk       *buffer
	buf        []byte // own or bulk
	start, end int    // what of buf has not been served
	filled     bool   // the last read filled buf: more is probably there

	large       *buffer // the frame that was returned last, when it has a buffer of its own
	largeHeld   int64
	largeFor    purpose
	largest     int // the largest frame that this connection has completed
	framesTaken bool
	arrived     time.Time
}

// open takes the small buffer.
func (in *inbox) open() {
	in.own = smallBuffers.Get().(*[ownSize]byte)
	in.buf = in.own[:]
}

// close gives it back; nothing may be left in it.
func (in *inbox) close() {
	smallBuffers.Put(in.own)
	in.own, in.buf = nil, nil
}

// next returns the next frame without its size. It is valid until the next call.
func (in *inbox) next(c *Conn) (frame []byte, why reason) {
	in.letGo(c)
	for {
		have := in.end - in.start
		if have >= sizePrefix {
			head := in.buf[in.start:in.end]
			size := int(wire.FrameSize([sizePrefix]byte(head)))
			if why := in.judge(c, head, size); why != open {
				return nil, why
			}
			if have >= sizePrefix+size {
				in.start += sizePrefix + size
				in.framesTaken = true
				in.largest = max(in.largest, size)
				return head[sizePrefix : sizePrefix+size : sizePrefix+size], open
			}
			if sizePrefix+size > in.bulkBytes() && in.paid() {
				return in.nextLarge(c, size)
			}
			if why := in.half(c, size, have); why != open {
				return nil, why
			}
		} else if why := in.half(c, 0, have); why != open {
			return nil, why
		}
		if why := in.fill(c); why != open {
			return nil, why
		}
	}
}

// letGo ends the use of what next returned before.
func (in *inbox) letGo(c *Conn) {
	if in.large != nil {
		in.large.free()
		in.large = nil
		c.held[in.largeFor].Add(-in.largeHeld)
		c.server.budget.settle(c, in.largeHeld, in.largeFor)
		in.largeHeld = 0
	}
	if poisoning {
		poison(in.buf[:in.start])
	}
	if in.start < in.end {
		return
	}
	in.start, in.end = 0, 0
	in.filled = false
	if in.bulk != nil {
		in.leaveBulk(c) // the peer may have nothing more to say
	}
}

func (in *inbox) leaveBulk(c *Conn) {
	size := len(in.bulk.bytes)
	in.bulk.free()
	in.bulk = nil
	in.buf = in.own[:]
	c.release(int64(size), forFrame)
}

// bulkBytes is the size of the bulk buffer, or of the one that would be taken now: room for several frames like those that the connection has completed, so that
// what is on its way together is read together.
func (in *inbox) bulkBytes() int {
	if in.bulk != nil {
		return len(in.bulk.bytes)
	}
	if in.largest > bulkLimit {
		return bulkSize // a frame of that size has a buffer of its own
	}
	return ladder(min(bulkFrames*in.largest, bulkLimit))
}

// judge refuses sizes that cannot be, and names other protocols by their first bytes.
func (in *inbox) judge(c *Conn, head []byte, size int) reason {
	if !in.framesTaken {
		if other := foreign(head); other != "" {
			// Each protocol has a line of its own, so that one does not silence another.
			return c.complain(closedForeign, "closing a connection that does not speak Kafka but sent "+other)
		}
	}
	if size < smallestSize || size > c.server.options.MaxRequestBytes {
		return c.complain(closedTooLarge, "closing a connection that announced an impossible request size", slog.Int("bytes", size),
			slog.Int("socket.request.max.bytes", c.server.options.MaxRequestBytes))
	}
	return open
}

// paid tells whether the peer has sent as much as the small buffer takes. What it announces does not count.
func (in *inbox) paid() bool { return in.bulk != nil || in.end-in.start == ownSize }

// half notes that a frame of size bytes, 0 when that is not known yet, is half received, and makes room for what is missing.
func (in *inbox) half(c *Conn, size, have int) reason {
	if have > 0 {
		c.noteFrame(in.arrived, size, have)
	}
	switch {
	case in.bulk != nil:
	case in.paid():
		bytes, reserved := in.bulkBytes(), false
		if least := ladder(sizePrefix + size); bytes > least {
			if reserved = c.tryReserve(int64(bytes), forFrame); !reserved { // memory is short: one frame at a time
				bytes = least
			}
		}
		if !reserved {
			if err := c.reserve(int64(bytes), forFrame, &c.readerWait); err != nil {
				return c.starved(err)
			}
		}
		in.enterBulk(bytes)
	case in.filled && c.tryReserve(int64(in.bulkBytes()), forFrame):
		in.enterBulk(in.bulkBytes()) // the small buffer would do, with more system calls
	}
	in.compact()
	return open
}

func (in *inbox) enterBulk(bytes int) {
	in.bulk = newBuffer(bytes)
	in.end = copy(in.bulk.bytes, in.buf[in.start:in.end])
	in.start = 0
	in.buf = in.bulk.bytes
}

func (in *inbox) compact() {
	if in.start > 0 {
		in.end = copy(in.buf, in.buf[in.start:in.end])
		in.start = 0
	}
}

// fill reads once, after writing out the answers that are ready: nothing can be added to them without waiting.
func (in *inbox) fill(c *Conn) reason {
	if !c.help() {
		return relieved
	}
	c.many -= min(c.many, 1)
	n, why := in.readInto(c, in.buf[in.end:])
	in.end += n
	in.filled = in.end == len(in.buf)
	return why
}

func (in *inbox) readInto(c *Conn, b []byte) (int, reason) {
	c.pass()
	if c.unsent.Load() == 0 {
		c.out.flush()
	}
	n, err := c.socket.Read(b)
	in.arrived = time.Now()
	c.lastRead.Store(c.server.sinceStart(in.arrived))
	if n > 0 {
		return n, open
	}
	if why := c.reason(); why != open {
		return 0, why
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		why := c.interrupted()
		if why == pausing && (in.start < in.end || in.bulk != nil || in.large != nil) {
			why = open // a frame has begun to come in
		}
		return 0, why
	}
	return 0, c.endedByPeer(err)
}

func (c *Conn) endedByPeer(err error) reason {
	if c.frameSince.Load() != 0 {
		return c.complain(closedByPeer, "a connection ended in the middle of a request", slog.Int64("bytes", c.frameSize.Load()),
			slog.Int64("received", c.frameHave.Load()), slog.String("error", fmt.Sprint(err)))
	}
	return closedByPeer
}

// nextLarge receives a frame that is larger than the bulk buffer, of which buf has the beginning.
//
// Memory follows the bytes: the buffer doubles whenever it is full, so that what is held is at most twice what was sent. A connection that has completed
// a frame of that size before gets the whole buffer at once: it has paid for it once, need not copy, and holds nothing while it waits for the rest.
func (in *inbox) nextLarge(c *Conn, size int) ([]byte, reason) {
	c.noteFrame(in.arrived, size, in.end-in.start)
	in.largeFor = purposeOf(size)
	goal := ladder(size)
	step := bulkSize
	if size <= in.largest {
		step = goal
	}
	have := 0
	for {
		if why := in.grow(c, min(step, goal)); why != open {
			return nil, why
		}
		if have == 0 {
			have = copy(in.large.bytes, in.buf[in.start+sizePrefix:in.end])
			in.start, in.end = 0, 0
			if in.bulk != nil {
				in.leaveBulk(c)
			}
		}
		for have < min(size, len(in.large.bytes)) {
			c.noteFrame(in.arrived, size, have)
			n, why := in.readInto(c, in.large.bytes[have:min(size, len(in.large.bytes))])
			if why != open {
				return nil, why
			}
			have += n
		}
		if have == size {
			break
		}
		step = 2 * len(in.large.bytes)
	}
	in.largest = max(in.largest, size)
	in.framesTaken = true
	in.filled = false
	return in.large.bytes[:size:size], open
}

// grow replaces large by a buffer of size bytes with the same beginning.
func (in *inbox) grow(c *Conn, size int) reason {
	more := int64(size) - in.largeHeld
	if err := c.reserveOf(more, in.largeFor, true, &c.readerWait); err != nil {
		return c.starved(err)
	}
	in.largeHeld += more
	larger := newBuffer(size)
	if in.large != nil {
		copy(larger.bytes, in.large.bytes)
		in.large.free()
	}
	in.large = larger
	return open
}

// drop gives back everything.
func (in *inbox) drop(c *Conn) {
	in.start, in.end = 0, 0
	in.letGo(c)
	in.close()
}

// noteFrame tells the watch about a frame that is half received.
func (c *Conn) noteFrame(now time.Time, size, have int) {
	if c.frameSince.Load() == 0 {
		c.frameSince.Store(c.server.sinceStart(now))
	}
	c.frameSize.Store(int64(size))
	c.frameHave.Store(int64(have))
}

// starved says why a wait for memory ended without it.
func (c *Conn) starved(err error) reason {
	if why := c.reason(); why != open {
		return why
	}
	return c.complain(closedNoMemory, "closing a connection for want of request memory", slog.String("error", err.Error()))
}
