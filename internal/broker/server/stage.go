package server

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/kafka/wire"
)

// freeCost is what decoding a request, or the body of an answer, may take without a reservation: less than the stack that is there for it.
const freeCost = 16 << 10

// serve is stage one of one request, and its answer if that is ready. A reason other than open ends the connection.
func (c *Conn) serve(frame []byte) reason {
	if c.frameSince.Load() != 0 {
		c.frameSince.Store(0)
	}
	h, body, err := wire.ParseHeader(frame)
	if err != nil {
		return c.refuseHeader(h, err)
	}
	r := c.route(h.Key)
	if r == nil {
		return c.complain(closedUnsupported, "closing a connection that asked for an API that is not served", slog.String("api", wire.Name(h.Key)),
			slog.Int("key", int(h.Key)), slog.Int("version", int(h.Version)), slog.String("client", string(h.ClientID)))
	}
	if why := c.await(r); why != open {
		return why
	}
	c.fillRequest(&h, body)
	c.request.MayHelp = c.mayHelp(sizePrefix + len(frame))
	p := parked{route: r, arrived: c.in.arrived, header: responseHeader{h.CorrelationID, wire.ResponseHeaderFlexible(h.Key, h.Version)}}
	started := c.in.arrived
	if c.served.After(started) {
		started = c.served
	}
	why := c.stageOne(r, body, &p)
	c.in.letGo(c)
	if why != open {
		return why
	}
	c.served = time.Now()
	p.served = c.served
	r.metrics.local.ObserveDuration(p.served.Sub(started))
	r.metrics.requestBytes.Observe(int64(len(frame) + sizePrefix))
	return c.deliver(&p)
}

// await waits until the answers are out before which a request may not be begun.
func (c *Conn) await(r *route) reason {
	if r.Sequential {
		c.pass()
	}
	if c.unsent.Load() == 0 || !r.Sequential && !c.alone {
		return open
	}
	c.inLine.Store(c.server.sinceStart(time.Now()))
	defer c.inLine.Store(0)
	for c.unsent.Load() > 0 {
		select {
		case <-c.idle:
		case <-c.stop:
			return c.reason()
		}
	}
	return open
}

// stageOne proves the body, runs the handler and, when its answer has nothing to wait for, makes the answer's body. The request's memory is free after it.
func (c *Conn) stageOne(r *route, body []byte, p *parked) reason {
	if v := c.request.Version; v < r.Min || v > r.Max {
		if r.Unsupported == nil {
			return c.complain(closedUnsupported, "closing a connection that asked for a version that is not served", slog.String("api", r.Name),
				slog.Int("version", int(v)), slog.Int("from", int(r.Min)), slog.Int("to", int(r.Max)), slog.String("client", c.request.ClientID))
		}
		c.request.Body = nil
		p.header.flexible = false
		p.answer = r.Unsupported(&c.request)
	} else {
		cost, err := c.prove(r, v, body)
		if err != nil {
			if why := c.reason(); why != open {
				return why
			}
			return c.complain(closedMalformed, "closing a connection after a request that cannot be served", slog.String("api", r.Name), slog.Int("version", int(v)),
				slog.Int("bytes", len(body)), slog.String("client", c.request.ClientID), slog.String("error", err.Error()))
		}
		p.answer = r.Serve(&c.request)
		if cost > 0 {
			defer c.release(cost, forAnswer)
		}
	}
	a := &p.answer
	if a.Wait == nil && a.Body != nil {
		c.makeBody(p, &c.readerWait)
		a.None = p.body == nil
	}
	return open
}

// prove runs the handler's check and reserves what decoding costs.
func (c *Conn) prove(r *route, version int16, body []byte) (reserved int64, err error) {
	if r.Check == nil {
		return 0, nil
	}
	cost, err := r.Check(version, body)
	if err != nil || cost <= freeCost {
		return 0, err
	}
	return int64(cost), c.reserve(int64(cost), forAnswer, &c.readerWait)
}

// fillRequest reuses the request and, while the client keeps its name, the string that holds it.
func (c *Conn) fillRequest(h *wire.Header, body []byte) {
	id := c.request.ClientID
	if string(h.ClientID) != id {
		id = string(h.ClientID)
	}
	c.request = Request{
		Conn: c, Key: h.Key, Version: h.Version, CorrelationID: h.CorrelationID, ClientID: id, ClientIDNull: h.ClientID == nil, Body: body, Arrived: c.in.arrived,
	}
}

func (c *Conn) refuseHeader(h wire.Header, err error) reason {
	why := closedMalformed
	if _, ok := errors.AsType[*wire.UnsupportedError](err); ok {
		why = closedUnsupported
	}
	return c.complain(why, "closing a connection after a request header that cannot be read", slog.Int("key", int(h.Key)), slog.Int("version", int(h.Version)),
		slog.String("error", err.Error()))
}

// deliver sees to it that an answer leaves: at once, from the queue, or with those that are helped together.
func (c *Conn) deliver(p *parked) reason {
	a := &p.answer
	if !a.None && a.Body == nil && p.body == nil {
		invariant.Check(false, "%s: a handler answered neither something nor that there is nothing", p.route.Name)
	}
	end := a.Close
	if a.None && !end {
		return open
	}
	if !a.ready() && a.Turn != nil {
		c.late = append(c.late, *p)
	} else {
		c.pass() // the answers before this one
		c.answer(p)
	}
	if end {
		return closedByAnswer
	}
	return open
}

// park hands an answer to the writer, which is started by the first.
func (c *Conn) park(p *parked) {
	if c.unsent.Load() == 0 {
		c.out.flush() // the writer's from here on
	}
	c.hold(p, 0, &c.readerWait)
	if !c.started {
		c.started = true
		c.writing.Go(c.write)
	}
	c.unsent.Add(1)
	c.alone = p.route.Sequential
	c.inLine.Store(c.server.sinceStart(p.served)) // the queue may be full
	c.queue.push(p, c.server.metrics.queueFull)
	c.inLine.Store(0)
}

// makeBody runs an answer's Body with the memory that it asks for. A connection that has ended gets none; its bodies are about to be dropped.
func (c *Conn) makeBody(p *parked, mark *atomic.Int64) {
	if p.answer.Measure != nil {
		p.answer.Memory = p.answer.Measure()
	}
	c.reserveBody(p, p.answer.Memory, mark)
	p.body = p.answer.Body()
	p.answer.Body = nil
}

// hold reserves what a made body takes beyond free bytes, unless that has been done.
func (c *Conn) hold(p *parked, free int, mark *atomic.Int64) {
	if p.body == nil || p.held > 0 {
		return
	}
	if n := held(p.body); n > free {
		c.reserveBody(p, n, mark)
	}
}

func (c *Conn) reserveBody(p *parked, n int, mark *atomic.Int64) {
	most := min(int64(n), c.server.budget.mostOf(forAnswer))
	if most > 0 && c.reserve(most, forAnswer, mark) == nil {
		p.held = int(most)
	}
}
