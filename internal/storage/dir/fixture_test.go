package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

const testPath = "/data"

var testMeta = Meta{ClusterID: "cluster", NodeID: 1}

// openDir opens a directory that the test lets go at its end.
func openDir(t testing.TB, fsys vfs.FS, o Options) *Dir {
	t.Helper()
	d, err := tryOpenDir(fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Abandon() })
	return d
}

func tryOpenDir(fsys vfs.FS, o Options) (*Dir, error) {
	if o.Meta == (Meta{}) {
		o.Meta = testMeta
	}
	return Open(fsys, testPath, o)
}

// smallJournal has a journal made soon, so small that three small frames fill a half.
func smallJournal(o Options) Options {
	o.JournalBytes, o.JournalAfter = 40<<10, 1
	return o
}

// poll waits for what nothing announces.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("no %s", what)
		}
	}
}

// reel is a log of one file whose byte at a position is known from the log's name and the position. It does through a Round what a log must, and little else.
type reel struct {
	Member
	d      *Dir
	name   string
	handle Handle
	moved  chan struct{}

	calls   atomic.Int32 // callbacks of the committer that run
	overlap atomic.Bool
	fails   atomic.Int32

	mu struct {
		sync.Mutex
		appended, written, staged, synced int64
		start, durableStart, stagedStart  int64
		filedStart                        int64
		filedNeeds                        Needs
		needs                             Needs // asked for in the next round
		needed                            Needs // in the present one
		unlocked                          int   // callbacks that found no lock held
		err                               error
		closing                           bool
	}

	// The committer's.
	exists bool
	begun  bool // its directory and identity are there
	fresh  bool // its first bytes are not synced yet

	silent   bool                 // does not tell what is coming
	onStage  func(r *Round) error // instead of nothing, before the bytes are written
	onSettle func(err error)
	onCall   func(what string)
}

// at is the byte of a log at a position.
func (x *reel) at(pos int64) byte { return byteOf(x.name, pos) }

func byteOf(name string, pos int64) byte {
	h := uint64(len(name))*131 + uint64(name[len(name)-1]) + uint64(pos)*0x9e3779b97f4a7c15
	return byte(h>>56) | 1 // never the zero that a lost sector shows
}

func (x *reel) bytes(from, to int64) []byte {
	p := make([]byte, to-from)
	for i := range p {
		p[i] = x.at(from + int64(i))
	}
	return p
}

func (x *reel) path() string { return filepath.Join(x.d.path, x.name) }
func (x *reel) file() string { return filepath.Join(x.path(), fmt.Sprintf("%020d.log", 0)) }

// newReel makes a member that continues what is in the directory.
func newReel(t testing.TB, d *Dir, name string) *reel {
	t.Helper()
	x := &reel{d: d, name: name, moved: make(chan struct{}, 1)}
	if found := d.Adopt(name); found != nil {
		x.exists = true
		for _, f := range found.Files {
			if f.Name == filepath.Base(x.file()) {
				x.mu.appended, x.mu.written, x.mu.staged, x.mu.synced = f.Size, f.Size, f.Size, f.Size
			}
		}
	}
	if err := d.Add(x); err != nil {
		t.Fatal(err)
	}
	return x
}

// put appends n bytes.
func (x *reel) put(n int64) {
	x.mu.Lock()
	x.mu.appended += n
	x.mu.Unlock()
	x.d.Dirty(x, &x.Member)
}

// need asks for something before the next Stage.
func (x *reel) need(n Needs) {
	x.mu.Lock()
	x.mu.needs |= n
	x.mu.Unlock()
	x.d.Dirty(x, &x.Member)
}

func (x *reel) setStart(at int64) {
	x.mu.Lock()
	x.mu.start = at
	x.mu.needs |= NeedStart
	x.mu.Unlock()
	x.d.Dirty(x, &x.Member)
}

func (x *reel) synced() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.synced
}

// settle waits until everything is safe, or returns why it never will be.
func (x *reel) settle() error { return x.settleWithin(20 * time.Second) }

