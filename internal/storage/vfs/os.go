package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// What the umask leaves of these is what new files and directories get: records are not for everybody on the machine.
const (
	filePermissions      = 0o640
	directoryPermissions = 0o750
)

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return openOS(name, os.O_RDWR) }

func (osFS) OpenRead(name string) (File, error) { return openOS(name, os.O_RDONLY) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) RemoveAll(name string) error { return os.RemoveAll(name) }

func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

func (osFS) MkdirAll(name string) error { return os.MkdirAll(name, directoryPermissions) }

func (osFS) SyncDir(name string) error { return syncDir(name) }

func (osFS) ReadDir(name string) ([]DirEntry, error) { return readDir(name) }

func (osFS) Stat(name string) (Info, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	i := Info{IsDir: info.IsDir(), ModTime: info.ModTime()}
	if !i.IsDir {
		i.Size = info.Size()
	}
	return i, nil
}

func (osFS) Lock(name string) (io.Closer, error) { return lockFile(name) }

func (osFS) FreeSpace(name string) (free, total int64, err error) {
	free, total, err = freeSpace(name)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "free space", Path: name, Err: err}
	}
	return free, total, nil
}

type osFile struct {
	*os.File
	raw syscall.RawConn
	// cut is set by Truncate: the next Sync also asks for the metadata, because fdatasync need not keep a file short on every file system.
	cut atomic.Bool
}

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, filePermissions)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err == nil && flag&os.O_RDWR == 0 {
		err = refuseDirectory(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &osFile{File: f, raw: raw}, nil
}

// refuseDirectory keeps OpenRead to files: opening a directory for reading works on Unix, reading it does not.
func refuseDirectory(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "open", Path: f.Name(), Err: syscall.EISDIR}
	}
	return nil
}

func (f *osFile) Sync() error {
	full := f.cut.Swap(false)
	err := syncFile(f.File, f.raw, full)
	if err != nil && full {
		f.cut.Store(true)
	}
	return err
}

func (f *osFile) Truncate(size int64) error {
	f.cut.Store(true)
	return f.File.Truncate(size)
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
