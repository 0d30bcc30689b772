package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrLocked says that another process, or this one, holds the lock already.
var ErrLocked = errors.New("locked by another holder")

// FS is one tree of directories and files.
type FS interface {
	// Create makes an empty file for reading and writing. An existing name is fs.ErrExist.
	Create(name string) (File, error)
	// Open opens a file for reading and writing. A missing name is fs.ErrNotExist.
	Open(name string) (File, error)
	// OpenRead opens a file for reading; WriteAt and Truncate of such a file fail.
	OpenRead(name string) (File, error)
	// Remove removes a file or an empty directory. A missing name is fs.ErrNotExist.
	Remove(name string) error
	// RemoveAll removes a name and all that is below it. A missing name is no error.
	RemoveAll(name string) error
	// Rename moves a file or directory; a file at the new name is replaced in one step.
	Rename(oldName, newName string) error
	// MkdirAll makes a directory and its missing parents. An existing directory is no error.
	MkdirAll(name string) error
	// SyncDir makes creations, removals and renames in that directory durable.
	SyncDir(name string) error
	// ReadDir lists a directory in the order of names.
	ReadDir(name string) ([]DirEntry, error)
	// Stat describes a file or directory.
	Stat(name string) (Info, error)
	// Lock takes the lock of a file, which it makes if missing and leaves behind on Close. ErrLocked when it is held.
	Lock(name string) (io.Closer, error)
	// FreeSpace tells how many bytes are left to this process, and how many there are, on the file system that holds name; errors.ErrUnsupported
	// where the system cannot say (wasip1).
	FreeSpace(name string) (free, total int64, err error)
}

// DirectOpener is an FS whose files can be written past the page cache: half of the processor time of a write that is synced at once.
type DirectOpener interface {
	// OpenDirect is Open for writes whose memory, position and length are multiples of the size of a page. A file system may refuse the opening, or the first write.
	OpenDirect(name string) (File, error)
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes all data written, and the size, durable. See invariant 5 for what a failure means.
	Sync() error
	// Truncate cuts or extends (with zeros) the file to size bytes.
	Truncate(size int64) error
	// Size returns the length in bytes.
	Size() (int64, error)
	// Name returns the name under which the file was opened.
	Name() string
}

// DirEntry is one name in a directory.
type DirEntry struct {
	Name  string
	IsDir bool
	Size  int64 // in bytes; zero for directories
}

// Info describes a file or directory.
type Info struct {
	Size    int64 // in bytes; zero for directories
	IsDir   bool
	ModTime time.Time
}
