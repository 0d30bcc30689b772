package vfs

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// IsNoSpace tells whether err says that the disk, or what this user may have of it, is full.
func IsNoSpace(err error) bool {
	for _, full := range []error{syscall.ENOSPC, windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED} {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}

// IsOutOfFiles tells whether err says that this process, or the system, can open no more files for now.
func IsOutOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES)
}
