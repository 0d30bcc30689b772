package plog

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// A place of a segment that the disk cannot read costs the batches that lie there, and no more: those before and behind are served, what cannot be read says so instead of
// breaking off in the middle of an answer for ever, nothing is taken for damage, and a disk that recovers is believed.
func TestUnreadablePlace(t *testing.T) {
	c := testConfig()
	c.SegmentBytes = 1 << 20
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, c)
	var want []batch.Batch
	for range 20 {
		b := makeBatch(1, "cold", 8000, 1, batch.Options{})
		x.append(t, b, 1)
		want = append(want, b)
	}
	closeDir(t, x)
	bad := int64(12*len(want[0]) + len(want[0])/2) // in the middle of the thirteenth
	var broken atomic.Bool
	disk := vfs.Hooks{OnBefore: func(c vfs.Call) vfs.Fault {
		if broken.Load() && c.Op == vfs.OpRead && strings.HasSuffix(c.Path, logSuffix) && c.Offset <= bad && bad < c.Offset+int64(c.Len) {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	}}
	x = openOn(t, vfs.NewFaulty(mem, disk), dir.Options{}, c)
	broken.Store(true)
	s, err := x.Read(0, x.EndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.WriteTo(io.Discard)
	s.Close()
	if _, ok := errors.AsType[*DiskError](err); !ok || !errors.Is(err, syscall.EIO) || !errors.Is(err, model.KafkaStorageError) {
		t.Fatalf("the first answer: %v: not a test, or not told apart", err)
	}
	got, err := x.all(0, x.EndOffset(), 1<<20)
	if !errors.Is(err, model.KafkaStorageError) || sameBatches(want[:12], got) != nil {
		t.Fatalf("before the place: %v, %v", err, sameBatches(want[:12], got))
	}
	if _, err := x.Read(12, x.EndOffset(), 1<<20, true); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("the place itself: %v", err)
	}
	if code, _ := model.CodeOf(err); code != model.KafkaStorageError {
		t.Errorf("clients are told %v", code)
	}
	if got, err = x.all(13, x.EndOffset(), 1<<20); err != nil || sameBatches(want[13:], got) != nil {
		t.Errorf("behind the place: %v, %v", err, sameBatches(want[13:], got))
	}
	if x.d.Err() != nil || len(x.Rot()) != 0 || x.d.Stats().ReadErrors.Load() == 0 {
		t.Errorf("offline: %v, damage: %v, %d read errors", x.d.Err(), x.Rot(), x.d.Stats().ReadErrors.Load())
	}
	broken.Store(false)
	if got, err = x.all(0, x.EndOffset(), 1<<20); err != nil || sameBatches(want, got) != nil {
		t.Errorf("when the disk reads again: %v, %v", err, sameBatches(want, got))
	}
}

// A log that has no room for what was appended still lets go of what may go.
func TestRetentionOnAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{JournalBytes: -1, StallAfter: -1}, testConfig())
	fill(t, x, 30, 1)
	segments := func() (n int) {
		entries, err := mem.ReadDir(filepath.Join(testDir, testName))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if filepath.Ext(e.Name) == logSuffix {
				n++
			}
		}
		return n
	}
	before := segments()
	mem.SetCapacity(1)
	if _, err := x.tryAppend(makeBatch(1, "no room for this", 9000, 1, batch.Options{}), 1, Internal); err != nil {
		t.Fatal(err)
	}
	poll(t, "want of space", x.ShortOfSpace)
	if err := x.Stuck(); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("for whoever must know: %v", err)
	}
	if err := x.SetStartOffset(x.SyncedOffset()); err != nil {
		t.Fatal(err)
	}
	x.Maintain(testNow, x.SyncedOffset())
	mem.SetCapacity(int64(2) << 20) // room for a checkpoint; what waits in memory stays kept from it until the disk has more
	poll(t, "removal of segments", func() bool { return segments() <= 2 })
	if before < 4 {
		t.Fatalf("%d segments: not a test", before)
	}
	mem.SetCapacity(0)
	x.sync(t)
	if x.ShortOfSpace() || x.Stuck() != nil {
		t.Error("space came back, and the log does not know")
	}
}

