package plog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// history is what a log's user knows: every state it brought the log to, and the newest state that was acknowledged as safe.
type history struct {
	mu     sync.Mutex
	states []logical
	acked  int
	start  int64 // acknowledged start offset
	starts int64 // greatest start offset asked for
}

// logical is a log as its user sees it.
type logical struct {
	batches []batch.Batch
	first   int64 // offset of the first batch
	end     int64
}

func newHistory() *history { return &history{states: []logical{{}}} }

func (h *history) last() logical { return h.states[len(h.states)-1] }

func (h *history) push(s logical) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, s)
}

// ack says that the present state is safe.
func (h *history) ack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked = len(h.states) - 1
}

// promise is what a crash at this moment must keep.
type promise struct {
	states []logical // the acknowledged one first, then those on the way
	start  int64
	starts int64
}

func (h *history) promise() promise {
	h.mu.Lock()
	defer h.mu.Unlock()
	return promise{h.states[h.acked:], h.start, h.starts}
}

// check compares what a log has after a crash: it must be the beginning of one of the states since the last acknowledged one, and at least as long as what all of them
// have in common with it.
func (p promise) check(start, end int64, got []batch.Batch) error {
	if start < p.start || start > p.starts && start != p.states[len(p.states)-1].first {
		return fmt.Errorf("it starts at offset %d; %d was acknowledged, %d the most that was asked for", start, p.start, p.starts)
	}
	least := p.states[0].end
	for _, s := range p.states {
		least = min(least, s.end)
	}
	if end < least {
		return fmt.Errorf("it ends at offset %d, but %d was acknowledged", end, least)
	}
	var why error
	for _, s := range p.states {
		if why = s.begins(start, end, got); why == nil {
			return nil
		}
	}
	return why
}

// begins tells whether got is what the state has from start on, up to end.
func (s logical) begins(start, end int64, got []batch.Batch) error {
	if end > s.end {
		return fmt.Errorf("it ends at offset %d, the user's at %d", end, s.end)
	}
	var want []batch.Batch
	for _, b := range s.batches {
		if b.LastOffset() >= start && b.BaseOffset() < end {
			want = append(want, b)
		}
	}
	return sameBatches(want, got)
}

// cutter takes crash images while a log works: after every call that changes something, with several seeds. Images are recovered at once.
type cutter struct {
	t       testing.TB
	mem     *vfs.Mem
	history *history
	options dir.Options
	config  *Config
	seeds   func(n int) []uint64
	mu      sync.Mutex
	n       int
	images  int
	failure error

	journalSyncs int64
}

var changes = map[vfs.Op]bool{vfs.OpCreate: true, vfs.OpWrite: true, vfs.OpSync: true, vfs.OpSyncDir: true, vfs.OpRename: true, vfs.OpRemove: true, vfs.OpRemoveAll: true, vfs.OpTruncate: true, vfs.OpMkdirAll: true}

// Before implements vfs.Injector.
func (c *cutter) Before(call vfs.Call) vfs.Fault {
	if changes[call.Op] {
		c.cut(fmt.Sprintf("before %s %s", call.Op, call.Path))
	}
	return vfs.Fault{}
}

// After implements vfs.Injector.
func (c *cutter) After(vfs.LoggedCall) {}

// cut cuts the power now.
func (c *cutter) cut(when string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return
	}
	c.n++
	for _, seed := range c.seeds(c.n) {
		promised := c.history.promise() // before the image: what is acknowledged later need not be in it
		image := c.mem.Crash(seed)
		after := c.history.promise()
		// What was asked for while the image was made may be in it.
		promised.states, promised.starts = append(promised.states[:len(promised.states):len(promised.states)], after.states...), after.starts
		c.images++
		if err := survives(image, promised, c.options, c.config); err != nil {
			c.failure = fmt.Errorf("power cut %d, seed %d, %s: %w", c.n, seed, when, err)
			return
		}
	}
}

