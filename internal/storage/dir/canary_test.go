package dir

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/transcript"
)

// A disk that hangs is noticed, whoever waits for it: the canary when nobody writes, the committer's round when somebody does. It is said once, with the directory's name,
// and once more when it is over.
func TestHungDiskIsNoticed(t *testing.T) {
	for name, what := range map[string]struct {
		Op   vfs.Op
		Path string
	}{
		"idle, sync":       {vfs.OpSync, canaryFile},
		"idle, write":      {vfs.OpWrite, canaryFile},
		"in a round":       {vfs.OpSync, "*.log"},
		"write in a round": {vfs.OpWrite, "*.log"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := vfs.NewGate()
				rule := &vfs.Rule{Op: what.Op, Path: what.Path, Nth: 2, Fault: vfs.Fault{Gate: gate}}
				var said transcript.Transcript
				var changes atomic.Int32
				d := openDir(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), Options{JournalBytes: -1, StallAfter: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&said, nil)), OnChange: func() { changes.Add(1) }})
				x := newReel(t, d, "topic-0")
				if rule.Path == "*.log" {
					x.put(10)
					x.mustSettle(t)
					x.put(10)
				}
				<-gate.Reached()
				began := time.Now()
				<-time.After(9 * time.Second)
				if d.Hung() || d.Stalled(time.Now()) < 8*time.Second {
					t.Fatalf("after 9 s: hung %v, stalled for %v", d.Hung(), d.Stalled(time.Now()))
				}
				<-time.After(6*time.Second + time.Millisecond)
				if !d.Hung() || len(said.Lines("does not answer", testPath)) != 1 || changes.Load() != 1 || d.Stats().Stalls.Load() != 1 {
					t.Fatalf("after %v: hung %v, %d changes, said:\n%s", time.Since(began), d.Hung(), changes.Load(), &said)
				}
				<-time.After(time.Minute)
				if len(said.Lines("does not answer")) != 1 || d.Err() != nil {
					t.Fatalf("after a minute: %v, said:\n%s", d.Err(), &said)
				}
				gate.Open()
				synctest.Wait()
				if d.Hung() || d.Stalled(time.Now()) != 0 || len(said.Lines("answers again", testPath)) != 1 || changes.Load() != 2 {
					t.Fatalf("afterwards: hung %v, stalled for %v, %d changes, said:\n%s", d.Hung(), d.Stalled(time.Now()), changes.Load(), &said)
				}
				if rule.Path == "*.log" {
					x.mustSettle(t)
				}
				if err := d.Close(1); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A round that takes long because it has much to sync is no hanging disk: each sync that ends is a sign of life.
func TestSlowDiskIsNotHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := vfs.Hooks{OnBefore: func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpSync {
				<-time.After(4 * time.Second)
			}
			return vfs.Fault{}
		}}
		d := openDir(t, vfs.NewFaulty(vfs.NewMem(), slow), Options{JournalBytes: -1, Syncs: 1, StallAfter: 10 * time.Second})
		var reels []*reel
		for _, name := range []string{"a-0", "b-0", "c-0", "d-0", "e-0", "f-0", "g-0"} {
			reels = append(reels, newReel(t, d, name))
		}
		began := time.Now()
		for _, x := range reels {
			x.put(10)
		}
		for _, x := range reels {
			x.mustSettleWithin(t, 10*time.Minute)
		}
		if time.Since(began) < 20*time.Second || d.Stats().Stalls.Load() != 0 {
			t.Errorf("%d stalls in %v", d.Stats().Stalls.Load(), time.Since(began))
		}
	})
}

// While the committer proves that the disk works, the canary keeps quiet.
func TestCanaryKeepsQuietUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faulty := vfs.NewFaulty(vfs.NewMem(), nil)
		d := openDir(t, faulty, Options{JournalBytes: -1, StallAfter: 10 * time.Second})
		x := newReel(t, d, "topic-0")
		for range 60 {
			x.put(10)
			x.mustSettle(t)
			<-time.After(time.Second)
		}
		if n := faulty.Count(vfs.OpSync, canaryFile); n != 0 {
			t.Errorf("the canary synced %d times beside the load", n)
		}
		<-time.After(time.Minute)
		if n := faulty.Count(vfs.OpSync, canaryFile); n < 1 || n > 3 {
			t.Errorf("the canary synced %d times in an idle minute, want one in 30 s", n)
		}
	})
}

