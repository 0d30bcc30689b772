package plog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Every call that a log makes fails once, in turn, with an error of the disk: the directory goes offline, nothing more is acknowledged, and the next process finds
// everything that was.
func TestFailedCallsTakeTheDirectoryOffline(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir, vfs.OpCreate, vfs.OpRename, vfs.OpOpen} {
		t.Run(string(op), func(t *testing.T) {
			bitten := 0
			for n := 1; ; n++ {
				if !failOnce(t, op, n) {
					break
				}
				bitten++
			}
			if bitten == 0 {
				t.Fatal("no fault bit: not a test")
			}
			t.Logf("%d faults", bitten)
		})
	}
}

// failOnce fails the nth call of a kind; false when there was none.
func failOnce(t *testing.T, op vfs.Op, n int) bool {
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem, nil)
	var failed error
	var once sync.Mutex
	x, err := tryOpenOn(faulty, withJournal(dir.Options{CheckpointBytes: 5000, OnFailure: func(err error) { once.Lock(); failed = err; once.Unlock() }}), testConfig())
	if err != nil {
		t.Fatal(err)
	}
	rule := &vfs.Rule{Op: op, Nth: n, Fault: vfs.Fault{Err: syscall.EIO}}
	faulty.SetInjector(vfs.Rules{rule})
	h := newHistory()
	u := &user{logAndDir: x, h: h}
	for i := range 30 {
		if err = u.put(makeBatch(2, fmt.Sprint(i), 300, int64(i), batch.Options{}), 1); err == nil {
			err = u.settle()
		}
		if err != nil {
			break
		}
	}
	if rule.Bitten() == 0 {
		if err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		if err := x.d.Abandon(); err != nil {
			t.Fatal(err)
		}
		return false
	}
	faulty.SetInjector(nil)
	if err == nil { // it bit in the background, or the very last round
		if _, err = x.tryAppend(makeBatch(1, "last", 1, 1, batch.Options{}), 1, Client); err == nil {
			err = x.tryWait("sync", func() bool { return x.SyncedOffset() == x.EndOffset() })
		}
	}
	if err == nil {
		return true // of a journal that is being made, for instance, for want of which the directory goes on
	}
	if !errors.Is(err, model.KafkaStorageError) || x.d.Err() == nil {
		t.Fatalf("%s %d: %v; the directory says %v", op, n, err, x.d.Err())
	}
	if _, err := x.Append(makeBatch(1, "x", 1, 1, batch.Options{}), 1, testNow, Client); !errors.Is(err, model.KafkaStorageError) {
		t.Fatalf("%s %d: append to an offline directory: %v", op, n, err)
	}
	if err := x.d.Close(1); err == nil {
		t.Fatalf("%s %d: the directory stopped cleanly", op, n)
	}
	once.Lock()
	defer once.Unlock()
	if failed == nil {
		t.Fatalf("%s %d: nobody was told", op, n)
	}
	if err := survives(mem.Crash(vfs.LoseUnsynced), h.promise(), dir.Options{}, testConfig()); err != nil {
		t.Fatalf("%s %d: after a power cut: %v", op, n, err)
	}
	return true
}

