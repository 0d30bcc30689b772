package plog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// plainDice are dice of a seed.
type plainDice struct{ r *rand.Rand }

func (d plainDice) between(low, high int, _ string) int { return low + d.r.IntN(high-low+1) }

// someOperation throws one by its weight.
func (w *world) someOperation() operation {
	n := 0
	for _, o := range w.mix {
		n += o.weight
	}
	n = w.between(0, n-1, "operation")
	for _, o := range w.mix {
		if n -= o.weight; n < 0 {
			return o
		}
	}
	panic("BUG: the weights do not add up")
}

// only leaves few operations to the dice.
func (w *world) only(names ...string) {
	w.mix = slices.DeleteFunc(slices.Clone(w.mix), func(o operation) bool { return !slices.Contains(names, o.name) })
}

// image is what a crash at some moment would leave, and what it must keep.
type image struct {
	when    string
	seed    uint64
	mem     *vfs.Mem
	pledges []pledge
}

// camera takes images of a world while it works: before calls that change something, with seeds that say what of the unsynced is left.
type camera struct {
	w  *world
	mu sync.Mutex
	r  *rand.Rand
	of int // every how manyth call, about

	taken []image
}

// look takes images before a call.
func (c *camera) look(call vfs.Call) vfs.Fault {
	if !changes[call.Op] || c.w.proc.dead() {
		return vfs.Fault{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.r.IntN(c.of) != 0 || len(c.taken) > 100 {
		return vfs.Fault{}
	}
	failed := c.w.bite.failed() // of what a failed sync covered nobody knows what is left, also when everything else is
	for _, seed := range [...]uint64{uint64(c.r.IntN(2)), 2 + c.r.Uint64N(1<<40)} {
		i := image{when: fmt.Sprintf("before %s %s", call.Op, call.Path), seed: seed}
		c.w.mu.Lock()                                                                 // what is acknowledged later need not be in it
		i.pledges = c.w.pledges(seed == vfs.KeepUnsynced && !c.w.starting && !failed) // what was written before a power cut is no more
		i.mem = c.w.mem.Crash(seed)
		c.w.mu.Unlock()
		c.taken = append(c.taken, i)
	}
	return vfs.Fault{}
}

// develop examines the images taken so far.
func (c *camera) develop() (int, error) {
	c.mu.Lock()
	taken := c.taken
	c.taken = nil
	c.mu.Unlock()
	for i := range taken {
		if err := c.w.survives(&taken[i]); err != nil {
			return i, fmt.Errorf("power cut of seed %d, %s: %w", taken[i].seed, taken[i].when, err)
		}
	}
	return len(taken), nil
}

// survives recovers an image, compares it with what was pledged, checks that what recovery claims to be on disk is, and goes on with it.
func (w *world) survives(i *image) (err error) {
	i.mem.SetCapacity(0)
	o := w.process()
	o.Logger = nil
	open := func(mem *vfs.Mem, pledges []pledge) (*dir.Dir, []*opened, error) {
		d, err := dir.Open(mem, testDir, o)
		if err != nil {
			return nil, nil, err
		}
		out := make([]*opened, len(w.twins))
		for k, m := range w.twins {
			if out[k], _, err = m.examine(d, pledges[k]); err != nil {
				_ = d.Abandon() // the test has its verdict
				return nil, nil, fmt.Errorf("%s: %w", m.name, err)
			}
		}
		return d, out, nil
	}
	d, logs, err := open(i.mem, i.pledges)
	if err != nil {
		return err
	}
	second := i.mem.Crash(vfs.LoseUnsynced)
	for k, x := range logs {
		if x == nil {
			continue
		}
		i.pledges[k].synced = max(i.pledges[k].synced, x.SyncedOffset())
		i.pledges[k].safe = min(i.pledges[k].synced, i.pledges[k].safe)
		i.pledges[k].start = max(i.pledges[k].start, x.DurableStartOffset())
	}
	e, _, err := open(second, i.pledges)
	if err != nil {
		_ = d.Abandon() // the test has its verdict
		return fmt.Errorf("after a second power cut: %w", err)
	}
	if err := e.Abandon(); err != nil {
		return err
	}
	return w.goesOn(i.mem, d, logs)
}

// goesOn appends to every log of an image, and finds that again after a power cut.
func (w *world) goesOn(mem *vfs.Mem, d *dir.Dir, logs []*opened) error {
	var want []batch.Batch
	for k, x := range logs {
		want = append(want, nil)
		if x == nil {
			continue
		}
		b := makeBatch(2, "after the crash", 30, w.clock, batch.Options{})
		if _, err := x.Append(b, 1000, testNow, Client); err != nil {
			_ = d.Abandon() // the test has its verdict
			return fmt.Errorf("%s: append after recovery: %w", w.twins[k].name, err)
		}
		if x.Config().Durability == Cache {
			x.SetConfig(w.twins[k].durable())
		}
		want[k] = b
	}
	synctest.Wait()
	after := mem.Crash(vfs.LoseUnsynced)
	for k, x := range logs {
		if x != nil && x.SyncedOffset() != want[k].NextOffset() {
			_ = d.Abandon() // the test has its verdict
			return fmt.Errorf("%s: synced %d after recovery, of %d (%v)", w.twins[k].name, x.SyncedOffset(), want[k].NextOffset(), x.Err())
		}
	}
	if err := d.Abandon(); err != nil {
		return err
	}
	o := w.process()
	o.Logger = nil
	d, err := dir.Open(after, testDir, o)
	if err != nil {
		return err
	}
	defer func() { _ = d.Abandon() }()
	for k, m := range w.twins {
		if logs[k] == nil {
			continue
		}
		l, err := Open(d, m.name, m.id, m.config)
		if err == nil {
			err = l.Err()
		}
		var got []batch.Batch
		if err == nil {
			got, err = readAll(l)
		}
		if err != nil {
			return fmt.Errorf("%s after recovery, an append and a power cut: %w", m.name, err)
		}
		if n := len(got); n == 0 || string(got[n-1]) != string(want[k]) || n-1 != len(logs[k].got) {
			return fmt.Errorf("%s after recovery, an append and a power cut: %d batches, want %d", m.name, n, len(logs[k].got)+1)
		}
		for n := range logs[k].got {
			if string(got[n]) != string(logs[k].got[n]) {
				return fmt.Errorf("%s after recovery, an append and a power cut: batch %d differs", m.name, n)
			}
		}
	}
	return nil
}

// imagesOf takes and examines images of a world of a seed.
func imagesOf(seed uint64, steps int, change func(*world)) (images int, err error) {
	w := newWorld(plainDice{rand.New(rand.NewPCG(seed, 11))}, dir.Options{})
	w.roll(w.between(1, 3, "topics"))
	if change != nil {
		change(w)
	}
	c := &camera{w: w, r: rand.New(rand.NewPCG(seed, 12)), of: 3}
	w.watching = c.look
	defer w.end()
	if err := w.begin(); err != nil {
		return 0, err
	}
	for range steps {
		if err := w.do(w.someOperation()); err != nil {
			return images, err
		}
		n, err := c.develop()
		images += n
		if err != nil {
			return images, fmt.Errorf("%w; before:\n%s", err, &w.story)
		}
	}
	return images, nil
}

// TestCrashImages cuts the power while random operations are under way, and finds every acknowledged record in every image, and nothing that was not appended. OTTLA_LONG is ten times as many.
func TestCrashImages(t *testing.T) {
	enough := 10_000
	if long(t) > 0 {
		enough = 100_000
	}
	defer oneThread()()
	images, seed := 0, uint64(0)
	for ; images < enough && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			n, err := imagesOf(seed, 40, nil)
			images += n
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
	t.Logf("%d images of %d worlds", images, seed)
}
