package plog

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// An append allocates nothing for a record, and for a batch only now and then: a chunk's header, room in an index.
func TestAppendAllocatesNothingPerRecord(t *testing.T) {
	if testing.CoverMode() != "" || raceEnabled {
		t.Skip("the detector allocates")
	}
	for _, records := range []int{1, 1000} {
		m := openMany(t, 1, Cache)
		l := m.logs[0]
		c := DefaultConfig()
		c.Durability, c.FlushMessages = Cache, math.MaxInt64
		l.SetConfig(c)
		b := makeBatch(records, "x", 10, 1, batch.Options{HasProducer: true, ProducerID: 1, ProducerEpoch: 1})
		sequence := int32(0)
		one := func() {
			b = sequenced(b, sequence)
			sequence += int32(records)
			if _, err := l.put(b, testNow); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			one()
		}
		if n := testing.AllocsPerRun(300, one); n > 2 {
			t.Errorf("%v allocations for a batch of %d records", n, records)
		}
	}
}

// sequenced sets the sequence of a batch.
func sequenced(b batch.Batch, sequence int32) batch.Batch {
	b[53], b[54], b[55], b[56] = byte(sequence>>24), byte(sequence>>16), byte(sequence>>8), byte(sequence)
	b.SealCRC()
	return b
}

func TestReadAllocatesNothingPerRecord(t *testing.T) {
	if testing.CoverMode() != "" || raceEnabled {
		t.Skip("the detector allocates")
	}
	for _, hot := range []bool{true, false} {
		m := openMany(t, 1, Sync)
		l := m.logs[0]
		for range 300 {
			if _, err := l.put(makeBatch(20, "x", 100, 1, batch.Options{}), testNow); err != nil {
				t.Fatal(err)
			}
		}
		l.await(l.EndOffset(), l.SyncedOffset)
		if !hot {
			l.dropTail()
		}
		read := func() {
			s, err := l.Read(100, l.EndOffset(), 1<<20, true)
			if err != nil || s.Len() < 500_000 {
				t.Fatal(s.Len(), err)
			}
			_, err = s.WriteTo(io.Discard)
			s.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		read()
		if n := testing.AllocsPerRun(50, read); n > 10 {
			t.Errorf("%v allocations for a read of 6,000 records; in memory: %v", n, hot)
		}
	}
}

// A log that nobody uses costs little memory, opened fresh or found on disk.
func TestIdleLogsAreSmall(t *testing.T) {
	const logs, limit = 2000, 2048
	mem := vfs.NewMem()
	d, err := dir.Open(mem, testDir, dir.Options{Meta: testMeta})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	config := DefaultConfig()
	before := heap()
	all := make([]*Log, 0, logs)
	for i := range logs {
		l, err := Open(d, fmt.Sprintf("idle-%d", i), model.TopicID{byte(i), byte(i >> 8), 9}, config)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	if each := (heap() - before) / logs; each > limit {
		t.Errorf("%d bytes for a fresh idle log, want at most %d", each, limit)
	}
	runtime.KeepAlive(all)
	if err := d.Close(1); err != nil {
		t.Fatal(err)
	}
}
