package dir

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// changing are the calls that change what is on the disk, or what a crash leaves of it.
var changing = map[vfs.Op]bool{vfs.OpCreate: true, vfs.OpWrite: true, vfs.OpSync: true, vfs.OpSyncDir: true, vfs.OpRename: true, vfs.OpRemove: true, vfs.OpRemoveAll: true, vfs.OpTruncate: true, vfs.OpMkdirAll: true}

// powerCuts cuts the power before every call that changes something, and opens what is left.
type powerCuts struct {
	mem     *vfs.Mem
	options Options
	mu      sync.Mutex
	reels   []*reel
	n       int
	images  int
	failure error
	over    bool
}

func (c *powerCuts) Before(call vfs.Call) vfs.Fault {
	if changing[call.Op] {
		c.cut(fmt.Sprintf("before %s %s", call.Op, call.Path))
	}
	return vfs.Fault{}
}

func (c *powerCuts) After(vfs.LoggedCall) {}

func (c *powerCuts) cut(when string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil || c.over {
		return
	}
	c.n++
	for _, seed := range [...]uint64{vfs.LoseUnsynced, vfs.KeepUnsynced, uint64(2 + 2*c.n), uint64(3 + 2*c.n)} {
		want := promises(c.reels...)
		image := c.mem.Crash(seed)
		c.images++
		if err := kept(image, c.options, want); err != nil {
			c.failure = fmt.Errorf("power cut %d, seed %d, %s: %w", c.n, seed, when, err)
			return
		}
	}
}

// members adds logs that the cuts know of.
func (c *powerCuts) members(t testing.TB, d *Dir, n int) []*reel {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reels = nil
	for i := range n {
		c.reels = append(c.reels, newReel(t, d, fmt.Sprintf("topic-%d", i)))
	}
	return c.reels
}

// cutEverywhere runs three logs through rounds, checkpoints, new start offsets, a clean stop and another start, with the power cut at every step.
func cutEverywhere(t testing.TB, o Options) (*powerCuts, error) {
	c := &powerCuts{mem: vfs.NewMem(), options: o}
	fsys := vfs.NewFaulty(c.mem, c)
	for run := range 2 {
		d, err := tryOpenDir(fsys, o)
		if err != nil {
			return c, err
		}
		reels := c.members(t, d, 3)
		work := func() error {
			for i := range 14 {
				for k, x := range reels {
					if (i+k)%3 != 2 {
						x.put(int64(100 + 977*i%1500))
					}
				}
				if i%5 == 3 {
					reels[i%3].setStart(reels[i%3].synced() / 2)
				}
				for _, x := range reels {
					if err := x.settle(); err != nil {
						return err
					}
				}
			}
			return nil
		}
		err = work()
		if o.JournalAfter == 1 && d.Stats().JournalSyncs.Load() == 0 {
			err = errors.Join(err, errors.New("the journal was never used: not a test"))
		}
		if err != nil {
			return c, errors.Join(err, d.Abandon())
		}
		reels[1].put(3000)
		if err := d.Close(int64(run)); err != nil {
			return c, err
		}
		c.cut("after a clean stop")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c, c.failure
}

// I1, I4, I5, I6, I8: whatever is cut where, what was settled is there, checkpoints tell nothing that is not so, manifest and checkpoint belong together, and a marker of a clean
// stop is believed only when all is well.
func TestPowerCutsAtEveryCall(t *testing.T) {
	for name, o := range map[string]Options{
		"files":               {JournalBytes: -1, CheckpointBytes: 1 << 20},
		"files, checkpoints":  {JournalBytes: -1, CheckpointBytes: 1},
		"journal":             smallJournal(Options{CheckpointBytes: 1 << 20}),
		"journal, checkpoint": smallJournal(Options{CheckpointBytes: 3000}),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := cutEverywhere(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if c.images < 400 {
				t.Fatalf("only %d power cuts: not a test", c.images)
			}
			t.Logf("%d power cuts", c.images)
		})
	}
}