// The memory of a directory that failed goes to others, also what was never written.
func TestFailedDirectoryGivesMemoryBack(t *testing.T) {
	gate := vfs.NewGate()
	rule := &vfs.Rule{Op: vfs.OpSync, Path: "*.log", Nth: 1, Fault: vfs.Fault{Gate: gate, Err: syscall.EIO}}
	memory := dir.NewMemory(4 << 20)
	x := openOn(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), dir.Options{Memory: memory, JournalBytes: -1}, testConfig())
	x.append(t, makeBatch(1, "x", 3000, 1, batch.Options{}), 1)
	<-gate.Reached()
	for range 1000 {
		if _, err := x.Append(makeBatch(1, "x", 3000, 1, batch.Options{}), 1, testNow, Client); err != nil {
			break
		}
	}
	held, err := x.Read(0, x.EndOffset(), 10_000, true)
	if err != nil || held.Len() == 0 {
		t.Fatal(err)
	}
	gate.Open()
	poll(t, "failure", func() bool { return x.Err() != nil })
	fine, err := dir.Open(vfs.NewMem(), "/fine", dir.Options{Meta: testMeta, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fine.Abandon() }()
	if _, err := held.AppendTo(nil); err != nil {
		t.Errorf("an answer on its way: %v", err)
	}
	held.Close()
	log, err := Open(fine, testName, testID, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	other := &logAndDir{Log: log, d: fine, moved: make(chan struct{}, 1)}
	for range 900 {
		if _, err := other.Append(makeBatch(1, "y", 3000, 1, batch.Options{}), 1, testNow, Client); err != nil && !errors.Is(err, ErrBudget) {
			t.Fatal(err)
		}
	}
	poll(t, "memory", func() bool { s := fine.Share().Stats(); return s.Pinned == 0 && s.Unwritten == 0 })
	if _, err := x.Read(0, 1, 100, true); !errors.Is(err, model.KafkaStorageError) || x.Lost() == nil {
		t.Errorf("read of the failed log: %v", err)
	}
}

// Of a disk that hangs nothing is asked: appends and reads that would need it are refused, others go on.
func TestHungDiskIsNotAsked(t *testing.T) {
	mem, want := filled(t, 20)
	gate := vfs.NewGate()
	faulty := vfs.NewFaulty(mem, nil)
	x := openOn(t, faulty, dir.Options{JournalBytes: -1, StallAfter: 40 * time.Millisecond}, testConfig())
	faulty.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "*.log", Fault: vfs.Fault{Gate: gate}}})
	x.append(t, makeBatch(1, "x", 3000, 1, batch.Options{}), 1)
	<-gate.Reached()
	poll(t, "end of patience", x.Hung)
	began := time.Now()
	if _, err := x.Append(makeBatch(1, "x", 10, 1, batch.Options{}), 1, testNow, Client); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("append: %v", err)
	}
	if err := x.Stuck(); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("for whoever must know: %v", err)
	}
	if _, err := x.all(0, want[10].NextOffset(), 1<<20); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("read from the file: %v", err)
	}
	if _, _, err := x.OffsetForTimestamp(0, x.EndOffset()); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("search by time: %v", err)
	}
	last := x.EndOffset() - 1
	if got, err := x.all(last, last+1, 100); err != nil || len(got) != 1 {
		t.Errorf("read from memory: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("refusals took %v", took)
	}
	if n := x.d.Stats().ReadErrors.Load(); n != 0 {
		t.Errorf("%d read errors", n)
	}
	gate.Open()
	x.sync(t)
	poll(t, "end of the refusal", func() bool { return x.Stuck() == nil })
	if got, err := x.all(0, want[10].NextOffset(), 1<<20); err != nil || len(got) == 0 {
		t.Errorf("afterwards: %v", err)
	}
}

// What stands for a log that cannot be opened refuses everything, with the reason.
func TestUnavailableLog(t *testing.T) {
	why := errors.New("its disk is gone")
	d := dir.Unavailable(vfs.NewMem(), testDir, why, dir.Options{})
	l := Unavailable(d, testName, testID, testConfig(), d.Err())
	if _, err := l.Append(makeBatch(1, "x", 10, 1, batch.Options{}), 1, testNow, Client); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("append: %v", err)
	}
	if _, err := l.Read(0, 1, 100, true); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("read: %v", err)
	}
	if l.Lost() == nil || l.Err() == nil || l.Maintain(testNow, 0) != 0 || l.SetStartOffset(0) == nil || l.Size() != 0 {
		t.Error("it can be used")
	}
	if err := l.Delete(); err == nil {
		t.Error("it was deleted")
	}
}
