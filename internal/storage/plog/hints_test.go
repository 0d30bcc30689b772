package plog

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// overwrite replaces a file's contents; nil removes it.
func overwrite(t testing.TB, fsys vfs.FS, name string, data []byte) {
	t.Helper()
	if err := removeIfThere(fsys, name); err != nil {
		t.Fatal(err)
	}
	if data == nil {
		return
	}
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// spoil puts other contents into all hints of a kind.
func spoil(t testing.TB, mem *vfs.Mem, suffix string, change func([]byte) []byte) int {
	t.Helper()
	entries, err := mem.ReadDir(filepath.Join(testDir, testName))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if filepath.Ext(e.Name) == suffix {
			name := filepath.Join(testDir, testName, e.Name)
			data, err := vfs.ReadSmall(mem, name)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, mem, name, change(data))
			n++
		}
	}
	return n
}

// large makes a log whose index lies in files.
func large(t testing.TB, mem *vfs.Mem) []batch.Batch {
	c := testConfig()
	c.SegmentBytes, c.SegmentIndexBytes, c.IndexIntervalBytes = 3<<20, 1<<20, 200
	x := openOn(t, mem, dir.Options{}, c)
	var want []batch.Batch
	for i := range 6000 {
		b := makeBatch(1, fmt.Sprint(i), 800, int64(i*10), batch.Options{})
		if _, err := x.tryAppend(b, 1, Internal); err != nil {
			t.Fatal(err)
		}
		want = append(want, b)
	}
	x.sync(t)
	closeDir(t, x)
	return want
}

// Whatever the index files hold, every batch is found by offset and by time.
func TestIndexesAreOnlyHints(t *testing.T) {
	mem := vfs.NewMem()
	want := large(t, mem)
	if n := spoil(t, mem, indexSuffix, func(p []byte) []byte { return p }); n < 2 {
		t.Fatalf("%d index files: not a test", n)
	}
	for name, change := range map[string]func([]byte) []byte{
		"as they are": func(p []byte) []byte { return p },
		"missing":     func([]byte) []byte { return nil },
		"empty":       func([]byte) []byte { return []byte{} },
		"zeros":       func(p []byte) []byte { return make([]byte, len(p)) },
		"short":       func(p []byte) []byte { return p[:len(p)/3] },
		"ones":        func(p []byte) []byte { return slices.Repeat([]byte{0xff}, len(p)) },
		"shifted":     func(p []byte) []byte { return append(p[5:len(p):len(p)], 1, 2, 3, 4, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			image := mem.Crash(vfs.KeepUnsynced)
			spoil(t, image, indexSuffix, change)
			spoil(t, image, timeIndexSuffix, change)
			c := testConfig()
			c.IndexIntervalBytes = 200
			x := openOn(t, image, dir.Options{}, c)
			check := func() {
				t.Helper()
				for i := 0; i < len(want); i += 397 {
					got, err := x.all(int64(i), int64(i)+1, 1)
					if err != nil || sameBatches(want[i:i+1], got) != nil {
						t.Fatalf("offset %d: %v %v", i, err, sameBatches(want[i:i+1], got))
					}
					s, ok, err := x.OffsetForTimestamp(int64(i*10)-3, x.EndOffset())
					if err != nil || !ok || s.Offset != int64(i) || s.Timestamp != int64(i*10) {
						t.Fatalf("time %d: %+v %v %v, want offset %d", i*10-3, s, ok, err, i)
					}
				}
				if s, ok, err := x.MaxTimestamp(x.EndOffset()); err != nil || !ok || s.Offset != int64(len(want)-1) {
					t.Fatalf("greatest time: %+v %v %v", s, ok, err)
				}
			}
			check()
			if name != "as they are" {
				closeDir(t, x) // what was made anew is on disk now
				x = openOn(t, image, dir.Options{}, c)
				check()
			}
		})
	}
}