// The canary takes a disk that fails for what it is; one that is full is left to others.
func TestCanaryOnABrokenDisk(t *testing.T) {
	for errno, offline := range map[syscall.Errno]bool{syscall.EIO: true, syscall.EROFS: true, syscall.ENOSPC: false, syscall.EMFILE: false} {
		for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite} {
			synctest.Test(t, func(t *testing.T) {
				rule := &vfs.Rule{Op: op, Path: canaryFile, Fault: vfs.Fault{Err: errno}}
				d := openDir(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), Options{StallAfter: time.Second})
				<-time.After(5 * time.Second)
				if rule.Bitten() == 0 || (d.Err() != nil) != offline {
					t.Errorf("%s %v, %d times: the directory says %v", op, errno, rule.Bitten(), d.Err())
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // after a failed sync nobody knows what is on the disk
		rule := &vfs.Rule{Op: vfs.OpSync, Path: canaryFile, Fault: vfs.Fault{Err: syscall.ENOSPC}}
		d := openDir(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), Options{StallAfter: time.Second})
		<-time.After(5 * time.Second)
		if d.Err() == nil {
			t.Error("a failed sync of the canary is forgiven")
		}
	})
}

// Who waits for memory hears of a directory that hangs, if he is impatient, and of one that failed in any case; and the memory of a failed one is the others'.
func TestNobodyWaitsForMemoryOfABrokenDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := NewMemory(8 << 20)
		broken := openDir(t, vfs.NewMem(), Options{Memory: memory, JournalBytes: -1})
		fine, err := Open(vfs.NewMem(), "/fine", Options{Meta: testMeta, Memory: memory, JournalBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = fine.Abandon() }()
		broken.Share().Unwritten(8 << 20)
		var impatient, patient atomic.Bool
		go func() { _ = broken.Share().Wait(t.Context(), MaxChunk, true); impatient.Store(true) }()
		go func() {
			for broken.Err() == nil { // a wake-up is no promise
				_ = broken.Share().Wait(t.Context(), MaxChunk, false)
			}
			patient.Store(true)
		}()
		synctest.Wait()
		if impatient.Load() || patient.Load() {
			t.Fatal("memory that is not there was given: not a test")
		}
		broken.share.hold(true)
		synctest.Wait()
		if !impatient.Load() || patient.Load() {
			t.Errorf("of a hung disk the impatient heard: %v, the patient: %v", impatient.Load(), patient.Load())
		}
		broken.Offline(syscall.EIO)
		synctest.Wait()
		if !patient.Load() {
			t.Error("whoever waits for memory of a failed directory waits on")
		}
		memory.mu.Lock()
		defer memory.mu.Unlock()
		if got := fine.share.limitLocked(); got != 8<<20 {
			t.Errorf("beside a failed directory another one may have %d of 8 MiB", got)
		}
	})
}

// What cannot be opened is offline from the beginning, and asks nothing of the disk.
func TestUnavailable(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem(), nil)
	d := Unavailable(faulty, testPath, &vfsError{syscall.EIO}, Options{Meta: testMeta})
	x := &reel{d: d, name: "topic-0"}
	if d.Err() == nil || !strings.Contains(d.Err().Error(), filepath.Base(testPath)) || len(d.Names()) != 0 || d.Add(x) == nil || d.Hung() || d.Full(time.Now()) {
		t.Errorf("it says %v", d.Err())
	}
	if clean, epoch := d.CleanStart(); clean || epoch != NoBrokerEpoch {
		t.Error("it stopped cleanly")
	}
	if err := d.Close(1); err == nil {
		t.Error("it was closed cleanly")
	}
	if len(faulty.Log()) != 0 {
		t.Errorf("it was touched: %v", faulty.Log())
	}
}

type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }
