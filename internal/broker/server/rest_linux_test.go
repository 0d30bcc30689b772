package server

import (
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// restHarness has connections rest soon. The watch looks as often as its shortest deadline asks.
func restHarness(t *testing.T) *harness {
	return newHarness(t, func(o *Options) { o.MemoryTimeout, o.RestAfter = 100*time.Millisecond, 20*time.Millisecond })
}

// resting waits until so many connections rest.
func (h *harness) resting(n int) {
	h.t.Helper()
	h.eventually("connections rest", func() bool { return strings.Count(goroutines(), "(*Conn).rest(") == n })
}

// A connection that rests is served as before, whatever comes first and however often.
func TestRestingConnections(t *testing.T) {
	h := restHarness(t)
	c := h.dial()
	large := strings.Repeat("x", 200_000)
	for i := range int32(5) {
		h.resting(1)
		c.request(keyEcho, 1, 3*i, "small")
		c.expect(3*i, "small")
		h.resting(1)
		c.request(keyEcho, 1, 3*i+1, large)
		c.expect(3*i+1, large)
		h.resting(1)
		whole := frame(keyEcho, 1, 3*i+2, "in two parts")
		c.send(whole[:9])
		<-time.After(60 * time.Millisecond) // half a frame does not rest
		c.send(whole[9:])
		c.expect(3*i+2, "in two parts")
	}
	h.resting(1)
	c.request(keyPark, 1, 1, "poll")
	p := h.parked("poll")
	<-time.After(60 * time.Millisecond) // nor does one that waits for an answer
	close(p.release)
	c.expect(1, "poll")
}

// A connection ends from its rest as from anything else.
func TestRestEnds(t *testing.T) {
	t.Run("by the peer", func(t *testing.T) {
		h := restHarness(t)
		c := h.dial()
		h.resting(1)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		h.eventually("the connection is gone", func() bool { return len(h.server.snapshot()) == 0 })
		if n := h.metrics.Counter(metric.ConnectionsClosed, "peer").Value(); n != 1 {
			t.Errorf("%d connections counted as closed by their peers", n)
		}
	})
	t.Run("by the idle time", func(t *testing.T) {
		h := newHarness(t, func(o *Options) {
			o.MemoryTimeout, o.RestAfter, o.IdleTimeout = 100*time.Millisecond, 20*time.Millisecond, 400*time.Millisecond
		})
		h.dial()
		h.resting(1)
		h.eventually("the connection is gone", func() bool { return len(h.server.snapshot()) == 0 })
		if n := h.metrics.Counter(metric.ConnectionsClosed, "idle").Value(); n != 1 {
			t.Errorf("%d idle connections counted", n)
		}
	})
	t.Run("by the end of the server", func(t *testing.T) {
		h := restHarness(t)
		for range 20 {
			h.dial()
		}
		h.resting(20)
		h.stop()
	})
}

// Many that have come to rest are told of once, when no more do.
func TestManyRestAreToldOf(t *testing.T) {
	told := 0
	var r rested
	for _, step := range []struct{ asked, want int }{{600, 0}, {0, 0}, {399, 0}, {0, 0}, {1, 0}, {0, 1}, {0, 1}, {5000, 1}, {10, 1}, {0, 2}} {
		if r.note(step.asked, func() { told++ }); told != step.want {
			t.Fatalf("told %d times after %+v", told, step)
		}
	}
}