func TestOffsetForTimestamp(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	if _, ok, err := x.OffsetForTimestamp(0, 100); ok || err != nil {
		t.Fatalf("in an empty log: %v %v", ok, err)
	}
	type stamped struct{ offset, timestamp int64 }
	var all []stamped
	times := []int64{50, 10, 10, 30, 70, 20, 20, 90, 5, 60} // producers' clocks go back and forth
	for i := range 100 {
		at := times[i%len(times)] + int64(i/len(times))*25
		b := makeBatch(3, fmt.Sprint(i), 50+i, at, batch.Options{})
		a := x.append(t, b, int32(i/20))
		for j := range int64(3) {
			all = append(all, stamped{a.BaseOffset + j, at + j})
		}
	}
	x.sync(t)
	check := func(start, upTo int64) {
		t.Helper()
		greatest := stamped{-1, -1}
		for _, s := range all {
			if s.offset >= start && s.offset < upTo && s.timestamp > greatest.timestamp {
				greatest = s
			}
		}
		for ask := int64(0); ask < 400; ask += 7 {
			want := stamped{-1, -1}
			for _, s := range all {
				if s.offset >= start && s.timestamp >= ask {
					want = s
					break
				}
			}
			if want.offset >= upTo {
				want = stamped{-1, -1}
			}
			got, ok, err := x.OffsetForTimestamp(ask, upTo)
			if err != nil || ok != (want.offset >= 0) || ok && (stamped{got.Offset, got.Timestamp} != want || got.LeaderEpoch != x.EpochAt(got.Offset)) {
				t.Fatalf("start %d, up to %d, time %d: %+v %v %v, want %+v", start, upTo, ask, got, ok, err, want)
			}
		}
		if upTo == x.EndOffset() {
			got, ok, err := x.MaxTimestamp(upTo)
			if err != nil || !ok || got.Timestamp != greatest.timestamp {
				t.Fatalf("greatest time: %+v %v %v, want %+v", got, ok, err, greatest)
			}
		}
	}
	check(0, x.EndOffset())
	check(0, 150)
	if err := x.SetStartOffset(77); err != nil {
		t.Fatal(err)
	}
	check(77, x.EndOffset())
}

func TestRollsBySizeTimeAndIndex(t *testing.T) {
	c := testConfig()
	c.SegmentBytes, c.SegmentMs, c.SegmentJitterMs, c.SegmentIndexBytes = 1<<20, 1000, 100, 10*8
	for name, test := range map[string]struct {
		change  func(*Config)
		size    int
		step    int64 // ms between batches
		batches int
		want    int // segments
	}{
		"nothing":     {func(c *Config) { c.SegmentIndexBytes = 1 << 20 }, 100, 0, 100, 1},
		"size":        {func(c *Config) { c.SegmentBytes = 2000; c.SegmentIndexBytes = 1 << 20 }, 820, 0, 10, 5},
		"time":        {func(c *Config) { c.SegmentIndexBytes = 1 << 20 }, 100, 300, 16, 4},
		"index":       {func(*Config) {}, 300, 0, 22, 2}, // ten entries, none for a segment's first batch
		"time index":  {func(*Config) {}, 300, 1, 22, 4}, // five entries
		"jitter none": {func(c *Config) { c.SegmentJitterMs = 0; c.SegmentIndexBytes = 1 << 20 }, 100, 500, 6, 2},
	} {
		t.Run(name, func(t *testing.T) {
			own := *c
			test.change(&own)
			x := openOn(t, vfs.NewMem(), dir.Options{}, &own)
			for i := range test.batches {
				x.append(t, makeBatch(1, "r", test.size, int64(i)*test.step, batch.Options{}), 1)
			}
			if n := x.SegmentCount(); n != test.want {
				t.Errorf("%d segments, want %d", n, test.want)
			}
			x.sync(t)
			if got, err := x.all(0, x.EndOffset(), 1<<20); err != nil || len(got) != test.batches {
				t.Errorf("%d batches, %v", len(got), err)
			}
		})
	}
}

func TestRollsBeforeOffsetsOverflow(t *testing.T) {
	c := testConfig()
	c.CleanupCompact = true
	x := openOn(t, vfs.NewMem(), dir.Options{}, c)
	at := func(base int64) batch.Batch {
		b := makeBatch(2, "far", 10, 1, batch.Options{})
		b.SetBaseOffset(base)
		return b
	}
	var want []batch.Batch
	for _, base := range []int64{0, math.MaxInt32 - 1, math.MaxInt32 + 1, 3 * math.MaxInt32} {
		b := at(base)
		if _, err := x.tryAppend(b, 0, Follower); err != nil {
			t.Fatal(err)
		}
		want = append(want, b)
	}
	if n := x.SegmentCount(); n != 3 {
		t.Errorf("%d segments, want 3", n)
	}
	x.sync(t)
	for i := range want {
		s, err := x.Read(want[i].BaseOffset(), want[i].NextOffset(), 1000, true)
		if err != nil || s.Len() != len(want[i]) {
			t.Errorf("offset %d: %d bytes, %v", want[i].BaseOffset(), s.Len(), err)
		}
		s.Close()
	}
}

