package plog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// What may be cleaned, and when, by the settings.
func TestCleanable(t *testing.T) {
	second := func(n int64) int64 { return testNow.UnixMilli() - n*1000 }
	build := func(t *testing.T, timestamps []int64, change func(*Config)) *logAndDir {
		c := compactConfig()
		c.SegmentBytes, c.SegmentMs = 1000, math.MaxInt64
		change(c)
		x := openOn(t, vfs.NewMem(), dir.Options{}, c)
		for _, ts := range timestamps {
			x.appendAt(t, testNow, ts)
		}
		x.sync(t)
		return x
	}
	inOrder := []int64{second(9), second(8), second(7), second(6), second(5), second(4)}
	for name, test := range map[string]struct {
		timestamps []int64
		change     func(*Config)
		upTo       int64
		end        int64 // FirstUncleanable
		due        bool
	}{
		"all but the active segment":                    {inOrder, func(*Config) {}, 6, 5, false},
		"up to the high watermark, in whole segments":   {inOrder, func(*Config) {}, 3, 3, false},
		"nothing is stable":                             {inOrder, func(*Config) {}, 0, 0, false},
		"not what is too young":                         {inOrder, func(c *Config) { c.MinCompactionLagMs = 6500 }, 6, 3, false},
		"nothing behind what is too young":              {[]int64{second(9), second(1), second(9), second(9)}, func(c *Config) { c.MinCompactionLagMs = 6500 }, 4, 1, false},
		"without times, young by its last append":       {[]int64{-1, -1, -1}, func(c *Config) { c.MinCompactionLagMs = 1 }, 3, 0, false},
		"a record has waited long enough":               {inOrder, func(c *Config) { c.MaxCompactionLagMs = 8999 }, 6, 5, true},
		"a record has nearly waited long enough":        {inOrder, func(c *Config) { c.MaxCompactionLagMs = 9000 }, 6, 5, false},
		"what waits longest is first of all the oldest": {[]int64{second(1), second(9), second(1), second(1)}, func(c *Config) { c.MaxCompactionLagMs = 5000 }, 4, 3, true},
		"without times nothing waits":                   {[]int64{-1, -1, -1}, func(c *Config) { c.MaxCompactionLagMs = 1 }, 3, 2, false},
		"not a log with cleanup.policy=delete":          {inOrder, func(c *Config) { c.CleanupCompact = false }, 6, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := build(t, test.timestamps, test.change)
			c := x.Cleanable(testNow, test.upTo)
			if c.FirstUncleanable != test.end || c.Due != test.due || (c.DirtyBytes > 0) != (test.end > 0) {
				t.Errorf("%+v, want it to end at %d and due %v", c, test.end, test.due)
			}
		})
	}
}

func TestCleanableRatio(t *testing.T) {
	x := newWriter(t, openOn(t, vfs.NewMem(), dir.Options{}, compactConfig()))
	for i := range 40 {
		x.put(-1, false, keyed{timestamp: 5, key: fmt.Sprint(i), value: fmt.Sprintf("%0500d", i)})
	}
	x.sync(t)
	if c := x.Cleanable(testNow, x.EndOffset()); c.CleanBytes != 0 || c.Ratio() != 1 {
		t.Errorf("before the first cleaning: %+v", c)
	}
	x.clean()
	if c := x.Cleanable(testNow, x.EndOffset()); c.DirtyBytes != 0 || c.CleanBytes == 0 || c.Ratio() != 0 {
		t.Errorf("after it: %+v", c)
	}
	x.pad()
	x.sync(t)
	if c := x.Cleanable(testNow, x.EndOffset()); c.DirtyBytes == 0 || c.Ratio() <= 0.1 || c.Ratio() >= 0.6 {
		t.Errorf("after more: %+v, %v", c, c.Ratio())
	}
}

// Segments in which nothing changes are read, not written; the first change in one has what lies before copied.
func TestUnchangedSegmentsAreNotWritten(t *testing.T) {
	mem := vfs.NewMem()
	creates := &vfs.Rule{Op: vfs.OpCreate, Path: "*.cleaned"}
	x := newWriter(t, openOn(t, vfs.NewFaulty(mem, vfs.Rules{creates}), dir.Options{}, compactConfig()))
	for i := range 60 {
		x.put(-1, false, keyed{timestamp: 5, key: fmt.Sprint(i), value: fmt.Sprintf("%0900d", i)})
	}
	segments := x.SegmentCount()
	if s := x.clean(); s.Segments != 0 || s.BytesWritten != 0 || creates.Hits() != 0 || s.To == 0 || s.BytesRead == 0 {
		t.Fatalf("%+v, %d files made", s, creates.Hits())
	}
	x.put(-1, false, keyed{timestamp: 5, key: "2", value: "new"}) // the third record of the first segment
	for i := range 10 {
		x.put(-1, false, keyed{timestamp: 5, key: fmt.Sprint("more", i), value: fmt.Sprintf("%0900d", i)})
	}
	s := x.clean()
	if s.Segments != 1 || s.Replacement != 1 || creates.Hits() != 1 || s.BytesWritten > x.Config().SegmentBytes {
		t.Fatalf("%+v, %d files made: want one segment written of %d", s, creates.Hits(), segments)
	}
	left, err := x.records()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{0, 1, 3, 4} {
		if left[i].offset != want || left[i].key != fmt.Sprint(want) {
			t.Errorf("record %d is %+v", i, left[i])
		}
	}
	if err := x.wellFormed(); err != nil {
		t.Error(err)
	}
}

