package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

func (f *osFile) allocate(size int64) error {
	var err error
	closed := f.raw.Control(func(fd uintptr) {
		for {
			if err = unix.Fallocate(int(fd), 0, 0, size); err != unix.EINTR {
				return
			}
		}
	})
	if closed != nil {
		return closed
	}
	if err != nil {
		return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}