func TestRetention(t *testing.T) {
	build := func(t *testing.T, change func(*Config)) *logAndDir {
		c := testConfig()
		c.SegmentBytes = 1000
		change(c)
		x := openOn(t, vfs.NewMem(), dir.Options{}, c)
		for i := range 10 { // one segment each, a second apart
			x.append(t, makeBatch(1, "r", 800, testNow.UnixMilli()-int64(10-i)*1000, batch.Options{}), 1)
		}
		x.sync(t)
		if n := x.SegmentCount(); n != 10 {
			t.Fatalf("%d segments", n)
		}
		return x
	}
	for name, test := range map[string]struct {
		change func(*Config)
		upTo   int64
		want   int64 // start offset
	}{
		"none":                           {func(*Config) {}, 10, 0},
		"time":                           {func(c *Config) { c.RetentionMs = 4500 }, 10, 6},
		"time, not beyond the bound":     {func(c *Config) { c.RetentionMs = 4500 }, 3, 3},
		"time takes the active one too":  {func(c *Config) { c.RetentionMs = 0 }, 10, 10},
		"size":                           {func(c *Config) { c.RetentionBytes = 3 * 900 }, 10, 6}, // never below the limit
		"neither without cleanup delete": {func(c *Config) { c.RetentionMs = 0; c.RetentionBytes = 0; c.CleanupDelete = false }, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := build(t, test.change)
			n := x.Maintain(testNow, test.upTo)
			if x.StartOffset() != test.want || int64(n) != test.want {
				t.Fatalf("%d segments deleted, the log starts at %d, want %d", n, x.StartOffset(), test.want)
			}
			if x.EndOffset() != 10 {
				t.Fatalf("the log ends at %d", x.EndOffset())
			}
			x.wait(t, "the start on disk", func() bool { return x.DurableStartOffset() == test.want })
			x.append(t, makeBatch(1, "after", 800, testNow.UnixMilli(), batch.Options{}), 1)
			x.sync(t)
			if got, err := x.all(test.want, 11, 100); err != nil || int64(len(got)) != 11-test.want {
				t.Fatalf("%d batches, %v", len(got), err)
			}
		})
	}
}

func TestStartOffset(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	fill(t, x, 60, 4)
	if err := x.SetStartOffset(x.EndOffset() + 1); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("a start beyond the end: %v", err)
	}
	middle := x.EndOffset() / 2
	if err := x.SetStartOffset(middle); err != nil {
		t.Fatal(err)
	}
	if x.StartOffset() != middle {
		t.Errorf("the log starts at %d", x.StartOffset())
	}
	if _, err := x.Read(middle-1, x.EndOffset(), 1, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("read below the start: %v", err)
	}
	if e, o := x.EpochEnd(3); e != 3 || o != middle {
		t.Errorf("EpochEnd of an epoch before all: %d %d, want the start", e, o)
	}
	x.wait(t, "the start on disk", func() bool { return x.DurableStartOffset() == middle })
	if err := x.SetStartOffset(3); err != nil || x.StartOffset() != middle {
		t.Errorf("a lower start: %v, %d", err, x.StartOffset())
	}
	y := openOn(t, mem.Crash(vfs.LoseUnsynced), dir.Options{}, testConfig())
	if y.StartOffset() != middle {
		t.Errorf("after a power cut the log starts at %d, want %d", y.StartOffset(), middle)
	}
}

func TestCacheDurability(t *testing.T) {
	c := testConfig()
	c.Durability = Cache
	x := openOn(t, vfs.NewMem(), dir.Options{}, c)
	b := makeBatch(1, "x", 10, 1, batch.Options{})
	a := x.append(t, b, 1)
	x.wait(t, "write", func() bool { return x.WrittenOffset() == a.End })
	if x.SyncedOffset() != 0 {
		t.Fatal("synced without being asked")
	}
	messages := *c
	messages.FlushMessages = 5
	x.SetConfig(&messages)
	for range 5 {
		x.append(t, makeBatch(1, "x", 10, 1, batch.Options{}), 1)
	}
	x.wait(t, "sync by flush.messages", func() bool { return x.SyncedOffset() >= 5 })
	millis := *c
	millis.FlushMs = 1000
	x.SetConfig(&millis)
	a = x.append(t, makeBatch(1, "x", 10, 1, batch.Options{}), 1)
	x.wait(t, "write", func() bool { return x.WrittenOffset() == a.End })
	for at, want := range []int64{0: 1000, 1: 1, 2: NoOffset} {
		if left := x.Flush(testNow.Add(time.Duration(at) * 999 * time.Millisecond)); left != want {
			t.Errorf("flush.ms is to be kept in %d ms, want %d", left, want)
		}
	}
	x.wait(t, "sync by flush.ms", func() bool { return x.SyncedOffset() == a.End })
	a = x.append(t, makeBatch(1, "x", 10, 1, batch.Options{}), 1)
	x.wait(t, "write", func() bool { return x.WrittenOffset() == a.End })
	durable := *c
	durable.Durability = Sync
	x.SetConfig(&durable)
	x.wait(t, "sync after the change of durability", func() bool { return x.SyncedOffset() == a.End })
	x.SetConfig(c)
	for x.SegmentCount() < 4 {
		x.append(t, makeBatch(1, "roll", 900, 1, batch.Options{}), 1)
	}
	base := (*x.segments.Load()).active().base
	x.wait(t, "sync of the rolled segments in the background", func() bool { return x.SyncedOffset() >= base })
}