// What was replaced keeps its files, under other names, for file.delete.delay.ms; a start removes them.
func TestReplacedSegmentsGoLater(t *testing.T) {
	for _, delay := range []int64{0, 3600_000} {
		c := compactConfig()
		c.FileDeleteDelayMs = delay
		mem := vfs.NewMem()
		x := newWriter(t, openOn(t, mem, dir.Options{}, c))
		x.pad()
		x.pad()
		x.clean()
		deleted := func() int {
			entries, err := mem.ReadDir(testDir + "/" + testName)
			if err != nil {
				t.Fatal(err)
			}
			return len(slices.DeleteFunc(entries, func(e vfs.DirEntry) bool { return !strings.HasSuffix(e.Name, logSuffix+deletedSuffix) }))
		}
		if delay == 0 {
			x.wait(t, "removal of what was replaced", func() bool { return deleted() == 0 })
			continue
		}
		if n := deleted(); n < 3 {
			t.Errorf("%d replaced segments wait for their removal", n)
		}
		closeDir(t, x.logAndDir)
		openOn(t, mem, dir.Options{}, c)
		if n := deleted(); n != 0 {
			t.Errorf("%d replaced segments are there after a start", n)
		}
	}
}

// A full disk at any moment of a cleaning changes nothing that is there; when there is space again it is done.
func TestFullDiskWhileCleaning(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpRename} {
		for nth := 1; ; nth++ {
			mem := vfs.NewMem()
			faulty := vfs.NewFaulty(mem, nil)
			x := newWriter(t, openOn(t, faulty, dir.Options{}, compactConfig()))
			var said []keyed
			said, err := overwriteKeys(x.logAndDir, rand.New(rand.NewPCG(1, uint64(nth))), 40, 10, said)
			if err != nil {
				t.Fatal(err)
			}
			x.sync(t)
			full := &vfs.Rule{Op: op, Path: testName + "/*", Nth: nth, Fault: vfs.Fault{Err: syscall.ENOSPC}}
			faulty.SetInjector(vfs.Rules{full})
			_, err = x.Clean(context.Background(), cleanOptions(testNow, x.SyncedOffset()))
			if err != nil && !dir.NoSpace(err) {
				t.Fatalf("%s %d: %v", op, nth, err)
			}
			x.wait(t, "end of the cleaning", x.swapped)
			bitten := full.Bitten()
			faulty.SetInjector(nil)
			for again := range 2 {
				left, err := x.records()
				if err == nil {
					err = errors.Join(compacted(said, left), x.wellFormed())
				}
				if err != nil || x.Err() != nil {
					t.Fatalf("%s %d, attempt %d: %v %v", op, nth, again, err, x.Err())
				}
				x.clean()
			}
			if x.CleanedOffset() == 0 {
				t.Fatalf("%s %d: never cleaned", op, nth)
			}
			if err := x.d.Abandon(); err != nil {
				t.Fatal(err)
			}
			if bitten == 0 {
				if nth < 3 {
					t.Errorf("%s: %d faults bit: not a test", op, nth-1)
				}
				break
			}
		}
	}
}