func (x *reel) settleWithin(limit time.Duration) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		x.mu.Lock()
		done, err := x.mu.synced == x.mu.appended && x.mu.needs|x.mu.needed == 0 && x.mu.durableStart == x.mu.start, x.mu.err
		x.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-x.moved:
		case <-deadline.C:
			return fmt.Errorf("%s was not settled", x.name)
		}
	}
}

func (x *reel) mustSettle(t testing.TB) { x.mustSettleWithin(t, 20*time.Second) }

func (x *reel) mustSettleWithin(t testing.TB, limit time.Duration) {
	t.Helper()
	if err := x.settleWithin(limit); err != nil {
		t.Fatal(err)
	}
}

// enter checks what holds in every callback: nobody else runs one of this log, and no lock of the package is held.
func (x *reel) enter(what string) func() {
	if x.calls.Add(1) != 1 {
		x.overlap.Store(true)
	}
	if x.onCall != nil {
		x.onCall(what)
	}
	return func() { x.calls.Add(-1) }
}

func (x *reel) Name() string { return x.name }

func (x *reel) Place() *Member { return &x.Member }

func (x *reel) BeginClose() {
	x.mu.Lock()
	x.mu.closing = true
	x.mu.Unlock()
}

func (x *reel) Prove(*Round) error { return nil }

func (x *reel) Prepare() Needs {
	defer x.enter("Prepare")()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.needed, x.mu.needs = x.mu.needed|x.mu.needs, 0
	if !x.silent {
		x.Coming = x.mu.appended - x.mu.written
	}
	n := x.mu.needed
	if x.mu.closing {
		n |= NeedJournal
	}
	return n
}

func (x *reel) Begin(r *Round) error {
	defer x.enter("Begin")()
	if x.exists || x.begun {
		return nil
	}
	if err := r.FS().MkdirAll(x.path()); err != nil {
		return err
	}
	f, err := r.FS().Create(filepath.Join(x.path(), "identity"))
	if errors.Is(err, fs.ErrExist) {
		f, err = r.FS().Open(filepath.Join(x.path(), "identity"))
	}
	if err != nil {
		return err
	}
	if err := r.Write(f, []byte(x.name), 0); err != nil {
		return errors.Join(err, f.Close())
	}
	r.First(f)
	r.SyncDir(x.path())
	r.SyncDir(x.d.path)
	x.begun = true
	return nil
}

func (x *reel) Stage(r *Round) error {
	defer x.enter("Stage")()
	if x.onStage != nil {
		if err := x.onStage(r); err != nil {
			return err
		}
	}
	x.mu.Lock()
	from, to := x.mu.written, x.mu.appended
	x.mu.Unlock()
	if !x.exists && !x.begun { // there was no space for it
		if err := errors.Join(x.Begin(r), r.BarrierFirst()); err != nil {
			return err
		}
	}
	if !x.exists {
		if _, err := r.Open(&x.handle, x.file(), true); err != nil {
			return err
		}
		if err := r.Release(&x.handle); err != nil {
			return err
		}
		x.exists, x.fresh = true, true
		r.SyncDir(x.path())
	}
	f, err := r.Open(&x.handle, x.file(), false)
	if err != nil {
		return err
	}
	if to > from {
		if err := r.Append(f, x.name, 0, x.bytes(from, to), from); err != nil {
			return errors.Join(err, r.Release(&x.handle))
		}
	}
	r.Sync(&x.handle, f, !x.fresh)
	x.mu.Lock()
	x.mu.written, x.mu.staged = to, to
	x.mu.Unlock()
	return nil
}

func (x *reel) Written() { defer x.enter("Written")() }

func (x *reel) Settle(err error) {
	defer x.enter("Settle")()
	x.mu.Lock()
	if err == nil {
		x.fresh = x.fresh && x.mu.staged == 0
		x.mu.synced = x.mu.staged
		if x.mu.needed&(NeedStart|NeedRecovery) != 0 {
			x.mu.durableStart = x.mu.stagedStart
		}
		x.mu.needed = 0
	} else {
		x.mu.err = err
	}
	x.mu.Unlock()
	if x.onSettle != nil {
		x.onSettle(err)
	}
	x.notify()
}

