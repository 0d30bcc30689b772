package plog

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// fill appends n batches of different sizes and waits for their sync.
func fill(t testing.TB, x *logAndDir, n int, epoch int32) []batch.Batch {
	t.Helper()
	var out []batch.Batch
	for i := range n {
		b := makeBatch(1+i%3, fmt.Sprint("b", x.EndOffset()), 40+i*37%400, 1000+int64(i)*10, batch.Options{})
		x.append(t, b, epoch)
		out = append(out, b)
	}
	x.sync(t)
	return out
}

func onBoth(t *testing.T, f func(t *testing.T, fsys vfs.FS)) {
	t.Run("mem", func(t *testing.T) { f(t, vfs.NewMem()) })
	t.Run("os", func(t *testing.T) { f(t, &osAt{vfs.OS(), t.TempDir()}) })
}

func TestWhatWasAppendedIsReadBackAcrossRestarts(t *testing.T) {
	onBoth(t, func(t *testing.T, fsys vfs.FS) {
		x := openOn(t, fsys, dir.Options{}, testConfig())
		want := fill(t, x, 100, 3)
		if n := x.SegmentCount(); n < 4 {
			t.Fatalf("%d segments: nothing was rolled", n)
		}
		for round := range 3 {
			for _, maxBytes := range []int{1, 300, 5000, 1 << 20} {
				got, err := x.all(0, x.EndOffset(), maxBytes)
				if err != nil {
					t.Fatal(err)
				}
				if err := sameBatches(want, got); err != nil {
					t.Fatalf("round %d, %d bytes at a time: %v", round, maxBytes, err)
				}
			}
			end := x.EndOffset()
			closeDir(t, x)
			x = openOn(t, fsys, dir.Options{}, testConfig())
			if x.EndOffset() != end || x.SyncedOffset() != end || x.LeaderEpoch() != 3+int32(round) {
				t.Fatalf("after a restart: end %d, synced %d, epoch %d", x.EndOffset(), x.SyncedOffset(), x.LeaderEpoch())
			}
			want = append(want, fill(t, x, 10, 4+int32(round))...)
		}
	})
}

func TestCleanStartOpensNoFileOfALog(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	fill(t, x, 100, 1)
	x.append(t, producerBatch(2, 9, 0, 0), 1)
	x.sync(t)
	closeDir(t, x)
	faulty := vfs.NewFaulty(mem, nil)
	x = openOn(t, faulty, dir.Options{}, testConfig())
	for _, op := range []vfs.Op{vfs.OpOpen, vfs.OpOpenRead, vfs.OpCreate} {
		if n := faulty.Count(op, testName+"/*"); n != 0 {
			t.Errorf("%d times %s in the log's directory", n, op)
		}
	}
	if p := x.Producers(); len(p) != 1 || p[0].ProducerID != 9 || p[0].LastSequence != 1 {
		t.Errorf("producers: %+v", p)
	}
}

func TestReadHonoursItsBounds(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	want := fill(t, x, 60, 1)
	for _, b := range want {
		for from := b.BaseOffset(); from <= b.LastOffset(); from++ {
			s, err := x.Read(from, b.NextOffset(), 1<<20, false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.AppendTo(nil)
			s.Close()
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("read %d..%d: %d bytes, %v; want the batch of %d bytes", from, b.NextOffset(), len(got), err, len(b))
			}
		}
		if b.RecordCount() > 1 { // a bound within a batch excludes it
			if s, err := x.Read(b.BaseOffset(), b.LastOffset(), 1<<20, true); err != nil || s.Len() != 0 {
				t.Fatalf("a bound within the batch at %d returned %d bytes, %v", b.BaseOffset(), s.Len(), err)
			}
		}
		if s, err := x.Read(b.BaseOffset(), x.EndOffset(), len(b)-1, false); err != nil || s.Len() != 0 {
			t.Fatalf("less room than the batch returned %d bytes, %v", s.Len(), err)
		}
		s, err := x.Read(b.BaseOffset(), x.EndOffset(), len(b)-1, true)
		if err != nil || s.Len() != len(b) {
			t.Fatalf("with minOne: %d bytes, %v, want %d", s.Len(), err, len(b))
		}
		s.Close()
	}
	for _, from := range []int64{-1, x.EndOffset() + 1} {
		if _, err := x.Read(from, x.EndOffset(), 1000, true); !errors.Is(err, model.OffsetOutOfRange) {
			t.Errorf("read at %d: %v", from, err)
		}
	}
	if s, err := x.Read(x.EndOffset(), x.EndOffset(), 1000, true); err != nil || s.Len() != 0 {
		t.Errorf("read at the end: %d bytes, %v", s.Len(), err)
	}
}

