package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// closedAfter waits, in virtual time, for the server to close the connection, and returns how long that took.
func (c *client) closedAfter() time.Duration {
	c.t.Helper()
	start := time.Now()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		c.t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		c.t.Fatalf("read %d bytes, want the connection closed", n)
	}
	return time.Since(start)
}

func between(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s after %s, want %s to %s", what, got, low, high)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		c.request(keyEcho, 1, 1, "hello")
		c.expect(1, "hello")
		between(t, "closed", c.closedAfter(), 10*time.Minute, 10*time.Minute+5*time.Second)
		synctest.Wait()
		if n := h.metrics.Counter(metric.ConnectionsClosed, "idle").Value(); n != 1 {
			t.Errorf("%d idle connections counted", n)
		}
	})
}

func TestIdleTimeoutCanBeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, func(o *Options) { o.IdleTimeout = -1 })
		c := h.dial()
		<-time.After(24 * time.Hour)
		c.request(keyEcho, 1, 1, "hello")
		c.expect(1, "hello")
	})
}

func TestParkedAnswersAreNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		c.request(keyPark, 1, 1, "poll")
		p := h.parked("poll")
		<-time.After(time.Hour)
		close(p.release)
		c.expect(1, "poll")
	})
}

// A consumer that merely stops reading stays connected while memory is not short, until the idle time has passed.
func TestConsumerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		large := strings.Repeat("x", 300_000)
		go c.send(append(frame(keyEcho, 1, 1, large), frame(keyEcho, 1, 2, large)...))
		<-time.After(5 * time.Minute)
		c.expect(1, large)
		c.expect(2, large)
		go c.send(frame(keyEcho, 1, 3, large))
		<-time.After(10*time.Minute + 5*time.Second)
		synctest.Wait()
		if n := h.metrics.Counter(metric.ConnectionsClosed, "idle").Value(); n != 1 {
			t.Errorf("%d idle connections counted", n)
		}
	})
}

func TestHalfReceivedFramesMeetADeadline(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"half a size":        {0, 0},
		"a size":             {0, 0, 1, 0},
		"half a small frame": frame(keyEcho, 1, 1, "hello")[:12],
		"a 50 MB frame":      {0x03, 0, 0, 0, 0, 3, 0, 1, 0, 0},
		"half a large frame": frame(keyEcho, 1, 1, strings.Repeat("x", 1_000_000))[:500_000],
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPipeHarness(t, nil)
				c := h.dial()
				c.send(bytes)
				between(t, "closed", c.closedAfter(), 30*time.Second, 35*time.Second)
				synctest.Wait()
				h.log.Has(t, "did not complete a request in time")
				if used := h.server.budget.used(); used != 0 {
					t.Errorf("%d bytes are still reserved", used)
				}
			})
		})
	}
}

// What a request took is counted where it was spent: waiting for what it waits for, and waiting for a client that is slow to read.
func TestDurationsAreCountedWhereTheyWereSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		c.request(keyPark, 1, 1, "poll")
		p := h.parked("poll")
		<-time.After(3 * time.Second)
		close(p.release)
		<-time.After(2 * time.Second) // a pipe takes nothing until it is read
		c.expect(1, "poll")
		h.stop()
		for family, want := range map[*metric.Family]time.Duration{
			metric.RequestLocalSeconds: 0, metric.RequestParkedSeconds: 3 * time.Second, metric.RequestSendSeconds: 2 * time.Second, metric.RequestSeconds: 5 * time.Second,
		} {
			if got := h.metrics.Histogram(family, "Park"); got.Count() != 1 || time.Duration(got.Sum()) != want {
				t.Errorf("%s: %d times, %v, want once %v", family.Name, got.Count(), time.Duration(got.Sum()), want)
			}
		}
	})
}

// A frame that drips in makes progress all the time, but not enough.
func TestDrippingFramesMeetADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		whole := frame(keyEcho, 1, 1, strings.Repeat("x", 100_000))
		start := time.Now()
		for i := range whole {
			<-time.After(time.Second)
			if _, err := c.Write(whole[i : i+1]); err != nil {
				break
			}
		}
		between(t, "closed", time.Since(start), 35*time.Second, 45*time.Second)
	})
}

// A slow but honest client is served.
func TestSlowFramesAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		whole := frame(keyEcho, 1, 1, strings.Repeat("x", 2_000_000))
		go func() {
			for len(whole) > 0 {
				<-time.After(time.Second)
				n := min(20<<10, len(whole))
				c.send(whole[:n])
				whole = whole[n:]
			}
		}()
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		<-time.After(99 * time.Second)
		c.expect(1, strings.Repeat("x", 2_000_000))
	})
}

func TestWaitingForMemoryMeetsADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, func(o *Options) { o.MaxRequestBytes, o.BudgetBytes = 100_000, budgetFor(100_000) })
		all, nobody := h.server.budget.limits[forFrame], &Conn{server: h.server} // not a connection that could be closed for it
		if !h.server.budget.tryReserve(nobody, all, forFrame, true) {
			t.Fatal("the budget is taken already")
		}
		defer h.server.budget.settle(nobody, all, forFrame)
		c := h.dial()
		go c.send(frame(keyEcho, 1, 1, strings.Repeat("x", 90_000))[:ownSize])
		between(t, "closed", c.closedAfter(), 30*time.Second, 35*time.Second)
		synctest.Wait()
		h.log.Has(t, "waited too long for request memory")
		small := h.dial()
		small.request(keyEcho, 1, 1, "small requests need none of it")
		small.expect(1, "small requests need none of it")
	})
}
