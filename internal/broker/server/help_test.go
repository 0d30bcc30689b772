package server

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"
)

// helped serves keyPark. An answer that may be helped becomes ready with the next Help or Pass, any other at once, with those before it.
type helped struct {
	mu                  sync.Mutex
	began, done         int
	helps, passes, wait int
	inVain              bool          // nothing makes anything ready
	moved               chan struct{} // replaced when something became ready
	gate                chan struct{} // where the next Help blocks, first of all; nil for nowhere
	reached             chan struct{}
}

func (p *helped) serve(r *Request) Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began++
	n, body := p.began, Bytes(bytes.Clone(r.Body))
	a := Answer{Ready: func() bool { return p.ready(n) }, Wait: func(stop <-chan struct{}) { p.await(n, stop) }, Body: func() Body { return body }}
	if r.MayHelp {
		a.Turn = p
	} else {
		p.bringLocked()
	}
	return a
}

func (p *helped) ready(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done >= n
}

func (p *helped) await(n int, stop <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait++
	for p.done < n {
		moved := p.moved
		p.mu.Unlock()
		select {
		case <-moved:
			p.mu.Lock()
		case <-stop:
			p.mu.Lock()
			return
		}
	}
}

func (p *helped) bringLocked() {
	if !p.inVain {
		p.done = p.began
		close(p.moved)
		p.moved = make(chan struct{})
	}
}

func (p *helped) Help() {
	p.mu.Lock()
	gate := p.gate
	p.gate = nil
	p.helps++
	if gate == nil {
		p.bringLocked()
	}
	p.mu.Unlock()
	if gate != nil {
		close(p.reached)
		<-gate
	}
}

func (p *helped) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passes++
	p.bringLocked()
}

// set changes whether anything is brought about; with false, all is.
func (p *helped) set(inVain bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inVain = inVain
	p.bringLocked()
}

func (p *helped) waits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wait
}

func helping(t *testing.T, change func(*Options)) (*harness, *helped) {
	h, p := prepareHarness(t), &helped{moved: make(chan struct{}), reached: make(chan struct{})}
	h.handlers[keyPark].Serve = p.serve
	h.run(change)
	return h, p
}

func TestOneHelpForWhatCameTogether(t *testing.T) {
	h, p := helping(t, nil)
	c := h.dial()
	var all []byte
	for i := range 5 {
		all = append(all, frame(keyPark, 1, int32(i), fmt.Sprint("helped ", i))...)
	}
	c.send(all)
	for i := range 5 {
		c.expect(int32(i), fmt.Sprint("helped ", i))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.helps == 0 || p.helps > 2 || p.passes != 0 || p.wait != 0 { // the frames may come in two reads
		t.Errorf("%d helps, %d passes and %d waits for 5 requests that came together", p.helps, p.passes, p.wait)
	}
}

func TestMayHelp(t *testing.T) {
	c := &Conn{}
	may := func(what string, want bool, unsent int32, late, rest int, filled bool) {
		t.Helper()
		c.unsent.Store(unsent)
		c.late = make([]parked, late)
		c.in.start, c.in.end, c.in.filled = 100, 100+rest, filled
		if got := c.mayHelp(50); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	may("alone", true, 0, 0, 0, false)
	may("few more", true, 0, 0, 4*50, false)
	may("the last of few", true, 0, 4, 0, false)
	may("behind one that waits", false, 1, 0, 0, false)
	may("that one is out", true, 0, 0, 0, false)
	for _, many := range []func(){
		func() { may("many more", false, 0, 0, lateLimit*50, false) },
		func() { may("many late and to come", false, 0, 4, 5*50, false) },
		func() { may("many late", false, 0, lateLimit, 0, false) },
		func() { may("more than was read", false, 0, 0, 0, true) },
	} {
		many()
		for ; c.many > 0; c.many-- {
			may("soon after many", false, 0, 0, 0, false)
		}
		may("a while after many", true, 0, 0, 0, false)
	}
}

func TestHelpedAnswersKeepTheOrder(t *testing.T) {
	h, p := helping(t, nil)
	c := h.dial()
	var all []byte
	for i := range 3 * lateLimit { // more than are helped, others between
		key := keyPark
		if i%7 == 3 {
			key = keyEcho
		}
		all = append(all, frame(key, 1, int32(i), fmt.Sprint(i))...)
	}
	for range 2 * manyReads {
		c.send(all)
		for i := range 3 * lateLimit {
			c.expect(int32(i), fmt.Sprint(i))
		}
		c.request(keyPark, 1, 1000, "alone")
		c.expect(1000, "alone")
	}
	before := p.waits()
	p.set(true)
	c.send(append(frame(keyPark, 1, 1, "waits"), frame(keyEcho, 1, 2, "behind")...))
	h.eventually("the writer waits", func() bool { return p.waits() > before })
	c.send(append(frame(keyPark, 1, 3, "too"), frame(keyPark, 1, 4, "three")...))
	p.set(false)
	c.expect(1, "waits")
	c.expect(2, "behind")
	c.expect(3, "too")
	c.expect(4, "three")
}

func TestWhatIsHeldIsAnsweredBeforeTheEnd(t *testing.T) {
	h, _ := helping(t, nil)
	c := h.dial()
	c.send(append(frame(keyPark, 1, 1, "helped"), frame(keyMute, 3, 2, "bye")...))
	c.expect(1, "helped")
	c.closed()

	c = h.dial()
	c.send(append(frame(keyPark, 1, 1, "helped"), 0xff, 0xff, 0xff, 0xff)) // no size of a frame
	c.expect(1, "helped")
	c.closed()
}

// While a disk holds the goroutine that helps, another reads on: the connection is served, and has its deadlines, as if the request waited for others.
func TestReadingGoesOnBesideAHelpThatBlocks(t *testing.T) {
	h, p := helping(t, func(o *Options) { o.MemoryTimeout, o.StallTimeout = 100*time.Millisecond, 20*time.Millisecond })
	gate := make(chan struct{})
	p.gate, p.inVain = gate, true
	c := h.dial()
	c.request(keyPark, 1, 1, "held by the disk")
	<-p.reached
	c.request(keyPark, 1, 2, "behind")
	h.eventually("the second is served, the first is the writer's", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.began == 2 && p.wait == 1
	})
	p.set(false)
	c.expect(1, "held by the disk")
	c.expect(2, "behind")
	close(gate)
	for i := range int32(100) { // who was held reads no more
		c.request(keyPark, 1, i, fmt.Sprint(i))
		c.expect(i, fmt.Sprint(i))
	}
}

func TestShutdownDoesNotWaitForAHelpThatBlocks(t *testing.T) {
	h, p := helping(t, nil)
	gate := make(chan struct{})
	p.gate, p.inVain = gate, true
	c := h.dial()
	c.request(keyPark, 1, 1, "held by the disk")
	<-p.reached
	if err := h.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	c.expect(1, "held by the disk")
	c.closed()
	close(gate)
}
