package plog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/cost"
)

// manyLogs opens n logs in one real directory, each with a way to wait for its progress.
type manyLogs struct {
	d    *dir.Dir
	logs []*waited
}

// waited is a log whose appender waits on a condition, as a partition's tickets do.
type waited struct {
	*Log
	mu   sync.Mutex
	cond *sync.Cond
}

func openMany(b testing.TB, n int, durability Durability) *manyLogs {
	d, err := dir.Open(vfs.OS(), b.TempDir(), dir.Options{Meta: testMeta})
	if err != nil {
		b.Fatal(err)
	}
	c := DefaultConfig()
	c.Durability = durability
	m := &manyLogs{d: d}
	for i := range n {
		l, err := Open(d, fmt.Sprintf("bench-%d", i), model.TopicID{byte(i), byte(i >> 8), 1}, c)
		if err != nil {
			b.Fatal(err)
		}
		w := &waited{Log: l}
		w.cond = sync.NewCond(&w.mu)
		l.OnProgress(func() {
			w.mu.Lock()
			w.cond.Broadcast()
			w.mu.Unlock()
		})
		m.logs = append(m.logs, w)
	}
	b.Cleanup(func() { _ = d.Abandon() })
	return m
}

// put appends under the log's lock, as a partition does, and returns the offset to wait for.
func (w *waited) put(b batch.Batch, now time.Time) (int64, error) {
	for {
		w.mu.Lock()
		a, err := w.Append(b, 1, now, Client)
		w.mu.Unlock()
		if !errors.Is(err, ErrBudget) {
			return a.End, err
		}
		if err := w.WaitRoom(context.Background(), Internal); err != nil {
			return 0, err
		}
	}
}

func (w *waited) await(end int64, where func() int64) {
	w.mu.Lock()
	for where() < end {
		w.cond.Wait()
	}
	w.mu.Unlock()
}

func BenchmarkAppend(b *testing.B) {
	for _, durability := range []Durability{Sync, Cache} {
		for _, size := range []int{200, 16 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("durability=%d/size=%d", durability, size), func(b *testing.B) {
				m := openMany(b, 6, durability)
				x := makeBatch(1, "x", size-100, 1, batch.Options{})
				b.SetBytes(int64(len(x)))
				b.ReportAllocs()
				now := time.Now()
				i := 0
				before := cost.CPUTime()
				for b.Loop() {
					if _, err := m.logs[i%6].put(x, now); err != nil {
						b.Fatal(err)
					}
					i++
				}
				for _, l := range m.logs {
					l.await(l.EndOffset(), l.WrittenOffset)
				}
				b.ReportMetric((cost.CPUTime()-before).Seconds()/(float64(i)*float64(len(x))/1e9), "cpu-s/GB")
			})
		}
	}
}

// BenchmarkSyncedAppends is the small-record case: so many appenders, each waiting for the sync of its one record before the next.
func BenchmarkSyncedAppends(b *testing.B) {
	for _, c := range []struct{ appenders, logs int }{{1, 1}, {64, 1}, {64, 6}, {256, 6}, {64, 64}} {
		b.Run(fmt.Sprintf("appenders=%d/logs=%d", c.appenders, c.logs), func(b *testing.B) {
			m := openMany(b, c.logs, Sync)
			for _, l := range m.logs { // the directories are there
				end, err := l.put(makeBatch(1, "x", 100, 1, batch.Options{}), time.Now())
				if err != nil {
					b.Fatal(err)
				}
				l.await(end, l.SyncedOffset)
			}
			work := make(chan struct{}, c.appenders)
			var group sync.WaitGroup
			for i := range c.appenders {
				group.Go(func() {
					l := m.logs[i%c.logs]
					x := makeBatch(1, "x", 100, 1, batch.Options{})
					now := time.Now()
					for range work {
						end, err := l.put(x, now)
						if err != nil {
							b.Error(err)
							return
						}
						l.await(end, l.SyncedOffset)
					}
				})
			}
			before, rounds := cost.CPUTime(), m.d.Stats().Rounds.Load()
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			group.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(b.N)/float64(m.d.Stats().Rounds.Load()-rounds), "appends/round")
			b.ReportMetric(float64(cost.CPUTime()-before)/float64(b.N)/1000, "cpu-us/append")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, where := range []string{"hot", "file", "cold"} {
		b.Run(where, func(b *testing.B) {
			m := openMany(b, 1, Sync)
			l := m.logs[0]
			const total = 32 << 20
			x := makeBatch(60, "x", 1000, 1, batch.Options{})
			for l.Size() < total {
				if _, err := l.put(x, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			l.await(l.EndOffset(), l.SyncedOffset)
			switch where {
			case "file":
				l.dropTail()
			case "cold":
				l.dropTail()
				l.openEnd, l.openBase, l.openPosition = l.EndOffset(), 0, l.Size()
			}
			from := int64(0)
			var bytes int64
			before := cost.CPUTime()
			for b.Loop() {
				s, err := l.Read(from, l.EndOffset(), 1<<20, true)
				if err != nil {
					b.Fatal(err)
				}
				n, err := s.WriteTo(io.Discard)
				s.Close()
				if err != nil {
					b.Fatal(err)
				}
				bytes += n
				from = (from + n/int64(len(x))*60) % (l.EndOffset() / 60 * 60)
			}
			b.ReportMetric((cost.CPUTime()-before).Seconds()/(float64(bytes)/1e9), "cpu-s/GB")
			b.ReportMetric(float64(bytes)/float64(b.N), "B/read")
		})
	}
}