// The test above must find what was put there to be found.
func TestPowerCutsFindDeliberateBugs(t *testing.T) {
	for name, o := range map[string]Options{
		"acknowledge before the sync":               {JournalBytes: -1, Mutants: AckBeforeSync},
		"no sync of directories":                    {JournalBytes: -1, Mutants: SkipDirSync},
		"acknowledge before the journal is synced":  smallJournal(Options{Mutants: SkipJournalSync}),
		"do not apply the journal":                  smallJournal(Options{Mutants: SkipReplay}),
		"the marker of a clean stop before the end": {JournalBytes: -1, Mutants: EarlyMarker},
		"the checkpoint files before the manifest":  {JournalBytes: -1, CheckpointBytes: 1, Mutants: ManifestLast},
		"keep the marker of a clean stop":           {JournalBytes: -1, Mutants: KeepMarker},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 { // what meets in a round is up to the scheduler
				if _, err := cutEverywhere(t, o); err != nil {
					t.Logf("found: %v", err)
					return
				}
			}
			t.Error("the bug was not found")
		})
	}
}

// I2: whichever call fails, the directory is offline, every log is told, and from then on no file is touched.
func TestAfterAFailureNothingIsRetried(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir, vfs.OpCreate, vfs.OpRename, vfs.OpMkdirAll} {
		t.Run(string(op), func(t *testing.T) {
			bitten := 0
			for _, journal := range []bool{false, true} {
				for n := 1; failNth(t, journal, op, n, syscall.EIO); n++ {
					bitten++
				}
			}
			if bitten == 0 {
				t.Fatal("no fault bit: not a test")
			}
			t.Logf("%d faults", bitten)
		})
	}
	t.Run("a sync for want of space", func(t *testing.T) { // what it covered may be gone: that is no full disk
		if !failNth(t, false, vfs.OpSync, 2, syscall.ENOSPC) {
			t.Fatal("the fault did not bite")
		}
	})
}

func failNth(t *testing.T, journal bool, op vfs.Op, n int, errno error) bool {
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem, nil)
	var told atomic.Int32
	o := Options{CheckpointBytes: 4000, JournalBytes: -1, OnFailure: func(error) { told.Add(1) }}
	if journal {
		o = smallJournal(o)
	}
	d := openDir(t, faulty, o)
	rule := &vfs.Rule{Op: op, Nth: n, Fault: vfs.Fault{Err: errno}}
	faulty.SetInjector(vfs.Rules{rule})
	reels := []*reel{newReel(t, d, "topic-0"), newReel(t, d, "topic-1")}
	for range 12 {
		for _, x := range reels {
			x.put(700)
		}
		for _, x := range reels {
			if err := x.settle(); err != nil && !errors.Is(err, model.KafkaStorageError) && !errors.Is(err, errno) {
				t.Fatalf("%s %d: %v", op, n, err)
			}
		}
	}
	if rule.Bitten() == 0 {
		return false
	}
	poll(t, "end of the directory", func() bool { return d.Err() != nil && told.Load() == 1 && d.Stalled(time.Now()) == 0 })
	want := promises(reels...)
	faulty.ResetLog()
	for _, x := range reels {
		x.put(10)
		if x.fails.Load() == 0 {
			t.Errorf("%s %d: %s was not told", op, n, x.name)
		}
	}
	d.wake()
	if err := d.Close(1); !errors.Is(err, model.KafkaStorageError) {
		t.Errorf("%s %d: Close of an offline directory: %v", op, n, err)
	}
	for _, c := range faulty.Log() {
		// With a journal, one may be in the making in the background, or the files of one be synced there: nothing is settled by either.
		background := journal && (c.Op == vfs.OpSync || c.Op == vfs.OpSyncDir || strings.Contains(c.Path, journalFile))
		if changing[c.Op] && !background {
			t.Errorf("%s %d: after the failure: %s %s", op, n, c.Op, c.Path)
		}
	}
	for i, p := range promises(reels...) {
		if p != want[i] {
			t.Errorf("%s %d: after the failure %+v became %+v", op, n, want[i], p)
		}
	}
	if told.Load() != 1 {
		t.Errorf("%s %d: OnFailure was called %d times", op, n, told.Load())
	}
	if err := kept(mem.Crash(vfs.LoseUnsynced), Options{}, want); err != nil {
		t.Errorf("%s %d: %v", op, n, err)
	}
	return true
}

