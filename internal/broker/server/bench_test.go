package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
)

// quiet is a server whose handlers allocate nothing, so that what is measured is the server.
func quiet(t testing.TB) *harness {
	h := prepareHarness(t)
	body := Body(Bytes("acknowledged"))
	now := func() Body { return body }
	open := make(chan struct{})
	close(open)
	wait := func(stop <-chan struct{}) {
		select {
		case <-open:
		case <-stop:
		}
	}
	yes := func() bool { return true }
	h.handlers[keyEcho].Serve = func(*Request) Answer { return Answer{Body: now} }
	h.handlers[keyPark].Serve = func(r *Request) Answer {
		if r.Version == 1 {
			return Answer{Wait: wait, Body: now} // may have to wait, for all the server knows
		}
		return Answer{Wait: wait, Ready: yes, Body: now}
	}
	h.run(func(o *Options) { o.Logger = slog.New(slog.DiscardHandler) })
	return h
}

// exchange sends n requests at once and reads as many responses of one size.
type exchange struct {
	net.Conn
	requests  []byte
	responses []byte
}

func newExchange(h *harness, key, version int16, n, size int) *exchange {
	e := &exchange{Conn: h.dial(), responses: make([]byte, n*(8+len("acknowledged")))}
	for i := range n {
		e.requests = append(e.requests, frame(key, version, int32(i), strings.Repeat("x", size))...)
	}
	return e
}

func (e *exchange) run(t testing.TB) {
	if _, err := e.Write(e.requests); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(e, e.responses); err != nil {
		t.Fatal(err)
	}
	last := e.responses[len(e.responses)-8-len("acknowledged"):]
	if binary.BigEndian.Uint32(last) != uint32(4+len("acknowledged")) {
		t.Fatal("the responses are not what they should be")
	}
}

// The server allocates nothing for a request, ready or parked, small or large.
func TestServerDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates, and sync.Pool forgets on purpose under it")
	}
	h := quiet(t)
	for _, test := range []struct {
		name    string
		key     int16
		version int16
		n, size int
	}{
		{"one", keyEcho, 1, 1, 100}, {"pipelined", keyEcho, 1, 50, 100}, {"64 KiB", keyEcho, 1, 5, 64 << 10}, {"1 MiB", keyEcho, 1, 2, 1 << 20},
		{"parked", keyPark, 1, 1, 100}, {"parked, pipelined", keyPark, 1, 50, 100}, {"parked and ready", keyPark, 0, 50, 100},
	} {
		e := newExchange(h, test.key, test.version, test.n, test.size)
		for range 20 {
			e.run(t)
		}
		// A collection may empty the pools meanwhile; what is allocated per request never goes away.
		least := 1e9
		for range 5 {
			least = min(least, testing.AllocsPerRun(20, func() { e.run(t) }))
		}
		if least > 0 {
			t.Errorf("%s: %v allocations for %d requests", test.name, least, test.n)
		}
	}
}

func BenchmarkRoundTrips(b *testing.B) {
	poisoning = false
	defer func() { poisoning = true }()
	for _, api := range []struct {
		name    string
		key     int16
		version int16
	}{{"ready", keyEcho, 1}, {"parked", keyPark, 1}} {
		for _, n := range []int{1, 5, 50} {
			b.Run(fmt.Sprintf("%s/inflight=%d/100B", api.name, n), func(b *testing.B) { benchmark(b, newExchange(quiet(b), api.key, api.version, n, 100)) })
		}
	}
	for _, size := range []int{16 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("ready/inflight=5/%dKiB", size>>10), func(b *testing.B) {
			e := newExchange(quiet(b), keyEcho, 1, 5, size)
			b.SetBytes(int64(len(e.requests)))
			benchmark(b, e)
		})
	}
}

func benchmark(b *testing.B, e *exchange) {
	b.ReportAllocs()
	for b.Loop() {
		e.run(b)
	}
}

// BenchmarkIdleConnections measures what a connection costs that once asked something and is quiet now, its client's end included.
func BenchmarkIdleConnections(b *testing.B) {
	h := quiet(b)
	const n = 2000
	var all []*exchange
	var m runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := m.HeapInuse + m.StackInuse
		for range n {
			e := newExchange(h, keyEcho, 1, 1, 100)
			e.run(b)
			all = append(all, e)
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse+m.StackInuse-before)/n, "B/conn")
		for _, e := range all {
			_ = e.Close() // done with
		}
		all = all[:0]
		h.eventually("all are gone", func() bool { return len(h.server.snapshot()) == 0 })
	}
}