func (x *reel) Checkpoint(_ *Round, needs Needs, e *Entry) {
	defer x.enter("Checkpoint")()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.filedStart, x.mu.filedNeeds = x.mu.start, needs
	if x.mu.start > 0 {
		e.StartOffset = x.mu.start
	}
	if !x.exists {
		return
	}
	e.RecoveryPoint, e.HighWatermark = x.mu.synced, x.mu.synced
	if needs&NeedRecovery != 0 {
		e.State = fmt.Appendf(nil, "%s at %d", x.name, x.mu.synced)
	}
}

func (x *reel) Checkpointed() {
	defer x.enter("Checkpointed")()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.filedNeeds&(NeedStart|NeedRecovery) != 0 {
		x.mu.stagedStart = x.mu.filedStart
	}
}

func (x *reel) Fail(err error) {
	x.fails.Add(1)
	if x.onCall != nil {
		x.onCall("Fail")
	}
	x.mu.Lock()
	x.mu.err = err
	x.mu.Unlock()
	x.notify()
}

func (x *reel) notify() {
	select {
	case x.moved <- struct{}{}:
	default:
	}
}

// readAll reads a whole file; nil when it is missing.
func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenRead(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return p, nil
}

// promised is what a log was told to be safe.
type promised struct {
	name          string
	synced, start int64
}

func promises(reels ...*reel) []promised {
	var out []promised
	for _, x := range reels {
		x.mu.Lock()
		out = append(out, promised{x.name, x.mu.synced, x.mu.durableStart})
		x.mu.Unlock()
	}
	return out
}

// kept opens what a crash left and compares it with what was promised: the bytes are there, checkpoints say nothing that is not so, and manifest and checkpoint agree.
func kept(image *vfs.Mem, o Options, want []promised) error {
	o.Memory, o.Handles, o.OnFailure = nil, nil, nil
	d, err := tryOpenDir(image, o)
	if err != nil {
		return fmt.Errorf("open what is left: %w", err)
	}
	for _, p := range want {
		if err := p.check(image, d); err != nil {
			return errors.Join(err, d.Abandon())
		}
	}
	return d.Abandon()
}

func (p promised) check(image *vfs.Mem, d *Dir) error {
	found := d.Adopt(p.name)
	data, err := readAll(image, filepath.Join(testPath, p.name, fmt.Sprintf("%020d.log", 0)))
	if err != nil {
		return err
	}
	good := int64(0)
	for good < int64(len(data)) && data[good] == byteOf(p.name, good) {
		good++
	}
	if good < p.synced {
		return fmt.Errorf("%s: %d bytes are left (%d sound), %d were promised", p.name, len(data), good, p.synced)
	}
	if found == nil {
		if p.synced > 0 {
			return fmt.Errorf("%s is gone", p.name)
		}
		return nil
	}
	if found.RecoveryPoint > good {
		return fmt.Errorf("%s: the recovery point is %d, only %d bytes are sound", p.name, found.RecoveryPoint, good)
	}
	if found.StartOffset < p.start && p.start > 0 {
		return fmt.Errorf("%s: starts at %d, %d was promised", p.name, found.StartOffset, p.start)
	}
	if want := fmt.Sprintf("%s at %d", p.name, found.RecoveryPoint); found.State != nil && string(found.State) != want {
		return fmt.Errorf("%s: the manifest has %q, want %q", p.name, found.State, want)
	}
	if found.State == nil && found.RecoveryPoint >= 0 {
		return fmt.Errorf("%s: the manifest is not used, although nobody else was here", p.name)
	}
	if d.clean && (good != int64(len(data)) || found.RecoveryPoint != good) {
		return fmt.Errorf("%s: a clean stop left %d bytes, %d of them sound, and a recovery point of %d", p.name, len(data), good, found.RecoveryPoint)
	}
	return nil
}
