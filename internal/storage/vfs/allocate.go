package vfs

import (
	"errors"
	"syscall"
)

// allocator is a File whose file system can set room aside for it without writing.
type allocator interface {
	allocate(size int64) error
}

// Allocate gives an empty file the room of size bytes on the disk, by writing zeros where the file system knows no better.
func Allocate(f File, size int64) error {
	if a, ok := f.(allocator); ok {
		if err := a.allocate(size); !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	zeros := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}