// TestReadStopsAtItsBoundWhileTheLogGrows: a reader that asks up to what was the log's end gets nothing that was appended after it looked, also when that came
// between its look at the end and its look at the segment. What came may not be synced, and a crash may take it away again.
func TestReadStopsAtItsBoundWhileTheLogGrows(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	fill(t, x, 5, 1)
	s := (*x.segments.Load()).active()
	size, end := s.size, x.EndOffset()
	for range 3 {
		if at, base, err := x.locate(s, end, end); at != size || base != end || err != nil {
			t.Fatalf("the end at %d is found at position %d, offset %d, %v; the log had %d bytes then, and has %d now", end, at, base, err, size, s.size)
		}
		fill(t, x, 3, 2)
	}
	if last := (*x.segments.Load()).active(); last != s {
		t.Fatal("test not valid: the segment was rolled")
	}
}

func TestUnwrittenEndIsReadFromMemory(t *testing.T) {
	gate := vfs.NewGate()
	rule := &vfs.Rule{Op: vfs.OpMkdirAll, Path: testName, Fault: vfs.Fault{Gate: gate}}
	x := openOn(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), dir.Options{}, testConfig())
	var want []batch.Batch
	for i := range 50 {
		b := makeBatch(2, fmt.Sprint(i), 200, 1000, batch.Options{})
		x.append(t, b, 1)
		want = append(want, b)
	}
	if x.WrittenOffset() != 0 {
		t.Fatal("the gate did not hold the committer")
	}
	got, err := x.all(0, x.EndOffset(), 3000)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBatches(want, got); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	x.sync(t)
	if got, err = x.all(0, x.EndOffset(), 3000); err != nil || sameBatches(want, got) != nil {
		t.Fatal(err, sameBatches(want, got))
	}
}

func TestEpochs(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	if e, o := x.EpochEnd(0); e != NoEpoch || o != NoOffset {
		t.Fatalf("of an empty log: %d %d", e, o)
	}
	for _, epoch := range []int32{2, 2, 5, 5, 9} {
		x.append(t, makeBatch(10, "e", 1, 1, batch.Options{}), epoch)
	}
	check := func() {
		t.Helper()
		for _, c := range []struct {
			ask, epoch int32
			end        int64
		}{{NoEpoch, NoEpoch, NoOffset}, {1, 1, 0}, {2, 2, 20}, {3, 2, 20}, {5, 5, 40}, {8, 5, 40}, {9, 9, 50}, {10, NoEpoch, NoOffset}} {
			if e, o := x.EpochEnd(c.ask); e != c.epoch || o != c.end {
				t.Errorf("EpochEnd(%d) = %d %d, want %d %d", c.ask, e, o, c.epoch, c.end)
			}
		}
		for offset, want := range map[int64]int32{0: 2, 19: 2, 20: 5, 39: 5, 40: 9, 49: 9} {
			if e := x.EpochAt(offset); e != want {
				t.Errorf("EpochAt(%d) = %d, want %d", offset, e, want)
			}
		}
	}
	check()
	if _, err := x.tryAppend(makeBatch(1, "old", 1, 1, batch.Options{}), 8, Client); !errors.Is(err, model.FencedLeaderEpoch) {
		t.Errorf("an append of an older epoch: %v", err)
	}
	x.sync(t)
	closeDir(t, x)
	x = openOn(t, mem, dir.Options{}, testConfig())
	check()
	x.AssignLeaderEpoch(12)
	if e, o := x.EpochEnd(9); e != 9 || o != 50 {
		t.Errorf("after the election: %d %d", e, o)
	}
	if e, o := x.EpochEnd(12); e != 12 || o != 50 {
		t.Errorf("the new epoch: %d %d", e, o)
	}
}

func TestFollowerAppendsMustContinueTheLog(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	at := func(base int64, epoch int32) batch.Batch {
		b := makeBatch(3, "f", 5, 1, batch.Options{})
		b.SetBaseOffset(base)
		b.SetPartitionLeaderEpoch(epoch)
		return b
	}
	if a, err := x.tryAppend(at(0, 4), 99, Follower); err != nil || a.BaseOffset != 0 || a.End != 3 || x.LeaderEpoch() != 4 {
		t.Fatalf("%+v %v, epoch %d", a, err, x.LeaderEpoch())
	}
	for _, b := range []batch.Batch{at(2, 4), at(4, 4), at(3, 3)} {
		if _, err := x.tryAppend(b, 0, Follower); !errors.Is(err, ErrNotContiguous) {
			t.Errorf("offset %d epoch %d: %v", b.BaseOffset(), b.PartitionLeaderEpoch(), err)
		}
	}
	compacted := testConfig()
	compacted.CleanupCompact = true
	x.SetConfig(compacted)
	if _, err := x.tryAppend(at(10, 4), 0, Follower); err != nil || x.EndOffset() != 13 {
		t.Errorf("a gap in a compacted log: end %d, %v", x.EndOffset(), err)
	}
	x.sync(t)
	if got, err := x.all(3, 13, 1000); err != nil || len(got) != 1 || got[0].BaseOffset() != 10 {
		t.Errorf("read over the gap: %d batches, %v", len(got), err)
	}
}