// A full disk keeps what it cannot write, refuses clients, and goes on when there is space again.
func TestFullDiskWaitsForSpace(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{JournalBytes: -1}, testConfig())
	want := fill(t, x, 10, 1)
	mem.SetCapacity(1)
	b := makeBatch(1, "when there is space", 9000, 1, batch.Options{})
	if _, err := x.tryAppend(b, 1, Internal); err != nil {
		t.Fatal(err)
	}
	want = append(want, b)
	before := len(want) - 1
	poll(t, "refusal", func() bool {
		c := makeBatch(1, "perhaps refused", 10, 1, batch.Options{})
		_, err := x.Append(c, 1, time.Now(), Client)
		if err == nil { // the committer has not noticed yet
			want = append(want, c)
		}
		return errors.Is(err, model.KafkaStorageError)
	})
	if x.d.Err() != nil {
		t.Fatalf("a full disk took the directory offline: %v", x.d.Err())
	}
	synced := x.SyncedOffset()
	if synced == x.EndOffset() {
		t.Fatal("the full disk took everything: not a test")
	}
	got, err := x.all(0, synced, 1000)
	if err != nil || sameBatches(want[:before], got) != nil {
		t.Fatalf("reading from a full disk: %v", err)
	}
	mem.SetCapacity(0)
	x.sync(t)
	poll(t, "an append after the space came back", func() bool {
		c := makeBatch(1, "again", 10, 1, batch.Options{})
		_, err := x.Append(c, 1, time.Now(), Client)
		if err == nil {
			want = append(want, c)
		}
		return err == nil
	})
	x.sync(t)
	if got, err := x.all(0, x.EndOffset(), 1000); err != nil || sameBatches(want, got) != nil {
		t.Fatal(err, sameBatches(want, got))
	}
}

// poll waits for a condition that nothing announces.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s", what)
		}
	}
}

// Space runs out at every single write, and comes back: nothing is lost, nothing goes offline.
func TestNoSpaceAtEveryWrite(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpCreate, vfs.OpMkdirAll} {
		for n := 1; ; n += 3 {
			mem := vfs.NewMem()
			faulty := vfs.NewFaulty(mem, nil)
			x := openOn(t, faulty, dir.Options{JournalBytes: -1, CheckpointBytes: 4000}, testConfig())
			rule := &vfs.Rule{Op: op, Nth: n, Fault: vfs.Fault{Err: syscall.ENOSPC, Short: 7}}
			faulty.SetInjector(vfs.Rules{rule})
			var want []batch.Batch
			for i := range 25 {
				b := makeBatch(2, fmt.Sprint(i), 300, int64(i), batch.Options{})
				if _, err := x.tryAppend(b, 1, Internal); err != nil {
					t.Fatal(err)
				}
				want = append(want, b)
				x.sync(t)
			}
			got, err := x.all(0, x.EndOffset(), 1000)
			if err != nil || sameBatches(want, got) != nil {
				t.Fatal(err, sameBatches(want, got))
			}
			image := mem.Crash(vfs.LoseUnsynced)
			if err := x.d.Abandon(); err != nil {
				t.Fatal(err)
			}
			if err := survives(image, promise{states: []logical{{want, 0, want[len(want)-1].NextOffset()}}}, dir.Options{}, testConfig()); err != nil {
				t.Fatalf("%s %d: %v", op, n, err)
			}
			if rule.Bitten() == 0 {
				if n == 1 {
					t.Fatal("no fault bit: not a test")
				}
				break
			}
		}
	}
}

// TestRemovalThatFindsNoSpace: renaming can need space too. What was to be removed is not forgotten over it: no file stays, for a later log to find.
func TestRemovalThatFindsNoSpace(t *testing.T) {
	for n := 1; ; n++ {
		mem := vfs.NewMem()
		rule := &vfs.Rule{Op: vfs.OpRename, Path: "*.deleted", Nth: n, Fault: vfs.Fault{Err: syscall.ENOSPC}}
		x := openOn(t, vfs.NewFaulty(mem, vfs.Rules{rule}), dir.Options{}, testConfig())
		for range 8 {
			x.append(t, makeBatch(1, "x", 1500, 1000, batch.Options{}), 1)
		}
		x.sync(t)
		start := (*x.segments.Load()).active().base
		if err := x.SetStartOffset(start); err != nil {
			t.Fatal(err)
		}
		if x.Maintain(time.Now(), start); (*x.segments.Load())[0].base != start || start < 4 {
			t.Fatal("nothing was to be removed: not a test")
		}
		x.wait(t, "removal", func() bool {
			files, err := mem.ReadDir(x.path)
			return err == nil && !slices.ContainsFunc(files, func(f vfs.DirEntry) bool {
				var base int64
				_, err := fmt.Sscanf(f.Name, "%020d.", &base)
				return err == nil && base < start
			})
		})
		if err := x.d.Err(); err != nil {
			t.Fatal(err)
		}
		if rule.Bitten() == 0 {
			if n < 4 {
				t.Fatalf("%d renames: not a test", n-1)
			}
			break
		}
	}
}

