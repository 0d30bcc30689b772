package server

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/invariant"
)

// Conn is one connection of a client.
type Conn struct {
	// Session is whatever the handlers keep for this connection. It belongs to stage one.
	Session any

	server   *Server
	listener *listener
	socket   net.Conn
	ip       netip.Addr

	in     inbox
	out    outbox
	queue  queue
	unsent atomic.Int32  // answers pushed and not yet written; the outbox is the reader's while it is zero
	idle   chan struct{} // says that unsent became zero
	timer  *time.Timer

	request Request
	served  time.Time // when the last stage one ended

	stop     chan struct{} // closed by drain
	stopOnce sync.Once
	why      atomic.Uint32 // a reason, set once
	writing  sync.WaitGroup
	started  bool     // the writer runs; the reader's own
	alone    bool     // the answer parked last is one of a Sequential handler; the reader's own
	many     int      // reads to go until few may have come together again; the reader's own
	late     []parked // answers that wait for a Help, and nothing is unsent; the reader's own

	// What the watch reads. Times are Server.sinceStart; zero means "not now".
	lastRead   atomic.Int64
	lastWrite  atomic.Int64
	frameSince atomic.Int64 // a frame is half received, and this is when it began, moved by as long as the peer waited for us since
	frameSize  atomic.Int64
	frameHave  atomic.Int64
	readerWait atomic.Int64 // the reader waits for memory
	writerWait atomic.Int64 // the writer does
	writeSince atomic.Int64 // a write is in the system's hands
	inLine     atomic.Int64 // a whole request waits for the answers before it, or an answer for room in the queue
	helping    atomic.Int64 // the reader is in a Turn's Help
	resting    atomic.Bool  // the reader has been asked to rest, or does
	canRest    bool
	held       [purposes]atomic.Int64
}

func newConn(s *Server, l *listener, socket net.Conn, ip netip.Addr) *Conn {
	c := &Conn{server: s, listener: l, socket: socket, ip: ip, stop: make(chan struct{}), idle: make(chan struct{}, 1)}
	c.out.conn = c
	c.canRest = canRest(socket)
	c.queue.init()
	c.lastRead.Store(s.sinceStart(time.Now()))
	return c
}

// Listener returns the name of the listener that the connection came in by.
func (c *Conn) Listener() string { return c.listener.Name }

// RemoteIP returns the client's address; it is invalid for sockets without one.
func (c *Conn) RemoteIP() netip.Addr { return c.ip }

// RemoteAddr returns the client's end of the connection.
func (c *Conn) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// LocalAddr returns the node's end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// Done is closed when the connection ends or the server shuts down; it is the stop of every Answer.Wait.
func (c *Conn) Done() <-chan struct{} { return c.stop }

// Timer returns a timer that fires after d. It is one and the same each time, for Answer.Wait on the connection's writer.
func (c *Conn) Timer(d time.Duration) *time.Timer {
	if c.timer == nil {
		c.timer = time.NewTimer(d)
	} else {
		c.timer.Reset(d)
	}
	return c.timer
}

// reserve waits for memory until the connection ends. The mark is readerWait or writerWait, after who asks. What is ready to leave does not wait with it.
func (c *Conn) reserve(n int64, p purpose, mark *atomic.Int64) error {
	return c.reserveOf(n, p, false, mark)
}

// reserveOf is reserve, also for a frame that is growing.
func (c *Conn) reserveOf(n int64, p purpose, growing bool, mark *atomic.Int64) error {
	if c.server.budget.tryReserve(c, n, p, growing) {
		c.held[p].Add(n)
		return nil
	}
	if mark == &c.readerWait {
		c.pass()
	}
	if mark == &c.writerWait || c.unsent.Load() == 0 {
		c.out.flush()
	}
	began := c.server.sinceStart(time.Now())
	mark.Store(began)
	defer mark.Store(0)
	if err := c.server.budget.reserve(c, n, p, growing, c.stop); err != nil {
		return err
	}
	c.held[p].Add(n)
	now := c.server.sinceStart(time.Now()) // the wait was not the peer's
	c.lastRead.Store(now)
	if mark == &c.readerWait && c.frameSince.Load() != 0 {
		c.frameSince.Add(now - began)
	}
	return nil
}