// survives recovers an image, checks it, checks that what recovery claims to be safe is, and goes on with it.
func survives(image *vfs.Mem, p promise, o dir.Options, config *Config) error {
	o.Memory, o.Handles = nil, nil
	x, err := tryOpenOn(image, o, config)
	if err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	err = x.recovered(p)
	synced, start := x.SyncedOffset(), x.StartOffset()
	second := image.Crash(vfs.LoseUnsynced)
	if err != nil {
		return errors.Join(err, x.d.Abandon())
	}
	if y, err := tryOpenOn(second, o, config); err != nil {
		return fmt.Errorf("second recovery: %w", err)
	} else if end := y.EndOffset(); end < synced && y.StartOffset() <= synced {
		return errors.Join(fmt.Errorf("recovery counted offset %d as synced, a second power cut left %d", synced, end), y.d.Abandon(), x.d.Abandon())
	} else if err := y.d.Abandon(); err != nil {
		return err
	}
	// It must go on from there, and find that after another crash.
	end := x.EndOffset()
	b := makeBatch(2, "after the crash", 30, 5000, batch.Options{})
	if _, err := x.tryAppend(b, 1000, Client); err != nil {
		return errors.Join(fmt.Errorf("append after recovery: %w", err), x.d.Abandon())
	}
	if err := x.tryWait("sync after recovery", func() bool { return x.SyncedOffset() >= end+2 }); err != nil {
		return errors.Join(err, x.d.Abandon())
	}
	before, err := x.all(start, end+2, 1<<20)
	if err != nil {
		return errors.Join(err, x.d.Abandon())
	}
	third := image.Crash(uint64(end) + 2)
	if err := x.d.Abandon(); err != nil {
		return err
	}
	z, err := tryOpenOn(third, o, config)
	if err != nil {
		return fmt.Errorf("third recovery: %w", err)
	}
	got, err := z.all(z.StartOffset(), z.EndOffset(), 1<<20)
	if err == nil {
		err = sameBatches(before, got)
	}
	if err == nil && z.EndOffset() > z.StartOffset() {
		err = z.wellFormed()
	}
	return errors.Join(err, z.d.Abandon())
}

// recovered checks a log that was just opened.
func (x *logAndDir) recovered(p promise) error {
	if err := x.Err(); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	got, err := x.all(x.StartOffset(), x.EndOffset(), 1<<20)
	if err != nil {
		return fmt.Errorf("read after recovery: %w", err)
	}
	if err := p.check(x.StartOffset(), x.EndOffset(), got); err != nil {
		return err
	}
	return x.wellFormed()
}

// wellFormed compares what the log knows of its batches with the batches.
func (x *logAndDir) wellFormed() error {
	got, err := x.all(x.StartOffset(), x.EndOffset(), 1<<20)
	if err != nil {
		return err
	}
	greatest := int64(-1)
	for _, b := range got {
		if e := x.EpochAt(max(b.BaseOffset(), x.StartOffset())); e != b.PartitionLeaderEpoch() {
			return fmt.Errorf("offset %d has epoch %d, the log says %d", b.BaseOffset(), b.PartitionLeaderEpoch(), e)
		}
		greatest = max(greatest, b.MaxTimestamp())
	}
	if len(got) == 0 {
		return nil
	}
	for _, b := range got { // every batch is found by its offset and its time
		one, err := x.all(max(b.BaseOffset(), x.StartOffset()), b.NextOffset(), 1)
		if err != nil || len(one) != 1 || !bytes.Equal(one[0], b) {
			return fmt.Errorf("looking for offset %d: %d batches, %v", b.BaseOffset(), len(one), err)
		}
	}
	s, ok, err := x.OffsetForTimestamp(greatest, x.EndOffset())
	if err != nil || !ok || s.Timestamp < greatest {
		return fmt.Errorf("looking for time %d: %+v %v %v", greatest, s, ok, err)
	}
	return nil
}

