package server

import (
	"sync/atomic"
	"time"
)

// write is the writer: it waits for each answer in turn and writes those that are ready together in one go.
func (c *Conn) write() {
	var p parked
	defer func() {
		if cause := recover(); cause != nil {
			c.lastWords(cause, p.route)
		}
	}()
	written := int32(0) // answers in the outbox, which count as unsent until it is flushed
	flush := func() {
		c.out.flush()
		if written > 0 && c.unsent.Add(-written) == 0 {
			select {
			case c.idle <- struct{}{}:
			default: // said already
			}
		}
		written = 0
	}
	for {
		if !c.queue.pop(&p, false) {
			flush()
			if !c.queue.pop(&p, true) {
				return
			}
		}
		if !p.answer.ready() {
			flush()
		}
		c.finish(&p, &c.writerWait)
		written++
	}
}

// finish waits for an answer, makes its body unless it is made, and puts it in the outbox. It runs on whoever owns that.
func (c *Conn) finish(p *parked, mark *atomic.Int64) {
	a := &p.answer
	ready := p.served
	if a.Wait != nil {
		if !a.ready() {
			a.Wait(c.stop)
		}
		ready = time.Now()
		p.route.metrics.parked.ObserveDuration(ready.Sub(p.served))
	}
	if a.Body != nil {
		c.makeBody(p, mark)
	}
	c.hold(p, freeCost, mark)
	if p.body != nil && a.None {
		p.body.Close()
	} else if p.body != nil {
		c.out.send(p, ready)
	}
	if p.held > 0 {
		c.release(int64(p.held), forAnswer)
	}
	*p = parked{}
}