// A log that finds no space waits for some; the others go on, and nothing is offline.
func TestNoSpace(t *testing.T) {
	full, failed := fmt.Errorf("write: %w", syscall.ENOSPC), fmt.Errorf("rename: %w", syscall.EIO)
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{full, true},
		{failed, false},
		{&syncError{full}, false},
		{errors.Join(full, syscall.EMFILE), true},
		{errors.Join(full, failed), false},
		{errors.Join(failed, full), false},
		{fmt.Errorf("log: %w", errors.Join(full, errors.Join(full, failed))), false},
		{fmt.Errorf("log: %w", errors.Join(full, nil)), true},
	} {
		if got := NoSpace(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

func TestNoSpaceStallsOneLog(t *testing.T) {
	rule := &vfs.Rule{Op: vfs.OpWrite, Path: "topic-0/*.log", Nth: 1, Onwards: true, Fault: vfs.Fault{Err: syscall.ENOSPC, Short: 5}}
	faulty := vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule})
	d := openDir(t, faulty, Options{JournalBytes: -1})
	full, other := newReel(t, d, "topic-0"), newReel(t, d, "topic-1")
	full.put(100)
	poll(t, "refusal", func() bool { return d.Full(time.Now()) })
	other.put(100)
	other.mustSettle(t)
	if d.Err() != nil || full.synced() != 0 || d.Stats().NoSpace.Load() == 0 {
		t.Fatalf("offline: %v; %d bytes are synced; %d times without space", d.Err(), full.synced(), d.Stats().NoSpace.Load())
	}
	faulty.SetInjector(nil)
	full.mustSettle(t)
	poll(t, "end of the refusal", func() bool { return !d.Full(time.Now()) })
}

// Clients are refused below the low-water mark and taken again somewhat above it.
func TestLowWater(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(20 << 20)
	d := openDir(t, mem, Options{JournalBytes: -1, MinFreeBytes: 1 << 40}) // never more than a twentieth of a small disk
	if d.Full(time.Now()) {
		t.Fatal("an empty disk is full")
	}
	x := newReel(t, d, "topic-0")
	for !d.Full(time.Now()) {
		x.put(64 << 10)
		x.mustSettle(t)
		if d.FreeBytes() < 20<<20/20/2 {
			t.Fatalf("%d bytes are free, and nothing is refused", d.FreeBytes())
		}
	}
	mem.SetCapacity(40 << 20)
	poll(t, "end of the refusal", func() bool { return !d.Full(time.Now()) })
}