// someSeeds are the two extremes and a few of the rest.
func someSeeds(extra int) func(int) []uint64 {
	return func(n int) []uint64 {
		seeds := []uint64{vfs.LoseUnsynced, vfs.KeepUnsynced}
		for i := range extra {
			seeds = append(seeds, uint64(2+n*extra+i))
		}
		return seeds
	}
}

// crashed runs a workload over a cutter.
func crashed(t testing.TB, o dir.Options, config *Config, seeds func(int) []uint64, work func(x *logAndDir, h *history) error) (*cutter, error) {
	c := &cutter{t: t, mem: vfs.NewMem(), history: newHistory(), options: o, config: config, seeds: seeds}
	x, err := tryOpenOn(vfs.NewFaulty(c.mem, c), o, config)
	if err != nil {
		return c, err
	}
	err = work(x, c.history)
	if err == nil {
		c.cut("at the end")
	}
	c.mu.Lock()
	failure := c.failure
	c.failure = errors.New("over") // no more images
	c.journalSyncs = x.d.Stats().JournalSyncs.Load()
	c.mu.Unlock()
	err = errors.Join(failure, err, x.d.Abandon())
	if err == nil && o.JournalAfter == 1 && c.journalSyncs == 0 {
		err = errors.New("the journal was never used: not a test")
	}
	return c, err
}

// user does to a log what its history then knows.
type user struct {
	*logAndDir
	h *history
	r *rand.Rand
}

func (u *user) put(b batch.Batch, epoch int32) error {
	s := u.h.last()
	// The history knows first: the committer may be faster than we are.
	c := bytes.Clone(b)
	batch.Batch(c).SetBaseOffset(s.end)
	batch.Batch(c).SetPartitionLeaderEpoch(epoch)
	u.h.push(logical{append(s.batches[:len(s.batches):len(s.batches)], c), s.first, s.end + int64(b.LastOffsetDelta()) + 1})
	_, err := u.tryAppend(b, epoch, Client)
	return err
}

func (u *user) settle() error {
	if err := u.tryWait("sync", func() bool {
		return u.SyncedOffset() == u.EndOffset() && u.DurableStartOffset() == u.StartOffset() && !u.CutPending()
	}); err != nil {
		return err
	}
	u.h.ack()
	u.h.mu.Lock()
	u.h.start = u.StartOffset()
	u.h.mu.Unlock()
	return nil
}

func (u *user) truncate(to int64) error {
	s := u.h.last()
	n := len(s.batches)
	for n > 0 && s.batches[n-1].LastOffset() >= to {
		n--
	}
	end := s.first
	if n > 0 {
		end = s.batches[n-1].NextOffset()
	}
	u.h.push(logical{s.batches[:n:n], s.first, end})
	if err := u.TruncateTo(to); err != nil {
		return err
	}
	if u.EndOffset() != end {
		return fmt.Errorf("cut to %d: the log ends at %d, want %d", to, u.EndOffset(), end)
	}
	return nil
}

func (u *user) restart(to int64) error {
	u.h.mu.Lock()
	u.h.starts = max(u.h.starts, to)
	u.h.states = append(u.h.states, logical{nil, to, to})
	u.h.mu.Unlock()
	return u.TruncateFullyAndStartAt(to)
}

func (u *user) deleteBelow(offset int64) error {
	u.h.mu.Lock()
	u.h.starts = max(u.h.starts, offset)
	u.h.mu.Unlock()
	return u.SetStartOffset(offset)
}

// withJournal has a journal made soon, so small that it turns all the time.
func withJournal(o dir.Options) dir.Options {
	o.JournalBytes, o.JournalAfter = 40<<10, 1
	return o
}

// withAndWithoutJournal runs a test on both ways to make bytes durable.
func withAndWithoutJournal(t *testing.T, f func(t *testing.T, journal func(dir.Options) dir.Options)) {
	t.Run("files", func(t *testing.T) {
		f(t, func(o dir.Options) dir.Options { o.JournalBytes = -1; return o })
	})
	t.Run("journal", func(t *testing.T) { f(t, withJournal) })
}

