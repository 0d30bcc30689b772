package plog

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ottla/ottla/internal/storage/vfs"
)

var errKilled = errors.New("the process was killed")

// process is a file system as one process sees it. The process can be killed between any two calls: from then on nothing it does has an effect, while the page cache stays for
// its successor. It can be told of every call that changes something, and fail it. It keeps no record of calls, for it serves millions.
type process struct {
	*vfs.Mem
	lies lies

	mu struct {
		sync.Mutex
		dead bool
		hook func(vfs.Call) vfs.Fault // asked before every change, and every read of a file, with no lock held
	}
}

// lies are what a disk, or a program that leaves out a call, does wrong: deliberate bugs for tests of the harness.
type lies struct {
	noSync      string // a pattern: such files are not synced although success is told
	noSyncDir   bool
	noDelete    bool // renames to a name that ends in -delete are left out
	retriesSync bool // a sync that failed is tried again, and believed
}

func newProcess(mem *vfs.Mem, l lies) *process { return &process{Mem: mem, lies: l} }

// kill ends the process.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.dead = true
}

func (p *process) dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.dead
}

// watch sets the hook, nil for none.
func (p *process) watch(hook func(vfs.Call) vfs.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.hook = hook
}

// run does one call, unless the process is dead or the call is to fail.
func (p *process) run(c vfs.Call, do func() error, fail func(vfs.Fault)) error {
	p.mu.Lock()
	hook := p.mu.hook
	p.mu.Unlock()
	var fault vfs.Fault
	if hook != nil {
		fault = hook(c)
	}
	if p.dead() {
		return errKilled
	}
	if fault.Err == nil {
		return do()
	}
	if fault.After {
		if err := do(); err != nil {
			return err
		}
	} else if fail != nil {
		fail(fault)
	}
	return fault.Err
}

func (p *process) open(op vfs.Op, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := p.run(vfs.Call{Op: op, Path: name}, func() (err error) {
		f, err = open(name)
		return err
	}, nil)
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return nil, err
	}
	return &processFile{f, p}, nil
}

// Create implements vfs.FS.
func (p *process) Create(name string) (vfs.File, error) {
	return p.open(vfs.OpCreate, name, p.Mem.Create)
}

// Open implements vfs.FS.
func (p *process) Open(name string) (vfs.File, error) { return p.open(vfs.OpOpen, name, p.Mem.Open) }

// OpenRead implements vfs.FS.
func (p *process) OpenRead(name string) (vfs.File, error) {
	return p.open(vfs.OpOpenRead, name, p.Mem.OpenRead)
}

// Remove implements vfs.FS.
func (p *process) Remove(name string) error {
	return p.run(vfs.Call{Op: vfs.OpRemove, Path: name}, func() error { return p.Mem.Remove(name) }, nil)
}

// RemoveAll implements vfs.FS.
func (p *process) RemoveAll(name string) error {
	return p.run(vfs.Call{Op: vfs.OpRemoveAll, Path: name}, func() error { return p.Mem.RemoveAll(name) }, nil)
}

// Rename implements vfs.FS.
func (p *process) Rename(old, name string) error {
	return p.run(vfs.Call{Op: vfs.OpRename, Path: old, To: name}, func() error {
		if p.lies.noDelete && strings.HasSuffix(name, "-delete") {
			return nil
		}
		return p.Mem.Rename(old, name)
	}, nil)
}

// MkdirAll implements vfs.FS.
func (p *process) MkdirAll(name string) error {
	return p.run(vfs.Call{Op: vfs.OpMkdirAll, Path: name}, func() error { return p.Mem.MkdirAll(name) }, nil)
}

// SyncDir implements vfs.FS.
func (p *process) SyncDir(name string) error {
	return p.run(vfs.Call{Op: vfs.OpSyncDir, Path: name}, func() error {
		if p.lies.noSyncDir {
			return nil
		}
		return p.Mem.SyncDir(name)
	}, func(vfs.Fault) { p.Mem.FailSyncDir(name) })
}

// processFile is a file that a process has open.
type processFile struct {
	vfs.File
	p *process
}

// FailSync does to the file what a sync does that fails.
func (f *processFile) FailSync() { f.File.(interface{ FailSync() }).FailSync() }

// ReadAt implements vfs.File.
func (f *processFile) ReadAt(b []byte, at int64) (n int, err error) {
	err = f.p.run(vfs.Call{Op: vfs.OpRead, Path: f.Name(), Offset: at, Len: len(b)}, func() (err error) {
		n, err = f.File.ReadAt(b, at)
		return err
	}, nil)
	return n, err
}

// WriteAt implements vfs.File.
func (f *processFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.p.run(vfs.Call{Op: vfs.OpWrite, Path: f.Name(), Offset: at, Len: len(b)}, func() (err error) {
		n, err = f.File.WriteAt(b, at)
		return err
	}, func(fault vfs.Fault) {
		if short := min(fault.Short, len(b)); short > 0 {
			n, _ = f.File.WriteAt(b[:short], at) // the fault is told already
		}
	})
	return n, err
}

// Truncate implements vfs.File.
func (f *processFile) Truncate(size int64) error {
	return f.p.run(vfs.Call{Op: vfs.OpTruncate, Path: f.Name(), Offset: size}, func() error { return f.File.Truncate(size) }, nil)
}

// Sync implements vfs.File.
func (f *processFile) Sync() error {
	sync := func() error {
		if l := f.p.lies.noSync; l != "" {
			if ok, err := filepath.Match(l, filepath.Base(f.Name())); ok || err != nil {
				return err
			}
		}
		return f.File.Sync()
	}
	err := f.p.run(vfs.Call{Op: vfs.OpSync, Path: f.Name()}, sync, func(vfs.Fault) { f.FailSync() })
	if err != nil && f.p.lies.retriesSync && !f.p.dead() {
		return sync()
	}
	return err
}
