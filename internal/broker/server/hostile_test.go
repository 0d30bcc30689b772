package server

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrips returns the median time of n echoes.
func (c *client) roundTrips(n int, body string) time.Duration {
	c.t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		c.request(keyEcho, 1, int32(i), body)
		c.expect(int32(i), body)
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[n/2]
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// A thousand connections that each announce 50 MB and send ten bytes stop Apache Kafka 4.4 for minutes.
func TestThousandConnectionsThatAnnounce50MB(t *testing.T) {
	h := newHarness(t, nil)
	good := h.dial()
	before, empty := good.roundTrips(500, "hello"), memory()
	for range 1000 {
		c := h.dial()
		c.send(append(binary.BigEndian.AppendUint32(nil, 50<<20), 0, 0, 0, 3, 0, 0, 0, 1, 0, 0))
	}
	h.eventually("all are half received", func() bool {
		n := 0
		for _, c := range h.server.snapshot() {
			if c.frameHave.Load() == 14 {
				n++
			}
		}
		return n == 1000
	})
	if grown := int64(memory()) - int64(empty); grown > 32<<20 { // both ends of the connections are in this process
		t.Errorf("they cost %d MiB", grown>>20)
	} else {
		t.Logf("they cost %d KiB, both ends, and %d bytes of the budget", grown>>10, h.server.budget.used())
	}
	if used := h.server.budget.used(); used != 0 {
		t.Errorf("they reserved %d bytes", used)
	}
	during := good.roundTrips(500, "hello")
	for try := 0; during > 2*before && try < 20; try++ { // the machine may be busy with something else
		during = good.roundTrips(500, "hello")
	}
	if during > 2*before {
		t.Errorf("a round trip takes %s beside them, %s before", during, before)
	}
	large := strings.Repeat("x", 2_000_000)
	good.request(keyEcho, 1, 1, large)
	good.expect(1, large)
}

// Those who send megabytes and stall, each on its own or all in step and never for long, share the memory for frames of their size, and lose it when a good client
// needs some. Frames of another size, and small requests, do not notice.
func TestManyStalledMegabytes(t *testing.T) {
	const large, usual = 4 << 20, 1 << 20
	never := time.Duration(0)
	for name, c := range map[string]struct {
		announce, first, pieces int
		every                   time.Duration
		usual, large            time.Duration // a good client's wait
	}{
		"large frames, then nothing":         {large, 1 << 20, 0, 0, never, 15 * time.Second},
		"large frames in step":               {large, 16 << 10, 16 << 10, 400 * time.Millisecond, never, 15 * time.Second},
		"usual frames, then nothing":         {usual, 600 << 10, 0, 0, 2 * time.Second, never},
		"usual frames in step":               {usual, 16 << 10, 16 << 10, 400 * time.Millisecond, 2 * time.Second, never},
		"usual frames in step, a byte short": {usual, usual - 1, 0, 0, 2 * time.Second, never},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPipeHarness(t, func(o *Options) { o.MaxRequestBytes, o.BudgetBytes = 8<<20, 64<<20 })
				bad := frame(keyEcho, 1, 1, strings.Repeat("x", c.announce-100))
				over := make(chan struct{})
				defer close(over)
				for range 60 {
					conn := h.dial()
					if err := conn.SetDeadline(time.Time{}); err != nil {
						t.Fatal(err)
					}
					go func() {
						left, n := bad[:len(bad)-1], c.first
						for n > 0 && len(left) > 0 {
							if _, err := conn.Write(left[:min(n, len(left))]); err != nil {
								return // closed, as it deserves
							}
							left, n = left[min(n, len(left)):], c.pieces
							select {
							case <-time.After(c.every):
							case <-over:
								return
							}
						}
					}()
				}
				<-time.After(10 * time.Second)
				if used := h.server.budget.used(); used > 64<<20 || used < 3<<20 {
					t.Errorf("%d bytes are reserved of %d", used, 64<<20)
				}
				serve := func(what string, size int, within time.Duration) {
					t.Helper()
					good := h.dial()
					if err := good.SetDeadline(time.Time{}); err != nil {
						t.Fatal(err)
					}
					for i := range int32(5) {
						start, body := time.Now(), strings.Repeat("x", size)
						go good.send(frame(keyEcho, 1, i, body))
						good.expect(i, body)
						between(t, what, time.Since(start), 0, within)
						<-time.After(time.Second)
					}
				}
				serve("a small request served", 10, 0)
				serve("a usual one served", usual-200, c.usual)
				serve("a large one served", large, c.large)
			})
		})
	}
}

// Whatever comes in, the connection ends or is ready for more, nothing is left reserved, and nothing panics.
func FuzzConnection(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x16, 0x03, 0x01, 0x00, 0xf0})
	f.Add(frame(keyEcho, 1, 1, "hello"))
	f.Add(append(frame(keyPark, 1, 1, "a"), frame(keyEcho, 9, 2, strings.Repeat("x", 3000))...))
	f.Add(append(frame(keyMute, 3, 1, "bye"), 0xff))
	f.Add(frame(keyHello, 99, 1, "anything"))
	f.Add(frame(keyEcho, 1, 1, strings.Repeat("y", 70_000)))
	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			h := prepareHarness(t)
			h.handlers[keyPark].Serve = func(r *Request) Answer {
				done := make(chan struct{})
				time.AfterFunc(time.Duration(len(r.Body))*time.Millisecond, func() { close(done) })
				return Answer{
					Wait: func(stop <-chan struct{}) {
						select {
						case <-done:
						case <-stop:
						}
					},
					Body: func() Body { return Bytes("later") },
				}
			}
			h.pipe = newPipeListener()
			h.run(nil)
			c := h.dial()
			var wait sync.WaitGroup
			wait.Go(func() {
				n, err := io.Copy(io.Discard, c)
				_, _ = n, err // it ends in any case
			})
			if err := c.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			for i, step := 0, 1; i < len(input); i, step = i+step, 2*step { // ever larger pieces, as a network may cut them
				if _, err := c.Write(input[i:min(i+step, len(input))]); err != nil {
					if e, ok := err.(net.Error); ok && e.Timeout() {
						t.Fatal("the server neither read nor closed")
					}
					break
				}
			}
			start := time.Now()
			wait.Wait()
			between(t, "ended", time.Since(start), 0, 11*time.Minute)
			synctest.Wait()
			if used := h.server.budget.used(); used != 0 {
				t.Errorf("%d bytes are still reserved", used)
			}
		})
	})
}
