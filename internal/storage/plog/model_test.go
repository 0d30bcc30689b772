package plog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
	"pgregory.net/rapid"
)

// TestAgainstASlice drives a log and a slice of batches with the same random operations, power cuts and restarts among them, and compares what they hold. OTTLA_LONG is how many
// operations it does at least, for instance 10000000; each round of checks has a seed of its own, which a failure prints.
func TestAgainstASlice(t *testing.T) {
	least, err := strconv.ParseInt(cmp.Or(os.Getenv("OTTLA_LONG"), "0"), 10, 64)
	if err != nil {
		t.Fatalf("OTTLA_LONG: %v", err)
	}
	var operations atomic.Int64
	for again := true; again && !t.Failed(); again = operations.Load() < least {
		againstASlice(t, &operations)
	}
	t.Logf("%d operations", operations.Load())
}

func againstASlice(t *testing.T, operations *atomic.Int64) {
	rapid.Check(t, func(t *rapid.T) {
		m := &twin{mem: vfs.NewMem(), config: testConfig(), acked: promise{states: []logical{{}}}, operations: operations}
		m.config.SegmentBytes = rapid.SampledFrom([]int64{4000, 9000, 1 << 20}).Draw(t, "segment.bytes")
		m.options = dir.Options{CheckpointBytes: rapid.SampledFrom([]int64{1, 3000, 1 << 20}).Draw(t, "checkpoint"), JournalBytes: -1}
		if rapid.Bool().Draw(t, "journal") {
			m.options = withJournal(m.options)
		}
		m.open(t)
		defer func() { _ = m.x.d.Abandon() }()
		t.Repeat(map[string]func(*rapid.T){
			"append":   m.append,
			"sync":     m.sync,
			"read":     m.read,
			"truncate": m.truncate,
			"anew":     m.anew,
			"delete":   m.deleteRecords,
			"times":    m.times,
			"stop":     m.stop,
			"kill":     m.kill,
			"cut":      m.powerCut,
			"":         m.check,
		})
	})
}

// twin is the slice, and the log that must agree.
type twin struct {
	mem     *vfs.Mem
	config  *Config
	options dir.Options
	x       *logAndDir
	batches []batch.Batch
	start   int64
	end     int64
	acked   promise // what a crash must keep
	clock   int64
	epoch   int32

	operations *atomic.Int64
}

func (m *twin) state() logical {
	return logical{m.batches[:len(m.batches):len(m.batches)], m.start, m.end}
}

func (m *twin) open(t *rapid.T) {
	x, err := tryOpenOn(m.mem, m.options, m.config)
	if err != nil {
		t.Fatal(err)
	}
	m.x = x
}

// changed notes a state on the way from the acknowledged one.
func (m *twin) changed() {
	m.acked.states = append(m.acked.states, m.state())
	m.acked.starts = max(m.acked.starts, m.start)
}

func (m *twin) append(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "election") == 0 {
		m.epoch++
	}
	for range rapid.IntRange(1, 6).Draw(t, "batches") {
		m.clock += int64(rapid.IntRange(-5, 20).Draw(t, "clock"))
		b := makeBatch(rapid.IntRange(1, 5).Draw(t, "records"), fmt.Sprint(m.end), rapid.IntRange(0, 600).Draw(t, "size"), max(0, m.clock), batch.Options{})
		c := bytes.Clone(b)
		batch.Batch(c).SetBaseOffset(m.end)
		batch.Batch(c).SetPartitionLeaderEpoch(m.epoch)
		m.batches = append(m.batches, c)
		m.end = batch.Batch(c).NextOffset()
		m.changed() // the committer may be faster than we are
		a, err := m.x.tryAppend(b, m.epoch, Client)
		if err != nil || a.End != m.end {
			t.Fatalf("append: %+v %v, want the end at %d", a, err, m.end)
		}
	}
}

func (m *twin) sync(t *rapid.T) {
	err := m.x.tryWait("sync", func() bool {
		return m.x.SyncedOffset() == m.x.EndOffset() && m.x.DurableStartOffset() == m.x.StartOffset() && !m.x.CutPending()
	})
	if err != nil {
		t.Fatal(err)
	}
	m.acked = promise{[]logical{m.state()}, m.start, m.start}
}

// visible are the batches at or after the start.
func (m *twin) visible(from, to int64) []batch.Batch {
	var out []batch.Batch
	for _, b := range m.batches {
		if b.LastOffset() >= from && b.NextOffset() <= to {
			out = append(out, b)
		}
	}
	return out
}

