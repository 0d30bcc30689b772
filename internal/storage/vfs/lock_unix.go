//go:build unix

package vfs

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockOS takes a POSIX write lock on the whole file, which is what Java's FileChannel.tryLock takes, so that Kafka and Ottla exclude each other.
func lockOS(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		lockErr = unix.FcntlFlock(fd, unix.F_SETLK, &lock)
		if lockErr != unix.EAGAIN && lockErr != unix.EACCES {
			return
		}
		holder := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		if unix.FcntlFlock(fd, unix.F_GETLK, &holder) == nil && holder.Type != unix.F_UNLCK && holder.Pid > 0 {
			lockErr = fmt.Errorf("held by process %d: %w", holder.Pid, ErrLocked)
			return
		}
		lockErr = fmt.Errorf("held by another process: %w", ErrLocked)
	})
	if err != nil {
		return err
	}
	return lockErr
}
