package vfs

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ottla/ottla/internal/invariant"
)

// Op is a method of FS or File.
type Op string

// The operations that Faulty counts, remembers and spoils.
const (
	OpCreate    Op = "create"
	OpOpen      Op = "open"
	OpOpenRead  Op = "openread"
	OpRemove    Op = "remove"
	OpRemoveAll Op = "removeall"
	OpRename    Op = "rename"
	OpMkdirAll  Op = "mkdirall"
	OpSyncDir   Op = "syncdir"
	OpReadDir   Op = "readdir"
	OpStat      Op = "stat"
	OpLock      Op = "lock"
	OpFreeSpace Op = "freespace"
	OpRead      Op = "read"
	OpWrite     Op = "write"
	OpSync      Op = "sync"
	OpTruncate  Op = "truncate"
	OpSize      Op = "size"
	OpClose     Op = "close"
)

// Call is one call of a method.
type Call struct {
	Op     Op
	Path   string // as given to the FS, or the file's name
	To     string // new name of a rename
	Offset int64  // of reads and writes; the new size of a truncate
	Len    int    // of reads and writes
}

// LoggedCall is a call that returned. Begin and End number all beginnings and ends of calls together, from 1: a.End < b.Begin means that a was
// over before b began.
type LoggedCall struct {
	Call
	Begin, End uint64
	Err        error
}

// Fault is what becomes of a call. The zero Fault lets it pass.
type Fault struct {
	// Gate, if set, holds the call until it is opened.
	Gate *Gate
	// Err, if set, is returned, wrapped. A Sync or SyncDir of a Mem that fails leaves what a failing disk leaves: see Mem.
	Err error
	// Short is how many bytes a read or write with Err does before it fails.
	Short int
	// After does the operation although Err is returned.
	After bool
}

// Injector decides about calls. Methods may be called from several goroutines at once, with no lock held.
type Injector interface {
	// Before is asked before a call is done.
	Before(Call) Fault
	// After is told how it went.
	After(LoggedCall)
}

// maxLog bounds the log of calls; a test that needs more resets it in between.
const maxLog = 1 << 22

// Faulty is an FS that does what another does, except for what its Injector spoils, and remembers all calls in order.
type Faulty struct {
	fs       FS
	injector atomic.Pointer[Injector]
	mu       struct {
		sync.Mutex
		clock uint64
		log   []LoggedCall
	}
}

// NewFaulty wraps fs. injector may be nil.
func NewFaulty(fs FS, injector Injector) *Faulty {
	f := &Faulty{fs: fs}
	f.SetInjector(injector)
	return f
}

// SetInjector exchanges the injector, nil for none, for calls that begin from now on.
func (f *Faulty) SetInjector(injector Injector) {
	if injector == nil {
		f.injector.Store(nil)
		return
	}
	f.injector.Store(&injector)
}

// Log returns the calls that returned so far, in the order of their ends.
func (f *Faulty) Log() []LoggedCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.log)
}

// ResetLog forgets the calls so far.
func (f *Faulty) ResetLog() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.log = nil
}

// Count tells how many calls of op on paths that match pattern (see Rule) are in the log. Op "" is any.
func (f *Faulty) Count(op Op, pattern string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for i := range f.mu.log {
		if f.mu.log[i].matches(op, pattern) {
			n++
		}
	}
	return n
}

func (f *Faulty) tick() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.clock++
	return f.mu.clock
}

// run does one call: do does the operation, fail what is left to do of it when it is spoilt.
func (f *Faulty) run(c Call, do func() error, fail func(Fault)) error {
	begin := f.tick()
	var injector Injector
	var fault Fault
	if p := f.injector.Load(); p != nil {
		injector = *p
		fault = injector.Before(c)
	}
	if fault.Gate != nil {
		fault.Gate.pass()
	}
	var err error
	if fault.Err == nil || fault.After {
		err = do()
	}
	if fault.Err != nil {
		if !fault.After && fail != nil {
			fail(fault)
		}
		err = pathError(string(c.Op), c.Path, fault.Err)
	}
	logged := f.remember(LoggedCall{Call: c, Begin: begin, Err: err})
	if injector != nil {
		injector.After(logged)
	}
	return err
}

func (f *Faulty) remember(c LoggedCall) LoggedCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	invariant.Check(len(f.mu.log) < maxLog, "vfs: a test made %d calls without ResetLog", maxLog)
	f.mu.clock++
	c.End = f.mu.clock
	f.mu.log = append(f.mu.log, c)
	return c
}

// open does one of the calls that return a file.
func (f *Faulty) open(op Op, name string, open func(string) (File, error)) (File, error) {
	var file File
	err := f.run(Call{Op: op, Path: name}, func() (err error) {
		file, err = open(name)
		return err
	}, nil)
	if err != nil {
		if file != nil { // opened although an error is returned
			_ = file.Close() // nobody has written to it
		}
		return nil, err
	}
	return &faultyFile{File: file, fs: f}, nil
}

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) { return f.open(OpCreate, name, f.fs.Create) }

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) { return f.open(OpOpen, name, f.fs.Open) }

// OpenRead implements FS.
func (f *Faulty) OpenRead(name string) (File, error) {
	return f.open(OpOpenRead, name, f.fs.OpenRead)
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	return f.run(Call{Op: OpRemove, Path: name}, func() error { return f.fs.Remove(name) }, nil)
}

// RemoveAll implements FS.
func (f *Faulty) RemoveAll(name string) error {
	return f.run(Call{Op: OpRemoveAll, Path: name}, func() error { return f.fs.RemoveAll(name) }, nil)
}

// Rename implements FS.
func (f *Faulty) Rename(oldName, newName string) error {
	return f.run(Call{Op: OpRename, Path: oldName, To: newName}, func() error { return f.fs.Rename(oldName, newName) }, nil)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string) error {
	return f.run(Call{Op: OpMkdirAll, Path: name}, func() error { return f.fs.MkdirAll(name) }, nil)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error {
	return f.run(Call{Op: OpSyncDir, Path: name}, func() error { return f.fs.SyncDir(name) }, func(Fault) {
		if m, ok := f.fs.(interface{ FailSyncDir(string) }); ok {
			m.FailSyncDir(name)
		}
	})
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(name string) (entries []DirEntry, err error) {
	err = f.run(Call{Op: OpReadDir, Path: name}, func() (err error) {
		entries, err = f.fs.ReadDir(name)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (info Info, err error) {
	err = f.run(Call{Op: OpStat, Path: name}, func() (err error) {
		info, err = f.fs.Stat(name)
		return err
	}, nil)
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (lock io.Closer, err error) {
	err = f.run(Call{Op: OpLock, Path: name}, func() (err error) {
		lock, err = f.fs.Lock(name)
		return err
	}, nil)
	if err != nil {
		if lock != nil {
			_ = lock.Close() // the caller hears of the failure already
		}
		return nil, err
	}
	return lock, nil
}

// FreeSpace implements FS.
func (f *Faulty) FreeSpace(name string) (free, total int64, err error) {
	err = f.run(Call{Op: OpFreeSpace, Path: name}, func() (err error) {
		free, total, err = f.fs.FreeSpace(name)
		return err
	}, nil)
	if err != nil {
		return 0, 0, err
	}
	return free, total, nil
}
