//go:build unix

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Locked tells whether somebody holds the lock of a file, and asks without taking it and without making the file.
func Locked(name string) (_ bool, err error) {
	key, err := lockKey(name)
	if err != nil {
		return false, err
	}
	held.Lock()
	own := held.paths[key]
	held.Unlock()
	if own { // opening it here and closing it again would drop the lock
		return true, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != unix.F_UNLCK, nil
}
