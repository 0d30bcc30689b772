package dir

import (
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Round is one turn of the committer. It is the seam between logs and the way their bytes become durable: logs write through it and name what must be safe,
// the round decides how. Today every file is synced by itself; a journal would take the bytes seen in Write and be synced in the files' place.
type Round struct {
	dir   *Dir
	now   time.Time
	final bool // the directory is being closed

	bytes   int64
	files   []syncFile
	first   []vfs.File
	dirs    []string
	asked   map[string]struct{} // what dirs holds
	scratch []byte
}

// syncFile is a file that must be synced before the round may be settled. It stays acquired until then, so that a failed write-back cannot hide behind a closed descriptor.
type syncFile struct {
	handle *Handle
	file   vfs.File
}

// Now is when the round began.
func (r *Round) Now() time.Time { return r.now }

// Open acquires a file of a log for the rest of the round, creating it if fresh.
func (r *Round) Open(h *Handle, name string, fresh bool) (vfs.File, error) {
	f, err := r.dir.handles.Acquire(r.dir.fs, h, name, fresh)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Release ends Open.
func (r *Round) Release(h *Handle) error { return r.dir.handles.Release(h) }

// Write writes p to the file of a log at position at.
func (r *Round) Write(f vfs.File, p []byte, at int64) error {
	n, err := f.WriteAt(p, at)
	r.bytes += int64(n)
	r.dir.stats.WrittenBytes.Add(int64(n))
	return err
}

// Sync asks for the contents and size of a file that the caller has acquired with Open; the round takes over the acquisition.
func (r *Round) Sync(h *Handle, f vfs.File) {
	r.files = append(r.files, syncFile{h, f})
}

// First takes over a small file that must be on disk before anything else of its log is written: BarrierFirst syncs and closes it.
func (r *Round) First(f vfs.File) { r.first = append(r.first, f) }

// BarrierFirst syncs and closes what First took over, several files at a time.
func (r *Round) BarrierFirst() error {
	err := r.dir.syncer.each(len(r.first), func(i int) error { return r.Barrier(r.first[i]) })
	for _, f := range r.first {
		if failure := f.Close(); err == nil && failure != nil {
			err = failure
		}
	}
	clear(r.first)
	r.first = r.first[:0]
	return err
}

// SyncDir asks for the entries of a directory.
func (r *Round) SyncDir(path string) {
	if _, asked := r.asked[path]; !asked {
		if r.asked == nil {
			r.asked = map[string]struct{}{}
		}
		r.asked[path] = struct{}{}
		r.dirs = append(r.dirs, path)
	}
}

// Barrier syncs a file at once: what follows in this round must not reach the disk before what precedes.
func (r *Round) Barrier(f vfs.File) error {
	if err := r.dir.syncOne(f); err != nil {
		return &syncError{err}
	}
	return nil
}

// BarrierDir syncs a directory's entries at once.
func (r *Round) BarrierDir(path string) error {
	if r.dir.mutants&SkipDirSync != 0 {
		return nil
	}
	r.dir.stats.DirSyncs.Add(1)
	if err := r.dir.fs.SyncDir(path); err != nil {
		return &syncError{fmt.Errorf("sync directory %s: %w", path, err)}
	}
	return nil
}

// Scratch returns a buffer of MaxChunk bytes for gathering small pieces; it is the round's.
func (r *Round) Scratch() []byte {
	if r.scratch == nil {
		r.scratch = make([]byte, MaxChunk)
	}
	return r.scratch
}

// FS is the file system of the directory.
func (r *Round) FS() vfs.FS { return r.dir.fs }

// Mutants are the deliberate bugs that are switched on; zero outside of tests of the test harness.
func (r *Round) Mutants() Mutants { return r.dir.mutants }

// finish releases what the round acquired.
func (r *Round) finish() {
	for _, f := range r.files {
		if err := r.dir.handles.Release(f.handle); err != nil {
			r.dir.handles.closeErrors.Add(1)
		}
	}
	clear(r.asked)
	clear(r.files)
	r.files = r.files[:0]
	r.dirs = r.dirs[:0]
	r.bytes = 0
}

// sync makes everything that was named durable: files first, several at a time, then directories.
func (r *Round) sync() error {
	if r.dir.mutants&AckBeforeSync != 0 {
		return nil
	}
	if err := r.dir.syncer.each(len(r.files), func(i int) error { return r.dir.syncOne(r.files[i].file) }); err != nil {
		return err
	}
	return r.dir.syncer.each(len(r.dirs), func(i int) error { return r.BarrierDir(r.dirs[i]) })
}