// Whoever cuts, closes or deletes a log does not wait for a cleaning to end, and what was cut does not come back; deleted records stay deleted.
func TestLogChangesWhileItIsCleaned(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, x *logAndDir) error{
		"cut into the dirty part": func(t *testing.T, x *logAndDir) error { return x.TruncateTo(20) },
		"start anew":              func(t *testing.T, x *logAndDir) error { return x.TruncateFullyAndStartAt(7) },
		"delete":                  func(t *testing.T, x *logAndDir) error { go func() { _ = x.Delete() }(); return nil },
		"close":                   func(t *testing.T, x *logAndDir) error { go func() { _ = x.Close() }(); return nil },
		"delete records": func(t *testing.T, x *logAndDir) error {
			if err := x.SetStartOffset((*x.segments.Load())[1].base + 2); err != nil {
				return err
			}
			if n := x.Maintain(testNow, x.SyncedOffset()); n == 0 {
				t.Error("no segment went: not a test")
			}
			return nil
		},
	} {
		for at := 1; ; at++ { // the change comes with the nth read or write of the cleaning
			mem := vfs.NewMem()
			x := openOn(t, mem, dir.Options{}, compactConfig())
			said, err := overwriteKeys(x, rand.New(rand.NewPCG(2, 2)), 40, 10, nil)
			if err != nil {
				t.Fatal(err)
			}
			x.sync(t)
			n := 0
			o := cleanOptions(testNow, x.SyncedOffset())
			o.Throttle = func(context.Context, int) error {
				if n++; n == at {
					if err := change(t, x); err != nil {
						t.Fatal(err)
					}
					if name == "delete" || name == "close" {
						x.wait(t, name, func() bool { return x.admitCut() != nil })
					}
				}
				return nil
			}
			_, err = x.Clean(context.Background(), o)
			if n < at {
				if err != nil || at < 4 {
					t.Fatalf("%s: %d reads and writes, %v", name, n, err)
				}
				break
			}
			if err != nil && !errors.Is(err, ErrCleanAborted) {
				t.Fatalf("%s at %d: %v", name, at, err)
			}
			switch name {
			case "delete", "close":
				if err == nil {
					t.Fatalf("%s at %d: the cleaning went on", name, at)
				}
				x.wait(t, name, x.ended.Load)
				if name == "delete" {
					continue
				}
				if err := x.open(compactConfig()); err != nil {
					t.Fatal(err)
				}
			case "start anew":
				if x.StartOffset() != 7 || x.EndOffset() != 7 {
					t.Fatalf("at %d: offsets %d to %d", at, x.StartOffset(), x.EndOffset())
				}
				continue
			case "delete records":
				if first := (*x.segments.Load())[0].base; x.StartOffset() != first+2 {
					t.Fatalf("at %d: the log starts at %d, its first segment at %d", at, x.StartOffset(), first)
				}
				said = slices.DeleteFunc(said, func(r keyed) bool { return r.offset < x.StartOffset() })
			default:
				said = slices.DeleteFunc(said, func(r keyed) bool { return r.offset >= x.EndOffset() })
			}
			more, err := overwriteKeys(x, rand.New(rand.NewPCG(3, 3)), 20, 10, said)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := x.tryWait("sync", func() bool { return x.SyncedOffset() == x.EndOffset() && x.swapped() }); err != nil {
					t.Fatal(err)
				}
				left, err := x.records()
				if err == nil {
					err = errors.Join(compacted(more, left), x.wellFormed())
				}
				if err != nil {
					t.Fatalf("%s at %d: %v", name, at, err)
				}
				if _, err := x.cleanNow(testNow); err != nil {
					t.Fatal(err)
				}
			}
			closeDir(t, x)
		}
	}
}