// I3 and I7: whoever appends meanwhile, the callbacks of a log come one at a time; and none of them finds a lock of the package held.
func TestCallbacksComeAloneAndUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDir(t, vfs.NewMem(), smallJournal(Options{CheckpointBytes: 2000}))
		x := newReel(t, d, "topic-0")
		newReel(t, d, "topic-1")
		seen := map[string]int{}
		locked := ""
		x.onCall = func(what string) { // nobody but the committer is about
			seen[what]++
			for name, m := range map[string]*sync.Mutex{"Dir.mu": &d.mu.Mutex, "Memory.mu": &d.memory.mu.Mutex, "Handles.mu": &d.handles.mu.Mutex} {
				if !m.TryLock() {
					locked = what + " with " + name
					continue
				}
				m.Unlock()
			}
		}
		x.mu.appended = 100 // before the committer can see it
		d.Dirty(x, &x.Member)
		x.mustSettle(t)
		x.mu.appended += 3000
		x.mu.needs = NeedRecovery
		d.Dirty(x, &x.Member)
		x.mustSettle(t)
		synctest.Wait() // the checkpoint comes behind what is settled, and Fail from whoever finds the error
		d.Offline(errors.New("on purpose"))
		for _, what := range []string{"Prepare", "Begin", "Stage", "Written", "Settle", "Checkpoint", "Fail"} {
			if seen[what] == 0 {
				t.Errorf("%s was not called: not a test", what)
			}
		}
		if locked != "" {
			t.Errorf("%s held", locked)
		}
	})

	d := openDir(t, vfs.NewMem(), Options{CheckpointBytes: 500})
	reels := []*reel{newReel(t, d, "topic-0"), newReel(t, d, "topic-1")}
	var users sync.WaitGroup
	for i := range 4 {
		users.Go(func() {
			for range 50 {
				reels[i%2].put(20)
				reels[(i+1)%2].need(NeedStart)
			}
		})
	}
	users.Wait()
	for _, x := range reels {
		x.mustSettle(t)
		if x.overlap.Load() {
			t.Errorf("callbacks of %s ran at the same time", x.name)
		}
	}
}

// I4: before a log that asked for it is staged, its lowered recovery point is on the disk.
func TestRecoveryPointIsLoweredFirst(t *testing.T) {
	mem := vfs.NewMem()
	d := openDir(t, mem, Options{JournalBytes: -1})
	x := newReel(t, d, "topic-0")
	x.put(1000)
	x.mustSettle(t)
	x.need(NeedRecovery)
	x.mustSettle(t)
	recorded := func() int64 {
		data, err := readAll(mem.Crash(vfs.LoseUnsynced), filepath.Join(testPath, recoveryFile))
		if err != nil {
			t.Fatal(err)
		}
		o, err := parseOffsets(data)
		if err != nil {
			t.Fatal(err)
		}
		return o[x.name]
	}
	if got := recorded(); got != 1000 {
		t.Fatalf("the checkpoint says %d", got)
	}
	staged := int64(-1)
	x.onStage = func(r *Round) error {
		staged = recorded()
		return nil
	}
	x.mu.Lock()
	x.mu.synced, x.mu.written, x.mu.staged, x.mu.appended, x.mu.needs = 400, 400, 400, 400, NeedRecovery // cut
	x.mu.Unlock()
	d.Dirty(x, &x.Member)
	poll(t, "round", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.mu.needed|x.mu.needs == 0 && staged >= 0 })
	if staged != 400 {
		t.Errorf("when the log was staged, the disk said %d, want 400", staged)
	}
}

// A log's identity is on disk before anything else of it is written, and those of all logs of a round are synced together.
func TestIdentityComesFirst(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem(), nil)
	d := openDir(t, faulty, Options{JournalBytes: -1})
	x := newReel(t, d, "topic-0")
	x.put(10)
	x.mustSettle(t)
	var synced, wrote uint64
	for _, c := range faulty.Log() {
		switch {
		case c.Op == vfs.OpSync && strings.HasSuffix(c.Path, "identity"):
			synced = c.End
		case c.Op == vfs.OpWrite && strings.HasSuffix(c.Path, ".log") && wrote == 0:
			wrote = c.Begin
		}
	}
	if synced == 0 || wrote < synced {
		t.Errorf("the identity was synced at %d, the first bytes written at %d", synced, wrote)
	}
}

// TestARoundDoesNotSettleAfterAFailureBesideIt: once a sync in the background has failed, the system may tell the round's own sync of the same thing success for what is lost.
func TestARoundDoesNotSettleAfterAFailureBesideIt(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{JournalBytes: -1})
	x := newReel(t, d, "topic-0")
	held, release, settled := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	x.onStage = func(*Round) error {
		close(held)
		<-release
		return nil
	}
	x.onSettle = func(err error) { settled <- err }
	x.put(1)
	<-held
	d.Offline(errors.New("the disk is gone"))
	close(release)
	if err := <-settled; err == nil {
		t.Error("the round was settled")
	}
}