// A disk that hangs holds up neither appends, as long as there is memory, nor reads; and it shows.
func TestHungDisk(t *testing.T) {
	gate := vfs.NewGate()
	rule := &vfs.Rule{Op: vfs.OpSync, Path: "*.log", Nth: 1, Fault: vfs.Fault{Gate: gate}}
	memory := dir.NewMemory(1 << 20)
	x := openOn(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), dir.Options{Memory: memory, JournalBytes: -1}, testConfig())
	b := makeBatch(1, "x", 3000, 1, batch.Options{})
	x.append(t, b, 1)
	<-gate.Reached()
	taken := 0
	for {
		_, err := x.Append(makeBatch(1, "x", 3000, 1, batch.Options{}), 1, testNow, Client)
		if errors.Is(err, ErrBudget) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken++
	}
	if taken < 100 || taken > 400 {
		t.Errorf("%d batches of 3 KB were taken into 1 MiB", taken)
	}
	if x.SyncedOffset() != 0 || x.d.Stalled(time.Now().Add(time.Minute)) < 30*time.Second {
		t.Errorf("synced %d, stalled for %v", x.SyncedOffset(), x.d.Stalled(time.Now()))
	}
	if got, err := x.all(0, x.EndOffset(), 10000); err != nil || len(got) != taken+1 {
		t.Errorf("%d batches can be read, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := x.WaitRoom(ctx, Client); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitRoom: %v", err)
	}
	gate.Open()
	if err := x.WaitRoom(context.Background(), Client); err != nil {
		t.Fatal(err)
	}
	x.sync(t)
}

// Readers hold what they read: deletion, retention and other logs' need of memory wait for them.
func TestReadersHoldWhatTheyRead(t *testing.T) {
	c := testConfig()
	c.RetentionBytes = 1
	memory := dir.NewMemory(256 << 10)
	x := openOn(t, vfs.NewMem(), dir.Options{Memory: memory}, c)
	want := fill(t, x, 60, 1)
	var slices []Slice
	var from int64
	for from < x.EndOffset() {
		s, err := x.Read(from, x.EndOffset(), 2000, true)
		if err != nil {
			t.Fatal(err)
		}
		slices = append(slices, s)
		for b, err := range s.Batches() {
			if err != nil {
				t.Fatal(err)
			}
			from = b.NextOffset()
		}
	}
	if n := x.Maintain(testNow, x.EndOffset()); n < 3 {
		t.Fatalf("%d segments deleted", n)
	}
	for range 300 { // the memory is needed elsewhere
		x.append(t, makeBatch(1, "more", 2000, 1, batch.Options{}), 1)
	}
	x.sync(t)
	var got []batch.Batch
	for i := range slices {
		for b, err := range slices[i].Batches() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, batch.Batch(append([]byte(nil), b...)))
		}
		slices[i].Close()
	}
	if err := sameBatches(want, got); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Read(0, x.EndOffset(), 100, true); !errors.Is(err, model.OffsetOutOfRange) {
		t.Errorf("read of what was deleted: %v", err)
	}
	x.wait(t, "removal of the files", func() bool {
		entries, err := x.d.FS().ReadDir(filepath.Join(testDir, testName))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if base, ok := offsetOf(e.Name, logSuffix); ok && base < x.StartOffset() || filepath.Ext(e.Name) == deletedSuffix {
				n++
			}
		}
		return n == 0
	})
}