// With memory for few keys a cleaning ends early, and others go on where it did; nothing is lost in between.
func TestCleaningWithLittleMemory(t *testing.T) {
	x := newWriter(t, openOn(t, vfs.NewMem(), dir.Options{}, compactConfig()))
	said, err := overwriteKeys(x.logAndDir, rand.New(rand.NewPCG(4, 4)), 400, 300, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.sync(t)
	passes := 0
	for {
		o := cleanOptions(testNow, x.SyncedOffset())
		o.Keys = NewKeyMap(0, 0.02) // twenty keys of a thousand slots
		dirty := x.Cleanable(testNow, x.SyncedOffset())
		if dirty.DirtyBytes == 0 {
			break
		}
		stats, err := x.Clean(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if stats.To <= stats.From {
			t.Fatalf("no progress: %+v", stats)
		}
		x.wait(t, "replacement", x.swapped)
		passes++
		left, err := x.records()
		if err == nil {
			err = compacted(said, left)
		}
		if err != nil {
			t.Fatalf("after %d passes: %v", passes, err)
		}
	}
	if passes < 5 {
		t.Errorf("%d passes: not a test", passes)
	}
	left, err := x.records()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range left {
		if r.offset < x.CleanedOffset() && seen[r.key] {
			t.Errorf("key %s stands twice", r.key)
		}
		seen[r.key] = true
	}
}

// Segments are put together as long as they fit one, by size, by their indexes and by what an offset in one can express; empty ones always.
func TestCleaningGroups(t *testing.T) {
	c := compactConfig()
	c.SegmentBytes, c.SegmentIndexBytes = 1<<31-1, 10<<20
	x := openOn(t, vfs.NewMem(), dir.Options{}, c)
	const g = 1 << 30
	for name, test := range map[string]struct {
		bases, sizes []int64
		want         []int // sizes of the groups
	}{
		"small ones":                     {[]int64{0, 10, 20, 30}, []int64{1, 2, 3, 0}, []int{3}},
		"two of a GiB are one byte more": {[]int64{0, 10, 20, 30, 40}, []int64{g, g - 1, g, g, 0}, []int{2, 1, 1}},
		"far apart":                      {[]int64{0, 10, math.MaxInt32, math.MaxInt32 + 2, math.MaxInt32 + 9}, []int64{1, 1, 1, 1, 0}, []int{2, 2}},
		"empty ones, however far apart":  {[]int64{0, 10, math.MaxInt32 + 5, 3 * math.MaxInt32, 4 * math.MaxInt32}, []int64{1, 0, 0, 0, 0}, []int{4}},
	} {
		var list segmentList
		for i, base := range test.bases {
			s := newSegment(base, 0)
			s.size = test.sizes[i]
			list = append(list, s)
		}
		real := x.segments.Load()
		x.segments.Store(&list)
		keys := NewKeyMap(0, 0.5)
		keys.next = math.MaxInt64
		p := &pass{log: x.Log, config: c, options: CleanOptions{Keys: keys}}
		var got []int
		for _, group := range p.groups() {
			got = append(got, len(group))
		}
		x.segments.Store(real)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: groups of %v, want %v", name, got, test.want)
		}
	}
}

// Records without a key, of the time before the topic was compacted, are dropped.
func TestCleaningDropsRecordsWithoutKeys(t *testing.T) {
	c := testConfig()
	x := newWriter(t, openOn(t, vfs.NewMem(), dir.Options{}, c))
	fill(t, x.logAndDir, 40, 1)
	x.SetConfig(compactConfig())
	x.put(-1, false, keyed{timestamp: 5, key: "k", value: "1"})
	x.pad()
	x.clean()
	left, err := x.records()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range left {
		if r.key == "" && r.offset < x.CleanedOffset() {
			t.Fatalf("%+v is left", r)
		}
	}
	if x.value("k") != "1" {
		t.Error("a record with a key went as well")
	}
}

// Rot stops a cleaning, which changes nothing: in what the checksum covers, and in offset and leader epoch, which it does not.
func TestCleaningStopsAtRot(t *testing.T) {
	for _, at := range []int64{0, 6, 7, 8, 12, batch.HeaderSize + 100} { // of the second batch
		mem := vfs.NewMem()
		x := newWriter(t, openOn(t, mem, dir.Options{}, compactConfig()))
		x.put(-1, false, keyed{timestamp: 5, key: "first", value: "1"})
		size := x.Size()
		x.pad()
		x.pad()
		x.sync(t)
		closeDir(t, x.logAndDir)
		f, err := mem.Open(testDir + "/" + testName + "/" + fileName(0, logSuffix))
		if err != nil {
			t.Fatal(err)
		}
		var old [1]byte
		if _, err := f.ReadAt(old[:], size+at); err != nil {
			t.Fatal(err)
		}
		old[0] ^= 0x40
		if _, err := f.WriteAt(old[:], size+at); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		x.logAndDir = openOn(t, mem, dir.Options{}, compactConfig())
		segments := x.SegmentCount()
		_, err = x.Clean(context.Background(), cleanOptions(testNow, x.SyncedOffset()))
		rot, ok := asRot(err)
		if !ok {
			t.Fatalf("cleaning a log with rot in byte %d of a batch: %v", at, err)
		}
		if rot.From > 2 || at != 12 && rot.From != 1 { // a leader epoch that is too great is noticed at the next batch
			t.Errorf("byte %d: the rot begins at offset %d", at, rot.From)
		}
		if x.SegmentCount() != segments || x.CleanedOffset() != 0 || x.Err() != nil {
			t.Errorf("%d segments of %d, clean up to %d, %v", x.SegmentCount(), segments, x.CleanedOffset(), x.Err())
		}
	}
}

// A log is not cleaned before everything of it is durable where it is: with the page cache's word for it there is a sync first.
func TestCleaningWaitsForTheSync(t *testing.T) {
	gate := vfs.NewGate()
	defer gate.Open()
	faulty := vfs.NewFaulty(vfs.NewMem(), nil)
	x := newWriter(t, openOn(t, faulty, dir.Options{JournalBytes: -1}, compactConfig()))
	x.put(-1, false, keyed{timestamp: 5, key: "k", value: "1"})
	x.sync(t)
	faulty.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "*.log", Fault: vfs.Fault{Gate: gate}}})
	x.pad()
	select {
	case <-gate.Reached():
	case <-time.After(time.Minute):
		t.Fatal("nothing is synced")
	}
	if c := x.Cleanable(testNow, x.EndOffset()); c.DirtyBytes != 0 {
		t.Errorf("%+v", c)
	}
	gate.Open()
	x.sync(t)
	if c := x.Cleanable(testNow, x.EndOffset()); c.DirtyBytes == 0 {
		t.Errorf("after the sync: %+v", c)
	}
}