func (m *twin) read(t *rapid.T) {
	from := m.start + rapid.Int64Range(0, m.end-m.start).Draw(t, "from")
	to := from + rapid.Int64Range(0, m.end-from).Draw(t, "to")
	limit := rapid.IntRange(1, 3000).Draw(t, "bytes")
	want := m.visible(from, to)
	s, err := m.x.Read(from, to, limit, true)
	if err != nil {
		t.Fatalf("read %d..%d: %v", from, to, err)
	}
	defer s.Close()
	var got []batch.Batch
	for b, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b)
	}
	if len(got) > len(want) || len(got) == 0 && len(want) > 0 {
		t.Fatalf("read %d..%d: %d batches, there are %d", from, to, len(got), len(want))
	}
	if err := sameBatches(want[:len(got)], got); err != nil {
		t.Fatalf("read %d..%d: %v", from, to, err)
	}
	if s.Len() > limit && len(got) > 1 {
		t.Fatalf("read of %d bytes returned %d", limit, s.Len())
	}
}

func (m *twin) truncate(t *rapid.T) {
	to := m.start + rapid.Int64Range(0, m.end-m.start).Draw(t, "to")
	for len(m.batches) > 0 && m.batches[len(m.batches)-1].LastOffset() >= to {
		m.end = m.batches[len(m.batches)-1].BaseOffset()
		m.batches = m.batches[: len(m.batches)-1 : len(m.batches)-1]
	}
	if m.end < m.start { // the start lies within the batch that was cut
		m.batches, m.end = nil, m.start
	}
	m.changed()
	if err := m.x.TruncateTo(to); err != nil {
		t.Fatal(err)
	}
}

func (m *twin) anew(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "really") != 0 {
		t.Skip("rarely")
	}
	to := max(0, m.start+rapid.Int64Range(-20, m.end-m.start+20).Draw(t, "at"))
	m.batches, m.start, m.end = nil, to, to
	m.acked.start = min(m.acked.start, to)
	m.changed()
	if err := m.x.TruncateFullyAndStartAt(to); err != nil {
		t.Fatal(err)
	}
}

func (m *twin) deleteRecords(t *rapid.T) {
	m.sync(t) // as a partition does: never beyond the high watermark
	m.start += rapid.Int64Range(0, m.end-m.start).Draw(t, "start")
	m.changed()
	if err := m.x.SetStartOffset(m.start); err != nil {
		t.Fatal(err)
	}
	m.x.Maintain(testNow, m.end)
	if m.x.StartOffset() != m.start {
		t.Fatalf("the log starts at %d, want %d", m.x.StartOffset(), m.start)
	}
}

func (m *twin) times(t *rapid.T) {
	ask := max(0, m.clock-int64(rapid.IntRange(-3, 300).Draw(t, "ago")))
	want, found := Stamp{}, false
	for _, b := range m.batches {
		for i := range b.RecordCount() {
			if s := (Stamp{b.BaseOffset() + int64(i), b.MaxTimestamp() - int64(b.RecordCount()-1-i), b.PartitionLeaderEpoch()}); !found && s.Timestamp >= ask && s.Offset >= m.start {
				want, found = s, true
			}
		}
	}
	got, ok, err := m.x.OffsetForTimestamp(ask, m.end)
	if err != nil || ok != found || got != want {
		t.Fatalf("time %d: %+v %v %v, want %+v %v", ask, got, ok, err, want, found)
	}
}

func (m *twin) stop(t *rapid.T) {
	if err := m.x.d.Close(1); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	m.acked = promise{[]logical{m.state()}, m.start, m.start}
}

// kill ends the process: what it wrote stays.
func (m *twin) kill(t *rapid.T) { m.crash(t, nil) }

func (m *twin) powerCut(t *rapid.T) {
	m.crash(t, func() { m.mem = m.mem.Crash(rapid.Uint64Range(0, 1000).Draw(t, "seed")) })
}

func (m *twin) crash(t *rapid.T, cut func()) {
	if err := m.x.d.Abandon(); err != nil && !errors.Is(err, dir.ErrClosed) {
		t.Fatal(err)
	}
	if cut != nil {
		cut()
	}
	m.open(t)
	if err := m.x.recovered(m.acked); err != nil {
		t.Fatal(err)
	}
	got, err := m.x.all(m.x.StartOffset(), m.x.EndOffset(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m.start, m.end = m.x.StartOffset(), m.x.EndOffset()
	m.batches = got
	for _, b := range got {
		m.epoch = max(m.epoch, b.PartitionLeaderEpoch())
	}
	m.changed()
	m.sync(t)
}

func (m *twin) check(t *rapid.T) {
	m.operations.Add(1)
	if m.x.StartOffset() != m.start || m.x.EndOffset() != m.end {
		t.Fatalf("the log has offsets %d to %d, want %d to %d", m.x.StartOffset(), m.x.EndOffset(), m.start, m.end)
	}
	if s, w, e := m.x.SyncedOffset(), m.x.WrittenOffset(), m.x.EndOffset(); s > w || w > e {
		t.Fatalf("synced %d, written %d, end %d", s, w, e)
	}
}
