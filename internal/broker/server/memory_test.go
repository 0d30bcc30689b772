package server

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// tight leaves room for one frame of a megabyte.
func tight(o *Options) { o.MaxRequestBytes, o.BudgetBytes = 1<<20, budgetFor(1<<20) }

// Connections that hold memory without making progress are closed when others wait for it, as many as that takes, and no others.
func TestStalledFramesGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, func(o *Options) { // a megabyte for all frames but one
			o.MaxRequestBytes = 600_000
			o.BudgetBytes = (int64(ladder(600_000)) + 1<<20) / 3 * 4
		})
		body := strings.Repeat("x", 500_000)
		whole := frame(keyEcho, 1, 1, body)
		var half []*client
		for range 4 {
			c := h.dial()
			c.send(whole[:200_000])
			half = append(half, c)
		}
		<-time.After(20 * time.Second)
		if n := h.server.metrics.closed[closedStalled].Value(); n != 0 {
			t.Fatalf("%d connections closed while nobody waited", n)
		}
		half[3].send(whole[200_000:250_000])
		good := h.dial()
		start := time.Now()
		go good.send(whole)
		good.expect(1, body)
		between(t, "served", time.Since(start), 0, time.Second)
		synctest.Wait()
		if n := h.metrics.Counter(metric.ConnectionsClosed, "stalled").Value(); n < 1 || n > 3 {
			t.Errorf("%d connections closed, want some of the 3 that stalled", n)
		}
		half[3].send(whole[250_000:])
		half[3].expect(1, body)
		h.log.Has(t, "without making progress")
	})
}

// Strangers whose frames come in together, and together are more than there is memory for, are served one after another; nobody is closed.
func TestFramesThatWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, tight)
		served := make(chan struct{})
		for i := range 20 {
			c := h.dial()
			body := strings.Repeat("x", 1_000_000-i*30_000)
			if i%2 == 0 {
				c.send(frame(keyEcho, 1, int32(i), body)[:3000])
			}
			go func() {
				from := 0
				if i%2 == 0 {
					from = 3000
				}
				c.send(frame(keyEcho, 1, int32(i), body)[from:])
				c.expect(int32(i), body)
				served <- struct{}{}
			}()
		}
		for range 20 {
			<-served
		}
		between(t, "served", time.Since(h.server.start), 0, time.Second)
	})
}

// A peer that does not read its answers holds memory; it is left alone until somebody needs that.
func TestStalledWritersGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, tight)
		for range 8 {
			c := h.dial()
			go func() {
				_, err := c.Write(frame(keyEcho, 1, 1, strings.Repeat("x", 300_000)))
				_ = err // some of them will be closed
			}()
			synctest.Wait()
		}
		if h.server.budget.used() == 0 {
			t.Fatal("answers that wait for their peers hold nothing")
		}
		good := h.dial()
		go good.send(frame(keyEcho, 1, 1, strings.Repeat("x", 900_000)))
		good.expect(1, strings.Repeat("x", 900_000))
		if n := h.server.metrics.closed[closedStalled].Value(); n == 0 {
			t.Error("nobody gave way")
		}
	})
}

// A proven connection gets a buffer for the whole frame at once, so that steady producers never hold one half and wait for the other.
func TestProvenConnectionsReserveWholeFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		body := strings.Repeat("x", 1_000_000)
		go c.send(frame(keyEcho, 1, 1, body))
		c.expect(1, body)
		whole := frame(keyEcho, 1, 2, body)
		c.send(whole[:3000])
		synctest.Wait()
		if used := h.server.budget.used(); used != int64(ladder(len(whole)-4)) {
			t.Errorf("%d bytes reserved for a frame of %d", used, len(whole))
		}
		c.send(whole[3000:])
		c.expect(2, body)
		synctest.Wait()
		if used := h.server.budget.used(); used != 0 {
			t.Errorf("%d bytes still reserved", used)
		}
		fresh := h.dial()
		fresh.send(whole[:3000])
		synctest.Wait()
		if used := h.server.budget.used(); used != bulkSize {
			t.Errorf("%d bytes reserved for 3000 bytes of a stranger", used)
		}
	})
}

func TestBudgetGrantsByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		b := &budget{limits: [purposes]int64{100, 600, 900}, waits: h.metrics.Counter(metric.BudgetWaits), short: func() {}} // usual frames, large ones, these with answers
		owner := &Conn{server: h.server}
		var order atomic.Value
		order.Store("")
		wait := func(name string, n int64, p purpose, stop chan struct{}) {
			go func() {
				if err := b.reserve(owner, n, p, false, stop); err != nil {
					name = "-" + name
				}
				order.Store(order.Load().(string) + name)
			}()
			synctest.Wait()
		}
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := order.Load().(string); got != want {
				t.Fatalf("order %q, want %q", got, want)
			}
		}
		try := func(n int64, p purpose) bool { return b.tryReserve(owner, n, p, false) }
		if !try(550, forLarge) || try(100, forLarge) || !try(350, forAnswer) || try(1, forAnswer) {
			t.Fatal("large frames may take 600, and 900 with answers")
		}
		if !try(90, forFrame) || try(11, forFrame) {
			t.Fatal("usual frames have 100, whatever others take")
		}
		stop := make(chan struct{})
		wait("a", 500, forLarge, nil)
		wait("b", 10, forLarge, stop)
		wait("c", 50, forLarge, nil)
		wait("d", 250, forAnswer, nil)
		wait("e", 20, forFrame, nil)
		expect("")
		if try(1, forLarge) || try(1, forFrame) {
			t.Error("somebody was granted memory before those who asked first")
		}
		close(stop)
		expect("-b")
		b.release(10, forFrame)
		expect("-be")
		b.release(260, forAnswer)
		expect("-bed")
		b.release(450, forLarge)
		expect("-bed")
		b.release(40, forAnswer) // the oldest
		expect("-beda")
		wait("f", 50, forLarge, nil)
		b.release(60, forLarge) // then the newest
		expect("-bedaf")
		b.release(40, forLarge)
		expect("-bedafc")
		if err := b.reserve(owner, 301, forAnswer, false, nil); err == nil {
			t.Error("more than can ever be granted was not refused")
		}
		b.release(300, forAnswer)
		b.release(600, forLarge)
		b.release(100, forFrame)
		if b.used() != 0 {
			t.Errorf("%d bytes are left", b.used())
		}
	})
}

func TestLadder(t *testing.T) {
	last := 0
	for n := 1; n < 300<<20; n += n/7 + 1 {
		size := ladder(n)
		if size < n || size < last || n > bulkSize && float64(size) > 1.26*float64(n) {
			t.Errorf("ladder(%d) = %d", n, size)
		}
		if size <= largestKept {
			if i := rung(size); i >= len(buffers) || i < 0 {
				t.Errorf("rung(%d) = %d", size, i)
			}
			b := newBuffer(n)
			if len(b.bytes) != size {
				t.Errorf("a buffer for %d has %d bytes, want %d", n, len(b.bytes), size)
			}
			b.free()
		}
		last = size
	}
	seen := map[int]int{}
	for n := bulkSize; n <= largestKept; n += 1 << 14 {
		if size, ok := seen[rung(ladder(n))]; ok && size != ladder(n) {
			t.Errorf("sizes %d and %d share a rung", size, ladder(n))
		}
		seen[rung(ladder(n))] = ladder(n)
	}
}

func TestKeptRequestBytesArePoison(t *testing.T) {
	for _, n := range []int{10, 10_000, 500_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := prepareHarness(t)
			var kept []byte
			h.handlers[keyEcho].Serve = func(r *Request) Answer {
				kept = r.Body
				return Now(Bytes("ok"))
			}
			h.run(nil)
			c := h.dial()
			c.request(keyEcho, 1, 1, strings.Repeat("x", n))
			c.expect(1, "ok")
			h.stop()
			if n := strings.Count(string(kept), "x"); n != 0 {
				t.Errorf("%d bytes of a served request are still there", n)
			}
		})
	}
}