func TestCrashWhileAppendingAndRolling(t *testing.T) {
	withAndWithoutJournal(t, testCrashWhileAppendingAndRolling)
}

func testCrashWhileAppendingAndRolling(t *testing.T, journal func(dir.Options) dir.Options) {
	c, err := crashed(t, journal(dir.Options{CheckpointBytes: 3000}), testConfig(), someSeeds(2), func(x *logAndDir, h *history) error {
		u := &user{x, h, rand.New(rand.NewPCG(1, 1))}
		for i := range 40 {
			for range 1 + i%3 {
				if err := u.put(makeBatch(1+i%4, fmt.Sprint(i), u.r.IntN(500), int64(i), batch.Options{}), int32(i/10)); err != nil {
					return err
				}
			}
			if err := u.settle(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.images < 300 {
		t.Fatalf("only %d power cuts: not a test", c.images)
	}
	t.Logf("%d power cuts", c.images)
}

func TestCrashWhileCutting(t *testing.T) {
	withAndWithoutJournal(t, testCrashWhileCutting)
}

func testCrashWhileCutting(t *testing.T, journal func(dir.Options) dir.Options) {
	c, err := crashed(t, journal(dir.Options{CheckpointBytes: 2000}), testConfig(), someSeeds(2), func(x *logAndDir, h *history) error {
		u := &user{x, h, rand.New(rand.NewPCG(2, 1))}
		for i := range 25 {
			for range 5 {
				if err := u.put(makeBatch(1+i%4, fmt.Sprint(i), u.r.IntN(500), int64(i), batch.Options{}), int32(i)); err != nil {
					return err
				}
			}
			if i%4 != 3 {
				if err := u.settle(); err != nil {
					return err
				}
			}
			if end := u.EndOffset(); i%5 != 4 {
				if err := u.truncate(end - u.r.Int64N(min(end, 30))); err != nil {
					return err
				}
			}
		}
		return u.settle()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts", c.images)
}

func TestCrashWhileDeletingRecords(t *testing.T) {
	withAndWithoutJournal(t, testCrashWhileDeletingRecords)
}

func testCrashWhileDeletingRecords(t *testing.T, journal func(dir.Options) dir.Options) {
	c, err := crashed(t, journal(dir.Options{CheckpointBytes: 4000}), testConfig(), someSeeds(2), func(x *logAndDir, h *history) error {
		u := &user{x, h, rand.New(rand.NewPCG(3, 1))}
		for i := range 30 {
			for range 4 {
				if err := u.put(makeBatch(2, fmt.Sprint(i), u.r.IntN(600), int64(i), batch.Options{}), 1); err != nil {
					return err
				}
			}
			if err := u.settle(); err != nil {
				return err
			}
			if i%3 == 2 {
				if err := u.deleteBelow(u.StartOffset() + u.r.Int64N(u.EndOffset()-u.StartOffset()+1)); err != nil {
					return err
				}
				u.Maintain(testNow, u.SyncedOffset())
				if err := u.settle(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts", c.images)
}

func TestCrashWhileStartingAnew(t *testing.T) {
	withAndWithoutJournal(t, testCrashWhileStartingAnew)
}

func testCrashWhileStartingAnew(t *testing.T, journal func(dir.Options) dir.Options) {
	c, err := crashed(t, journal(dir.Options{CheckpointBytes: 4000}), testConfig(), someSeeds(2), func(x *logAndDir, h *history) error {
		u := &user{x, h, rand.New(rand.NewPCG(4, 1))}
		for i := range 12 {
			for range 12 {
				if err := u.put(makeBatch(2, fmt.Sprint(i), u.r.IntN(600), int64(i), batch.Options{}), 1); err != nil {
					return err
				}
			}
			if err := u.settle(); err != nil {
				return err
			}
			if err := u.restart(u.EndOffset() + u.r.Int64N(50)); err != nil {
				return err
			}
			if i%2 == 0 {
				if err := u.settle(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts", c.images)
}