func TestDeleteAndMakeAgain(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{CheckpointBytes: 1}, testConfig())
	fill(t, x, 50, 1)
	if err := x.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Read(0, 1, 100, true); !errors.Is(err, ErrClosed) {
		t.Errorf("read of a deleted log: %v", err)
	}
	if _, err := x.tryAppend(makeBatch(1, "x", 1, 1, batch.Options{}), 1, Client); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a deleted log: %v", err)
	}
	if err := x.open(testConfig()); err != nil {
		t.Fatal(err)
	}
	if x.EndOffset() != 0 {
		t.Errorf("the new log ends at %d", x.EndOffset())
	}
	want := fill(t, x, 3, 1)
	// The recovery point of the deleted log lies beyond the new one's end: it must not count.
	after, err := tryOpenOn(mem.Crash(vfs.LoseUnsynced), dir.Options{}, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer after.d.Abandon()
	got, err := after.all(0, after.EndOffset(), 1000)
	if err != nil || sameBatches(want, got) != nil {
		t.Error(err, sameBatches(want, got))
	}
}

// Who holds what he read of a log that is deleted, or closed, gets nothing of the next log of that name, and when he lets go nothing of that is removed: it would be acknowledged records.
func TestReaderOfADeletedLogLeavesItsSuccessorAlone(t *testing.T) {
	for what, end := range map[string]func(*logAndDir) error{"deleted": func(x *logAndDir) error { return x.Delete() }, "closed": func(x *logAndDir) error {
		if err := x.Close(); err != nil {
			return err
		}
		return Discard(x.d, testName)
	}} {
		t.Run(what, func(t *testing.T) {
			mem := vfs.NewMem()
			x := openOn(t, mem, dir.Options{}, testConfig())
			fill(t, x, 50, 1)
			closeDir(t, x)
			x = openOn(t, mem, dir.Options{}, testConfig()) // nothing of it is in memory
			held, err := x.Read(0, x.EndOffset(), 1000, true)
			if err != nil || held.inFile == 0 {
				t.Fatalf("%+v %v", held, err)
			}
			if err := x.SetStartOffset(x.EndOffset()); err != nil {
				t.Fatal(err)
			}
			if x.Maintain(testNow, x.EndOffset()) == 0 {
				t.Fatal("no segment was deleted")
			}
			x.wait(t, "start on disk", func() bool { return x.DurableStartOffset() == x.StartOffset() })
			if err := end(x); err != nil {
				t.Fatal(err)
			}
			if x.Log, err = Open(x.d, testName, model.TopicID{9}, testConfig()); err != nil {
				t.Fatal(err)
			}
			want := fill(t, x, 5, 1)
			if got, err := held.AppendTo(nil); err == nil {
				t.Errorf("the old log's reader got %d bytes", len(got))
			}
			if x.d.Stats().ReadErrors.Load() != 0 {
				t.Error("that counted as a failure of the disk")
			}
			held.Close()
			want = append(want, fill(t, x, 5, 1)...) // and a round
			if n := x.d.Handles().Stats().Open; n != 1 {
				t.Errorf("%d files are open, want the new segment's", n)
			}
			if err := x.d.Abandon(); err != nil {
				t.Fatal(err)
			}
			d, err := dir.Open(mem, testDir, dir.Options{Meta: testMeta})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Abandon()
			after := &logAndDir{d: d}
			if after.Log, err = Open(d, testName, model.TopicID{9}, testConfig()); err != nil {
				t.Fatal(err)
			}
			got, err := after.all(0, after.EndOffset(), 1000)
			if err != nil || sameBatches(want, got) != nil {
				t.Error(err, sameBatches(want, got))
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	fill(t, x, 5, 1)
	closeDir(t, x)
	d, err := dir.Open(mem, testDir, dir.Options{Meta: testMeta})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Abandon()
	if id, err := Identify(d, testName); err != nil || id != testID {
		t.Fatalf("Identify: %v %v", id, err)
	}
	var wrong *IdentityError
	if _, err := Open(d, testName, model.TopicID{9}, testConfig()); !errors.As(err, &wrong) || wrong.Have != testID {
		t.Fatalf("opened as another topic: %v", err)
	}
	if err := Discard(d, testName); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(d, testName, model.TopicID{9}, testConfig()); err != nil || l.EndOffset() != 0 {
		t.Fatalf("after Discard: %v", err)
	}
}

func TestCloseAndOpenWithinOneDirectory(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	want := fill(t, x, 30, 1)
	for range 3 {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if err := x.open(testConfig()); err != nil {
			t.Fatal(err)
		}
		want = append(want, fill(t, x, 7, 1)...)
	}
	got, err := x.all(0, x.EndOffset(), 999)
	if err != nil || sameBatches(want, got) != nil {
		t.Fatal(err, sameBatches(want, got))
	}
}
