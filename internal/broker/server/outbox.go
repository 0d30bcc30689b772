package server

import (
	"encoding/binary"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/invariant"
)

const pageSize = 8 << 10

// page gathers small writes, and remembers whose they are until they are in the system's hands.
type page struct {
	bytes [pageSize]byte
	n     int
	marks [128]mark
	m     int
}

// mark is an answer that is, or whose end is, in a page. Its times are Server.sinceStart.
type mark struct {
	metrics        *apiMetrics
	arrived, ready int64
}

var pages = sync.Pool{New: func() any { return new(page) }}

// outbox writes answers to the socket: small ones together, large ones straight from where they are, with the small ones before them in the same call.
type outbox struct {
	conn   *Conn
	page   *page // nil while empty
	vector [2][]byte
	next   net.Buffers
	failed error // the first failed write; nothing is written after it
}

// send writes the frame of one answer and closes its body.
func (o *outbox) send(p *parked, ready time.Time) {
	defer p.body.Close()
	if o.failed != nil {
		return
	}
	length := p.body.Len()
	var head [sizePrefix + 5]byte // size, correlation id, and an empty tag section where the response is flexible
	n := len(head) - 1
	if p.header.flexible {
		n++
	}
	size := n + length
	if size-sizePrefix > math.MaxInt32 { // asked before the call, whose arguments would be allocated each time
		invariant.Check(false, "%s: a response of %d bytes does not fit a frame", p.route.Name, size)
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
		o.conn.cut(o.conn.complain(closedBody, "closing a connection whose response could not be finished",
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

// put adds bytes that fit a page.
func (o *outbox) put(b []byte) {
	if o.page != nil && o.page.n+len(b) > pageSize {
		o.flush()
	}
	if o.page == nil {
		o.page = pages.Get().(*page)
	}
	o.page.n += copy(o.page.bytes[o.page.n:], b)
}

// Write is for bodies. What does not fit the page goes out at once, behind the page.
func (o *outbox) Write(b []byte) (int, error) {
	switch {
	case o.failed != nil:
		return 0, o.failed
	case len(b) == 0:
	case o.page == nil && len(b) < pageSize, o.page != nil && o.page.n+len(b) <= pageSize:
		o.put(b)
	default:
		o.out(b)
	}
	if o.failed != nil {
		return 0, o.failed
	}
	return len(b), nil
}

// flush writes what the page has.
func (o *outbox) flush() {
	if o.page != nil {
		o.out(nil)
	}
}

// out writes the page and then b, and gives the page back.
func (o *outbox) out(b []byte) {
	if o.failed == nil {
		o.write(b)
	}
	o.drop()
}

func (o *outbox) write(b []byte) {
	c := o.conn
	c.writeSince.Store(c.server.sinceStart(time.Now()))
	err := o.hand(b)
	now := c.server.sinceStart(time.Now())
	c.lastWrite.Store(now)
	c.writeSince.Store(0)
	if err != nil {
		o.fail(err)
		return
	}
	if o.page != nil {
		for i := range o.page.m {
			o.page.marks[i].sent(now)
		}
	}
}

// hand gives the page and b to the system, in one call where it can take both.
func (o *outbox) hand(b []byte) (err error) {
	switch {
	case o.page == nil:
		_, err = o.conn.socket.Write(b)
	case len(b) == 0:
		_, err = o.conn.socket.Write(o.page.bytes[:o.page.n])
	default:
		o.vector = [2][]byte{o.page.bytes[:o.page.n], b}
		o.next = o.vector[:]
		_, err = o.next.WriteTo(o.conn.socket)
		o.vector = [2][]byte{}
	}
	return err
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
	if o.page == nil {
		return
	}
	clear(o.page.marks[:o.page.m])
	o.page.n, o.page.m = 0, 0
	pages.Put(o.page)
	o.page = nil
}
