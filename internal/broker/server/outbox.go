package server

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/invariant"
)

const (
	pageSize   = 8 << 10
	pieceLimit = 64      // pieces that one system call takes
	flushSize  = 1 << 20 // gathered bytes that are not held back for more
	keepSize   = 1 << 10 // smaller pieces are copied
)

// errTooLarge ends what is written to a connection; the log has the rest.
var errTooLarge = errors.New("the response does not fit a frame")

// page gathers what is to leave in one system call: small writes, copied, and between them pieces that are kept where they are. It also remembers whose the
// bytes are until they are in the system's hands.
type page struct {
	bytes  [pageSize]byte
	n      int // of bytes
	from   int // where the bytes begin that are not in pieces yet
	pieces [pieceLimit][]byte
	p      int
	size   int  // of all pieces
	kept   bool // there are pieces that are somebody else's memory
	marks  [128]mark
	m      int
}

// mark is an answer that is, or whose end is, in a page. Its times are Server.sinceStart.
type mark struct {
	metrics        *apiMetrics
	arrived, ready int64
}

var pages = sync.Pool{New: func() any { return new(page) }}

// outbox writes answers to the socket: small ones together, large ones straight from where they are, with the small ones before them in the same call.
// It is the Keeper that bodies are written to.
type outbox struct {
	conn   *Conn
	page   *page // nil while empty
	next   net.Buffers
	failed error // the first failed write; nothing is written after it
}

// send writes the frame of one answer and closes its body.
func (o *outbox) send(p *parked, ready time.Time) {
	defer p.body.Close()
	if o.failed != nil {
		return
	}
	defer o.letGo()
	length := p.body.Len()
	var head [sizePrefix + 5]byte // size, correlation id, and an empty tag section where the response is flexible
	n := len(head) - 1
	if p.header.flexible {
		n++
	}
	size := n + length
	if size-sizePrefix > math.MaxInt32 {
		o.failed = errTooLarge
		o.conn.cut(o.conn.complain(closedBody, "closing a connection whose response does not fit a frame: ask for less at once",
			slog.String("api", p.route.Name), slog.Int("bytes", size)))
		return
	}
	binary.BigEndian.PutUint32(head[0:], uint32(size-sizePrefix))
	binary.BigEndian.PutUint32(head[4:], uint32(p.header.correlationID))
	o.put(head[:n])
	wrote, err := p.body.WriteTo(o)
	if o.failed != nil {
		return
	}
	if err == nil && wrote != int64(length) {
		invariant.Check(false, "%s: a body of %d bytes wrote %d", p.route.Name, length, wrote)
	}
	if err != nil {
		o.failed = err
		why := closedBody
		if errors.Is(err, ErrDisk) {
			why = closedDisk
		}
		o.conn.cut(o.conn.complain(why, "closing a connection whose response could not be finished",
			slog.String("api", p.route.Name), slog.String("error", err.Error())))
		return
	}
	p.route.metrics.responseBytes.Observe(int64(size))
	s := o.conn.server
	o.mark(mark{p.route.metrics, s.sinceStart(p.arrived), s.sinceStart(ready)})
}

// mark counts an answer as sent, when its last byte is.
func (o *outbox) mark(m mark) {
	if o.page == nil {
		m.sent(o.conn.server.sinceStart(time.Now()))
		return
	}
	o.page.marks[o.page.m] = m
	if o.page.m++; o.page.m == len(o.page.marks) {
		o.flush()
	}
}

func (m *mark) sent(now int64) {
	m.metrics.send.Observe(now - m.ready)
	m.metrics.total.Observe(now - m.arrived)
}

// put copies bytes that fit a page.
func (o *outbox) put(b []byte) {
	if o.page != nil && (o.page.n+len(b) > pageSize || o.page.p >= pieceLimit-1) {
		o.flush()
	}
	if o.page == nil {
		o.page = pages.Get().(*page)
	}
	o.page.n += copy(o.page.bytes[o.page.n:], b)
}

// Write is for bytes that may change afterwards: what is not copied goes out at once, behind what was gathered.
func (o *outbox) Write(b []byte) (int, error) {
	if len(b) > 0 && o.failed == nil {
		if small := o.page == nil && len(b) < pageSize || o.page != nil && o.page.n+len(b) <= pageSize; small {
			o.put(b)
		} else {
			o.keep(b)
			o.flush()
		}
	}
	return o.wrote(b)
}

// Keep is for bytes that stay as they are until the body is closed.
func (o *outbox) Keep(b []byte) (int, error) {
	if len(b) < keepSize {
		return o.Write(b)
	}
	if o.failed == nil {
		o.keep(b)
		o.page.kept = true
		if o.page.size >= flushSize {
			o.flush()
		}
	}
	return o.wrote(b)
}

func (o *outbox) wrote(b []byte) (int, error) {
	if o.failed != nil {
		return 0, o.failed
	}
	return len(b), nil
}

// keep adds a piece that is somebody else's memory, behind the bytes that were copied before it.
func (o *outbox) keep(b []byte) {
	if o.page != nil && o.page.p >= pieceLimit-2 {
		o.flush()
	}
	if o.page == nil {
		o.page = pages.Get().(*page)
	}
	o.page.cut()
	o.page.add(b)
}

// cut makes a piece of the bytes that were copied last.
func (p *page) cut() {
	if p.n > p.from {
		p.add(p.bytes[p.from:p.n])
		p.from = p.n
	}
}

func (p *page) add(b []byte) {
	p.pieces[p.p] = b
	p.p++
	p.size += len(b)
}

// letGo writes out what a body that is about to be closed was kept for.
func (o *outbox) letGo() {
	if o.page != nil && o.page.kept {
		o.flush()
	}
}

// flush writes the page and gives it back.
func (o *outbox) flush() {
	if o.page == nil {
		return
	}
	if o.failed == nil {
		o.page.cut()
		o.write()
	}
	o.drop()
}

func (o *outbox) write() {
	c := o.conn
	c.writeSince.Store(c.server.sinceStart(time.Now()))
	var err error
	if o.page.p == 1 {
		_, err = c.socket.Write(o.page.pieces[0])
	} else {
		o.next = o.page.pieces[:o.page.p]
		_, err = o.next.WriteTo(c.socket)
	}
	now := c.server.sinceStart(time.Now())
	c.lastWrite.Store(now)
	c.writeSince.Store(0)
	if err != nil {
		o.fail(err)
		return
	}
	for i := range o.page.m {
		o.page.marks[i].sent(now)
	}
}

// fail makes the connection end: the peer has seen half an answer, or is gone.
func (o *outbox) fail(err error) {
	if o.failed == nil {
		o.failed = err
		o.conn.cut(closedByPeer)
	}
}

// drop empties the page without writing it.
func (o *outbox) drop() {
	p := o.page
	if p == nil {
		return
	}
	clear(p.marks[:p.m])
	clear(p.pieces[:p.p])
	p.n, p.from, p.p, p.size, p.kept, p.m = 0, 0, 0, 0, false, 0
	pages.Put(p)
	o.page = nil
}
