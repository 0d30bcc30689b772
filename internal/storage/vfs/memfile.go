package vfs

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

var errNegativeOffset = errors.New("negative offset")

// memFile is an open file of Mem.
type memFile struct {
	mem      *Mem
	inode    *inode
	name     string
	writable bool
	closed   bool
}

// checkLocked refuses what a closed file, or one opened for reading, cannot do.
func (f *memFile) checkLocked(op string, write bool, off int64) error {
	switch {
	case f.closed:
		return pathError(op, f.name, fs.ErrClosed)
	case write && !f.writable:
		return pathError(op, f.name, syscall.EBADF)
	case off < 0:
		return pathError(op, f.name, errNegativeOffset)
	}
	return nil
}

// Name implements File.
func (f *memFile) Name() string { return f.name }

// ReadAt implements File.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.checkLocked("read", false, off); err != nil {
		return 0, err
	}
	n := f.inode.cache.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements File. On a disk that fills up it writes what fits and returns ENOSPC.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.checkLocked("write", true, off); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	fits := f.reserveLocked(p, off)
	if fits > 0 {
		f.mem.mu.seq++
		f.inode.write(f.mem.mu.seq, p[:fits], off)
		f.inode.modTime = later(f.inode.modTime)
	}
	if fits < len(p) {
		return fits, pathError("write", f.name, syscall.ENOSPC)
	}
	return fits, nil
}

// reserveLocked counts the pages that a write adds and tells how many of its bytes find room.
func (f *memFile) reserveLocked(p []byte, off int64) int {
	end := off + int64(len(p))
	for i := off / pageSize; i*pageSize < end; i++ {
		if f.inode.cache.page(int(i)) != nil {
			continue
		}
		if f.mem.mu.capacity > 0 && f.mem.mu.used >= f.mem.mu.capacity {
			return int(max(i*pageSize-off, 0))
		}
		f.mem.mu.used++
	}
	return len(p)
}

// Sync implements File.
func (f *memFile) Sync() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.checkLocked("sync", false, 0); err != nil {
		return err
	}
	f.inode.sync()
	return nil
}

// FailSync does to the file what a Sync does that fails: some of the changes are on the disk, no later Sync will bring the others there, and
// readers go on seeing them until a crash.
func (f *memFile) FailSync() {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.mem.mu.seq++
	f.inode.failSync(fate{mode: coins, seed: f.mem.mu.seq})
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.checkLocked("truncate", true, 0); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, syscall.EINVAL)
	}
	f.mem.mu.seq++
	before := f.inode.cache.allocated()
	f.inode.truncate(f.mem.mu.seq, size)
	f.mem.mu.used += f.inode.cache.allocated() - before
	f.inode.modTime = later(f.inode.modTime)
	return nil
}

// Size implements File.
func (f *memFile) Size() (int64, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.checkLocked("stat", false, 0); err != nil {
		return 0, err
	}
	return f.inode.cache.size, nil
}

// Close implements File.
func (f *memFile) Close() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.checkLocked("close", false, 0); err != nil {
		return err
	}
	f.closeLocked()
	return nil
}

func (f *memFile) closeLocked() {
	f.closed = true
	f.inode.handles--
	f.mem.freeLocked(f.inode)
}