func (c *Conn) tryReserve(n int64, p purpose) bool {
	if !c.server.budget.tryReserve(c, n, p, false) {
		return false
	}
	c.held[p].Add(n)
	return true
}

func (c *Conn) release(n int64, p purpose) {
	c.held[p].Add(-n)
	c.server.budget.release(n, p)
}

// run is the reader: it lives as long as the connection, but for the times of rest.
func (c *Conn) run() {
	c.resting.Store(false)
	c.in.open()
	c.readOn()
}

// readOn is run from where nothing is half done.
func (c *Conn) readOn() {
	defer func() {
		if cause := recover(); cause != nil {
			c.lastWords(cause, c.route(c.request.Key))
		}
	}()
	switch why := c.read(); why {
	case relieved:
	case pausing:
		c.request.Body = nil // it was in the buffer
		c.late = nil
		c.in.close()
		go c.rest()
	default:
		c.end(why)
	}
}

// end is what the reader does last.
func (c *Conn) end(why reason) {
	defer c.server.running.Done()
	c.pass()
	if c.unsent.Load() == 0 {
		c.out.flush()
	}
	c.queue.close()
	if why == closedByAnswer {
		c.writing.Wait() // what the handler let park before it is answered in its own time
	}
	c.drain(why)
	c.writing.Wait()
	c.out.drop()
	_ = c.socket.Close() // the answers are out or cannot be sent; there is nobody to tell
	c.in.drop(c)
	if c.timer != nil {
		c.timer.Stop()
	}
	for p := range c.held {
		invariant.Check(c.held[p].Load() == 0, "connection of %s ended holding %d bytes of request memory", c.ip, c.held[p].Load())
	}
	s := c.server
	s.helper.CompareAndSwap(c, nil)
	s.mu.Lock()
	delete(s.mu.connections, c)
	s.mu.Unlock()
	s.leave(c.listener, c.ip)
	c.listener.open.Add(-1)
	s.metrics.closed[c.reason()].Inc()
}

// read serves requests until the connection is to end, and returns why.
func (c *Conn) read() reason {
	for {
		frame, why := c.in.next(c)
		if why == open {
			why = c.serve(frame)
		}
		if why != open {
			return why
		}
		if c.reason() != open {
			return c.reason()
		}
	}
}

func (c *Conn) reason() reason { return reason(c.why.Load()) }

// drain begins the connection's end: stage one finishes what it is at, nothing more is read, what is parked is stopped and answered if that can be done soon.
func (c *Conn) drain(why reason) {
	c.why.CompareAndSwap(uint32(open), uint32(why))
	c.stopOnce.Do(func() {
		close(c.stop)
		now := time.Now()
		// A socket that is closed already refuses deadlines; nothing waits on it then.
		_ = c.socket.SetReadDeadline(now)
		_ = c.socket.SetWriteDeadline(now.Add(c.server.options.DrainTimeout))
		c.relieve(math.MaxInt64)
	})
}

// cut ends the connection without answering anything.
func (c *Conn) cut(why reason) {
	c.drain(why)
	_ = c.socket.Close() // whoever reads or writes it finds out
}

// lastWords logs which API a panic belongs to and lets it end the process: a handler that panicked has left something half done.
func (c *Conn) lastWords(cause any, r *route) {
	api := "none"
	if r != nil {
		api = r.Name
	}
	c.server.options.Logger.Error("BUG: panic while serving a request", "cause", fmt.Sprint(cause), "api", api, "source", c.ip.String(),
		"listener", c.listener.Name, "stack", string(debug.Stack()))
	panic(cause)
}

func (c *Conn) route(key int16) *route {
	if key < 0 || int(key) >= len(c.listener.routes) || c.listener.routes[key].Handler == nil {
		return nil
	}
	return &c.listener.routes[key]
}

// Complain writes a line to the log about what the peer asked for and did not get. The kind is one of few: there is at most one line per source and kind in ten
// seconds, and the next tells how many were left out.
func (c *Conn) Complain(kind string, attrs ...slog.Attr) { c.complain(open, kind, attrs...) }

// complain logs, at most so often per source, and returns why the connection ends.
func (c *Conn) complain(why reason, kind string, attrs ...slog.Attr) reason {
	c.server.complaints.say(c.ip, kind, append(attrs, slog.String("listener", c.listener.Name), slog.String("remote", c.socket.RemoteAddr().String()))...)
	return why
}
