package plog

import (
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// appendAt appends one record of 800 bytes at a time of the clock, with a timestamp of its own.
func (x *logAndDir) appendAt(t *testing.T, now time.Time, timestamp int64) {
	t.Helper()
	if _, err := x.Append(makeBatch(1, "r", 800, timestamp, batch.Options{}), 1, now, Client); err != nil {
		t.Fatal(err)
	}
}

// A segment's age is that of its youngest record; where the records have no times, that of its last append.
func TestRetentionWithBrokenClocks(t *testing.T) {
	for name, test := range map[string]struct {
		timestamps []int64 // one segment each, appended a second after the other, the last one at testNow; -1 is none, others are relative to testNow
		want       int64   // start offset with retention.ms=4500
	}{
		"in order":                              {[]int64{-9000, -8000, -3000, -2000}, 2},
		"the first is of the future":            {[]int64{3600_000, -8000, -7000, -6000}, 0},
		"one in the middle is of the future":    {[]int64{-9000, 3600_000, -8000, -7000}, 1},
		"none, and the last append is long ago": {[]int64{-1, -1, -1, -1, -1, -1, -1}, 2},
		"none, between others":                  {[]int64{-9000, -9000, -9000, -9000, -9000, -1, -9000}, 5},
		"the active one has none and is young":  {[]int64{-9000, -9000, -1}, 2},
		"all are old, the active one too":       {[]int64{-9000, -8000, -7000}, 3},
		"the epoch":                             {[]int64{-testNow.UnixMilli(), -1000}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			c.SegmentBytes, c.RetentionMs = 1000, 4500
			mem := vfs.NewMem()
			x := openOn(t, mem, dir.Options{}, c)
			for i, ts := range test.timestamps {
				if ts != -1 {
					ts += testNow.UnixMilli()
				}
				x.appendAt(t, testNow.Add(time.Duration(i+1-len(test.timestamps))*time.Second), ts)
			}
			x.sync(t)
			closeDir(t, x) // the manifest knows how old they are
			x = openOn(t, mem, dir.Options{}, c)
			x.Maintain(testNow, x.EndOffset())
			if x.StartOffset() != test.want {
				t.Errorf("the log starts at %d, want %d", x.StartOffset(), test.want)
			}
		})
	}
}

// An active segment without times is as old as its last append, not as its first.
func TestRetentionOfAnActiveSegmentWithoutTimes(t *testing.T) {
	c := testConfig()
	c.RetentionMs = 4500
	x := openOn(t, vfs.NewMem(), dir.Options{}, c)
	for i := range 4 {
		x.appendAt(t, testNow.Add(time.Duration(3*i)*time.Second), -1)
	}
	x.sync(t)
	if n := x.SegmentCount(); n != 1 {
		t.Fatalf("%d segments", n)
	}
	if n := x.Maintain(testNow.Add(9*time.Second+4500*time.Millisecond), 4); n != 0 {
		t.Errorf("%d segments went in time", n)
	}
	if n := x.Maintain(testNow.Add(9*time.Second+4501*time.Millisecond), 4); n != 1 || x.StartOffset() != 4 {
		t.Errorf("%d segments went, the log starts at %d", n, x.StartOffset())
	}
}

// Without the manifest (a Kafka directory that moved in) a segment without times is as old as its file.
func TestAgeOfSegmentsWithoutTimesComesFromTheFiles(t *testing.T) {
	c := testConfig()
	c.SegmentBytes, c.RetentionMs = 1000, 3600_000
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, c)
	for range 3 {
		x.appendAt(t, testNow, -1)
	}
	x.sync(t)
	closeDir(t, x)
	if err := mem.Remove(testDir + "/" + dir.ManifestFile); err != nil {
		t.Fatal(err)
	}
	info, err := mem.Stat(testDir + "/" + testName + "/" + fileName(1, logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	x = openOn(t, mem, dir.Options{}, c)
	if n := x.Maintain(info.ModTime.Add(59*time.Minute), 3); n != 0 {
		t.Errorf("%d segments went in time", n)
	}
	if n := x.Maintain(info.ModTime.Add(61*time.Minute), 3); n != 3 {
		t.Errorf("%d segments went when all were too old", n)
	}
}

// With compact,delete both are done; with compact alone only what lies before the start offset goes.
func TestRetentionOfCompactedLogs(t *testing.T) {
	for _, deletes := range []bool{true, false} {
		c := compactConfig()
		c.SegmentBytes, c.RetentionMs, c.RetentionBytes, c.CleanupDelete = 1000, 4500, 0, deletes
		x := openOn(t, vfs.NewMem(), dir.Options{}, c)
		for i := range 6 {
			var b batch.Builder
			b.Reset(batch.Options{})
			b.Append(testNow.UnixMilli(), []byte{byte(i)}, make([]byte, 800))
			x.append(t, b.Build(), 1)
		}
		x.sync(t)
		if _, err := x.cleanNow(testNow); err != nil {
			t.Fatal(err)
		}
		if err := x.SetStartOffset(3); err != nil {
			t.Fatal(err)
		}
		x.wait(t, "start", func() bool { return x.DurableStartOffset() == 3 })
		want := int64(3)
		if deletes {
			want = 6
		}
		x.Maintain(testNow, x.EndOffset())
		if x.StartOffset() != want {
			t.Errorf("delete %v: the log starts at %d, want %d", deletes, x.StartOffset(), want)
		}
		if base := (*x.segments.Load())[0].base; base != want {
			t.Errorf("delete %v: the first segment is %d, want %d", deletes, base, want)
		}
		if c := x.Cleanable(testNow, x.EndOffset()); c.FirstDirty < want {
			t.Errorf("delete %v: %+v, the log starts at %d", deletes, c, want)
		}
	}
}

// Every segment draws its own share of segment.jitter.ms, so that logs that began together do not roll together.
func TestSegmentJitter(t *testing.T) {
	c := testConfig()
	c.SegmentBytes, c.SegmentMs, c.SegmentJitterMs = 1000, 10_000, 60_000
	x := openOn(t, vfs.NewMem(), dir.Options{}, c)
	drawn := map[int64]bool{}
	for range 50 {
		x.appendAt(t, testNow, 1)
		s := x.segments.Load().active()
		if s.jitter < 0 || s.jitter >= c.SegmentMs {
			t.Fatalf("a jitter of %d ms with segments of %d ms", s.jitter, c.SegmentMs)
		}
		drawn[s.jitter] = true
	}
	if len(drawn) < 40 {
		t.Errorf("50 segments drew %d shares", len(drawn))
	}
	larger := *c
	larger.SegmentBytes = 1 << 20
	x.SetConfig(&larger)
	s := x.segments.Load().active()
	s.jitter = 4000
	n := x.SegmentCount()
	x.appendAt(t, testNow, 1+6000) // not more than segment.ms less its jitter after the first
	if x.SegmentCount() != n {
		t.Error("rolled too early")
	}
	x.appendAt(t, testNow, 1+6001)
	if x.SegmentCount() != n+1 {
		t.Error("not rolled")
	}
}
