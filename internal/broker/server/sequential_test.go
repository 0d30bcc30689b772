package server

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

const keyAlone int16 = 21

// begun notes which requests have been begun.
type begun struct {
	mu   sync.Mutex
	what []string
}

func (b *begun) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.what = append(b.what, what)
}

func (b *begun) is(what ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Equal(b.what, what)
}

// sequentialHarness has a handler that is Sequential and one, Echo, that is not; Alone parks a request that says so.
func sequentialHarness(t *testing.T, change func(*Options)) (*harness, *begun) {
	h, b := prepareHarness(t), &begun{}
	h.handlers[keyAlone] = &Handler{Key: keyAlone, Name: "Alone", Min: 0, Max: 2, Sequential: true, Serve: func(r *Request) Answer {
		b.note(string(r.Body))
		if len(r.Body) > 4 && string(r.Body[:4]) == "park" {
			return h.park(r)
		}
		return Now(Bytes(slices.Clone(r.Body)))
	}}
	echo := h.handlers[keyEcho].Serve
	h.handlers[keyEcho].Serve = func(r *Request) Answer {
		b.note(string(r.Body))
		return echo(r)
	}
	h.run(change)
	return h, b
}

// TestSequentialRequestsWaitForEachOther: what is asked behind a Sequential request that waits is begun when that is answered, and a Sequential request when everything
// before it is. Others overtake each other.
func TestSequentialRequestsWaitForEachOther(t *testing.T) {
	h, b := sequentialHarness(t, nil)
	c := h.dial()
	c.request(keyPark, 1, 1, "produce")
	c.request(keyEcho, 1, 2, "another")
	first := h.parked("produce")
	h.eventually("what is not sequential overtakes", func() bool { return b.is("another") })
	c.request(keyAlone, 1, 3, "park fetch")
	c.request(keyEcho, 1, 4, "third")
	c.request(keyAlone, 1, 5, "last")
	h.inLine(1)
	if !b.is("another") {
		t.Errorf("begun before the answers that it waits for: %v", b.what)
	}
	close(first.release)
	c.expect(1, "produce")
	c.expect(2, "another")
	second := h.parked("park fetch")
	h.inLine(1)
	if !b.is("another", "park fetch") {
		t.Errorf("a Sequential request was overtaken: %v", b.what)
	}
	close(second.release)
	c.expect(3, "park fetch")
	c.expect(4, "third")
	c.expect(5, "last")
	if !b.is("another", "park fetch", "third", "last") {
		t.Errorf("begun: %v", b.what)
	}
}

// inLine waits until so many connections have a request in line.
func (h *harness) inLine(n int) {
	h.t.Helper()
	h.eventually("a request is in line", func() bool {
		have := 0
		for _, c := range h.server.snapshot() {
			if c.inLine.Load() != 0 {
				have++
			}
		}
		return have == n
	})
}

// TestRequestInLineEndsWithThePeer: nobody reads a connection with a request in line; that its peer has left is noticed all the same, and what it held is given back.
func TestRequestInLineEndsWithThePeer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells without reading that a peer has left")
	}
	for name, behind := range map[string]int{"one": 1, "a full queue": queueLimit + 2} {
		t.Run(name, func(t *testing.T) {
			h, b := sequentialHarness(t, func(o *Options) { o.MemoryTimeout, o.StallTimeout = 100*time.Millisecond, 50*time.Millisecond }) // the watch looks often
			c, stays := h.dial(), h.dial()
			for _, c := range []*client{c, stays} {
				c.request(keyPark, 1, 1, "long")
				if behind > 1 {
					for i := range behind {
						c.request(keyPark, 1, int32(i), "more")
					}
				}
				c.request(keyAlone, 1, 2, "never begun, and longer than the small buffer"+strings.Repeat(" ", 3*ownSize))
			}
			h.inLine(2)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			h.eventually("the connection is gone, and the other is not", func() bool { return len(h.server.snapshot()) == 1 })
			if !b.is() {
				t.Error("a request was begun on a connection that had ended")
			}
			if n := h.metrics.Counter(metric.ConnectionsClosed, "peer").Value(); n != 1 {
				t.Errorf("%d connections counted as closed by their peers", n)
			}
			pending := h.server.budget.used()
			h.stop()
			if used := h.server.budget.used(); used != 0 || pending > 2*bulkSize {
				t.Errorf("%d bytes were reserved, %d are left", pending, used)
			}
		})
	}
}

// TestRequestInLineEndsWithTheIdleTime: nobody reads a connection with a request in line, and a peer may vanish without a word.
func TestRequestInLineEndsWithTheIdleTime(t *testing.T) {
	h, b := sequentialHarness(t, func(o *Options) { o.IdleTimeout = 200 * time.Millisecond })
	c := h.dial()
	c.request(keyPark, 1, 1, "long")
	c.request(keyAlone, 1, 2, "never begun")
	h.inLine(1)
	<-h.parked("long").stopped
	h.eventually("the connection is gone", func() bool { return len(h.server.snapshot()) == 0 })
	if !b.is() {
		t.Error("a request was begun on a connection that had ended")
	}
}

func TestRequestInLineDoesNotHoldUpTheEnd(t *testing.T) {
	h, b := sequentialHarness(t, nil)
	c := h.dial()
	c.request(keyPark, 1, 1, "long")
	c.request(keyAlone, 1, 2, "never begun")
	h.inLine(1)
	h.stop()
	if !b.is() {
		t.Error("a request was begun on a server that had ended")
	}
}

// TestRequestInLineGivesMemoryBack: a large request behind an answer that waits holds its memory. When others need it, it goes.
func TestRequestInLineGivesMemoryBack(t *testing.T) {
	h, _ := sequentialHarness(t, func(o *Options) {
		o.MaxRequestBytes, o.BudgetBytes, o.StallTimeout = 1<<20, budgetFor(1<<20)+1<<18, 50*time.Millisecond
	})
	for i := range 4 {
		c := h.dial()
		c.request(keyPark, 1, 1, string(rune('a'+i)))
		c.request(keyAlone, 1, 2, string(make([]byte, 900_000)))
	}
	good := h.dial()
	good.request(keyAlone, 1, 1, string(make([]byte, 900_000)))
	good.expect(1, string(make([]byte, 900_000)))
}
